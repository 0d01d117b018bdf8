"""Losses of the temporal networks: those of the paper, and the plain distances that the shipped lifter learns from.

Sums over joints are means over frames and sequences, so that the paper's weights keep their meaning for any batch.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from occlupose.occlusion.cylinders import visibility
from occlupose.skeletons import Skeleton

SCALES = (0.25, 4.0)
"""Of a projection in the picture's units, which are about metres; ours."""

SYMMETRIC_BONES = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


def complete_2d(
    predicted: Float[Tensor, "batch time joint 2"],
    truth: Float[Tensor, "batch time joint 2"],
    where: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Mean distance of the completed 2D joints from the truth, over some of them.

    OANet eq. 3 takes squared differences over believed joints. Mocap knows the hidden ones too; that and the plain
    distance are ours.
    """
    return _mean((predicted - truth).norm(dim=-1), where)


def position_3d(
    predicted: Float[Tensor, "batch time joint 3"],
    truth: Float[Tensor, "batch time joint 3"],
    weight: Float[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Weighted mean distance of 3D joints (with equal weights the MPJPE itself). OANet eq. 4 squares it; the plain
    distance is ours.
    """
    return _mean((predicted - truth).norm(dim=-1), weight)


def velocity_3d(
    predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"]
) -> Float[Tensor, ""]:
    """Mean error of the change from frame to frame. Ours, against jitter."""
    return (predicted.diff(dim=1) - truth.diff(dim=1)).norm(dim=-1).mean()


def squared_2d(
    predicted: Float[Tensor, "batch time joint 2"],
    truth: Float[Tensor, "batch time joint 2"],
    believed: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Squared error of the refined 2D joints, over the believed ones. OANet eq. 3, L_2D^T."""
    return (((predicted - truth) ** 2).sum(-1) * believed).sum(-1).mean()


def squared_3d(
    predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"]
) -> Float[Tensor, ""]:
    """Squared error of the 3D joints. OANet eq. 4."""
    return ((predicted - truth) ** 2).sum((-1, -2)).mean()


def projection(
    xyz: Float[Tensor, "batch time joint 3"],
    xy: Float[Tensor, "batch time joint 2"],
    visible: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Squared distance of the orthographic projection from the visible 2D joints, in the picture's units. OANet eq. 5,
    L_proj.

    A picture does not tell metres: the projection is scaled and, frame by frame, moved to where it fits the 2D joints
    best. No gradient flows through the scale, and at the best one none along the size of the pose, which pictures can
    neither teach nor shrink. The scale stays within SCALES, so that a pose that is next to nothing, or turned away, has
    something to learn. Ours.
    """
    weight = visible.unsqueeze(-1).to(xyz.dtype)
    count = weight.sum(2, keepdim=True).clamp_min(1)
    flat, seen = ((points - (points * weight).sum(2, keepdim=True) / count) * weight for points in (xyz[..., :2], xy))
    with torch.no_grad():
        scale = (flat * seen).sum((1, 2, 3), keepdim=True) / (flat**2).sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return ((scale.clamp(*SCALES) * flat - seen) ** 2).sum((-1, -2)).mean()


def adversarial(judged: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """What OANet learns from the discriminator's logits of its answers: -log q, non-saturating (ours: the paper gives
    no form).
    """
    return binary_cross_entropy_with_logits(judged, torch.ones_like(judged))


def discrimination(real: Float[Tensor, "batch"], caught: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """What the discriminator learns: binary cross entropy, real poses 1, answers 0. OANet section 3.2, L_dis."""
    return (
        binary_cross_entropy_with_logits(real, torch.ones_like(real))
        + binary_cross_entropy_with_logits(caught, torch.zeros_like(caught))
    ) / 2


def regularisation(
    xyz: Float[Tensor, "batch time joint 3"], occluded: Bool[Tensor, "batch time joint"], skeleton: Skeleton
) -> Float[Tensor, ""]:
    """How visible the Cylinder Man finds joints that were not seen: the sum of their soft visibility. OANet eq. 8,
    L_reg.

    Arguments:
        xyz: metres, relative to the root; an orthographic camera looks along +z.
    """
    return (visibility(xyz, skeleton) * occluded).sum(-1).mean()


def symmetry(xyz: Float[Tensor, "batch time joint 3"], skeleton: Skeleton) -> Float[Tensor, ""]:
    """Squared difference in length between left and right bones, mean over bones.

    OANet section 3.2 (the printed second term is garbled).
    """

    def length(side: str) -> Tensor:
        start, end = ([skeleton.joints.index(f"{side}_{bone[k]}") for bone in SYMMETRIC_BONES] for k in (0, 1))
        return (xyz[..., start, :] - xyz[..., end, :]).norm(dim=-1)

    return ((length("left") - length("right")) ** 2).mean()


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)
