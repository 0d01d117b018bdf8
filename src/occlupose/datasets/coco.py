"""People in pictures, as the COCO keypoint format has them: COCO itself, CrowdPose, OCHuman, and whatever is annotated
in its manner.

A file is JSON with `categories` (one with `keypoints`, the joints' names), `images` (`id`, `file_name`) and
`annotations` (`image_id`, `category_id`, `bbox`, `keypoints`: x, y and v of every joint). v is 2 for a joint that is
seen, 1 for one whose place was annotated though it is hidden, 0 for one that nobody annotated; that is our state.
`load` gives the people to learn from or to look at: crowds and people without any annotated joint are left out. `truth`
gives everybody, as evaluators want them. What is wrong with single people or pictures is counted and named in
`DataReport`; what is wrong with the file as a whole is an error.

A detector's boxes are the results format: a JSON list of `image_id`, `category_id`, `bbox` and `score`.

Joints are pixels with pixel centres at integers already; boxes (left, top, width, height) count from the edge of the
picture, and lose half a pixel where they become edges here.
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

from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.datasets.json_files import read_json
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, CROWDPOSE14, SKELETONS, Skeleton

PERSON = 1
"""The category of people in COCO's results format."""

ALIASES = {"head": "head_top", "top_head": "head_top"}
"""What datasets call a joint that we call differently, where a skeleton is not found otherwise; CrowdPose's head is the
top of it.
"""

DATASETS = ("coco", "crowdpose", "ochuman", "synth", "other")
"""The datasets that protocols tell apart. CrowdPose is known by its joints, our own by what it says of itself, OCHuman
and COCO by the joints and the name of the file or of a folder above it."""

OVER = 1.0
"""Pixels by which boxes and joints may lie out of their picture before that is called a problem. Ours."""

MISSING = "pictures that are not there, their people left out"
NO_BOX = "people without a box, left out"
EMPTY_BOX = "people whose box has no width or height, left out"
OUTSIDE = "people whose box lies outside of their picture, left out"
OVER_EDGE = "boxes that reach out of their picture, cut at its edge"
JOINTS_OUTSIDE = "people with joints outside of their picture, kept"
NOT_FINITE = "people with coordinates that are no numbers; those joints count as not annotated"
NO_AREA = "people whose area is not positive, kept"
STRANGE = "annotations of a category that the file does not define, left out"
SAME_ID = "annotations whose id another one has, kept"
SAME_IMAGE = "pictures that are listed twice, taken once"
OTHER_PICTURES = "boxes of pictures that the annotations do not have, left out"

_HINT = "give annotations in COCO's keypoint format"
_RESULTS_HINT = "give detections in COCO's results format: a list of image_id, category_id, bbox and score"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one picture, as annotated.

    Attributes:
        id: of the annotation.
        picture: where the picture is.
        size: (width, height) of it by the annotations, px; None where they do not say.
        box: left, top, right, bottom, px, cut at the picture's edges.
        xy: joints, px; whatever the file has where the state is 0.
        state: v of each joint as it is in the file: 2 visible, 1 occluded, 0 not annotated.
        area: of the person, px^2, where the annotation has it.
        image: id of the picture.
    """

    id: int
    picture: ImageRef
    size: tuple[int, int] | None
    box: Float[np.ndarray, "4"]
    xy: Float[np.ndarray, "joint 2"]
    state: UInt8[np.ndarray, "joint"]
    area: float | None = None
    image: int | None = None

    @property
    def hidden(self) -> int:
        """How many joints are annotated though they are hidden."""
        return int((self.state == OCCLUDED).sum())

    def read(self) -> RGB:
        """The picture.

        Raises:
            OccluposeError: it cannot be read, or has another size than the annotations say.
        """
        return self.picture.read(self.size)


@dataclass(frozen=True)
class Image:
    """What annotations say of a picture.

    Attributes:
        id: its number in the file.
        name: of its file.
        size: (width, height), px, where they say it.
        crowd: CrowdPose's crowd index, 0 to 1, where they say it.
    """

    id: int
    name: str
    size: tuple[int, int] | None = None
    crowd: float | None = None


@dataclass(frozen=True, eq=False)
class Truth:
    """Everybody who is annotated, crowds and people without joints too, in the file's order: what predictions are
    scored against.

    Attributes:
        path: of the file.
        dataset: one of DATASETS.
        skeleton: of the joints.
        category: the number of people's category in the file.
        images: by id; those without people too.
        id: of each annotation.
        image: id of each one's picture.
        box: left, top, width, height as in the file, px from the picture's edge; NaN where it has none.
        area: px^2 as in the file; NaN where it has none.
        crowd: a region of several people.
        labelled: `num_keypoints` as in the file, else the number of joints whose state is not 0. CrowdPose does not
            count head and neck.
        xy: joints, px; 0 where there are none.
        state: v of each joint.
    """

    path: Path
    dataset: str
    skeleton: Skeleton
    category: int
    images: dict[int, Image]
    id: Int[np.ndarray, "person"]
    image: Int[np.ndarray, "person"]
    box: Float[np.ndarray, "person 4"]
    area: Float[np.ndarray, "person"]
    crowd: Bool[np.ndarray, "person"]
    labelled: Int[np.ndarray, "person"]
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
        people: who can be learnt from, or looked for in the boxes of the truth: no crowd, a joint, a box, and a picture
            that is there.
        truth: everybody. Who is left out of `people` stays in it, and counts as not found.
        report: what was wrong with the file and its pictures.
    """

    skeleton: Skeleton
    people: list[Person]
    truth: Truth
    report: DataReport

    def describe(self) -> dict[str, object]:
        """What a network that learnt from these people was trained on: the file, its SHA-256, and counts; names no
        folder.
        """
        states = np.concatenate([person.state for person in self.people])
        counts = {
            name: int((states == value).sum())
            for name, value in (("visible", VISIBLE), ("occluded", OCCLUDED), ("absent", ABSENT))
        }
        sha = hashlib.sha256(self.truth.path.read_bytes()).hexdigest()
        pictures = len({person.picture for person in self.people})
        return {
            "annotations": self.truth.path.name,
            "sha256": sha,
            "pictures": pictures,
            "people": len(self.people),
            "joints": counts,
        }


