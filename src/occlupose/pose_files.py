"""The two file formats of `Poses`, .npz and .json, with the same content.

Both hold `version` (of the format, now 4), `skeleton`, `joint_names`, `fps` (1/s), `width`, `height` (px), `time` (s),
and where it is known `camera` (3 x 3 intrinsic matrix, px) with `camera_assumed` and maybe `camera_up`. Of every person
they hold a `track_id`, and of every joint `xy` (px), `score`, `state` and in 3D `xyz` (m, camera frame: x right, y
down, z forward). Where it is known they also hold how uncertain these are: `spread` (px) and `covariance` (m^2: xx, yy,
zz, xy, xz, yz) of every joint, `root_covariance` of every person. Of fitted skeletons they hold `rotation` (quaternions
w, x, y, z), `rotation_covariance` (rad^2) and `contact` (0..1) of every person in every frame, `bone_offsets` (m) and
`shape` of every person, and of every joint `xyz_lifted` (m) if it was kept; `segments`, `bearing`, `bones` and
`shape_names` name what these are of. `world_rotation` (its rows are the axes x, y, z of the world in the camera frame;
z is up) and `world_translation` (m) lead from the camera frame to the world, where the floor is at 0; `world_centre`
(m) and `world_covariance` say how uncertain it is, see `WorldFrame`. For a skeleton that is not among
`skeletons.SKELETONS` there are also `limbs` (pairs of joint names, to draw) and `root` (a joint name).

- .npz has them as arrays of these names, person by person: what is of joints and people over time has a row for each
  frame in which the person is there, (row, joint, ...), whose frame and person are `row_frame` (from 0, ascending) and
  `row_track_id` (in the order of `track_id`). The 2D detections are `observed_xy`, `observed_score`, `observed_state`,
  `observed_spread`, `observed_skeleton`, `observed_joint_names`, with rows of their own. Without `row_frame` the arrays
  are (time, person, joint, ...), or (time, joint, ...) of a single person.
- .json has `format`, `units` and `frame` in words, and a list of `people`, each with a `track_id` and `frames`; a frame
  has its number, `frame`, those of `xy`, `xyz`, `score`, `state`, `spread`, ... that `per_joint` lists, for all joints,
  and those of `root_covariance`, `rotation`, ... that `per_person` lists; `bone_offsets` and `shape` are beside
  `track_id`. Frames in which a person is absent are left out; NaN is null. The 2D detections are `observed`, with
  `skeleton`, `joint_names`, `per_joint` and `people` of its own.

Version 1 had no uncertainty, version 2 no fitted skeletons, version 3 no rows. Files made by hand need less; see
`Poses.load`. One schema checks names and types, missing fields are filled in, `Poses` checks the rest.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from jaxtyping import Int64
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from occlupose.body_parts import BEARING, BONES, SEGMENTS, SHAPE
from occlupose.cameras import MAX_SIDE, Camera
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic, parse_json
from occlupose.npz import NpzArrays, open_npz, write_array
from occlupose.poses import (
    ABSENT,
    FRAMES,
    JOINT_FIELDS,
    PERSON_FIELDS,
    TRACK_FIELDS,
    VISIBLE,
    Poses,
    absent_array,
    append_rows,
    check_fps,
    check_room,
    empty_rows,
)
from occlupose.skeletons import Skeleton, build_skeleton, find
from occlupose.track_store import TrackStore
from occlupose.world_frame import WorldFrame

FORMAT_VERSION = 4

_FIELDS = {"per_joint": JOINT_FIELDS, "per_person": PERSON_FIELDS}
_WORLD = ("rotation", "translation", "centre", "covariance")
_PARTS = {"segments": SEGMENTS, "bearing": BEARING, "bones": BONES, "shape_names": SHAPE}
_NAMED_BY = {"rotation": "segments", "contact": "bearing", "bone_offsets": "bones", "shape": "shape_names"}
_SKELETON = ("skeleton", "joint_names", "limbs", "root")
_JSON_HEADER = {
    "format": "occlupose poses",
    "units": "metres, pixels, seconds",
    "frame": "camera: x right, y down, z forward",
}


def load(path: str | Path) -> Poses:
    """Read a record; see `Poses.load`."""
    path = Path(path)
    check_suffix(path)
    try:
        return _FORMATS[path.suffix].read(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise unreadable(path, error, "give a .npz or .json file") from error
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error


def save(poses: Poses, path: str | Path) -> None:
    """Write a record; see `Poses.save`."""
    path = Path(path)
    check_suffix(path)
    for record in (poses, poses.observed):
        if record is not None:
            _check_name(path, record.skeleton)
    with atomic(path) as temporary:
        _FORMATS[path.suffix].write(temporary, poses)


def check_suffix(path: Path) -> None:
    """Refuses a file that is no poses file by its name. Raises OccluposeError."""
    if path.suffix not in _FORMATS:
        raise OccluposeError(f"{path}: not a poses file by its suffix; poses are .npz or .json")


def _check_name(path: Path, skeleton: Skeleton) -> None:
    """Refuses a skeleton with the name of another one: it could not be read again."""
    known = find(skeleton.name)
    if known is not None and known.joints != skeleton.joints:
        raise OccluposeError(
            f"{path}: skeleton {skeleton.name} has other joints than occlupose's {skeleton.name}; give it another name"
        )


def _array(kinds: str, meaning: str) -> BeforeValidator:
    def check(value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"holds {array.max()}; it must hold {meaning} of 64 bits")
        if array.size and array.dtype.kind not in kinds:
            raise ValueError(f"holds values of type {array.dtype}; it must hold {meaning}")
        return array

    return BeforeValidator(check)


def _known_states(states: np.ndarray) -> np.ndarray:
    if states.size and not ABSENT <= states.min() <= states.max() <= VISIBLE:
        raise ValueError("holds an unknown state; states are 0 absent, 1 occluded, 2 visible")
    return states


def _possible_fps(fps: float) -> float:
    check_fps(fps)
    return fps


def _intrinsics(camera: np.ndarray) -> np.ndarray:
    """fx, fy, cx, cy or a 3 x 3 matrix, as the matrix."""
    if camera.shape == (4,):
        fx, fy, cx, cy = camera.tolist()
        camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if camera.shape != (3, 3) or not (np.abs(camera) < _LARGE).all():
        raise ValueError("is neither fx, fy, cx, cy nor a 3 x 3 intrinsic matrix, all finite, in pixels")
    return camera


def _finite(*shape: int) -> AfterValidator:
    def check(values: np.ndarray) -> np.ndarray:
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"has shape {values.shape}; it must be {shape}, all finite")
        return values.astype(float)

    return AfterValidator(check)


def _proper(rotation: np.ndarray) -> np.ndarray:
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) or np.linalg.det(rotation) < 0:
        raise ValueError("is no rotation; its rows must be orthogonal unit vectors, right-handed")
    return rotation


_LARGE = 1e9
"""Pixels; no principal point is so far away."""

_PLAIN = BeforeValidator(lambda value: value.tolist() if isinstance(value, np.ndarray) else value)
_Numbers = Annotated[np.ndarray, _array("fiu", "numbers")]
_Integers = Annotated[np.ndarray, _array("iu", "whole numbers")]
_Vector = Annotated[np.ndarray, _finite(3), _array("fiu", "numbers")]
_Matrix = Annotated[np.ndarray, _finite(3, 3), _array("fiu", "numbers")]
_Rotation = Annotated[np.ndarray, AfterValidator(_proper), _finite(3, 3), _array("fiu", "numbers")]
_Intrinsics = Annotated[np.ndarray, AfterValidator(_intrinsics), _array("fiu", "numbers")]
_States = Annotated[np.ndarray, AfterValidator(_known_states), _array("iu", "whole numbers")]


class _Content(BaseModel):
    """The fields of a poses file, in either format."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    version: Annotated[int, _PLAIN] = FORMAT_VERSION
    skeleton: Annotated[str, _PLAIN]
    joint_names: Annotated[list[str] | None, _PLAIN] = None
    limbs: Annotated[list[tuple[str, str]] | None, _PLAIN] = None
    root: Annotated[str | None, _PLAIN] = None
    fps: Annotated[float, _PLAIN, Field(gt=0, allow_inf_nan=False), AfterValidator(_possible_fps)]
    width: Annotated[int | None, _PLAIN] = None
    height: Annotated[int | None, _PLAIN] = None
    camera: _Intrinsics | None = None
    camera_assumed: Annotated[bool, _PLAIN] = False
    camera_up: _Vector | None = None
    time: _Numbers | None = None
    track_id: _Integers | None = None
    xy: _Numbers
    xyz: _Numbers | None = None
    score: _Numbers | None = None
    state: _States | None = None
    spread: _Numbers | None = None
    covariance: _Numbers | None = None
    root_covariance: _Numbers | None = None
    xyz_lifted: _Numbers | None = None
    rotation: _Numbers | None = None
    rotation_covariance: _Numbers | None = None
    contact: _Numbers | None = None
    bone_offsets: _Numbers | None = None
    shape: _Numbers | None = None
    segments: Annotated[list[str] | None, _PLAIN] = None
    bearing: Annotated[list[str] | None, _PLAIN] = None
    bones: Annotated[list[str] | None, _PLAIN] = None
    shape_names: Annotated[list[str] | None, _PLAIN] = None
    world_rotation: _Rotation | None = None
    world_translation: _Vector | None = None
    world_centre: _Vector | None = None
    world_covariance: _Matrix | None = None
    observed_skeleton: Annotated[str | None, _PLAIN] = None
    observed_joint_names: Annotated[list[str] | None, _PLAIN] = None
    observed_limbs: Annotated[list[tuple[str, str]] | None, _PLAIN] = None
    observed_root: Annotated[str | None, _PLAIN] = None
    observed_xy: _Numbers | None = None
    observed_score: _Numbers | None = None
    observed_state: _States | None = None
    observed_spread: _Numbers | None = None


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
        name = first["loc"][0] if first["loc"] else "a name"
        if first["type"] == "missing":
            raise OccluposeError(f"{name}: is missing; a poses file needs at least xy, skeleton and fps") from error
        if first["type"] == "extra_forbidden":
            raise OccluposeError(
                f"{name}: is not known; a poses file may hold {', '.join(_Content.model_fields)}"
            ) from error
        raise OccluposeError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def _record(content: _Content) -> Poses:
    single = content.xy.ndim == 3
    arrays = _arrays(content, "", single)
    if arrays["xy"].ndim != 4 or arrays["xy"].shape[-1] != 2:
        raise OccluposeError(
            f"xy: has shape {content.xy.shape}; it must be (time, person, joint, 2), or (time, joint, 2) for one person"
        )
    frames, people = arrays["xy"].shape[:2]
    width, height = _image_size(content, arrays["xy"])
    _check_parts(content)
    poses = Poses(
        **_filled(arrays),
        **{name: _of_person(getattr(content, name), single) for name in TRACK_FIELDS},
        world=_world(content),
        track_id=np.arange(people) if content.track_id is None else content.track_id,
        time=np.arange(frames) / content.fps if content.time is None else content.time,
        **_skeleton(content, ""),
        fps=content.fps,
        width=width,
        height=height,
        camera=_camera(content, width, height),
    )
    if content.observed_xy is None and content.observed_skeleton is None:
        return poses
    if content.observed_xy is None or content.observed_skeleton is None:
        raise OccluposeError("observed_xy, observed_skeleton: one is there without the other; give both or neither")
    observed = _arrays(content, "observed_", single)
    skeleton = _skeleton(content, "observed_")
    try:
        return replace(poses, observed=replace(poses.to_2d(), **_filled(observed), **skeleton))
    except OccluposeError as error:
        raise OccluposeError(f"observed: {error}") from error


