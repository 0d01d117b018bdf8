"""Skeleton2Pose: from a skeleton, a shape and twists to a body (HUPOR's supplement, section 2.2, after HybrIK)."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.bodies.body import BodyModel
from occlupose.bodies.fitting import LIMBS, TWISTED, BodyFit, fit_pose, skeleton2pose
from occlupose.skeletons import BODY26

UPRIGHT = torch.diag(torch.tensor([1.0, -1, -1]))
"""Between the camera frame (y down, z forward) and the same with y up and z backward; its own inverse."""

_TWISTED_LIMBS = [limb for segment in TWISTED for limb in LIMBS if limb.segment == segment]
_STARTS = BODY26.index(*(limb.start for limb in _TWISTED_LIMBS))
_ENDS = BODY26.index(*(limb.end for limb in _TWISTED_LIMBS))


def reconstruct(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    twist: Float[Tensor, "batch 8"] | None = None,
    fit_mask: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """Bodies of given shapes in the poses and at the positions of skeletons; differentiable with respect to shape and
    twist.

    Arguments:
        joints: metres, camera frame; NaN where unknown.
        twist: radians about each of `fitting.TWISTED`; None derives it from the hinges of elbows and knees.
        fit_mask: joints that the body is translated to; the others only determine its orientation.
    """
    pose = UPRIGHT @ skeleton2pose(joints @ UPRIGHT, body, shape, twist)
    return translate_to_joints(joints, body, shape, pose, fit_mask)


def translate_to_joints(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    pose: Float[Tensor, "batch 17 3 3"],
    fit_mask: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """Bodies translated to where their known joints are closest to the given ones; arguments as for `reconstruct`."""
    known = joints.isfinite().all(-1)
    if fit_mask is not None:
        known = known & fit_mask
    count = known.sum(1).clamp_min(1)
    untranslated = body.joints(pose, shape, torch.zeros(len(joints), 3))
    translation = torch.where(known[..., None], joints - untranslated, 0.0).sum(1) / count[:, None]
    placed = untranslated + translation[:, None]
    error = (torch.where(known[..., None], joints - placed, 0.0).square().sum(-1) + 1e-12).sqrt().sum(1) / count
    return BodyFit(pose, shape, translation, placed, error)


def fit_to_joints(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    pose: Float[Tensor, "batch 17 3 3"],
    fit_mask: Bool[Tensor, "26"] | None = None,
) -> BodyFit:
    """The same bodies after `fitting.fit_pose` refined all segments together to reach the joints (ours); arguments as
    for `reconstruct`.
    """
    weights = None if fit_mask is None else fit_mask.float()
    return to_camera_frame(fit_pose(joints @ UPRIGHT, body, shape, pose=UPRIGHT @ pose, joint_weights=weights))


def to_camera_frame(fitted: BodyFit) -> BodyFit:
    """A fit to upright joints, in the camera frame."""
    return replace(
        fitted,
        pose=UPRIGHT @ fitted.pose,
        translation=fitted.translation @ UPRIGHT,
        joints=fitted.joints @ UPRIGHT,
    )


def limb_axes(joints: Float[Tensor, "batch 26 3"]) -> Float[Tensor, "batch 8 3"]:
    """Directions of the limbs of TWISTED; zero where unknown."""
    ends = joints[:, _ENDS] - joints[:, _STARTS]
    return torch.nn.functional.normalize(ends, dim=-1).nan_to_num()
