"""Losses of the temporal networks."""

from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.skeletons import Skeleton

SYMMETRIC_BONES = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


def complete_2d(
    predicted: Float[Tensor, "batch time joint 2"], truth: Float[Tensor, "batch time joint 2"], where: Bool[Tensor, "batch time joint"]
) -> Float[Tensor, ""]:
    """Mean distance of the completed 2D joints from the truth, over some of them.

    OANet eq. 3 takes squared differences over believed joints. Mocap knows the hidden ones too; that and the plain distance are ours.
    """
    return _mean((predicted - truth).norm(dim=-1), where)


def position_3d(
    predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"], weight: Float[Tensor, "batch time joint"]
) -> Float[Tensor, ""]:
    """Weighted mean distance of 3D joints (with equal weights the MPJPE itself). OANet eq. 4 squares it; the plain distance is ours."""
    return _mean((predicted - truth).norm(dim=-1), weight)


def velocity_3d(predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"]) -> Float[Tensor, ""]:
    """Mean error of the change from frame to frame. Ours, against jitter."""
    return (predicted.diff(dim=1) - truth.diff(dim=1)).norm(dim=-1).mean()


def symmetry(xyz: Float[Tensor, "batch time joint 3"], skeleton: Skeleton) -> Float[Tensor, ""]:
    """Squared difference in length between left and right bones, mean over bones.

    OANet section 3.2 (the printed second term is garbled; METHODS D2).
    """

    def length(side: str) -> Tensor:
        start, end = ([skeleton.joints.index(f"{side}_{bone[k]}") for bone in SYMMETRIC_BONES] for k in (0, 1))
        return (xyz[..., start, :] - xyz[..., end, :]).norm(dim=-1)

    return ((length("left") - length("right")) ** 2).mean()


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)
