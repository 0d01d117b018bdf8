"""Draws the figures of docs/hupor.md: maps of HUPOR's networks, and the people, for synthetic scenes and for frames of
the demonstration clip.

python docs/figures/hupor_strip.py
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from occlupose.assets import demo_clip
from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.media import RGB, open_media
from occlupose.methods.hupor.predict import HUPORPredictor, load
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.synth.generate import ImageSettings, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.viewer import overlay

IMAGES = Path(__file__).parents[1] / "images"
COLUMNS = (
    "visible, by the detector",
    "occluded, by the reasoner",
    "both",
    "people",
    "from the front, m",
    "from above, m",
)


def main(count: int = 5, seed: int = 42) -> None:
    """Draws the first scenes, and frames at equal distances in the clip: neither is selected."""
    hupor = load()
    draw(IMAGES / "hupor_strip.png", scenes(count, seed), hupor)
    draw(IMAGES / "hupor_photographs.png", frames(count), hupor)


def scenes(count: int, seed: int) -> Iterator[tuple[RGB, Camera]]:
    """Synthetic scenes with their cameras."""
    source = SceneSource.load(SceneSettings(seed=seed, people=(2, 4), width=512, height=320))
    for sample in islice(generate_scenes(source, images=ImageSettings(), workers=0), count):
        assert sample.image is not None
        yield sample.image, Camera.from_matrix(sample.record.camera, *sample.image.shape[1::-1])


def frames(count: int) -> Iterator[tuple[RGB, Camera]]:
    """Frames in the middle of equal parts of the clip, with an assumed camera."""
    clip = open_media(demo_clip())
    camera = Camera.from_fov(clip.width, clip.height, assumed=True)
    images = [frame.image for frame in clip]
    for part in range(count):
        yield images[(2 * part + 1) * len(images) // (2 * count)], camera


def draw(path: Path, images: Iterable[tuple[RGB, Camera]], hupor: HUPORPredictor) -> None:
    """A row for each image."""
    shown = list(images)
    figure, axes = plt.subplots(len(shown), len(COLUMNS), figsize=(15, 1.75 * len(shown)), layout="constrained")
    for row, (image, camera) in zip(axes, shown, strict=True):
        draw_scene(row, image, camera, hupor)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=10)
    figure.savefig(path, dpi=80)


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
