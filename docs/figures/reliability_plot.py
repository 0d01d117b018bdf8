"""Draws the reliability diagram of docs/front-ends.md from the measured table.

python docs/figures/reliability_plot.py
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FRONTENDS = ("movenet-occlusion", "movenet", "movenet-multipose")
MIN_JOINTS = 20
"""Bins with fewer joints are left out."""


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """The share of visible joints by confidence, a panel for each front end, with the shipped threshold."""
    rows = read("reliability")
    shipped = {row["frontend"]: float(row["min_confidence"]) for row in read("reliability_thresholds")}
    figure, axes = plt.subplots(1, len(FRONTENDS), figsize=(8, 3.4), sharey=True, layout="constrained")
    for axis, frontend in zip(axes, FRONTENDS, strict=True):
        for data in ("synthetic", "photographs"):
            own = [row for row in rows if (row["frontend"], row["data"]) == (frontend, data)]
            own = [row for row in own if int(row["joints"]) >= MIN_JOINTS]
            middle = [float(row["score"]) + 0.05 for row in own]
            axis.plot(middle, [100 * float(row["visible"]) for row in own], "o-", label=data)
        axis.axvline(shipped[frontend], color="grey", linestyle="--", label="visible from here on")
        axis.set(title=frontend, xlabel="confidence", xlim=(0, 1), ylim=(0, 100))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("visible joints, %")
    axes[0].legend(fontsize=8)
    figure.savefig(ROOT / "docs" / "images" / "reliability.png", dpi=110)


if __name__ == "__main__":
    main()
