"""People in images in the COCO keypoint format: COCO itself, CrowdPose, OCHuman and other datasets in this format.

A file is JSON with `categories` (one with `keypoints`, the joints' names), `images` (`id`, `file_name`) and
`annotations` (`image_id`, `category_id`, `bbox`, `keypoints`: x, y and v of every joint). v is 2 for a visible joint, 1
for an occluded one that is annotated nevertheless, 0 for one that is not annotated; that is our state. `load` gives the
people for training or to look at, without crowd regions and people without annotated joints. `load_ground_truth` gives
everybody, as evaluators want them. Problems with single people or images are counted and named in a `DataReport`; a
problem with the file as a whole is an error.

Keypoints are in pixels with pixel centres at integers already. Boxes (left, top, width, height) count from the edge of
the image; half a pixel is subtracted where they become edges here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import BaseModel, Field, TypeAdapter

from occlupose.datasets.annotations import Annotations, GroundTruth, ImageInfo, PersonAnnotation
from occlupose.datasets.formats.json_files import Side, read_json
from occlupose.datasets.image_samples import ImageSample, make_mpi15_sample
from occlupose.datasets.images import MISSING, ImageIndex, ImageRef
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError, naming
from occlupose.poses import ABSENT
from occlupose.skeletons import COCO17, CROWDPOSE14, MPI15, SKELETONS, Skeleton, convert, convert_weakest

ALIASES = {"head": "head_top", "top_head": "head_top"}
"""Datasets' names for joints that we call differently, used if a skeleton is not found otherwise. CrowdPose's head is
the top of it.
"""

SYNTH = "synthetic people of occlupose"
"""Description in the annotations of `occlupose synth`."""

DATASETS = ("coco", "crowdpose", "ochuman", "synth", "other")
"""Datasets with a protocol of their own. CrowdPose is recognised by its joints, `occlupose synth` by its
description, OCHuman and COCO by the joints and the name of the file or of a folder above it."""

MAX_DESCRIPTION = 300
"""Characters of a file's description that are kept."""

NECK = 0.185
"""Height of the neck above the mid-shoulder point, as a fraction of the distance from mid-hip to mid-shoulder (SMAP's
and HUPOR's code).
"""

MIN_JOINTS = 3
"""People with fewer annotated joints are left out of training, in datasets without depth (SMAP's and HUPOR's code)."""

TOLERANCE = 1.0
"""Pixels by which boxes and keypoints may be outside of their image before this is a problem. Ours."""

NO_BOX = "people without a box, left out"
EMPTY_BOX = "people whose box has no width or height, left out"
OUTSIDE = "people whose box is outside of their image, left out"
OVER_EDGE = "boxes that extend beyond their image, clipped"
JOINTS_OUTSIDE = "people with joints outside of their image, kept"
NOT_FINITE = "people with coordinates that are not finite; those joints count as not annotated"
NO_AREA = "people whose area is not positive, kept"
UNKNOWN_CATEGORY = "annotations of a category that the file does not define, left out"
DUPLICATE_ID = "annotations with the id of another one, kept"
DUPLICATE_IMAGE = "images that are listed twice, used once"
FEW_JOINTS = f"people with fewer than {MIN_JOINTS} annotated joints, left out"

_HINT = "give annotations in COCO's keypoint format"


def load(annotations: Path, images: Path, *, strict: bool = False, all_images: bool = False) -> Annotations:
    """Everybody with an annotated joint, with references to the images.

    Arguments:
        annotations: .json file.
        images: folder that its file names are relative to, a folder of .tar shards, or one shard.
        strict: any problem with any person or image is an error.
        all_images: a missing image is an error; otherwise its people are left out.

    Raises:
        OccluposeError: the file cannot be read or is not of this format, no known skeleton has its joints, or it has no
            usable people.
    """
    ground_truth = load_ground_truth(annotations, strict=strict)
    report = ground_truth.report
    people = []
    index = ImageIndex(images)
    found: dict[int, ImageRef | None] = {}
    for number in range(len(ground_truth)):
        name = f"annotation {ground_truth.id[number]}"
        if ground_truth.is_crowd[number]:
            report.add_note("crowds", name)
            continue
        if not ground_truth.state[number].any():
            report.add_note("people without an annotated joint", name)
            continue
        info = ground_truth.images[int(ground_truth.image_id[number])]
        if info.id not in found:
            with naming(annotations):
                found[info.id] = index.find(info.name)
            if found[info.id] is None and all_images:
                wrong = f"no such image, but {annotations} has people in it"
                raise OccluposeError(f"{images / info.name}: {wrong}; give the folder of its images")
            if found[info.id] is None:
                report.add_problem(MISSING, info.name)
        image = found[info.id]
        if image is not None and (box := _clipped_box(ground_truth, number, info, report)) is not None:
            area = float(ground_truth.area[number])
            people.append(
                PersonAnnotation(
                    id=int(ground_truth.id[number]),
                    image=image,
                    size=info.size,
                    box=box,
                    xy=ground_truth.xy[number],
                    state=ground_truth.state[number],
                    area=area if area > 0 else None,
                    image_id=info.id,
                )
            )
    if not people:
        reasons = "; ".join(line.removeprefix(f"{annotations}: ") for line in report.lines())
        wrong = f"nobody in it has an annotated joint, a box and an image{reasons and f' ({reasons})'}"
        raise OccluposeError(f"{annotations}: {wrong}; {_HINT}")
    return Annotations(ground_truth.skeleton, people, ground_truth, report)


