"""What a page shows, as JSON with packed arrays."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from occlupose.body_parts import BEARING, SIDES
from occlupose.poses import ABSENT, VISIBLE, Poses, Track
from occlupose.viewer import style
from occlupose.viewer.ends import with_ends
from occlupose.viewer.ground import find_world
from occlupose.viewer.panel import joint_radius
from occlupose.viewer.uncertainty import image_spread, joint_deviation
from occlupose.world_frame import WorldFrame, y_up_axes

if TYPE_CHECKING:
    from occlupose.kinematics import JointAngles

METRE = 1e-3
PIXEL = 0.1
DEGREE = 0.1
SECOND = 1e-4
"""Steps to which numbers are rounded."""

TOUCHING = 0.5
"""Least probability with which a heel or a big toe is shown as touching something."""

SOLES = tuple(point for point in BEARING if point.endswith(("heel", "big_toe")))
"""Those whose contacts are shown."""

Content = dict[str, Any]


def page_content(poses: Poses, angles: "JointAngles | None", names: Sequence[str], title: str) -> Content:
    """The content of a page, without its video.

    Arguments:
        angles: of the same poses; None leaves them out.
        names: of the first people.
    """
    bands = len(poses.skeleton)
    poses = with_ends(poses)
    world = None if poses.xyz is None else find_world(poses)
    spread = image_spread(poses)
    return {
        "title": title,
        "fps": poses.fps,
        "width": poses.width,
        "height": poses.height,
        "time": pack(poses.time, SECOND),
        "joints": poses.skeleton.joints,
        "bands": bands,
        "soles": SOLES,
        "limbs": [limb[1:] for limb in style.limb_indices(poses.skeleton)],
        "radii": [joint_radius(joint) for joint in poses.skeleton.joints],
        "camera": _camera(poses, world),
        "panels": [] if angles is None else _panels(angles),
        "people": [
            _person(track, person, world, spread, angles, names)
            for person, track in enumerate(poses.tracks())
            if len(track)
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
    track: Track,
    person: int,
    world: WorldFrame | None,
    spread: np.ndarray | None,
    angles: "JointAngles | None",
    names: Sequence[str],
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
        "contact": None if track.contact is None else _pack_states(_touching(track.contact)),
        "xy": pack(track.xy, PIXEL),
        "xyz": None if track.xyz is None or world is None else pack(_to_page(track.xyz, world), METRE),
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


def _to_page(xyz: Float[np.ndarray, "*any 3"], world: WorldFrame) -> Float[np.ndarray, "*any 3"]:
    """Places on the page: x right, y up, z towards the camera, the floor at y = 0, metres."""
    axes, origin = y_up_axes(world)
    return xyz @ axes.T + origin


def _touching(contact: Float32[np.ndarray, "time point"]) -> UInt8[np.ndarray, "time sole"]:
    """Contacts of `SOLES` as states: visible or absent."""
    of_soles = contact[:, [BEARING.index(sole) for sole in SOLES]]
    return np.where(of_soles >= TOUCHING, VISIBLE, ABSENT).astype(np.uint8)


def _camera(poses: Poses, world: WorldFrame | None) -> Content | None:
    """The intrinsics of the camera, its place and its axes (right, down, forward), in those of the page."""
    if poses.camera is None or world is None:
        return None
    axes, place = y_up_axes(world)
    intrinsics = {name: float(getattr(poses.camera, name)) for name in ("fx", "fy", "cx", "cy")}
    return intrinsics | {"place": place.tolist(), "axes": axes.T.tolist()}


def _hexadecimal(colour: style.Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
