"""Heatmaps as Simple Baselines and HRNet learn them (Xiao et al. 2018, Sun et al. 2019): at the nearest cell, decoded
by quarters.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.codecs.maps import GaussianMaps, highest_cells


@dataclass(frozen=True)
class MSRA(GaussianMaps):
    """Gaussians in the middle of the cell that is nearest to the joint.

    There and back a joint moves by half a cell at most along each side, 2 px at stride 4, where it is nearest to a cell
    of the map: the place between the cells is not in the Gaussian. A network's maps say more, of which `decode` takes a
    quarter of a cell.
    """

    def decode(
        self, maps: Float[Tensor, "*batch joint y x"]
    ) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"]]:
        """The highest cell of each map, moved by a quarter of a cell towards the higher neighbour along each side; and
        its height.

        Where neighbours are as high as each other, or the highest cell is at the end of that side, it is not moved.

        Returns:
            Crop px; height of the highest cell, as the network gave it: around 0..1. Both float32.
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
    """A quarter of a cell to the higher side of the peak."""
    last = line.shape[-1] - 1
    before, after = (line.gather(-1, (peak + step).clamp(0, last)[..., None]).squeeze(-1) for step in (-1, 1))
    return torch.where((peak > 0) & (peak < last), 0.25 * torch.sign((after - before).float()), 0)
