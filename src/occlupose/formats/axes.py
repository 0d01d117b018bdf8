"""The axes of files in 3D."""

import numpy as np
from jaxtyping import Float

from occlupose.kinematics.result import Y_UP
from occlupose.poses import Poses

__all__ = ["to_y_up"]


def to_y_up(poses: Poses) -> Float[np.ndarray, "time person joint 3"]:
    """The joints of poses in 3D, metres: x right, y up, z towards the camera, which is the origin; float32."""
    return np.asarray(poses.xyz) * np.array(Y_UP, np.float32)
