"""Evaluates 2D keypoints in images by the protocols of COCO, CrowdPose and OCHuman, and by occlusion.

Keypoints are predicted in ground-truth boxes, in a detector's boxes, or by a front end with its own detector.
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
from occlupose.datasets.formats.coco import Annotations, DetectedBoxes, GroundTruth
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.frontends import Frontend
from occlupose.frontends.crops import CropNetwork
from occlupose.media import Frame
from occlupose.metrics.oks import KeypointResult, OKSScores
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton, convert
from occlupose.threads import compute_ahead

IMAGES_PER_STEP = 16
"""Images that are read together, so that their people can go through the network together."""


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """The boxes of one image in which keypoints are predicted.

    Attributes:
        id: of the image in the annotations.
        image: where it is.
        boxes: left, top, right, bottom in pixels.
        score: of each box; 1 for ground truth.
        size: (width, height) that the image must have, pixels; None where the annotations do not say.
    """

    id: int
    image: ImageRef
    boxes: Float[np.ndarray, "person 4"]
    score: Float[np.ndarray, "person"]
    size: tuple[int, int] | None = None


def ground_truth_boxes(data: Annotations) -> list[ImageBoxes]:
    """The annotated boxes of all people."""
    by_image = defaultdict(list)
    for person in data.people:
        assert person.image_id is not None
        by_image[person.image_id].append(person)
    return [
        ImageBoxes(image, people[0].image, np.stack([one.box for one in people]), np.ones(len(people)), people[0].size)
        for image, people in by_image.items()
    ]


def detected_boxes(
    truth: GroundTruth, detected: DetectedBoxes, images: Path, *, min_score: float = 0.0
) -> tuple[list[ImageBoxes], list[str]]:
    """A detector's boxes in the annotated images, and the names of missing images.

    Arguments:
        images: folder of the images.
        min_score: boxes with a lower score are left out.
    """
    index = ImageIndex(images)
    result = []
    missing = []
    for number, boxes in detected.boxes.items():
        name = truth.images[number].name
        image = index.find(name)
        kept = [box for box in boxes if box.score >= min_score]
        if image is None:
            missing.append(name)
        elif kept:
            edges = np.array([box.box for box in kept])
            scores = np.array([box.score for box in kept])
            result.append(ImageBoxes(number, image, edges, scores, truth.images[number].size))
    return result, missing


def predict_in_boxes(
    images: Sequence[ImageBoxes],
    network: CropNetwork,
    skeleton: Skeleton,
    *,
    progress: Callable[[int], None] = lambda people: None,
    unreadable: Callable[[str], None] = lambda reason: None,
) -> list[KeypointResult]:
    """The keypoints of a network in each box. People of several images go through the network together.

    Arguments:
        skeleton: of the ground truth. Joints that the network does not have are placed at the box centre with a score
            of 0.
        progress: called with the number of people after each batch.
        unreadable: called with the reason for each image that cannot be read, whose people are not predicted.
    """
    results: list[KeypointResult] = []
    parts = (images[first : first + IMAGES_PER_STEP] for first in range(0, len(images), IMAGES_PER_STEP))
    tasks = (partial(_crop_people, part, network.crop, unreadable) for part in parts)
    for readable, matrices, crops in compute_ahead("images", tasks):
        if len(crops):
            xy, score = network(crops)
            xy = transform_points(invert(matrices), xy)
            results += _results(readable, network, xy, score, skeleton)
        progress(sum(len(each.boxes) for each in readable))
    return results


def _crop_people(
    images: Sequence[ImageBoxes], crop: Crop, unreadable: Callable[[str], None]
) -> tuple[list[ImageBoxes], Float[np.ndarray, "person 2 3"], UInt8[np.ndarray, "person height width 3"]]:
    """The images that can be read, and the crops of all their people."""
    readable = []
    matrices = [np.zeros((0, 2, 3))]
    crops = []
    for each in images:
        try:
            pyramid = Pyramid(each.image.read(each.size))
        except OccluposeError as error:
            unreadable(str(error))
            continue
        readable.append(each)
        matrices.append(crop.matrices(crop.regions(each.boxes)))
        crops += [pyramid.crop(matrix, crop.width, crop.height) for matrix in matrices[-1]]
    return readable, np.concatenate(matrices), np.array(crops, np.uint8).reshape(-1, crop.height, crop.width, 3)


def _results(
    images: Sequence[ImageBoxes],
    network: CropNetwork,
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    skeleton: Skeleton,
) -> Iterator[KeypointResult]:
    boxes = np.concatenate([each.boxes for each in images])
    ids = [each.id for each in images for _ in each.boxes]
    crop = network.crop
    height = 2 * radius(crop.regions(boxes)) * crop.padding
    areas = height**2 * crop.width / crop.height
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    xy, score = convert_keypoints(xy, score, network.skeleton, skeleton, centre)
    box_score = np.concatenate([each.score for each in images])
    return (KeypointResult(*one) for one in zip(ids, xy, score, box_score.tolist(), areas.tolist(), strict=True))


def convert_keypoints(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    source: Skeleton,
    target: Skeleton,
    centre: Float[np.ndarray, "person 2"],
) -> tuple[Float[np.ndarray, "person target 2"], Float[np.ndarray, "person target"]]:
    """Keypoints of one skeleton as those of another; missing ones are at the centre with a score of 0."""
    both = convert(np.concatenate([xy, score[..., None]], -1).astype(float), source, target)
    known = np.isfinite(both).all(-1)
    return np.where(known[..., None], both[..., :2], centre[:, None]), np.where(known, both[..., 2], 0.0)


def predict_in_images(
    truth: GroundTruth,
    images: Path,
    frontend: Frontend,
    *,
    progress: Callable[[int], None] = lambda images: None,
    unreadable: Callable[[str], None] = lambda reason: None,
) -> list[KeypointResult]:
    """The keypoints that a front end finds with its own detector, in each image independently.

    Arguments:
        images: folder of the images.
        progress: called with 1 after each image.
        unreadable: called with the reason for each image that is missing or cannot be read.
    """
    index = ImageIndex(images)
    results = []
    for number, (image_id, annotated) in enumerate(truth.images.items()):
        progress(1)
        image = index.find(annotated.name)
        if image is None:
            unreadable(f"{annotated.name}: not in {images}")
            continue
        try:
            frame = Frame(number, 0.0, image.read(annotated.size))
        except OccluposeError as error:
            unreadable(str(error))
            continue
        frontend.reset()
        people = frontend(frame)
        centre = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
        xy, score = convert_keypoints(people.xy, people.score, frontend.skeleton, truth.skeleton, centre)
        results += [KeypointResult(image_id, *one) for one in zip(xy, score, people.box_score.tolist(), strict=True)]
    return results


def tables(scores: Sequence[OKSScores]) -> list[Table]:
    """Metrics in percent for the terminal: by the protocol, and by occlusion; a dash where there are no people."""
    protocol = scores[0].protocol
    overall = Table(title=protocol.name)
    by_occlusion = Table("stratum", "people", title=f"{protocol.name}: by occlusion")
    for column in protocol.columns:
        overall.add_column(column, justify="right")
    shown = [column for column in ("AP", "AP50", "AP75", "AR") if column in protocol.columns]
    for column in shown:
        by_occlusion.add_column(column, justify="right")
    overall.add_row(*(_percent(scores[0][column]) for column in protocol.columns))
    for each in scores:
        by_occlusion.add_row(each.stratum, str(each.people), *(_percent(each[column]) for column in shown))
    return [overall, by_occlusion]


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def write_csv(scores: Sequence[OKSScores], path: Path, *, frontend: str, box_source: str) -> None:
    """Writes metrics from 0 to 1, a row for each stratum; empty where there are no people.

    Arguments:
        frontend: name of the front end or network.
        box_source: ground-truth, detector (the front end's own), or the name of the file of boxes or of a detector.

    Raises:
        OccluposeError: the file could not be written.
    """
    columns = scores[0].protocol.columns
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "boxes", "frontend", "box_source", "stratum", "people", "predictions", *columns])
        for each in scores:
            protocol = each.protocol
            context = [protocol.dataset, protocol.boxes, frontend, box_source]
            values = ["" if np.isnan(each[column]) else f"{each[column]:.6f}" for column in columns]
            writer.writerow([*context, each.stratum, each.people, each.predictions, *values])
