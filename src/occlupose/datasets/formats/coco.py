"""People in images in the COCO keypoint format: COCO itself, CrowdPose, OCHuman and other datasets in this format.

A file is JSON with `categories` (one with `keypoints`, the joints' names), `images` (`id`, `file_name`) and
`annotations` (`image_id`, `category_id`, `bbox`, `keypoints`: x, y and v of every joint). v is 2 for a visible joint, 1
for an occluded one that is annotated nevertheless, 0 for one that is not annotated; that is our state. `load` gives the
people for training or to look at, without crowd regions and people without annotated joints. `load_ground_truth` gives
everybody, as evaluators want them. Problems with single people or images are counted and named in a `DataReport`; a
problem with the file as a whole is an error.

A detector's boxes are in the results format: a JSON list of `image_id`, `category_id`, `bbox` and `score`.

Keypoints are in pixels with pixel centres at integers already. Boxes (left, top, width, height) count from the edge of
the image; half a pixel is subtracted where they become edges here.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter

from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, CROWDPOSE14, SKELETONS, Skeleton

PERSON = 1
"""The category of people in COCO's results format."""

ALIASES = {"head": "head_top", "top_head": "head_top"}
"""Datasets' names for joints that we call differently, used if a skeleton is not found otherwise. CrowdPose's head is
the top of it.
"""

DATASETS = ("coco", "crowdpose", "ochuman", "synth", "other")
"""Datasets with a protocol of their own. CrowdPose is recognised by its joints, `occlupose synth` by its
description, OCHuman and COCO by the joints and the name of the file or of a folder above it."""

TOLERANCE = 1.0
"""Pixels by which boxes and keypoints may be outside of their image before this is a problem. Ours."""

MISSING = "missing images, their people left out"
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
OTHER_IMAGES = "boxes of images that the annotations do not have, left out"

_HINT = "give annotations in COCO's keypoint format"
_RESULTS_HINT = "give detections in COCO's results format: a list of image_id, category_id, bbox and score"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """One annotated person in one image.

    Attributes:
        id: of the annotation.
        image: where the image is.
        size: (width, height) of the image by the annotations, px; None where they lack it.
        box: left, top, right, bottom, px, clipped to the image.
        xy: keypoints, px; as in the file where the state is 0.
        state: v of each joint as in the file: 2 visible, 1 occluded, 0 not annotated.
        area: of the person, px^2, if annotated.
        image_id: id of the image.
    """

    id: int
    image: ImageRef
    size: tuple[int, int] | None
    box: Float[np.ndarray, "4"]
    xy: Float[np.ndarray, "joint 2"]
    state: UInt8[np.ndarray, "joint"]
    area: float | None = None
    image_id: int | None = None

    @property
    def occluded(self) -> int:
        """Number of joints annotated as occluded."""
        return int((self.state == OCCLUDED).sum())

    def read(self) -> RGB:
        """The image.

        Raises:
            OccluposeError: it cannot be read, or its size differs from the annotated one.
        """
        return self.image.read(self.size)


@dataclass(frozen=True)
class ImageInfo:
    """An image's entry in the annotations.

    Attributes:
        id: its number in the file.
        name: of its file.
        size: (width, height), px, if the entry has it.
        crowd_index: CrowdPose's crowd index, 0 to 1, if the entry has it.
    """

    id: int
    name: str
    size: tuple[int, int] | None = None
    crowd_index: float | None = None


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Everybody who is annotated, crowd regions and people without joints too, in the file's order: what predictions
    are scored against.

    Attributes:
        path: of the file.
        dataset: one of DATASETS.
        skeleton: of the joints.
        category: id of the category of people in the file.
        images: by id, images without people too.
        id: of each annotation.
        image_id: of each annotation's image.
        boxes: left, top, width, height as in the file, px from the image's edge; NaN where there is none.
        area: px^2 as in the file; NaN where there is none.
        is_crowd: regions of several people.
        num_keypoints: as in the file, by default the number of joints whose state is not 0. CrowdPose does not count
            head and neck.
        xy: keypoints, px; 0 where there are none.
        state: v of each joint.
        report: what was wrong with the file.
    """

    path: Path
    dataset: str
    skeleton: Skeleton
    category: int
    images: dict[int, ImageInfo]
    id: Int[np.ndarray, "person"]
    image_id: Int[np.ndarray, "person"]
    boxes: Float[np.ndarray, "person 4"]
    area: Float[np.ndarray, "person"]
    is_crowd: Bool[np.ndarray, "person"]
    num_keypoints: Int[np.ndarray, "person"]
    xy: Float[np.ndarray, "person joint 2"]
    state: UInt8[np.ndarray, "person joint"]
    report: DataReport

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a file, in its order, with the joints of one skeleton.

    Attributes:
        skeleton: of the joints.
        people: usable for training or for evaluation in ground-truth boxes: no crowd region, with a joint, a box and an
            image that exists.
        ground_truth: everybody. Those who are not in `people` count as missed.
        report: what was wrong with the file and its images.
    """

    skeleton: Skeleton
    people: list[PersonAnnotation]
    ground_truth: GroundTruth
    report: DataReport

    def describe(self) -> dict[str, object]:
        """The training data for a card: the file's name, its SHA-256, and counts; no folder."""
        states = np.concatenate([person.state for person in self.people])
        values = {"visible": VISIBLE, "occluded": OCCLUDED, "absent": ABSENT}
        counts = {name: int((states == value).sum()) for name, value in values.items()}
        path = self.ground_truth.path
        return {
            "annotations": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "pictures": len({person.image for person in self.people}),  # the key on published cards
            "people": len(self.people),
            "joints": counts,
        }


