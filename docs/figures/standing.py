"""Draws the picture of docs/kinematics.md of the demonstration's people before and after skeletons are fitted to them.

occlupose demo
occlupose run ~/.cache/occlupose/pose2sim-0.9.8/cam01.mp4 -o out/standing --keep-lifted
python docs/figures/standing.py out/standing/poses.npz
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from occlupose import Poses

OUTPUT = Path(__file__).parents[1] / "images" / "standing.png"
VIEWS = {"from the side": (1, 2), "from above": (0, 1)}
"""Axes of the world: x to the right, y away from the camera, z up; metres."""

COLOURS = ("tab:orange", "tab:green", "tab:blue", "tab:red")
FRAMES = 3


def main(path: Path) -> None:
    """Rows: views; columns: the lifted joints, and the skeletons."""
    poses = Poses.load(path)
    assert poses.world is not None and poses.xyz_lifted is not None and poses.xyz is not None
    frames = np.linspace(0, len(poses) - 1, FRAMES).round().astype(int)
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), sharex="row", sharey="row", layout="constrained")
    columns = {"as lifted": poses.xyz_lifted, "as skeletons on the floor": poses.xyz}
    for column, (title, xyz) in enumerate(columns.items()):
        places = poses.world.to_world(xyz.astype(float))
        for row, (view, plane) in enumerate(VIEWS.items()):
            axis = axes[row, column]
            for person, colour in zip(range(len(poses.track_id)), COLOURS, strict=False):
                for number, frame in enumerate(frames):
                    shade = 0.25 + 0.75 * (number + 1) / FRAMES
                    for start, stop in poses.skeleton.limbs:
                        ends = list(poses.skeleton.index(start, stop))
                        axis.plot(*places[frame, person, ends][:, plane].T, color=colour, alpha=shade, lw=1.5)
            if plane[1] == 2:
                axis.axhline(0, color="grey", lw=1)
            axis.set(title=f"{view}, {title}", xlabel=f"{'xyz'[plane[0]]}, m", aspect="equal")
            axis.grid(alpha=0.3)
        for row, plane in enumerate(VIEWS.values()):
            axes[row, 0].set_ylabel(f"{'xyz'[plane[1]]}, m")
    figure.savefig(OUTPUT, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
