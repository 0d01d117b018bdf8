"""MuCo-3DHP (Mehta et al., 3DV 2018): pictures put together of people filmed one by one, in the form in which they are
passed on with them.

`MuCo-3DHP.json` is like COCO's: `images` with `id`, `file_name`, `width`, `height`, `f` and `c` (focal lengths and
principal point, px); `annotations` with `image_id` and, of 21 joints, `keypoints_img` (px), `keypoints_cam` (mm, x
right, y down, z forward) and `keypoints_vis`. The file names begin at the folder of the file.

What `keypoints_vis` calls not visible counts as occluded where it lies in the picture; without `keypoints_vis`
everything in the picture counts as visible. Their Thorax is our neck.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets import forms
from occlupose.datasets.image_samples import NOBODY, ImageSample, find_images, mpi15_sample
from occlupose.datasets.problems import Problems
from occlupose.errors import OccluposeError
from occlupose.poses import OCCLUDED, VISIBLE

FILE = "MuCo-3DHP.json"

JOINTS = 21
TO_MPI15 = [1, 0, 14, 5, 6, 7, 11, 12, 13, 2, 3, 4, 8, 9, 10]
"""Where MPI15's joints are among the 21."""

NOT_FINITE = "people with coordinates that are no numbers; those joints count as absent"
NO_DEPTH = "people with joints that are not before the camera; the depths count as not known"

_CURE = f"give {FILE} as it is passed on with the pictures"


def load(annotations: Path, images: Path | None = None, problems: Problems | None = None) -> list[ImageSample]:
    """Everybody in each picture, those pictures too in which nobody is; pictures are read when they are asked for.

    Arguments:
        annotations: .json file.
        images: folder that its file names are relative to; None is the file's own. Without any of its pictures there
            are labels alone.
        problems: takes what is wrong with single people and pictures.

    Raises:
        OccluposeError: the file cannot be read or is not of this form; not 21 joints; a person of no picture; a camera
            that cannot be.
    """
    problems = Problems(annotations) if problems is None else problems
    content = forms.read(annotations, TypeAdapter(_File), _CURE)
    people: dict[int, list[_Annotation]] = {image.id: [] for image in content.images}
    if len(people) < len(content.images):
        raise OccluposeError(f"{annotations}: two images with one id; {_CURE}")
    for annotation in content.annotations:
        if annotation.image_id not in people:
            raise OccluposeError(
                f"{annotations}: annotation {annotation.id}: image_id {annotation.image_id} is not there; {_CURE}"
            )
        people[annotation.image_id].append(annotation)
    found = find_images((image.file_name for image in content.images), [images or annotations.parent], problems)
    result = []
    for image in content.images:
        if image.file_name not in found:
            continue
        try:
            camera = Camera(image.width, image.height, *image.f, *image.c)
        except OccluposeError as error:
            raise OccluposeError(f"{annotations}: image {image.id}: {error}") from error
        rows = [_joints(annotations, person, problems) for person in people[image.id]]
        joints = np.array(rows).reshape(-1, len(TO_MPI15), 4)
        xy = joints[..., :2]
        z = joints[..., 2]
        state = joints[..., 3].astype(np.uint8)
        sample = mpi15_sample(found[image.file_name], (image.width, image.height), xy, z, state, camera=camera)
        if len(sample) < len(rows):
            problems.note(NOBODY, f"{len(rows) - len(sample)} of image {image.id}")
        result.append(sample)
    return result


def _joints(path: Path, person: "_Annotation", problems: Problems) -> Float[np.ndarray, "15 4"]:
    """Pixels, depth (m) and state."""
    where = f"annotation {person.id}"
    for name, width in (("keypoints_img", 2), ("keypoints_cam", 3)):
        rows = getattr(person, name)
        if len(rows) != JOINTS or any(len(row) != width for row in rows):
            raise OccluposeError(f"{path}: {where}: {name} is not {JOINTS} x {width} numbers; {_CURE}")
    if person.keypoints_vis is not None and len(person.keypoints_vis) != JOINTS:
        raise OccluposeError(
            f"{path}: {where}: keypoints_vis has {len(person.keypoints_vis)} values, not {JOINTS}; {_CURE}"
        )
    xy = np.array(person.keypoints_img)[TO_MPI15]
    z = np.array(person.keypoints_cam)[TO_MPI15, 2] / 1000
    seen = np.array(person.keypoints_vis or [True] * JOINTS)[TO_MPI15]
    finite = np.isfinite(xy).all(-1)
    if not finite.all():
        problems.add(NOT_FINITE, where)
    if not (z > 0).all():
        problems.add(NO_DEPTH, where)
    state = np.where(finite, np.where(seen, VISIBLE, OCCLUDED), 0)
    return np.concatenate([xy, z[:, None], state[:, None]], -1)


class _Image(BaseModel):
    id: int
    file_name: str
    width: int
    height: int
    f: tuple[float, float]
    c: tuple[float, float]


class _Annotation(BaseModel):
    id: int
    image_id: int
    keypoints_img: list[list[float]]
    keypoints_cam: list[list[float]]
    keypoints_vis: list[bool] | None = None


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
