"""The JSON format of SMAP (Zhen et al., ECCV 2020) and HUPOR for all their datasets: MPI15 joints of all people, eleven
numbers each.

A file is {"root": [image, ...]}; an image has `img_paths`, `img_width`, `img_height`, `dataset`, `isValidation` (0
for training, 1 for validation) and `bodys`: for every person 15 joints of x, y (px), Z (cm), v (2 visible, 1 occluded,
0 not labelled), X, Y, Z (cm), fx, fy, cx, cy (px). A depth of 0 is unknown. By their convention, a focal length equal
to the image's width is unknown too; then there is no camera and no depth. COCO's tops of heads are not annotated.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets.formats.json_files import Side, read_json
from occlupose.datasets.image_samples import NOBODY, ImageSample, make_mpi15_sample
from occlupose.datasets.images import find_images
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15

NUMBERS = 11
"""Numbers of a joint."""

NOT_FINITE = "people with coordinates that are not finite; those joints count as absent"
OTHER_CAMERA = "images whose people have different cameras; the first one's is used"

_HINT = 'give a .json file with a list "root" of images, as SMAP and HUPOR have it'


def load(
    annotations: Path,
    images: Path | None = None,
    report: DataReport | None = None,
    *,
    split: Literal["train", "val"] | None = None,
) -> list[ImageSample]:
    """Every image with its people, images without people too.

    Arguments:
        annotations: .json file.
        images: folder that its `img_paths` are relative to, by default the file's own or one of the two above it.
            Without any of the images, only the labels are read.
        report: collects what is wrong with single people and images.
        split: only images for training, or only those for validation; by default all.

    Raises:
        OccluposeError: the file cannot be read or is not of this format; not 15 joints of 11 numbers; an invalid v; no
            image of the split.
    """
    report = DataReport(annotations) if report is None else report
    listed = read_json(annotations, TypeAdapter(_File), _HINT).root
    if split is not None:
        listed = [image for image in listed if image.isValidation == (split == "val")]
    if not listed:
        raise OccluposeError(f"{annotations}: no image{f' of the split {split}' if split else ''} in it; {_HINT}")
    folders = [annotations.parent, *annotations.absolute().parents[1:3]] if images is None else [images]
    found = find_images((image.img_paths for image in listed), folders, report)
    result = []
    for number, image in enumerate(listed):
        if image.img_paths in found:
            bodies = _read_bodies(annotations, number, image, report)
            size = (image.img_width, image.img_height)
            state = bodies[..., 3].astype(np.uint8)
            camera = _read_camera(annotations, image, bodies, report)
            depth = bodies[..., 2] / 100 if camera is not None else np.full(state.shape, np.nan)
            is_coco = image.dataset.lower().startswith("coco")
            annotated = np.array([joint != "head_top" or not is_coco for joint in MPI15.joints])
            sample = make_mpi15_sample(
                found[image.img_paths], size, bodies[..., :2], depth, state, annotated=annotated, camera=camera
            )
            if len(sample) < len(bodies):
                report.add_note(NOBODY, f"{len(bodies) - len(sample)} of {image.img_paths}")
            result.append(sample)
    return result


def _read_bodies(path: Path, number: int, image: "_Image", report: DataReport) -> np.ndarray:
    """(person, 15, 11); v is 0 where a position is not finite."""
    shape = len(MPI15), NUMBERS
    if any(len(body) != shape[0] or any(len(joint) != NUMBERS for joint in body) for body in image.bodys):
        raise OccluposeError(
            f"{path}: root.{number}: bodys are not people of {shape[0]} joints with {NUMBERS} numbers each; {_HINT}"
        )
    bodies = np.array(image.bodys, float).reshape(-1, *shape)
    invalid = bodies[~np.isin(bodies[..., 3], (0, 1, 2)), 3]
    if len(invalid):
        raise OccluposeError(f"{path}: root.{number}: v is {invalid[0]:g}; it must be 0, 1 or 2")
    not_finite = (bodies[..., 3] != ABSENT) & ~np.isfinite(bodies[..., :2]).all(-1)
    for person in np.flatnonzero(not_finite.any(-1)):
        report.add_problem(NOT_FINITE, f"person {person} of {image.img_paths}")
    bodies[not_finite, 3] = ABSENT
    return bodies


def _read_camera(path: Path, image: "_Image", bodies: np.ndarray, report: DataReport) -> Camera | None:
    cameras = bodies[..., 7:].reshape(-1, 4)
    cameras = cameras[(cameras[:, :2] > 0).all(-1)]
    if not len(cameras) or (cameras[0, :2] == image.img_width).all():
        return None
    if not np.allclose(cameras, cameras[0]):
        report.add_problem(OTHER_CAMERA, image.img_paths)
    try:
        return Camera(image.img_width, image.img_height, *cameras[0].tolist())
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {image.img_paths}: {error}") from error


class _Image(BaseModel):
    img_paths: str = ""
    img_width: Side
    img_height: Side
    dataset: str = ""
    isValidation: float = 0
    bodys: list[list[list[float]]]


class _File(BaseModel):
    root: list[_Image]
