"""Draws the plots of docs/oanet.md from the results.

python docs/figures/oanet_plots.py
"""

import csv
import sys
from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import OANET_ERRORS, PAPER_TABLE2, group_runs  # noqa: E402


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return mean(values), stdev(values) if len(values) > 1 else 0.0


def draw_parts() -> None:
    """Errors of the rows of table 2, and the paper's."""
    seeds = group_runs(rows("oanet_table2"), ("row",))
    names = [name for name in PAPER_TABLE2 if (name,) in seeds]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for column, label in enumerate(OANET_ERRORS.values()):
        spread = [mean_and_spread([errors[column] for errors in seeds[name,]]) for name in names]
        axes[0].errorbar(
            [value for value, _ in spread],
            names,
            xerr=[apart for _, apart in spread],
            marker="o",
            capsize=3,
            label=label,
        )
    for column, label in enumerate(("MPJPE", "P-MPJPE")):
        axes[1].plot([PAPER_TABLE2[name][column] for name in names], names, marker="o", label=label)
    for axis, title, corner in zip(
        axes, ("here: CMU, reduced size", "paper: Human3.6M"), ("upper right", "upper left"), strict=True
    ):
        axis.set(title=title, xlabel="mm")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc=corner)
    axes[0].invert_yaxis()
    figure.savefig(IMAGES / "oanet_table2.png", dpi=110)


def draw_grid() -> None:
    """MPJPE by sequence length, a line for each threshold."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    table = rows("oanet_table1")
    for axis, name in zip(axes, ("mpjpe_mm", "occluded_mpjpe_mm"), strict=True):
        for threshold in sorted({row["threshold"] for row in table}, key=float):
            line = sorted((int(row["length"]), float(row[name])) for row in table if row["threshold"] == threshold)
            axis.plot(
                [length for length, _ in line], [error for _, error in line], marker="o", label=f"b = {threshold}"
            )
        axis.set(title=OANET_ERRORS[name], xlabel="frames of a sequence", ylabel="mm", xscale="log")
        lengths = sorted({int(row["length"]) for row in table})
        axis.set_xticks(lengths, list(map(str, lengths)), minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(IMAGES / "oanet_table1.png", dpi=110)


def draw_semi() -> None:
    """MPJPE by the fraction of clips with 3D, with and without the others' 2D."""
    seeds = group_runs(rows("oanet_semi"), ("labelled", "two_d_only"))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (column, label) in zip(axes, enumerate(OANET_ERRORS.values()), strict=False):
        for two_d, name in (("no", "3D alone"), ("yes", "and the others' 2D")):
            chosen = {float(fraction): runs for (fraction, kind), runs in seeds.items() if kind == two_d}
            fractions = sorted(chosen)
            spread = [mean_and_spread([errors[column] for errors in chosen[fraction]]) for fraction in fractions]
            centre, apart = zip(*spread, strict=True)
            axis.errorbar([100 * fraction for fraction in fractions], centre, apart, marker="o", capsize=3, label=name)
        axis.set(title=label, xlabel="% of the clips with 3D", ylabel="mm")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(IMAGES / "oanet_semi.png", dpi=110)


if __name__ == "__main__":
    for draw, name in ((draw_parts, "oanet_table2"), (draw_grid, "oanet_table1"), (draw_semi, "oanet_semi")):
        if (RESULTS / f"{name}.csv").exists():
            draw()
