"""What the temporal networks of OANet see: 2D joints of one person relative to the root, in units of the person's size,
and a 0/1 mask.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.skeletons import H36M17

ROOT = H36M17.joints.index("pelvis")
TORSO = H36M17.index("left_hip", "right_hip", "left_shoulder", "right_shoulder")

SPREAD = torch.tensor(
    [0.0, 0.06, 0.4, 0.77, 0.06, 0.41, 0.77, 0.22, 0.44, 0.62, 0.7, 0.52, 0.36, 0.36, 0.51, 0.35, 0.36]
)
"""Root mean square distance (metres, across a level line of sight) of each joint from the root; measured on the
training mocap.
"""


@dataclass
class Picture:
    """A batch of 2D sequences as the networks see them, and the way back."""

    xy: Float[Tensor, "batch time joint 2"]
    """Relative to the root, in units of the size: about metres."""
    believed: Bool[Tensor, "batch time joint"]
    """C_b of the paper: evidence (eq. 2) of at least b = 0.3."""
    root: Float[Tensor, "batch time 1 2"]
    size: Float[Tensor, "batch 1 1 1"]

    def to_units(self, xy: Float[Tensor, "batch time joint 2"]) -> Float[Tensor, "batch time joint 2"]:
        """Other 2D joints of the same sequences as this picture has them."""
        return (xy - self.root) / self.size


def frame(xy: Float[Tensor, "batch time joint 2"], believed: Bool[Tensor, "batch time joint"]) -> Picture:
    """The picture of 2D joints in any unit (pixels, or the plane z = 1 of a camera).

    Root-centred and scaled as in the authors' later code; one size a sequence, so that every frame of it is treated
    alike, and the rule where the root is missing are ours.

    Arguments:
        xy: H36M-17 joints; ignored where not believed.
    """
    xy = torch.where(believed.unsqueeze(-1), xy, 0.0)
    root = _root(xy, believed)
    weight = believed.float()
    square = (((xy - root) ** 2).sum(-1) * weight).sum((1, 2)) + 1e-12
    usual = (SPREAD.to(xy) ** 2 * weight).sum((1, 2)) + 1e-6
    picture = Picture(xy, believed, root, (square / usual).sqrt().clamp_min(1e-6).view(-1, 1, 1, 1))
    picture.xy = picture.to_units(xy) * weight.unsqueeze(-1)
    return picture


def _root(
    xy: Float[Tensor, "batch time joint 2"], believed: Bool[Tensor, "batch time joint"]
) -> Float[Tensor, "batch time 1 2"]:
    """The pelvis; where it is not believed, the mean of the hips and shoulders that are; else where it was before (or
    will be).
    """
    torso = believed[:, :, TORSO].unsqueeze(-1).float()
    known = believed[:, :, ROOT] | believed[:, :, TORSO].any(-1)
    mean = (xy[:, :, TORSO] * torso).sum(2) / torso.sum(2).clamp_min(1)
    root = torch.where(believed[:, :, ROOT, None], xy[:, :, ROOT], mean)
    time = torch.arange(xy.shape[1], device=xy.device)
    last = torch.where(known, time, -1).cummax(1).values
    first = torch.where(known, time, xy.shape[1]).amin(1, keepdim=True).clamp_max(xy.shape[1] - 1)
    held = torch.where(last < 0, first, last)
    return root.gather(1, held.unsqueeze(-1).expand_as(root)).unsqueeze(2)
