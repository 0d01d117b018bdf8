"""Body height: the values that a person's height may have, and what the skeletons' bones leave out of it."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17

HEAD_ABOVE_NECK = 0.14
SOLE_BELOW_ANKLE = 0.08
"""Metres from the mocap's head joint to the crown, and from ankle to sole, of an average adult. Ours."""


def check_height(height: float | None) -> None:
    """Raises OccluposeError for a height outside 0.3 to 3 m; None is accepted."""
    if height is not None and not 0.3 <= height <= 3:
        raise OccluposeError(f"height {height}: people are 0.3 to 3 metres tall; give metres")


def measure_height(xyz: Float[np.ndarray, "*person time 17 3"]) -> Float[np.ndarray, "*person"]:
    """Height of standing people with these bones, m: median bone lengths from crown to sole, left and right averaged.

    Arguments:
        xyz: H36M-17, m.
    """
    trunk = [("head_top", "neck_nose"), ("neck_nose", "thorax"), ("thorax", "spine"), ("spine", "pelvis")]
    legs = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in pairwise(("hip", "knee", "ankle"))]
    start = H36M17.index(*(one for one, _ in trunk + legs))
    end = H36M17.index(*(other for _, other in trunk + legs))
    length = np.nanmedian(np.linalg.norm(xyz[..., start, :] - xyz[..., end, :], axis=-1), -2)
    whole = length[..., : len(trunk)].sum(-1) + length[..., len(trunk) :].sum(-1) / 2
    return HEAD_ABOVE_NECK + whole + SOLE_BELOW_ANKLE
