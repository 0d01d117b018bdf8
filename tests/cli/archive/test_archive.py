"""Archives of videos: each is done once, whatever happens to others or to the process."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from archives import hidden_files, is_alive, is_in_work, poses_of, rows, start, statuses, wait_for
from commands import assert_refused, names
from hupor_detections import write_hupor
from media_files import make_video
from occlupose import folder_lock
from occlupose.cli.estimation import EstimatorOptions
from occlupose.cli.output import read_record
from occlupose.media import write_image
from occlupose.poses import Poses
from pasted_people import crowd

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")


@pytest.fixture
def network(tmp_path):
    """Options of HUPOR's networks, small and untrained, so that it takes no time; they find nobody."""
    return ["--method", "hupor", "--weights", str(write_hupor(tmp_path / "net.safetensors"))]


@pytest.fixture
def run(command, network):
    """`occlupose run` with these networks."""
    return lambda *arguments: command("run", *arguments, *network)


@pytest.fixture
def archive(tmp_path):
    """Four videos, two of one name, two with names that differ in the ending; and a file that is no video."""
    folder = tmp_path / "archive"
    for place in ("a", "b"):
        (folder / place).mkdir(parents=True)
    make_video(folder / "a" / "clip.mp4", 3)
    make_video(folder / "b" / "clip.mp4", 4)
    make_video(folder / "b" / "short.mp4", 2)
    make_video(folder / "b" / "short.mov", 1)
    (folder / "a" / "broken.mp4").write_text("this is no video\n" * 100)
    return folder


# ------------------------------------------------------------------------------------- all of them, once


def test_every_video_has_a_folder_and_a_row_and_is_done_once(run, archive, tmp_path):
    root = tmp_path / "results"
    outcome = run(archive, "-o", root, "--no-video")
    assert outcome.code == 1
    assert outcome.out == f"{root}/summary.csv: 4 finished, 1 failed\n"
    lines = outcome.err.splitlines()
    assert lines[0] == "occlupose: 5 inputs, 0 already finished"
    assert any(line.startswith(f"occlupose: {archive}/a/broken.mp4: ") and "video" in line for line in lines)
    assert any(re.fullmatch(r"occlupose: b/short\.mov: 1 frame, 0 people, \d+\.\d s", line) for line in lines)
    done = {"a/clip.mp4": 3, "b/clip.mp4": 4, "b/short.mov": 1, "b/short.mp4": 2}
    assert statuses(root) == {"a/broken.mp4": "failed", **dict.fromkeys(done, "finished")}
    for place, frames in done.items():
        assert names(root / place) == ["poses.json", "poses.npz", "preview.png", "run.json"]
        assert len(Poses.load(root / place / "poses.npz")) == frames
        row = rows(root)[place]
        assert (row["input"], row["frames"], row["people"], row["visible"]) == (
            str(archive / place),
            str(frames),
            "0",
            "",
        )
        record = read_record(root / place)
        assert record["finished"] is True and record["input"] == str(archive / place)
        assert record["content"]["size"] == (archive / place).stat().st_size and len(record["content"]["sha256"]) == 64
    failed = rows(root)["a/broken.mp4"]
    assert "broken.mp4" in failed["error"] and "\n" not in failed["error"] and not (root / "a" / "broken.mp4").exists()

    before = {
        path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != "summary.csv" and path.is_file()
    }
    again = run(archive, "-o", root, "--no-video")
    assert again.code == 1 and again.err.startswith("occlupose: 5 inputs, 4 already finished\n")
    assert again.out == f"{root}/summary.csv: 4 already finished, 1 failed\n"
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert statuses(root) == {"a/broken.mp4": "failed", **dict.fromkeys(done, "skipped")}
    assert rows(root)["b/clip.mp4"]["frames"] == "4"


def test_networks_are_loaded_once(run, archive, tmp_path, monkeypatch):
    built = []
    build = EstimatorOptions.build
    monkeypatch.setattr(EstimatorOptions, "build", lambda *options: built.append(1) or build(*options))
    assert run(archive / "b", "-o", tmp_path / "results", "--no-video", "--no-preview").code == 0
    assert len(built) == 1 and len(rows(tmp_path / "results")) == 3


