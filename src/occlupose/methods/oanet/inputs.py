"""The input of OANet's temporal networks. Two encoders make it: `masked_inputs.MaskedEncoder`, the paper's, and
`gap_filled_inputs.GapFilledEncoder`, of the shipped weights.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.poses import Poses
from occlupose.skeletons import Skeleton

FPS = 30.0
"""Frames per second inside the networks."""


@dataclass
class OANetInputs:
    """A batch of encoded 2D sequences, and how to undo the normalisation."""

    xy: Float[Tensor, "batch time joint 2"]
    """2D joints seen by the rotated camera, relative to the root, divided by the scale: roughly metres."""
    correctable: Float[Tensor, "batch time joint"]
    """Factor of each joint's correction by the 2D network, 0 to 1."""
    extra: Float[Tensor, "batch time extra"]
    """Channels besides the coordinates."""
    rotation: Float[Tensor, "#batch #time 3 3"]
    """From the axes of the camera."""
    root: Float[Tensor, "#batch #time 1 2"]
    scale: Float[Tensor, "#batch #time 1 1"]

    def channels(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time channels"]:
        """Input of a network that gets these 2D joints."""
        return torch.cat([xy.flatten(2), self.extra], -1)

    def corrected(self, correction: Float[Tensor, "batch time outputs"]) -> Float[Tensor, "batch time joint 2"]:
        """The 2D joints moved by the output of the 2D network, as far as they are correctable."""
        return self.xy + self.correctable.unsqueeze(-1) * correction.unflatten(-1, (-1, 2))

    def normalise(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time joint 2"]:
        """Other 2D joints of the same sequences, normalised alike."""
        rotated = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ self.rotation.mT
        return (rotated[..., :2] / rotated[..., 2:].clamp_min(0.1) - self.root) / self.scale

    def to_camera(
        self, xy: Float[Tensor, "batch time joint 2"], xyz: Float[Tensor, "batch time 17 3"]
    ) -> tuple[Float[Tensor, "batch time joint 2"], Float[Tensor, "batch time 17 3"]]:
        """Normalised 2D joints in the units that they were given in, and 3D joints in the camera's axes."""
        plane = xy * self.scale + self.root
        rays = torch.cat([plane, torch.ones_like(plane[..., :1])], -1) @ self.rotation
        return rays[..., :2] / rays[..., 2:].clamp_min(0.05), xyz @ self.rotation

    def to(self, device: torch.device) -> "OANetInputs":
        """The same on a device."""
        return OANetInputs(*(value.to(device) for value in vars(self).values()))


class InputEncoder(Protocol):
    """Encodes 2D joints as network input."""

    @property
    def skeleton(self) -> Skeleton:
        """Of the 2D joints."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def window(self) -> int | None:
        """Frames that are encoded together; None where later frames matter only within a known distance."""

    def observe(self, poses: Poses) -> tuple[Float[np.ndarray, "time joint 2"], Bool[np.ndarray, "time joint"]]:
        """The joints of one person on the camera's plane z = 1, and which of them are reliable; from any skeleton."""

    def __call__(
        self, rays: Float[Tensor, "batch time joint 2"], observed: Bool[Tensor, "batch time joint"]
    ) -> OANetInputs:
        """The network input.

        Arguments:
            rays: joints on the plane z = 1; ignored where not observed.
        """
