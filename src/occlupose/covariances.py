"""Covariances of places as six numbers: xx, yy, zz, xy, xz, yz."""

from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

UNIT = np.array([1.0, 1, 1, 0, 0, 0])
"""The unit matrix as a covariance: xx, yy, zz, xy, xz, yz."""

SYMMETRIC = (0, 3, 4, 3, 1, 5, 4, 5, 2)
"""Where the elements of a 3 x 3 covariance, row by row, stand in xx, yy, zz, xy, xz, yz."""

Array = TypeVar("Array", bound=Any)


def to_matrix(six: Float[Array, "*any 6"]) -> Float[Array, "*any 3 3"]:
    """The covariance matrix of xx, yy, zz, xy, xz, yz."""
    return six[..., list(SYMMETRIC)].reshape(*six.shape[:-1], 3, 3)


def to_six(matrix: Float[Array, "*any 3 3"]) -> Float[Array, "*any 6"]:
    """xx, yy, zz, xy, xz, yz of a covariance matrix."""
    return matrix.reshape(*matrix.shape[:-2], 9)[..., [SYMMETRIC.index(column) for column in range(6)]]
