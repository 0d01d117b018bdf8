"""Archives as a user runs them, and what is in their results."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from commands import ENVIRONMENT
from occlupose.folder_lock import LOCK


def rows(root):
    """Rows of the table by place in the tree."""
    with (root / "summary.csv").open(newline="") as file:
        return {Path(row["output"]).relative_to(root).as_posix(): row for row in csv.DictReader(file)}


def statuses(root):
    return {place: row["status"] for place, row in rows(root).items()}


def poses_of(root):
    """Contents of all poses.npz by place in the tree."""
    return {path.parent.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("poses.npz")}


def hidden_files(root):
    return list(root.rglob(".*"))


def start(*arguments):
    """The command in a process of its own."""
    words = [sys.executable, "-m", "occlupose", "run", *map(str, arguments)]
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    """Until the condition holds, while the process runs."""
    deadline = monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        if monotonic() > deadline:
            process.kill()
            pytest.fail("took too long")
        sleep(0.005)


def is_in_work(root, name):
    """Whether a process has begun with an input; to be called."""
    return lambda: (root / name / LOCK).exists()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