@dataclass(frozen=True)
class DetectedBox:
    """A person's box from a detector.

    Attributes:
        image_id: of the image, as in the detector's file: a number or a name.
        box: left, top, right, bottom, px.
        score: 0..1.
    """

    image_id: int | str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, eq=False)
class DetectedBoxes:
    """A detector's boxes, matched to annotated images.

    Attributes:
        path: of the detections.
        boxes: by image id; images without detections are not in it.
        report: what was wrong with the file.
    """

    path: Path
    boxes: dict[int, list[DetectedBox]]
    report: DataReport


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
    edges = np.array(_edges(box.tolist()))
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


def identify_dataset(path: Path, skeleton: Skeleton, info: Any) -> str:
    """Which of DATASETS a file belongs to.

    Arguments:
        info: its `info`, as JSON.
    """
    description = str(info.get("description", "")) if isinstance(info, dict) else ""
    if description.startswith("synthetic people of occlupose"):
        return "synth"
    if skeleton == CROWDPOSE14:
        return "crowdpose"
    if skeleton != COCO17:
        return "other"
    names = " ".join((path.name, *(folder.name for folder in list(path.parents)[:2]), description)).lower()
    if "ochuman" in names:
        return "ochuman"
    return "coco" if "coco" in names or "person_keypoints" in names else "other"


def load_boxes(path: Path, *, category: int = PERSON, keep_empty: bool = False) -> list[DetectedBox]:
    """The boxes of people in a detector's results, in the file's order.

    Arguments:
        category: `category_id` of people; others are left out.
        keep_empty: keep boxes without width or height, which otherwise are an error.

    Raises:
        OccluposeError: the file cannot be read, is not of this format, or has no people.
    """
    results = read_json(path, TypeAdapter(list[_Result]), _RESULTS_HINT)
    people = [
        DetectedBox(result.image_id, _edges(result.bbox), result.score)
        for result in results
        if result.category_id == category
    ]
    if not people:
        raise OccluposeError(f"{path}: no person in it (category_id {category}); {_RESULTS_HINT}")
    empty = next((box for box in people if _is_empty(box)), None)
    if empty is not None and not keep_empty:
        raise OccluposeError(f"{path}: a box of image {empty.image_id} has no width or height; {_RESULTS_HINT}")
    return people


def _is_empty(box: DetectedBox) -> bool:
    left, top, right, bottom = box.box
    return right <= left or bottom <= top


def match_boxes(path: Path, ground_truth: GroundTruth, *, strict: bool = False) -> DetectedBoxes:
    """A detector's boxes, matched to the annotated images.

    A numeric `image_id` is the annotations' id; a string is the name of an image file, with or without its suffix.

    Arguments:
        path: detections in COCO's results format.
        ground_truth: the annotated images.
        strict: a box of an image that the annotations do not have is an error.

    Raises:
        OccluposeError: as `load_boxes`; or no box belongs to an annotated image, so the annotations are of another
            dataset.
    """
    numbers: dict[int | str, int] = {}
    for info in ground_truth.images.values():
        numbers |= {Path(info.name).stem: info.id, info.name: info.id}
    numbers |= {number: number for number in ground_truth.images}
    found = load_boxes(path, category=ground_truth.category, keep_empty=True)
    boxes = defaultdict[int, list[DetectedBox]](list)
    report = DataReport(path, strict)
    if not any(box.image_id in numbers for box in found):
        wrong = f"no image_id is of an image of {ground_truth.path}, e.g. {found[0].image_id!r}"
        raise OccluposeError(f"{path}: {wrong}; give detections of these images")
    for box in found:
        if box.image_id not in numbers:
            report.add_problem(OTHER_IMAGES, f"image_id {box.image_id}")
        elif _is_empty(box):
            report.add_problem(EMPTY_BOX, f"a box of image_id {box.image_id}")
        else:
            boxes[numbers[box.image_id]].append(box)
    return DetectedBoxes(path, dict(boxes), report)


class _Category(BaseModel):
    id: int
    keypoints: list[str] = []


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None
    crowdIndex: float | None = None


_Pixels = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
_Box = tuple[_Pixels, _Pixels, _Pixels, _Pixels]


class _Annotation(BaseModel):
    id: int
    image_id: int
    category_id: int
    keypoints: list[float] = []
    num_keypoints: int | None = None
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: Literal[0, 1] = 0


class _File(BaseModel):
    info: Any = None
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


class _Result(BaseModel):
    image_id: int | str
    category_id: int
    bbox: _Box
    score: Annotated[float, Field(ge=0, le=1)]


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


def _edges(bbox: Iterable[float]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, pixel centres at integers, of left, top, width, height from the image's edge."""
    left, top, width, height = bbox
    return left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5