def _camera(content: _Content, width: int, height: int) -> Camera | None:
    if content.camera is None:
        return None
    camera = Camera.from_matrix(content.camera, width, height, content.camera_assumed)
    return replace(camera, up=None if content.camera_up is None else tuple(content.camera_up.tolist()))


def _skeleton(content: _Content, prefix: str) -> dict[str, Any]:
    return {"skeleton": build_skeleton(*(getattr(content, prefix + name) for name in _SKELETON))}


def _check_parts(content: _Content) -> None:
    for name, parts in _PARTS.items():
        if getattr(content, name) not in (None, list(parts)):
            raise OccluposeError(f"{name}: are not those of this version; they must be {', '.join(parts)}")


def _arrays(content: _Content, prefix: str, single: bool) -> dict[str, Any]:
    """The arrays of joints and people by their names in `Poses`, with an axis of people; None where there is none."""
    arrays = {name: getattr(content, prefix + name, None) for name in (*JOINT_FIELDS, *PERSON_FIELDS)}
    return {name: _with_person_axis(values, single) for name, values in arrays.items()}


def _with_person_axis(values: np.ndarray | None, single: bool) -> Any:
    return values[:, None] if single and values is not None and values.ndim > 1 else values


def _of_person(values: np.ndarray | None, single: bool) -> Any:
    """What is constant, with an axis of people."""
    return values[None] if single and values is not None else values


