"""Poses of the body models as rotations of the tree, and back."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, SIDES, interpolate_rotations
from occlupose.bodies.fitting import swing_rotation
from occlupose.kinematics.body_tree import BodyTree, body_bone


def to_tree(pose: Float[Tensor, "pose 17 3 3"], tree: BodyTree) -> Float[Tensor, "pose segment 3 3"]:
    """Rotations of the tree's segments from the T-pose, from those of the body model's from its own rest pose.

    The abdomen is turned halfway from pelvis to chest, the neck halfway from chest to head; toes follow the foot.
    """
    from_rest = pose.double() @ rest_rotations()
    known = dict(zip(SEGMENTS, from_rest.unbind(1), strict=True))
    half = torch.full((len(pose),), 0.5, dtype=torch.float64)
    known["abdomen"] = interpolate_rotations(known["pelvis"], known["chest"], half)
    known["neck"] = interpolate_rotations(known["chest"], known["head"], half)
    known |= {f"{side}_toes": known[f"{side}_foot"] for side in ("left", "right")}
    return torch.stack([known[segment] for segment in tree.segments], 1)


def from_tree(rotation: Float[Tensor, "pose segment 3 3"], tree: BodyTree) -> Float[Tensor, "pose 17 3 3"]:
    """The pose of a body model from rotations of the tree's segments; abdomen, neck and toes are left out."""
    chosen = [tree.segments.index(segment) for segment in SEGMENTS]
    return rotation[:, chosen] @ rest_rotations().mT


@cache
def rest_rotations() -> Float[Tensor, "segment 3 3"]:
    """Rotation of each of the body model's segments from the T-pose to its own rest pose.

    Elbows of the body model are bent at rest, so its upper arms and forearms are turned until both bend about one axis;
    that makes the palms face down in the T-pose to within 7 degrees.
    """
    rotation = {segment: torch.eye(3, dtype=torch.float64) for segment in SEGMENTS}
    for side in SIDES:
        upper = body_bone(f"{side}_elbow")
        fore = body_bone(f"{side}_wrist")
        hinge = np.cross(upper, fore)
        for name, along in (("upper_arm", upper), ("forearm", fore)):
            rotation[f"{side}_{name}"] = _frame(along, hinge) @ _rest_frame(side).T
        swing = _swing(fore, body_bone(f"{side}_hand"))
        rotation[f"{side}_hand"] = swing @ rotation[f"{side}_forearm"]
        for name, end in (("thigh", "knee"), ("shank", "ankle")):
            rotation[f"{side}_{name}"] = _swing(np.array([0.0, -1, 0]), body_bone(f"{side}_{end}"))
    return torch.stack([rotation[segment] for segment in SEGMENTS])


def _swing(one: Float[np.ndarray, "3"], other: Float[np.ndarray, "3"]) -> Float[Tensor, "3 3"]:
    return swing_rotation(torch.from_numpy(one)[None], torch.from_numpy(other)[None])[0]


def _frame(along: Float[np.ndarray, "3"], hinge: Float[np.ndarray, "3"]) -> Float[Tensor, "3 3"]:
    """Axes along a limb and along its hinge, which is across, as columns."""
    x = along / np.linalg.norm(along)
    y = hinge / np.linalg.norm(hinge)
    return torch.from_numpy(np.stack([x, y, np.cross(x, y)], -1))


def _rest_frame(side: str) -> Float[Tensor, "3 3"]:
    sign = 1.0 if side == "left" else -1.0
    return _frame(np.array([sign, 0, 0]), np.array([0, -sign, 0]))
