"""Joints as two classifications, along x and y of the crop (SimCC, Li et al. 2022); for comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import TRUNCATION, cell_grid, default_crop
from occlupose.errors import OccluposeError

Profiles = tuple[Float[Tensor, "*batch joint x"], Float[Tensor, "*batch joint y"]]


@dataclass(frozen=True)
class SimCC:
    """A codec of two profiles for each joint, along x and y, with `split` classes per pixel.

    Encoding and decoding moves a joint in the crop by at most half a class along each axis, 1/4 px with a split of 2;
    beyond the centre of the last class it is clipped to that.

    Attributes:
        crop: the network's input; its grid defines where classes lie.
        split: classes per pixel; the paper's splitting factor, k.
        sigma: standard deviation of the Gaussian that smoothes the target class over its neighbours, classes; the paper
            does not print it, 6 is MMPose's at 192 x 256.

    Raises:
        OccluposeError: a split without a whole number of classes; sigma is not positive.
    """

    crop: Crop = field(default_factory=default_crop)
    split: float = 2.0
    sigma: float = 6.0

    def __post_init__(self) -> None:
        sides = (self.crop.width, self.crop.height)
        if not self.split > 0 or any(side * self.split != int(side * self.split) for side in sides):
            size = f"{self.crop.width} x {self.crop.height}"
            raise OccluposeError(f"split {self.split:g}: must give a whole number of classes on a crop of {size}")
        if not self.sigma > 0:
            raise OccluposeError(f"sigma {self.sigma:g}: must be more than 0 classes")

    @property
    def shape(self) -> tuple[int, int]:
        """Classes along y and x."""
        return int(self.crop.height * self.split), int(self.crop.width * self.split)

    @property
    def flip_shift(self) -> bool:
        """Always False: published results do not shift the classes of mirrored images, which are half a pixel off on
        the grid `stride`.
        """
        return False

    def encode(
        self, xy: Float[Tensor, "*batch joint 2"], weight: Float[Tensor, "*batch joint"]
    ) -> tuple[Profiles, Float[Tensor, "*batch joint"]]:
        """Target profiles along x and y, float32, and the weight of each joint.

        The nearest class is 1, its neighbours are the values of a Gaussian, up to 3 sigma away. For a loss between
        distributions divide by the sums.

        Arguments:
            xy: crop px; any value, also NaN, where the weight is 0.
            weight: 0 where a joint is not annotated; its profiles are 0.

        Returns:
            Profiles; and the weights, also 0 where the joint is NaN or its Gaussian does not touch one of the profiles.
        """
        step, first = cell_grid(self.crop, self.shape, xy.device)
        nearest = torch.floor((xy.float() - first) / step + 0.5)
        size = torch.tensor(self.shape[::-1], device=xy.device)
        reach = TRUNCATION * self.sigma
        touches = ((nearest + reach >= 0) & (nearest - reach <= size - 1)).all(-1)
        weight = torch.where(touches, weight, 0)
        known = (weight > 0)[..., None]
        nearest = torch.where(known, nearest, 0)
        rows, columns = self.shape
        across = known * self._profile(columns, nearest[..., 0, None])
        down = known * self._profile(rows, nearest[..., 1, None])
        return (across, down), weight

    def decode(self, profiles: Profiles) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """Position of the highest class along x and y, crop px; and the lower of the two values. Both float32."""
        across, down = profiles
        height_x, class_x = across.max(-1)
        height_y, class_y = down.max(-1)
        step, first = cell_grid(self.crop, self.shape, across.device)
        return torch.stack([class_x, class_y], -1) * step + first, torch.minimum(height_x, height_y).float()

    def unflip(self, profiles: Profiles, mirror: Sequence[int]) -> Profiles:
        """Profiles of a mirrored image as those of the image itself: the x profile mirrored back, left and right joints
        swapped.
        """
        across, down = profiles
        partners = torch.tensor(mirror, device=across.device)
        return across.index_select(-2, partners).flip(-1), down.index_select(-2, partners)

    def _profile(self, classes: int, nearest: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch class"]:
        distance = torch.arange(classes, dtype=torch.float32, device=nearest.device) - nearest
        return (distance.abs() <= TRUNCATION * self.sigma) * torch.exp(-(distance**2) / (2 * self.sigma**2))
