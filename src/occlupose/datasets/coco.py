"""People in pictures, as the COCO keypoint format has them: COCO itself, CrowdPose, OCHuman, and whatever is annotated in its manner.

A file is JSON with `categories` (one with `keypoints`, the joints' names), `images` (`id`, `file_name`) and `annotations` (`image_id`,
`category_id`, `bbox`, `keypoints`: x, y and v of every joint). v is 2 for a joint that is seen, 1 for one whose place was annotated though
it is hidden, 0 for one that nobody annotated; that is our state. Crowds and people without any annotated joint are left out.

A detector's boxes are the results format: a JSON list of `image_id`, `category_id`, `bbox` and `score`.

Joints are pixels with pixel centres at integers already; boxes (left, top, width, height) count from the edge of the picture, and lose
half a pixel here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from occlupose.errors import OccluposeError
from occlupose.media import RGB, read_image
from occlupose.skeletons import SKELETONS, Skeleton

PERSON = 1
"""The category of people in COCO's results format."""

ALIASES = {"head": "head_top", "top_head": "head_top"}
"""What datasets call a joint that we call differently, where a skeleton is not found otherwise; CrowdPose's head is the top of it."""

_CURE = "give annotations in COCO's keypoint format"
_RESULTS_CURE = "give detections in COCO's results format: a list of image_id, category_id, bbox and score"

T = TypeVar("T")
Side = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one picture, as annotated.

    Attributes:
        id: of the annotation.
        picture: file.
        size: (width, height) of it by the annotations, px; None where they do not say.
        box: left, top, right, bottom, px.
        xy: joints, px; whatever the file has where the state is 0.
        state: v of each joint as it is in the file: 2 visible, 1 occluded, 0 not annotated.
    """

    id: int
    picture: Path
    size: tuple[int, int] | None
    box: Float[np.ndarray, "4"]
    xy: Float[np.ndarray, "joint 2"]
    state: UInt8[np.ndarray, "joint"]

    def read(self) -> RGB:
        """The picture.

        Raises:
            OccluposeError: it cannot be read, or has another size than the annotations say.
        """
        image = read_image(self.picture)
        size = image.shape[1], image.shape[0]
        if self.size is not None and size != self.size:
            given, wanted = (f"{width}x{height}" for width, height in (size, self.size))
            raise OccluposeError(f"{self.picture}: is {given}, but {wanted} in its annotations; give the pictures that were annotated")
        return image


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a file, in its order, with the joints of one skeleton."""

    skeleton: Skeleton
    people: list[Person]


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


def load(annotations: Path, images: Path) -> Annotations:
    """Everybody with an annotated joint, and where their pictures are; these are read when they are asked for.

    Arguments:
        annotations: .json file.
        images: folder that its file names are relative to.

    Raises:
        OccluposeError: a file that cannot be read or is not of this format, joints of no known skeleton, nobody in it, a missing picture.
    """
    content = _read(annotations, TypeAdapter(_File), _CURE)
    with_joints = [category for category in content.categories if category.keypoints]
    if len(with_joints) != 1:
        raise OccluposeError(f"{annotations}: {len(with_joints)} categories with keypoints; {_CURE}, with one")
    category = with_joints[0]
    skeleton = _skeleton(annotations, category.keypoints)
    pictures = {image.id: image for image in content.images}
    people = []
    for annotation in content.annotations:
        if annotation.category_id != category.id or annotation.iscrowd or not any(annotation.keypoints[2::3]):
            continue
        where = f"{annotations}: annotation {annotation.id}"
        if len(annotation.keypoints) != 3 * len(skeleton):
            numbers = f"{len(annotation.keypoints)} numbers for {len(skeleton)} joints"
            raise OccluposeError(f"{where}: keypoints has {numbers}; it must have x, y and v of each")
        if annotation.image_id not in pictures:
            raise OccluposeError(f"{where}: image_id {annotation.image_id} is not among its images; {_CURE}")
        if annotation.bbox is None:
            raise OccluposeError(f"{where}: has no bbox; give the person's box: left, top, width, height")
        people.append(_person(annotation, annotation.bbox, pictures[annotation.image_id], images, where))
    if not people:
        raise OccluposeError(f"{annotations}: nobody in it has an annotated joint; {_CURE}")
    for picture in dict.fromkeys(person.picture for person in people):
        if not picture.is_file():
            raise OccluposeError(f"{picture}: no such picture, but {annotations} has people in it; give the folder of its pictures")
    return Annotations(skeleton, people)