def _clipped_box(
    ground_truth: GroundTruth, number: int, image: ImageInfo, report: DataReport
) -> Float[np.ndarray, "4"] | None:
    """Left, top, right and bottom of a person's box within the image; None if it is unusable, which is reported."""
    name = f"annotation {ground_truth.id[number]}"
    box = ground_truth.boxes[number]
    if np.isnan(box).any():
        report.add_problem(NO_BOX, name)
        return None
    if box[2:].min() <= 0:
        report.add_problem(EMPTY_BOX, name)
        return None
    edges = np.array(box_edges(box.tolist()))
    if image.size is None:
        return edges
    far = np.array(image.size) - 0.5
    inside = np.clip(edges, -0.5, np.tile(far, 2))
    if (inside[2:] <= inside[:2]).any():
        report.add_problem(OUTSIDE, name)
        return None
    if np.abs(inside - edges).max() > TOLERANCE:
        report.add_problem(OVER_EDGE, name)
    xy = ground_truth.xy[number][ground_truth.state[number] != ABSENT]
    if (xy < -0.5 - TOLERANCE).any() or (xy > far + TOLERANCE).any():
        report.add_problem(JOINTS_OUTSIDE, name)
    return inside


def make_samples(annotations: Annotations) -> list[ImageSample]:
    """People of COCO, CrowdPose, OCHuman and the like, one MPI15 sample an image, without depth and camera.

    Joints are matched by name. The pelvis is the middle of the hips, and as visible as the less visible of them; the
    neck lies NECK above the middle of the shoulders, and is as visible as the less visible of these (ours; in SMAP's
    code it is hidden if a hip is). Joints that the dataset lacks are not `annotated` (COCO's top of the head), nor, in
    an image with somebody of whom only a part of what they are made from is known, pelvis and neck (ours). People with
    fewer than MIN_JOINTS joints are left out, as the authors do, and so are images without anybody else.

    Raises:
        OccluposeError: the annotations lack an image's size.
    """
    people = defaultdict[ImageRef, list[PersonAnnotation]](list)
    for person in annotations.people:
        if (person.state != ABSENT).sum() >= MIN_JOINTS:
            people[person.image].append(person)
        else:
            annotations.report.add_note(FEW_JOINTS, f"annotation {person.id}")
    path = annotations.ground_truth.path
    return [_make_sample(image, group, annotations.skeleton, path) for image, group in people.items()]


def _make_sample(image: ImageRef, people: list[PersonAnnotation], skeleton: Skeleton, path: Path) -> ImageSample:
    size = _size_of(image, people, path)
    state = np.stack([person.state for person in people])
    xy = np.where(state[..., None] != ABSENT, np.stack([person.xy for person in people]), np.nan)
    joints = convert(xy, skeleton, MPI15)
    states = convert_weakest(state, skeleton, MPI15)
    neck, pelvis, *shoulders = MPI15.index("neck", "pelvis", "left_shoulder", "right_shoulder")
    hips = list(MPI15.index("left_hip", "right_hip"))
    annotated = convert_weakest(np.ones(len(skeleton), bool), skeleton, MPI15)
    if not {"neck", "thorax"} & {*skeleton.joints}:
        middle = joints[:, shoulders].mean(1)
        joints[:, neck] = middle + NECK * (middle - joints[:, pelvis])
        states[:, neck] = np.where(states[:, pelvis] == ABSENT, ABSENT, states[:, shoulders].min(1))
        annotated[neck] &= not _half_known(states, neck, shoulders)
    if not {"pelvis", "hip"} & {*skeleton.joints}:
        annotated[pelvis] &= not _half_known(states, pelvis, hips)
    return make_mpi15_sample(image, size, joints, None, states, annotated=annotated)


