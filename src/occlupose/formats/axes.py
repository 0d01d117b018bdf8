"""The axes of files with y up: x right, z towards the camera, metres.

Where the record has a world, y = 0 is its floor and the origin lies on it, straight below the camera. Else up is that
of the image, and the origin is the camera.
"""

import numpy as np
from jaxtyping import Float

from occlupose.poses import Poses
from occlupose.world_frame import y_up_axes

__all__ = ["to_y_up"]


def to_y_up(poses: Poses) -> Float[np.ndarray, "time person joint 3"]:
    """The joints of poses in 3D; float32."""
    axes, origin = y_up_axes(poses.world)
    return (np.asarray(poses.xyz, float) @ axes.T + origin).astype(np.float32)
