"""How alike two regions are (see `occlupose.codecs.crops`), and which of several to keep.

Coordinates in this file are pixels with pixel centres at integers.
"""

import numpy as np
from jaxtyping import Float

from occlupose.codecs.crops import radius


def similarity(regions: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """How far two regions show one person, 0..1 (shapes broadcast): exp(-1) where one is moved by 0.35 radii. Ours."""
    apart = ((regions - others) ** 2).sum(-1)
    size = np.maximum(np.maximum(radius(regions), radius(others)), 1.0)
    return np.exp(-apart / (2 * (0.35 * size) ** 2))


def suppress(
    similar: Float[np.ndarray, "person person"], order: Float[np.ndarray, " person"], threshold: float
) -> list[int]:
    """Non-maximum suppression: the rows that stay, best first, no two of which are more similar than the threshold.

    Arguments:
        similar: how far rows i and j show the same thing.
        order: the larger stays; of two equal ones the earlier.
    """
    kept: list[int] = []
    for row in np.argsort(-order, kind="stable"):
        if not kept or similar[row, kept].max() <= threshold:
            kept.append(int(row))
    return kept
