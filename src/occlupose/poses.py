"""Poses: people over time, the record that every step of the library reads and writes."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from occlupose.body_parts import BEARING, BONES, SEGMENTS, SHAPE
from occlupose.bounds import brief
from occlupose.cameras import MAX_SIDE, Camera
from occlupose.errors import OccluposeError
from occlupose.pose_checks import UNIT_ERROR as UNIT_ERROR
from occlupose.pose_checks import ArrayChecks
from occlupose.skeletons import Skeleton, convert, convert_weakest
from occlupose.track_store import TrackStore
from occlupose.world_frame import WorldFrame

ABSENT = 0
OCCLUDED = 1
VISIBLE = 2

STATE_NAMES = ("absent", "occluded", "visible")
"""Of the states, by their numbers."""

JOINT_FIELDS: dict[str, np.ndarray] = {
    "xy": np.full(2, np.nan, np.float32),
    "xyz": np.full(3, np.nan, np.float32),
    "score": np.zeros((), np.float32),
    "state": np.zeros((), np.uint8),
    "spread": np.full((), np.nan, np.float32),
    "covariance": np.full(6, np.nan, np.float32),
    "xyz_lifted": np.full(3, np.nan, np.float32),
}
"""The arrays of a record with a value for each joint, (time, person, joint, ...): the value of an absent one."""

PERSON_FIELDS: dict[str, np.ndarray] = {
    "root_covariance": np.full(6, np.nan, np.float32),
    "rotation": np.full((len(SEGMENTS), 4), np.nan, np.float32),
    "rotation_covariance": np.full((len(SEGMENTS), 6), np.nan, np.float32),
    "contact": np.full(len(BEARING), np.nan, np.float32),
}
"""Those with a value for each person, (time, person, ...): the value of an absent one."""

TRACK_FIELDS: dict[str, np.ndarray] = {
    "bone_offsets": np.full((len(BONES), 3), np.nan, np.float32),
    "shape": np.full(len(SHAPE), np.nan, np.float32),
}
"""Those that are constant over time, (person, ...): the value of a person of whom they are unknown."""


FRAME_RATES = (1e-6, 10_000.0)
"""Least and most frames per second: two in a fortnight, and those of the fastest cameras that film people. Ours."""

MAX_JOINTS = 200_000_000
"""Joints of all people in all frames that are held at once, about 3 GB while they are read. Ours."""

FEW_PLACES = 50_000
"""People times frames up to which the arrays of a record are held, people who are absent too: 0.1 GB. Ours."""

FRAMES = "frame"
"""Name of the frames of a track in a `TrackStore`."""

_BY_FRAME = (*JOINT_FIELDS, *PERSON_FIELDS)
_DTYPES = {name: one.dtype for name, one in (JOINT_FIELDS | PERSON_FIELDS | TRACK_FIELDS).items()}


def check_fps(fps: float) -> None:
    """Refuses frames per second outside of FRAME_RATES. Raises OccluposeError."""
    low, high = FRAME_RATES
    if not low <= fps <= high:
        raise OccluposeError(f"fps: is {fps}; it must be a positive number of frames per second, {low:g} to {high:g}")


def check_room(frames: int, people: int, joints: int, rows: int) -> None:
    """Refuses to fill in people who are in few of the frames, if that takes much memory: a short file can name a frame
    far away.

    Arguments:
        frames, people, joints: of the record.
        rows: people in all frames who are there.

    Raises:
        OccluposeError: more joints than MAX_JOINTS, or more than a million places and a thousand for each row.
    """
    places = frames * people
    if places * joints > MAX_JOINTS or places > 1_000_000 + 1000 * rows:
        raise OccluposeError(f"{people} people in {frames} frames are too many to hold; give a part of it")


def absent_array(name: str, frames: int, people: int, joints: int) -> np.ndarray:
    """An array of `JOINT_FIELDS` or `PERSON_FIELDS` in which everybody is absent; read-only."""
    per_person = PERSON_FIELDS.get(name)
    if per_person is not None:
        return np.broadcast_to(per_person, (frames, people, *per_person.shape))
    return np.broadcast_to(JOINT_FIELDS[name], (frames, people, joints, *JOINT_FIELDS[name].shape))


@dataclass(frozen=True, eq=False)
class FramePoses:
    """The people of one frame.

    Attributes:
        time: seconds.
        track_id: of each person.
        xy: keypoints in pixels; NaN where absent.
        score: confidence of each keypoint, 0..1.
        state: 0 absent, 1 occluded, 2 visible.
        xyz: joints in metres in the camera frame, NaN where unknown; None in 2D.
        spread, covariance, root_covariance, xyz_lifted, rotation, rotation_covariance, contact: as of `Poses`, without
            the time axis.
    """

    time: float
    track_id: Int64[np.ndarray, " person"]
    xy: Float32[np.ndarray, "person joint 2"]
    score: Float32[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]
    xyz: Float32[np.ndarray, "person joint 3"] | None = None
    spread: Float32[np.ndarray, "person joint"] | None = None
    covariance: Float32[np.ndarray, "person joint 6"] | None = None
    root_covariance: Float32[np.ndarray, "person 6"] | None = None
    xyz_lifted: Float32[np.ndarray, "person joint 3"] | None = None
    rotation: Float32[np.ndarray, "person segment 4"] | None = None
    rotation_covariance: Float32[np.ndarray, "person segment 6"] | None = None
    contact: Float32[np.ndarray, "person point"] | None = None

    def __len__(self) -> int:
        """Number of people."""
        return len(self.track_id)

    def __repr__(self) -> str:
        return f"FramePoses({self.time:g} s, {_count(len(self), 'person', 'people')}, {_dimensions(self.xyz)})"


@dataclass(frozen=True, eq=False)
class Track:
    """One person from the first to the last frame in which they are present; in between they may be absent.

    Attributes:
        track_id: of the person.
        start: number of the first frame.
        time, xy, score, state, xyz, spread, covariance, root_covariance, xyz_lifted, rotation, rotation_covariance,
            contact: as of `Poses`, without the person axis.
    """

    track_id: int
    start: int
    time: Float64[np.ndarray, " time"]
    xy: Float32[np.ndarray, "time joint 2"]
    score: Float32[np.ndarray, "time joint"]
    state: UInt8[np.ndarray, "time joint"]
    xyz: Float32[np.ndarray, "time joint 3"] | None = None
    spread: Float32[np.ndarray, "time joint"] | None = None
    covariance: Float32[np.ndarray, "time joint 6"] | None = None
    root_covariance: Float32[np.ndarray, "time 6"] | None = None
    xyz_lifted: Float32[np.ndarray, "time joint 3"] | None = None
    rotation: Float32[np.ndarray, "time segment 4"] | None = None
    rotation_covariance: Float32[np.ndarray, "time segment 6"] | None = None
    contact: Float32[np.ndarray, "time point"] | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.time)

    def __repr__(self) -> str:
        return f"Track({self.track_id}, {_count(len(self), 'frame', 'frames')}, {_dimensions(self.xyz)})"

    @property
    def frames(self) -> slice:
        """Where the track lies in the record."""
        return slice(self.start, self.start + len(self))

    @property
    def present(self) -> Bool[np.ndarray, " time"]:
        """In which frames the person has any joint."""
        return (self.state != ABSENT).any(-1)


@dataclass(eq=False)
class Poses:
    """People over time, in 2D or 3D, with the state of every joint.

    Two records are equal if all their fields are; NaN equals NaN.

    Attributes:
        xy: keypoints in pixels; NaN exactly where the state is 0.
        score: confidence of each keypoint, 0..1.
        state: 0 absent, 1 occluded (inferred), 2 visible.
        xyz: joints in metres in the camera frame (x right, y down, z forward), NaN where unknown; None in 2D.
        track_id: of each person, unique.
        time: of each frame, in seconds, ascending.
        skeleton: the joints' names.
        fps: frames per second.
        width, height: of the images, in pixels.
        camera: the camera of xy and xyz, if known.
        observed: the 2D detections before occlusion reasoning, in the skeleton of the detector; frames, people and
            camera are those of this record.
        spread: standard deviation of each keypoint along an axis, px, as the 2D network says; NaN where unknown or
            absent, None if nowhere known.
        covariance: of each joint's position relative to the root, m^2, in the camera frame: xx, yy, zz, xy, xz, yz;
            NaN where unknown, None in 2D or if nowhere known.
        root_covariance: of the root's own position, in the same way.
        xyz_lifted: joints before a rigid skeleton was fitted to them, in the same way as xyz; None if not kept.
        rotation: of each of `body_parts.SEGMENTS` of the fitted skeleton: unit quaternions (w, x, y, z) from rest, a
            T-pose, relative to the parent segment; that of the pelvis in the camera frame. Axes and parents are in
            `kinematics.body_tree`. NaN where absent; None if no skeleton was fitted, as all that follows.
        rotation_covariance: of a small turn of each segment relative to its parent, in the axes of the camera, rad^2.
        contact: probability that each of `body_parts.BEARING` touches the floor or something else that bears the body.
        bone_offsets: each of `body_parts.BONES` at rest, m, constant over time; see `bone_lengths`.
        shape: `body_parts.SHAPE` of the body that has these bones.
        world: axes with z up and the floor at 0; None if up and the floor are unknown.

    Raises:
        OccluposeError: the fields contradict each other or this list.
    """

    xy: Float32[np.ndarray, "time person joint 2"]
    score: Float32[np.ndarray, "time person joint"]
    state: UInt8[np.ndarray, "time person joint"]
    xyz: Float32[np.ndarray, "time person joint 3"] | None
    track_id: Int64[np.ndarray, "person"]
    time: Float64[np.ndarray, "time"]
    skeleton: Skeleton
    fps: float
    width: int
    height: int
    camera: Camera | None = None
    observed: "Poses | None" = None
    spread: Float32[np.ndarray, "time person joint"] | None = None
    covariance: Float32[np.ndarray, "time person joint 6"] | None = None
    root_covariance: Float32[np.ndarray, "time person 6"] | None = None
    xyz_lifted: Float32[np.ndarray, "time person joint 3"] | None = None
    rotation: Float32[np.ndarray, "time person segment 4"] | None = None
    rotation_covariance: Float32[np.ndarray, "time person segment 6"] | None = None
    contact: Float32[np.ndarray, "time person point"] | None = None
    bone_offsets: Float32[np.ndarray, "person bone 3"] | None = None
    shape: Float32[np.ndarray, "person parameter"] | None = None
    world: WorldFrame | None = None

    _store = cast("TrackStore | None", None)
    _names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, values in self.arrays.items():
            setattr(self, name, np.asarray(values, _DTYPES[name]))
        self._prepare()
        self._check_arrays()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.time)

    def __repr__(self) -> str:
        frames = _count(len(self), "frame", "frames")
        people = _count(len(self.track_id), "person", "people")
        size = f"{self.width}x{self.height}"
        dimensions = "3D" if "xyz" in self.names else "2D"
        return f"Poses({frames}, {people}, {self.skeleton.name}, {dimensions}, {self.fps:g} fps, {size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Poses):
            return NotImplemented
        apart = {field.name for field in fields(self)} - {*JOINT_FIELDS, *PERSON_FIELDS}
        if self.names != other.names or not all(_equal(getattr(self, name), getattr(other, name)) for name in apart):
            return False
        if self._store is None and other._store is None:
            return all(_equal(values, other.arrays[name]) for name, values in self.arrays.items())
        return all(_equal_rows(self.rows(person), other.rows(person)) for person in range(len(self.track_id)))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays of joints and people that are not None."""
        return self._names or tuple(name for name in _BY_FRAME if getattr(self, name) is not None)

    @property
    def arrays(self) -> dict[str, Any]:
        """What is known of joints and people: the arrays of `JOINT_FIELDS` and `PERSON_FIELDS` that are not None."""
        return {name: getattr(self, name) for name in self.names}

    @property
    def constants(self) -> dict[str, Any]:
        """What is known of people at all times: the arrays of `TRACK_FIELDS` that are not None."""
        arrays = {name: getattr(self, name) for name in TRACK_FIELDS}
        return {name: values for name, values in arrays.items() if values is not None}

    @property
    def about(self) -> dict[str, Any]:
        """The fields that are no arrays of joints and people over time."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _BY_FRAME}

    @property
    def bone_lengths(self) -> Float32[np.ndarray, "person bone"] | None:
        """Of `body_parts.BONES`, metres, constant over time; None if no skeleton was fitted."""
        return None if self.bone_offsets is None else np.linalg.norm(self.bone_offsets, axis=-1)

    @property
    def xyz_world(self) -> Float64[np.ndarray, "time person joint 3"] | None:
        """The joints in the axes of the world, z up and the floor at 0, metres; None if it is unknown or in 2D."""
        if self.world is None or self.xyz is None:
            return None
        return self.world.to_world(self.xyz.astype(float))

    @classmethod
    def by_track(cls, store: TrackStore, names: Iterable[str], **about: Any) -> "Poses":
        """The record of tracks. Where that takes little more memory its arrays are made at once; else the record keeps
        the tracks, each in the frames in which the person is there, and an array is made when it is asked for.

        Arguments:
            store: of each person what `append_rows` adds.
            names: of its arrays.
            about: the other fields.

        Raises:
            OccluposeError: the fields contradict each other.
        """
        poses = object.__new__(cls)
        defaults = {field.name: field.default for field in fields(cls) if field.default is not MISSING}
        vars(poses).update({name: value for name, value in (defaults | about).items() if name not in _BY_FRAME})
        poses._store = store
        vars(poses)["_names"] = tuple(name for name in _BY_FRAME if name in names)
        poses._prepare()
        places = len(poses) * len(store)
        rows = sum(len(store.get(person, [FRAMES])[FRAMES]) for person in range(len(store)))
        if places <= max(FEW_PLACES, 2 * rows):
            arrays = {name: poses._fill(name) for name in poses.names}
            return cls(**{"xyz": None} | {name: getattr(poses, name) for name in about} | arrays)
        poses._check_arrays()
        return poses

    def has_state(self, *states: int) -> Bool[np.ndarray, "person"]:
        """Who has a joint of one of these states in some frame."""
        own = (self.rows(person)[1]["state"] for person in range(len(self.track_id)))
        return np.array([bool(np.isin(state, states).any()) for state in own], bool)

    @property
    def is_anybody_there(self) -> bool:
        """Whether any joint is visible or occluded."""
        return bool(self.has_state(OCCLUDED, VISIBLE).any())

    @property
    def fits_in_arrays(self) -> bool:
        """Whether the arrays (time, person, ...) can be made: of at most `MAX_JOINTS`."""
        return self._store is None or len(self) * len(self.track_id) * len(self.skeleton) <= MAX_JOINTS

    def count_states(self) -> Int64[np.ndarray, "state"]:
        """How many joints of all people in all frames are absent, occluded and visible."""
        count = np.zeros(len(STATE_NAMES), np.int64)
        for person in range(len(self.track_id)):
            count += np.bincount(self.rows(person)[1]["state"].ravel(), minlength=len(STATE_NAMES))
        count[ABSENT] += len(self) * len(self.track_id) * len(self.skeleton) - count.sum()
        return count

    def rows(self, person: int) -> tuple[Int64[np.ndarray, "row"], dict[str, np.ndarray]]:
        """The frames in which anything is known of a person, and the arrays of these frames, (row, joint, ...).

        Arguments:
            person: number of their column.
        """
        if self._store is None:
            arrays = {name: values[:, person] for name, values in self.arrays.items()}
            frames = np.arange(len(self))
        else:
            arrays = self._store.get(person, (FRAMES, *self.names))
            frames = arrays.pop(FRAMES)
        there = np.zeros(len(frames), bool)
        for name, values in arrays.items():
            there |= _known(name, values).any(tuple(range(1, values.ndim)))
        if not there.all():
            arrays = {name: values[there] for name, values in arrays.items()}
        return frames[there], arrays

    @classmethod
    def load(cls, path: str | Path) -> "Poses":
        """Read a .npz or .json file, written by `save` or made by hand.

        Required are `xy` (in a .json, `people` with `xy`), `skeleton` and `fps`; a skeleton that occlupose does not
        know also needs `joint_names`. In an .npz `xy` may be (time, joint, 2) for a single person; then the other
        arrays of joints and people have no person axis either. Missing fields are filled in: score 1 and state 2 where
        xy is finite, else 0; time from fps; track ids 0, 1, ... (.npz only); camera None (it may also be given as fx,
        fy, cx, cy); width and height from the camera, with its principal point taken as the image's centre (2 c + 1),
        else just large enough for every xy; None for what is uncertain.

        Raises:
            OccluposeError: the file cannot be read, or something in it is missing, unknown, contradictory or of a newer
                format version; names the file.
        """
        from occlupose import pose_files

        return pose_files.load(path)

    @classmethod
    def read(
        cls,
        path: str | Path,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        skeleton: Skeleton | str | None = None,
    ) -> "Poses":
        """Read a file or folder of another tool (OpenPose, COCO, MMPose, DeepLabCut, ...), or one of ours.

        The format is recognised by the content. What is assumed or left out is a `UserWarning`, a line each.

        Arguments:
            fps: frames per second; by default as the file says, else 30.
            size: (width, height) of the images, px; by default as the file says, else as large as the joints need.
            skeleton: the joints in their order, or its name; by default as the file says.

        Raises:
            OccluposeError: the file cannot be read, or its poses cannot be meant; names the file and what to do.
        """
        from occlupose import formats

        return formats.read(path, fps=fps, size=size, skeleton=skeleton).warn()

    def save(self, path: str | Path) -> None:
        """Write the whole record as .npz or .json, by the suffix; `load` returns an equal record.

        For a skeleton of your own, the file holds joints, limbs and root, but not sigmas and aliases.

        Raises:
            OccluposeError: another suffix, a skeleton with the name of another one, or the file cannot be written;
                names the file and leaves none behind.
        """
        from occlupose import pose_files

        pose_files.save(self, path)

    def export(self, path: str | Path, format: str | None = None) -> list[Path]:
        """Write the poses for another tool: CSV, XLSX, TRC, MOT, C3D, BVH, glTF, netCDF, OpenPose, COCO or rerun.

        What each holds, its units and axes are in the modules of `occlupose.formats` and in docs/export.md.

        Arguments:
            path: of the file, or of the folder for "openpose"; an existing file is replaced.
            format: "csv", "csv-wide", "xlsx", "xlsx-wide", "trc", "mot", "c3d", "bvh", "gltf", "nc", "nc-2d",
                "openpose", "coco" or "rrd"; by default by the suffix.

        Returns:
            The files that were written; TRC, MOT and BVH have one for each person.

        Raises:
            OccluposeError: an unknown format, one whose package is not installed or which cannot hold these poses,
                nobody is in them, or the file cannot be written; names the file and leaves none behind.
        """
        from occlupose import formats

        return formats.write(self, path, format)

    def to(self, skeleton: Skeleton) -> "Poses":
        """The same people with the joints of another skeleton, as `skeletons.convert` derives them; `observed` is kept.

        A joint derived from several has the lowest state and score among them, and the mean of their spreads and
        covariances, which is the most that it can have; one that cannot be derived is absent.
        """
        if self._store is None:
            return replace(self, **self._converted(self.arrays, skeleton), skeleton=skeleton)
        store = TrackStore()
        for person in range(len(self.track_id)):
            frames, rows = self.rows(person)
            append_rows(store, frames, self._converted(rows, skeleton))
        return Poses.by_track(store, self.names, **self.about | {"skeleton": skeleton})

    def _converted(self, arrays: Mapping[str, np.ndarray], skeleton: Skeleton) -> dict[str, Any]:
        """Arrays with the joints of another skeleton."""
        converted: dict[str, Any] = dict(arrays)
        for name in JOINT_FIELDS.keys() & arrays.keys():
            values = arrays[name]
            if name in ("score", "state"):
                converted[name] = convert_weakest(values, self.skeleton, skeleton)
            elif name == "spread":
                converted[name] = convert(values[..., None], self.skeleton, skeleton)[..., 0]
            else:
                converted[name] = convert(values, self.skeleton, skeleton)
        return converted

    def to_2d(self) -> "Poses":
        """The same people in 2D: without `xyz` and all that belongs to it."""
        flat = ("xy", "score", "state", "spread")
        nothing: dict[str, Any] = dict.fromkeys((*TRACK_FIELDS, "world"))
        if self._store is None:
            nothing |= dict.fromkeys(set(_BY_FRAME) - set(flat))
            return replace(self, **nothing)
        other = copy(self)
        vars(other).update(nothing | {"_names": tuple(name for name in self.names if name in flat)})
        for name in set(_BY_FRAME) - set(flat):
            vars(other).pop(name, None)
        return other

    def select(
        self,
        time: slice | Bool[np.ndarray, "time"] | None = None,
        person: int | Iterable[int] | None = None,
        joint: str | Iterable[str] | None = None,
    ) -> "Poses":
        """Some frames, people and joints.

        Arguments:
            time: a slice or mask of frames.
            person: a track id, or several in the order wanted.
            joint: a joint's name, or several in the order wanted; the skeleton becomes that subset. `observed` keeps
                all its joints.

        Raises:
            OccluposeError: unknown track id or joint; lists the known ones.
        """
        skeleton = self.skeleton
        if joint is not None:
            skeleton = skeleton.subset([joint] if isinstance(joint, str) else joint)
        joints = list(self.skeleton.index(*skeleton.joints))
        people = list(range(len(self.track_id)))
        if person is not None:
            people = self._columns([person] if isinstance(person, (int, np.integer)) else person)
        frames = np.arange(len(self))[slice(None) if time is None else time]
        about = {name: values[people] for name, values in self.constants.items()} | {
            "track_id": self.track_id[people],
            "time": self.time[frames],
            "skeleton": skeleton,
            "observed": None if self.observed is None else self.observed.select(time, person),
        }
        if self._store is None:
            arrays = {name: values[frames][:, people] for name, values in self.arrays.items()}
            arrays |= {name: values[:, :, joints] for name, values in arrays.items() if name in JOINT_FIELDS}
            return replace(self, **arrays, **about)
        store = TrackStore()
        wanted = np.zeros(len(self), bool)
        wanted[frames] = True
        for column in people:
            if not wanted[self._store.get(column, [FRAMES])[FRAMES]].any():  # most people, if few frames are wanted
                append_rows(store, frames[:0], {name: empty_rows(name, 0, len(joints)) for name in self.names})
                continue
            own, rows = self.rows(column)
            row = np.full(len(self), -1)
            row[own] = np.arange(len(own))
            row = row[frames]
            kept = row >= 0
            rows = {name: values[row[kept]] for name, values in rows.items()}
            rows |= {name: values[:, joints] for name, values in rows.items() if name in JOINT_FIELDS}
            append_rows(store, np.flatnonzero(kept), rows)
        return Poses.by_track(store, self.names, **self.about | about)

    def track(self, track_id: int) -> Track:
        """One person over time.

        Raises:
            OccluposeError: unknown track id; lists the known ones.
        """
        (column,) = self._columns([track_id])
        if self._store is None:
            present = np.flatnonzero((self.state[:, column] != ABSENT).any(-1))
        else:
            own, rows = self.rows(column)
            present = own[(rows["state"] != ABSENT).any(-1)]
        frames = slice(int(present[0]), int(present[-1]) + 1) if len(present) else slice(0, 0)
        if self._store is None:
            arrays = {name: values[frames, column] for name, values in self.arrays.items()}
        else:
            inside = (own >= frames.start) & (own < frames.stop)
            arrays = {}
            for name, values in rows.items():
                arrays[name] = empty_rows(name, frames.stop - frames.start, len(self.skeleton))
                arrays[name][own[inside] - frames.start] = values[inside]
        return Track(track_id=int(track_id), start=frames.start, time=self.time[frames], **arrays)

    def tracks(self) -> Iterator[Track]:
        """Every person over time, in the record's order."""
        return map(self.track, self.track_id.tolist())

    def frames(self) -> Iterator[FramePoses]:
        """The people of each frame, without those who are absent."""
        if self._store is not None:
            yield from self._frames_of_tracks()
            return
        present = (self.state != ABSENT).any(-1)
        arrays = self.arrays
        for frame, time in enumerate(self.time.tolist()):
            people = present[frame]
            there = {name: values[frame, people] for name, values in arrays.items()}
            yield FramePoses(time=time, track_id=self.track_id[people], **there)

    def _frames_of_tracks(self) -> Iterator[FramePoses]:
        """As `frames`, with the tracks in memory that are under way."""
        begins: dict[int, list[int]] = {}
        for person in range(len(self.track_id)):
            frames, _ = self.rows(person)
            if len(frames):
                begins.setdefault(int(frames[0]), []).append(person)
        under_way: dict[int, Track] = {}
        for frame, time in enumerate(self.time.tolist()):
            for person in begins.get(frame, []):
                under_way[person] = self.track(int(self.track_id[person]))
            under_way = {person: track for person, track in under_way.items() if frame < track.frames.stop}
            people = [
                person
                for person, track in sorted(under_way.items())
                if frame >= track.start and (track.state[frame - track.start] != ABSENT).any()
            ]
            there = {}
            for name in self.names:
                values = [getattr(under_way[person], name)[frame - under_way[person].start] for person in people]
                there[name] = np.array(values) if values else empty_rows(name, 0, len(self.skeleton))
            yield FramePoses(time=time, track_id=self.track_id[people], **there)

    def _fill(self, name: str) -> np.ndarray:
        """An array (time, person, ...) of a record that is held by track."""
        people = range(len(self.track_id))
        if not self.fits_in_arrays:
            raise OccluposeError(
                f"{name}: of {len(people)} people in {len(self)} frames is too large for one array;"
                " take tracks(), frames() or select() a part"
            )
        array = absent_array(name, len(self), len(people), len(self.skeleton)).copy()
        for person in people:
            frames, rows = self.rows(person)
            array[frames, person] = rows[name]
        return array

    def _columns(self, track_ids: Iterable[int]) -> list[int]:
        columns = {track_id: column for column, track_id in enumerate(self.track_id.tolist())}
        track_ids = list(track_ids)
        for track_id in track_ids:
            if track_id not in columns:
                there = ", ".join(map(str, columns)) or "nobody"
                raise OccluposeError(f"track id {track_id}: not in this record; it has {there}")
        return [columns[track_id] for track_id in track_ids]

    def _with_shared_fields(self, observed: "Poses") -> "Poses":
        if "xyz" in observed.names or observed.observed is not None:
            raise OccluposeError("observed: holds more than 2D; it must be the 2D detections, without xyz")
        if (len(observed), len(observed.track_id)) != (len(self), len(self.track_id)):
            own = (len(self), len(self.track_id), len(self.skeleton), 2)
            other = (len(observed), len(observed.track_id), len(observed.skeleton), 2)
            raise OccluposeError(f"observed: has shape {other}; its frames and people must be those of xy {own}")
        return with_fields(
            observed,
            track_id=self.track_id,
            time=self.time,
            fps=self.fps,
            width=self.width,
            height=self.height,
            camera=self.camera,
        )

    def _prepare(self) -> None:
        """Gives all fields but the arrays of joints and people over time their types, and checks them."""
        for name, values in self.constants.items():
            setattr(self, name, np.asarray(values, _DTYPES[name]))
        self.track_id = np.asarray(self.track_id, np.int64)
        self.time = np.asarray(self.time, np.float64)
        self.fps = float(self.fps)
        self.width = int(self.width)
        self.height = int(self.height)
        self._check_shapes()
        self._check_fields()
        self._check_constants()
        if self.observed is not None:
            self.observed = self._with_shared_fields(self.observed)

    def _check_shapes(self) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        if self._store is not None:
            size = (self.time.size, len(self._store), len(self.skeleton))
        elif self.xy.ndim != 4 or self.xy.shape[2:] != (len(self.skeleton), 2):
            wanted = f"(time, person, joint, 2) with the {len(self.skeleton)} joints of {self.skeleton.name}"
            raise OccluposeError(f"xy: has shape {self.xy.shape}; it must be {wanted}")
        else:
            size = self.xy.shape[:3]
            shapes |= {name: absent_array(name, *size).shape for name in self.arrays}
        shapes |= {name: (size[1], *TRACK_FIELDS[name].shape) for name in self.constants}
        for name, shape in (shapes | {"track_id": size[1:2], "time": size[:1]}).items():
            value = getattr(self, name)
            if value.shape != shape:
                raise OccluposeError(f"{name}: has shape {value.shape}; beside xy {(*size, 2)} it must be {shape}")

    def _check_fields(self) -> None:
        check_fps(self.fps)
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            size = f"{brief(self.width)} x {brief(self.height)}"
            raise OccluposeError(f"width, height: are {size}; they must be positive, in pixels, at most {MAX_SIDE}")
        if self.camera is not None and (self.camera.width, self.camera.height) != (self.width, self.height):
            size = f"{self.camera.width} x {self.camera.height}"
            raise OccluposeError(f"camera: is for images of {size}; it must be for these, {self.width} x {self.height}")
        if len(set(self.track_id.tolist())) < len(self.track_id):
            raise OccluposeError("track_id: has a number twice; every person needs an id of their own")
        if not (np.isfinite(self.time).all() and (np.diff(self.time) >= 0).all()):
            raise OccluposeError("time: is not finite or goes back; it must be the frames' times in seconds, in order")

    def _check_arrays(self) -> None:
        if self._store is None:
            numbers = self.track_id.tolist()
            ArrayChecks(self.arrays, self.skeleton.joints, 2, lambda frame, person: (frame, numbers[person])).check()
        else:
            for person, number in enumerate(self.track_id.tolist()):
                frames, arrays = self.rows(person)
                who = partial(_who, frames, number)
                ArrayChecks(arrays, self.skeleton.joints, 1, who).check()

    def _check_constants(self) -> None:
        for name in (*TRACK_FIELDS, "world"):
            if "xyz" not in self.names and getattr(self, name) is not None:
                raise OccluposeError(f"{name}: is there without xyz; leave it out in 2D")
        for name, values in self.constants.items():
            if np.isinf(values).any():
                raise OccluposeError(f"{name}: holds an infinite number; give metres and shares, NaN where unknown")


