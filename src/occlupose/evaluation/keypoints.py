"""How well joints are found in pictures with a known truth, by the protocols of COCO, CrowdPose and OCHuman, and by
occlusion.

People are looked for in their true boxes, in those of a detector, or by a front end as it works on its own.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from rich.table import Table

from occlupose.codecs.crops import Crop, invert, radius, transform_points
from occlupose.datasets.coco import Annotations, DetectedBoxes, GroundTruth
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.frontends import Frontend
from occlupose.frontends.crops import CropNetwork
from occlupose.media import Frame
from occlupose.metrics.oks import Result, Scores
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton, convert
from occlupose.threads import compute_ahead

PICTURES = 16
"""Read together, so that their people can go through the network together."""


@dataclass(frozen=True, eq=False)
class Looks:
    """Where people are looked for in one picture.

    Attributes:
        image: id of the picture.
        boxes: left, top, right, bottom, px.
        score: of each box; 1 for a true one.
        size: (width, height) that the picture must have, px; None where the annotations do not say.
    """

    image: int
    picture: ImageRef
    boxes: Float[np.ndarray, "person 4"]
    score: Float[np.ndarray, "person"]
    size: tuple[int, int] | None = None


def in_true_boxes(data: Annotations) -> list[Looks]:
    """Everybody who is annotated, in their own box."""
    people = defaultdict(list)
    for person in data.people:
        assert person.image_id is not None
        people[person.image_id].append(person)
    return [
        Looks(image, some[0].image, np.stack([one.box for one in some]), np.ones(len(some)), some[0].size)
        for image, some in people.items()
    ]


def in_detections(
    truth: GroundTruth, detected: DetectedBoxes, images: Path, *, least: float = 0.0
) -> tuple[list[Looks], list[str]]:
    """Everybody whom a detector found in the pictures of a truth, and the names of pictures that are not there.

    Arguments:
        images: where the pictures are.
        least: score below which a box is left out.
    """
    shelf = ImageIndex(images)
    looks = []
    missing = []
    for image, boxes in detected.boxes.items():
        name = truth.images[image].name
        picture = shelf.find(name)
        believed = [box for box in boxes if box.score >= least]
        if picture is None:
            missing.append(name)
        elif believed:
            edges = np.array([box.box for box in believed])
            scores = np.array([box.score for box in believed])
            looks.append(Looks(image, picture, edges, scores, truth.images[image].size))
    return looks, missing


def predict(
    looks: Sequence[Looks],
    network: CropNetwork,
    skeleton: Skeleton,
    *,
    progress: Callable[[int], None] = lambda people: None,
    unreadable: Callable[[str], None] = lambda reason: None,
) -> list[Result]:
    """What a network says of everybody who is looked for. People of several pictures go through it together.

    Arguments:
        skeleton: of the truth. Joints that the network does not have are put in the middle of the box, with a score of
            0.
        progress: called with the number of people after each batch.
        unreadable: called with the reason for each picture that cannot be read; its people are not found.
    """
    results: list[Result] = []
    parts = (looks[first : first + PICTURES] for first in range(0, len(looks), PICTURES))
    tasks = (partial(_cut, some, network.crop, unreadable) for some in parts)
    for some, matrices, crops in compute_ahead("pictures", tasks):
        if len(crops):
            xy, score = network(crops)
            xy = transform_points(invert(matrices), xy)
            results += _results(some, network, xy, score, skeleton)
        progress(sum(len(each.boxes) for each in some))
    return results


def _cut(
    looks: Sequence[Looks], crop: Crop, unreadable: Callable[[str], None]
) -> tuple[list[Looks], Float[np.ndarray, "person 2 3"], UInt8[np.ndarray, "person height width 3"]]:
    """Those of the pictures that can be read, and the crops of all their people."""
    read = []
    matrices = [np.zeros((0, 2, 3))]
    crops = []
    for each in looks:
        try:
            pyramid = Pyramid(each.picture.read(each.size))
        except OccluposeError as error:
            unreadable(str(error))
            continue
        read.append(each)
        matrices.append(crop.matrices(crop.regions(each.boxes)))
        crops += [pyramid.crop(matrix, crop.width, crop.height) for matrix in matrices[-1]]
    return read, np.concatenate(matrices), np.array(crops, np.uint8).reshape(-1, crop.height, crop.width, 3)


def _results(
    looks: Sequence[Looks],
    network: CropNetwork,
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    skeleton: Skeleton,
) -> Iterator[Result]:
    boxes = np.concatenate([each.boxes for each in looks])
    images = [each.image for each in looks for _ in each.boxes]
    crop = network.crop
    height = 2 * radius(crop.regions(boxes)) * crop.padding
    areas = height**2 * crop.width / crop.height
    xy, score = joints_of(xy, score, network.skeleton, skeleton, (boxes[:, :2] + boxes[:, 2:]) / 2)
    belief = np.concatenate([each.score for each in looks])
    return (Result(*one) for one in zip(images, xy, score, belief.tolist(), areas.tolist(), strict=True))


def joints_of(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    source: Skeleton,
    target: Skeleton,
    middle: Float[np.ndarray, "person 2"],
) -> tuple[Float[np.ndarray, "person target 2"], Float[np.ndarray, "person target"]]:
    """A network's joints as those of another skeleton; those that it lacks in the middle, with a score of 0."""
    both = convert(np.concatenate([xy, score[..., None]], -1).astype(float), source, target)
    known = np.isfinite(both).all(-1)
    return np.where(known[..., None], both[..., :2], middle[:, None]), np.where(known, both[..., 2], 0.0)


