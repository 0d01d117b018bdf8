"""The discriminator of OANet's adversarial loss."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class Discriminator(nn.Module):
    """Logit of whether a sequence of 3D poses is real: three 1D convolutions over time and a linear layer (paper
    section 3.2).

    Kernel 5 and stride 2 are from the authors' later code (the public `sul`). Ours: the widths, and the mean over the
    remaining time steps, with which sequences may have any length.

    Arguments:
        joints: number of joints of a pose.
        width: channels of the convolutions.
    """

    def __init__(self, joints: int, width: int = 256) -> None:
        super().__init__()
        channels = (3 * joints, width, width, width)
        layers = list[nn.Module]()
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv1d(inputs, outputs, 5, 2, 2), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width, 1)

    def forward(self, xyz: Float[Tensor, "batch time joint 3"]) -> Float[Tensor, "batch"]:
        """The logit of "real" for each sequence of root-relative poses in metres."""
        return self.linear(self.layers(xyz.flatten(2).mT).mean(-1)).squeeze(-1)
