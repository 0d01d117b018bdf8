"""Signals that stop a command, and checks of what it will write."""

import os
import signal
import threading
from io import StringIO

import pytest
from rich.console import Console

from occlupose import cli
from occlupose.cli import terminal


@pytest.fixture
def default():
    """The system's own handler of SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("default")
def test_sigterm_is_as_ctrl_c():
    with terminal.sigterm_as_ctrl_c():
        with terminal.Interrupt() as interrupt:
            signal.raise_signal(signal.SIGTERM)
            assert interrupt.asked
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("default")
def test_who_takes_sigterm_keeps_it():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with terminal.sigterm_as_ctrl_c(), terminal.Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
    assert not interrupt.asked and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.usefixtures("default")
def test_every_command_ends_at_sigterm_as_at_ctrl_c(command, monkeypatch):
    def doctor() -> None:
        """Waits for somebody to end it."""
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setitem(cli.COMMANDS, "doctor", doctor)
    outcome = command("doctor")
    assert (outcome.code, outcome.err) == (130, "occlupose: interrupted\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_stage_without_a_count_is_reported_while_it_lasts(monkeypatch):
    monkeypatch.setattr(terminal, "REPEAT_SECONDS", 0.01)
    monkeypatch.setattr(terminal, "STATUS_SECONDS", 0.0)
    printed = StringIO()
    console = Console(file=printed)
    report = terminal.Stages(terminal.progress(console), console, "walk.mp4")
    told = threading.Event()

    def tell() -> None:
        report(terminal.LIFTING, 0, None)
        told.set()

    with terminal.repeated(tell):
        assert told.wait(20)
    count = threading.active_count()
    report(terminal.LIFTING, 1, 1)
    assert set(printed.getvalue().splitlines()) == {"occlupose: lifting and writing"}
    assert threading.active_count() == count


def test_what_a_killed_run_left_of_a_file_is_removed(tmp_path):
    """Of that file only, and only after an hour: another process may be writing it."""
    old = [tmp_path / name for name in (".a.0123abcd.csv", ".b.0123abcd.csv")]
    new = tmp_path / ".a.abcd0123.csv"
    for path in (*old, new):
        path.touch()
    for path in old:
        os.utime(path, (0, 0))
    terminal.check_file(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.abcd0123.csv", ".b.0123abcd.csv"]
