"""Shared parts of the heatmap codecs of top-down networks, in torch: Gaussians, maxima, and maps of mirrored or smaller
images.

These networks learn every annotated joint, visible or occluded, unlike those of `codecs.heatmaps`, whose heatmaps of
occluded joints are zero.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from occlupose.codecs.crops import Crop
from occlupose.errors import OccluposeError

TRUNCATION = 3
"""Gaussians are truncated at this many sigma (as since Tompson et al. 2014)."""


def default_crop() -> Crop:
    """192 x 256 px, the usual input of top-down networks, on the grid of Simple Baselines."""
    return Crop(192, 256, grid="stride")


@dataclass(frozen=True)
class GaussianMaps(ABC):
    """A codec with one heatmap for each joint: a Gaussian of height 1 at the joint.

    Attributes:
        crop: the network's input; its grid defines where cells lie.
        stride: pixels of the crop per cell: 4, or 1 for maps of the size of the crop (SRPose).
        sigma: standard deviation of the Gaussian, cells: 2 for maps 64 cells high; 8 in SRPose, where they are 256
            high.

    Raises:
        OccluposeError: the crop's sides are not multiples of the stride; sigma is not positive.
    """

    crop: Crop = field(default_factory=default_crop)
    stride: int = 4
    sigma: float = 2.0

    def __post_init__(self) -> None:
        if self.stride < 1 or self.crop.width % self.stride or self.crop.height % self.stride:
            raise OccluposeError(
                f"crop {self.crop.width} x {self.crop.height}: its sides must be multiples of the stride, {self.stride}"
            )
        if not self.sigma > 0:
            raise OccluposeError(f"sigma {self.sigma:g}: must be more than 0 cells")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self.crop.height // self.stride, self.crop.width // self.stride

    @property
    def flip_shift(self) -> bool:
        """Whether maps of a mirrored image, mirrored back, must be shifted one cell to the right (`unflip`).

        On the grid `stride` they are off by 1 - 1/stride cells, which published results correct by a whole cell; on
        other grids they are not.
        """
        return self.crop.grid == "stride" and self.stride > 1

    def encode(
        self, xy: Float[Tensor, "*batch joint 2"], weight: Float[Tensor, "*batch joint"]
    ) -> tuple[Float[Tensor, "*batch joint y x"], Float[Tensor, "*batch joint"]]:
        """Target maps, float32, and the weight of each joint.

        Arguments:
            xy: crop px; any value, also NaN, where the weight is 0.
            weight: 0 where a joint is not annotated; its map is 0.

        Returns:
            Maps; and the weights, also 0 where the joint is NaN or its Gaussian, truncated at 3 sigma, does not touch
                the map.
        """
        centres = self._to_cells(xy)
        middle = torch.floor(centres + 0.5)
        size = torch.tensor(self.shape[::-1], device=xy.device)
        # False for NaN
        touches = ((middle + TRUNCATION * self.sigma >= 0) & (middle - TRUNCATION * self.sigma <= size - 1)).all(-1)
        weight = torch.where(touches, weight, 0)
        known = (weight > 0)[..., None]
        centres = torch.where(known, self._centres(centres, middle), 0)
        middle = torch.where(known, middle, 0)
        rows, columns = self.shape
        across = self._profile(columns, centres[..., 0, None], middle[..., 0, None])
        down = self._profile(rows, centres[..., 1, None], middle[..., 1, None])
        return (down * known)[..., :, None] * across[..., None, :], weight

    @abstractmethod
    def decode(
        self, maps: Float[Tensor, "*batch joint y x"]
    ) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """Position of each joint, crop px, and the value of its highest cell; float32."""

    @abstractmethod
    def _centres(
        self, cells: Float[Tensor, "*batch 2"], middle: Float[Tensor, "*batch 2"]
    ) -> Float[Tensor, "*batch 2"]:
        """Centres of the Gaussians, given the joints' positions and the nearest cells."""

    def _profile(
        self, cells: int, centre: Float[Tensor, "*batch 1"], middle: Float[Tensor, "*batch 1"]
    ) -> Float[Tensor, "*batch cell"]:
        """The Gaussian along one axis."""
        cell = torch.arange(cells, dtype=torch.float32, device=centre.device)
        inside = (cell - middle).abs() <= TRUNCATION * self.sigma
        return inside * torch.exp(-((cell - centre) ** 2) / (2 * self.sigma**2))

    def _to_cells(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        step, first = cell_grid(self.crop, self.shape, xy.device)
        return (xy.float() - first) / step

    def _to_pixels(self, cells: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        step, first = cell_grid(self.crop, self.shape, cells.device)
        return cells * step + first


def cell_grid(
    crop: Crop, shape: tuple[int, int], device: torch.device
) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"]]:
    """`Crop.cells` of maps of this shape (rows, columns), on a device: step and first cell, px; each as (x, y)."""
    step, first = crop.cells(*shape[::-1])
    dtype = torch.float32
    return torch.tensor(step, dtype=dtype, device=device), torch.tensor(first, dtype=dtype, device=device)


def highest_cells(
    maps: Float[Tensor, "*batch y x"],
) -> tuple[Int[Tensor, "*batch"], Int[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Column, row and value of each map's highest cell; the first of equal ones."""
    height, index = maps.flatten(-2).max(-1)
    return index % maps.shape[-1], index // maps.shape[-1], height


def unflip(
    maps: Float[Tensor, "*batch joint y x"], mirror: Sequence[int], shift: bool = False
) -> Float[Tensor, "*batch joint y x"]:
    """Maps of a mirrored image as maps of the image itself: mirrored back, with left and right joints swapped.

    Arguments:
        mirror: index of each joint's partner on the other side (`Skeleton.mirror`).
        shift: shift by one cell to the right, keeping the first column: a codec's `flip_shift`.
    """
    unflipped = maps.index_select(-3, torch.tensor(mirror, device=maps.device)).flip(-1)
    return torch.cat([unflipped[..., :1], unflipped[..., :-1]], -1) if shift else unflipped


def pool_maps(
    maps: Float[Tensor, "*batch joint y x"], height: int, width: int
) -> Float[Tensor, "*batch joint height width"]:
    """Maps with fewer cells by average pooling: targets of SRPose's coarser heads from those of its finest."""
    return functional.adaptive_avg_pool2d(maps.flatten(0, -3), (height, width)).unflatten(0, maps.shape[:-2])


def kernel_sigma(size: int) -> float:
    """Standard deviation of a Gaussian kernel with this odd number of cells, cells, as in OpenCV."""
    return 0.3 * (size // 2 - 1) + 0.8


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which products keep the precision of their factors, also under autocast."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
