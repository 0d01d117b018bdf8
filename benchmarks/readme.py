"""Puts the measured figures into the pages: every table between `<!-- NAME table -->` and `<!-- end -->` of the README
and the docs.

    python benchmarks/readme.py

A test holds the pages against the figures.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import tyro

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PLACE = re.compile(r"(<!-- ([\w ]+) table -->\n).*?(<!-- end -->)", re.DOTALL)

Row = dict[str, str]


def lifting() -> str:
    """The error of each method under each occlusion: of the joints that are missing, or of all where none is."""
    rows = _rows("lifting")
    told = [row for row in rows if row["joints"] == ("all" if row["condition"].endswith("all present") else "missing")]
    return pivot([row for row in told if row["method"] != "before"], "condition", "method", "p_mpjpe_mm") + _how(
        "lifting"
    )


def pipeline() -> str:
    """The time of each stage, for each number of people."""
    rows = _rows("pipeline")
    number, stage, time, *_ = rows[0]
    return pivot([row for row in rows if row[number].isdigit()], stage, number, time) + _how("pipeline")


PAPER_TABLE2 = {
    "3D TCN": (54.0, 42.1),
    "+ 2D TCN": (51.7, 40.5),
    "+ occlusion-aware": (46.3, 35.4),
    "+ symmetry": (45.8, 34.8),
    "+ adversarial": (45.1, 34.3),
    "+ pose regularisation": (44.8, 34.1),
    "+ augmentation": (42.9, 32.8),
}
"""MPJPE and P-MPJPE on Human3.6M that OANet's table 2 prints, mm."""


OANET_ERRORS = {"mpjpe_mm": "MPJPE", "p_mpjpe_mm": "P-MPJPE", "occluded_mpjpe_mm": "MPJPE, hidden joints"}
"""Columns of the OANet tables, and what a page calls them."""


def oanet_table2() -> str:
    """What each part of OANet adds: mean and standard deviation over seeds, and the paper's own figures."""
    seeds = gathered(_rows("oanet_table2"), ("row",))
    lines = [
        [name, *spread(seeds[name,]), *(f"{value:.1f}" for value in paper)]
        for name, paper in PAPER_TABLE2.items()
        if (name,) in seeds
    ]
    return _lined(["", *OANET_ERRORS.values(), "paper MPJPE", "paper P-MPJPE"], lines) + _how("oanet_table2")


def oanet_tried() -> str:
    """Other weights and settings, beside the run that they change, which is a cell of table 1 too."""
    base = [
        {"change": "nothing"} | row
        for row in _rows("oanet_table1")
        if (row["length"], row["threshold"]) == ("64", "0.3")
    ]
    seeds = gathered([*base, *_rows("oanet_tried")], ("change",))
    return _lined(["", *OANET_ERRORS.values()], [[*change, *spread(runs)] for change, runs in seeds.items()]) + _how(
        "oanet_tried"
    )


def oanet_table1() -> str:
    """MPJPE of each sequence length and threshold, of hidden joints behind it."""
    rows = _rows("oanet_table1")
    cells = {
        (row["length"], row["threshold"]): f"{float(row['mpjpe_mm']):.1f} ({float(row['occluded_mpjpe_mm']):.1f})"
        for row in rows
    }
    lengths, thresholds = (sorted({row[key] for row in rows}, key=float) for key in ("length", "threshold"))
    lines = [[length, *(cells.get((length, threshold), "") for threshold in thresholds)] for length in lengths]
    return _lined(["frames", *(f"b = {threshold}" for threshold in thresholds)], lines) + _how("oanet_table1")


def oanet_semi() -> str:
    """What video without 3D adds to a share of the clips with 3D."""
    seeds = gathered(_rows("oanet_semi"), ("labelled", "two_d_only"))
    lines = [[f"{float(share):.0%}", two_d, *spread(errors)] for (share, two_d), errors in sorted(seeds.items())]
    return _lined(["with 3D", "2D of the others", *OANET_ERRORS.values()], lines) + _how("oanet_semi")


def gathered(
    rows: list[Row], keys: tuple[str, ...], figures: tuple[str, ...] = tuple(OANET_ERRORS)
) -> dict[tuple[str, ...], list[list[float]]]:
    """The figures of each run, by what they have in common."""
    runs: dict[tuple[str, ...], list[list[float]]] = {}
    for row in rows:
        runs.setdefault(tuple(row[key] for key in keys), []).append([float(row[name]) for name in figures])
    return runs


