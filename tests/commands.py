"""Commands as a user runs them, and how those are refused that cannot be done."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import NamedTuple

import pytest

import occlupose
from occlupose import cli
from occlupose.cli import terminal

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(occlupose.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


class Outcome(NamedTuple):
    """What a command left on the terminal, and its exit code."""

    code: int
    out: str
    err: str


def caller(monkeypatch: pytest.MonkeyPatch, capture: Callable[[], tuple[str, str]]) -> Callable[..., Outcome]:
    """Runs `occlupose ...` in this process, without lines of progress now and then, however long it takes.

    Arguments:
        capture: takes what was printed since it was called last: out and err.
    """
    monkeypatch.setattr(terminal, "STATUS_SECONDS", inf)

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["occlupose", *map(str, arguments)])
        try:
            code = cli.main()
        except SystemExit as end:
            code = end.code
        return Outcome(code or 0, *capture())

    return call


def subprocess_of(*arguments: str | Path) -> Outcome:
    """Runs `occlupose ...` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "occlupose", *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def assert_refused(outcome: Outcome, *words: str, out: str = "") -> None:
    """One line, that says what is wrong and what would be right.

    Arguments:
        words: that are in it.
        out: what was printed before.
    """
    assert outcome.code == 2, outcome
    assert outcome.out == out
    assert outcome.err.startswith("occlupose: ") and outcome.err.endswith("\n") and outcome.err.count("\n") == 1, (
        outcome.err
    )
    assert re.search("; | should | must ", outcome.err), outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


def names(folder: Path) -> list[str]:
    """Every file in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())
