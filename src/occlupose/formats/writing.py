"""Writes `Poses` in the formats of other tools."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np

from occlupose.errors import OccluposeError, naming
from occlupose.files import atomic, find_by_person, name_by_person
from occlupose.formats.registry import EXPORTS, ExportFormat
from occlupose.kinematics import SkeletonFit
from occlupose.kinematics.fit import skeletons_of
from occlupose.poses import ABSENT, Poses, append_rows
from occlupose.skeletons import Skeleton
from occlupose.track_store import TrackStore

__all__ = ["check", "file_name", "remove", "write", "write_all"]


def write(poses: Poses, path: str | Path, format: str | None = None) -> list[Path]:
    """Write poses in the format of another tool.

    People who are in no frame are left out. Where a format has its own joints, those that the poses lack are taken from
    the 2D detections, `poses.observed`. An existing file is replaced, a folder with files in it is not.

    Arguments:
        path: of the file, or of the folder for "openpose".
        format: name of one of `registry.EXPORTS`; by default by the suffix.

    Returns:
        The files that were written: `path`, or of a format for one person and several people NAME_ID, by track id.

    Raises:
        OccluposeError: an unknown format, one whose package is not installed or which cannot hold these poses, nobody
            is in them, or the file cannot be written; names the file and leaves none behind.
    """
    return [*write_all(poses, {Path(path): format})]


def write_all(poses: Poses, files: Mapping[Path, str | None]) -> Iterator[Path]:
    """Write poses in several formats. Those that hold rotations take the skeletons in the poses; where there are none,
    they are fitted once for all.

    Arguments:
        files: path and format of each, as of `write`.

    Yields:
        Each file when it is written.

    Raises:
        OccluposeError: as of `write`, at the file that cannot be written.
    """
    fit = cache(partial(_fit, poses))
    for path, format in files.items():
        yield from _write(poses, path, check(path, format), fit)


def _write(poses: Poses, path: Path, chosen: ExportFormat, fit: Callable[[], SkeletonFit]) -> Iterator[Path]:
    if path.is_dir() and "." in chosen.ending:
        raise OccluposeError(f"{path}: is a folder; give the name of a file")
    if path.is_dir() and any(path.iterdir()):
        raise OccluposeError(f"{path}: is a folder with files in it; give another name")
    with naming(path):
        poses = _to_format(poses, chosen)
        fitted = fit() if chosen.rotations else None
    for file, people in _files(poses, path, chosen):
        own = () if fitted is None else (fitted.select(np.isin(poses.track_id, people.track_id).nonzero()[0]),)
        with atomic(file) as temporary, naming(file):
            chosen.write(people, temporary, *own)
        yield file


def _fit(poses: Poses) -> SkeletonFit:
    """Skeletons of the people who are there, in the axes of `axes`."""
    people = _of_people_there(poses, "xyz")
    fit = skeletons_of(people)
    lost = people.track_id[~fit.known.any(0)].tolist()
    if lost:
        others = ", or in Python poses.select(person=...) of the others" if len(lost) < len(people.track_id) else ""
        raise OccluposeError(
            f"no joint of person {lost[0]} can be fitted; give a format without rotations, such as csv{others}"
        )
    return fit.turn_y_up(poses.world)


def check(path: str | Path, format: str | None = None) -> ExportFormat:
    """The format that a file will have.

    Arguments:
        path, format: as of `write`.

    Raises:
        OccluposeError: it is unknown, it is not that of the suffix .gltf, or its package is not installed.
    """
    path = Path(path)
    if path.suffix.lower() == ".gltf":
        raise OccluposeError(f"{path}: is the name of a text file, glTF is written in binary; give a .glb")
    chosen = _find(path, format)
    if chosen.library is not None:
        module, extra = chosen.library
        try:
            import_module(module)
        except ImportError as error:
            raise OccluposeError(f"{path}: needs {module}; pip install '.[{extra}]' in a clone of occlupose") from error
    return chosen


def file_name(stem: str, format: str) -> str:
    """Name of a file of this format, beside others of the same poses. Raises OccluposeError: an unknown format."""
    return stem + _find(Path(stem), format).ending


def remove(folder: Path, stem: str) -> None:
    """Removes the files that `write` made in a folder, of poses with this name in any format."""
    for each in EXPORTS:
        path = folder / f"{stem}{each.ending}"
        files = find_by_person(path) if each.one_person else [path]
        for file in (*files, *path.glob("poses_*_keypoints.json")):
            with suppress(OSError):
                file.unlink()
        with suppress(OSError):
            path.rmdir()


def _find(path: Path, name: str | None) -> ExportFormat:
    found = [each for each in EXPORTS if each.name == name or (name is None and each.ending == path.suffix.lower())]
    if not found:
        if name is not None:
            names = ", ".join(each.name for each in EXPORTS)
            raise OccluposeError(f"{name}: is no format of files to write; they are {names}")
        suffixes = ", ".join(each.ending for each in EXPORTS if each.ending.startswith("."))
        cure = f'give one of {suffixes}, or give --to coco (in Python format="coco") or another format'
        raise OccluposeError(f"{path}: its suffix is that of no format to write; {cure}")
    return found[0]


def _files(poses: Poses, path: Path, chosen: ExportFormat) -> Iterator[tuple[Path, Poses]]:
    if not chosen.one_person:
        yield path, poses
        return
    people = poses.track_id.tolist()
    for file, person in zip(name_by_person(path, people), people, strict=True):
        yield file, poses.select(person=person)


def _to_format(poses: Poses, chosen: ExportFormat) -> Poses:
    """The poses that the format holds, of people who are in some frame."""
    if chosen.dimensions == 3 and "xyz" not in poses.names:
        raise OccluposeError(f"the poses are in 2D, {chosen.name} holds 3D; lift them with occlupose lift")
    if chosen.dimensions == 2:
        poses = poses.to_2d()
    if chosen.skeleton is not None:
        poses = _to_skeleton(poses, chosen.skeleton)
    return _of_people_there(poses, "xyz" if chosen.dimensions == 3 else "xy")


def _of_people_there(poses: Poses, name: str) -> Poses:
    """The people who have a place in some frame, by an array of places. Raises OccluposeError: nobody has."""
    places = (poses.rows(person)[1][name] for person in range(len(poses.track_id)))
    there = [bool(np.isfinite(each).all(-1).any()) for each in places]
    if not any(there):
        raise OccluposeError("nobody is in the poses; give poses of at least one person")
    return poses.select(person=poses.track_id[there].tolist())


def _to_skeleton(poses: Poses, skeleton: Skeleton) -> Poses:
    """Poses in 2D with the joints of a skeleton; those that are absent though the person is there, as detected."""
    store = TrackStore()
    for person in poses.track_id.tolist():
        one = poses.select(person=person)
        arrays = one.to(skeleton).arrays
        arrays = {name: arrays[name] for name in ("xy", "score", "state")}
        if one.observed is not None:
            seen = one.observed.to(skeleton).arrays
            lacking = (arrays["state"] == ABSENT) & (one.state != ABSENT).any(-1, keepdims=True)
            for name, values in arrays.items():
                arrays[name] = np.where(lacking[..., None] if name == "xy" else lacking, seen[name], values)
        frames = np.flatnonzero((arrays["state"] != ABSENT).any((1, 2)))
        append_rows(store, frames, {name: values[frames, 0] for name, values in arrays.items()})
    return Poses.by_track(store, ("xy", "score", "state"), **poses.about | {"skeleton": skeleton, "observed": None})