def _half_known(states: UInt8[np.ndarray, "person 15"], joint: int, sources: Sequence[int]) -> bool:
    """Whether somebody lacks a joint, but not all that it is made from."""
    known = states[:, sources] != ABSENT
    return bool((known.any(1) & (states[:, joint] == ABSENT)).any())


def make_keypoint_samples(annotations: Annotations) -> list[ImageSample]:
    """People of COCO, CrowdPose, OCHuman and the like, one sample an image with the dataset's own joints, in 2D.

    Joints outside of their image are absent.

    Raises:
        OccluposeError: the annotations lack an image's size.
    """
    people = defaultdict[ImageRef, list[PersonAnnotation]](list)
    for person in annotations.people:
        people[person.image].append(person)
    samples = []
    for image, group in people.items():
        size = _size_of(image, group, annotations.ground_truth.path)
        xy = np.stack([person.xy for person in group])
        inside = ((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1)
        state = np.where(inside, np.stack([person.state for person in group]), ABSENT).astype(np.uint8)
        pixels = np.where((state != ABSENT)[..., None], xy, np.nan).astype(np.float32)
        samples.append(ImageSample(image=image, size=size, skeleton=annotations.skeleton, xy=pixels, state=state))
    return samples


def _size_of(image: ImageRef, people: list[PersonAnnotation], path: Path) -> tuple[int, int]:
    size = people[0].size
    if size is None:
        raise OccluposeError(f"{path}: no width and height of {image.name}; give annotations that have them")
    return size


def load_ground_truth(annotations: Path, *, strict: bool = False) -> GroundTruth:
    """Everybody who is annotated, whether or not the images exist.

    Arguments:
        annotations: .json file.
        strict: any problem with any person is an error.

    Raises:
        OccluposeError: the file cannot be read or is not of this format, no known skeleton has its joints, a person
            has no image, keypoints are not x, y and v of each joint, a v is invalid, or two images have one id.
    """
    content = read_json(annotations, TypeAdapter(_File), _HINT)
    with_joints = [category for category in content.categories if category.keypoints]
    if len(with_joints) != 1:
        raise OccluposeError(f"{annotations}: {len(with_joints)} categories with keypoints; {_HINT}, with one")
    category = with_joints[0]
    skeleton = find_skeleton(annotations, category.keypoints)
    report = DataReport(annotations, strict)
    images = _read_images(annotations, content.images, report)
    categories = {each.id for each in content.categories}
    ids = set()
    people = []
    for annotation in content.annotations:
        if annotation.category_id not in categories:
            report.add_problem(UNKNOWN_CATEGORY, f"annotation {annotation.id}")
        if annotation.category_id == category.id:
            if annotation.id in ids:
                report.add_problem(DUPLICATE_ID, f"annotation {annotation.id}")
            ids.add(annotation.id)
            people.append(annotation)
    rows = [_read_keypoints(annotations, person, skeleton, images, report) for person in people]
    joints = np.array(rows).reshape(-1, len(skeleton), 3)
    state = joints[..., 2].astype(np.uint8)
    counts = [
        int((row != ABSENT).sum()) if person.num_keypoints is None else person.num_keypoints
        for person, row in zip(people, state, strict=True)
    ]
    return GroundTruth(
        path=annotations,
        dataset=identify_dataset(annotations, skeleton, content.info),
        skeleton=skeleton,
        category=category.id,
        images=images,
        id=np.array([person.id for person in people], int),
        image_id=np.array([person.image_id for person in people], int),
        boxes=np.array([_finite_box(person.bbox) for person in people]).reshape(-1, 4),
        area=np.array([_area(person, report) for person in people], float),
        is_crowd=np.array([person.iscrowd for person in people], bool),
        num_keypoints=np.array(counts, int),
        xy=joints[..., :2],
        state=state,
        report=report,
        description=_description(content.info),
    )


def _read_images(path: Path, entries: "list[_Image]", report: DataReport) -> dict[int, ImageInfo]:
    images: dict[int, ImageInfo] = {}
    for entry in entries:
        size = None if entry.width is None or entry.height is None else (entry.width, entry.height)
        info = ImageInfo(entry.id, entry.file_name, size, entry.crowdIndex)
        if images.setdefault(info.id, info) != info:
            wrong = f"images {images[info.id].name} and {info.name} have the id {info.id}"
            raise OccluposeError(f"{path}: {wrong}; {_HINT}, with an id for each")
        if images[info.id] is not info:
            report.add_problem(DUPLICATE_IMAGE, info.name)
    return images


def _read_keypoints(
    path: Path, person: "_Annotation", skeleton: Skeleton, images: dict[int, ImageInfo], report: DataReport
) -> Float[np.ndarray, "joint 3"]:
    """x, y and v of every joint; all 0 if the person has none."""
    where = f"{path}: annotation {person.id}"
    if person.image_id not in images:
        raise OccluposeError(f"{where}: image_id {person.image_id} is not among its images; {_HINT}")
    if not person.keypoints:
        return np.zeros((len(skeleton), 3))
    if len(person.keypoints) != 3 * len(skeleton):
        numbers = f"{len(person.keypoints)} numbers for {len(skeleton)} joints"
        raise OccluposeError(f"{where}: keypoints has {numbers}; it must have x, y and v of each")
    joints = np.array(person.keypoints).reshape(-1, 3)
    invalid = joints[~np.isin(joints[:, 2], (0, 1, 2)), 2]
    if len(invalid):
        raise OccluposeError(f"{where}: v is {invalid[0]:g}; it must be 0, 1 or 2")
    not_finite = ~np.isfinite(joints).all(-1)
    if not_finite.any():
        report.add_problem(NOT_FINITE, f"annotation {person.id}")
        joints[not_finite] = 0
    return joints


def _finite_box(box: tuple[float, float, float, float] | None) -> tuple[float, ...]:
    return box if box is not None and np.isfinite(box).all() else (np.nan,) * 4


def _area(person: "_Annotation", report: DataReport) -> float:
    if person.area is None:
        return np.nan
    if not (np.isfinite(person.area) and person.area > 0):
        report.add_problem(NO_AREA, f"annotation {person.id}")
    return person.area if np.isfinite(person.area) else np.nan


def _description(info: Any) -> str:
    """The description of a file in one line; "" without."""
    description = str(info.get("description", "")) if isinstance(info, dict) else ""
    return " ".join(description.split())[:MAX_DESCRIPTION]


def identify_dataset(path: Path, skeleton: Skeleton, info: Any) -> str:
    """Which of DATASETS a file belongs to.

    Arguments:
        info: its `info`, as JSON.
    """
    description = _description(info)
    if description.startswith(SYNTH):
        return "synth"
    if skeleton == CROWDPOSE14:
        return "crowdpose"
    if skeleton != COCO17:
        return "other"
    names = " ".join((path.name, *(folder.name for folder in list(path.parents)[:2]), description)).lower()
    if "ochuman" in names:
        return "ochuman"
    return "coco" if "coco" in names or "person_keypoints" in names else "other"


_Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Category(BaseModel):
    id: _Number
    keypoints: list[str] = []


class _Image(BaseModel):
    id: _Number
    file_name: str
    width: Side | None = None
    height: Side | None = None
    crowdIndex: float | None = None


class _Annotation(BaseModel):
    id: _Number
    image_id: _Number
    category_id: _Number
    keypoints: list[float] = []
    num_keypoints: _Number | None = None
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: Literal[0, 1] = 0


class _File(BaseModel):
    info: Any = None
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def find_skeleton(path: Path, names: list[str]) -> Skeleton:
    """A known skeleton with exactly these joints, else the part of one that has them all.

    Raises:
        OccluposeError: none has them, or a name comes twice; names the file.
    """
    spellings = tuple(names), tuple(ALIASES.get(name, name) for name in names)
    exact = [skeleton for joints in spellings for skeleton in SKELETONS if skeleton.joints == joints]
    distinct = [joints for joints in spellings if len(set(joints)) == len(joints)]
    parts = []
    for joints in distinct:
        parts += [skeleton.subset(joints) for skeleton in SKELETONS if set(joints) <= set(skeleton.joints)]
    if exact or parts:
        return (exact + parts)[0]
    unknown = [name for name in names if not any(name in skeleton.joints for skeleton in SKELETONS)]
    wrong = f"no skeleton has a joint {unknown[0]}" if unknown else "no one skeleton has all these joints once"
    raise OccluposeError(f"{path}: {wrong}; name them as in coco17, crowdpose14 or another known skeleton")


def box_edges(bbox: Iterable[float]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, pixel centres at integers, of left, top, width, height from the image's edge."""
    left, top, width, height = bbox
    return left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5
