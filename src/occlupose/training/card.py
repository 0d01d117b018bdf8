"""Provenance of weights and results: version, commit and command."""

import json
import subprocess
import sys
from pathlib import Path

from occlupose import __version__
from occlupose.files import atomic


def write(weights: Path, places: dict[Path | None, str], **fields: object) -> None:
    """Writes the card of a weights file beside it: the given fields, and version, commit and command.

    Arguments:
        places: names that replace paths in the command.

    Raises:
        OccluposeError: the file could not be written.
    """
    card = fields | {"version": __version__, "commit": commit(), "command": command(places)}
    with atomic(weights.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")


def command(places: dict[Path | None, str]) -> str:
    """The command line with names in place of paths; the words of the command itself are never replaced."""
    words = sys.argv[1:]
    first = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    options = (word.rpartition("=") for word in words[first:])
    return " ".join(
        [
            "occlupose",
            *words[:first],
            *(option + equals + places.get(Path(value), value) for option, equals, value in options),
        ]
    )


def commit(*scripts: Path) -> str:
    """The commit of this package, with "-dirty" if it has local changes; empty outside of its own git checkout.

    Arguments:
        scripts: of the same checkout, to be checked for changes too.
    """
    package = Path(__file__).parents[1]
    if not _git(package, "ls-files", __file__):  # installed inside another repository
        return ""
    changed = _git(package, "status", "--porcelain", "--untracked-files=no", "--", str(package), *map(str, scripts))
    return _git(package, "describe", "--always") + ("-dirty" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        return subprocess.run(("git", "-C", str(folder), *arguments), capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