def spread(runs: list[list[float]], digits: int = 1) -> list[str]:
    """Mean and standard deviation of each figure; the mean alone of a single run."""
    deviation = [f" ± {stdev(figures):.{digits}f}" if len(runs) > 1 else "" for figures in zip(*runs, strict=True)]
    return [
        f"{mean(figures):.{digits}f}{apart}" for figures, apart in zip(zip(*runs, strict=True), deviation, strict=True)
    ]


def estimators() -> str:
    """The sizes of estimators as they are, and beside published figures as those are counted."""
    lines = [
        [
            row["model"],
            row["parameters_m"],
            row["multiply_adds_g"],
            row["source"],
            row["custom"],
            _beside(row, "parameters"),
            _beside(row, "multiply_adds"),
        ]
        for row in _rows("estimators")
    ]
    columns = [
        "",
        "M parameters",
        "G multiply-adds",
        "published by",
        "counted",
        "M parameters, ours / theirs",
        "G, ours / theirs",
    ]
    return _lined(columns, lines) + _how("estimators")


def _beside(row: Row, what: str) -> str:
    unit = {"parameters": "m", "multiply_adds": "g"}[what]
    ours = row[f"{what}_so_{unit}"]
    theirs = row[f"{what}_published_{unit}"]
    return f"{ours} / {theirs} = {row[f'{what}_ratio']}" if theirs else ""


LJOF_SCORES = {"ap": "AP", "ap_occluded": "AP, hidden joints", "ar": "AR"}
"""Columns of the LJOF tables, and what a page calls them."""


LJOF_GRID = {
    f"LJA, number {number}, size {size}": (number, size)
    for number in ("0.15", "0.30", "0.45")
    for size in ("0.10", "0.20", "0.30")
}
"""Variants of the LJOF ablation that differ in how many blocks of which size there are; one of them is called LJA
there.
"""

LJOF_LONG = ", from the start"
"""How variants end that are whole trainings."""


def ljof_ablation() -> str:
    """What each part of LJOF buys, in percent: mean and standard deviation over seeds."""
    rows = [
        row
        for row in _rows("ljof_ablation")
        if row["variant"] not in LJOF_GRID and not row["variant"].endswith(LJOF_LONG)
    ]
    seeds = gathered(rows, ("estimator", "variant"), tuple(LJOF_SCORES))
    estimators = list(dict.fromkeys(estimator for estimator, _ in seeds))
    names = sorted(seeds, key=lambda name: (estimators.index(name[0]), name[1] != "baseline"))
    lines = [
        [*name, str(len(seeds[name])), *spread([[100 * value for value in run] for run in seeds[name]], 2)]
        for name in names
    ]
    return _lined(["estimator", "", "seeds", *LJOF_SCORES.values()], lines) + _how("ljof_ablation")


def ljof_long() -> str:
    """Whole trainings with LJOF and without."""
    rows = [row for row in _rows("ljof_ablation") if row["variant"].endswith(LJOF_LONG)]
    lines = [
        [
            row["estimator"],
            row["variant"].removesuffix(LJOF_LONG),
            *(f"{100 * float(row[column]):.2f}" for column in LJOF_SCORES),
        ]
        for row in rows
    ]
    return _lined(["estimator", "from the start", *LJOF_SCORES.values()], lines) + _how("ljof_ablation")


def ljof_grid() -> str:
    """AP, and AP of hidden joints, by how many blocks there are and how large they are; of one estimator."""
    seeds = gathered(
        [row for row in _rows("ljof_ablation") if row["estimator"] == "simple_baseline_small"],
        ("variant",),
        tuple(LJOF_SCORES),
    )
    cells = {}
    for variant, place in LJOF_GRID.items():
        runs = seeds.get((variant,)) or (seeds.get(("LJA",)) if place == ("0.15", "0.20") else None)
        cells[place] = (
            ""
            if not runs
            else "{:.2f} ({:.2f})".format(*(100 * mean(run[column] for run in runs) for column in (0, 1)))
        )
    numbers, sizes = (list(dict.fromkeys(place[axis] for place in cells)) for axis in (0, 1))
    lines = [[number, *(cells[number, size] for size in sizes)] for number in numbers]
    return _lined(["number", *(f"size {size}" for size in sizes)], lines) + _how("ljof_ablation")


