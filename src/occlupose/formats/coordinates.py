"""Checks that keypoints are pixels, and puts people in 3D before a camera."""

import numpy as np
from jaxtyping import Float

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.formats.recording import Recording

__all__ = ["check_pixels", "place_camera", "to_pixels"]

FARTHEST = 1e6  # px; no image is as large

FRACTION = 2.0
"""If nearly all coordinates are smaller, they are fractions of the image: landmarks may lie outside of it. Ours."""

VIEW = (1920, 1080)
"""Size of the image of the assumed camera that people in 3D are seen by, px."""

MARGIN = 0.9
"""Part of that image that they fill, at most."""

NEAREST = 1.0
"""Distance of the nearest joint from that camera, at least, m."""


def to_pixels(recording: Recording) -> Float[np.ndarray, "row joint 2"]:
    """The keypoints in pixels: as they are, or from fractions of the image, where the format has them.

    Raises:
        OccluposeError: they are neither.
    """
    xy = recording.xy
    known = xy[~np.isnan(xy).any(-1)]
    if recording.may_be_fractions and _are_small(known):
        return _scale(recording, known)
    recording.notes += check_pixels(known)
    return xy


def check_pixels(known: Float[np.ndarray, "row 2"]) -> list[str]:
    """What the user should know of keypoints that are said to be in pixels, a line each.

    Raises:
        OccluposeError: they cannot be.
    """
    farthest = np.abs(known).max(initial=0)
    if farthest > FARTHEST:
        raise OccluposeError(f"a joint is at {farthest:g} px; give pixels, and NaN where a joint is missing")
    if _are_small(known):
        _refuse_metres(known)
        raise OccluposeError("x and y lie in 0..1; give pixels: x times the width, y times the height of the image")
    zeros = int((known == 0).all(-1).sum())
    return [f"{zeros} joints are at exactly (0, 0) and are kept; give NaN if they are missing"] if zeros else []


def _are_small(known: Float[np.ndarray, "row 2"]) -> bool:
    """Whether nearly all keypoints are too near to the origin for pixels."""
    placed = np.abs(known[(known != 0).any(-1)])
    return bool(len(placed)) and bool(np.quantile(placed, 0.95) <= FRACTION)


def _refuse_metres(known: Float[np.ndarray, "row 2"]) -> None:
    if (known < -0.1).mean() > 0.2:
        raise OccluposeError("x and y lie around 0, as in metres; give positions in the image, in pixels")


def _scale(recording: Recording, known: Float[np.ndarray, "row 2"]) -> Float[np.ndarray, "row joint 2"]:
    """Fractions of the image as pixels, whose centres are at integers."""
    _refuse_metres(known)
    if recording.size is None:
        raise OccluposeError("x and y are fractions of the image; give its size in pixels, such as 1920x1080")
    width, height = recording.size
    recording.notes.append(f"x and y are fractions of the image, now in pixels of {width} x {height}")
    return recording.xy * recording.size - 0.5


def place_camera(recording: Recording) -> Camera:
    """The assumed camera before which people in 3D stand; moves them there.

    It looks straight at the middle of all joints, from so far that they are all in its image.

    Raises:
        OccluposeError: the unit cannot be right.
    """
    xyz = np.asarray(recording.xyz)
    if np.nanmax(np.abs(xyz)) > FARTHEST:
        raise OccluposeError(
            f"a joint is {np.nanmax(np.abs(xyz)):g} m away; give metres or millimetres as its unit says"
        )
    width, height = recording.size or VIEW
    camera = Camera.from_fov(width, height, assumed=True)
    low = np.nanmin(xyz, axis=(0, 1))
    high = np.nanmax(xyz, axis=(0, 1))
    middle = (low + high) / 2
    reach = np.array([width, height]) / 2 / (camera.fx, camera.fy) * MARGIN
    needed = np.abs(xyz[..., :2] - middle[:2]) / reach - xyz[..., 2:]
    moved = np.array([-middle[0], -middle[1], max(np.nanmax(needed), NEAREST - low[2])])
    recording.xyz = xyz + moved
    recording.size = (width, height)
    by = ", ".join(f"{length:.3f}" for length in moved)
    recording.notes.append(f"people in 3D are moved by ({by}) m, before an assumed camera of {width} x {height}")
    return camera
