"""Joints as two classes, one for each side of the crop (SimCC, Li et al. 2022); here to compare with."""

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
    """A codec of two profiles for each joint, across and down, of `split` classes for each pixel.

    There and back a joint in the crop moves by half a class at most along each side, 1/4 px at a split of 2; beyond the
    middle of the last class, to there.

    Attributes:
        crop: what the network is shown; its grid says where the classes lie.
        split: classes for each pixel; the paper's splitting factor, k.
        sigma: of the Gaussian that smoothes the right class over its neighbours, classes; the paper smoothes without
            printing a number, 6 is MMPose's at 192 x 256.

    Raises:
        OccluposeError: a split that does not give whole classes; no such sigma.
    """

    crop: Crop = field(default_factory=default_crop)
    split: float = 2.0
    sigma: float = 6.0

    def __post_init__(self) -> None:
        if not self.split > 0 or any(
            side * self.split != int(side * self.split) for side in (self.crop.width, self.crop.height)
        ):
            raise OccluposeError(
                f"split {self.split:g}: must give whole classes on a crop of {self.crop.width} x {self.crop.height}"
            )
        if not self.sigma > 0:
            raise OccluposeError(f"sigma {self.sigma:g}: classes, more than 0")

    @property
    def shape(self) -> tuple[int, int]:
        """Classes: down, across."""
        return int(self.crop.height * self.split), int(self.crop.width * self.split)

    @property
    def flip_shift(self) -> bool:
        """Never: published results leave the classes of mirrored pictures where they are, half a pixel off on the grid
        `stride`.
        """
        return False

    def encode(
        self, xy: Float[Tensor, "*batch joint 2"], weight: Float[Tensor, "*batch joint"]
    ) -> tuple[Profiles, Float[Tensor, "*batch joint"]]:
        """What the network should answer, across and down, float32, and the weight of each joint in that.

        The nearest class has 1, its neighbours what a Gaussian has there, up to 3 sigma away. For a loss between
        distributions divide by the sums.

        Arguments:
            xy: crop px; anything, also NaN, where the weight is 0.
            weight: 0 where a joint is not annotated; such profiles are of zeros.

        Returns:
            Profiles; and the weights, 0 also where the joint is NaN or its Gaussian does not touch one of the profiles.
        """
        step, first = cell_grid(self.crop, self.shape, xy.device)
        nearest = torch.floor((xy.float() - first) / step + 0.5)
        size = torch.tensor(self.shape[::-1], device=xy.device)
        weight = torch.where(
            ((nearest + TRUNCATION * self.sigma >= 0) & (nearest - TRUNCATION * self.sigma <= size - 1)).all(-1),
            weight,
            0,
        )
        known = (weight > 0)[..., None]
        nearest = torch.where(known, nearest, 0)
        across, down = (
            known * self._profile(classes, nearest[..., axis, None]) for axis, classes in enumerate(self.shape[::-1])
        )
        return (across, down), weight

    def decode(self, profiles: Profiles) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """The place of the highest class across and down, crop px; and the lower of the two heights. Both float32."""
        heights, classes = zip(*(profile.max(-1) for profile in profiles), strict=True)
        step, first = cell_grid(self.crop, self.shape, profiles[0].device)
        return torch.stack(classes, -1) * step + first, torch.minimum(*heights).float()

    def unflipped(self, profiles: Profiles, mirror: Sequence[int]) -> Profiles:
        """Profiles of a mirrored picture as those of the picture itself: the one across mirrored back, sides
        exchanged.
        """
        across, down = (profile.index_select(-2, torch.tensor(mirror, device=profile.device)) for profile in profiles)
        return across.flip(-1), down

    def _profile(self, classes: int, nearest: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch class"]:
        away = torch.arange(classes, dtype=torch.float32, device=nearest.device) - nearest
        return (away.abs() <= TRUNCATION * self.sigma) * torch.exp(-(away**2) / (2 * self.sigma**2))
