"""Joints in the axes and sequences that the International Society of Biomechanics recommends.

At rest a person stands with hanging arms and palms forward; every segment has x forward, y up, z to the right. A joint
is the rotation of one segment relative to another, as turns about z, x and y of what was turned before (Grood and
Suntay, 1983; Wu et al., J. Biomech. 2002, for the hip and the ankle; Wu et al., J. Biomech. 2005, for the elbow), and
of the shoulder about y, x and y (Wu et al., 2005). Left joints are mirrored, so that they have the signs of right ones.
The axes of a segment are those of `body_tree`, which follow joint centres and not the ISB's bony landmarks.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SIDES

AXES = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
"""x forward, y up and z to the right as columns, in the axes of the tree."""

MIRROR = np.diag([1.0, 1, -1])
ARMS = ("upper_arm", "forearm", "hand")
SUPINATED = ("forearm", "hand")


@dataclass(frozen=True)
class IsbJoint:
    """A joint of one side or of the middle of the body.

    Attributes:
        parent: the segment that it is measured from.
        chain: segments from there to the other one, each the parent of the next.
        sequence: axes about which it turns.
    """

    parent: str
    chain: tuple[str, ...]
    sequence: str = "ZXY"


def isb_joint(name: str, side: str = "") -> IsbJoint:
    """The hip, knee, ankle, shoulder or elbow of a side, or the trunk: the chest on the pelvis."""
    parent, *chain = [segment.format(side=side) for segment in _CHAINS[name]]
    return IsbJoint(parent, tuple(chain), "YXY" if name == "shoulder" else "ZXY")


_CHAINS = {
    "trunk": ("pelvis", "abdomen", "chest"),
    "hip": ("pelvis", "{side}_thigh"),
    "knee": ("{side}_thigh", "{side}_shank"),
    "ankle": ("{side}_shank", "{side}_foot"),
    "shoulder": ("chest", "{side}_clavicle", "{side}_upper_arm"),
    "elbow": ("{side}_upper_arm", "{side}_forearm"),
}


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


def rotate_joint(
    joint: IsbJoint, relative: Sequence[Float64[np.ndarray, "*any 3 3"]]
) -> Float64[np.ndarray, "*any 3 3"]:
    """Rotation of a joint in the ISB's axes, as if it were a right one.

    Arguments:
        relative: rotation of each segment of the chain from rest, relative to its parent.
    """
    rotation = isb_axes(joint.parent).T @ reduce(np.matmul, relative) @ isb_axes(joint.chain[-1])
    return MIRROR @ rotation @ MIRROR if joint.chain[-1].startswith("left") else rotation


def turns(rotation: Float64[np.ndarray, "*any 3 3"], sequence: str) -> Float64[np.ndarray, "*any 3"]:
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
