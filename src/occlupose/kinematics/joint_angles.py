"""Joint angles over time, with their velocities and standard deviations."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SIDES
from occlupose.covariances import to_matrix
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.kinematics.fit import skeletons_of
from occlupose.kinematics.isb import JOINTS, MIRROR, TurnOrder, isb_axes, joint_rotation, turns, wrap
from occlupose.kinematics.result import SkeletonFit, reference
from occlupose.kinematics.start import check_view
from occlupose.pose_files import shortest
from occlupose.poses import ABSENT, STATE_NAMES, Poses
from occlupose.skeletons import Skeleton, convert_weakest
from occlupose.world_frame import CAMERA_UP, Direction

COLUMNS = ("frame", "time_s", "person", "angle", "state", "value_deg", "sd_deg", "velocity_deg_s")

STEP = 1e-4
"""Of the central differences by which angles are differentiated, radians."""

SMALL = 1e-6

TURNS = {
    "trunk": {"flexion": (0, -1), "right_bending": (1, 1), "left_rotation": (2, 1)},
    "hip": {"flexion": (0, 1), "adduction": (1, 1), "internal_rotation": (2, 1)},
    "knee": {"flexion": (0, -1)},
    "ankle": {"dorsiflexion": (0, 1)},
    "shoulder": {"elevation_plane": (0, 1), "elevation": (1, -1), "internal_rotation": (2, 1)},
    "elbow": {"flexion": (0, 1)},
}
"""Angles of each joint: which turn of its sequence it is (see `isb`), and the sign of what the name says. Others than
these are not shown by joint centres: pronation, for example, needs both sides of a hand.
"""

_HIPS = ("left_hip", "right_hip")
_SHOULDERS = ("left_shoulder", "right_shoulder")
SHOWN_BY = {
    "trunk": (*_HIPS, *_SHOULDERS),
    "hip": (*_HIPS, "{side}_knee", "{side}_ankle"),
    "knee": ("{side}_hip", "{side}_knee", "{side}_ankle"),
    "ankle": ("{side}_knee", "{side}_ankle", "{side}_foot {side}_big_toe"),
    "shoulder": (*_HIPS, *_SHOULDERS, "{side}_elbow", "{side}_wrist"),
    "elbow": ("{side}_shoulder", "{side}_elbow", "{side}_wrist"),
}
"""Points of the tree that show each joint; of several in one text the better known one counts."""

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
            state = STATE_NAMES[int(self.state[place])]
            numbers = ["" if np.isnan(values[place]) else float(values[place]) for values in degrees]
            yield [frame, float(self.time[frame]), int(self.track_id[person]), self.names[angle], state, *numbers]


def measure_angles(
    poses: Poses, fit: SkeletonFit | None = None, up: tuple[float, float, float] | None = None
) -> JointAngles:
    """Angles of hips, knees, ankles, shoulders, elbows and trunk, and of segments to the vertical.

    Joints turn as the ISB recommends (see `isb`). Standard deviations are those of the fit to first order: of a joint
    from the covariance of its rotation, of an inclination from the covariances of both points and of what is up in the
    world. Ours.

    Arguments:
        poses: in 3D.
        fit: their skeletons in the camera frame; by default those in the poses, or else they are fitted.
        up: direction to which inclinations are measured, in the camera frame; by default up in the world of the poses,
            or else in the camera.

    Raises:
        OccluposeError: poses in 2D, no joint that can be fitted, nobody who is known; numbers that cannot be
            meant; no frame rate or direction; the fit of other people or of another length.
    """
    upward = _find_up(poses) if up is None else _Up(up)
    check_view(poses.fps, upward.direction)
    fit = skeletons_of(poses) if fit is None else fit
    if fit.known.shape != poses.state.shape[:2]:
        raise OccluposeError(
            f"fit: is of {_size(fit.known)}, the poses are of {_size(poses.state)}; give the fit of the same poses"
        )
    if fit.known.size and not fit.known.any():
        raise OccluposeError("nobody has a joint in 3D that can be fitted; give poses in which somebody is seen")
    measured = [*_of_joints(fit), *_of_segments(fit, upward)]
    points = convert_weakest(poses.state, poses.skeleton, fit.skeleton)
    state = np.stack([_lowest(points, each.shown_by, fit.skeleton) for each in measured], -1)
    present = (poses.state != ABSENT).any(-1)[..., None] & (state != ABSENT).any(0)
    value = np.where(present, np.stack([each.value for each in measured], -1), np.nan)
    sigma = np.where(present, np.stack([each.sigma for each in measured], -1), np.nan)
    return JointAngles(
        names=tuple(each.name for each in measured),
        value=value.astype(np.float32),
        sigma=sigma.astype(np.float32),
        velocity=_velocity(value, poses.time).astype(np.float32),
        state=state,
        track_id=poses.track_id,
        time=poses.time,
    )


def _size(of_people: Shaped[np.ndarray, "time person *any"]) -> str:
    return f"{len(of_people)} frames and {of_people.shape[1]} people"


class _Up(NamedTuple):
    """A direction in the camera frame and its covariance."""

    direction: Direction
    covariance: Float64[np.ndarray, "3 3"] = np.zeros((3, 3))


def _find_up(poses: Poses) -> _Up:
    """As far as the poses say it: up in the world, or in the camera."""
    if poses.world is not None:
        return _Up(poses.world.up, poses.world.up_covariance)
    known = None if poses.camera is None else poses.camera.up
    return _Up(CAMERA_UP if known is None else known)


class _Angle(NamedTuple):
    """One angle over time, and the points that show it; of several in one text the better known one counts."""

    name: str
    value: Float64[np.ndarray, "time person"]
    sigma: Float64[np.ndarray, "time person"]
    shown_by: list[str]


def _of_joints(fit: SkeletonFit) -> Iterator[_Angle]:
    orientation = fit.by_segment(fit.orientation())
    covariance = fit.by_segment(to_matrix(fit.turn_covariance.astype(float)))
    for name, side in _sided(TURNS):
        segment = _join(side, JOINTS[name])
        sequence: TurnOrder = "YXY" if name == "shoulder" else "ZXY"
        axes = orientation[reference(segment)] @ isb_axes(reference(segment))
        rotation = joint_rotation(segment, orientation)
        angles = turns(rotation, sequence)
        sigmas = _deviations(rotation, sequence, axes @ MIRROR if side == "left" else axes, covariance[segment])
        shown_by = [points.format(side=side) for points in SHOWN_BY[name]]
        for turn, (column, sign) in TURNS[name].items():
            yield _Angle(_join(side, name, turn), sign * angles[..., column], sigmas[..., column], shown_by)


def _of_segments(fit: SkeletonFit, up: _Up) -> Iterator[_Angle]:
    for name, side in _sided(INCLINED):
        ends = [point.format(side=side) for point in INCLINED[name]]
        shown_by = [*SHOWN_BY["trunk"]] if name == "trunk" else ends
        yield _Angle(_join(side, name, "inclination"), *_inclination(fit, ends, up), shown_by)


def _join(*words: str) -> str:
    return "_".join(filter(None, words))


def _sided(names: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each name with each side that it has; the trunk has none."""
    for name in names:
        for side in ("",) if name == "trunk" else SIDES:
            yield name, side


