"""Reads the files of other tools, and our own, into `Poses`."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from occlupose import pose_files
from occlupose.bounds import brief
from occlupose.cameras import MAX_SIDE
from occlupose.errors import OccluposeError, naming, printable
from occlupose.formats.arrays import of_array
from occlupose.formats.content import open_content
from occlupose.formats.coordinates import check_pixels, place_camera, to_pixels
from occlupose.formats.names import to_skeleton
from occlupose.formats.people import track_people
from occlupose.formats.recording import Recording
from occlupose.formats.registry import read_recording
from occlupose.media.source import ASSUMED_FPS
from occlupose.npz import open_npz
from occlupose.occlusion.confidence import classify_joints
from occlupose.poses import ABSENT, VISIBLE, Poses, absent_array, check_fps, check_room, with_fields
from occlupose.skeletons import Skeleton, by_name

__all__ = ["ReadPoses", "check_2d", "from_array", "read"]

OURS = "occlupose"
"""Tool of our own files."""

MIN_JOINTS = 3
"""Of a person, so that it is odd if all of them are in one place."""

WRONG_SCORE = 1.5
"""Scores of heatmaps are a little above 1 at most; those above this are of another scale. Ours."""


@dataclass
class ReadPoses:
    """Poses from a file.

    Attributes:
        poses: the record.
        tool: that wrote the file; "occlupose" for our own.
        notes: what the user should know, a line each.
    """

    poses: Poses
    tool: str
    notes: list[str] = field(default_factory=list)

    def warn(self, stacklevel: int = 3) -> Poses:
        """The poses; the notes are given as `UserWarning`, by default to the caller of the caller."""
        for note in self.notes:
            warnings.warn(note, stacklevel=stacklevel)
        return self.poses


def read(
    path: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    skeleton: Skeleton | str | None = None,
    fallback_size: tuple[int, int] | None = None,
) -> ReadPoses:
    """The poses in a file or folder of any format that is known, by its content.

    Arguments:
        fps: frames per second; by default as the file says, else 30.
        size: (width, height) of the images, px; by default as the file says, else as large as the joints need.
        skeleton: the joints in their order, or its name; by default as the file says.
        fallback_size: size of the images if nothing says it.

    Raises:
        OccluposeError: the file cannot be read, or its poses cannot be meant; names the file and what to do.
    """
    path = Path(path)
    recording = _read_other_tool(path)
    if recording is not None:
        return _read(recording, path, fps, size or recording.size or fallback_size, skeleton)
    poses = pose_files.load(path)
    with naming(path):
        return ReadPoses(_override(poses, fps, size, skeleton), OURS)


def from_array(
    array: np.ndarray,
    *,
    skeleton: Skeleton | str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
) -> ReadPoses:
    """The poses in an array of x, y and maybe score, (time, joint, 2 or 3) or (time, person, joint, 2 or 3).

    Arguments:
        fps, size, skeleton: as of `read`.

    Raises:
        OccluposeError: another shape, no skeleton or another number of joints, or poses that cannot be meant.
    """
    return _read(of_array(np.asarray(array), "array"), "array", fps, size, skeleton)


def check_2d(poses: Poses) -> list[str]:
    """What the user should know of 2D poses that are not from `read` or `from_array`, a line each.

    Raises:
        OccluposeError: the places of visible joints cannot be meant.
    """
    tracks = [poses.rows(person)[1] for person in range(len(poses.track_id))]
    seen = [rows["xy"][rows["state"] == VISIBLE] for rows in tracks]
    return check_pixels(np.concatenate([np.zeros((0, 2), np.float32), *seen])) + _find_points(poses)


def _count_points(_: np.ndarray, rows: Mapping[str, np.ndarray]) -> int:
    """In how many frames all visible joints of a person are in one place."""
    seen = (rows["state"] == VISIBLE)[..., None]
    low = np.where(seen, rows["xy"], np.inf).min(1, initial=np.inf)
    high = np.where(seen, rows["xy"], -np.inf).max(1, initial=-np.inf)
    return int(((low == high).all(-1) & (seen.sum((1, 2)) >= MIN_JOINTS)).sum())


def _find_points(poses: Poses) -> list[str]:
    """Notes on people all of whose visible joints are in one place."""
    frames = [_count_points(*poses.rows(person)) for person in range(len(poses.track_id))]
    return [
        f"person {track}: all joints are in one point in {count} frame{'' if count == 1 else 's'}; give NaN where"
        " joints are missing"
        for track, count in zip(poses.track_id.tolist(), frames, strict=True)
        if count
    ]


def _read(
    recording: Recording,
    where: object,
    fps: float | None,
    size: tuple[int, int] | None,
    skeleton: Skeleton | str | None,
) -> ReadPoses:
    with naming(where):
        _check_shapes(recording)
        recording.fps = recording.fps if fps is None else fps
        recording.size = recording.size if size is None else size
        poses = _to_poses(recording, _find_skeleton(recording, skeleton))
    notes = recording.notes + _find_points(poses)
    return ReadPoses(poses, recording.tool, [printable(f"{where}: {note}") for note in notes])


def _read_other_tool(path: Path) -> Recording | None:
    """What is in the file of another tool; None: it is ours, and `pose_files` says what may be wrong with it."""
    if _is_ours(path):
        return None
    with open_content(path) as content:
        made_by_hand = isinstance(content.value, dict) and isinstance(content.value.get("skeleton"), str)
        return None if made_by_hand else read_recording(content)


def _is_ours(path: Path) -> bool:
    """Whether a file is an .npz that is damaged or has one of our arrays, or a .json that `Poses.save` wrote."""
    try:
        if path.suffix == ".npz":
            with open_npz(path) as archive:
                return bool({"xy", "skeleton"} & archive.keys())
        with path.open("rb") as file:
            return path.suffix == ".json" and b'"occlupose poses"' in file.read(1024)
    except OSError:
        return False
    except ValueError:  # a damaged archive, or a null byte in the name
        return path.suffix == ".npz" and "\0" not in str(path)


def _override(poses: Poses, fps: float | None, size: tuple[int, int] | None, skeleton: Skeleton | str | None) -> Poses:
    """Our record with what the user says instead."""
    if fps is not None:
        check_fps(fps)
        poses = with_fields(poses, fps=fps, time=poses.time * (poses.fps / fps))
    if size is not None:
        _check_size(size)
        poses = with_fields(poses, width=size[0], height=size[1])
    return poses if skeleton is None else with_fields(poses, skeleton=_resolve(skeleton, len(poses.skeleton)))


def _find_skeleton(recording: Recording, skeleton: Skeleton | str | None) -> Skeleton:
    count = recording.xy.shape[1]
    if skeleton is not None:
        return _resolve(skeleton, count)
    if recording.joints is None:
        raise OccluposeError(f"does not name its {count} joints; give the skeleton that they are of, such as coco17")
    return to_skeleton(recording.joints, recording.tool)


def _resolve(skeleton: Skeleton | str, count: int) -> Skeleton:
    skeleton = by_name(skeleton) if isinstance(skeleton, str) else skeleton
    if len(skeleton) != count:
        raise OccluposeError(
            f"has {count} joints, {skeleton.name} has {len(skeleton)}; give the skeleton of its joints"
        )
    return skeleton


def _check_size(size: tuple[int, int]) -> None:
    if not all(0 < side <= MAX_SIDE for side in size):
        raise OccluposeError(
            f"size is {' x '.join(map(brief, size))}; it must be width and height of the images, in pixels"
        )


def _check_shapes(recording: Recording) -> None:
    """Refuses arrays of a file that do not belong together."""
    rows, joints = recording.xy.shape[:2]
    shapes: dict[str, tuple[int, ...]] = {"score": (rows, joints), "state": (rows, joints), "xyz": (rows, joints, 3)}
    for name, shape in (shapes | {"frame": (rows,), "person": (rows,)}).items():
        values = getattr(recording, name)
        if values is not None and values.shape != shape:
            beside = f"beside positions of {rows} people with {joints} joints"
            raise OccluposeError(f"{name} has shape {values.shape} {beside}; write the file again")


def _to_poses(recording: Recording, skeleton: Skeleton) -> Poses:
    """The record of a recording; what is not known is assumed, with a note."""
    if recording.fps is not None:
        check_fps(recording.fps)
    if recording.size is not None:
        _check_size(recording.size)
    recording = _in_order(recording)
    camera = None
    if recording.xyz is None:
        xy = to_pixels(recording)
    else:
        camera = place_camera(recording)
        xy = camera.project(recording.xyz)
    fps, size = _assume(recording, xy)
    known = np.isfinite(xy).all(-1)
    score = np.where(known, _scores(recording), 0)
    if recording.state is None:
        state = classify_joints(np.where(known, score, np.nan))
    else:
        state = np.where(known, recording.state, ABSENT)
    arrays = {"xy": xy, "score": score, "state": state}
    if recording.xyz is not None:
        arrays["xyz"] = recording.xyz
    person = _people(recording, xy, score, skeleton, fps)
    dense, time, track_id = _to_arrays(recording, person, arrays)
    return Poses(
        **{"xyz": None} | dense,  # type: ignore[arg-type]
        track_id=track_id,
        time=time / fps,
        skeleton=skeleton,
        fps=fps,
        width=size[0],
        height=size[1],
        camera=camera,
    )


def _in_order(recording: Recording) -> Recording:
    """The rows in which somebody is, in the order of their frames; half a position is none."""
    missing = np.isnan(recording.xy if recording.xyz is None else recording.xyz).any(-1)
    rows = np.flatnonzero(~missing.all(-1))
    rows = rows[np.argsort(recording.frame[rows], kind="stable")]
    if not len(rows):
        raise OccluposeError("nobody is in it; give poses of at least one person")

    def select(values: Any) -> Any:
        return None if values is None else values[rows]

    def select_whole(places: Any) -> Any:
        return None if places is None else np.where(missing[rows, :, None], np.nan, places[rows])

    return replace(
        recording,
        frame=recording.frame[rows],
        person=select(recording.person),
        xy=select_whole(recording.xy),
        score=select(recording.score),
        state=select(recording.state),
        xyz=select_whole(recording.xyz),
        frames=recording.frames or (int(recording.frame.min()), int(recording.frame.max())),
    )


def _assume(recording: Recording, xy: Float[np.ndarray, "row joint 2"]) -> tuple[float, tuple[int, int]]:
    """Frame rate and image size; what is not known is assumed: the size holds all joints."""
    assumed = {}
    fps = recording.fps
    size = recording.size
    if fps is None:
        fps = ASSUMED_FPS
        assumed["fps"] = f"{fps:g} frames per second"
    if size is None:
        width, height = np.maximum(np.ceil(np.nanmax(xy, axis=(0, 1))) + 1, 1).astype(int).tolist()
        size = (width, height)
        assumed["size"] = f"images of {width} x {height}"
    if assumed:
        what = " and ".join(assumed.values())
        recording.notes.append(f"{what} are assumed; give {' and '.join(assumed)} if that is wrong")
    return fps, size


def _scores(recording: Recording) -> Float[np.ndarray, "row joint"]:
    """Scores in 0..1; 1 where there are none."""
    if recording.score is None:
        return np.ones(recording.xy.shape[:2])
    score = np.nan_to_num(recording.score, nan=1.0)
    if score.max() > WRONG_SCORE:
        recording.notes.append(f"scores of up to {score.max():g} are cut to 1")
    return score.clip(0, 1)


def _people(
    recording: Recording,
    xy: Float[np.ndarray, "row joint 2"],
    score: Float[np.ndarray, "row joint"],
    skeleton: Skeleton,
    fps: float,
) -> Int[np.ndarray, " row"]:
    """Track id of each row; -1 for those that are left out."""
    person = recording.person
    if person is not None and np.unique([recording.frame, person], axis=1).shape[1] == len(person):
        return person
    why = "it does not say who is who" if person is None else "it has an id twice in a frame"
    person = track_people(recording.frame, xy, score, skeleton, fps)
    nobody = int((person < 0).sum())
    left_out = f"; {nobody} of {len(person)} detections, of nobody for long, are left out" if nobody else ""
    recording.notes.append(f"{why}: people are tracked, {len(np.unique(person[person >= 0]))} found{left_out}")
    return person


def _to_arrays(
    recording: Recording, person: Int[np.ndarray, " row"], arrays: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Int[np.ndarray, " time"], Int[np.ndarray, " person"]]:
    """Arrays (time, person, joint, ...), the numbers of their frames, and the ids of their people."""
    first, last = recording.frames or (0, 0)
    rows = person >= 0
    track_id, column = np.unique(person[rows], return_inverse=True)
    frames = last - first + 1
    joints = recording.xy.shape[1]
    check_room(frames, len(track_id), joints, int(rows.sum()))
    dense = {}
    for name, values in arrays.items():
        dense[name] = absent_array(name, frames, len(track_id), joints).copy()
        dense[name][recording.frame[rows] - first, column] = values[rows]
    return dense, np.arange(first, last + 1), track_id
