"""A first motion, from which the fit starts."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import median_filter
from torch import Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.fitting import skeleton2pose
from occlupose.errors import OccluposeError
from occlupose.kinematics.body_pose import to_tree
from occlupose.kinematics.observations import Observations
from occlupose.kinematics.solver import Motion, RigidBody
from occlupose.skeletons import BODY26, convert
from occlupose.world_frame import Direction, level_axes

MEDIAN = 5
"""Frames."""


def check_view(fps: float, up: Direction) -> None:
    """Refuses what is no frame rate or no direction.

    Raises:
        OccluposeError: it is not.
    """
    check_rate(fps)
    level_axes(up)


def check_rate(fps: float) -> None:
    """Refuses what is no frame rate.

    Raises:
        OccluposeError: it is not.
    """
    if not 0 < fps < np.inf:
        raise OccluposeError(f"fps {fps}: must be positive, in frames per second")


def first_motion(body: RigidBody, observations: Observations, up: tuple[float, float, float]) -> Motion:
    """A first motion: each frame by swings and hinges (see `bodies.fitting`), gaps of joints interpolated over time.

    Joints are the median of a few frames, so that outliers do not turn limbs the wrong way about.
    """
    axes = _upright(up)
    joints = torch.where(observations.known[..., None], observations.xyz, torch.nan).numpy()
    names = [body.tree.points[point] for point in observations.points.tolist()]
    body26 = convert(joints, body.tree.skeleton.subset(names), BODY26)
    filled = median_filter(interpolate_gaps(body26).astype(np.float32), (MEDIAN, 1, 1), mode="nearest")
    model = anny(captured=True)
    pose = skeleton2pose(torch.from_numpy(filled) @ axes.float(), model, model.neutral[None])
    rotation = axes @ to_tree(pose, body.tree)
    places = body.tree.place(rotation, body.offsets)[:, observations.points]
    known = observations.known[..., None]
    root = torch.where(known, observations.xyz - places, torch.nan).nanmedian(1).values
    return Motion(rotation, torch.from_numpy(interpolate_gaps(root[:, None].numpy())[:, 0]))


def _upright(up: tuple[float, float, float]) -> Float[Tensor, "3 3"]:
    """Axes of a body that stands, as columns: it faces the camera."""
    right, forward, upward = level_axes(up)
    return torch.from_numpy(np.stack([right, upward, -forward], -1))


def interpolate_gaps(values: Float[np.ndarray, "time joint 3"]) -> Float[np.ndarray, "time joint 3"]:
    """Unknown places on the line between those before and after; the nearest before the first and after the last."""
    filled = np.array(values)
    frames = np.arange(len(values))
    for joint in range(values.shape[1]):
        known = np.isfinite(values[:, joint]).all(-1)
        if known.any() and not known.all():
            for axis in range(3):
                filled[:, joint, axis] = np.interp(frames, frames[known], values[known, joint, axis])
    return filled
