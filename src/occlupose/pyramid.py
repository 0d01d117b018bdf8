"""A picture at several sizes, and what is cut out of it.

Coordinates are pixels with pixel centres at integers; matrices are 2x3 and act on columns (x, y, 1).
"""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def window(left: float, top: float, side: float, size: int) -> Float[np.ndarray, "2 3"]:
    """Matrix from the full image to a `size` x `size` px picture of the square with this corner (pixel edge) and
    side.
    """
    scale = size / side
    return np.array([[scale, 0, scale * (0.5 - left) - 0.5], [0, scale, scale * (0.5 - top) - 0.5]])


class Pyramid:
    """An image that is cut from without aliasing: halved as often as asked, each half made once.

    Attributes:
        size: width and height of the image, px.
    """

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.size = (image.shape[1], image.shape[0])
        self._levels = [image]

    def cut(
        self, matrix: Float[np.ndarray, "2 3"], width: int, height: int, beyond: int = 0
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of `width` x `height` px that the matrix (full image -> picture) shows; so grey beyond the image,
        0 being black.
        """
        (a, b, _), (c, d, _) = matrix.tolist()
        shrink = 1 / max(math.sqrt(abs(a * d - b * c)), 1e-6)
        level = self.level(int(math.log2(max(shrink * 1.15, 1))))
        scale = np.array([self.size[0] / level.shape[1], self.size[1] / level.shape[0]])
        at_level = matrix * np.array([*scale, 1])
        at_level[:, 2] += matrix[:, :2] @ (scale - 1) / 2
        border = (beyond,) * 3
        return cv2.warpAffine(
            level, at_level, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        )

    def level(self, wanted: int) -> UInt8[np.ndarray, "height width 3"]:
        """The image, halved so many times, as far as it can be."""
        while len(self._levels) <= wanted and max(self._levels[-1].shape[:2]) > 1:
            last = self._levels[-1]
            half = (max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1))
            self._levels.append(cv2.resize(last, half, interpolation=cv2.INTER_AREA))
        return self._levels[min(wanted, len(self._levels) - 1)]

    def complete(self) -> "Pyramid":
        """The same with every size made, so that threads may cut from it side by side."""
        self.level(max(self.size).bit_length())
        return self
