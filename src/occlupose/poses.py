"""Poses: the one record that flows through the project, and its two file formats (.npz and .json, the same content).

Both hold `version` (of the format, now 1), `skeleton`, `joint_names`, `fps` (1/s), `width`, `height` (px), `time` (s),
and where it is known `camera` (3 x 3 intrinsic matrix, px) with `camera_assumed`. Of every person they hold a
`track_id`, and of every joint `xy` (px), `score`, `state` and, once lifted, `xyz` (m, camera frame: x right, y down, z
forward).

- .npz has them all as arrays of these names, (time, person, joint, ...); what the 2D network itself saw is
  `observed_xy`, `observed_score`, `observed_state`, `observed_skeleton` and `observed_joint_names`.
- .json has `format`, `units` and `frame` in words, and a list of `people`, each with a `track_id` and `frames`; a frame
  has its number, `frame`, and those of `xy`, `xyz`, `score`, `state` that `per_joint` lists, for all joints. Frames in
  which a person is absent are left out; NaN is null. What the 2D network saw is `observed`, with `skeleton`,
  `joint_names`, `per_joint` and `people` of its own.

Files made by hand need less; see `Poses.load`.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.skeletons import Skeleton, by_name, convert, convert_weakest

FORMAT_VERSION = 1
ABSENT = 0
OCCLUDED = 1
VISIBLE = 2

_SUFFIXES = "not a poses file by its suffix; poses are .npz or .json"
_PER_JOINT = ("xy", "xyz", "score", "state")
_JSON_HEADER = {
    "format": "occlupose poses",
    "units": "metres, pixels, seconds",
    "frame": "camera: x right, y down, z forward",
}


@dataclass(eq=False)
class Poses:
    """People over time: what was seen of every joint, what was inferred, and where it is.

    Two records are equal when all their fields are, NaN being equal to NaN.

    Attributes:
        xy: image position in pixels; NaN exactly where the state is 0.
        score: how far the joint is believed, 0..1.
        state: 0 absent, 1 occluded (inferred), 2 visible.
        xyz: position in metres in the camera frame (x right, y down, z forward), NaN where unknown; or None for 2D
            records.
        track_id: who each person is; no number twice.
        time: of each frame, in seconds, never going back.
        skeleton: the joints' names.
        fps: frames per second.
        width, height: of the images, in pixels.
        camera: whose pixels and frame these are, if known.
        observed: what the 2D network itself saw, before anything was inferred: 2D, in its own skeleton; it shares this
            record's frames, people and camera.

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

    def __post_init__(self) -> None:
        self.xy = np.asarray(self.xy, np.float32)
        self.score = np.asarray(self.score, np.float32)
        self.state = np.asarray(self.state, np.uint8)
        self.track_id = np.asarray(self.track_id, np.int64)
        self.xyz = None if self.xyz is None else np.asarray(self.xyz, np.float32)
        self.time = np.asarray(self.time, np.float64)
        self.fps = float(self.fps)
        self.width = int(self.width)
        self.height = int(self.height)
        self._check_shapes()
        self._check_values()
        if self.observed is not None:
            self.observed = self._with_shared_fields(self.observed)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.time)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Poses):
            return NotImplemented
        return all(_same(value, getattr(other, name)) for name, value in vars(self).items())

    @classmethod
    def load(cls, path: str | Path) -> "Poses":
        """Read a .npz or .json file, our own or made by hand.

        Required are `xy` (in a .json, `people` with `xy`), `skeleton` and `fps`. In an .npz `xy` may be (time, joint,
        2) for a single person; then the other arrays of joints have no person axis either. What is missing is filled
        in: score 1 and state 2 where xy is finite, else 0; time from fps; track ids 0, 1, ... (.npz only); camera None
        (it may also be given as fx, fy, cx, cy); width and height from the camera, taken to look through the image's
        centre (2 c + 1), else just large enough for every xy.

        Raises:
            OccluposeError: the file cannot be read, or something in it is missing, unknown, contradictory or of a newer
                format version; names the file.
        """
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise OccluposeError(f"{path}: {_SUFFIXES}")
        try:
            return _record(_validated(_FORMATS[path.suffix].read(path)))
        except OSError as error:
            raise OccluposeError(
                f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give a .npz or .json file"
            ) from error
        except OccluposeError as error:
            raise OccluposeError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the whole record as .npz or .json, by the suffix; `load` gives back an equal record.

        Raises:
            OccluposeError: another suffix, or the file could not be written; names the file and leaves none behind.
        """
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise OccluposeError(f"{path}: {_SUFFIXES}")
        with atomic(path) as temporary:
            _FORMATS[path.suffix].write(temporary, self)

    def to(self, skeleton: Skeleton) -> "Poses":
        """The same people with the joints of another skeleton, as `skeletons.convert` makes them; `observed` stays as
        it is.

        A joint made from several has the least state and score among them; one that cannot be made is absent.
        """
        return replace(
            self,
            xy=convert(self.xy, self.skeleton, skeleton),
            score=convert_weakest(self.score, self.skeleton, skeleton),
            state=convert_weakest(self.state, self.skeleton, skeleton),
            xyz=None if self.xyz is None else convert(self.xyz, self.skeleton, skeleton),
            skeleton=skeleton,
        )

    def select(
        self,
        time: slice | Bool[np.ndarray, "time"] | None = None,
        person: Iterable[int] | None = None,
        joint: Iterable[str] | None = None,
    ) -> "Poses":
        """The record of some frames, people and joints only.

        Arguments:
            time: a slice or mask of frames.
            person: track ids, in the order wanted.
            joint: joint names, in the order wanted; the skeleton becomes that subset. `observed` keeps all its joints.

        Raises:
            OccluposeError: a track id or joint name is not there; lists those that are.
        """
        frames = slice(None) if time is None else time
        people = slice(None) if person is None else self._people(person)
        skeleton = self.skeleton if joint is None else self.skeleton.subset(joint)
        joints = self.skeleton.index(*skeleton.joints)
        return replace(
            self,
            xy=self.xy[frames][:, people][:, :, joints],
            score=self.score[frames][:, people][:, :, joints],
            state=self.state[frames][:, people][:, :, joints],
            xyz=None if self.xyz is None else self.xyz[frames][:, people][:, :, joints],
            track_id=self.track_id[people],
            time=self.time[frames],
            skeleton=skeleton,
            observed=None if self.observed is None else self.observed.select(time, person),
        )

    def _people(self, ids: Iterable[int]) -> list[int]:
        known = self.track_id.tolist()
        ids = list(ids)
        for number in ids:
            if number not in known:
                raise OccluposeError(
                    f"track id {number}: not in this record; it has {', '.join(map(str, known)) or 'nobody'}"
                )
        return [known.index(number) for number in ids]

    def _with_shared_fields(self, observed: "Poses") -> "Poses":
        if observed.xyz is not None or observed.observed is not None:
            raise OccluposeError("observed: holds more than 2D; it must be what the 2D network saw, without xyz")
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
        frames, people, joints = self.xy.shape[:3]
        shapes = {
            "score": (frames, people, joints),
            "state": (frames, people, joints),
            "xyz": (frames, people, joints, 3),
            "track_id": (people,),
            "time": (frames,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise OccluposeError(f"{name}: has shape {value.shape}; beside xy {self.xy.shape} it must be {shape}")

    def _check_values(self) -> None:
        if not 0 < self.fps < math.inf:
            raise OccluposeError(f"fps: is {self.fps}; it must be a positive number of frames per second")
        if not (self.width > 0 and self.height > 0):
            raise OccluposeError(f"width, height: are {self.width} x {self.height}; they must be positive, in pixels")
        if self.camera is not None and (self.camera.width, self.camera.height) != (self.width, self.height):
            raise OccluposeError(
                f"camera: is for images of {self.camera.width} x {self.camera.height}; it must be for these,"
                f" {self.width} x {self.height}"
            )
        if len(set(self.track_id.tolist())) < len(self.track_id):
            raise OccluposeError("track_id: names a person twice; every person needs a number of their own")
        if not (np.isfinite(self.time).all() and (np.diff(self.time) >= 0).all()):
            raise OccluposeError("time: is not finite or goes back; it must be the frames' times in seconds, in order")
        self._refuse_joints(
            "score", ~((self.score >= 0) & (self.score <= 1)), "has a score outside 0..1", "scale scores to 0..1"
        )
        self._refuse_joints(
            "state", self.state > VISIBLE, "has an unknown state", "states are 0 absent, 1 occluded, 2 visible"
        )
        self._check_coordinates("xy", self.xy)
        missing = np.isnan(self.xy).any(-1)
        absent = self.state == ABSENT
        self._refuse_joints("state", missing & ~absent, "has no coordinates", "a joint whose xy is NaN has state 0")
        self._refuse_joints(
            "state", absent & ~missing, "is absent but has coordinates", "a joint with state 0 has xy NaN"
        )
        if self.xyz is not None:
            self._check_coordinates("xyz", self.xyz)
            misplaced = absent & ~np.isnan(self.xyz).any(-1)
            self._refuse_joints("xyz", misplaced, "is absent but has coordinates", "a joint with state 0 has xyz NaN")

    def _check_coordinates(self, name: str, values: Float32[np.ndarray, "time person joint d"]) -> None:
        partial = np.isnan(values).any(-1) != np.isnan(values).all(-1)
        self._refuse_joints(name, partial, "has some coordinates and lacks others", "give all or NaN for all")
        self._refuse_joints(name, np.isinf(values).any(-1), "is infinitely far", "missing coordinates are NaN")

    def _refuse_joints(self, name: str, wrong: Bool[np.ndarray, "time person joint"], fault: str, cure: str) -> None:
        if wrong.any():
            frame, person, joint = np.argwhere(wrong)[0]
            raise OccluposeError(
                f"{name}: frame {frame}, person {self.track_id[person]}: {self.skeleton.joints[joint]} {fault}; {cure}"
            )


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, np.ndarray):
        return isinstance(theirs, np.ndarray) and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    return type(ours) is type(theirs) and bool(ours == theirs)


# From a file's content to a record: one schema checks names and types, what is missing is filled in, Poses checks the
# rest.


def _array(kinds: str, meaning: str) -> BeforeValidator:
    def check(value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.size and array.dtype.kind not in kinds:
            raise ValueError(f"holds values of type {array.dtype}; it must hold {meaning}")
        return array

    return BeforeValidator(check)


def _known_states(states: np.ndarray) -> np.ndarray:
    if states.size and not ABSENT <= states.min() <= states.max() <= VISIBLE:
        raise ValueError("holds an unknown state; states are 0 absent, 1 occluded, 2 visible")
    return states


def _intrinsics(camera: np.ndarray) -> np.ndarray:
    """fx, fy, cx, cy or a 3 x 3 matrix, as the matrix."""
    if camera.shape == (4,):
        fx, fy, cx, cy = camera.tolist()
        camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if camera.shape != (3, 3) or not np.isfinite(camera).all():
        raise ValueError("is neither fx, fy, cx, cy nor a 3 x 3 intrinsic matrix, all finite, in pixels")
    return camera


_PLAIN = BeforeValidator(lambda value: value.tolist() if isinstance(value, np.ndarray) else value)
_Numbers = Annotated[np.ndarray, _array("fiu", "numbers")]
_Integers = Annotated[np.ndarray, _array("iu", "whole numbers")]
_Intrinsics = Annotated[np.ndarray, AfterValidator(_intrinsics), _array("fiu", "numbers")]
_States = Annotated[np.ndarray, AfterValidator(_known_states), _array("iu", "whole numbers")]


class _Content(BaseModel):
    """What a poses file may hold, whichever format it is in."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    version: Annotated[int, _PLAIN] = FORMAT_VERSION
    skeleton: Annotated[str, _PLAIN]
    joint_names: Annotated[list[str] | None, _PLAIN] = None
    fps: Annotated[float, _PLAIN, Field(gt=0, allow_inf_nan=False)]
    width: Annotated[int | None, _PLAIN] = None
    height: Annotated[int | None, _PLAIN] = None
    camera: _Intrinsics | None = None
    camera_assumed: Annotated[bool, _PLAIN] = False
    time: _Numbers | None = None
    track_id: _Integers | None = None
    xy: _Numbers
    xyz: _Numbers | None = None
    score: _Numbers | None = None
    state: _States | None = None
    observed_skeleton: Annotated[str | None, _PLAIN] = None
    observed_joint_names: Annotated[list[str] | None, _PLAIN] = None
    observed_xy: _Numbers | None = None
    observed_score: _Numbers | None = None
    observed_state: _States | None = None


