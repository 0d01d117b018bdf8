"""The input of OANet's temporal networks, as `masked_inputs.MaskedEncoder` makes it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FPS = 30.0
"""Frames per second inside the networks."""


@dataclass
class OANetInputs:
    """A batch of encoded 2D sequences, and how to undo the normalisation."""

    xy: Float[Tensor, "batch time joint 2"]
    """2D joints relative to the root, divided by the scale: roughly metres."""
    reliable: Float[Tensor, "batch time joint"]
    """Mask of the reliable joints."""
    extra: Float[Tensor, "batch time extra"]
    """Channels besides the coordinates."""
    root: Float[Tensor, "#batch #time 1 2"]
    scale: Float[Tensor, "#batch #time 1 1"]

    def channels(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time channels"]:
        """Input of a network that gets these 2D joints."""
        return torch.cat([xy.flatten(2), self.extra], -1)

    def corrected(self, correction: Float[Tensor, "batch time outputs"]) -> Float[Tensor, "batch time joint 2"]:
        """The 2D joints moved by the output of the 2D network, where they are reliable."""
        return self.xy + self.reliable.unsqueeze(-1) * correction.unflatten(-1, (-1, 2))

    def normalise(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time joint 2"]:
        """Other 2D joints of the same sequences, normalised alike."""
        return (xy - self.root) / self.scale

    def to(self, device: torch.device) -> "OANetInputs":
        """The same on a device."""
        return OANetInputs(*(value.to(device) for value in vars(self).values()))