def _world(content: _Content) -> WorldFrame | None:
    fields = [getattr(content, f"world_{name}") for name in _WORLD]
    if all(values is None for values in fields):
        return None
    if any(values is None for values in fields[:2]):
        raise OccluposeError("world_rotation, world_translation: one is there without the other; give both or neither")
    rotation, translation, centre, covariance = fields
    return WorldFrame(
        rotation,
        translation,
        np.zeros(3) if centre is None else centre,
        np.zeros((3, 3)) if covariance is None else covariance,
    )


def _filled(arrays: dict[str, Any]) -> dict[str, Any]:
    finite = np.isfinite(arrays["xy"]).all(-1)
    default = {"score": finite, "state": VISIBLE * finite}
    return {name: default.get(name) if values is None else values for name, values in arrays.items()}


def _image_size(content: _Content, xy: np.ndarray) -> tuple[int, int]:
    width = content.width
    height = content.height
    if content.camera is not None:
        cx, cy = content.camera[:2, 2].tolist()
        width = round(2 * cx + 1) if width is None else width
        height = round(2 * cy + 1) if height is None else height
    finite = xy[np.isfinite(xy).all(-1)]
    if (width is None or height is None) and not len(finite):
        raise OccluposeError(
            "width, height: are missing, and there is neither a camera nor a finite xy to take them from; give them"
        )
    if width is None:
        width = min(max(1, math.ceil(finite[:, 0].max()) + 1), MAX_SIDE)
    if height is None:
        height = min(max(1, math.ceil(finite[:, 1].max()) + 1), MAX_SIDE)
    return width, height


