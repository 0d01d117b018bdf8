"""Poses: people over time, the record that every step of the library reads and writes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from occlupose.body_parts import BEARING, BONES, SEGMENTS, SHAPE
from occlupose.bounds import brief
from occlupose.cameras import MAX_SIDE, Camera
from occlupose.errors import OccluposeError
from occlupose.skeletons import Skeleton, convert, convert_weakest
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

UNIT_ERROR = 1e-3
"""Largest error of the length of a quaternion."""


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

    def __post_init__(self) -> None:
        for name, values in (self.arrays | self.constants).items():
            setattr(self, name, np.asarray(values, (JOINT_FIELDS | PERSON_FIELDS | TRACK_FIELDS)[name].dtype))
        self.track_id = np.asarray(self.track_id, np.int64)
        self.time = np.asarray(self.time, np.float64)
        self.fps = float(self.fps)
        self.width = int(self.width)
        self.height = int(self.height)
        self._check_shapes()
        self._check_values()
        self._check_uncertainty()
        self._check_bodies()
        if self.observed is not None:
            self.observed = self._with_shared_fields(self.observed)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.time)

    def __repr__(self) -> str:
        frames = _count(len(self), "frame", "frames")
        people = _count(len(self.track_id), "person", "people")
        size = f"{self.width}x{self.height}"
        return f"Poses({frames}, {people}, {self.skeleton.name}, {_dimensions(self.xyz)}, {self.fps:g} fps, {size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Poses):
            return NotImplemented
        return all(_equal(value, getattr(other, name)) for name, value in vars(self).items())

    @property
    def arrays(self) -> dict[str, Any]:
        """What is known of joints and people: the arrays of `JOINT_FIELDS` and `PERSON_FIELDS` that are not None."""
        arrays = {name: getattr(self, name) for name in (*JOINT_FIELDS, *PERSON_FIELDS)}
        return {name: values for name, values in arrays.items() if values is not None}

    @property
    def constants(self) -> dict[str, Any]:
        """What is known of people at all times: the arrays of `TRACK_FIELDS` that are not None."""
        arrays = {name: getattr(self, name) for name in TRACK_FIELDS}
        return {name: values for name, values in arrays.items() if values is not None}

    @property
    def bone_lengths(self) -> Float32[np.ndarray, "person bone"] | None:
        """Of `body_parts.BONES`, metres, constant over time; None if no skeleton was fitted."""
        return None if self.bone_offsets is None else np.linalg.norm(self.bone_offsets, axis=-1)

    @property
    def xyz_world(self) -> Float64[np.ndarray, "time person joint 3"] | None:
        """The joints in the axes of the world, z up and the floor at 0, metres; None if it is unknown or in 2D."""
        return None if self.xyz is None or self.world is None else self.world.to_world(self.xyz.astype(float))

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
        return replace(
            self,
            xy=convert(self.xy, self.skeleton, skeleton),
            score=convert_weakest(self.score, self.skeleton, skeleton),
            state=convert_weakest(self.state, self.skeleton, skeleton),
            xyz=None if self.xyz is None else convert(self.xyz, self.skeleton, skeleton),
            spread=None if self.spread is None else convert(self.spread[..., None], self.skeleton, skeleton)[..., 0],
            covariance=None if self.covariance is None else convert(self.covariance, self.skeleton, skeleton),
            xyz_lifted=None if self.xyz_lifted is None else convert(self.xyz_lifted, self.skeleton, skeleton),
            skeleton=skeleton,
        )

    def to_2d(self) -> "Poses":
        """The same people in 2D: without `xyz` and all that belongs to it."""
        deep = {*JOINT_FIELDS, *PERSON_FIELDS, *TRACK_FIELDS} - {"xy", "score", "state", "spread"}
        nothing: dict[str, Any] = dict.fromkeys(deep)
        return replace(self, world=None, **nothing)

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
        frames = slice(None) if time is None else time
        people = slice(None) if person is None else self._columns([person] if isinstance(person, int) else person)
        skeleton = self.skeleton
        if joint is not None:
            skeleton = skeleton.subset([joint] if isinstance(joint, str) else joint)
        joints = self.skeleton.index(*skeleton.joints)
        arrays = {name: values[frames][:, people] for name, values in self.arrays.items()}
        arrays |= {name: values[:, :, joints] for name, values in arrays.items() if name in JOINT_FIELDS}
        arrays |= {name: values[people] for name, values in self.constants.items()}
        return replace(
            self,
            **arrays,
            track_id=self.track_id[people],
            time=self.time[frames],
            skeleton=skeleton,
            observed=None if self.observed is None else self.observed.select(time, person),
        )

    def track(self, track_id: int) -> Track:
        """One person over time.

        Raises:
            OccluposeError: unknown track id; lists the known ones.
        """
        (column,) = self._columns([track_id])
        present = np.flatnonzero((self.state[:, column] != ABSENT).any(-1))
        frames = slice(int(present[0]), int(present[-1]) + 1) if len(present) else slice(0, 0)
        return Track(
            track_id=int(track_id),
            start=frames.start,
            time=self.time[frames],
            **{name: values[frames, column] for name, values in self.arrays.items()},
        )

    def tracks(self) -> Iterator[Track]:
        """Every person over time, in the record's order."""
        return map(self.track, self.track_id.tolist())

    def frames(self) -> Iterator[FramePoses]:
        """The people of each frame, without those who are absent."""
        present = (self.state != ABSENT).any(-1)
        arrays = self.arrays
        for frame, time in enumerate(self.time.tolist()):
            people = present[frame]
            there = {name: values[frame, people] for name, values in arrays.items()}
            yield FramePoses(time=time, track_id=self.track_id[people], **there)

    def _columns(self, track_ids: Iterable[int]) -> list[int]:
        known = self.track_id.tolist()
        track_ids = list(track_ids)
        for track_id in track_ids:
            if track_id not in known:
                there = ", ".join(map(str, known)) or "nobody"
                raise OccluposeError(f"track id {track_id}: not in this record; it has {there}")
        return [known.index(track_id) for track_id in track_ids]

    def _with_shared_fields(self, observed: "Poses") -> "Poses":
        if observed.xyz is not None or observed.observed is not None:
            raise OccluposeError("observed: holds more than 2D; it must be the 2D detections, without xyz")
        if observed.xy.shape[:2] != self.xy.shape[:2]:
            raise OccluposeError(
                f"observed: has shape {observed.xy.shape}; its frames and people must be those of xy {self.xy.shape}"
            )
        return replace(
            observed,
            track_id=self.track_id,
            time=self.time,
            fps=self.fps,
            width=self.width,
            height=self.height,
            camera=self.camera,
        )

    def _check_shapes(self) -> None:
        if self.xy.ndim != 4 or self.xy.shape[2:] != (len(self.skeleton), 2):
            wanted = f"(time, person, joint, 2) with the {len(self.skeleton)} joints of {self.skeleton.name}"
            raise OccluposeError(f"xy: has shape {self.xy.shape}; it must be {wanted}")
        size = self.xy.shape[:3]
        shapes = {name: absent_array(name, *size).shape for name in self.arrays}
        shapes |= {name: (size[1], *TRACK_FIELDS[name].shape) for name in self.constants}
        for name, shape in (shapes | {"track_id": size[1:2], "time": size[:1]}).items():
            value = getattr(self, name)
            if value.shape != shape:
                raise OccluposeError(f"{name}: has shape {value.shape}; beside xy {self.xy.shape} it must be {shape}")

    def _check_values(self) -> None:
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
        outside = ~((self.score >= 0) & (self.score <= 1))
        self._refuse("score", outside, "has a score outside 0..1", "scale scores to 0..1")
        unknown = self.state > VISIBLE
        self._refuse("state", unknown, "has an unknown state", "states are 0 absent, 1 occluded, 2 visible")
        self._check_coordinates("xy", self.xy)
        missing = np.isnan(self.xy).any(-1)
        absent = self.state == ABSENT
        placed = absent & ~missing
        self._refuse("state", missing & ~absent, "has no coordinates", "a joint whose xy is NaN has state 0")
        self._refuse("state", placed, "is absent but has coordinates", "a joint with state 0 has xy NaN")
        if self.xyz is not None:
            self._check_coordinates("xyz", self.xyz)
            placed = absent & ~np.isnan(self.xyz).any(-1)
            self._refuse("xyz", placed, "is absent but has coordinates", "a joint with state 0 has xyz NaN")

    def _check_uncertainty(self) -> None:
        if self.spread is not None:
            wrong = (self.spread < 0) | np.isinf(self.spread)
            extra = ~np.isnan(self.spread) & (self.state == ABSENT)
            self._refuse("spread", wrong, "has a negative or infinite spread", "give pixels, NaN where unknown")
            self._refuse("spread", extra, "is absent but has a spread", "a joint with state 0 has spread NaN")
        if self.covariance is not None:
            self._check_covariances("covariance", self.covariance)
        if self.root_covariance is not None:
            self._check_covariances("root_covariance", self.root_covariance)
        if self.covariance is not None and self.xyz is not None:
            extra = ~np.isnan(self.covariance).any(-1) & np.isnan(self.xyz).any(-1)
            self._refuse("covariance", extra, "has a covariance but no xyz", "where xyz is NaN, covariance is too")

    def _check_bodies(self) -> None:
        for name in ("xyz_lifted", "rotation", "rotation_covariance", "contact", "bone_offsets", "shape", "world"):
            if self.xyz is None and getattr(self, name) is not None:
                raise OccluposeError(f"{name}: is there without xyz; leave it out in 2D")
        if self.xyz_lifted is not None:
            self._check_coordinates("xyz_lifted", self.xyz_lifted)
            placed = (self.state == ABSENT) & ~np.isnan(self.xyz_lifted).any(-1)
            self._refuse("xyz_lifted", placed, "is absent but has coordinates", "a joint with state 0 has NaN")
        if self.rotation is not None:
            length = np.linalg.norm(self.rotation, axis=-1)
            wrong = (~(np.abs(length - 1) < UNIT_ERROR) & ~np.isnan(self.rotation).all(-1)).any(-1)
            self._refuse("rotation", wrong, "has no unit quaternion", "give w, x, y, z of length 1, or NaN for all")
        if self.rotation_covariance is not None:
            self._check_covariances("rotation_covariance", self.rotation_covariance)
        if self.contact is not None:
            outside = ~((self.contact >= 0) & (self.contact <= 1) | np.isnan(self.contact)).all(-1)
            self._refuse("contact", outside, "has a probability outside 0..1", "give probabilities, NaN where unknown")
        for name, values in self.constants.items():
            if np.isinf(values).any():
                raise OccluposeError(f"{name}: holds an infinite number; give metres and shares, NaN where unknown")

    def _check_covariances(self, name: str, values: Float32[np.ndarray, "time person *joint 6"]) -> None:
        if self.xyz is None:
            raise OccluposeError(f"{name}: is there without xyz; leave it out in 2D")
        partial = np.isnan(values).any(-1) != np.isnan(values).all(-1)
        wrong = (values[..., :3] < 0).any(-1) | np.isinf(values).any(-1)
        self._refuse(name, partial, "has some covariances and lacks others", "give all six or NaN for all")
        self._refuse(name, wrong, "has a negative or infinite variance", "give xx, yy, zz, xy, xz, yz in m^2")

    def _check_coordinates(self, name: str, values: Float32[np.ndarray, "time person joint d"]) -> None:
        partial = np.isnan(values).any(-1) != np.isnan(values).all(-1)
        self._refuse(name, partial, "has some coordinates and lacks others", "give all or NaN for all")
        self._refuse(name, np.isinf(values).any(-1), "is infinitely far", "missing coordinates are NaN")

    def _refuse(self, name: str, wrong: Bool[np.ndarray, "time person *joint"], fault: str, cure: str) -> None:
        if wrong.any():
            frame, person, *joint = np.argwhere(wrong)[0]
            parts = SEGMENTS if name == "rotation_covariance" else self.skeleton.joints
            who = ": ".join([f"person {self.track_id[person]}", *(parts[number] for number in joint)])
            raise OccluposeError(f"{name}: frame {frame}, {who} {fault}; {cure}")


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"


def _dimensions(xyz: np.ndarray | None) -> str:
    return "2D" if xyz is None else "3D"


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(value, other, equal_nan=value.dtype.kind == "f")
    if isinstance(value, WorldFrame) and isinstance(other, WorldFrame):
        return all(_equal(own, getattr(other, name)) for name, own in vars(value).items())
    return type(value) is type(other) and bool(value == other)
