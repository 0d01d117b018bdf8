"""Joint angles over time, with their velocities and standard deviations."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from occlupose.bodies.body import SIDES
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.kinematics.angles import from_angles, to_angles
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.fit import fit_poses
from occlupose.kinematics.isb import IsbJoint, isb_joint, rotate_joint, turns, wrap
from occlupose.kinematics.observations import SYMMETRIC
from occlupose.kinematics.result import SkeletonFit
from occlupose.kinematics.start import CAMERA_UP
from occlupose.pose_files import shortest
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import convert_weakest

COLUMNS = ("frame", "time_s", "person", "angle", "state", "value_deg", "sd_deg", "velocity_deg_s")
STATES = {ABSENT: "absent", OCCLUDED: "occluded", VISIBLE: "visible"}

STEP = 0.1
"""Largest step of a segment's angle from which the derivative of a joint's is taken, radians."""

TURNS = {
    "trunk": {"flexion": (0, -1), "right_bending": (1, 1), "left_rotation": (2, 1)},
    "hip": {"flexion": (0, 1), "adduction": (1, 1), "internal_rotation": (2, 1)},
    "knee": {"flexion": (0, -1)},
    "ankle": {"dorsiflexion": (0, 1)},
    "shoulder": {"elevation_plane": (0, 1), "elevation": (1, -1), "internal_rotation": (2, 1)},
    "elbow": {"flexion": (0, 1), "pronation": (2, 1)},
}
"""Angles of each joint: which turn of its sequence it is (see `isb`), and the sign of what the name says."""

_HIPS = ("left_hip", "right_hip")
_SHOULDERS = ("left_shoulder", "right_shoulder")
SHOWN_BY = {
    "trunk": (*_HIPS, *_SHOULDERS),
    "hip": (*_HIPS, "{side}_knee", "{side}_ankle"),
    "knee": ("{side}_hip", "{side}_knee", "{side}_ankle"),
    "ankle": ("{side}_knee", "{side}_ankle", "{side}_foot {side}_big_toe"),
    "shoulder": (*_HIPS, *_SHOULDERS, "{side}_elbow", "{side}_wrist"),
    "elbow": ("{side}_shoulder", "{side}_elbow", "{side}_wrist"),
    "pronation": ("{side}_elbow", "{side}_wrist", "{side}_hand"),
}
"""Points of the tree that show each joint, or one angle; of several in one text the better known one counts."""

INCLINED = {
    "trunk": ("pelvis", "thorax"),
    "thigh": ("{side}_knee", "{side}_hip"),
    "shank": ("{side}_ankle", "{side}_knee"),
    "upper_arm": ("{side}_elbow", "{side}_shoulder"),
    "forearm": ("{side}_wrist", "{side}_elbow"),
}
"""Segments whose inclination is measured, by the lower and the upper of their points in a standing person."""


@dataclass(frozen=True, eq=False)
class JointAngles:
    """Angles of joints and segments over time. NaN where the person is absent or has no joints that show them.

    Attributes:
        names: of the angles: `left_knee_flexion`, `trunk_inclination`, ...
        value: radians.
        sigma: standard deviation, radians.
        velocity: change of the angle, radians a second.
        state: lowest state of the joints that show an angle: 0 absent, 1 occluded, 2 visible.
        track_id: of each person.
        time: of each frame, seconds.
    """

    names: tuple[str, ...]
    value: Float32[np.ndarray, "time person angle"]
    sigma: Float32[np.ndarray, "time person angle"]
    velocity: Float32[np.ndarray, "time person angle"]
    state: UInt8[np.ndarray, "time person angle"]
    track_id: Int64[np.ndarray, "person"]
    time: Float64[np.ndarray, "time"]

    def save(self, path: str | Path) -> None:
        """Write a .csv with a row for each known angle of each person in each frame, in degrees.

        Raises:
            OccluposeError: another suffix, or it cannot be written.
        """
        if Path(path).suffix.lower() != ".csv":
            raise OccluposeError(f"{path}: is no table; give a .csv")
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            table.writerows(self._rows())

    def _rows(self) -> Iterator[list[object]]:
        degrees = [shortest(np.degrees(values)) for values in (self.value, self.sigma, self.velocity)]
        for frame, person, angle in np.argwhere(np.isfinite(self.value)).tolist():
            place = (frame, person, angle)
            state = STATES[int(self.state[place])]
            numbers = ["" if np.isnan(values[place]) else float(values[place]) for values in degrees]
            yield [frame, float(self.time[frame]), int(self.track_id[person]), self.names[angle], state, *numbers]


def measure_angles(poses: Poses, fit: SkeletonFit | None = None) -> JointAngles:
    """Angles of hips, knees, ankles, shoulders, elbows and trunk, and of segments to the vertical.

    Joints turn as the ISB recommends (see `isb`). Standard deviations are carried over to first order from those of the
    angles of each segment, as if these were independent; of an inclination, from the covariances of both points. Ours.

    Arguments:
        poses: in 3D.
        fit: the skeletons fitted to them; None fits them.

    Raises:
        OccluposeError: poses in 2D, no joint that can be fitted, numbers that cannot be meant.
    """
    fit = fit_poses(poses) if fit is None else fit
    relative = dict(zip(fit.segments, np.moveaxis(fit.relative(), 2, 0), strict=True))
    sigmas = dict(zip(fit.segments, np.moveaxis(fit.angle_sigma.astype(float), 2, 0), strict=True))
    points = convert_weakest(poses.state, poses.skeleton, fit.skeleton)
    found = {}
    for name, side in _sided(TURNS):
        joint = isb_joint(name, side)
        angles = turns(rotate_joint(joint, [relative[segment] for segment in joint.chain]), joint.sequence)
        deviation = _deviations(joint, relative, sigmas)
        for turn, (column, sign) in TURNS[name].items():
            shown = SHOWN_BY.get(turn, SHOWN_BY[name])
            own = (sign * angles[..., column], deviation[..., column], _state(points, fit, shown, side))
            found["_".join(filter(None, (side, name, turn)))] = own
    for name, side in _sided(INCLINED):
        ends = [point.format(side=side) for point in INCLINED[name]]
        shown = SHOWN_BY["trunk"] if name == "trunk" else tuple(ends)
        inclined = (*_inclination(fit, *ends), _state(points, fit, shown, side))
        found["_".join(filter(None, (side, name, "inclination")))] = inclined
    values, deviations, states = zip(*found.values(), strict=True)
    state = np.stack(states, -1)
    present = (poses.state != ABSENT).any(-1)[..., None] & (state != ABSENT).any(0)
    value = np.where(present, np.stack(values, -1), np.nan)
    return JointAngles(
        names=tuple(found),
        value=value.astype(np.float32),
        sigma=np.where(present, np.stack(deviations, -1), np.nan).astype(np.float32),
        velocity=_velocity(value, poses.fps).astype(np.float32),
        state=state,
        track_id=poses.track_id,
        time=poses.time,
    )


def _sided(names: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Each name with each side that it has; the trunk has none."""
    for name in names:
        for side in ("",) if name == "trunk" else SIDES:
            yield name, side


