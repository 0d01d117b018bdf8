"""Rigid skeletons with rotations: the tree of a body, and its fit to joints and keypoints over time."""

from occlupose.kinematics.body_tree import BodyTree, body_tree
from occlupose.kinematics.fit import SkeletonFit, fit_skeleton

__all__ = ["BodyTree", "SkeletonFit", "body_tree", "fit_skeleton"]
