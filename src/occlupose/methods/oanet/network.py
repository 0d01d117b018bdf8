"""OANet's temporal networks: unreliable 2D joints are dropped, the others are refined and lifted to complete 3D poses
(paper section 3).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from occlupose.methods.oanet.normalise import Normalised2D
from occlupose.networks.discriminator import Discriminator
from occlupose.networks.tcn import PAPER, TCN
from occlupose.skeletons import H36M17

JOINTS = len(H36M17)


@dataclass
class OANetOutput:
    """Output of the temporal networks."""

    xy: Float[Tensor, "batch time joint 2"]
    """Refined 2D joints, normalised as the input; zero where not reliable (incomplete, paper section 3.2)."""
    xyz: Float[Tensor, "batch time joint 3"]
    """All joints in 3D, metres, relative to the root."""


class OANetNetwork(nn.Module):
    """2D TCN (incomplete in, incomplete out) and 3D TCN (complete out): one definition with different channels.

    Arguments:
        width: channels of the temporal networks.
        depth: additional residual blocks of each (`networks.tcn`).
        refine: with the 2D TCN; False is the first row of the paper's table 2.
        mask_channel: the reliability mask is an input of both networks (an option; ours).
    """

    def __init__(
        self,
        width: int = 512,
        depth: int = 0,
        *,
        refine: bool = True,
        mask_channel: bool = False,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.refine = refine
        self.mask_channel = mask_channel
        inputs = (3 if mask_channel else 2) * JOINTS
        style = replace(PAPER, dropout=dropout)
        self.tcn_2d = TCN(inputs, 2 * JOINTS, width=width, depth=depth, style=style) if refine else None
        self.tcn_3d = TCN(inputs, 3 * JOINTS, width=width, depth=depth, style=style)

    def forward(self, inputs: Normalised2D) -> OANetOutput:
        """Refined 2D and complete 3D."""
        xy = self.refine_2d(inputs)
        xyz = self.tcn_3d(self._channels(xy, inputs)).unflatten(-1, (JOINTS, 3))
        return OANetOutput(xy, xyz - xyz[..., :1, :])

    def refine_2d(self, inputs: Normalised2D) -> Float[Tensor, "batch time joint 2"]:
        """C_b f(C_b X) of eq. 3: coordinates of missing joints are zero (the root) before and after the 2D TCN.

        That the network predicts an offset rather than the position is ours.
        """
        mask = inputs.reliable.unsqueeze(-1)
        xy = inputs.xy * mask
        if self.tcn_2d is None:
            return xy
        return (xy + self.tcn_2d(self._channels(xy, inputs)).unflatten(-1, (JOINTS, 2))) * mask

    def _channels(
        self, xy: Float[Tensor, "batch time joint 2"], inputs: Normalised2D
    ) -> Float[Tensor, "batch time inputs"]:
        if self.mask_channel:
            xy = torch.cat([xy, inputs.reliable.to(xy).unsqueeze(-1)], -1)
        return xy.flatten(2)

    def train(self, mode: bool = True) -> "OANetNetwork":
        """Training mode; frozen networks stay in evaluation mode, without dropout and with fixed statistics."""
        super().train(mode)
        for part in self.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self


@dataclass
class DiscriminatorLogits:
    """The discriminator's logits of "real", one per sequence."""

    fake: Float[Tensor, "batch"]
    """Of OANet's poses, with gradients for OANet only."""
    fake_detached: Float[Tensor, "batch"]
    """The same, with gradients for the discriminator only."""
    real: Float[Tensor, "batch"]
    """Of real poses."""


class Refinement2D(nn.Module):
    """The 2D TCN of an OANet by itself, for the first training stage."""

    def __init__(self, oanet: OANetNetwork) -> None:
        super().__init__()
        self.oanet = oanet

    def forward(self, inputs: Normalised2D) -> Float[Tensor, "batch time joint 2"]:
        return self.oanet.refine_2d(inputs)


class AdversarialOANet(nn.Module):
    """OANet and its discriminator, which is half as wide; one step trains both. Ours."""

    def __init__(self, oanet: OANetNetwork) -> None:
        super().__init__()
        self.oanet = oanet
        self.discriminator = Discriminator(JOINTS, max(1, oanet.width // 2))

    def forward(
        self, inputs: Normalised2D, real: Float[Tensor, "batch time joint 3"] | None = None
    ) -> tuple[OANetOutput, DiscriminatorLogits | None]:
        """OANet's output, and the discriminator's logits where real poses are given."""
        output = self.oanet(inputs)
        if real is None:
            return output, None
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        fake = functional_call(self.discriminator, frozen, (output.xyz,))
        detached = self.discriminator(output.xyz.detach())
        return output, DiscriminatorLogits(fake, detached, self.discriminator(real))
