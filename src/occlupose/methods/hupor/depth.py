"""Depths of people (HUPOR, arXiv 2208.00090, supplement 1.1): the pelvis from visible torso joints, the other joints
from the fields.

A depth map is only valid where its joint is visible. The depth of a hidden pelvis is that of the midpoint of the hips,
or of another torso joint, minus their depth relative to the pelvis according to the fields. The supplement names the
pelvis, then both hips; the rest of `ROOT_CUES` is ours, with joints closer to the pelvis first.
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
"""Joints whose mean determines the depth of the pelvis if all of them are visible; the best first."""

MIN_VISIBLE = 0.5
"""A joint is visible where its heatmap of visible joints is higher (ours)."""


def relative_depths(
    limb_depths: Float[np.ndarray, "person limb"], codec: MultiPersonMaps
) -> Float[np.ndarray, "person joint"]:
    """Depth of each joint relative to the pelvis, m; a joint without its limb has the depth of the previous joint.

    Arguments:
        limb_depths: of each limb, from its first joint to its second (`grouping.sample_limb_depths`).
    """
    depths = np.zeros((len(limb_depths), len(codec.skeleton)))
    known = np.nan_to_num(limb_depths)
    for limb, start, end, reverse in limb_order(codec):
        depths[:, end] = depths[:, start] + (-1 if reverse else 1) * known[:, limb]
    return depths


def root_depths(
    depth: Float[np.ndarray, "person 7"],
    visibility: Float[np.ndarray, "person 7"],
    relative: Float[np.ndarray, "person joint"],
    codec: MultiPersonMaps,
) -> Float[np.ndarray, " person"]:
    """Depth of each pelvis, m.

    Arguments:
        depth: of torso joints according to their maps, m; NaN where a person has no such joint.
        visibility: height of the heatmap of visible joints at each, 0..1.
        relative: depths of joints relative to the pelvis (`relative_depths`).

    Returns:
        From the first of `ROOT_CUES` with all joints visible; otherwise the mean over joints, weighted by visibility;
        NaN without any joint.
    """
    estimates = depth - relative[:, codec.skeleton.index(*TORSO)]
    known = np.isfinite(estimates)
    weight = np.where(known, np.maximum(visibility, 1e-6), 0)
    total = weight.sum(-1)
    weighted = (weight * np.nan_to_num(estimates)).sum(-1)
    roots = np.divide(weighted, total, out=np.full(len(depth), np.nan), where=total > 0)
    visible = (known & (visibility > MIN_VISIBLE)).T
    for joints in reversed(ROOT_CUES):
        columns = [TORSO.index(joint) for joint in joints]
        all_visible = np.logical_and.reduce(visible[columns])
        roots = np.where(all_visible, sum(estimates[:, column] for column in columns) / len(columns), roots)
    return roots