HUPOR_SCORES = {
    "pck_rel": "PCK, relative",
    "pck_abs": "PCK, absolute",
    "pck_occ": "PCK, hidden joints",
    "mpjpe_mm": "MPJPE, mm",
}
"""Columns of the HUPOR table, and what a page calls them."""

PAPER_HUPOR = {
    "detection only": ("74", ""),
    "+ DSED": ("78.77", "58.98"),
    "DSED, blocks 2-4": ("75.07", "54.83"),
    "DSED, block 4": ("75.11", "54.81"),
    "DSED, blocks 1+4": ("77.95", "57.97"),
    "+ DSED + RefineNet, MLP": ("83.9", ""),
    "+ DSED + RefineNet, GCN": ("84.3", ""),
}
"""PCK on MuPoTS-3D, relative and of hidden joints: tables 4 and 5 of HUPOR's supplement, which are of different
settings; of detection alone what its authors' code says of itself."""


def hupor_ablation() -> str:
    """What each part of HUPOR buys: mean and standard deviation over seeds, and the paper's own figures on another
    dataset.
    """
    seeds = gathered(_rows("hupor_ablation"), ("variant",), tuple(HUPOR_SCORES))
    lines = [[name, str(len(runs)), *spread(runs), *PAPER_HUPOR.get(name, ("", ""))] for (name,), runs in seeds.items()]
    return _lined(["", "seeds", *HUPOR_SCORES.values(), "paper, relative", "paper, hidden"], lines) + _how(
        "hupor_ablation"
    )


TABLES: dict[str, Callable[[], str]] = {
    "lifting": lifting,
    "pipeline": pipeline,
    "whole lifting": lambda: whole(_rows("lifting")) + _how("lifting"),
    "whole lifting_frames": lambda: whole(_rows("lifting_frames")) + _how("lifting_frames"),
    "whole pipeline": lambda: whole(_rows("pipeline")) + _how("pipeline"),
    "parts of oanet_table2": oanet_table2,
    "changes of oanet_tried": oanet_tried,
    "grid of oanet_table1": oanet_table1,
    "shares of oanet_semi": oanet_semi,
    "whole training": lambda: whole(_rows("training")) + _how("training"),
    "whole cylinders": lambda: whole(_rows("cylinders")) + _how("cylinders"),
    "whole ssf": lambda: whole(_rows("ssf")) + _how("ssf"),
    "whole hidden": lambda: whole(_rows("hidden")) + _how("hidden"),
    "whole live": lambda: whole(_rows("live")) + _how("live"),
    "whole pipeline_one_thread": lambda: whole(_rows("pipeline_one_thread")) + _how("pipeline_one_thread"),
    "whole retargeting": lambda: whole(_rows("retargeting")) + _how("retargeting"),
    "whole occlusion_shares": lambda: whole(_rows("occlusion_shares")) + _how("occlusion_shares"),
    "whole occlusion_crowds": lambda: whole(_rows("occlusion_crowds")) + _how("occlusion_crowds"),
    "whole occlusion_agreement": lambda: whole(_rows("occlusion_agreement")) + _how("occlusion_agreement"),
    "sizes of estimators": estimators,
    "parts of ljof_ablation": ljof_ablation,
    "grid of ljof_ablation": ljof_grid,
    "long of ljof_ablation": ljof_long,
    "whole ljof_blocked": lambda: whole(_rows("ljof_blocked")) + _how("ljof_blocked"),
    "whole ljof_training": lambda: whole(_rows("ljof_training")) + _how("ljof_training"),
    "whole ljof_inference": lambda: whole(_rows("ljof_inference")) + _how("ljof_inference"),
    "whole ljof_front_ends": lambda: whole(_rows("ljof_front_ends")) + _how("ljof_front_ends"),
    "parts of hupor_ablation": hupor_ablation,
    "whole hupor_grouping": lambda: whole(_rows("hupor_grouping")) + _how("hupor_grouping"),
    "whole hupor_speed": lambda: whole(_rows("hupor_speed")) + _how("hupor_speed"),
    "whole synth": lambda: whole(_rows("synth")) + _how("synth"),
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
    lines = [
        list(rows[0]),
        [_alignment([row[column] for row in rows]) for column in rows[0]],
        *(row.values() for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _lined(columns: list[str], lines: list[list[str]]) -> str:
    return whole([dict(zip(columns, line, strict=True)) for line in lines])


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
