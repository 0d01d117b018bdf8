"""Heatmaps of Simple Baselines and HRNet (Xiao et al. 2018, Sun et al. 2019): centred at the nearest cell, decoded to
quarters of a cell.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.codecs.maps import GaussianMaps, highest_cells


@dataclass(frozen=True)
class MSRA(GaussianMaps):
    """Gaussians at the centre of the cell nearest to the joint.

    Encoding and decoding moves a joint by at most half a cell along each axis, 2 px at stride 4, if its nearest cell is
    in the map: the target does not contain the position within the cell. Predicted maps contain it to some extent, and
    `decode` uses a quarter of a cell.
    """

    def decode(
        self, maps: Float[Tensor, "*batch joint y x"]
    ) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """The highest cell of each map, moved by a quarter of a cell towards the higher neighbour along each axis; and
        its value.

        It is not moved where both neighbours are equal or the cell is at the border along that axis.

        Returns:
            Crop px; value of the highest cell as predicted, around 0..1. Both float32.
        """
        x, y, height = highest_cells(maps)
        row = maps.gather(-2, y[..., None, None].expand(*y.shape, 1, maps.shape[-1])).squeeze(-2)
        column = maps.gather(-1, x[..., None, None].expand(*x.shape, maps.shape[-2], 1)).squeeze(-1)
        cells = torch.stack([x + _quarter(row, x), y + _quarter(column, y)], -1)
        return self._to_pixels(cells), height.float()

    def _centres(
        self, cells: Float[Tensor, "*batch 2"], middle: Float[Tensor, "*batch 2"]
    ) -> Float[Tensor, "*batch 2"]:
        return middle


def _quarter(line: Float[Tensor, "*batch cell"], peak: Tensor) -> Float[Tensor, "*batch"]:
    """A quarter of a cell towards the higher neighbour of the peak."""
    last = line.shape[-1] - 1
    before = line.gather(-1, (peak - 1).clamp(0, last)[..., None]).squeeze(-1)
    after = line.gather(-1, (peak + 1).clamp(0, last)[..., None]).squeeze(-1)
    return torch.where((peak > 0) & (peak < last), 0.25 * torch.sign((after - before).float()), 0)
