"""Two processes never write into the same folder."""

import os
import signal
import subprocess
import sys

import pytest

from commands import ENVIRONMENT
from occlupose import folder_lock
from occlupose.errors import OccluposeError

HOLD = "import sys, time; from pathlib import Path; from occlupose.folder_lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(100)"


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with folder_lock.locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / folder_lock.LOCK).read_text() == f"{os.getpid()}\n"
    assert not [*tmp_path.iterdir()]
    with folder_lock.locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]
    (tmp_path / "a" / "b" / "file").unlink()
    with folder_lock.locked(tmp_path / "a" / "b"):
        pass
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the open files")
@pytest.mark.parametrize("exclusive", [False, True], ids=["flock", "exclusive"])
def test_only_one_is_in_the_block(tmp_path, monkeypatch, exclusive):
    if exclusive:
        monkeypatch.setattr(folder_lock, "fcntl", None)
        monkeypatch.setattr(folder_lock.Path, "unlink", refuse_if_open)
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    message = rf"another process \({os.getpid()}\) is writing into it; wait for it"
    with folder_lock.locked(tmp_path), pytest.raises(OccluposeError, match=message), folder_lock.locked(tmp_path):
        raise AssertionError("two are in the block")
    (tmp_path / folder_lock.LOCK).touch()  # of a process that was killed
    with folder_lock.locked(tmp_path):
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
        folder_lock.locked(tmp_path / "a/b"),
    ):
        raise AssertionError("there is no folder")


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_the_lock_of_a_killed_process_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(OccluposeError, match=rf"another process \({process.pid}\)"), folder_lock.locked(tmp_path):
        raise AssertionError("two are in the block")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert folder_lock.was_cut_short(tmp_path)
    with folder_lock.locked(tmp_path):
        assert (tmp_path / folder_lock.LOCK).read_text() == f"{os.getpid()}\n"
    assert not folder_lock.was_cut_short(tmp_path)
