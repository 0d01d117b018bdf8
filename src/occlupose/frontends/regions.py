"""Similarity of regions (see `occlupose.codecs.crops`), overlap of boxes, and non-maximum suppression.

Coordinates in this file are pixels with pixel centres at integers.
"""

import numpy as np
from jaxtyping import Bool, Float

from occlupose.codecs.crops import radius


def similarity(regions: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """Similarity of regions, 0..1 (shapes broadcast): exp(-1) where one is moved by 0.35 radii. Ours."""
    apart = ((regions - others) ** 2).sum(-1)
    size = np.maximum(np.maximum(radius(regions), radius(others)), 1.0)
    return np.exp(-apart / (2 * (0.35 * size) ** 2))


def overlap(boxes: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """Intersection over union of bounding boxes (left, top, right, bottom), 0..1 (shapes broadcast)."""
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [np.maximum(each[..., 2:] - each[..., :2], 0).prod(-1) for each in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def has_area(boxes: Float[np.ndarray, "box 4"]) -> Bool[np.ndarray, " box"]:
    """Which boxes are wider and higher than nothing; NaN is neither."""
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=1)


def suppress_similar(
    similar: Float[np.ndarray, "person person"], order: Float[np.ndarray, " person"], threshold: float
) -> list[int]:
    """Non-maximum suppression: the rows that are kept, best first, no two of them more similar than the threshold.

    Arguments:
        similar: similarity of rows i and j.
        order: the larger is kept; of two equal ones the earlier.
    """
    kept: list[int] = []
    for row in np.argsort(-order, kind="stable"):
        if not kept or similar[row, kept].max() <= threshold:
            kept.append(int(row))
    return kept