def _validated(content: dict[str, Any]) -> _Content:
    version = np.asarray(content.get("version", FORMAT_VERSION))
    if version.dtype.kind in "iu" and version.ndim == 0 and version > FORMAT_VERSION:
        raise OccluposeError(
            f"written by format version {version}; this occlupose reads up to {FORMAT_VERSION}; update occlupose"
        )
    try:
        return _Content.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        if first["type"] == "missing":
            raise OccluposeError(f"{name}: is missing; a poses file needs at least xy, skeleton and fps") from error
        if first["type"] == "extra_forbidden":
            raise OccluposeError(
                f"{name}: is not known; a poses file may hold {', '.join(_Content.model_fields)}"
            ) from error
        raise OccluposeError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def _record(content: _Content) -> Poses:
    single = content.xy.ndim == 3
    joints = {name: _with_person_axis(getattr(content, name), single) for name in _PER_JOINT}
    if joints["xy"].ndim != 4 or joints["xy"].shape[-1] != 2:
        raise OccluposeError(
            f"xy: has shape {content.xy.shape}; it must be (time, person, joint, 2), or (time, joint, 2) for one person"
        )
    frames, people = joints["xy"].shape[:2]
    width, height = _image_size(content, joints["xy"])
    camera = (
        None if content.camera is None else Camera.from_matrix(content.camera, width, height, content.camera_assumed)
    )
    poses = Poses(
        **_filled(joints),
        track_id=np.arange(people) if content.track_id is None else content.track_id,
        time=np.arange(frames) / content.fps if content.time is None else content.time,
        skeleton=_skeleton(content.skeleton, content.joint_names),
        fps=content.fps,
        width=width,
        height=height,
        camera=camera,
    )
    if content.observed_xy is None and content.observed_skeleton is None:
        return poses
    if content.observed_xy is None or content.observed_skeleton is None:
        raise OccluposeError("observed_xy, observed_skeleton: one is there without the other; give both or neither")
    observed = {name: _with_person_axis(getattr(content, f"observed_{name}", None), single) for name in _PER_JOINT}
    skeleton = _skeleton(content.observed_skeleton, content.observed_joint_names)
    try:
        return replace(poses, observed=replace(poses, **_filled(observed), skeleton=skeleton))
    except OccluposeError as error:
        raise OccluposeError(f"observed: {error}") from error


