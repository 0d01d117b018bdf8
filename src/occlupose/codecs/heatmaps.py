"""Joints to heatmaps and back (OANet eq. 1; Gaussians as in Newell et al. 2016).

A heatmap is a grid of cells over a crop, each `stride` pixels wide; cell i lies at pixel `stride (i + 0.5) - 0.5` of
the crop, with pixel centres at integers, so that a mirrored crop has mirrored heatmaps.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from occlupose.codecs.crops import Crop
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, VISIBLE

MIN_VALUE = 1e-6
"""Lower bound of heatmap values before their logarithm is taken."""


@dataclass(frozen=True)
class Heatmaps:
    """A codec between joints in a crop and one heatmap of each.

    Attributes:
        crop: the network's input.
        stride: pixels of the crop in a cell.

    Raises:
        OccluposeError: the crop's sides are not multiples of the stride; its grid is not `centres`.
    """

    crop: Crop = field(default_factory=Crop)
    stride: int = 4

    def __post_init__(self) -> None:
        if self.crop.grid != "centres":
            raise OccluposeError(f"grid {self.crop.grid}: heatmaps need the grid centres; give a crop with that grid")
        if self.stride < 1 or self.crop.width % self.stride or self.crop.height % self.stride:
            raise OccluposeError(
                f"crop {self.crop.width} x {self.crop.height}: its sides must be multiples of the stride, {self.stride}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a heatmap."""
        return self.crop.height // self.stride, self.crop.width // self.stride

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussians, cells: 2 for a heatmap 64 cells high."""
        return self.shape[0] / 32

    def encode(
        self, xy: Float[np.ndarray, "*batch joint 2"], state: UInt8[np.ndarray, "*batch joint"]
    ) -> tuple[Float[np.ndarray, "*batch joint y x"], Float[np.ndarray, "*batch joint"]]:
        """Target heatmaps and the weight of each joint; float32.

        OANet eq. 1: a visible joint (2) is a Gaussian of height 1, an occluded one (1) is a heatmap of zeros, which is
        learnt too. An absent one (0) has weight 0, as its position is unknown. A visible joint outside of the crop
        leaves the part of its Gaussian that is inside (ours).

        Arguments:
            xy: crop px; any value, also NaN, where the joint is not visible.
        """
        cells = np.where((state == VISIBLE)[..., None], (xy + 0.5) / self.stride - 0.5, np.inf)
        rows, columns = self.shape
        across = self._profile(columns, cells[..., 0, None])
        down = self._profile(rows, cells[..., 1, None])
        return (down[..., :, None] * across[..., None, :]).astype(np.float32), (state != ABSENT).astype(np.float32)

    def decode(
        self, maps: Float[np.ndarray, "*batch joint y x"]
    ) -> tuple[Float[np.ndarray, "*batch joint 2"], Float[np.ndarray, "*batch joint"]]:
        """Position of the maximum of each heatmap, crop px, and its height: the joint's confidence (C of OANet section
        3.1), 0..1.

        Positions are refined between cells as in `find_peaks`; this is exact for the Gaussians of `encode` unless their
        highest cell is at the border of the heatmap. The confidence is the value of the highest cell: at least exp(-1 /
        (4 sigma^2)) for such a Gaussian, 0.94 for a heatmap 64 cells high.
        """
        cells, height = find_peaks(maps)
        return self.stride * (cells + 0.5) - 0.5, height.astype(np.float64).clip(0, 1)

    def _profile(
        self, count: int, centre: Float[np.ndarray, "*batch joint 1"]
    ) -> Float[np.ndarray, "*batch joint cell"]:
        """The Gaussian along one axis."""
        return np.exp(-((np.arange(count) - centre) ** 2) / (2 * self.sigma**2))


def find_peaks(
    maps: Float[np.ndarray, "*batch y x"],
) -> tuple[Float[np.ndarray, "*batch 2"], Float[np.ndarray, "*batch"]]:
    """Position of the maximum of each map, in cells (x, y; float64), and the value of the highest cell.

    Along each axis the position is the maximum of the Gaussian through the highest cell and its neighbours, that is, of
    the parabola through their logarithms (as in DARK, Zhang et al. 2020, without its smoothing). It is within half a
    cell of the cell's centre; at the border of the map it is the centre.
    """
    *batch, height, width = maps.shape
    y, x = np.divmod(maps.reshape(*batch, height * width).argmax(-1), width)
    row = np.take_along_axis(maps, y[..., None, None], -2)[..., 0, :]
    column = np.take_along_axis(maps, x[..., None, None], -1)[..., 0]
    return np.stack([x + _offset_along(row, x), y + _offset_along(column, y)], -1), maps.max((-2, -1))


def subcell_offset(
    before: Float[np.ndarray, "*batch"], middle: Float[np.ndarray, "*batch"], after: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch"]:
    """Offset from the middle of three cells to the maximum of the Gaussian through them, cells; 0 where there is none
    or a neighbour is infinite, as beyond the border.
    """
    inside = np.isfinite(before) & np.isfinite(after)
    log_before = np.log(before.clip(MIN_VALUE))
    log_middle = np.log(middle.clip(MIN_VALUE))
    log_after = np.log(after.clip(MIN_VALUE))
    curvature = log_before - 2 * log_middle + log_after
    offset = np.zeros_like(curvature)
    return np.divide(log_before - log_after, 2 * curvature, out=offset, where=inside & (curvature < 0))


def values_at(
    maps: Float[np.ndarray, "joint y x"], cells: Float[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint"]:
    """Values of the cells nearest to these positions; arbitrary where a position is NaN."""
    nearest = np.maximum(np.where(np.isnan(cells), 0, cells + 0.5), 0).astype(int)
    height, width = maps.shape[1:]
    return maps[np.arange(len(maps)), np.minimum(nearest[..., 1], height - 1), np.minimum(nearest[..., 0], width - 1)]


def check_numbers(**maps: np.ndarray) -> None:
    """Refuses maps that are not numbers.

    Raises:
        OccluposeError: NaN or infinite values; names the maps.
    """
    for name, values in maps.items():
        flat = values.reshape(-1)
        if not np.isfinite(flat @ flat):
            raise OccluposeError(f"{name}: some of these maps are not numbers; check the weights and the image")


def _offset_along(
    line: Float[np.ndarray, "*batch cell"], peak: Shaped[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch"]:
    """`subcell_offset` of the highest cell of a line."""
    padding = [*[(0, 0)] * (line.ndim - 1), (1, 1)]
    padded = np.pad(line.astype(np.float64), padding, constant_values=-np.inf)
    return subcell_offset(*(np.take_along_axis(padded, peak[..., None] + step, -1)[..., 0] for step in range(3)))
