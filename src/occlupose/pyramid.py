"""An image at several resolutions, and crops of it.

Coordinates are pixels with pixel centres at integers; matrices are 2x3 and act on columns (x, y, 1).
"""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def square_crop_matrix(left: float, top: float, side: float, size: int) -> Float[np.ndarray, "2 3"]:
    """Matrix from the full image to a `size` x `size` px crop of the square with this upper left corner (pixel edge)
    and side.
    """
    scale = size / side
    return np.array([[scale, 0, scale * (0.5 - left) - 0.5], [0, scale, scale * (0.5 - top) - 0.5]])


class Pyramid:
    """An image for crops without aliasing: each halved resolution is computed once, when it is first needed.

    Attributes:
        size: width and height of the image, px.
    """

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.size = (image.shape[1], image.shape[0])
        self._levels = [image]

    def crop(
        self, matrix: Float[np.ndarray, "2 3"], width: int, height: int, border_value: int = 0
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A crop of `width` x `height` px by an affine matrix (full image -> crop).

        Arguments:
            border_value: grey value outside of the image, 0 to 255.
        """
        (a, b, _), (c, d, _) = matrix.tolist()
        shrink = 1 / max(math.sqrt(abs(a * d - b * c)), 1e-6)
        level = self.level(int(math.log2(max(shrink * 1.15, 1))))
        scale = np.array([self.size[0] / level.shape[1], self.size[1] / level.shape[0]])
        at_level = matrix * np.array([*scale, 1])
        at_level[:, 2] += matrix[:, :2] @ (scale - 1) / 2
        border = (border_value,) * 3
        return cv2.warpAffine(
            level, at_level, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        )

    def level(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
        """The image halved `number` times, as far as possible."""
        while len(self._levels) <= number and max(self._levels[-1].shape[:2]) > 1:
            last = self._levels[-1]
            half = (max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1))
            self._levels.append(cv2.resize(last, half, interpolation=cv2.INTER_AREA))
        return self._levels[min(number, len(self._levels) - 1)]

    def build_levels(self) -> "Pyramid":
        """Compute all levels, so that threads may crop at the same time. Returns the pyramid itself."""
        self.level(max(self.size).bit_length())
        return self
