"""OANet's temporal networks (paper section 3): a 2D TCN corrects the 2D joints, a 3D TCN lifts them to complete 3D
poses.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.networks.discriminator import Discriminator
from occlupose.networks.tcn import TCN
from occlupose.skeletons import H36M17

JOINTS = len(H36M17)


@dataclass
class OANetOutput:
    """Output of the temporal networks."""

    xy: Float[Tensor, "batch time joint 2"]
    """2D joints, normalised as the input: refined, and zero where not reliable (incomplete, paper section 3.2)."""
    xyz: Float[Tensor, "batch time 17 3"]
    """All joints in 3D, metres, relative to the root; in the axes of the input."""


class OANetNetwork(nn.Module):
    """2D TCN (eq. 3) and 3D TCN (eq. 4 to 6, complete out): one definition with different channels.

    The 2D network predicts offsets of the joints rather than their positions (ours).

    Arguments:
        width: channels of the temporal networks.
        depth: additional residual blocks of each (`networks.tcn`).
        refine: with the 2D TCN; False is the first row of the paper's table 2.
        dropout: ours.
        encoder: of the input.
    """

    def __init__(
        self,
        width: int = 512,
        depth: int = 0,
        *,
        refine: bool = True,
        dropout: float = 0.25,
        encoder: MaskedEncoder | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder or MaskedEncoder()
        self.width = width
        self.depth = depth
        self.refine = refine
        channels = self.encoder.channels
        self.tcn_2d = TCN(channels, 2 * JOINTS, width=width, depth=depth, dropout=dropout) if refine else None
        self.tcn_3d = TCN(channels, 3 * JOINTS, width=width, depth=depth, dropout=dropout)

    def forward(self, inputs: OANetInputs) -> OANetOutput:
        """2D joints and complete 3D."""
        xy = self.refine_2d(inputs)
        return OANetOutput(xy, self.to_3d(self.tcn_3d(inputs.channels(xy))))

    def refine_2d(self, inputs: OANetInputs) -> Float[Tensor, "batch time 17 2"]:
        """C_b f(C_b X) of eq. 3."""
        if self.tcn_2d is None:
            return inputs.xy
        return inputs.corrected(self.tcn_2d(inputs.channels(inputs.xy)))

    def to_3d(self, features: Float[Tensor, "batch time outputs"]) -> Float[Tensor, "batch time 17 3"]:
        """Root-relative 3D joints from the output of the 3D TCN."""
        xyz = features.unflatten(-1, (JOINTS, 3))
        return xyz - xyz[..., :1, :]

    def train(self, mode: bool = True) -> "OANetNetwork":
        """Training mode; frozen networks stay in evaluation mode, without dropout and with fixed statistics."""
        super().train(mode)
        for part in self.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self


@dataclass
class DiscriminatorLogits:
    """Logits of "real" of one discriminator."""

    fake: Float[Tensor, "batch verdict"]
    """Of OANet's poses, with gradients for OANet only."""
    fake_detached: Float[Tensor, "batch verdict"]
    """The same, with gradients for the discriminator only."""
    real: Float[Tensor, "other verdict"]
    """Of real poses."""


class Refinement2D(nn.Module):
    """The 2D TCN of an OANet by itself, for the first training stage."""

    def __init__(self, oanet: OANetNetwork) -> None:
        super().__init__()
        self.oanet = oanet

    def forward(self, inputs: OANetInputs) -> Float[Tensor, "batch time joint 2"]:
        return self.oanet.refine_2d(inputs)


class AdversarialOANet(nn.Module):
    """OANet and its discriminators, which are half as wide; one step trains all of them. Ours.

    Arguments:
        verdict_frames: number of frames that each discriminator judges at once.
    """

    def __init__(self, oanet: OANetNetwork, verdict_frames: tuple[int, ...] = (1, 16)) -> None:
        super().__init__()
        self.oanet = oanet
        width = max(1, oanet.width // 2)
        self.discriminators = nn.ModuleList(Discriminator(JOINTS, width, frames) for frames in verdict_frames)

    def forward(
        self, inputs: OANetInputs, real: Float[Tensor, "other time joint 3"] | None = None
    ) -> tuple[OANetOutput, list[DiscriminatorLogits]]:
        """OANet's output, and the logits of every discriminator where real poses are given.

        Arguments:
            real: in the same kinds of views as the input and in the same numbers, of clips with 3D.
        """
        output = self.oanet(inputs)
        if real is None:
            return output, []
        return output, [_judge(discriminator, output.xyz, real) for discriminator in self.discriminators]


def _judge(discriminator: nn.Module, fake: Tensor, real: Tensor) -> DiscriminatorLogits:
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    judged = functional_call(discriminator, frozen, (fake,))
    return DiscriminatorLogits(judged, discriminator(fake.detach()), discriminator(real))