def _with_person_axis(values: np.ndarray | None, single: bool) -> Any:
    return values[:, None] if single and values is not None and values.ndim > 1 else values


def _filled(joints: dict[str, Any]) -> dict[str, Any]:
    finite = np.isfinite(joints["xy"]).all(-1)
    default = {"score": finite, "state": VISIBLE * finite}
    return {name: default.get(name) if values is None else values for name, values in joints.items()}


def _skeleton(name: str, joint_names: list[str] | None) -> Skeleton:
    skeleton = by_name(name)
    if joint_names is not None and tuple(joint_names) != skeleton.joints:
        raise OccluposeError(
            f"joint_names: are {', '.join(joint_names)}; {name}'s are {', '.join(skeleton.joints)}, in this order"
        )
    return skeleton


def _image_size(content: _Content, xy: np.ndarray) -> tuple[int, int]:
    sizes = [content.width, content.height]
    if content.camera is not None:
        sizes = [
            round(2 * centre + 1) if size is None else size
            for size, centre in zip(sizes, content.camera[:2, 2].tolist(), strict=True)
        ]
    finite = xy[np.isfinite(xy).all(-1)]
    if None in sizes and not len(finite):
        raise OccluposeError(
            "width, height: are missing, and there is neither a camera nor a finite xy to take them from; give them"
        )
    width, height = (
        max(1, math.ceil(finite[:, axis].max()) + 1) if size is None else size for axis, size in enumerate(sizes)
    )
    return width, height