def _who(frames: Int64[np.ndarray, "row"], track_id: int, row: int) -> tuple[int, int]:
    return int(frames[row]), track_id


class _OnDemand:
    """An array (time, person, ...) of a record that is held by track: made when it is asked for, and read-only."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, poses: Poses | None, kind: type[Poses]) -> np.ndarray | None:
        if poses is None or self._name not in poses.names:
            return None
        array = poses._fill(self._name)
        array.setflags(write=False)
        vars(poses)[self._name] = array
        return array


for _name in (*JOINT_FIELDS, *PERSON_FIELDS):
    setattr(Poses, _name, _OnDemand(_name))


def empty_rows(name: str, rows: int, joints: int) -> np.ndarray:
    """An array of a person in some frames, (row, joint, ...) or (row, ...), in which they are absent."""
    return absent_array(name, rows, 1, joints)[:, 0].copy()


def append_rows(store: TrackStore, frames: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
    """Adds a person to the tracks of a record: the frames in which they are there, ascending, and arrays of these
    frames, (row, joint, ...) or (row, ...).
    """
    typed = {name: np.asarray(values, _DTYPES[name]) for name, values in arrays.items()}
    store.append({FRAMES: np.asarray(frames, np.int64)} | typed)


def with_fields(poses: Poses, **changes: Any) -> Poses:
    """As `dataclasses.replace`, of fields that are no arrays of joints and people, without a copy of these.

    Raises:
        OccluposeError: the fields contradict each other.
    """
    other = copy(poses)
    vars(other).update(changes)
    other._prepare()
    return other


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"


def _dimensions(xyz: np.ndarray | None) -> str:
    return "2D" if xyz is None else "3D"


def _known(name: str, values: np.ndarray) -> Bool[np.ndarray, "row *any"]:
    """Where values of a person differ from those of somebody absent."""
    return ~np.isnan(values) if np.isnan((JOINT_FIELDS | PERSON_FIELDS)[name]).all() else values != 0


def _equal_rows(own: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> bool:
    return _equal(own[0], other[0]) and all(_equal(values, other[1][name]) for name, values in own[1].items())


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(value, other, equal_nan=value.dtype.kind == "f")
    if isinstance(value, WorldFrame) and isinstance(other, WorldFrame):
        return all(_equal(own, getattr(other, name)) for name, own in vars(value).items())
    return type(value) is type(other) and bool(value == other)
