"""How uncertain joints are, as one number for each: in the image and in 3D."""

import numpy as np
from jaxtyping import Float

from occlupose.poses import ABSENT, Poses


def joint_deviation(covariance: Float[np.ndarray, "*n 6"] | None) -> Float[np.ndarray, "*n"] | None:
    """Standard deviation of positions along an axis, m: the root mean square over the three; None for None.

    Arguments:
        covariance: as of `Poses`, m^2.
    """
    return None if covariance is None else np.sqrt(np.maximum(covariance[..., :3], 0).mean(-1))


def image_spread(poses: Poses) -> Float[np.ndarray, "time person joint"] | None:
    """Standard deviation of each joint in the image along an axis, px; NaN where unknown, None if nowhere known.

    That of the keypoints if it is known, else that of `xyz` seen by the camera, else that of the detections.
    """
    sources = (poses.spread, _seen(poses), _detected(poses))
    spread = next((each for each in sources if each is not None and np.isfinite(each).any()), None)
    return None if spread is None else np.where(poses.state == ABSENT, np.nan, spread)


def _seen(poses: Poses) -> np.ndarray | None:
    """The covariance across the view, by the focal length and the depth."""
    if poses.covariance is None or poses.xyz is None or poses.camera is None:
        return None
    focal = (poses.camera.fx + poses.camera.fy) / 2
    depth = poses.xyz[..., 2]
    across = np.sqrt(np.maximum(poses.covariance[..., :2], 0).mean(-1))
    return focal * across / np.where(depth > 0, depth, np.nan)


def _detected(poses: Poses) -> np.ndarray | None:
    if poses.observed is None or poses.observed.spread is None:
        return None
    return poses.observed.to(poses.skeleton).spread
