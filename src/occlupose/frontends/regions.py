"""Similarity of regions (see `occlupose.codecs.crops`) and non-maximum suppression.

Coordinates in this file are pixels with pixel centres at integers.
"""

import numpy as np
from jaxtyping import Float

from occlupose.codecs.crops import radius


def similarity(regions: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """Similarity of regions, 0..1 (shapes broadcast): exp(-1) where one is moved by 0.35 radii. Ours."""
    apart = ((regions - others) ** 2).sum(-1)
    size = np.maximum(np.maximum(radius(regions), radius(others)), 1.0)
    return np.exp(-apart / (2 * (0.35 * size) ** 2))


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
