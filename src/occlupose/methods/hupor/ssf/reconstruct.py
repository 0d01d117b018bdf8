"""Skeleton2Pose: from a skeleton, a shape and twists to a body (HUPOR's supplement, section 2.2, after HybrIK)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, BodyModel
from occlupose.bodies.fitting import LIMBS, TWISTED, BodyFit, fit_pose, skeleton2pose, unskew
from occlupose.skeletons import BODY26

UPRIGHT = torch.diag(torch.tensor([1.0, -1, -1]))
"""Between the camera's frame (y down, z forward) and the same seen from behind the camera (y up); its own inverse."""

_TWISTED = [SEGMENTS.index(segment) for segment in TWISTED]
_STARTS, _ENDS = (
    BODY26.index(*(getattr(limb, end) for segment in TWISTED for limb in LIMBS if limb.segment == segment))
    for end in ("start", "end")
)


def reconstruct(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    twist: Float[Tensor, "batch 8"] | None = None,
    believed: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """Bodies of some shape that hold themselves as skeletons do, where these are. Differentiable in shape and twist.

    Arguments:
        joints: metres, camera frame; NaN where unknown.
        twist: radians about each of fitting.TWISTED; None as the hinges of elbows and knees say.
        believed: joints that the body is moved to; the others only tell how it is turned.
    """
    pose = UPRIGHT @ skeleton2pose(joints @ UPRIGHT, body, shape, twist)
    return translate_to_joints(joints, body, shape, pose, believed)


def translate_to_joints(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    pose: Float[Tensor, "batch 17 3 3"],
    believed: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """Bodies moved to where their known joints are nearest to those given; arguments as `reconstruct`."""
    known = joints.isfinite().all(-1)
    if believed is not None:
        known = known & believed
    count = known.sum(1).clamp_min(1)
    still = body.joints(pose, shape, torch.zeros(len(joints), 3))
    translation = torch.where(known[..., None], joints - still, 0.0).sum(1) / count[:, None]
    placed = still + translation[:, None]
    error = (torch.where(known[..., None], joints - placed, 0.0).square().sum(-1) + 1e-12).sqrt().sum(1) / count
    return BodyFit(pose, shape, translation, placed, error)


def fit_to_joints(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    pose: Float[Tensor, "batch 17 3 3"],
    believed: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """The same bodies with all segments moved together until the joints are met (`fitting.fit_pose`; ours); arguments
    as `reconstruct`.
    """
    return to_camera_frame(
        fit_pose(
            joints @ UPRIGHT,
            body,
            shape,
            pose=UPRIGHT @ pose,
            joint_weights=None if believed is None else believed.float(),
        )
    )


def to_camera_frame(fitted: BodyFit) -> BodyFit:
    """A fit to upright joints, in the camera frame."""
    return BodyFit(
        UPRIGHT @ fitted.pose, fitted.shape, fitted.translation @ UPRIGHT, fitted.joints @ UPRIGHT, fitted.error
    )


def twist_angles(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    pose: Float[Tensor, "batch 17 3 3"],
) -> Float[Tensor, "batch 8"]:
    """The twists with which `reconstruct` turns the limbs as in a pose: what the networks learn from. Radians, -pi to
    pi.

    Those of forearms and shanks depend on those of the limbs that they hang on, so they are found second.
    """
    twist = torch.zeros(len(joints), len(TWISTED))
    for names in (("upper_arm", "thigh"), ("forearm", "shank")):
        swung = (UPRIGHT @ skeleton2pose(joints @ UPRIGHT, body, shape, twist))[:, _TWISTED]
        beyond = pose[:, _TWISTED] @ swung.mT
        axis = limb_axes(joints)
        along = torch.einsum("bli,blij,blj->bl", axis, beyond, axis)
        angle = torch.atan2((unskew(beyond) * axis).sum(-1), beyond.diagonal(dim1=-2, dim2=-1).sum(-1) - along)
        asked = torch.tensor([segment.split("_", 1)[1] in names for segment in TWISTED])
        twist = torch.where(asked, angle, twist)
    return twist


def limb_axes(joints: Float[Tensor, "batch 26 3"]) -> Float[Tensor, "batch 8 3"]:
    """The directions that the limbs of TWISTED lie in; zero where unknown."""
    ends = joints[:, _ENDS] - joints[:, _STARTS]
    return torch.nn.functional.normalize(ends, dim=-1).nan_to_num()
