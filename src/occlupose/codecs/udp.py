"""Heatmaps of UDP and ViTPose: Gaussians at the exact position of the joint, decoded by DARK.

Huang et al. 2020, "The Devil is in the Details: Delving into Unbiased Data Processing"; Zhang et al. 2020,
"Distribution-Aware Coordinate Representation" (DARK).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps, full_precision, highest_cells, kernel_sigma
from occlupose.errors import OccluposeError

MIN_VALUE = 1e-6
"""Lower bound of smoothed values before their logarithm is taken."""

EPSILON = 1e-6
"""Second derivatives of the logarithm closer to 0 than this count as flat."""

MAX_STEP = 2.0
"""A Newton step ends within this many cells of the highest one along each axis (ours; the papers set no bound)."""


def udp_crop() -> Crop:
    """192 x 256 px on the grid of UDP."""
    return Crop(192, 256, grid="corners")


@dataclass(frozen=True)
class UDP(GaussianMaps):
    """Gaussians at the exact position of the joint, between cells.

    Encoding and decoding moves a joint along each axis by less than 0.001 cells if it is 5 cells or more inside the
    outermost cells (0.004 px at stride 4), 0.06 cells if 3 or more, and 0.9 cells at the border, where the smoothing
    sees zeros; at the usual sigma and blur.

    Attributes:
        blur: size of the smoothing kernel of the decoder, cells; its sigma is 0.15 (blur - 1) + 0.5, as OpenCV's for
            that size. 11 goes with sigma 2.

    Raises:
        OccluposeError: as `GaussianMaps`; an even blur.
    """

    crop: Crop = field(default_factory=udp_crop)
    blur: int = 11

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blur < 1 or self.blur % 2 == 0:
            raise OccluposeError(f"blur {self.blur}: must be an odd number of cells")

    def decode(
        self, maps: Float[Tensor, "*batch joint y x"]
    ) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """The highest cell of each map, moved to the maximum of the Gaussian there; and its value.

        DARK: the map is smoothed; its logarithm is a parabola where the map is a Gaussian, so the maximum is one Newton
        step away from the highest cell. Derivatives are differences of neighbours, as in UDP; cells outside the map
        repeat the last one. Where the logarithm has no maximum, each axis is refined separately, or not at all if it
        has none along that axis either (ours).

        Returns:
            Crop px; value of the highest cell before smoothing, as predicted, around 0..1. Both float32.
        """
        x, y, height = highest_cells(maps)
        with full_precision(maps):
            cells = torch.stack([x, y], -1) + _newton(self._around(maps.float(), x, y).clamp_min(MIN_VALUE).log())
        return self._to_pixels(cells), height.float()

    def _centres(
        self, cells: Float[Tensor, "*batch 2"], middle: Float[Tensor, "*batch 2"]
    ) -> Float[Tensor, "*batch 2"]:
        return cells

    def _around(self, maps: Float[Tensor, "*batch y x"], x: Tensor, y: Tensor) -> Float[Tensor, "*batch 3 3"]:
        """The smoothed map in the highest cell and its neighbours; only the needed part is smoothed."""
        height, width = maps.shape[-2:]
        margin = self.blur // 2 + 1
        side = 2 * margin + 1
        padded = functional.pad(maps, (margin,) * 4).flatten(-2)
        steps = torch.arange(side, device=maps.device)
        index = (y[..., None, None] + steps[:, None]) * (width + 2 * margin) + x[..., None, None] + steps
        patch = padded.gather(-1, index.flatten(-2)).unflatten(-1, (side, side))
        kernel = self._kernel(maps.device)
        smooth = kernel @ patch @ kernel.mT
        near = torch.arange(-1, 2, device=maps.device)
        rows = ((y[..., None] + near).clamp(0, height - 1) - y[..., None] + 1)[..., :, None].expand_as(smooth)
        columns = ((x[..., None] + near).clamp(0, width - 1) - x[..., None] + 1)[..., None, :].expand_as(smooth)
        return smooth.gather(-2, rows).gather(-1, columns)

    def _kernel(self, device: torch.device) -> Float[Tensor, "3 side"]:
        """Smooths a line of cells and reduces it to the three in the middle."""
        radius = self.blur // 2
        sigma = kernel_sigma(self.blur)
        values = torch.exp(-(torch.arange(-radius, radius + 1, device=device) ** 2) / (2 * sigma**2))
        values = values / values.sum()
        return torch.stack([functional.pad(values, (shift, 2 - shift)) for shift in range(3)])


def _newton(log: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 2"]:
    """Offset from the centre of nine cells to the maximum of the parabola through them: x, y."""
    middle = log[..., 1, 1]
    dx = (log[..., 1, 2] - log[..., 1, 0]) / 2
    dy = (log[..., 2, 1] - log[..., 0, 1]) / 2
    dxx = log[..., 1, 2] - 2 * middle + log[..., 1, 0]
    dyy = log[..., 2, 1] - 2 * middle + log[..., 0, 1]
    dxy = (log[..., 2, 2] - log[..., 2, 0] - log[..., 0, 2] + log[..., 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    has_maximum = (determinant > EPSILON) & (dxx < 0)
    numerator = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1)
    joint_step = numerator / torch.where(has_maximum, determinant, 1)[..., None]
    slope = torch.stack([dx, dy], -1)
    curvature = torch.stack([dxx, dyy], -1)
    curved = curvature < -EPSILON
    axis_steps = torch.where(curved, -slope / torch.where(curved, curvature, 1), 0)
    return torch.where(has_maximum[..., None], joint_step, axis_steps).clamp(-MAX_STEP, MAX_STEP)
