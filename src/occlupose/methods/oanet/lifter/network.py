"""The two temporal networks of OANet, one after the other: 2D filled in, then lifted to 3D."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.methods.oanet.lifter.inputs import CHANNELS, HORIZON, SMOOTH, doubt, positions
from occlupose.networks.tcn import OURS, TCN, half_receptive_field
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17


class Lifter(nn.Module):
    """2D TCN (OANet eq. 3) and 3D TCN (eq. 4-6): one network definition with other ends (paper section 3.2).

    The 2D network corrects what is bridged in the input, the more the older it is, and leaves what is seen. The 3D
    network sees the completed joints together with what was seen and when; it says how far each joint lies from where
    the 2D joint would be in metres at the person's distance. The 2D network learns from its own loss alone (eq. 3): fed
    by the 3D loss it stops completing and becomes a code that only the 3D network can read. All ours.

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
        self, seen: Float[Tensor, "batch time channels"], practice: Float[Tensor, "batch time channels"] | None = None
    ) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 17 3"]]:
        """From the channels of `inputs.Inputs`: complete 2D joints in their units; root-relative 3D in metres, turned
        camera frame.

        Arguments:
            practice: channels that the 2D network learns on; the complete 2D joints are then those of these.
        """
        complete = self.complete(seen)
        xyz = self.lift(complete.detach(), seen)
        return complete if practice is None else self.complete(practice), xyz

    def complete(self, seen: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time 22 2"]:
        """2D joints, corrected where they are in doubt."""
        return corrected(seen, self.tcn_2d(seen))

    def lift(
        self, complete: Float[Tensor, "batch time 22 2"], seen: Float[Tensor, "batch time channels"]
    ) -> Float[Tensor, "batch time 17 3"]:
        """Root-relative 3D joints."""
        return relative(complete, self.tcn_3d(completed(complete, seen)))

    @property
    def delay(self) -> int:
        """Frames of future that can change an answer."""
        return half_receptive_field(self.tcn_2d) + half_receptive_field(self.tcn_3d) + HORIZON + SMOOTH


def corrected(
    seen: Float[Tensor, "batch time channels"], correction: Float[Tensor, "batch time outputs"]
) -> Float[Tensor, "batch time 22 2"]:
    """2D joints of the input, moved by what the 2D network says where they are in doubt."""
    return positions(seen) + doubt(seen).unsqueeze(-1) * correction.unflatten(-1, (len(BODY22), 2))


def completed(
    complete: Float[Tensor, "batch time 22 2"], seen: Float[Tensor, "batch time channels"]
) -> Float[Tensor, "batch time channels"]:
    """What the 3D network sees: the completed joints in place of the bridged ones."""
    return torch.cat([complete.flatten(2), seen[..., 2 * len(BODY22) :]], -1)


def relative(
    complete: Float[Tensor, "batch time 22 2"], away: Float[Tensor, "batch time outputs"]
) -> Float[Tensor, "batch time 17 3"]:
    """3D joints about the root: the completed ones at the person's distance, moved by what the 3D network says."""
    flat = torch.nn.functional.pad(complete[..., BODY22_TO_H36M17, :], (0, 1))
    xyz = flat + away.unflatten(-1, (len(H36M17), 3))
    return xyz - xyz[..., :1, :]
