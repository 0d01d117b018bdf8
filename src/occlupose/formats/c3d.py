"""C3D files of points (c3d.org), written with ezc3d.

Points are in millimetres, x right, y up, z towards the camera; `X_SCREEN` and `Y_SCREEN` say so. Where the record has a
world, y = 0 is the floor and the origin lies on it, straight below the camera; else up is that of the image, and the
camera the origin. The frame rate stands for the times. Of several people the labels are `id_1:left_wrist`, by track id.

A missing point has the residual -1. The others have the standard deviation of their position relative to the root in
whole millimetres (mean over the axes, at most 255), or 0 where it is unknown, which in C3D marks points that were not
measured directly. The camera mask says which camera saw a point: the first one a visible joint, none an occluded one.
"""

import errno
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.formats.axes import to_y_up
from occlupose.poses import VISIBLE, Poses

__all__ = ["write"]

MAX_FRAMES = 65_535
"""Frames that the header can count."""

MILLIMETRES = 1000
CAMERAS = 7


def write(poses: Poses, path: Path) -> None:
    """Writes everybody.

    Raises:
        OccluposeError: too many frames.
        OSError: the file cannot be written.
    """
    import ezc3d

    if len(poses) > MAX_FRAMES:
        raise OccluposeError(f"{len(poses)} frames, C3D counts up to {MAX_FRAMES}; export a part of them")
    xyz = to_y_up(poses)
    known = np.isfinite(xyz).all(-1)
    points = np.ones((4, *_flat(known).shape))
    points[:3] = np.moveaxis(_flat(np.nan_to_num(xyz)), -1, 0)
    points[:3] *= MILLIMETRES
    masks = np.zeros((CAMERAS, *points.shape[1:]), bool)
    masks[0] = _flat((poses.state == VISIBLE) & known)
    file = ezc3d.c3d()
    for name, value in {"RATE": poses.fps, "UNITS": "mm", "X_SCREEN": "+X", "Y_SCREEN": "+Y"}.items():
        file.add_parameter("POINT", name, [value])
    file.add_parameter("POINT", "LABELS", _labels(poses))
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["occlupose"])
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = _flat(np.where(known, _deviation(poses), -1))[None]
    file["data"]["meta_points"]["camera_masks"] = masks
    with TemporaryDirectory() as folder:  # ezc3d takes no name that is not UTF-8, and adds .c3d to others
        part = Path(folder) / "poses.c3d"
        file.write(str(part))
        if part.stat().st_size < 4 * points.size:  # ezc3d does not say so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        shutil.move(part, path)


def _labels(poses: Poses) -> list[str]:
    people = [f"id_{number}:" for number in poses.track_id] if len(poses.track_id) > 1 else [""]
    return [person + joint for person in people for joint in poses.skeleton.joints]


def _flat(values: np.ndarray) -> np.ndarray:
    """(time, person, joint, ...) as (point, time, ...)."""
    return np.moveaxis(values.reshape(len(values), -1, *values.shape[3:]), 0, 1)


def _deviation(poses: Poses) -> Float[np.ndarray, "time person joint"]:
    """Standard deviation along an axis, whole mm, at most 255; 0 where unknown."""
    if poses.covariance is None:
        return np.zeros(poses.state.shape)
    return np.nan_to_num(np.sqrt(poses.covariance[..., :3].mean(-1)) * MILLIMETRES).round().clip(0, 255)
