"""Archives on two nodes of a Ray cluster on one machine: nothing is lost when any of it is killed."""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from archives import hidden_files, is_alive, poses_of, rows, start, statuses, wait_for
from commands import assert_refused, subprocess_of
from hupor_detections import write_hupor
from media_files import make_video
from occlupose.folder_lock import LOCK

ray = pytest.importorskip("ray", reason="needs the extra ray (make ray)")
from ray.cluster_utils import Cluster  # noqa: E402, Ray may be missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")]

LONG = 400
"""Frames of the long videos, which are cut in parts of `PART`."""

PART = 150


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a processor each."""
    cluster = Cluster(initialize_head=True, head_node_args=node() | {"include_dashboard": False})
    cluster.add_node(**node())
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def node():
    """Options of a node. With given ports, Ray waits for its agents as long as they need to start."""
    names = ("metrics_agent_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
    return {"num_cpus": 1} | {name: free_port() for name in names}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with an archive of a damaged video, short ones and long ones, of which two have one name; and options of
    a small network.
    """
    folder = tmp_path_factory.mktemp("work")
    for name, frames in (("a/clip.mp4", 3), ("a/long.mp4", LONG), ("b/clip.mp4", 5), ("b/long.mp4", LONG)):
        (folder / "archive" / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(folder / "archive" / name, frames)
    (folder / "archive" / "a" / "broken.mp4").write_text("this is no video\n" * 100)
    write_hupor(folder / "net.safetensors")
    return folder


@pytest.fixture(scope="module")
def undisturbed(work):
    """The poses of one process without Ray."""
    assert subprocess_of("run", *arguments(work, "undisturbed")).code == 1
    found = poses_of(work / "undisturbed")
    assert len(found) == 4
    return found


def arguments(work, name):
    network = ("--method", "hupor", "--weights", work / "net.safetensors")
    return (work / "archive", "-o", work / name, "--no-video", "--no-preview", "--no-json", *network)


def on(cluster, work, name, *options):
    """Arguments of a run on the cluster."""
    return (*arguments(work, name), "--ray", cluster.address, "--longest", PART, *options)


def worker_at(root, process):
    """The process that is at an input, once there is one."""
    found = []

    def is_at_work():
        found[:] = [text for lock in root.rglob(LOCK) if (text := read(lock)).endswith("\n")]
        return bool(found)

    wait_for(is_at_work, process)
    return int(found[0])


def read(lock):
    try:
        return lock.read_text()
    except FileNotFoundError:
        return ""


def test_results_are_those_of_one_process(cluster, work, undisturbed):
    root = work / "two nodes"
    process = start(*on(cluster, work, root.name, "--log", work / "log.jsonl"))
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert out == f"{root}/summary.csv: 4 finished, 1 failed\n"
    assert poses_of(root) == undisturbed and not hidden_files(root)
    done = dict.fromkeys(undisturbed, "finished")
    assert statuses(root) == done | {"a/broken.mp4": "failed"}
    assert rows(root)["b/long.mp4"]["frames"] == str(LONG)
    events = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    assert sorted(event["event"] for event in events) == ["failed"] + ["finished"] * 4 + ["started"] * 5
    again = start(*on(cluster, work, root.name))
    assert again.communicate()[0] == f"{root}/summary.csv: 4 already finished, 1 failed\n"


def test_a_killed_worker_loses_nothing(cluster, work, undisturbed):
    root = work / "killed worker"
    process = start(*on(cluster, work, root.name))
    victim = worker_at(root, process)
    assert victim != process.pid
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert out == f"{root}/summary.csv: 4 finished, 1 failed\n"
    assert poses_of(root) == undisturbed and not hidden_files(root)


def test_a_killed_command_goes_on_where_it_was(cluster, work, undisturbed):
    root = work / "killed command"
    process = start(*on(cluster, work, root.name))
    worker = worker_at(root, process)
    process.kill()
    process.communicate()
    deadline = monotonic() + 100
    while is_alive(worker):
        assert monotonic() < deadline, "a worker outlives the command"
        sleep(0.05)
    finished = [path.parent for path in root.rglob("run.json") if json.loads(path.read_text())["finished"]]
    again = start(*on(cluster, work, root.name))
    out, err = again.communicate()
    assert again.returncode == 1, err
    assert f"{4 - len(finished)} finished" in out and poses_of(root) == undisturbed and not hidden_files(root)


def test_sigterm_ends_it_as_ctrl_c_does(cluster, work, undisturbed):
    root = work / "stopped"
    process = start(*on(cluster, work, root.name))
    worker_at(root, process)
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err, err
    assert out.startswith(f"{root}/summary.csv: ") and not hidden_files(root)
    again = start(*on(cluster, work, root.name))
    again.communicate()
    assert poses_of(root) == undisturbed


def test_a_lost_node_loses_nothing(cluster, work, undisturbed):
    root = work / "lost node"
    lost = cluster.add_node(**node())
    cluster.wait_for_nodes()
    process = start(*on(cluster, work, root.name))
    worker_at(root, process)
    cluster.remove_node(lost, allow_graceful=False)
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert poses_of(root) == undisturbed and not hidden_files(root)


def test_what_cannot_be_is_said_in_a_line(cluster, work):
    nobody = subprocess_of("run", *arguments(work, "nobody"), "--ray", "127.0.0.1:1")
    assert nobody.code == 2 and "--ray 127.0.0.1:1: no cluster answers" in nobody.err.splitlines()[-1]
    hupor = subprocess_of("run", *on(cluster, work, "refused"), "--device", "nope")
    assert hupor.code == 2 and "device nope" in hupor.err.splitlines()[-1]
    single = Path(work / "archive" / "a" / "clip.mp4")
    assert_refused(subprocess_of("run", single, "--ray", "local"), "--ray: shares the inputs of an archive")