# The two formats.


def _content(poses: Poses) -> dict[str, Any]:
    """The fields of a record, by the names that `_Content` reads, but what is of joints and people over time."""
    content: dict[str, Any] = {
        "version": FORMAT_VERSION,
        **_skeleton_content(poses.skeleton),
        "fps": poses.fps,
        "width": poses.width,
        "height": poses.height,
        "time": poses.time,
        "track_id": poses.track_id,
    }
    if poses.camera is not None:
        content |= {"camera": poses.camera.matrix, "camera_assumed": poses.camera.assumed}
        if poses.camera.up is not None:
            content["camera_up"] = list(poses.camera.up)
    content |= poses.constants
    known = {*poses.names, *poses.constants}
    content |= {parts: list(_PARTS[parts]) for name, parts in _NAMED_BY.items() if name in known}
    if poses.world is not None:
        content |= {f"world_{name}": getattr(poses.world, name) for name in _WORLD}
    if poses.observed is not None:
        content |= {f"observed_{name}": value for name, value in _skeleton_content(poses.observed.skeleton).items()}
    return content


def _skeleton_content(skeleton: Skeleton) -> dict[str, Any]:
    content: dict[str, Any] = {"skeleton": skeleton.name, "joint_names": list(skeleton.joints)}
    if find(skeleton.name) is None:
        if skeleton.limbs:
            content["limbs"] = [list(limb) for limb in skeleton.limbs]
        if skeleton.root is not None:
            content["root"] = skeleton.root
    return content


