"""What the codecs of top-down networks share: Gaussians on maps, the highest cells, and maps of mirrored or smaller
pictures. On torch.

These networks learn every annotated joint, seen or hidden, unlike those of `codecs.heatmaps`, whose maps of hidden
joints are dark.
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
"""A Gaussian is cut off at so many sigma (Tompson et al. 2014 and all who followed)."""


def default_crop() -> Crop:
    """192 x 256 px, the classic size of top-down networks, on the grid of Simple Baselines."""
    return Crop(192, 256, grid="stride")


@dataclass(frozen=True)
class GaussianMaps(ABC):
    """A codec of one map for each joint, with a Gaussian of height 1 at the joint.

    Attributes:
        crop: what the network is shown; its grid says where the cells lie.
        stride: pixels of the crop for each cell: 4, or 1 for maps as large as the crop (SRPose).
        sigma: standard deviation of the Gaussian, cells: 2 where a map is 64 high; SRPose has 8 where it is 256 high.

    Raises:
        OccluposeError: the crop's sides are not multiples of the stride; no such sigma.
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
            raise OccluposeError(f"sigma {self.sigma:g}: cells, more than 0")

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of a map: down, across."""
        return self.crop.height // self.stride, self.crop.width // self.stride

    @property
    def flip_shift(self) -> bool:
        """Whether maps of the mirrored picture, mirrored back, belong one cell further right (`unflipped`).

        On the grid `stride` they are off by 1 - 1/stride cells, which published results mend by a whole cell; on others
        they are not.
        """
        return self.crop.grid == "stride" and self.stride > 1

    def encode(
        self, xy: Float[Tensor, "*batch joint 2"], weight: Float[Tensor, "*batch joint"]
    ) -> tuple[Float[Tensor, "*batch joint y x"], Float[Tensor, "*batch joint"]]:
        """What the network should answer, float32, and the weight of each joint in that.

        Arguments:
            xy: crop px; anything, also NaN, where the weight is 0.
            weight: 0 where a joint is not annotated; such a map is of zeros.

        Returns:
            Maps; and the weights, 0 also where the joint is NaN or its Gaussian, cut off at 3 sigma, does not touch the
            map.
        """
        centres = self._to_cells(xy)
        middle = torch.floor(centres + 0.5)
        size = torch.tensor(self.shape[::-1], device=xy.device)
        # never of NaN
        touches = ((middle + TRUNCATION * self.sigma >= 0) & (middle - TRUNCATION * self.sigma <= size - 1)).all(-1)
        weight = torch.where(touches, weight, 0)
        known = (weight > 0)[..., None]
        centres, middle = (torch.where(known, value, 0) for value in (self._centres(centres, middle), middle))
        across, down = (
            self._profile(cells, centres[..., axis, None], middle[..., axis, None])
            for axis, cells in enumerate(self.shape[::-1])
        )
        return (down * known)[..., :, None] * across[..., None, :], weight

    @abstractmethod
    def decode(
        self, maps: Float[Tensor, "*batch joint y x"]
    ) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """Where each joint is, crop px, and how high its highest cell; float32."""

    @abstractmethod
    def _centres(
        self, cells: Float[Tensor, "*batch 2"], middle: Float[Tensor, "*batch 2"]
    ) -> Float[Tensor, "*batch 2"]:
        """Where the Gaussian's middle is, given the joint's place and the nearest cell."""

    def _profile(
        self, cells: int, centre: Float[Tensor, "*batch 1"], middle: Float[Tensor, "*batch 1"]
    ) -> Float[Tensor, "*batch cell"]:
        """The Gaussian along one side."""
        at = torch.arange(cells, dtype=torch.float32, device=centre.device)
        inside = (at - middle).abs() <= TRUNCATION * self.sigma
        return inside * torch.exp(-((at - centre) ** 2) / (2 * self.sigma**2))

    def _to_cells(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        step, first = cell_grid(self.crop, self.shape, xy.device)
        return (xy.float() - first) / step

    def _to_pixels(self, cells: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        step, first = cell_grid(self.crop, self.shape, cells.device)
        return cells * step + first


def cell_grid(
    crop: Crop, shape: tuple[int, int], device: torch.device
) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"]]:
    """`Crop.cells` of maps of this shape (down, across), on a device: from a cell to the next, and the first one, px;
    each across, down.
    """
    step, first = (torch.tensor(axes, dtype=torch.float32, device=device) for axes in crop.cells(*shape[::-1]))
    return step, first


def highest_cells(
    maps: Float[Tensor, "*batch y x"],
) -> tuple[Int[Tensor, "*batch"], Int[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Column and row of each map's highest cell, the first of them where several are, and how high it is."""
    height, at = maps.flatten(-2).max(-1)
    return at % maps.shape[-1], at // maps.shape[-1], height


def unflip(
    maps: Float[Tensor, "*batch joint y x"], mirror: Sequence[int], shift: bool = False
) -> Float[Tensor, "*batch joint y x"]:
    """Maps of a mirrored picture as maps of the picture itself: mirrored back, sides exchanged.

    Arguments:
        mirror: place of each joint's partner on the other side (`Skeleton.mirror`).
        shift: one cell further right, the first column staying as it is: a codec's `flip_shift`.
    """
    exchanged = maps.index_select(-3, torch.tensor(mirror, device=maps.device)).flip(-1)
    return torch.cat([exchanged[..., :1], exchanged[..., :-1]], -1) if shift else exchanged


def pool_maps(
    maps: Float[Tensor, "*batch joint y x"], height: int, width: int
) -> Float[Tensor, "*batch joint height width"]:
    """Maps of fewer cells, each the mean of those that it covers: the targets of SRPose's coarser heads, from that of
    its finest.
    """
    return functional.adaptive_avg_pool2d(maps.flatten(0, -3), (height, width)).unflatten(0, maps.shape[:-2])


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Within it products are taken in the precision of their factors, also in a network's mixed precision."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
