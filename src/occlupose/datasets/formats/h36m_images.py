"""Human3.6M with images, in the JSON format that is distributed with single frames of the videos.

A folder has annotations/Human36M_subject{N}_data.json (`images` with `file_name`, `width`, `height`, `subject`,
`action_idx`, `subaction_idx`, `cam_idx`, `frame_idx`), .._camera.json (for every `cam_idx` R, t in mm, f and c in px; a
world point X is at R @ X + t) and .._joint_3d.json (by action, subaction and frame 17 joints in the world, mm), beside
images/.

The order of joints is H36M-17's; their Neck, our thorax, is the neck of MPI15. Occlusion is not annotated: everything
in the image counts as visible (`methods.hupor.labels` can do better). The format has no lens distortion, so pixels are
off by a few near the borders.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.image_samples import ImageSample, make_mpi15_sample
from occlupose.datasets.images import find_images
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, VISIBLE
from occlupose.skeletons import H36M17, MPI15, convert

TRAIN = (1, 5, 6, 7, 8)
"""Subjects to train on."""

TEST = (9, 11)
"""Subjects to evaluate on."""

EVERY = 5
"""Every fifth of the 50 frames a second is used, as usual with this format."""

NAME = "Human36M_subject{}_{}.json"
FOLDERS = ("annotations", "")

NO_JOINTS = "images without joints, left out"
BEHIND = "images with joints behind the camera; those count as absent"

_HINT = "give the annotations as they are distributed with the images"


def find_annotations(folder: Path, subjects: tuple[int, ...] = TRAIN) -> Path | None:
    """The folder with the annotations of any of these subjects; None if there is none."""
    for candidate in (folder / name for name in FOLDERS):
        if any((candidate / NAME.format(subject, "data")).is_file() for subject in subjects):
            return candidate
    return None


def load(
    folder: Path,
    images: Path | None = None,
    report: DataReport | None = None,
    *,
    subjects: tuple[int, ...] = TRAIN,
    every: int = EVERY,
) -> list[ImageSample]:
    """The images, of one person each.

    Arguments:
        folder: as above, or its annotations/.
        images: folder of the images; by default images/ in the folder or beside it. Without any of the images, only the
            labels are read.
        report: collects what is wrong with single images.
        subjects: to load; those without files are skipped.
        every: use only frames with a number that is a multiple of this.

    Raises:
        OccluposeError: no annotations of these subjects, or a file is missing, unreadable or not of this format.
    """
    report = DataReport(folder) if report is None else report
    annotations = find_annotations(folder, subjects)
    if annotations is None:
        tried = " or ".join(str(folder / name) for name in FOLDERS)
        raise OccluposeError(f"{folder}: no {NAME.format(subjects[0], 'data')} in {tried}; {_HINT}")
    image_folders = [images] if images else [folder / "images", folder.parent / "images", folder]
    result = []
    for subject in subjects:
        files = {kind: annotations / NAME.format(subject, kind) for kind in ("data", "camera", "joint_3d")}
        if files["data"].is_file():
            result += _load_subject(files, image_folders, report, every)
    return result


def _load_subject(files: dict[str, Path], folders: list[Path], report: DataReport, every: int) -> list[ImageSample]:
    images = read_json(files["data"], TypeAdapter(_Data), _HINT).images
    images = [image for image in images if image.frame_idx % every == 0]
    cameras = read_json(files["camera"], TypeAdapter(dict[str, _Camera]), _HINT)
    joints = read_json(files["joint_3d"], TypeAdapter(dict[str, dict[str, dict[str, _Joints]]]), _HINT)
    found = find_images((image.file_name for image in images), folders, report)
    result = []
    for image in images:
        if image.file_name not in found:
            continue
        rows = joints.get(str(image.action_idx), {}).get(str(image.subaction_idx), {}).get(str(image.frame_idx))
        if rows is None:
            report.add_problem(NO_JOINTS, image.file_name)
            continue
        if str(image.cam_idx) not in cameras:
            raise OccluposeError(
                f"{files['camera']}: no camera {image.cam_idx}, but {image.file_name} is of it; {_HINT}"
            )
        xyz, camera = _to_camera(np.array(rows), cameras[str(image.cam_idx)], image, files["camera"])
        if not (xyz[:, 2] > 0).all():
            report.add_problem(BEHIND, image.file_name)
        xy = camera.project(xyz)
        state = np.where(np.isfinite(xy).all(-1), VISIBLE, ABSENT).astype(np.uint8)
        size = (image.width, image.height)
        z = xyz[:, 2]
        result.append(make_mpi15_sample(found[image.file_name], size, xy[None], z[None], state[None], camera=camera))
    return result


def _to_camera(
    world: Float[np.ndarray, "17 3"], parameters: "_Camera", image: "_Image", path: Path
) -> tuple[Float[np.ndarray, "15 3"], Camera]:
    """MPI15 joints in the camera frame, m, and the camera."""
    try:
        camera = Camera(image.width, image.height, *parameters.f, *parameters.c)
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    xyz = (world @ np.array(parameters.R).T + np.array(parameters.t)) / 1000
    return convert(xyz, H36M17, MPI15), camera


_Point = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
_Joints = Annotated[list[_Point], Field(min_length=len(H36M17), max_length=len(H36M17))]


class _Image(BaseModel):
    file_name: str
    width: int
    height: int
    action_idx: int
    subaction_idx: int
    cam_idx: int
    frame_idx: int


class _Data(BaseModel):
    images: list[_Image]


class _Camera(BaseModel):
    R: tuple[_Point, _Point, _Point]
    t: _Point
    f: tuple[FiniteFloat, FiniteFloat]
    c: tuple[FiniteFloat, FiniteFloat]
