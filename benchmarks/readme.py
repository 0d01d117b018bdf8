"""Puts the measured figures into the pages: every table between `<!-- NAME table -->` and `<!-- end -->` of the README and the docs.

    python benchmarks/readme.py

A test holds the pages against the figures.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import tyro

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PLACE = re.compile(r"(<!-- ([\w ]+) table -->\n).*?(<!-- end -->)", re.DOTALL)

Row = dict[str, str]


def lifting() -> str:
    """The error of each method under each occlusion: of the joints that are missing, or of all where none is."""
    rows = _rows("lifting")
    told = [row for row in rows if row["joints"] == ("all" if row["condition"] == "all present" else "missing")]
    return pivot(told, "condition", "method", "p_mpjpe_mm") + _how("lifting")


def pipeline() -> str:
    """The time of each stage, for each number of people."""
    rows = _rows("pipeline")
    number, stage, time, *_ = rows[0]
    return pivot([row for row in rows if row[number].isdigit()], stage, number, time) + _how("pipeline")


TABLES: dict[str, Callable[[], str]] = {
    "lifting": lifting,
    "pipeline": pipeline,
    "whole lifting": lambda: whole(_rows("lifting")) + _how("lifting"),
    "whole lifting_frames": lambda: whole(_rows("lifting_frames")) + _how("lifting_frames"),
    "whole live": lambda: whole(_rows("live")) + _how("live"),
    "whole pipeline": lambda: whole(_rows("pipeline")) + _how("pipeline"),
    "whole pipeline_one_thread": lambda: whole(_rows("pipeline_one_thread")) + _how("pipeline_one_thread"),
}
"""By the name that a page asks for."""


def fill(page: str) -> str:
    """The page with its tables as they are measured now.

    Raises:
        KeyError: the page asks for a table that there is not.
    """

    def table(place: re.Match[str]) -> str:
        begin, name, end = place.groups()
        measured = (RESULTS / f"{name.split()[-1]}.csv").exists()
        return f"{begin}{TABLES[name]() if measured else 'Not measured yet.'}\n{end}"

    return PLACE.sub(table, page)


def pivot(rows: list[Row], down: str, across: str, value: str) -> str:
    """One line for each value of the column `down`, one column for each of `across`; one decimal of the numbers."""
    values = {(row[down], row[across]): f"{float(row[value]):.1f}" for row in rows}
    names, columns = (list(dict.fromkeys(row[key] for row in rows)) for key in (down, across))
    return whole([{down: name} | {column: values.get((name, column), "") for column in columns} for name in names])


def whole(rows: list[Row]) -> str:
    """The rows as a Markdown table; numbers to the right."""
    lines = [list(rows[0]), [_alignment([row[column] for row in rows]) for column in rows[0]], *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _alignment(cells: list[str]) -> str:
    return "---:" if all(re.fullmatch(r"[-\d.]*", cell) for cell in cells) else "---"


def _rows(name: str) -> list[Row]:
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _how(name: str) -> str:
    how = json.loads((RESULTS / f"{name}.json").read_text())
    return f"\n\n`{how['command']}`, on {how['machine']}."


def main() -> None:
    """Fills the tables of all pages."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page = path.read_text(encoding="utf-8")
        if (filled := fill(page)) != page:
            path.write_text(filled, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    tyro.cli(main)