def find(
    truth: GroundTruth,
    images: Path,
    frontend: Frontend,
    *,
    progress: Callable[[int], None] = lambda pictures: None,
    unreadable: Callable[[str], None] = lambda reason: None,
) -> list[Result]:
    """Whom a front end finds by itself in the pictures of a truth, each looked at as if there were no other.

    Arguments:
        images: where the pictures are.
        progress: called with 1 after each picture.
        unreadable: called with the reason for each picture that is not there or cannot be read.
    """
    shelf = ImageIndex(images)
    results = []
    for number, (image, about) in enumerate(truth.images.items()):
        progress(1)
        picture = shelf.find(about.name)
        if picture is None:
            unreadable(f"{about.name}: not in {images}")
            continue
        try:
            frame = Frame(number, 0.0, picture.read(about.size))
        except OccluposeError as error:
            unreadable(str(error))
            continue
        frontend.reset()
        people = frontend(frame)
        middle = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
        xy, score = joints_of(people.xy, people.score, frontend.skeleton, truth.skeleton, middle)
        results += [Result(image, *one) for one in zip(xy, score, people.box_score.tolist(), strict=True)]
    return results


def tables(scores: Sequence[Scores]) -> list[Table]:
    """Figures in percent for the terminal: by the protocol, and by occlusion; a dash is for nobody to find."""
    by = scores[0].protocol
    whole = Table(title=by.name)
    strata = Table("stratum", "people", title=f"{by.name}: by occlusion")
    for column in by.columns:
        whole.add_column(column, justify="right")
    shown = [column for column in ("AP", "AP50", "AP75", "AR") if column in by.columns]
    for column in shown:
        strata.add_column(column, justify="right")
    whole.add_row(*(_percent(scores[0][column]) for column in by.columns))
    for each in scores:
        strata.add_row(each.stratum, str(each.people), *(_percent(each[column]) for column in shown))
    return [whole, strata]


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def write_csv(scores: Sequence[Scores], path: Path, *, front_end: str, looked_in: str) -> None:
    """Writes figures, a row for each stratum; shares of 1, empty where there is nobody to find.

    Arguments:
        front_end, looked_in: who looked, and in whose boxes.

    Raises:
        OccluposeError: it could not be written.
    """
    columns = scores[0].protocol.columns
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "boxes", "front_end", "looked_in", "stratum", "people", "predictions", *columns])
        for each in scores:
            about = [
                each.protocol.dataset,
                each.protocol.boxes,
                front_end,
                looked_in,
                each.stratum,
                each.people,
                each.predictions,
            ]
            writer.writerow([*about, *("" if np.isnan(each[column]) else f"{each[column]:.6f}" for column in columns)])
