"""Rigid skeletons with rotations: the tree of a body, its fit to joints and keypoints over time, and joint angles."""

from occlupose.kinematics.body_tree import BodyTree, body_tree
from occlupose.kinematics.fit import fit_poses, fit_skeleton
from occlupose.kinematics.joint_angles import JointAngles, measure_angles
from occlupose.kinematics.live import LiveSkeleton
from occlupose.kinematics.result import SkeletonFit

__all__ = [
    "BodyTree",
    "JointAngles",
    "LiveSkeleton",
    "SkeletonFit",
    "body_tree",
    "fit_poses",
    "fit_skeleton",
    "measure_angles",
]
