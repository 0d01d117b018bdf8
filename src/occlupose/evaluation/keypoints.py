"""Predicts 2D keypoints in images: in ground-truth boxes, in a detector's boxes, or with a front end's own detector."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Crop, invert, radius, transform_points
from occlupose.datasets.annotations import Annotations, GroundTruth, ImageInfo
from occlupose.datasets.formats.coco_results import DetectedBoxes
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.frontends import Frontend
from occlupose.frontends.crops import CropNetwork
from occlupose.media import Frame
from occlupose.metrics.oks import KeypointResult
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
    unreadable: Callable[[str], None] = lambda reason: None,
) -> Iterator[tuple[ImageBoxes, list[KeypointResult]]]:
    """The images with the keypoints of a network in each box. People of several images go through it together.

    Arguments:
        skeleton: of the ground truth. Joints that the network does not have are placed at the box centre with a score
            of 0.
        unreadable: called with the reason for each image that cannot be read, which is left out.
    """
    parts = (images[first : first + IMAGES_PER_STEP] for first in range(0, len(images), IMAGES_PER_STEP))
    tasks = (partial(_crop_people, part, network.crop, unreadable) for part in parts)
    for readable, matrices, crops in compute_ahead("images", tasks):
        if len(crops):
            xy, score = network(crops)
            results = _results(readable, network, transform_points(invert(matrices), xy), score, skeleton)
            yield from ((image, list(islice(results, len(image.boxes)))) for image in readable)


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


def all_results(predictions: Iterable[tuple[object, list[KeypointResult]]]) -> list[KeypointResult]:
    """The keypoints of all images, without the images."""
    return [result for _, results in predictions for result in results]


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
    images: Iterable[ImageInfo],
    folder: Path,
    frontend: Frontend,
    skeleton: Skeleton,
    *,
    unreadable: Callable[[str], None] = lambda reason: None,
) -> Iterator[tuple[ImageInfo, list[KeypointResult]]]:
    """The images with the keypoints that a front end finds with its own detector, in each image independently.

    Arguments:
        folder: of the images.
        skeleton: of the ground truth.
        unreadable: called with the reason for each image that is missing or cannot be read, which is left out.
    """
    index = ImageIndex(folder)
    for number, annotated in enumerate(images):
        image = index.find(annotated.name)
        if image is None:
            unreadable(f"{annotated.name}: not in {folder}")
            continue
        try:
            frame = Frame(number, 0.0, image.read(annotated.size))
        except OccluposeError as error:
            unreadable(str(error))
            continue
        frontend.reset()
        people = frontend(frame)
        centre = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
        xy, score = convert_keypoints(people.xy, people.score, frontend.skeleton, skeleton, centre)
        rows = zip(xy, score, people.box_score.tolist(), strict=True)
        yield annotated, [KeypointResult(annotated.id, *row) for row in rows]
