"""Two processes never write into the same folder."""

import os
import signal
import subprocess
import sys

import pytest

from commands import ENVIRONMENT
from occlupose.cli import lock
from occlupose.errors import OccluposeError

HOLD = "import sys, time; from pathlib import Path; from occlupose.cli.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(100)"


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with lock.locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / lock.LOCK).read_text() == f"{os.getpid()}\n"
    assert not [*tmp_path.iterdir()]
    with lock.locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]
    (tmp_path / "a" / "b" / "file").unlink()
    with lock.locked(tmp_path / "a" / "b"):
        pass
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the open files")
@pytest.mark.parametrize("exclusive", [False, True], ids=["flock", "exclusive"])
def test_only_one_is_in_the_block(tmp_path, monkeypatch, exclusive):
    if exclusive:
        monkeypatch.setattr(lock, "fcntl", None)
        monkeypatch.setattr(lock.Path, "unlink", refuse_if_open)
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    message = rf"another process \({os.getpid()}\) is writing into it; wait for it"
    with lock.locked(tmp_path), pytest.raises(OccluposeError, match=message), lock.locked(tmp_path):
        raise AssertionError("two are in the block")
    (tmp_path / lock.LOCK).touch()  # of a process that was killed
    with lock.locked(tmp_path):
        pass
    assert not [*tmp_path.iterdir()]


def refuse_if_open(path, missing_ok=False):
    """Removes a file as Windows does, where open files stay."""
    for number in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{number}") == str(path):
            raise PermissionError
    os.unlink(path)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "a").touch()
    with (
        pytest.raises(OccluposeError, match=r"a/b: cannot be written to \(not a directory\)"),
        lock.locked(tmp_path / "a/b"),
    ):
        raise AssertionError("there is no folder")


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_the_lock_of_a_killed_process_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(OccluposeError, match=rf"another process \({process.pid}\)"), lock.locked(tmp_path):
        raise AssertionError("two are in the block")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock.was_cut_short(tmp_path)
    with lock.locked(tmp_path):
        assert (tmp_path / lock.LOCK).read_text() == f"{os.getpid()}\n"
    assert not lock.was_cut_short(tmp_path)
