"""Makes the picture of docs/hupor.md: synthetic scenes as HUPOR's networks see them, and whom they find.

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

PICTURE = Path(__file__).parents[1] / "images" / "hupor_strip.png"
COLUMNS = (
    "visible, by the detector",
    "occluded, by the reasoner",
    "both",
    "people",
    "from the front, m",
    "from above, m",
)


def main(count: int = 5, seed: int = 42) -> None:
    """Draw the strip: so many scenes one after the other, nobody chosen."""
    source = SceneSource.load(SceneSettings(seed=seed, people=(2, 4), width=320, height=200))
    hupor = load()
    figure, axes = plt.subplots(count, len(COLUMNS), figsize=(15, 1.75 * count), layout="constrained")
    for row, sample in zip(
        axes, islice(generate_scenes(source, images=ImageSettings(), workers=0), count), strict=True
    ):
        assert sample.image is not None
        scene(row, sample.image, Camera.from_matrix(sample.record.camera, *sample.image.shape[1::-1]), hupor)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=10)
    figure.savefig(PICTURE, dpi=80)


def scene(row: np.ndarray, picture: RGB, camera: Camera, hupor: HUPORPredictor) -> None:
    """One row."""
    seen = hupor.predict_maps(picture)
    found = hupor(picture, camera)
    for axis, maps in zip(row, (seen.visible, seen.hidden, seen.combined), strict=False):
        axis.imshow(_glow(seen.input, maps.heatmaps[0]))
    drawn = cv2.resize(picture, None, fx=2, fy=2)
    overlay.draw_people(
        drawn, (2 * found.xy + 0.5).astype(np.float32), found.state, np.arange(1, len(found) + 1), MPI15
    )
    row[3].imshow(drawn)
    for axis in row[:4]:
        axis.set_axis_off()
    _space(row[4], found, (0, 1))
    _space(row[5], found, (0, 2))
    row[4].invert_yaxis()


def _glow(picture: RGB, maps: Float[Tensor, "joint y x"]) -> np.ndarray:
    """The picture, darkened, under the highest of all maps."""
    light = cv2.resize(maps.amax(0).clamp(0, 1).cpu().numpy(), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = plt.get_cmap("inferno")(light)[..., :3]
    return np.clip(0.35 * picture / 255 + colours, 0, 1)


def _space(axis: Axes, found: Detections, shown: tuple[int, int]) -> None:
    """Everybody's limbs along two axes of the camera's frame: full where both ends are visible."""
    across, up = shown
    for person, (xyz, state) in enumerate(zip(found.xyz, found.state, strict=True)):
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