@dataclass(frozen=True)
class Detection:
    """A person's box as a detector found it.

    Attributes:
        image: which picture, as the detector calls it.
        box: left, top, right, bottom, px.
        score: 0..1.
    """

    image: int | str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, eq=False)
class Detected:
    """A detector's boxes beside the pictures that they are of.

    Attributes:
        path: of the detections.
        boxes: by the id of the picture; pictures in which nobody was found are not in it.
        report: what was wrong with the file.
    """

    path: Path
    boxes: dict[int, list[Detection]]
    report: DataReport


def load(annotations: Path, images: Path, *, strict: bool = False, all_pictures: bool = False) -> Annotations:
    """Everybody with an annotated joint, and where their pictures are; these are read when they are asked for.

    Arguments:
        annotations: .json file.
        images: folder that its file names are relative to, a folder of .tar shards, or one shard.
        strict: anything that is wrong with any person or picture is an error.
        all_pictures: a missing picture is an error; otherwise its people are left out.

    Raises:
        OccluposeError: a file that cannot be read or is not of this format, joints of no known skeleton, nobody in it
            who can be used.
    """
    everybody = truth(annotations, strict=strict)
    report = everybody.report
    people = []
    shelf = ImageIndex(images)
    found: dict[int, ImageRef | None] = {}
    for number in range(len(everybody)):
        if everybody.crowd[number]:
            report.add_note("crowds", f"annotation {everybody.id[number]}")
            continue
        if not everybody.state[number].any():
            report.add_note("people without an annotated joint", f"annotation {everybody.id[number]}")
            continue
        image = everybody.images[int(everybody.image[number])]
        if image.id not in found:
            found[image.id] = shelf.find(image.name)
            if found[image.id] is None and all_pictures:
                wrong = f"no such picture, but {annotations} has people in it"
                raise OccluposeError(f"{images / image.name}: {wrong}; give the folder of its pictures")
            if found[image.id] is None:
                report.add_problem(MISSING, image.name)
        picture = found[image.id]
        if picture is not None and (edges := _usable(everybody, number, image, report)) is not None:
            area = float(everybody.area[number])
            who = int(everybody.id[number]), picture, image.size, edges, everybody.xy[number], everybody.state[number]
            people.append(Person(*who, area if area > 0 else None, image.id))
    if not people:
        reasons = "; ".join(line.removeprefix(f"{annotations}: ") for line in report.lines())
        raise OccluposeError(
            f"{annotations}: nobody in it has an annotated joint, a box and a picture{reasons and f' ({reasons})'};"
            f" {_HINT}"
        )
    return Annotations(everybody.skeleton, people, everybody, report)


def _usable(everybody: Truth, number: int, image: Image, report: DataReport) -> Float[np.ndarray, "4"] | None:
    """The edges of a person's box within the picture, or None with a problem."""
    name = f"annotation {everybody.id[number]}"
    box = everybody.box[number]
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
    if np.abs(inside - edges).max() > OVER:
        report.add_problem(OVER_EDGE, name)
    xy = everybody.xy[number][everybody.state[number] != ABSENT]
    if (xy < -0.5 - OVER).any() or (xy > far + OVER).any():
        report.add_problem(JOINTS_OUTSIDE, name)
    return inside


