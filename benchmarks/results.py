"""Writes results: a CSV file, and a JSON file that says how it was made. Keeps finished runs until then."""

import csv
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from occlupose.training.card import commit

COMMIT = commit(*Path(__file__).parent.glob("*.py"))
"""At the start of the benchmark."""

PACKAGES = ("occlupose", "torch", "numpy", "opencv-python-headless", "onnxruntime", "ai-edge-litert")
"""Whose versions are written."""

ROW_OPTIONS = re.compile(r" --(?:tables|models|parts|variants|seeds)(?: (?!--)\S+)+")
"""Options that only choose rows, with their values."""


def processor() -> str:
    """The processor's name, if the system has it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def installed(package: str) -> str:
    """Its version; - without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def write(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, seed: int | str = 0, grows: bool = False
) -> None:
    """Writes the table, and how it was made (see `describe`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    describe(path, seed=seed, grows=grows)


def describe(path: Path, *, seed: int | str = 0, grows: bool = False) -> None:
    """Writes NAME.json for a table: command, machine, versions, seed, and commit.

    Arguments:
        seed: of the run.
        grows: the rows come from several runs of the command. The commits of all are listed, and options that only
            choose rows are left out.
    """
    arguments = [f"<{Path(word).name}>" if os.sep in word else word for word in sys.argv[1:]]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
    file = path.with_suffix(".json")
    before = json.loads(file.read_text())["commit"].split(", ") if grows and file.exists() else []
    details = {
        "command": ROW_OPTIONS.sub("", command) if grows else command,
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "versions": {name: installed(name) for name in PACKAGES},
        "commit": ", ".join(dict.fromkeys([*before, COMMIT])),
        "seed": seed,
    }
    file.write_text(json.dumps(details, indent=1) + "\n")


@dataclass(frozen=True)
class Runs:
    """Finished runs with this code: commit, key and values of each, appended to a file."""

    path: Path
    commit: str

    def done(self) -> dict[str, dict[str, float]]:
        """The runs in the file."""
        lines = csv.reader(self.path.read_text().splitlines()) if self.path.exists() else ()
        whole = (row for row in lines if len(row) == 3 and row[2].endswith("}"))  # none that was cut off
        return {key: json.loads(value) for commit, key, value in whole if commit == self.commit}

    def once(self, key: str, action: Callable[[], dict[str, float]]) -> None:
        """Measures and appends a run that is not in the file yet."""
        if key not in self.done():
            value = json.dumps(action())
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerow([self.commit, key, value])
