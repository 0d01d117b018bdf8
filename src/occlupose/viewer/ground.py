"""The world in which people are drawn: up, and the floor under them."""

import numpy as np
from jaxtyping import Float

from occlupose.poses import Poses
from occlupose.world_frame import CAMERA_UP, WorldFrame

HEIGHT = 1.5
"""Of the camera above the floor where nobody is seen, metres."""

LOW = 0.15
"""Quantile of the heights of people's lowest joints at which the floor is put where it cannot be estimated. Ours."""


def find_world(poses: Poses) -> WorldFrame:
    """The world of the poses; else as the people tell; else level, or as the camera's up is, below the people.

    Arguments:
        poses: with `xyz`.
    """
    return poses.world or _estimate(poses) or _below(poses)


def _up(poses: Poses) -> tuple[float, float, float] | None:
    return None if poses.camera is None else poses.camera.up


def _estimate(poses: Poses) -> WorldFrame | None:
    from occlupose.world import estimate_world

    assert poses.xyz is not None
    uncertainty = {"covariance": poses.covariance, "root_covariance": poses.root_covariance}
    world, _ = estimate_world(poses.xyz, poses.skeleton, poses.fps, **uncertainty, up=_up(poses))
    return world


def _below(poses: Poses) -> WorldFrame:
    """The world whose floor is under the lowest joints."""
    assert poses.xyz is not None
    level = WorldFrame.from_floor(np.array(_up(poses) or CAMERA_UP), 0.0)
    lowest = _lowest(level.to_world(poses.xyz.astype(float))[..., 2])
    return WorldFrame.from_floor(level.up, float(np.quantile(lowest, LOW)) if len(lowest) else -HEIGHT)


def _lowest(heights: Float[np.ndarray, "time person joint"]) -> Float[np.ndarray, " each"]:
    """That of every person in every frame."""
    lowest = np.fmin.reduce(heights, axis=2, initial=np.nan)
    return lowest[np.isfinite(lowest)]
