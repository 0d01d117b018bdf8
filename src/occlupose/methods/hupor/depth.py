"""How far away people are (HUPOR, arXiv 2208.00090, supplement 1.1): the pelvis by torso joints that are seen, the rest
by the fields.

A depth map is right only where its joint is seen. A hidden pelvis is as far away as the middle between the hips, or as
another joint of the torso, less what lies between them in depth by the fields. The supplement names the pelvis, then
both hips; the order of what follows is ours, that of `CLASSES`: joints nearer to the pelvis before farther ones.
"""

import numpy as np
from jaxtyping import Float

from occlupose.codecs.multi_person import TORSO, MultiPersonMaps
from occlupose.methods.hupor.grouping import limb_order

ROOT_CUES = (
    ("pelvis",),
    ("left_hip", "right_hip"),
    ("left_hip",),
    ("right_hip",),
    ("left_shoulder", "right_shoulder"),
    ("neck",),
    ("left_shoulder", "right_hip"),
    ("right_shoulder", "left_hip"),
    ("left_shoulder",),
    ("right_shoulder",),
    ("head_top",),
)
"""Joints that say where the pelvis is if all of them are seen, the best first."""

MIN_VISIBLE = 0.5
"""A joint is seen where its map of what is visible is higher (ours)."""


def relative_depths(
    limbs: Float[np.ndarray, "person limb"], maps: MultiPersonMaps
) -> Float[np.ndarray, "person joint"]:
    """How much farther away each joint is than the pelvis, m; a joint whose limb is missing is as far away as the joint
    before it.

    Arguments:
        limbs: of each limb, from its first joint to its second (`grouping.limb_depths`).
    """
    found = np.zeros((len(limbs), len(maps.skeleton)))
    known = np.nan_to_num(limbs)
    for limb, here, there, against in limb_order(maps):
        found[:, there] = found[:, here] + (-1 if against else 1) * known[:, limb]
    return found


def root_depths(
    depth: Float[np.ndarray, "person 7"],
    seen: Float[np.ndarray, "person 7"],
    further: Float[np.ndarray, "person joint"],
    maps: MultiPersonMaps,
) -> Float[np.ndarray, " person"]:
    """How far away each pelvis is, m.

    Arguments:
        depth: of torso joints by their maps, m; NaN where somebody has no such joint.
        seen: height of the map of what is visible at each, 0..1.
        further: how much farther away than the pelvis joints are (`relative`).

    Returns:
        By the first class of `CLASSES` all of which is seen; else the mean over joints, weighted by how far they are
        seen; NaN where there is no joint.
    """
    of_root = depth - further[:, maps.skeleton.index(*TORSO)]
    known = np.isfinite(of_root)
    weight = np.where(known, np.maximum(seen, 1e-6), 0)
    total = weight.sum(-1)
    found = np.divide(
        (weight * np.nan_to_num(of_root)).sum(-1), total, out=np.full(len(depth), np.nan), where=total > 0
    )
    sure = (known & (seen > MIN_VISIBLE)).T
    for joints in reversed(ROOT_CUES):
        columns = [TORSO.index(joint) for joint in joints]
        found = np.where(
            np.logical_and.reduce(sure[columns]), sum(of_root[:, column] for column in columns) / len(columns), found
        )
    return found
