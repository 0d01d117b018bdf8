"""MuPoTS-3D (Mehta et al., 3DV 2018): a multi-person test set in absolute 3D, indoors and outdoors.

A folder MultiPersonTestSet/ (or its parent) holds TS1/ ... TS20/, each with

- `annot.mat`: a cell array `annotations` (frames x people) of structs with `annot2` (2 x 17, px), `annot3` and
  `univ_annot3` (3 x 17, mm in the camera's frame; the second with all people scaled to one height) and
  `isValidFrame` (0: this person's position is unknown);
- `occlusion.mat`: a cell array `occlusion_labels` (frames x people) of 17 flags, 1 for an occluded joint;
- images `img_000000.jpg` and so on, 2048 x 2048 in TS1 to TS5, 1920 x 1080 in the others. Scoring predictions does not
  need them.

The cameras are not in those files. They are read from `mupots_intrinsics.json` in the folder,

    {"TS1": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], ...}

or else estimated from the annotations, since `annot2` is the projection of `annot3` (see `estimate_camera`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.formats.mat_files import read_mats
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MUPOTS17

SEQUENCES = tuple(f"TS{number}" for number in range(1, 21))
SQUARE = SEQUENCES[:5]
"""Sequences with images of 2048 x 2048; those of the others are 1920 x 1080."""

INTRINSICS = "mupots_intrinsics.json"

ARRAYS = {"annot.mat": "annotations", "occlusion.mat": "occlusion_labels"}
"""Cell arrays of frames and people, by file."""

Cells = list[list[Any]]

MAX_REPROJECTION = 1.0
"""Largest root mean square reprojection error, px, of an estimated camera that is not called assumed. Ours."""

_HINT = "unpack MultiPersonTestSet of MuPoTS-3D (vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson) again"


def load(folder: Path, sequences: Iterable[str] = (), *, universal: bool = False) -> list[ImageSample]:
    """Every image of these sequences in order, images without people too; MUPOTS17 joints.

    The names of the images are "TS1/img_000000.jpg" and so on; the images themselves may be missing. The camera is
    `assumed` where it is neither given nor exact.

    Arguments:
        folder: MultiPersonTestSet/, or its parent.
        sequences: "TS1", ...; by default all that are there.
        universal: 3D joints of `univ_annot3`, which the official evaluation takes for the truth, not `annot3`.

    Raises:
        OccluposeError: a file is missing or damaged.
    """
    home = folder / "MultiPersonTestSet" if (folder / "MultiPersonTestSet").is_dir() else folder
    if not home.is_dir():
        raise OccluposeError(f"{home}: no such folder; give MultiPersonTestSet of MuPoTS-3D")
    chosen = tuple(sequences) or tuple(name for name in SEQUENCES if (home / name).is_dir())
    for name in chosen:
        if name not in SEQUENCES:
            raise OccluposeError(f"{name}: no sequence of MuPoTS-3D; they are {SEQUENCES[0]} to {SEQUENCES[-1]}")
    if not chosen:
        raise OccluposeError(f"{home}: no {SEQUENCES[0]} to {SEQUENCES[-1]} in it; {_HINT}")
    given = _read_intrinsics(home / INTRINSICS)
    files = [(home / name / file, array) for name in chosen for file, array in ARRAYS.items()]
    for path, _ in files:
        if not path.is_file():
            raise OccluposeError(f"{path}: no such file; {_HINT}")
    arrays = iter(read_mats(files, _HINT))
    samples = []
    for name in chosen:
        cells = [_cells(home / name / file, array, next(arrays)) for file, array in ARRAYS.items()]
        samples += _sequence(home, name, cells[0], cells[1], given, universal=universal)
    return samples


def image_size(sequence: str) -> tuple[int, int]:
    """Width and height of a sequence's images, px."""
    return (2048, 2048) if sequence in SQUARE else (1920, 1080)


def estimate_camera(
    xy: Float[np.ndarray, "point 2"], xyz: Float[np.ndarray, "point 3"], width: int, height: int
) -> Camera:
    """The camera that sees these points at these pixels: least squares of u = fx X/Z + cx and v = fy Y/Z + cy.

    If the pixels are projections of the points, the camera is exact. If the root mean square error is more than
    MAX_REPROJECTION px, the camera is `assumed`.

    Arguments:
        xyz: in front of the camera, in any unit.

    Raises:
        OccluposeError: too few points, or all in one direction, or the camera is impossible.
    """
    rays = xyz[:, :2] / xyz[:, 2:]
    if len(rays) < 2 or (np.ptp(rays, axis=0) < 1e-6).any():
        raise OccluposeError("too few joints to estimate the camera")
    try:
        (fx, fy), (cx, cy) = np.array([np.polyfit(ray, pixel, 1) for ray, pixel in zip(rays.T, xy.T, strict=True)]).T
    except np.linalg.LinAlgError:
        raise OccluposeError("the joints fit no camera") from None
    error = np.sqrt(((rays * (fx, fy) + (cx, cy) - xy) ** 2).sum(-1).mean())
    return Camera(width, height, float(fx), float(fy), float(cx), float(cy), assumed=bool(error > MAX_REPROJECTION))


_Row = tuple[float, float, float]


def _read_intrinsics(path: Path) -> dict[str, np.ndarray] | None:
    """The matrices of a file of cameras; None if it does not exist."""
    if not path.exists():
        return None
    wanted = 'it must be {"TS1": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], ...}, or be removed'
    content = read_json(path, TypeAdapter(dict[str, tuple[_Row, _Row, _Row]]), wanted)
    return {name: np.array(matrix) for name, matrix in content.items()}


