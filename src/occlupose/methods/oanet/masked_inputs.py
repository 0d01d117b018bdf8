"""The paper's input of OANet's temporal networks: 2D joints of one person relative to the root, in units of the
person's size, times a 0/1 mask.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.cameras import Camera
from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.poses import ABSENT, VISIBLE, Poses
from occlupose.skeletons import H36M17

ROOT = H36M17.joints.index("pelvis")
TORSO = H36M17.index("left_hip", "right_hip", "left_shoulder", "right_shoulder")

RMS_DISTANCE = torch.tensor(
    [0.0, 0.06, 0.4, 0.77, 0.06, 0.41, 0.77, 0.22, 0.44, 0.62, 0.7, 0.52, 0.36, 0.36, 0.51, 0.35, 0.36]
)
"""Root mean square distance of each joint from the root (metres, across a level line of sight), measured on the
training motion capture.
"""


@dataclass(frozen=True)
class MaskedEncoder:
    """Unreliable joints are at the root, before and after the 2D network (eq. 3), as in the authors' later code.

    Attributes:
        window: frames of a sequence; they share one scale.
        min_confidence: lowest confidence of a reliable joint.
        mask_channel: the reliability mask is an input of the networks (an option; ours).
    """

    window: int = 128
    min_confidence: float = MIN_CONFIDENCE
    mask_channel: bool = False

    skeleton = H36M17

    @property
    def channels(self) -> int:
        return (3 if self.mask_channel else 2) * len(H36M17)

    def observe(self, poses: Poses) -> tuple[Float[np.ndarray, "time 17 2"], Bool[np.ndarray, "time 17"]]:
        """One person's 2D joints on the plane z = 1, and which of them are reliable."""
        rays, confidence, present = observed_rays(poses)
        return rays.numpy(), (present & (confidence >= self.min_confidence)).numpy()

    def __call__(self, rays: Float[Tensor, "batch time 17 2"], observed: Bool[Tensor, "batch time 17"]) -> OANetInputs:
        """Normalises 2D joints given in any unit (pixels, or the plane z = 1 of a camera).

        Root-centred and scaled as in the authors' later code. Ours: one scale for all frames of a sequence, and the
        substitutes of a missing root.
        """
        xy = torch.where(observed.unsqueeze(-1), rays, 0.0)
        root = _root(xy, observed)
        weight = observed.to(xy)
        measured = (((xy - root) ** 2).sum(-1) * weight).sum((1, 2)) + 1e-12
        expected = (RMS_DISTANCE.to(xy) ** 2 * weight).sum((1, 2)) + 1e-6
        scale = (measured / expected).sqrt().clamp_min(1e-6).view(-1, 1, 1, 1)
        mask = weight if self.mask_channel else weight[..., :0]
        return OANetInputs((xy - root) / scale * weight.unsqueeze(-1), weight, mask, root, scale)


def observed_rays(
    poses: Poses,
) -> tuple[Float[Tensor, "time 17 2"], Float[Tensor, "time 17"], Bool[Tensor, "time 17"]]:
    """One person's 2D joints on the plane z = 1 (H36M-17), their confidence (0 where not visible), and which are not
    absent.
    """
    poses = poses.to(H36M17)
    camera = poses.camera or Camera.from_fov(poses.width, poses.height)
    state = poses.state[:, 0]
    score = np.where(state == VISIBLE, poses.score[:, 0], 0.0).astype(np.float32)
    rays = np.nan_to_num(camera.rays(poses.xy[:, 0])[..., :2]).astype(np.float32)
    return torch.from_numpy(rays), torch.from_numpy(score), torch.from_numpy(state != ABSENT)


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
