"""Heels and big toes of the default body, which BODY26 does not have."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int

from occlupose.bodies.anny import anny
from occlupose.bodies.body import PARTS
from occlupose.skeletons import FEET4

BACK = 0.01
"""A heel is the mean of the vertices at most this far before the rearmost of the foot, metres."""

TIP = 0.02
"""A big toe is the mean of the vertices at most this far behind its tip, metres."""

SOLE = 0.04
"""Both are at most this far above the sole, metres."""


def feet(vertices: Float[np.ndarray, "*person vertex 3"]) -> Float[np.ndarray, "*person 4 3"]:
    """The joints of FEET4 from the vertices of default bodies, in their unit and axes."""
    return np.stack([vertices[..., rows, :].mean(-2) for rows in _vertices()], -2)


@cache
def _vertices() -> tuple[Int[np.ndarray, " vertex"], ...]:
    """The vertices of each joint of FEET4, of an average body that stands and faces +z."""
    body = anny()
    standing = body(torch.eye(3).expand(1, 17, 3, 3), body.neutral[None], torch.zeros(1, 3)).vertices[0].numpy()
    rows = []
    for joint in FEET4.joints:
        side, _, name = joint.partition("_")
        foot = np.flatnonzero(body.part.numpy() == PARTS.index(f"{side}_foot"))
        low = foot[standing[foot, 1] < standing[foot, 1].min() + SOLE]
        forward = standing[low, 2]
        near = forward > forward.max() - TIP if name == "big_toe" else forward < forward.min() + BACK
        rows.append(low[near])
    return tuple(rows)