def _write_npz(path: Path, poses: Poses) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, value in _content(poses).items():
            array = np.asarray(value)
            write_array(archive, name, [array], array.shape)
        _write_rows(archive, "", poses)
        if poses.observed is not None:
            _write_rows(archive, "observed_", poses.observed)


def _write_rows(archive: ZipFile, prefix: str, poses: Poses) -> None:
    """Writes what is of joints and people over time, person by person."""
    store = TrackStore()
    lengths = []
    for person in range(len(poses.track_id)):
        frames, arrays = poses.rows(person)
        append_rows(store, frames, arrays)
        lengths.append(len(frames))
    numbers = np.repeat(poses.track_id, lengths)
    write_array(archive, f"{prefix}row_track_id", [numbers], numbers.shape)
    for source, name in ((FRAMES, "row_frame"), *((name, name) for name in poses.names)):
        nothing = np.zeros(0, np.int64) if source == FRAMES else empty_rows(name, 0, len(poses.skeleton))
        parts = (store.get(person, [source])[source] for person in range(len(store)))
        write_array(archive, prefix + name, chain([nothing], parts), (len(numbers), *nothing.shape[1:]))


def _read_npz(path: Path) -> Poses:
    with path.open("rb") as file:
        try:
            with open_npz(file) as archive:
                if "row_frame" in archive:
                    return _read_rows(archive)
                known = _Content.model_fields
                return _record(_validated({name: archive[name] if name in known else None for name in archive}))
        except ValueError as error:
            raise OccluposeError(f"{error}; write it again with numpy.savez or Poses.save") from error


def _read_rows(archive: NpzArrays) -> Poses:
    """A record whose arrays are in rows. Raises OccluposeError, ValueError: as of others."""
    rows = ("row_frame", "row_track_id", *JOINT_FIELDS, *PERSON_FIELDS)
    by_row = {prefix + name for name in rows for prefix in ("", "observed_")}
    others = [name for name in archive if name not in by_row]
    header = {name: archive[name] if name in _Content.model_fields else None for name in others}
    for name in ("time", "track_id", "width", "height"):
        if name not in header:
            raise OccluposeError(f"{name}: is missing; a poses file with row_frame needs it")
    content = _validated(header | {"xy": np.zeros((0, 1, 1, 2))})
    about = {name: getattr(content, name) for name in ("track_id", "time", "fps", "width", "height")}
    assert content.width is not None and content.height is not None
    about |= {"camera": _camera(content, content.width, content.height)}
    _check_parts(content)
    about["observed"] = None
    if content.observed_skeleton is not None:
        about["observed"] = _read_tracks(archive, "observed_", header, about | _skeleton(content, "observed_"))
    about |= {name: getattr(content, name) for name in TRACK_FIELDS} | {"world": _world(content)}
    return _read_tracks(archive, "", header, about | _skeleton(content, ""))


