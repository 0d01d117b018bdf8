"""Human3.6M with its pictures, in the JSON form that is passed on with single frames of the videos.

A folder has annotations/Human36M_subject{N}_data.json (`images` with `file_name`, `width`, `height`, `subject`,
`action_idx`, `subaction_idx`, `cam_idx`, `frame_idx`), .._camera.json (of every `cam_idx` R, t in mm, f and c in px; a
point of the world is at R @ point + t) and .._joint_3d.json (by action, subaction and frame 17 joints of the world,
mm), beside images/.

The order of joints is H36M-17's; their Neck, our thorax, is the neck of MPI15. Nothing says what is hidden: whatever is
in the picture counts as visible (`methods.hupor.labels` knows better). The form has no lens distortion, so that pixels
are off by a few at the borders.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets import forms
from occlupose.datasets.image_samples import ImageSample, find_images, mpi15_sample
from occlupose.datasets.problems import Problems
from occlupose.errors import OccluposeError
from occlupose.poses import VISIBLE
from occlupose.skeletons import H36M17, MPI15, convert

TRAIN = (1, 5, 6, 7, 8)
TEST = (9, 11)
"""Subjects."""

EVERY = 5
"""Of the 50 frames a second the share that is learnt from, as those who pass the form on do."""

NAME = "Human36M_subject{}_{}.json"
PLACES = ("annotations", "")

NO_JOINTS = "pictures without joints, left out"
BEHIND = "pictures with joints that are not before the camera; those count as absent"

_CURE = "give the annotations as they are passed on with the pictures"


def home(folder: Path, subjects: tuple[int, ...] = TRAIN) -> Path | None:
    """Where the annotations of any of these subjects are in a folder; None where they are not."""
    places = (folder / place for place in PLACES)
    return next(
        (place for place in places if any((place / NAME.format(one, "data")).is_file() for one in subjects)), None
    )


def load(
    folder: Path,
    images: Path | None = None,
    problems: Problems | None = None,
    *,
    subjects: tuple[int, ...] = TRAIN,
    every: int = EVERY,
) -> list[ImageSample]:
    """The one person of each picture.

    Arguments:
        folder: as above, or its annotations/.
        images: folder of the pictures; None is images/ in the folder or beside it. Without any of them there are labels
            alone.
        problems: takes what is wrong with single pictures.
        subjects: those of them that are there.
        every: only frames whose number this divides.

    Raises:
        OccluposeError: no annotations of these subjects; a file that is missing, cannot be read or is not of this form.
    """
    problems = Problems(folder) if problems is None else problems
    place = home(folder, subjects)
    if place is None:
        looked = " or ".join(str(folder / name) for name in PLACES)
        raise OccluposeError(f"{folder}: no {NAME.format(subjects[0], 'data')} in {looked}; {_CURE}")
    result = []
    for subject in subjects:
        files = {what: place / NAME.format(subject, what) for what in ("data", "camera", "joint_3d")}
        if files["data"].is_file():
            result += _subject(
                files, [images] if images else [folder / "images", folder.parent / "images", folder], problems, every
            )
    return result


def _subject(files: dict[str, Path], places: list[Path], problems: Problems, every: int) -> list[ImageSample]:
    listed = [
        image for image in forms.read(files["data"], TypeAdapter(_Data), _CURE).images if image.frame_idx % every == 0
    ]
    lenses = forms.read(files["camera"], TypeAdapter(dict[str, _Camera]), _CURE)
    joints = forms.read(files["joint_3d"], TypeAdapter(dict[str, dict[str, dict[str, _Joints]]]), _CURE)
    found = find_images((image.file_name for image in listed), places, problems)
    result = []
    for image in listed:
        if image.file_name not in found:
            continue
        rows = joints.get(str(image.action_idx), {}).get(str(image.subaction_idx), {}).get(str(image.frame_idx))
        if rows is None:
            problems.add(NO_JOINTS, image.file_name)
            continue
        if str(image.cam_idx) not in lenses:
            raise OccluposeError(
                f"{files['camera']}: no camera {image.cam_idx}, but {image.file_name} is of it; {_CURE}"
            )
        xyz, camera = _seen(np.array(rows), lenses[str(image.cam_idx)], image, files["camera"])
        if not (xyz[:, 2] > 0).all():
            problems.add(BEHIND, image.file_name)
        xy = camera.project(xyz)
        state = np.where(np.isfinite(xy).all(-1), VISIBLE, 0).astype(np.uint8)
        result.append(
            mpi15_sample(
                found[image.file_name],
                (image.width, image.height),
                xy[None],
                xyz[None, :, 2],
                state[None],
                camera=camera,
            )
        )
    return result


def _seen(
    world: Float[np.ndarray, "17 3"], lens: "_Camera", image: "_Image", path: Path
) -> tuple[Float[np.ndarray, "15 3"], Camera]:
    """Joints of MPI15 in the camera's frame, m, and the camera."""
    try:
        camera = Camera(image.width, image.height, *lens.f, *lens.c)
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    return convert((world @ np.array(lens.R).T + np.array(lens.t)) / 1000, H36M17, MPI15), camera


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