def truth(annotations: Path, *, strict: bool = False) -> Truth:
    """Everybody who is annotated, whether or not there are pictures.

    Arguments:
        annotations: .json file.
        strict: anything that is wrong with any person is an error.

    Raises:
        OccluposeError: a file that cannot be read or is not of this format, joints of no known skeleton, a person of no
            picture, joints without x, y and v each, a v that is none, two pictures of one id.
    """
    content = read_json(annotations, TypeAdapter(_File), _HINT)
    with_joints = [category for category in content.categories if category.keypoints]
    if len(with_joints) != 1:
        raise OccluposeError(f"{annotations}: {len(with_joints)} categories with keypoints; {_HINT}, with one")
    category = with_joints[0]
    skeleton = skeleton_of(annotations, category.keypoints)
    report = DataReport(annotations, strict)
    images = _images(annotations, content.images, report)
    known = {each.id for each in content.categories}
    ids = set()
    people = []
    for annotation in content.annotations:
        if annotation.category_id not in known:
            report.add_problem(STRANGE, f"annotation {annotation.id}")
        if annotation.category_id == category.id:
            if annotation.id in ids:
                report.add_problem(SAME_ID, f"annotation {annotation.id}")
            ids.add(annotation.id)
            people.append(annotation)
    joints = np.array([_joints(annotations, person, skeleton, images, report) for person in people]).reshape(
        -1, len(skeleton), 3
    )
    state = joints[..., 2].astype(np.uint8)
    counts = [person.num_keypoints for person in people]
    labelled = [
        int((row != ABSENT).sum()) if count is None else count for count, row in zip(counts, state, strict=True)
    ]
    return Truth(
        path=annotations,
        dataset=dataset_of(annotations, skeleton, content.info),
        skeleton=skeleton,
        category=category.id,
        images=images,
        id=np.array([person.id for person in people], int),
        image=np.array([person.image_id for person in people], int),
        box=np.array([_whole(person.bbox) for person in people]).reshape(-1, 4),
        area=np.array([_area(person, report) for person in people], float),
        crowd=np.array([person.iscrowd for person in people], bool),
        labelled=np.array(labelled, int),
        xy=joints[..., :2],
        state=state,
        report=report,
    )


def _images(path: Path, listed: "list[_Image]", report: DataReport) -> dict[int, Image]:
    images: dict[int, Image] = {}
    for image in listed:
        size = None if image.width is None or image.height is None else (image.width, image.height)
        one = Image(image.id, image.file_name, size, image.crowdIndex)
        if images.setdefault(one.id, one) != one:
            raise OccluposeError(
                f"{path}: images {images[one.id].name} and {one.name} have the id {one.id}; {_HINT}, with an id for"
                " each"
            )
        if images[one.id] is not one:
            report.add_problem(SAME_IMAGE, one.name)
    return images


def _joints(
    path: Path, person: "_Annotation", skeleton: Skeleton, images: dict[int, Image], report: DataReport
) -> Float[np.ndarray, "joint 3"]:
    """x, y and v of every joint; all 0 where the person has none."""
    where = f"{path}: annotation {person.id}"
    if person.image_id not in images:
        raise OccluposeError(f"{where}: image_id {person.image_id} is not among its images; {_HINT}")
    if not person.keypoints:
        return np.zeros((len(skeleton), 3))
    if len(person.keypoints) != 3 * len(skeleton):
        numbers = f"{len(person.keypoints)} numbers for {len(skeleton)} joints"
        raise OccluposeError(f"{where}: keypoints has {numbers}; it must have x, y and v of each")
    joints = np.array(person.keypoints).reshape(-1, 3)
    strange = joints[~np.isin(joints[:, 2], (0, 1, 2)), 2]
    if len(strange):
        raise OccluposeError(f"{where}: v is {strange[0]:g}; it must be 0, 1 or 2")
    nowhere = ~np.isfinite(joints).all(-1)
    if nowhere.any():
        report.add_problem(NOT_FINITE, f"annotation {person.id}")
        joints[nowhere] = 0
    return joints


def _whole(box: tuple[float, float, float, float] | None) -> tuple[float, ...]:
    return box if box is not None and np.isfinite(box).all() else (np.nan,) * 4


def _area(person: "_Annotation", report: DataReport) -> float:
    if person.area is None:
        return np.nan
    if not (np.isfinite(person.area) and person.area > 0):
        report.add_problem(NO_AREA, f"annotation {person.id}")
    return person.area if np.isfinite(person.area) else np.nan