_Person = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sequence(
    home: Path, name: str, annotations: Cells, labels: Cells, given: dict[str, np.ndarray] | None, *, universal: bool
) -> list[ImageSample]:
    path = home / name / "annot.mat"
    sizes = [(len(cells), len(cells[0])) for cells in (labels, annotations)]
    if sizes[0] != sizes[1]:
        expected = f"{sizes[1][0]} of {sizes[1][1]} in {path.name}"
        wrong = f"{sizes[0][0]} frames of {sizes[0][1]} people, but {expected}"
        raise OccluposeError(f"{path.with_name('occlusion.mat')}: {wrong}; {_HINT}")
    frames = []
    for number, cells in enumerate(zip(annotations, labels, strict=True)):
        people = [_person(path, number, who, *person) for who, person in enumerate(zip(*cells, strict=True))]
        frames.append(_stack([person for person in people if person is not None]))
    camera = _camera(home, name, given, frames)
    return [
        ImageSample(
            image=ImageRef(home / name / f"img_{number:06}.jpg"),
            size=image_size(name),
            skeleton=MUPOTS17,
            xy=xy,
            state=np.where(occluded, OCCLUDED, VISIBLE).astype(np.uint8),
            xyz=universal_xyz if universal else xyz,
            camera=camera,
            sequence=name,
        )
        for number, (xy, xyz, universal_xyz, occluded) in enumerate(frames)
    ]


def _camera(home: Path, name: str, given: dict[str, np.ndarray] | None, people: list[_Person]) -> Camera:
    if given is None:
        xy = np.concatenate([frame[0].reshape(-1, 2) for frame in people])
        xyz = np.concatenate([frame[1].reshape(-1, 3) for frame in people])
        try:
            return estimate_camera(xy, xyz, *image_size(name))
        except OccluposeError as error:
            raise OccluposeError(
                f"{home / name / 'annot.mat'}: {error}; give it in {INTRINSICS} beside {name}"
            ) from error
    if name not in given:
        raise OccluposeError(f"{home / INTRINSICS}: no {name} in it; add its matrix, or remove the file")
    try:
        return Camera.from_matrix(given[name], *image_size(name))
    except OccluposeError as error:
        raise OccluposeError(f"{home / INTRINSICS}: {name}: {error}") from error


def _cells(path: Path, name: str, content: Any) -> Cells:
    """A cell array of a .mat file, by frames and people."""
    if content is None:
        raise OccluposeError(f"{path}: no {name} in it; {_HINT}")
    if not isinstance(content, tuple) or len(content[0]) != 2:
        raise OccluposeError(f"{path}: {name} is not a cell array of frames and people; {_HINT}")
    (frames, people), cells = content
    if not cells:
        raise OccluposeError(f"{path}: no frames in it; {_HINT}")
    return [cells[people * frame : people * (frame + 1)] for frame in range(frames)]


def _person(path: Path, number: int, who: int, annotation: Any, labels: Any) -> _Person | None:
    """Joints in px, m and universal m, and which are occluded; None if the person's position is unknown."""
    where = f"frame {number}, person {who}"
    if isinstance(annotation, np.ndarray) and not annotation.size:
        return None
    person = annotation if isinstance(annotation, dict) else {}
    for name in ("annot2", "annot3", "univ_annot3", "isValidFrame"):
        if name not in person:
            raise OccluposeError(f"{path}: {where}: no {name} in it; {_HINT}")
    valid = _numbers(path, f"{where}: isValidFrame", person["isValidFrame"])
    if valid.size != 1:
        raise OccluposeError(f"{path}: {where}: isValidFrame has {valid.size} numbers; it must be one; {_HINT}")
    if not valid.item():
        return None
    joints = []
    for name, size in (("annot2", 2), ("annot3", 3), ("univ_annot3", 3)):
        values = _numbers(path, f"{where}: {name}", person[name])
        if values.shape != (size, len(MUPOTS17)):
            raise OccluposeError(
                f"{path}: {where}: {name} has shape {values.shape}; it must be {(size, len(MUPOTS17))}; {_HINT}"
            )
        if name == "annot3" and values[2].min() <= 0:
            raise OccluposeError(f"{path}: {where}: {name} has joints behind the camera; {_HINT}")
        joints.append(values.T if size == 2 else values.T / 1000)
    beside = path.with_name("occlusion.mat")
    flags = _numbers(beside, where, labels).ravel()
    if len(flags) != len(MUPOTS17) or not np.isin(flags, (0, 1)).all():
        raise OccluposeError(f"{beside}: {where}: not {len(MUPOTS17)} flags of 0 or 1; {_HINT}")
    return joints[0], joints[1], joints[2], flags.astype(bool)


def _numbers(path: Path, what: str, values: Any) -> np.ndarray:
    try:
        numbers = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise OccluposeError(f"{path}: {what}: not numbers; {_HINT}") from error
    if not np.isfinite(numbers).all():
        raise OccluposeError(f"{path}: {what}: numbers that are not finite; {_HINT}")
    return numbers


def _stack(people: list[_Person]) -> _Person:
    joints = len(MUPOTS17)
    xy = np.array([person[0] for person in people]).reshape(-1, joints, 2)
    xyz = np.array([person[1] for person in people]).reshape(-1, joints, 3)
    universal = np.array([person[2] for person in people]).reshape(-1, joints, 3)
    occluded = np.array([person[3] for person in people]).reshape(-1, joints)
    return xy, xyz, universal, occluded.astype(bool)
