"""Draws the diagram of docs/benchmarks.md of how often errors are within the stated standard deviations.

python docs/figures/uncertainty_plot.py
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
TARGETS = {"within_1_sigma": (68, 5), "within_2_sigma": (95, 3)}
"""Share in percent that is right, and how far off it may be."""

MIN_ERRORS = 1000


def main() -> None:
    """A panel for each state: the shares by kind of motion, offline, with the noise of `movenet`."""
    with (ROOT / "benchmarks" / "results" / "lifting_uncertainty.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["delay_s"] == "offline" and row["input"] == "noisy"]
    states = list(dict.fromkeys(row["state"] for row in rows))
    figure, axes = plt.subplots(1, len(states), figsize=(11, 3.6), sharey=True, layout="constrained")
    for axis, state in zip(axes, states, strict=True):
        own = [row for row in rows if row["state"] == state and float(row["n"]) > MIN_ERRORS]
        kinds = list(dict.fromkeys(row["kind"] for row in own))
        for name, (target, tolerance) in TARGETS.items():
            axis.axhspan(target - tolerance, target + tolerance, color="grey", alpha=0.2)
            for direction, marker in zip("xyz", "osv", strict=True):
                shares = {row["kind"]: 100 * float(row[name]) for row in own if row["axis"] == direction}
                label = f"{direction}, {name[7]} σ"
                axis.plot([shares[kind] for kind in kinds], marker, label=label, alpha=0.8)
        axis.set(title=state, ylim=(20, 100))
        axis.set_xticks(range(len(kinds)), kinds, rotation=60, ha="right", fontsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("errors within, %")
    axes[0].legend(fontsize=7, ncols=2)
    figure.savefig(ROOT / "docs" / "images" / "lifting_uncertainty.png", dpi=110)


if __name__ == "__main__":
    main()
