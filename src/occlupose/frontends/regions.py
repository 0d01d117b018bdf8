"""Where a person is, before the joints are known: a circle round the hips with an up direction; and the picture cut out of it.

A region is four numbers, `(hip x, hip y, top x, top y)`: the circle's centre lies between the hips, and the top is the point on the circle
that the person's head points to. It is what BlazePose's detector gives and what its landmark network is shown
(Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking", section 2.2).

Coordinates in this file are pixels with pixel centres at integers, matrices are 2x3 and act on columns (x, y, 1).
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

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


def window(left: float, top: float, side: float, size: int) -> Float[np.ndarray, "2 3"]:
    """Matrix from the full image to a `size` x `size` px picture of the square with this corner (pixel edge) and side."""
    scale = size / side
    return np.array([[scale, 0, scale * (0.5 - left) - 0.5], [0, scale, scale * (0.5 - top) - 0.5]])


def inverse(matrices: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 2 3"]:
    """The matrices that undo these."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], -1)


def apply(matrices: Float[np.ndarray, "*batch 2 3"], xy: Float[np.ndarray, "*batch point 2"]) -> Float[np.ndarray, "*batch point 2"]:
    """The points, moved by their matrix."""
    return xy @ matrices[..., :2].swapaxes(-1, -2) + matrices[..., None, :, 2]


class Pyramid:
    """An image that is cut from without aliasing: halved as often as asked, each half made once.

    Attributes:
        size: width and height of the image, px.
    """

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.size = (image.shape[1], image.shape[0])
        self._levels = [image]

    def cut(self, matrix: Float[np.ndarray, "2 3"], width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of `width` x `height` px that the matrix (full image -> picture) shows; black beyond the image."""
        shrink = 1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6)
        level = self._level(int(np.log2(max(shrink * 1.15, 1))))
        scale = np.array([self.size[0] / level.shape[1], self.size[1] / level.shape[0]])
        at_level = matrix * np.array([*scale, 1])
        at_level[:, 2] += matrix[:, :2] @ (scale - 1) / 2
        return cv2.warpAffine(level, at_level, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def _level(self, wanted: int) -> UInt8[np.ndarray, "height width 3"]:
        while len(self._levels) <= wanted and max(self._levels[-1].shape[:2]) > 1:
            last = self._levels[-1]
            half = (max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1))
            self._levels.append(cv2.resize(last, half, interpolation=cv2.INTER_AREA))
        return self._levels[min(wanted, len(self._levels) - 1)]


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
