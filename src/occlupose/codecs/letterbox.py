"""A whole picture in an input of one size: as large as it fits, in the middle, grey beside it (HUPOR's code; SMAP's).

Coordinates are pixels with pixel centres at integers, matrices are 2x3 and act on columns (x, y, 1).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.pyramid import Pyramid

GREY = 128
"""Of what lies beside a picture."""


@dataclass(frozen=True)
class Letterbox:
    """An input of this size, px."""

    width: int = 832
    height: int = 512

    def scale(self, width: float, height: float) -> float:
        """Pixels of the input that a pixel of a picture of this size becomes."""
        return min(self.width / width, self.height / height)

    def matrix(
        self, width: int, height: int, *, turn: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0, 0)
    ) -> Float[np.ndarray, "2 3"]:
        """From a picture of this size to the input.

        Arguments:
            turn: degrees that the picture is turned by, so that all of it still fits.
            zoom: what its size is multiplied by afterwards.
            shift: how far it then moves, px of the input.
        """
        angle = np.deg2rad(turn)
        cos = np.cos(angle)
        sin = np.sin(angle)
        wide = width * abs(cos) + height * abs(sin)
        high = width * abs(sin) + height * abs(cos)
        linear = zoom * self.scale(wide, high) * np.array([[cos, -sin], [sin, cos]])
        middle = np.array([self.width - 1, self.height - 1]) / 2 + shift
        return np.concatenate([linear, (middle - linear @ (np.array([width - 1, height - 1]) / 2))[:, None]], -1)

    def show(self, picture: Pyramid, matrix: Float[np.ndarray, "2 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """The input that a matrix makes of a picture."""
        return picture.cut(matrix, self.width, self.height, GREY)
