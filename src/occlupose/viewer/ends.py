"""Feet, hands and the direction of the face, which fitted skeletons have beyond the joints of their records."""

from dataclasses import replace
from typing import Any

import numpy as np

from occlupose.body_parts import SIDES
from occlupose.poses import ABSENT, JOINT_FIELDS, OCCLUDED, VISIBLE, Poses, absent_array
from occlupose.skeletons import Skeleton

ENDS = (*(f"{side}_{end}" for end in ("heel", "big_toe", "hand") for side in SIDES), "nose")

_BONES = (("ankle", "heel"), ("heel", "big_toe"), ("ankle", "big_toe"), ("wrist", "hand"))
LIMBS = (*((f"{side}_{start}", f"{side}_{end}") for side in SIDES for start, end in _BONES), ("neck_nose", "nose"))


def with_ends(poses: Poses) -> Poses:
    """The poses with heels, big toes, hands and noses of their skeletons, after the joints that they have.

    Those are visible where `observed` has the keypoint visible, else occluded. Without skeletons the poses stay as they
    are.
    """
    if poses.rotation is None or poses.bone_offsets is None or poses.camera is None:
        return poses
    from occlupose.kinematics import SkeletonFit

    fit = SkeletonFit.of(poses)
    ends = [joint for joint in ENDS if joint not in poses.skeleton.joints]
    xyz = fit.xyz[:, :, fit.skeleton.index(*ends)]
    xy = poses.camera.project(xyz)
    known = np.isfinite(xy).all(-1)
    state = np.where(_observed(poses, fit.skeleton.subset(ends)) == VISIBLE, VISIBLE, OCCLUDED)
    added = {"xy": xy, "xyz": np.where(known[..., None], xyz, np.nan), "state": np.where(known, state, ABSENT)}
    for name in JOINT_FIELDS.keys() & poses.arrays.keys() - added.keys():
        added[name] = absent_array(name, *known.shape)
    arrays: dict[str, Any] = {name: np.concatenate([poses.arrays[name], values], 2) for name, values in added.items()}
    return replace(poses, skeleton=_extended(poses.skeleton, ends), **arrays)


def _observed(poses: Poses, ends: Skeleton) -> np.ndarray:
    """The states of these joints in the detections."""
    if poses.observed is None:
        return np.full((*poses.state.shape[:2], len(ends)), ABSENT)
    return poses.observed.to(ends).state


def _extended(skeleton: Skeleton, ends: list[str]) -> Skeleton:
    joints = (*skeleton.joints, *ends)
    limbs = tuple(limb for limb in LIMBS if set(limb) <= set(joints) and not set(limb) <= set(skeleton.joints))
    return Skeleton(f"{skeleton.name} with ends", joints, (*skeleton.limbs, *limbs), root=skeleton.root)