# The two formats.


def _content(poses: Poses) -> dict[str, Any]:
    """What is written of a record, by the names that `_Content` reads."""
    content: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "skeleton": poses.skeleton.name,
        "joint_names": list(poses.skeleton.joints),
        "fps": poses.fps,
        "width": poses.width,
        "height": poses.height,
        "time": poses.time,
        "track_id": poses.track_id,
    }
    if poses.camera is not None:
        content |= {"camera": poses.camera.matrix, "camera_assumed": poses.camera.assumed}
    content |= {name: getattr(poses, name) for name in _PER_JOINT if getattr(poses, name) is not None}
    if poses.observed is not None:
        names = ("skeleton", "joint_names", "xy", "score", "state")
        observed = _content(poses.observed)
        content |= {f"observed_{name}": observed[name] for name in names}
    return content


def _write_npz(path: Path, poses: Poses) -> None:
    np.savez_compressed(path, allow_pickle=False, **_content(poses))


def _read_npz(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise OccluposeError("not a whole .npz archive; write it with numpy.savez or Poses.save")
        try:
            with np.load(file, allow_pickle=False) as archive:
                return dict(archive)
        except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise OccluposeError(
                f"damaged or not plain arrays ({error}); write it again with numpy.savez or Poses.save"
            ) from error


def _write_json(path: Path, poses: Poses) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_json_text(poses))


