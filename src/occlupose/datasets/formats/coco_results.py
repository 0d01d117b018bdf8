"""Boxes from a detector in COCO's results format: a JSON list of `image_id`, `category_id`, `bbox` and `score`.

Boxes (left, top, width, height) count from the edge of the image, as in annotations (`coco`).
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter

from occlupose.datasets.annotations import GroundTruth
from occlupose.datasets.formats.coco import EMPTY_BOX, box_edges
from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError

PERSON = 1
"""The category of people in COCO's results format."""

OTHER_IMAGES = "boxes of images that the annotations do not have, left out"

_HINT = "give detections in COCO's results format: a list of image_id, category_id, bbox and score"


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


def load_boxes(path: Path, *, category: int = PERSON, keep_empty: bool = False) -> list[DetectedBox]:
    """The boxes of people in a detector's results, in the file's order.

    Arguments:
        category: `category_id` of people; others are left out.
        keep_empty: keep boxes without width or height, which otherwise are an error.

    Raises:
        OccluposeError: the file cannot be read, is not of this format, or has no people.
    """
    results = read_json(path, TypeAdapter(list[_Result]), _HINT)
    people = [
        DetectedBox(result.image_id, box_edges(result.bbox), result.score)
        for result in results
        if result.category_id == category
    ]
    if not people:
        raise OccluposeError(f"{path}: no person in it (category_id {category}); {_HINT}")
    empty = next((box for box in people if _is_empty(box)), None)
    if empty is not None and not keep_empty:
        raise OccluposeError(f"{path}: a box of image {empty.image_id} has no width or height; {_HINT}")
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


_Pixels = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
_Box = tuple[_Pixels, _Pixels, _Pixels, _Pixels]


class _Result(BaseModel):
    image_id: int | str
    category_id: int
    bbox: _Box
    score: Annotated[float, Field(ge=0, le=1)]
