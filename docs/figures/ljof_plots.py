"""Draws the plots of docs/ljof.md from the measured tables.

python docs/figures/ljof_plots.py
"""

import csv
import sys
from pathlib import Path
from statistics import mean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "benchmarks"))
from tables import LJOF_GRID, LJOF_LONG, LJOF_SCORES, group_runs  # noqa: E402


def rows() -> list[dict[str, str]]:
    """The rows of the table."""
    with (RESULTS / "ljof_ablation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def parts() -> None:
    """The difference of every run to the mean of the baseline, in points."""
    short = [row for row in rows() if row["variant"] not in LJOF_GRID and not row["variant"].endswith(LJOF_LONG)]
    seeds = group_runs(short, ("estimator", "variant"), tuple(LJOF_SCORES))
    estimators = list(dict.fromkeys(estimator for estimator, _ in seeds))
    variants = list(dict.fromkeys(variant for _, variant in seeds))
    figure, axes = plt.subplots(1, len(LJOF_SCORES), figsize=(11, 3.6), sharey=True, layout="constrained")
    for column, (axis, label) in enumerate(zip(axes, LJOF_SCORES.values(), strict=True)):
        for estimator in estimators:
            base = mean(run[column] for run in seeds[estimator, "baseline"])
            points = [
                (100 * (run[column] - base), name) for name in variants for run in seeds.get((estimator, name), [])
            ]
            axis.plot([value for value, _ in points], [name for _, name in points], "o", alpha=0.7, label=estimator)
        axis.axvline(0, color="grey", linewidth=1)
        axis.set(title=label, xlabel="points above the baseline's mean")
        axis.grid(alpha=0.3)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8)
    figure.savefig(IMAGES / "ljof_ablation.png", dpi=110)


def grid() -> None:
    """AP and AP of occluded joints by size of the blocks, a line for each number of them; of the smaller estimator."""
    own = [row for row in rows() if row["estimator"] == "simple_baseline_small"]
    seeds = group_runs(own, ("variant",), tuple(LJOF_SCORES))
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
    for column, (axis, label) in enumerate(zip(axes, LJOF_SCORES.values(), strict=False)):
        for number in dict.fromkeys(number for number, _ in LJOF_GRID.values()):
            line = {float(size): name for name, (of, size) in LJOF_GRID.items() if of == number}
            runs = [seeds.get((name,), seeds["LJA",]) for name in line.values()]
            axis.plot(
                list(line), [100 * mean(run[column] for run in each) for each in runs], "o-", label=f"number {number}"
            )
        axis.axhline(
            100 * mean(run[column] for run in seeds["baseline",]), color="grey", linestyle="--", label="no blocks"
        )
        axis.set(title=label, xlabel="side of a block / side of the crop", xticks=(0.1, 0.2, 0.3))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(IMAGES / "ljof_grid.png", dpi=110)


if __name__ == "__main__":
    parts()
    grid()