def detections(path: Path, *, category: int = PERSON) -> list[Detection]:
    """The boxes of people in a detector's results, in the file's order.

    Arguments:
        category: `category_id` of people; others are left out.

    Raises:
        OccluposeError: the file cannot be read, is not of this format, or has nobody in it.
    """
    found = _read(path, TypeAdapter(list[_Result]), _RESULTS_CURE)
    people = [Detection(result.image_id, _edges(result.bbox), result.score) for result in found if result.category_id == category]
    if not people:
        raise OccluposeError(f"{path}: no person in it (category_id {category}); {_RESULTS_CURE}")
    return people


class _Category(BaseModel):
    id: int
    keypoints: list[str] = []


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


_Box = tuple[FiniteFloat, FiniteFloat, Side, Side]


class _Annotation(BaseModel):
    id: int
    image_id: int
    category_id: int
    keypoints: list[FiniteFloat] = []
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    iscrowd: Literal[0, 1] = 0


class _File(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


class _Result(BaseModel):
    image_id: int | str
    category_id: int
    bbox: _Box
    score: Annotated[float, Field(ge=0, le=1)]


def _read(path: Path, form: TypeAdapter[T], cure: str) -> T:
    """What is in a file of this form.

    Raises:
        OccluposeError: it cannot be read, or is of another form; says where.
    """
    try:
        return form.validate_json(path.read_bytes())
    except OSError as error:
        raise OccluposeError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); {cure}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{'.' if name else ''}{part}" for name, part in enumerate(first["loc"])) or "the file"
        raise OccluposeError(f"{path}: {where}: {first['msg'].lower()}; {cure}") from error


def _skeleton(path: Path, names: list[str]) -> Skeleton:
    """A known skeleton with these joints: exactly it, or the part of one that has them all.

    Raises:
        OccluposeError: none has them, or a name comes twice.
    """
    spellings = tuple(names), tuple(ALIASES.get(name, name) for name in names)
    exact = [skeleton for joints in spellings for skeleton in SKELETONS if skeleton.joints == joints]
    distinct = [joints for joints in spellings if len(set(joints)) == len(joints)]
    parts = [skeleton.subset(joints) for joints in distinct for skeleton in SKELETONS if set(joints) <= set(skeleton.joints)]
    if exact or parts:
        return (exact + parts)[0]
    strange = [name for name in names if not any(name in skeleton.joints for skeleton in SKELETONS)]
    what = f"no skeleton has a joint {strange[0]}" if strange else "no one skeleton has all these joints once"
    raise OccluposeError(f"{path}: {what}; name them as coco17, crowdpose14 or another known skeleton does")


def _person(annotation: _Annotation, bbox: tuple[float, float, float, float], image: _Image, images: Path, where: str) -> Person:
    if min(bbox[2:]) <= 0:
        raise OccluposeError(f"{where}: bbox is {bbox[2]:g} x {bbox[3]:g}; give the person's box: left, top, width, height")
    joints = np.array(annotation.keypoints).reshape(-1, 3)
    strange = joints[~np.isin(joints[:, 2], (0, 1, 2)), 2]
    if len(strange):
        raise OccluposeError(f"{where}: v is {strange[0]:g}; it must be 0, 1 or 2")
    size = None if image.width is None or image.height is None else (image.width, image.height)
    return Person(annotation.id, images / image.file_name, size, np.array(_edges(bbox)), joints[:, :2], joints[:, 2].astype(np.uint8))


def _edges(bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, pixel centres at integers, of left, top, width, height that count from the picture's edge."""
    left, top, width, height = bbox
    return left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5
