"""Training commands that are killed while running."""

import os
import signal
import subprocess
from pathlib import Path
from time import monotonic, sleep

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def kill_after(checkpoint: Path, command: list[str]) -> None:
    """Runs a command and kills it (SIGKILL) as soon as it has written its first checkpoint."""
    killed = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    deadline = monotonic() + 100
    while not checkpoint.exists():
        assert killed.poll() is None, "ended before its first checkpoint"
        assert monotonic() < deadline
        sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL


def run_to_the_end(command: list[str]) -> str:
    """Runs a command that must succeed without output on stderr; returns its stdout."""
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
