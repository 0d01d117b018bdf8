"""What a page shows, as JSON with packed arrays."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from occlupose.poses import Poses, Track
from occlupose.viewer import style
from occlupose.viewer.ground import fit_ground
from occlupose.viewer.panel import joint_radius
from occlupose.viewer.uncertainty import image_spread, joint_deviation

if TYPE_CHECKING:
    from occlupose.kinematics import JointAngles

METRE = 1e-3
PIXEL = 0.1
DEGREE = 0.1
SECOND = 1e-4
"""Steps to which numbers are rounded."""

SIDES = ("left", "right")

Content = dict[str, Any]


def page_content(poses: Poses, angles: "JointAngles | None", names: Sequence[str], title: str) -> Content:
    """The content of a page, without its video.

    Arguments:
        angles: of the same poses; None leaves them out.
        names: of the first people.
    """
    camera = None
    if poses.camera is not None and poses.xyz is not None:
        camera = {name: float(getattr(poses.camera, name)) for name in ("fx", "fy", "cx", "cy")}
    spread = image_spread(poses)
    return {
        "title": title,
        "fps": poses.fps,
        "width": poses.width,
        "height": poses.height,
        "time": pack(poses.time, SECOND),
        "joints": poses.skeleton.joints,
        "limbs": [limb[1:] for limb in style.limb_indices(poses.skeleton)],
        "radii": [joint_radius(joint) for joint in poses.skeleton.joints],
        "floor": _floor(poses),
        "camera": camera,
        "panels": [] if angles is None else _panels(angles),
        "people": [
            _person(track, person, spread, angles, names) for person, track in enumerate(poses.tracks()) if len(track)
        ],
    }


def pack(values: np.ndarray, step: float) -> Content:
    """Numbers rounded to steps, as whole numbers of 16 or 32 bits in base64; all bits set is NaN.

    Returns:
        `bits`, `low` (the whole number that is added), `step` and `data`.
    """
    steps = np.round(np.asarray(values, np.float64) / step)
    known = np.isfinite(steps)
    low = float(steps[known].min()) if known.any() else 0.0
    above = np.where(known, steps - low, 0)
    bits = 16 if above.max(initial=0) < 2**16 - 1 else 32
    most = 2**bits - 1
    whole = np.where(known, np.minimum(above, most - 1), most)
    return {"bits": bits, "low": low, "step": step, "data": _base64(whole.astype(f"<u{bits // 8}"))}


def unpack(packed: Content) -> np.ndarray:
    """The numbers of `pack`, one after the other, as the page reads them."""
    whole = np.frombuffer(base64.b64decode(packed["data"]), f"<u{packed['bits'] // 8}")
    return np.where(whole == 2 ** packed["bits"] - 1, np.nan, (packed["low"] + whole) * packed["step"])


def _pack_states(state: np.ndarray) -> Content:
    return {"bits": 8, "low": 0, "step": 1, "data": _base64(state.astype(np.uint8))}


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _person(
    track: Track, person: int, spread: np.ndarray | None, angles: "JointAngles | None", names: Sequence[str]
) -> Content:
    """One person from their first to their last frame."""
    base = style.person_colour(track.track_id)
    deviation = joint_deviation(track.covariance)
    return {
        "id": track.track_id,
        "name": names[person] if person < len(names) else f"person {track.track_id}",
        "colours": {
            "middle": _hexadecimal(base),
            "left": _hexadecimal(style.side_colour(base, "left_")),
            "right": _hexadecimal(style.side_colour(base, "right_")),
        },
        "start": track.start,
        "state": _pack_states(track.state),
        "xy": pack(track.xy, PIXEL),
        "xyz": None if track.xyz is None else pack(track.xyz, METRE),
        "spread": None if spread is None else pack(spread[track.frames, person], PIXEL),
        "deviation": None if deviation is None else pack(deviation, METRE),
        "angles": None if angles is None else _angles(angles, person, track.frames),
    }


def _angles(angles: "JointAngles", person: int, frames: slice) -> Content:
    """Angles of one person in degrees; they go on beyond 180° where a joint turns over."""
    value = angles.value[frames, person].astype(np.float64)
    return {
        "value": pack(np.degrees(_unwrap(value)), DEGREE),
        "sigma": pack(np.degrees(angles.sigma[frames, person]), DEGREE),
        "state": _pack_states(angles.state[frames, person]),
    }


def _unwrap(value: np.ndarray) -> np.ndarray:
    """Angles (time, angle) without jumps of a whole turn, radians; NaN stays."""
    known = np.isfinite(value)
    last = np.maximum.accumulate(np.where(known, np.arange(len(value))[:, None], 0))
    filled = np.nan_to_num(np.take_along_axis(value, last, 0))
    return np.where(known, np.unwrap(filled, axis=0), np.nan)


def _panels(angles: "JointAngles") -> list[Content]:
    """Angles that are known in some frame, left and right in one panel, in the order of their names."""
    panels: dict[str, list[Content]] = {}
    for index, name in enumerate(angles.names):
        if np.isfinite(angles.value[..., index]).any():
            side = name.partition("_")[0]
            title = name.removeprefix(f"{side}_") if side in SIDES else name
            curve = {"side": side if side in SIDES else "middle", "index": index}
            panels.setdefault(title.replace("_", " "), []).append(curve)
    return [{"title": title, "curves": curves} for title, curves in panels.items()]


def _floor(poses: Poses) -> Content | None:
    """The floor in the camera frame: its height is p . normal - offset, m. None in 2D and without people."""
    if poses.xyz is None or not np.isfinite(poses.xyz).any():
        return None
    plane = fit_ground(poses.xyz, poses.skeleton)
    return {"normal": plane.normal.tolist(), "offset": float(plane.offset)}


def _hexadecimal(colour: style.Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
