"""OANet's temporal networks: unreliable 2D joints out, what is left refined, and complete 3D poses from it (paper
section 3).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from occlupose.methods.oanet.picture import Picture
from occlupose.networks.discriminator import Discriminator
from occlupose.networks.tcn import PAPER, TCN
from occlupose.skeletons import H36M17

JOINTS = len(H36M17)


@dataclass
class Answer:
    """What the networks say of a batch."""

    xy: Float[Tensor, "batch time joint 2"]
    """Refined 2D joints in the units of the picture; zero where nothing reliable was seen (incomplete, paper section
    3.2).
    """
    xyz: Float[Tensor, "batch time joint 3"]
    """All joints in 3D, metres, relative to the root."""


class OANet(nn.Module):
    """2D TCN (incomplete in, incomplete out) and 3D TCN (complete out), one network definition with other ends.

    Arguments:
        width: channels of the temporal networks.
        depth: further residual blocks of each (`networks.tcn`).
        refine: with the 2D TCN; False is the first row of the paper's table 2.
        mask_channel: both networks are also told which joints are missing (an option; ours).
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

    def forward(self, picture: Picture) -> Answer:
        """Refined 2D and complete 3D."""
        xy = self.refined(picture)
        xyz = self.tcn_3d(self._channels(xy, picture)).unflatten(-1, (JOINTS, 3))
        return Answer(xy, xyz - xyz[..., :1, :])

    def refined(self, picture: Picture) -> Float[Tensor, "batch time joint 2"]:
        """C_b f(C_b X) of eq. 3: a missing joint is one at the root, its coordinates times zero, before and after."""
        believed = picture.believed.unsqueeze(-1)
        xy = picture.xy * believed
        if self.tcn_2d is None:
            return xy
        # that the network says how far joints are to be moved is ours
        return (xy + self.tcn_2d(self._channels(xy, picture)).unflatten(-1, (JOINTS, 2))) * believed

    def _channels(
        self, xy: Float[Tensor, "batch time joint 2"], picture: Picture
    ) -> Float[Tensor, "batch time inputs"]:
        return (
            torch.cat([xy, picture.believed.to(xy).unsqueeze(-1)], -1).flatten(2)
            if self.mask_channel
            else xy.flatten(2)
        )

    def train(self, mode: bool = True) -> "OANet":
        """As torch's, but what does not learn at the moment stays as in use: no dropout, fixed statistics."""
        super().train(mode)
        for part in self.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self


@dataclass
class Verdict:
    """What the discriminator says, as logits of "real", one a sequence."""

    answer: Float[Tensor, "batch"]
    """Of the answers, for OANet to learn from: the discriminator stays as it is."""
    caught: Float[Tensor, "batch"]
    """The same, for the discriminator to learn from: the answers stay as they are."""
    real: Float[Tensor, "batch"]
    """Of real poses."""


class Refinement(nn.Module):
    """The 2D TCN of an OANet, to learn by itself."""

    def __init__(self, oanet: OANet) -> None:
        super().__init__()
        self.oanet = oanet

    def forward(self, picture: Picture) -> Float[Tensor, "batch time joint 2"]:
        return self.oanet.refined(picture)


class Duel(nn.Module):
    """OANet and the discriminator that judges its poses, half as wide; both learn in one step. Ours."""

    def __init__(self, oanet: OANet) -> None:
        super().__init__()
        self.oanet = oanet
        self.discriminator = Discriminator(JOINTS, max(1, oanet.width // 2))

    def forward(
        self, picture: Picture, real: Float[Tensor, "batch time joint 3"] | None = None
    ) -> tuple[Answer, Verdict | None]:
        """The answer, and where real poses are given the verdict on it."""
        answer = self.oanet(picture)
        if real is None:
            return answer, None
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, fixed, (answer.xyz,))
        return answer, Verdict(judged, self.discriminator(answer.xyz.detach()), self.discriminator(real))
