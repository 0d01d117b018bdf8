"""The axes of files in 3D."""

import numpy as np
from jaxtyping import Float

from occlupose.poses import Poses

__all__ = ["Y_UP", "to_y_up"]

Y_UP = (1, -1, -1)
"""Signs that turn x right, y down, z forward into x right, y up, z towards the viewer, and back."""


def to_y_up(poses: Poses) -> Float[np.ndarray, "time person joint 3"]:
    """The joints of poses in 3D, metres: x right, y up, z towards the camera, which is the origin; float32."""
    return np.asarray(poses.xyz) * np.array(Y_UP, np.float32)
