"""Occlusion labels of people in 3D: states of joints from what is in front of them.

`label_states` makes labels of whatever says which joints are hidden: a person's own cylinders (`label_poses`, as in
OANet section 4), those of everybody in the image (`hidden_by_cylinders`), or fitted bodies (`methods.hupor.labels`).
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from occlupose.errors import OccluposeError
from occlupose.occlusion.cylinders import (
    DEPTH_MARGIN,
    LIMB_RADIUS,
    OURS,
    OcclusionRules,
    place_cylinders,
    self_occluded,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import Skeleton

ANYBODY = OcclusionRules(margin=LIMB_RADIUS)
"""For a body's own cylinders: a joint is hidden if it lies a limb's radius further away than the part in front. Ours;
with a smaller margin the torso, which is as deep as it is wide, hides shoulders too often.
"""


def label_states(
    state: UInt8[np.ndarray, "*people joint"],
    xyz: Float[np.ndarray, "*people joint 3"],
    hidden: Bool[np.ndarray, "*people joint"],
) -> UInt8[np.ndarray, "*people joint"]:
    """States with labels: hidden joints are occluded, all others visible. Absent joints, and those whose position is
    not known, keep their state.
    """
    known = (state != ABSENT) & np.isfinite(xyz).all(-1)
    return np.where(known, np.where(hidden, OCCLUDED, VISIBLE), state).astype(np.uint8)


def label_poses(poses: Poses, *, perspective: bool = True, rules: OcclusionRules = OURS) -> Poses:
    """The same poses with states from the Cylinder Man: occluded where the person's own body is in front of the joint.

    Other people and objects occlude nothing here. Joints without `xyz` keep their state.

    Arguments:
        poses: with `xyz`.
        perspective: False looks along +z, as in the paper.
        rules: what occludes a joint.

    Raises:
        OccluposeError: the poses are 2D, or their skeleton lacks a joint that the Cylinder Man needs.
    """
    xyz = positions(poses)
    hidden = self_occluded(torch.from_numpy(xyz), poses.skeleton, perspective=perspective, rules=rules).numpy()
    return replace(poses, state=label_states(poses.state, xyz, hidden))


def hidden_by_cylinders(
    xyz: Float[np.ndarray, "person joint 3"], skeleton: Skeleton
) -> Bool[np.ndarray, "person joint"]:
    """Which joints are hidden from the camera by anybody's cylinders.

    Self-occlusion is that of `occlusion.cylinders`. A cylinder of another person hides a joint if the line of sight
    passes the cylinder's axis within its radius, and the nearest point of the axis is nearer to the camera (ours; OANet
    has one person).

    Arguments:
        xyz: joints, m, camera frame; joints that are NaN are not hidden and hide nothing.
    """
    joints = torch.from_numpy(xyz)
    own = self_occluded(joints, skeleton, rules=ANYBODY).numpy()
    if len(xyz) < 2:
        return own
    starts, ends, radii = place_cylinders(joints, skeleton)
    start = starts.numpy().reshape(-1, 3)
    axis = (ends - starts).numpy().reshape(-1, 3)
    radius = radii.numpy().reshape(-1)
    distance = np.linalg.norm(xyz, axis=-1)
    view = (xyz / distance[..., None]).reshape(-1, 3)
    # components along each line of sight; those across follow by Pythagoras
    start_along = view @ start.T
    axis_along = view @ axis.T
    start_across = (start**2).sum(-1) - start_along**2
    product_across = (start * axis).sum(-1) - start_along * axis_along
    axis_across = (axis**2).sum(-1) - axis_along**2
    # the point of the axis that is nearest to the line of sight
    fraction = np.clip(-product_across / np.maximum(axis_across, np.finfo(float).tiny), 0, 1)
    squared_distance = start_across + 2 * fraction * product_across + fraction**2 * axis_across
    along = start_along + fraction * axis_along
    nearer = distance.reshape(-1, 1) - along >= DEPTH_MARGIN
    covered = (squared_distance <= radius**2) & nearer & (along > 0)
    covered = covered.reshape(*xyz.shape[:2], len(xyz), -1)
    others = ~np.eye(len(xyz), dtype=bool)[:, None, :, None]
    return own | (covered & others).any((2, 3))


def positions(poses: Poses) -> Float[np.ndarray, "time person joint 3"]:
    """Joints of poses in metres.

    Raises:
        OccluposeError: the poses are 2D.
    """
    if poses.xyz is None:
        raise OccluposeError("holds 2D poses, without xyz; lift them first with occlupose lift")
    return poses.xyz
