"""The input of OANet's temporal networks: 2D joints of one person relative to the root, in units of the person's size,
and a 0/1 mask.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.skeletons import H36M17

ROOT = H36M17.joints.index("pelvis")
TORSO = H36M17.index("left_hip", "right_hip", "left_shoulder", "right_shoulder")

RMS_DISTANCE = torch.tensor(
    [0.0, 0.06, 0.4, 0.77, 0.06, 0.41, 0.77, 0.22, 0.44, 0.62, 0.7, 0.52, 0.36, 0.36, 0.51, 0.35, 0.36]
)
"""Root mean square distance of each joint from the root (metres, across a level line of sight), measured on the
training motion capture.
"""


@dataclass
class Normalised2D:
    """A batch of normalised 2D sequences, and how to undo the normalisation."""

    xy: Float[Tensor, "batch time joint 2"]
    """Relative to the root, divided by the scale: roughly metres. Zero where not reliable."""
    reliable: Bool[Tensor, "batch time joint"]
    """C_b of the paper: confidence (eq. 2) of at least b = 0.3."""
    root: Float[Tensor, "batch time 1 2"]
    scale: Float[Tensor, "batch 1 1 1"]

    def normalise(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time joint 2"]:
        """Other 2D joints of the same sequences, normalised alike."""
        return (xy - self.root) / self.scale


def normalise_2d(xy: Float[Tensor, "batch time joint 2"], reliable: Bool[Tensor, "batch time joint"]) -> Normalised2D:
    """Normalises 2D joints given in any unit (pixels, or the plane z = 1 of a camera).

    Root-centred and scaled as in the authors' later code. Ours: one scale for all frames of a sequence, and the
    substitutes of a missing root.

    Arguments:
        xy: H36M-17 joints; ignored where not reliable.
    """
    xy = torch.where(reliable.unsqueeze(-1), xy, 0.0)
    root = _root(xy, reliable)
    weight = reliable.float()
    measured = (((xy - root) ** 2).sum(-1) * weight).sum((1, 2)) + 1e-12
    expected = (RMS_DISTANCE.to(xy) ** 2 * weight).sum((1, 2)) + 1e-6
    scale = (measured / expected).sqrt().clamp_min(1e-6).view(-1, 1, 1, 1)
    return Normalised2D((xy - root) / scale * weight.unsqueeze(-1), reliable, root, scale)


def _root(
    xy: Float[Tensor, "batch time joint 2"], reliable: Bool[Tensor, "batch time joint"]
) -> Float[Tensor, "batch time 1 2"]:
    """The pelvis; where it is not reliable, the mean of the reliable hips and shoulders; without those, the last root
    before (or the first one after).
    """
    torso = reliable[:, :, TORSO].unsqueeze(-1).float()
    known = reliable[:, :, ROOT] | reliable[:, :, TORSO].any(-1)
    mean = (xy[:, :, TORSO] * torso).sum(2) / torso.sum(2).clamp_min(1)
    root = torch.where(reliable[:, :, ROOT, None], xy[:, :, ROOT], mean)
    time = torch.arange(xy.shape[1], device=xy.device)
    last = torch.where(known, time, -1).cummax(1).values
    first = torch.where(known, time, xy.shape[1]).amin(1, keepdim=True).clamp_max(xy.shape[1] - 1)
    source = torch.where(last < 0, first, last)
    return root.gather(1, source.unsqueeze(-1).expand_as(root)).unsqueeze(2)
