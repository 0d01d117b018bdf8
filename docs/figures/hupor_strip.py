"""Draws the figure of docs/hupor.md: maps of HUPOR's networks for synthetic scenes, and the people in them.

python docs/figures/hupor_strip.py
"""

from itertools import islice
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.media import RGB
from occlupose.methods.hupor.predict import HUPORPredictor, load
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.synth.generate import ImageSettings, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.viewer import overlay

FIGURE = Path(__file__).parents[1] / "images" / "hupor_strip.png"
COLUMNS = (
    "visible, by the detector",
    "occluded, by the reasoner",
    "both",
    "people",
    "from the front, m",
    "from above, m",
)


def main(count: int = 5, seed: int = 42) -> None:
    """Draws the first scenes, not selected."""
    source = SceneSource.load(SceneSettings(seed=seed, people=(2, 4), width=320, height=200))
    hupor = load()
    figure, axes = plt.subplots(count, len(COLUMNS), figsize=(15, 1.75 * count), layout="constrained")
    for row, sample in zip(
        axes, islice(generate_scenes(source, images=ImageSettings(), workers=0), count), strict=True
    ):
        assert sample.image is not None
        draw_scene(row, sample.image, Camera.from_matrix(sample.record.camera, *sample.image.shape[1::-1]), hupor)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=10)
    figure.savefig(FIGURE, dpi=80)


def draw_scene(row: np.ndarray, image: RGB, camera: Camera, hupor: HUPORPredictor) -> None:
    """One row."""
    output = hupor.predict_maps(image)
    people = hupor(image, camera)
    for axis, maps in zip(row, (output.visible, output.hidden, output.combined), strict=False):
        axis.imshow(_glow(output.input, maps.heatmaps[0]))
    drawn = cv2.resize(image, None, fx=2, fy=2)
    overlay.draw_people(
        drawn, (2 * people.xy + 0.5).astype(np.float32), people.state, np.arange(1, len(people) + 1), MPI15
    )
    row[3].imshow(drawn)
    for axis in row[:4]:
        axis.set_axis_off()
    _draw_limbs(row[4], people, (0, 1))
    _draw_limbs(row[5], people, (0, 2))
    row[4].invert_yaxis()


def _glow(image: RGB, maps: Float[Tensor, "joint y x"]) -> np.ndarray:
    """The darkened image under the maximum of all maps."""
    light = cv2.resize(maps.amax(0).clamp(0, 1).cpu().numpy(), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = plt.get_cmap("inferno")(light)[..., :3]
    return np.clip(0.35 * image / 255 + colours, 0, 1)


def _draw_limbs(axis: Axes, people: Detections, axes: tuple[int, int]) -> None:
    """Limbs along two axes of the camera frame: solid where both joints are visible."""
    across, up = axes
    for person, (xyz, state) in enumerate(zip(people.xyz, people.state, strict=True)):
        colour = f"C{person}"
        for limb in MPI15.limbs:
            ends = list(MPI15.index(*limb))
            style = "-" if (state[ends] == VISIBLE).all() else ":"
            axis.plot(xyz[ends, across], xyz[ends, up], style, color=colour, linewidth=1.6)
        hidden = state == OCCLUDED
        axis.plot(xyz[hidden, across], xyz[hidden, up], "o", color=colour, markersize=3, markerfacecolor="white")
    axis.set_aspect("equal", adjustable="datalim")
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
