"""The region of a person as an oriented circle, and the upright crop of it that a network receives.

Networks differ in how crops, and the heatmaps predicted from them, are aligned with pixels. Cell i of a map lies at
pixel `step i + first` of its crop; f is the crop's side / the map's, and W is a side of the crop:

| grid | step | first | edges of the padded box in the crop, px | used by |
| --- | --- | --- | --- | --- |
| centres | f | (f - 1) / 2 | -1/2 and W - 1/2, the edges of the crop | us: a mirrored crop has mirrored maps |
| stride | f | 0 | 0 and W | Xiao et al. 2018 ("Simple Baselines"), HRNet, MMPose after them |
| corners | (W - 1) / (map's side - 1) | 0 | 0 and W - 1 | UDP (Huang et al. 2020), ViTPose |

Weights trained on one grid need crops of that grid.

A region is an oriented circle, given by four numbers `(centre x, centre y, top x, top y)`: the top is the point of the
circle in the direction of the head. For a bounding box it is the circle around its centre with the height of the box;
for BlazePose the circle around the hips (Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking",
section 2.2).

Coordinates in this file are pixels with pixel centres at integers; matrices are 2x3 and apply to columns (x, y, 1).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from jaxtyping import Float

from occlupose.bounds import Bounded, Count

Regions = Float[np.ndarray, "person 4"]
Grid = Literal["centres", "stride", "corners"]

HALF_PIXEL = 0.5
"""COCO measures boxes from the edge of the image, but joints from the centre of the first pixel. Grids other than
`centres` do not distinguish the two; they add back the half pixel that our boxes subtract.
"""


@dataclass(frozen=True)
class Crop(Bounded):
    """How a person is cropped: the padded bounding box, centred in a crop of fixed size.

    Attributes:
        width, height: of the crop, px.
        padding: sides of the padded box / those of the box; 1.25 by convention (Xiao et al. 2018, "Simple Baselines").
        grid: how crop and maps are aligned with pixels; see the module's docstring.
        shift: px of the image, added to both coordinates of a network's keypoints: HALF_PIXEL for a network of grid
            `centres` that learnt COCO's joints as if they were measured from the edge of the image.

    Raises:
        OccluposeError: a side or the padding is less than 1; unknown grid.
    """

    width: Count = 256
    height: Count = 256
    padding: Annotated[float, Interval(ge=1)] = 1.25
    grid: Grid = "centres"
    shift: float = 0.0

    def regions(self, boxes: Float[np.ndarray, "person 4"]) -> Regions:
        """Upright regions of bounding boxes (left, top, right, bottom), high enough for the width of the box to fit
        into the crop.
        """
        low = boxes[:, :2]
        high = boxes[:, 2:]
        width, height = (high - low).T
        return upright_regions((low + high) / 2, np.maximum(height, width * self.height / self.width) / 2)

    def matrices(self, regions: Regions) -> Float[np.ndarray, "person 2 3"]:
        """Matrices from the full image to the crop of each region."""
        centred = crop_matrices(regions, self.width, self.height, diameter=self.height / self.padding)
        if self.grid == "centres":
            return centred
        sides = np.array([self.width, self.height])
        linear = centred[:, :, :2]
        if self.grid == "corners":
            linear = linear * ((sides - 1) / sides)[:, None]
            middle = (sides - 1) / 2
        else:
            middle = sides / 2
        offset = middle[:, None] - linear @ (regions[:, :2, None] + HALF_PIXEL)
        return np.concatenate([linear, offset], -1)

    def cells(self, map_width: int, map_height: int) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
        """Where the cells of a map of this crop lie: step between cells and position of cell 0, px; each as (x, y)."""
        axes = [cells(self.grid, self.width, map_width), cells(self.grid, self.height, map_height)]
        steps, firsts = np.array(axes).T
        return steps, firsts


def cells(grid: Grid, side: int, count: int) -> tuple[float, float]:
    """Position of `count` cells along a side of a crop: step and first cell, px. Cell i lies at `step i + first`."""
    if grid == "corners":
        return (side - 1) / max(count - 1, 1), 0.0
    step = side / count
    return step, (step - 1) / 2 if grid == "centres" else 0.0


def radius(regions: Regions) -> Float[np.ndarray, " person"]:
    """Radius of each region, px."""
    return np.linalg.norm(regions[..., 2:] - regions[..., :2], axis=-1)


def similarity(regions: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """Similarity of regions, 0..1 (shapes broadcast): exp(-1) where one is moved by 0.35 radii. Ours."""
    apart = ((regions - others) ** 2).sum(-1)
    size = np.maximum(np.maximum(radius(regions), radius(others)), 1.0)
    return np.exp(-apart / (2 * (0.35 * size) ** 2))


def upright_regions(centres: Float[np.ndarray, "person 2"], radii: Float[np.ndarray, " person"]) -> Regions:
    """Upright regions with these centres and radii."""
    return np.concatenate([centres, centres - np.stack([0 * radii, radii], -1)], -1)


def crop_matrices(regions: Regions, width: int, height: int, *, diameter: float) -> Float[np.ndarray, "person 2 3"]:
    """Matrices from the full image to upright crops of `width` x `height` px, with each circle centred and `diameter`
    px wide.
    """
    up = regions[:, 2:] - regions[:, :2]
    scale = diameter / (2 * np.maximum(radius(regions), 1.0))
    length = np.maximum(np.linalg.norm(up, axis=-1), 1e-6)
    cosine = -up[:, 1] / length * scale
    sine = -up[:, 0] / length * scale
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - (linear @ regions[:, :2, None])[..., 0]
    return np.concatenate([linear, offset[..., None]], -1)


def invert(matrices: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 2 3"]:
    """Inverses of affine matrices."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], -1)


def transform_points(
    matrices: Float[np.ndarray, "*batch 2 3"], xy: Float[np.ndarray, "*batch point 2"]
) -> Float[np.ndarray, "*batch point 2"]:
    """Points transformed by affine matrices."""
    return xy @ matrices[..., :2].swapaxes(-1, -2) + matrices[..., None, :, 2]
