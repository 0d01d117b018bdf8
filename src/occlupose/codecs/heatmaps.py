"""Joints to heatmaps, which networks learn, and back (OANet eq. 1; Gaussians as in Newell et al. 2016).

A map is a grid of cells over a crop, each `stride` pixels wide; cell i lies at pixel `stride (i + 0.5) - 0.5` of the
crop, pixel centres being at integers, so that a mirrored crop has mirrored maps.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from occlupose.codecs.crops import Crop
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, VISIBLE

MIN_VALUE = 1e-6
"""Values of a map below this are taken for it where its logarithm is asked for."""


@dataclass(frozen=True)
class Heatmaps:
    """A codec between joints in a crop and one heatmap for each.

    Attributes:
        crop: what the network is shown.
        stride: pixels of the crop in a cell.

    Raises:
        OccluposeError: the crop's sides are not multiples of the stride; its grid is another one.
    """

    crop: Crop = field(default_factory=Crop)
    stride: int = 4

    def __post_init__(self) -> None:
        if self.crop.grid != "centres":
            raise OccluposeError(f"grid {self.crop.grid}: these maps lie on the grid centres; give a crop of that grid")
        if self.stride < 1 or self.crop.width % self.stride or self.crop.height % self.stride:
            raise OccluposeError(
                f"crop {self.crop.width} x {self.crop.height}: its sides must be multiples of the stride, {self.stride}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of a map: down, across."""
        return self.crop.height // self.stride, self.crop.width // self.stride

    @property
    def sigma(self) -> float:
        """Standard deviation of a joint's Gaussian, cells: 2 where a map is 64 high."""
        return self.shape[0] / 32

    def encode(
        self, xy: Float[np.ndarray, "*batch joint 2"], state: UInt8[np.ndarray, "*batch joint"]
    ) -> tuple[Float[np.ndarray, "*batch joint y x"], Float[np.ndarray, "*batch joint"]]:
        """What the network should answer, and the weight of each joint in that; float32.

        OANet eq. 1: a visible joint (2) is a Gaussian of height 1, an occluded one (1) a map of zeros, which is to be
        learnt. An absent one (0), whose place nobody knows, has weight 0. A visible joint beyond the crop leaves in it
        what its Gaussian does (ours).

        Arguments:
            xy: crop px; anything, also NaN, where the joint is not visible.
        """
        cells = np.where((state == VISIBLE)[..., None], (xy + 0.5) / self.stride - 0.5, np.inf)
        down, across = (
            np.exp(-((np.arange(side) - cells[..., axis, None]) ** 2) / (2 * self.sigma**2))
            for side, axis in self._axes
        )
        return (down[..., :, None] * across[..., None, :]).astype(np.float32), (state != ABSENT).astype(np.float32)

    def decode(
        self, maps: Float[np.ndarray, "*batch joint y x"]
    ) -> tuple[Float[np.ndarray, "*batch joint 2"], Float[np.ndarray, "*batch joint"]]:
        """Where each map is highest, crop px, and how high: the joint's confidence (C of OANet section 3.1), 0..1.

        Between the cells as `peaks` says, which is exact for the Gaussians of `encode` unless their highest cell is at
        the edge of the map. The confidence is that of the highest cell itself: of such a Gaussian exp(-1 / (4 sigma^2))
        at least, 0.94 where a map is 64 high.
        """
        cells, height = find_peaks(maps)
        return self.stride * (cells + 0.5) - 0.5, height.astype(np.float64).clip(0, 1)

    @property
    def _axes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Cells, and the coordinate that counts them: down, across."""
        return (self.shape[0], 1), (self.shape[1], 0)


def find_peaks(
    maps: Float[np.ndarray, "*batch y x"],
) -> tuple[Float[np.ndarray, "*batch 2"], Float[np.ndarray, "*batch"]]:
    """Where each map is highest, in cells (x, y; float64), and how high that cell is.

    Along each side the place is the top of the Gaussian through the highest cell and its neighbours: that of the
    parabola through their logarithms (as DARK, Zhang et al. 2020, without its smoothing). It lies within half a cell;
    at the edge of the map, in the middle of it.
    """
    *batch, height, width = maps.shape
    y, x = np.divmod(maps.reshape(*batch, height * width).argmax(-1), width)
    row = np.take_along_axis(maps, y[..., None, None], -2)[..., 0, :]
    column = np.take_along_axis(maps, x[..., None, None], -1)[..., 0]
    return np.stack([x + _within(row, x), y + _within(column, y)], -1), maps.max((-2, -1))


def _within(line: Float[np.ndarray, "*batch cell"], peak: Shaped[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """From the middle of the highest cell of a line to the top of the Gaussian, cells."""
    ends = [(0, 0)] * (line.ndim - 1)
    at = np.log(np.pad(line.astype(np.float64), [*ends, (1, 1)], mode="edge").clip(MIN_VALUE))
    before, top, after = (np.take_along_axis(at, peak[..., None] + step, -1)[..., 0] for step in range(3))
    curve = before - 2 * top + after
    inner = (peak > 0) & (peak < line.shape[-1] - 1) & (curve < 0)
    return np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=inner)