def _json_text(poses: Poses) -> Iterator[str]:
    header = {name: value for name, value in _content(poses).items() if name not in (*_PER_JOINT, "track_id")}
    header = _JSON_HEADER | {name: value for name, value in header.items() if not name.startswith("observed_")}
    yield json.dumps(header | {"per_joint": _per_joint(poses)}, default=np.ndarray.tolist)[:-1]
    yield ', "people": ['
    yield from _json_people(poses)
    yield "]"
    if poses.observed is not None:
        names = {"skeleton": poses.observed.skeleton.name, "joint_names": poses.observed.skeleton.joints}
        yield f', "observed": {json.dumps(names | {"per_joint": _per_joint(poses.observed)})[:-1]}, "people": ['
        yield from _json_people(poses.observed)
        yield "]}"
    yield "}\n"


def _per_joint(poses: Poses) -> list[str]:
    return [name for name in _PER_JOINT if getattr(poses, name) is not None]


def _json_people(poses: Poses) -> Iterator[str]:
    """Every person's track id and the frames they are in, one frame a line."""
    present = (poses.state != ABSENT).any(-1) | (poses.score != 0).any(-1)
    names = ["frame", *_per_joint(poses)]
    for person, number in enumerate(poses.track_id.tolist()):
        frames = np.flatnonzero(present[:, person])
        columns = [frames.tolist(), *(_shortest(getattr(poses, name)[frames, person]).tolist() for name in names[1:])]
        rows = (
            json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":")) for row in zip(*columns, strict=True)
        )
        yield f'{"," if person else ""}\n{{"track_id": {number}, "frames": [\n'
        yield from (f"{',' if place else ''}{row}\n".replace("NaN", "null") for place, row in enumerate(rows))
        yield "]}"