def dataset_of(path: Path, skeleton: Skeleton, info: Any) -> str:
    """Which of DATASETS a file is of.

    Arguments:
        info: what it says of itself, as JSON.
    """
    about = str(info.get("description", "")) if isinstance(info, dict) else ""
    if about.startswith("synthetic people of occlupose"):
        return "synth"
    if skeleton == CROWDPOSE14:
        return "crowdpose"
    names = " ".join((path.name, *(folder.name for folder in list(path.parents)[:2]), about)).lower()
    if skeleton == COCO17:
        return (
            "ochuman" if "ochuman" in names else "coco" if "coco" in names or "person_keypoints" in names else "other"
        )
    return "other"


def detections(path: Path, *, category: int = PERSON, keep_empty: bool = False) -> list[Detection]:
    """The boxes of people in a detector's results, in the file's order.

    Arguments:
        category: `category_id` of people; others are left out.
        keep_empty: boxes without width or height too, which otherwise are an error.

    Raises:
        OccluposeError: the file cannot be read, is not of this format, or has nobody in it.
    """
    found = read_json(path, TypeAdapter(list[_Result]), _RESULTS_HINT)
    people = [
        Detection(result.image_id, _edges(result.bbox), result.score)
        for result in found
        if result.category_id == category
    ]
    if not people:
        raise OccluposeError(f"{path}: no person in it (category_id {category}); {_RESULTS_HINT}")
    empty = next((box for box in people if _empty(box)), None)
    if empty is not None and not keep_empty:
        raise OccluposeError(f"{path}: a box of picture {empty.image} has no width or height; {_RESULTS_HINT}")
    return people


def _empty(box: Detection) -> bool:
    left, top, right, bottom = box.box
    return right <= left or bottom <= top


def detected(path: Path, everybody: Truth, *, strict: bool = False) -> Detected:
    """A detector's boxes, each beside the annotated picture that it is of.

    A number as `image_id` is that of the annotations; a text is the name of a picture's file, with or without its
    ending.

    Arguments:
        path: detections in COCO's results format.
        everybody: whose pictures they should be of.
        strict: a box of a picture that the annotations do not have is an error.

    Raises:
        OccluposeError: what `detections` refuses; not one box is of a picture of the annotations, which are another
            dataset's then.
    """
    numbers: dict[int | str, int] = {}
    for image in everybody.images.values():
        numbers |= {Path(image.name).stem: image.id, image.name: image.id}
    numbers |= {number: number for number in everybody.images}
    found = detections(path, category=everybody.category, keep_empty=True)
    boxes = defaultdict[int, list[Detection]](list)
    report = DataReport(path, strict)
    if not any(box.image in numbers for box in found):
        wrong = f"not one image_id is of a picture of {everybody.path}, as {found[0].image!r} is none"
        raise OccluposeError(f"{path}: {wrong}; give detections of these pictures")
    for box in found:
        if box.image not in numbers:
            report.add_problem(OTHER_PICTURES, f"image_id {box.image}")
        elif _empty(box):
            report.add_problem(EMPTY_BOX, f"a box of image_id {box.image}")
        else:
            boxes[numbers[box.image]].append(box)
    return Detected(path, dict(boxes), report)


class _Category(BaseModel):
    id: int
    keypoints: list[str] = []


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None
    crowdIndex: float | None = None


_Box = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


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


def skeleton_of(path: Path, names: list[str]) -> Skeleton:
    """A known skeleton with these joints: exactly it, or the part of one that has them all.

    Raises:
        OccluposeError: none has them, or a name comes twice; names the file.
    """
    spellings = tuple(names), tuple(ALIASES.get(name, name) for name in names)
    exact = [skeleton for joints in spellings for skeleton in SKELETONS if skeleton.joints == joints]
    distinct = [joints for joints in spellings if len(set(joints)) == len(joints)]
    parts = [
        skeleton.subset(joints) for joints in distinct for skeleton in SKELETONS if set(joints) <= set(skeleton.joints)
    ]
    if exact or parts:
        return (exact + parts)[0]
    strange = [name for name in names if not any(name in skeleton.joints for skeleton in SKELETONS)]
    what = f"no skeleton has a joint {strange[0]}" if strange else "no one skeleton has all these joints once"
    raise OccluposeError(f"{path}: {what}; name them as coco17, crowdpose14 or another known skeleton does")


def _edges(bbox: Iterable[float]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, pixel centres at integers, of left, top, width, height that count from the picture's
    edge.
    """
    left, top, width, height = bbox
    return left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5
