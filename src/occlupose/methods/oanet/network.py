"""OANet's temporal networks (paper section 3): a 2D TCN corrects the 2D joints, a 3D TCN lifts them to complete 3D
poses. `paper_network` and `shipped_network` build the two presets.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from occlupose.methods.oanet.gap_filled_inputs import MAX_JOINT_GAP, SCALE_SMOOTHING, GapFilledEncoder
from occlupose.methods.oanet.inputs import InputEncoder, OANetInputs
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.networks.discriminator import Discriminator
from occlupose.networks.tcn import OURS, PAPER, TCN, Style, half_receptive_field
from occlupose.skeletons import BODY22_TO_H36M17, H36M17

JOINTS = len(H36M17)


@dataclass
class OANetOutput:
    """Output of the temporal networks."""

    xy: Float[Tensor, "batch time joint 2"]
    """2D joints, normalised as the input: refined and zero where not reliable (incomplete, paper section 3.2), or
    completed.
    """
    xyz: Float[Tensor, "batch time 17 3"]
    """All joints in 3D, metres, relative to the root; in the axes of the input."""


class OANetNetwork(nn.Module):
    """2D TCN (eq. 3) and 3D TCN (eq. 4 to 6, complete out): one definition with different channels.

    The 2D network predicts offsets of the joints rather than their positions (ours).

    Arguments:
        encoder: of the input.
        width: channels of the temporal networks.
        depth: additional residual blocks of each (`networks.tcn`).
        style: of the temporal networks.
        refine: with the 2D TCN; False is the first row of the paper's table 2.
        offset_3d: the 3D network predicts the offset of each joint from its 2D joint placed at the person's distance,
            and its loss does not train the 2D network, whose output would become a code for it instead of a 2D pose
            (ours). False: it predicts positions, and trains both (paper).
    """

    def __init__(
        self,
        encoder: InputEncoder,
        width: int,
        depth: int,
        style: Style,
        *,
        refine: bool = True,
        offset_3d: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.depth = depth
        self.refine = refine
        self.offset_3d = offset_3d
        joints = len(encoder.skeleton)
        self.tcn_2d = TCN(encoder.channels, 2 * joints, width=width, depth=depth, style=style) if refine else None
        self.tcn_3d = TCN(encoder.channels, 3 * JOINTS, width=width, depth=depth, style=style)

    def forward(self, inputs: OANetInputs, inputs_2d: OANetInputs | None = None) -> OANetOutput:
        """2D joints and complete 3D.

        Arguments:
            inputs_2d: other inputs whose 2D joints are returned; for training the 2D network.
        """
        xy = self.refine_2d(inputs)
        features = self.tcn_3d(inputs.channels(xy.detach() if self.offset_3d else xy))
        xyz = self.to_3d(xy.detach(), features)
        return OANetOutput(xy if inputs_2d is None else self.refine_2d(inputs_2d), xyz)

    def refine_2d(self, inputs: OANetInputs) -> Float[Tensor, "batch time joint 2"]:
        """C_b f(C_b X) of eq. 3 for masked inputs. Of gap-filled inputs, joints are corrected more the farther
        their nearest observation is in time, and not at all where they are observed.
        """
        if self.tcn_2d is None:
            return inputs.xy
        return inputs.corrected(self.tcn_2d(inputs.channels(inputs.xy)))

    def to_3d(
        self, xy: Float[Tensor, "batch time joint 2"], features: Float[Tensor, "batch time outputs"]
    ) -> Float[Tensor, "batch time 17 3"]:
        """Root-relative 3D joints from the output of the 3D TCN."""
        xyz = features.unflatten(-1, (JOINTS, 3))
        if self.offset_3d:
            xyz = xyz + nn.functional.pad(xy[..., BODY22_TO_H36M17, :], (0, 1))
        return xyz - xyz[..., :1, :]

    @property
    def look_ahead(self) -> int:
        """Future frames that can change an output; of networks with gap-filled inputs."""
        assert self.tcn_2d is not None
        return half_receptive_field(self.tcn_2d) + half_receptive_field(self.tcn_3d) + MAX_JOINT_GAP + SCALE_SMOOTHING

    def train(self, mode: bool = True) -> "OANetNetwork":
        """Training mode; frozen networks stay in evaluation mode, without dropout and with fixed statistics."""
        super().train(mode)
        for part in self.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self


def paper_network(
    width: int = 512,
    depth: int = 0,
    *,
    refine: bool = True,
    dropout: float = 0.25,
    encoder: MaskedEncoder | None = None,
) -> OANetNetwork:
    """The networks of the paper's preset."""
    style = replace(PAPER, dropout=dropout)
    return OANetNetwork(encoder or MaskedEncoder(), width, depth, style, refine=refine)


def shipped_network(width: int = 256, depth: int = 2) -> OANetNetwork:
    """The networks of the shipped preset; the sizes are ours (the paper's are not legible in public)."""
    return OANetNetwork(GapFilledEncoder(), width, depth, OURS, offset_3d=True)


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

    def forward(self, inputs: OANetInputs) -> Float[Tensor, "batch time joint 2"]:
        return self.oanet.refine_2d(inputs)


class AdversarialOANet(nn.Module):
    """OANet and its discriminator, which is half as wide; one step trains both. Ours."""

    def __init__(self, oanet: OANetNetwork) -> None:
        super().__init__()
        self.oanet = oanet
        self.discriminator = Discriminator(JOINTS, max(1, oanet.width // 2))

    def forward(
        self, inputs: OANetInputs, real: Float[Tensor, "batch time joint 3"] | None = None
    ) -> tuple[OANetOutput, DiscriminatorLogits | None]:
        """OANet's output, and the discriminator's logits where real poses are given."""
        output = self.oanet(inputs)
        if real is None:
            return output, None
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        fake = functional_call(self.discriminator, frozen, (output.xyz,))
        detached = self.discriminator(output.xyz.detach())
        return output, DiscriminatorLogits(fake, detached, self.discriminator(real))