def test_a_record_that_is_nested_too_deeply_is_none(run, archive, tmp_path):
    assert run(archive / "b", "-o", tmp_path, "--no-video", "--no-preview").code == 0
    (tmp_path / "clip.mp4" / "run.json").write_text("[" * 100_000)
    outcome = run(archive / "b", "-o", tmp_path, "--no-video", "--no-preview")
    assert outcome.code == 1 and "2 already finished, 1 failed" in outcome.out
    assert "holds poses of an unknown input; give another folder with -o, or --overwrite" in outcome.err


def test_results_are_those_of_single_runs(run, archive, tmp_path):
    assert run(archive / "a" / "clip.mp4", archive / "b", "-o", tmp_path / "results").code == 0
    for place in ("a/clip.mp4", "b/short.mov"):
        single = tmp_path / "single" / place
        single.mkdir(parents=True)  # else it is taken for the name of a file
        assert run(archive / place, "-o", single).code == 0
        assert names(single) == names(tmp_path / "results" / place)
        for name in ("poses.npz", "poses.json", "preview.png"):
            assert (single / name).read_bytes() == (tmp_path / "results" / place / name).read_bytes()


def test_what_has_changed_is_done_again(run, archive, tmp_path):
    root = tmp_path / "results"
    videos = [archive / "a" / "clip.mp4", archive / "b" / "clip.mp4"]

    def states(*options):
        run(*videos, "-o", root, "--no-video", "--no-preview", *options)
        return [*statuses(root).values()]

    assert states() == ["finished", "finished"]
    assert states() == ["skipped", "skipped"]
    assert states("--threads", "1") == ["skipped", "skipped"]
    assert states("--every", "2") == states("--every", "2", "--no-json") == ["finished", "finished"]
    assert names(root / "a" / "clip.mp4") == ["poses.npz", "run.json"]
    assert states("--every", "2", "--no-json", "--overwrite") == ["finished", "finished"]
    assert states() == ["finished", "finished"]
    for name in ("poses.npz", "poses.json"):
        (root / "a" / "clip.mp4" / name).unlink()
        assert states() == ["finished", "skipped"]
    make_video(videos[0], 2)
    assert states() == ["finished", "skipped"]
    os.utime(videos[1], (1, 1))  # copied, say
    assert states() == ["skipped", "skipped"]
    assert read_record(root / "b" / "clip.mp4")["content"]["modified"] == [1_000_000_000]
    moved = archive.rename(tmp_path / "moved")
    videos = [moved / "a" / "clip.mp4", moved / "b" / "clip.mp4"]
    assert states() == ["skipped", "skipped"]
    record = read_record(root / "b" / "clip.mp4")
    assert record["input"] == str(videos[1])
    (root / "b" / "clip.mp4" / "run.json").write_text(json.dumps(record | {"finished": False}))
    assert states() == ["skipped", "finished"]


def test_poses_of_another_input_are_not_replaced(run, archive, tmp_path):
    root = tmp_path / "results"
    (root / "clip.mp4").mkdir(parents=True)
    assert run(archive / "b" / "clip.mp4", "-o", root / "clip.mp4").code == 0
    both = (archive / "a" / "clip.mp4", archive / "a" / "broken.mp4", "-o", root, "--no-video")
    assert run(*both).code == 1
    assert "holds poses of" in rows(root)["clip.mp4"]["error"] and statuses(root)["clip.mp4"] == "failed"
    assert run(*both, "--overwrite").code == 1
    assert statuses(root)["clip.mp4"] == "finished"