def _read_tracks(archive: NpzArrays, prefix: str, header: dict[str, Any], about: dict[str, Any]) -> Poses:
    """The people of a record, one by one.

    Arguments:
        prefix: of the arrays' names.
        header: the other fields of the file.
        about: those of the record, as of `Poses`.
    """
    joints = len(about["skeleton"])
    frames, lengths = _find_rows(archive, prefix, about["track_id"], about["time"].size)
    names = [name for name in (*JOINT_FIELDS, *PERSON_FIELDS) if prefix + name in archive]
    store = TrackStore()
    if "xy" not in names:
        raise OccluposeError(f"{prefix}xy: is missing; a poses file needs at least xy, skeleton and fps")
    with ExitStack() as stack:
        read = {}
        for name in names:
            shape, read[name] = stack.enter_context(archive.in_parts(prefix + name))
            wanted = empty_rows(name, 0, joints).shape[1:]
            if shape[1:] != wanted:
                raise OccluposeError(f"{prefix}{name}: has rows of shape {shape[1:]}, not {wanted}")
            if shape[0] != len(frames):
                raise OccluposeError(f"{prefix}{name}: has {shape[0]} rows, not {len(frames)} as row_frame")
        stop = 0
        for length in lengths:
            start = stop
            stop = start + length
            given = {name: part(length)[:, None] for name, part in read.items()}
            filled = _filled(_arrays(_validated(header | given), "", False))
            arrays = {name: values[:, 0] for name, values in filled.items() if values is not None}
            append_rows(store, frames[start:stop], arrays)
    return Poses.by_track(store, {*names, "score", "state"}, **about)


def _find_rows(
    archive: NpzArrays, prefix: str, track_id: np.ndarray, frames: int
) -> tuple[Int64[np.ndarray, "row"], list[int]]:
    """The frame of each row, and how many rows each person has."""
    for name in (f"{prefix}row_frame", f"{prefix}row_track_id"):
        if name not in archive:
            raise OccluposeError(f"{name}: is missing; rows need their frames and people")
    row_frame = archive[f"{prefix}row_frame"]
    row_track_id = archive[f"{prefix}row_track_id"]
    columns = {number: column for column, number in enumerate(track_id.ravel().tolist())}
    person = np.array([columns.get(number, -1) for number in row_track_id.ravel().tolist()], np.int64)
    is_plain = row_frame.ndim == 1 and row_frame.shape == person.shape and row_frame.dtype.kind in "iu"
    if is_plain and len(person):
        in_range = (person >= 0).all() and row_frame.min() >= 0 and row_frame.max() < frames
        is_plain = bool(in_range and (np.diff(person * frames + row_frame.astype(np.int64)) > 0).all())
    if not is_plain:
        raise OccluposeError(
            f"{prefix}row_frame, {prefix}row_track_id: are not in order; they must be numbers of frames below {frames},"
            " ascending, of each person in the order of track_id"
        )
    return row_frame.astype(np.int64), np.bincount(person, minlength=len(track_id)).tolist()


def _write_json(path: Path, poses: Poses) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_json_text(poses))


def _json_text(poses: Poses) -> Iterator[str]:
    by_person = (*poses.constants, "track_id")
    header = {name: value for name, value in _content(poses).items() if name not in by_person}
    header = _JSON_HEADER | {name: value for name, value in header.items() if not name.startswith("observed_")}
    yield json.dumps(header | _names(poses), default=np.ndarray.tolist)[:-1]
    yield ', "people": ['
    yield from _json_people(poses)
    yield "]"
    if poses.observed is not None:
        observed = _skeleton_content(poses.observed.skeleton) | _names(poses.observed)
        yield f', "observed": {json.dumps(observed)[:-1]}, "people": ['
        yield from _json_people(poses.observed)
        yield "]}"
    yield "}\n"


def _names(poses: Poses) -> dict[str, list[str]]:
    """Names of what every frame of a person holds, of all joints and of the person."""
    names = {kind: [name for name in fields if name in poses.names] for kind, fields in _FIELDS.items()}
    return {kind: listed for kind, listed in names.items() if listed}


