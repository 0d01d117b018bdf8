"""Where a person is, before the joints are known: a circle round the hips with an up direction; and the picture cut out of it.

A region is four numbers, `(hip x, hip y, top x, top y)`: the circle's centre lies between the hips, and the top is the point on the circle
that the person's head points to. It is what BlazePose's detector gives and what its landmark network is shown
(Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking", section 2.2).

Coordinates in this file are pixels with pixel centres at integers, matrices are 2x3 and act on columns (x, y, 1).
"""

import numpy as np
from jaxtyping import Float

Regions = Float[np.ndarray, "person 4"]


def radius(regions: Regions) -> Float[np.ndarray, " person"]:
    """Of the circle, px."""
    return np.linalg.norm(regions[..., 2:] - regions[..., :2], axis=-1)


def to_crop(regions: Regions, width: int, height: int, *, diameter: float) -> Float[np.ndarray, "person 2 3"]:
    """Matrices from the full image to upright crops of `width` x `height` px, the circles in the middle of them and `diameter` px wide."""
    up = regions[:, 2:] - regions[:, :2]
    scale = diameter / (2 * np.maximum(radius(regions), 1.0))
    length = np.maximum(np.linalg.norm(up, axis=-1), 1e-6)
    cosine, sine = -up[:, 1] / length * scale, -up[:, 0] / length * scale
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - (linear @ regions[:, :2, None])[..., 0]
    return np.concatenate([linear, offset[..., None]], -1)


def inverse(matrices: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 2 3"]:
    """The matrices that undo these."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], -1)


def apply(matrices: Float[np.ndarray, "*batch 2 3"], xy: Float[np.ndarray, "*batch point 2"]) -> Float[np.ndarray, "*batch point 2"]:
    """The points, moved by their matrix."""
    return xy @ matrices[..., :2].swapaxes(-1, -2) + matrices[..., None, :, 2]


def similarity(regions: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """How far two regions show one person, 0..1 (shapes broadcast): exp(-1) where one is moved by 0.35 radii. Ours."""
    apart = ((regions - others) ** 2).sum(-1)
    size = np.maximum(np.maximum(radius(regions), radius(others)), 1.0)
    return np.exp(-apart / (2 * (0.35 * size) ** 2))


def suppress(similar: Float[np.ndarray, "person person"], order: Float[np.ndarray, " person"], threshold: float) -> list[int]:
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