def test_a_list_a_manifest_and_a_log(run, archive, tmp_path):
    root = tmp_path / "results"
    (tmp_path / "list.txt").write_text(f"{archive}/a/clip.mp4\n{archive}/a/nope.mp4\n")
    (tmp_path / "m.csv").write_text(f"input,output,end\n{archive}/b/clip.mp4,anna,0.2\n")
    options = ("--list", tmp_path / "list.txt", "--manifest", tmp_path / "m.csv", "--log", tmp_path / "log.jsonl")
    outcome = run(*options, "-o", root, "--no-video", "--quiet")
    assert outcome.code == 1 and outcome.out == f"{root}/summary.csv: 2 finished, 1 failed\n"
    assert outcome.err.startswith(f"occlupose: {archive}/a/nope.mp4: there is no such file")
    assert outcome.err.count("\n") == 1
    assert len(Poses.load(root / "anna" / "poses.npz")) == 2
    (tmp_path / "log.jsonl").open("a").write('{"time": "cut off')
    assert run(*options, "-o", root, "--no-video", "--quiet").code == 1
    first = '{"time": "cut off'
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines.index(first) == 6
    events = [json.loads(line) for line in lines if line != first]
    seen = [(event["event"], Path(event["input"]).name) for event in events]
    begun = [("started", "clip.mp4"), ("finished", "clip.mp4")]
    missed = [("started", "nope.mp4"), ("failed", "nope.mp4")]
    assert seen == begun + missed + begun + [("skipped", "clip.mp4")] * 2 + missed
    assert events[1]["frames"] == 3 and events[1]["seconds"] > 0 and events[1]["time"].endswith("+00:00")
    assert "no such file" in events[3]["error"] and events[5]["output"] == str(root / "anna")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--height", "180"], "height 180"),
        (["--camera", "nope.json"], "nope.json"),
        (["--start", "2", "--end", "1"], "start 2"),
        (["--device", "nope"], "device nope"),
        (["--workers", "0"], "workers 0"),
        (["--log", "."], "is a folder; give the name of a file with --log"),
    ],
)
def test_options_that_are_wrong_for_every_input_are_refused_once(run, archive, tmp_path, options, words):
    outcome = run(archive / "a", archive / "b", "-o", tmp_path / "results", *options)
    assert outcome.code == 2 and words in outcome.err and outcome.err.splitlines()[-1].startswith("occlupose: ")
    assert not [*tmp_path.glob("results/*/*")]


