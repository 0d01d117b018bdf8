"""MuCo-3DHP (Mehta et al., 3DV 2018): composites of people filmed one by one, in the JSON format that is distributed
with the images.

`MuCo-3DHP.json` is like COCO's: `images` with `id`, `file_name`, `width`, `height`, `f` and `c` (focal lengths and
principal point, px); `annotations` with `image_id` and, of 21 joints, `keypoints_img` (px), `keypoints_cam` (mm, x
right, y down, z forward) and `keypoints_vis`. The file names are relative to the file's folder.

A joint that is not visible by `keypoints_vis` counts as occluded if it is in the image; without `keypoints_vis`
everything in the image counts as visible. Their Thorax is our neck.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.image_samples import NOBODY, ImageSample, make_mpi15_sample
from occlupose.datasets.images import find_images
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.poses import OCCLUDED, VISIBLE

FILE = "MuCo-3DHP.json"

JOINTS = 21
TO_MPI15 = [1, 0, 14, 5, 6, 7, 11, 12, 13, 2, 3, 4, 8, 9, 10]
"""Indices of MPI15's joints among the 21."""

NOT_FINITE = "people with coordinates that are not finite; those joints count as absent"
NO_DEPTH = "people with joints behind the camera; their depths count as unknown"

_HINT = f"give {FILE} as it is distributed with the images"


def load(annotations: Path, images: Path | None = None, report: DataReport | None = None) -> list[ImageSample]:
    """Every image with its people, images without people too.

    Arguments:
        annotations: .json file.
        images: folder that its file names are relative to, by default the file's own. Without any of the images, only
            the labels are read.
        report: collects what is wrong with single people and images.

    Raises:
        OccluposeError: the file cannot be read or is not of this format; not 21 joints; a person without an image; an
            impossible camera.
    """
    report = DataReport(annotations) if report is None else report
    content = read_json(annotations, TypeAdapter(_File), _HINT)
    people: dict[int, list[_Annotation]] = {image.id: [] for image in content.images}
    if len(people) < len(content.images):
        raise OccluposeError(f"{annotations}: two images have the same id; {_HINT}")
    for annotation in content.annotations:
        if annotation.image_id not in people:
            raise OccluposeError(
                f"{annotations}: annotation {annotation.id}: image_id {annotation.image_id} is not there; {_HINT}"
            )
        people[annotation.image_id].append(annotation)
    found = find_images((image.file_name for image in content.images), [images or annotations.parent], report)
    result = []
    for image in content.images:
        if image.file_name not in found:
            continue
        try:
            camera = Camera(image.width, image.height, *image.f, *image.c)
        except OccluposeError as error:
            raise OccluposeError(f"{annotations}: image {image.id}: {error}") from error
        rows = [_read_joints(annotations, person, report) for person in people[image.id]]
        joints = np.array(rows).reshape(-1, len(TO_MPI15), 4)
        xy = joints[..., :2]
        z = joints[..., 2]
        state = joints[..., 3].astype(np.uint8)
        sample = make_mpi15_sample(found[image.file_name], (image.width, image.height), xy, z, state, camera=camera)
        if len(sample) < len(rows):
            report.add_note(NOBODY, f"{len(rows) - len(sample)} of image {image.id}")
        result.append(sample)
    return result


def _read_joints(path: Path, person: "_Annotation", report: DataReport) -> Float[np.ndarray, "15 4"]:
    """Pixels, depth (m) and state."""
    where = f"annotation {person.id}"
    for name, width in (("keypoints_img", 2), ("keypoints_cam", 3)):
        rows = getattr(person, name)
        if len(rows) != JOINTS or any(len(row) != width for row in rows):
            raise OccluposeError(f"{path}: {where}: {name} is not {JOINTS} x {width} numbers; {_HINT}")
    if person.keypoints_vis is not None and len(person.keypoints_vis) != JOINTS:
        raise OccluposeError(
            f"{path}: {where}: keypoints_vis has {len(person.keypoints_vis)} values, not {JOINTS}; {_HINT}"
        )
    xy = np.array(person.keypoints_img)[TO_MPI15]
    z = np.array(person.keypoints_cam)[TO_MPI15, 2] / 1000
    seen = np.array(person.keypoints_vis or [True] * JOINTS)[TO_MPI15]
    finite = np.isfinite(xy).all(-1)
    if not finite.all():
        report.add_problem(NOT_FINITE, where)
    if not (z > 0).all():
        report.add_problem(NO_DEPTH, where)
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
