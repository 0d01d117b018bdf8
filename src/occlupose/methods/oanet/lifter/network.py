"""The two temporal networks of the lifter, one after the other: 2D completion, then lifting to 3D."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.methods.oanet.lifter.inputs import CHANNELS, MAX_GAP, SCALE_SMOOTHING, joints_2d, uncertainty
from occlupose.networks.tcn import OURS, TCN, half_receptive_field
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17


class Lifter(nn.Module):
    """2D TCN (OANet eq. 3) and 3D TCN (eq. 4-6): one network definition with different channels (paper section 3.2).

    The 2D network corrects interpolated joints, the more the farther their nearest observation is in time, and leaves
    observed joints unchanged. The 3D network gets the completed joints and the times to the observations, and predicts
    the offset of each 3D joint from its 2D joint placed at the person's distance. The 2D network is trained by its own
    loss only (eq. 3): with gradients of the 3D loss its output would be a code for the 3D network, not a 2D pose. All
    ours.

    Arguments:
        width: channels of the networks; ours (the paper's figure is not legible in public).
        depth: residual blocks of the networks; ours.
    """

    def __init__(self, width: int = 256, depth: int = 2) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.tcn_2d = TCN(CHANNELS, 2 * len(BODY22), width=width, depth=depth, style=OURS)
        self.tcn_3d = TCN(CHANNELS, 3 * len(H36M17), width=width, depth=depth, style=OURS)

    def forward(
        self,
        channels: Float[Tensor, "batch time channels"],
        channels_2d: Float[Tensor, "batch time channels"] | None = None,
    ) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 17 3"]]:
        """Completed 2D joints, scaled as the input, and root-relative 3D joints in metres, in the rotated camera frame.

        Arguments:
            channels: of `inputs.LifterInputs`.
            channels_2d: other channels whose completed 2D joints are returned; for training the 2D network.
        """
        completed = self.complete_2d(channels)
        xyz = self.lift(completed.detach(), channels)
        return completed if channels_2d is None else self.complete_2d(channels_2d), xyz

    def complete_2d(self, channels: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time 22 2"]:
        """2D joints, corrected where they are uncertain."""
        return apply_correction(channels, self.tcn_2d(channels))

    def lift(
        self, completed: Float[Tensor, "batch time 22 2"], channels: Float[Tensor, "batch time channels"]
    ) -> Float[Tensor, "batch time 17 3"]:
        """Root-relative 3D joints."""
        return apply_offset(completed, self.tcn_3d(replace_joints_2d(channels, completed)))

    @property
    def look_ahead(self) -> int:
        """Future frames that can change an output."""
        return half_receptive_field(self.tcn_2d) + half_receptive_field(self.tcn_3d) + MAX_GAP + SCALE_SMOOTHING


def apply_correction(
    channels: Float[Tensor, "batch time channels"], correction: Float[Tensor, "batch time outputs"]
) -> Float[Tensor, "batch time 22 2"]:
    """2D joints of the input, moved by the output of the 2D network times their uncertainty."""
    return joints_2d(channels) + uncertainty(channels).unsqueeze(-1) * correction.unflatten(-1, (len(BODY22), 2))


def replace_joints_2d(
    channels: Float[Tensor, "batch time channels"], completed: Float[Tensor, "batch time 22 2"]
) -> Float[Tensor, "batch time channels"]:
    """Input of the 3D network: the completed joints in place of the interpolated ones."""
    return torch.cat([completed.flatten(2), channels[..., 2 * len(BODY22) :]], -1)


def apply_offset(
    completed: Float[Tensor, "batch time 22 2"], offset: Float[Tensor, "batch time outputs"]
) -> Float[Tensor, "batch time 17 3"]:
    """Root-relative 3D joints: the completed 2D joints at the person's distance plus the output of the 3D network."""
    flat = torch.nn.functional.pad(completed[..., BODY22_TO_H36M17, :], (0, 1))
    xyz = flat + offset.unflatten(-1, (len(H36M17), 3))
    return xyz - xyz[..., :1, :]
