"""Signals that stop a command."""

import signal

import pytest

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
