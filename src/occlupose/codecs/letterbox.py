"""A whole image in an input of fixed size: as large as fits, on grey, centred (as in the code of HUPOR and SMAP) or in
the upper left corner (as in that of YOLOX).

Coordinates are pixels with pixel centres at integers; matrices are 2x3 and apply to columns (x, y, 1).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.pyramid import Pyramid

GREY = 128
"""Value of the padding."""


@dataclass(frozen=True)
class Letterbox:
    """An input of fixed size.

    Attributes:
        width, height: of the input, px.
        align: where the image is in the input.
        grey: value beside the image.
    """

    width: int = 832
    height: int = 512
    align: Literal["centre", "corner"] = "centre"
    grey: int = GREY

    def scale(self, width: float, height: float) -> float:
        """Pixels of the input per pixel of an image of this size."""
        return min(self.width / width, self.height / height)

    def matrix(
        self, width: int, height: int, *, turn: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0, 0)
    ) -> Float[np.ndarray, "2 3"]:
        """The matrix from an image of this size to the input.

        Arguments:
            turn: rotation in degrees; the whole image still fits.
            zoom: factor of the size afterwards.
            shift: translation after that, px of the input.
        """
        angle = np.deg2rad(turn)
        cos = np.cos(angle)
        sin = np.sin(angle)
        wide = width * abs(cos) + height * abs(sin)
        high = width * abs(sin) + height * abs(cos)
        scale = self.scale(wide, high)
        linear = zoom * scale * np.array([[cos, -sin], [sin, cos]])
        space = (self.width, self.height) if self.align == "centre" else (wide * scale, high * scale)
        input_centre = (np.array(space) - 1) / 2 + shift
        image_centre = np.array([width - 1, height - 1]) / 2
        return np.concatenate([linear, (input_centre - linear @ image_centre)[:, None]], -1)

    def warp(self, image: Pyramid, matrix: Float[np.ndarray, "2 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """The image warped into the input by a matrix."""
        return image.crop(matrix, self.width, self.height, self.grey)


def fit(width: float, height: float, side: float) -> tuple[int, int]:
    """Width and height of an image of this size after its longer side has become `side` px; at least one pixel."""
    scale = side / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)
