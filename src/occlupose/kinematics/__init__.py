"""Rigid skeletons with rotations: the tree of a body, and its fit to joints and keypoints over time."""

from occlupose.kinematics.body_tree import BodyTree, body_tree
from occlupose.kinematics.fit import fit_skeleton
from occlupose.kinematics.live import LiveSkeleton
from occlupose.kinematics.result import SkeletonFit

__all__ = ["BodyTree", "LiveSkeleton", "SkeletonFit", "body_tree", "fit_skeleton"]