def _lowest(
    states: UInt8[np.ndarray, "time person point"], shown_by: list[str], skeleton: Skeleton
) -> UInt8[np.ndarray, "time person"]:
    """Lowest state of the points that show an angle."""
    known = [states[..., skeleton.index(*points.split())].max(-1) for points in shown_by]
    return reduce(np.minimum, known)


def _deviations(
    rotation: Float64[np.ndarray, "time person 3 3"],
    sequence: TurnOrder,
    axes: Float64[np.ndarray, "time person 3 3"],
    covariance: Float64[np.ndarray, "time person 3 3"],
) -> Float64[np.ndarray, "time person 3"]:
    """Standard deviations of the turns of a rotation.

    Arguments:
        axes: in which the rotation is, as columns, up to the sign of all three.
        covariance: of a small rotation that follows, in the axes of `axes`.
    """
    steps = Rotation.from_rotvec(STEP * np.eye(3)).as_matrix()
    changes = [turns(step @ rotation, sequence) - turns(step.T @ rotation, sequence) for step in steps]
    jacobian = wrap(np.stack(changes, -1)) / (2 * STEP) @ axes.swapaxes(-1, -2)
    return np.sqrt(np.einsum("tpai,tpij,tpaj->tpa", jacobian, covariance, jacobian))


def _inclination(
    fit: SkeletonFit, points: list[str], upward: _Up
) -> tuple[Float64[np.ndarray, "time person"], Float64[np.ndarray, "time person"]]:
    """Angle of a segment to the vertical, 0 if its upper point, the second, is above, and its standard deviation."""
    up = np.array(upward.direction) / np.linalg.norm(upward.direction)
    ends = fit.skeleton.index(*points)
    bone = fit.xyz[:, :, ends[1]].astype(float) - fit.xyz[:, :, ends[0]]
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    along = bone / length
    cosine = (along @ up)[..., None]
    across = up - cosine * along
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    sideways = np.cross(up, np.eye(3)[np.abs(up).argmin()])  # where it is vertical, any direction across is as good
    sideways /= np.linalg.norm(sideways)
    by_bone = np.where(sine > SMALL, across / np.maximum(sine, SMALL), sideways) / length
    by_up = np.where(sine > SMALL, (along - cosine * up) / np.maximum(sine, SMALL), sideways)
    covariance = to_matrix(fit.covariance[:, :, ends].sum(2).astype(float))
    variance = np.einsum("tpi,tpij,tpj->tp", by_bone, covariance, by_bone)
    variance += np.einsum("tpi,ij,tpj->tp", by_up, upward.covariance, by_up)
    return np.arctan2(sine, cosine)[..., 0], np.sqrt(np.maximum(variance, 0))


def _velocity(
    value: Float64[np.ndarray, "time person angle"], time: Float64[np.ndarray, "time"]
) -> Float64[np.ndarray, "time person angle"]:
    """Central differences of angles that may pass 180 degrees, radians a second; NaN beside unknown frames, and between
    frames of the same time.
    """
    if len(value) < 2:
        return np.full_like(value, np.nan)
    steps = wrap(np.diff(value, axis=0))
    seconds = np.diff(time)[:, None, None]
    steps = np.concatenate([steps[:1], steps[1:] + steps[:-1], steps[-1:]])
    seconds = np.concatenate([seconds[:1], seconds[1:] + seconds[:-1], seconds[-1:]])
    return steps / np.where(seconds > 0, seconds, np.nan)
