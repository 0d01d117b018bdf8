"""What the card of trained weights, and a table of results, says of where it comes from."""

import subprocess
import sys
from pathlib import Path


def command(places: dict[Path | None, str]) -> str:
    """The command line, with names for places."""
    options = (word.rpartition("=") for word in sys.argv[1:])
    return " ".join(["occlupose", *(option + equals + places.get(Path(value), value) for option, equals, value in options)])


def commit() -> str:
    """The commit of this source, "-dirty" where it was changed since; empty where it is not in a checkout."""
    describe = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    try:
        return subprocess.run(describe, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