def _state(
    points: UInt8[np.ndarray, "time person point"], fit: SkeletonFit, shown: tuple[str, ...], side: str
) -> UInt8[np.ndarray, "time person"]:
    """Lowest state of the points that show something."""
    states = []
    for alternatives in shown:
        known = [points[..., fit.skeleton.index(name)[0]] for name in alternatives.format(side=side).split()]
        states.append(reduce(np.maximum, known))
    return reduce(np.minimum, states)


def _deviations(
    joint: IsbJoint,
    relative: dict[str, Float64[np.ndarray, "time person 3 3"]],
    sigmas: dict[str, Float64[np.ndarray, "time person 3"]],
) -> Float64[np.ndarray, "time person 3"]:
    """Standard deviations of a joint's turns, from small steps of each angle of each segment of its chain."""
    tree = body_tree()
    chain = [relative[segment] for segment in joint.chain]
    variance = np.zeros(chain[0].shape[:-1])
    for place, segment in enumerate(joint.chain):
        axes = tree.axes[tree.segments.index(segment) - 1]
        angles = to_angles(torch.from_numpy(chain[place]), axes)
        step = np.clip(sigmas[segment], 1e-6, STEP)
        for axis in range(3):
            move = torch.from_numpy(step * np.eye(3)[axis])
            ends = []
            for end in (angles + move, angles - move):
                moved = [*chain[:place], from_angles(end, axes).numpy(), *chain[place + 1 :]]
                ends.append(turns(rotate_joint(joint, moved), joint.sequence))
            slope = wrap(ends[0] - ends[1]) / (2 * step[..., axis, None])
            variance += (slope * sigmas[segment][..., axis, None]) ** 2
    return np.sqrt(variance)


def _inclination(
    fit: SkeletonFit, lower: str, upper: str
) -> tuple[Float64[np.ndarray, "time person"], Float64[np.ndarray, "time person"]]:
    """Angle of a segment to the vertical, 0 if its upper point is above, and its standard deviation."""
    ends = fit.skeleton.index(lower, upper)
    bone = fit.xyz[:, :, ends[1]].astype(float) - fit.xyz[:, :, ends[0]]
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    along = bone / length
    cosine = (along @ np.array(CAMERA_UP))[..., None]
    across = CAMERA_UP - cosine * along
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    gradient = across / np.maximum(sine, 1e-9) / length
    covariance = fit.covariance[:, :, ends].astype(float).sum(2)[..., SYMMETRIC].reshape(*length.shape[:2], 3, 3)
    variance = np.einsum("tpi,tpij,tpj->tp", gradient, covariance, gradient)
    return np.arctan2(sine, cosine)[..., 0], np.sqrt(variance)


def _velocity(value: Float64[np.ndarray, "time person angle"], fps: float) -> Float64[np.ndarray, "time person angle"]:
    """Central differences of angles that may pass 180 degrees, radians a second; NaN beside unknown frames."""
    if len(value) < 2:
        return np.full_like(value, np.nan)
    steps = wrap(np.diff(value, axis=0))
    mean = (steps[1:] + steps[:-1]) / 2
    return fps * np.concatenate([steps[:1], mean, steps[-1:]])