def _shortest(values: np.ndarray) -> np.ndarray:
    """The float64 numbers with the fewest decimals (of up to 9) that still are these float32 values; whole numbers as
    they are.
    """
    if values.dtype.kind != "f":
        return values
    shortest = values.astype(np.float64)
    for decimals in reversed(range(10)):
        rounded = np.round(values.astype(np.float64), decimals)
        shortest = np.where(rounded.astype(np.float32) == values, rounded, shortest)
    return shortest


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OccluposeError(f"not JSON ({error}); write it with Poses.save") from error
    for name in ("people", "skeleton", "fps"):
        if not isinstance(document, dict) or name not in document:
            raise OccluposeError(f"{name}: is missing; a poses file needs at least people, skeleton and fps")
    for name, ours in _JSON_HEADER.items():
        if document.pop(name, ours) != ours:
            raise OccluposeError(f"{name}: is not ours; it must be '{ours}' or be left out")
    observed = document.pop("observed", None)
    content = _json_arrays("people", document)
    if observed is not None:
        own = _json_arrays("observed", observed, len(content["xy"]))
        if own.pop("track_id") != content["track_id"]:
            raise OccluposeError("observed: has other people; it must have those of people, in the same order")
        content |= {f"observed_{name}": value for name, value in own.items()}
    return content


def _json_arrays(where: str, document: dict[str, Any], frames: int | None = None) -> dict[str, Any]:
    """The document with arrays (time, person, joint, ...) in place of its people."""
    try:
        content = {name: value for name, value in document.items() if name not in ("people", "per_joint")}
        people = document["people"]
        rows = [row for person in people for row in person["frames"]]
        names = document.get("per_joint") or [
            name for name in _PER_JOINT if name in (rows[0] if rows else ("xy", "score", "state"))
        ]
        if frames is None:
            frames = (
                len(document["time"]) if "time" in document else 1 + max((row["frame"] for row in rows), default=-1)
            )
        joints = len(by_name(document["skeleton"]))
        content["track_id"] = [person["track_id"] for person in people]
        return content | {name: _json_array(name, people, frames, joints) for name in dict.fromkeys(["xy", *names])}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, MemoryError) as error:
        raise OccluposeError(
            f"{where}: not a list of people with track_id and frames, each frame with its number and xy of all joints"
            f" ({error!r})"
        ) from error


def _json_array(name: str, people: list[dict[str, Any]], frames: int, joints: int) -> np.ndarray:
    """One of `_PER_JOINT` for all people; where a person is absent it is NaN, score and state 0."""
    empty: np.ndarray = {
        "xy": np.full((joints, 2), np.nan),
        "xyz": np.full((joints, 3), np.nan),
        "score": np.zeros(joints),
        "state": np.zeros(joints, np.int64),
    }[name]
    array = np.broadcast_to(empty, (frames, len(people), *empty.shape)).copy()
    for person, track in enumerate(people):
        numbers = [row["frame"] for row in track["frames"]]
        if not numbers:
            continue
        if len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= frames:
            raise ValueError(f"frame numbers from {min(numbers)} to {max(numbers)}, not {frames} different ones from 0")
        values = np.array([row[name] for row in track["frames"]], None if name == "state" else np.float64)
        if values.shape[1:] != empty.shape or not np.can_cast(values.dtype, empty.dtype, "same_kind"):
            raise ValueError(f"{name} of shape {values.shape[1:]}, {values.dtype}, not {empty.shape}, {empty.dtype}")
        array[numbers, person] = values
    return array


class _Format(NamedTuple):
    read: Callable[[Path], dict[str, Any]]
    write: Callable[[Path, Poses], None]


_FORMATS = {".npz": _Format(_read_npz, _write_npz), ".json": _Format(_read_json, _write_json)}
