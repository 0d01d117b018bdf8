"""Joints in the axes and sequences that the International Society of Biomechanics recommends.

At rest a person stands with hanging arms and palms forward; every segment has x forward, y up, z to the right. A joint
is the rotation of one segment relative to another, as turns about z, x and y of what was turned before (Grood and
Suntay, 1983; Wu et al., J. Biomech. 2002, for the hip and the ankle; Wu et al., J. Biomech. 2005, for the elbow), and
of the shoulder about y, x and y (Wu et al., 2005). Left joints are mirrored, so that they have the signs of right ones.
The axes of a segment are those of `body_tree`, which follow joint centres and not the ISB's bony landmarks.
"""

import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SIDES
from occlupose.kinematics.result import reference

AXES = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
"""x forward, y up and z to the right as columns, in the axes of the tree."""

MIRROR = np.diag([1.0, 1, -1])
ARMS = ("upper_arm", "forearm", "hand")
SUPINATED = ("forearm", "hand")


JOINTS = {
    "trunk": "chest",
    "hip": "thigh",
    "knee": "shank",
    "ankle": "foot",
    "shoulder": "upper_arm",
    "elbow": "forearm",
}
"""The segment that each joint turns; the one relative to which it does is its `result.reference`."""


def isb_axes(segment: str) -> Float64[np.ndarray, "3 3"]:
    """The ISB's axes of a segment as columns, in the tree's axes of this segment in its T-pose.

    An arm that hangs is turned by 90 degrees from the T-pose, where palms are down; then they face the thigh.
    """
    side, _, name = segment.partition("_")
    if side not in SIDES or name not in ARMS:
        return AXES
    sign = 1 if side == "left" else -1
    raised = Rotation.from_euler("z", sign * 90, degrees=True).as_matrix() @ AXES
    turn = -sign * 90 if name in SUPINATED else 0
    return raised @ Rotation.from_euler("y", turn, degrees=True).as_matrix()


def joint_rotation(
    segment: str, orientation: Mapping[str, Float64[np.ndarray, "*any 3 3"]]
) -> Float64[np.ndarray, "*any 3 3"]:
    """Rotation of a segment relative to its reference in the ISB's axes, as if it were a right one.

    Arguments:
        orientation: of each segment from rest, not relative to its parent.
    """
    parent = reference(segment)
    axes = orientation[parent] @ isb_axes(parent)
    rotation = axes.swapaxes(-1, -2) @ orientation[segment] @ isb_axes(segment)
    return MIRROR @ rotation @ MIRROR if segment.startswith("left") else rotation


TurnOrder = Literal["ZXY", "YXY"]
"""The axes about which a joint turns, one after the other."""


def turns(rotation: Float64[np.ndarray, "*any 3 3"], sequence: TurnOrder) -> Float64[np.ndarray, "*any 3"]:
    """Angles about the axes of a sequence, radians, positive by the right-hand rule; NaN where unknown.

    Of y, x, y the middle one is from -pi to 0: the elevation of an arm is negative.
    """
    flat = rotation.reshape(-1, 3, 3)
    known = np.isfinite(flat).all((1, 2))
    angles = np.full((len(flat), 3), np.nan)
    if known.any():
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # where two axes are parallel, one is 0
            angles[known] = Rotation.from_matrix(flat[known]).as_euler(sequence)
    if sequence[0] == sequence[2]:
        angles = np.stack([wrap(angles[:, 0] + np.pi), -angles[:, 1], wrap(angles[:, 2] - np.pi)], -1)
    return angles.reshape(*rotation.shape[:-2], 3)


def wrap(angle: Float64[np.ndarray, "*any"]) -> Float64[np.ndarray, "*any"]:
    """The same angle from -pi to pi, radians."""
    return np.arctan2(np.sin(angle), np.cos(angle))
