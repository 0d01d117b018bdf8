"""Tables of results: a CSV file, and beside it how it was made."""

import csv
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from occlupose.training.card import commit

COMMIT = commit(*Path(__file__).parent.glob("*.py"))
"""As it was when the benchmark began."""


def processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, seed: int | str = 0) -> None:
    """Writes the table, and how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    describe(path, seed=seed)


def describe(path: Path, *, seed: int | str = 0, commits: Sequence[str] = (COMMIT,)) -> None:
    """Writes NAME.json beside a table: command, machine, versions, seed, and the commits that its rows come from."""
    arguments = [f"<{Path(word).name}>" if os.sep in word else word for word in sys.argv[1:]]
    how = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "versions": {name: version(name) for name in ("occlupose", "torch", "numpy", "opencv-python-headless", "ai-edge-litert")},
        "commit": ", ".join(commits),
        "seed": seed,
    }
    path.with_suffix(".json").write_text(json.dumps(how, indent=1) + "\n")