def _json_people(poses: Poses) -> Iterator[str]:
    """Every person's track id and the frames they are in, one frame a line."""
    names = ["frame", *poses.names]
    for person, number in enumerate(poses.track_id.tolist()):
        frames, arrays = poses.rows(person)
        constants = {name: shortest(values[person]) for name, values in poses.constants.items()}
        columns = [frames.tolist(), *(shortest(values).tolist() for values in arrays.values())]
        about = {"track_id": number} | {name: values.tolist() for name, values in constants.items()}
        beginning = json.dumps(about)[:-1].replace("NaN", "null")
        yield f'{"," if person else ""}\n{beginning}, "frames": [\n'
        for place, values in enumerate(zip(*columns, strict=True)):
            row = json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":"))
            yield f"{',' if place else ''}{row}\n".replace("NaN", "null")
        yield "]}"


def shortest(values: np.ndarray) -> np.ndarray:
    """Float64 numbers of the fewest decimals, up to 15, that round to these float32 values; whole numbers unchanged."""
    if values.dtype.kind != "f":
        return values
    shortest = values.astype(np.float64)
    for decimals in reversed(range(16)):
        rounded = np.round(values.astype(np.float64), decimals)
        shortest = np.where(rounded.astype(np.float32) == values, rounded, shortest)
    return shortest


def _read_json(path: Path) -> Poses:
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
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
    return _record(_validated(content))


def _json_arrays(where: str, document: dict[str, Any], frames: int | None = None) -> dict[str, Any]:
    """The document with arrays (time, person, joint, ...) in place of its people."""
    try:
        content = {name: value for name, value in document.items() if name not in ("people", *_FIELDS)}
        people = document["people"]
        rows = [row for person in people for row in person["frames"]]
        first = rows[0] if rows else ("xy", "score", "state")
        names = ["xy"]
        for kind, fields in _FIELDS.items():
            names += document.get(kind) or [name for name in fields if name in first]
        if frames is None and "time" in document:
            frames = len(document["time"])
        elif frames is None:
            frames = 1 + max((row["frame"] for row in rows), default=-1)
        joints = len(build_skeleton(document["skeleton"], document.get("joint_names"), None, None))
        check_room(frames, len(people), joints, len(rows))
        content["track_id"] = [person["track_id"] for person in people]
        content |= _json_constants(document)
        return content | {name: _json_array(name, people, frames, joints) for name in dict.fromkeys(names)}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise OccluposeError(
            f"{where}: not a list of people with track_id and frames, each frame with its number and xy of all joints"
            f" ({error!r})"
        ) from error


def _json_constants(document: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of `TRACK_FIELDS`, of all people; of nobody, those whose parts are named."""
    people = document["people"]
    if not people:
        return {name: np.zeros((0, *one.shape)) for name, one in TRACK_FIELDS.items() if _NAMED_BY[name] in document}
    known = [name for name in TRACK_FIELDS if any(name in person for person in people)]
    return {name: np.array([person[name] for person in people], np.float64) for name in known}


def _json_array(name: str, people: list[dict[str, Any]], frames: int, joints: int) -> np.ndarray:
    """An array of `JOINT_FIELDS` or `PERSON_FIELDS`, of all people."""
    array = absent_array(name, frames, len(people), joints).astype(np.int64 if name == "state" else np.float64)
    for person, track in enumerate(people):
        numbers = [row["frame"] for row in track["frames"]]
        if not numbers:
            continue
        if len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= frames:
            raise ValueError(f"frame numbers from {min(numbers)} to {max(numbers)}, not {frames} different ones from 0")
        values = np.array([row[name] for row in track["frames"]], None if name == "state" else np.float64)
        shape = array.shape[2:]
        if values.shape[1:] != shape or not np.can_cast(values.dtype, array.dtype, "same_kind"):
            raise ValueError(f"{name} of shape {values.shape[1:]}, {values.dtype}, not {shape}, {array.dtype}")
        array[numbers, person] = values
    return array


class _Format(NamedTuple):
    read: Callable[[Path], Poses]
    write: Callable[[Path, Poses], None]


_FORMATS = {".npz": _Format(_read_npz, _write_npz), ".json": _Format(_read_json, _write_json)}