def test_ray_is_asked_for_where_it_is_missing(run, archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = run(archive, "-o", tmp_path / "results", "--ray", "local")
    assert_refused(outcome, "--ray: needs ray; pip install '.[ray]' in a clone of occlupose")
    assert_refused(run(archive, "--ray", "local", "--longest", "0"), "longest 0: a part needs a frame")
    assert_refused(run(archive / "a" / "clip.mp4", "--ray", "local"), "--ray: shares the inputs of an archive")
    assert not (tmp_path / "results").exists()


def test_boxes_are_of_one_input(command, archive, tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    assert_refused(command("run", archive, "--boxes", tmp_path / "boxes.json"), "--boxes: has boxes of one input")


def test_quiet_and_a_log_of_a_single_input(run, archive, tmp_path):
    outcome = run(archive / "a" / "clip.mp4", "--quiet", "--log", tmp_path / "log.jsonl", "--no-json", "--no-preview")
    assert outcome == (0, "out/clip: poses.npz, overlay.mp4\n", "")
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["started", "finished"]
    assert names(Path("out/clip")) == ["overlay.mp4", "poses.npz", "run.json"]


def test_people_have_shares_of_states(command, tmp_path):
    for name in ("one", "two"):
        write_image(tmp_path / "photos" / f"{name}.png", crowd(200, 1, 1, 640, 300)[0])
    photos = [tmp_path / "photos" / f"{name}.png" for name in ("one", "two")]
    assert command("run", *photos, "-o", tmp_path / "results").code == 0
    row = rows(tmp_path / "results")["one.png"]
    assert row["people"] == "1" and float(row["visible"]) > 0.3
    assert sum(float(row[state]) for state in ("visible", "occluded", "absent")) == pytest.approx(1, abs=2e-4)
    first, second = poses_of(tmp_path / "results").values()
    assert first == second


# ------------------------------------------------------------------------------------------------- locks


def test_another_process_is_not_disturbed(run, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    videos = (archive / "a" / "clip.mp4", archive / "b" / "clip.mp4")
    with folder_lock.locked(tmp_path / "results" / "a" / "clip.mp4"):
        assert run(*videos, "-o", tmp_path / "results", "--no-video").code == 1
        message = f"a/clip.mp4: another process ({os.getpid()}) is writing into it; wait for it"
        assert message in rows(tmp_path / "results")["a/clip.mp4"]["error"]
        assert_refused(run(videos[0], "-o", tmp_path / "results" / "a" / "clip.mp4"), message)
    assert statuses(tmp_path / "results") == {"a/clip.mp4": "failed", "b/clip.mp4": "finished"}
    assert run(*videos, "-o", tmp_path / "results", "--no-video").code == 0
    assert not hidden_files(tmp_path / "results")


# -------------------------------------------------------------------------- killed, ended, interrupted


@pytest.fixture
def long_archive(tmp_path):
    """A short video and two long ones."""
    folder = tmp_path / "long"
    folder.mkdir()
    make_video(folder / "1.mp4", 3)
    make_video(folder / "2.mp4", 400)
    make_video(folder / "3.mp4", 300)
    return folder


@pytest.mark.slow
@needs_signals
def test_a_killed_run_goes_on_where_it_was(run, network, long_archive, tmp_path):
    root = tmp_path / "results"
    process = start(long_archive, "-o", root, "--no-video", *network)
    wait_for(is_in_work(root, "2.mp4"), process)
    process.kill()
    process.communicate()
    assert names(root / "2.mp4") == [folder_lock.LOCK]
    left = root / "2.mp4" / ".poses.0123abcd.npz"
    left.write_bytes(b"half")
    finished = (root / "1.mp4" / "run.json").stat().st_mtime_ns
    outcome = run(long_archive, "-o", root, "--no-video")
    assert outcome.code == 0 and outcome.out.endswith("summary.csv: 2 finished, 1 already finished\n")
    assert (root / "1.mp4" / "run.json").stat().st_mtime_ns == finished and not hidden_files(root)
    assert re.findall(r"^occlupose: (\d\.mp4): \d+ frames, 0 people, ", outcome.err, re.MULTILINE) == ["3.mp4", "2.mp4"]
    assert run(long_archive, "-o", tmp_path / "undisturbed", "--no-video").code == 0
    assert poses_of(root) == poses_of(tmp_path / "undisturbed") and len(poses_of(root)) == 3


@needs_signals
def test_sigterm_ends_an_archive_as_ctrl_c_does(network, long_archive, tmp_path):
    root = tmp_path / "results"
    process = start(long_archive, "-o", root, "--no-video", *network)
    wait_for(is_in_work(root, "2.mp4"), process)
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err
    assert out == f"{root}/summary.csv: 1 finished, 1 interrupted, 1 not begun\n"
    assert statuses(root) == {"1.mp4": "finished", "2.mp4": "interrupted"}
    assert not (root / "2.mp4").exists() and not hidden_files(root)


@needs_signals
def test_sigterm_ends_a_single_run_as_ctrl_c_does(network, long_archive, tmp_path):
    process = start(long_archive / "2.mp4", "-o", tmp_path / "out", "--log", tmp_path / "log", *network)
    wait_for(is_in_work(tmp_path, "out"), process)
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 130 and "occlupose: interrupted" in err
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["event"] == "interrupted"
    assert not (tmp_path / "out" / "overlay.mp4").exists() and not read_record(tmp_path / "out").get("finished")


@pytest.mark.slow
@needs_signals
def test_several_processes_give_the_results_of_one_and_outlive_one_of_them(
    run, network, archive, long_archive, tmp_path
):
    root = tmp_path / "results"
    inputs = (long_archive / "2.mp4", archive / "b", archive / "a")
    process = start(*inputs, "-o", root, "--no-video", "--workers", 2, *network)
    victim = root / "long" / "2.mp4" / folder_lock.LOCK
    wait_for(lambda: victim.exists() and victim.read_text().endswith("\n"), process)
    assert int(victim.read_text()) != process.pid
    os.kill(int(victim.read_text()), signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1 and "Traceback" not in err
    assert out == f"{root}/summary.csv: 4 finished, 2 failed\n"
    assert "ended (signal 9); it may be damaged" in rows(root)["long/2.mp4"]["error"]
    assert run(*inputs, "-o", tmp_path / "one", "--no-video").code == 1
    expected = poses_of(tmp_path / "one")
    assert len(expected) == 5 and poses_of(root) == {k: v for k, v in expected.items() if k != "long/2.mp4"}


@pytest.mark.slow
@needs_signals
def test_killed_processes_go_on_where_they_were(network, long_archive, tmp_path):
    root = tmp_path / "results"
    arguments = (long_archive, "-o", root, "--no-video", "--workers", 2, *network)
    process = start(*arguments)
    wait_for(lambda: is_in_work(root, "2.mp4")() and is_in_work(root, "3.mp4")(), process)
    workers = [int((root / name / folder_lock.LOCK).read_text() or 0) for name in ("2.mp4", "3.mp4")]
    process.kill()
    process.communicate()
    deadline = monotonic() + 30
    while any(is_alive(worker) for worker in workers if worker):
        assert monotonic() < deadline
        sleep(0.05)
    again = start(*arguments)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert out == f"{root}/summary.csv: 2 finished, 1 already finished\n"
    assert not hidden_files(root)
