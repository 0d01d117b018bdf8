"""Pseudo-labels of photographs: keypoints of COCO21 by MoveNet Thunder (body) and BlazePose (feet), for training.

Each person is seen in several views: crops of several sizes, as they are and mirrored. A joint on which the views
disagree is unknown. Photographs may be stretched to squares, as some archives distribute them; then the one of several
aspect ratios is chosen at which Thunder is most confident.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from threading import Lock, local

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.codecs.crops import Crop, Regions, invert, radius, transform_points, upright_regions
from occlupose.detections import overlap
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic
from occlupose.frontends.blazepose import MARGIN, SIZE, BlazePose
from occlupose.frontends.movenet import MoveNetThunder
from occlupose.media import RGB, read_image
from occlupose.methods.movenet.arrays import read_arrays
from occlupose.pyramid import Pyramid
from occlupose.skeletons import BLAZEPOSE33, COCO17, FEET4

ASPECTS = (4 / 3, 3 / 4)
"""Width over height of photographs; others are rare."""

SCALES = (0.85, 1.0, 1.2)
"""Sides of the crops of a person, relative to the network's usual one."""

AGREEMENT = 0.05
"""Largest mean distance of the views of a joint from their mean, in sides of the person's box."""

CONFIDENT = 0.35
"""Least mean confidence of a joint that is taken to be visible, 0..1."""

MIN_JOINTS = 4
"""Least number of confident joints of a person."""

OWN = 0.7
"""Least share of them in the person's box."""

BORDER = 0.05
"""Margin around the box, in its sides."""

SAME = 0.03
"""Distance below which a joint of two people is one, in sides of the smaller box."""


NUMBERS = 5
"""Of a line of a file of boxes."""

BOX_CURE = "each line needs five numbers: class, and centre x and y, width and height from 0 to 1"

HIPS = COCO17.index("left_hip", "right_hip")
FEET = BLAZEPOSE33.index(*(joint.replace("big_toe", "foot_index") for joint in FEET4.joints))
ANKLES = BLAZEPOSE33.index(*(f"{joint.split('_')[0]}_ankle" for joint in FEET4.joints))
OWN_ANKLES = COCO17.index(*(f"{joint.split('_')[0]}_ankle" for joint in FEET4.joints))
"""The landmarks of FEET4 and the ankle of each, in BlazePose and in COCO."""


@dataclass(frozen=True, eq=False)
class PhotographLabels:
    """The people of photographs.

    Attributes:
        names: file of each photograph.
        aspect: width over height of each.
        image: number of each person's photograph.
        box: left, top, right, bottom of each person; coordinates are px of a photograph of its stored height, and as
            wide as its aspect ratio says.
        xy: keypoints.
        score: mean confidence; 0 where the views disagree.
    """

    names: np.ndarray
    aspect: Float[np.ndarray, " photograph"]
    image: np.ndarray
    box: Float[np.ndarray, "person 4"]
    xy: Float[np.ndarray, "person 21 2"]
    score: Float[np.ndarray, "person 21"]

    @classmethod
    def load(cls, path: Path) -> "PhotographLabels":
        """Reads a file of `save`.

        Raises:
            OccluposeError: it cannot be read, or holds no labels.
        """
        return cls(**read_arrays(path, [field.name for field in fields(cls)]))

    def of(self, chosen: Callable[[str], bool]) -> "PhotographLabels":
        """Some photographs, chosen by their names, and their people."""
        photographs = np.array([chosen(name) for name in self.names.tolist()], bool)
        people = photographs[self.image]
        return PhotographLabels(
            names=self.names[photographs],
            aspect=self.aspect[photographs],
            image=(np.cumsum(photographs) - 1)[self.image[people]],
            box=self.box[people],
            xy=self.xy[people],
            score=self.score[people],
        )

    def save(self, path: Path) -> None:
        """Writes a file for `load`.

        Raises:
            OccluposeError: it cannot be written.
        """
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})


def read_photograph(path: Path, aspect: float) -> RGB:
    """A photograph in its proportions, as high as it is stored.

    Raises:
        OccluposeError: it cannot be read.
    """
    image = read_image(path)
    return cv2.resize(image, (round(aspect * image.shape[0]), image.shape[0]), interpolation=cv2.INTER_LINEAR)


def read_boxes(path: Path) -> Float[np.ndarray, "person 4"]:
    """The boxes in a text file of YOLO's format, as fractions: left, top, right, bottom.

    Raises:
        OccluposeError: it cannot be read, or is of another format.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if any(len(line) != NUMBERS for line in lines):
            raise ValueError(f"a line has not {NUMBERS} numbers")
        values = np.array([[float(word) for word in line] for line in lines]).reshape(-1, NUMBERS)[:, 1:]
        if not ((values >= 0) & (values <= 1)).all() or not (values[:, 2:] > 0).all():
            raise ValueError("a box is not within the image, or empty")
    except (OSError, ValueError) as error:
        raise unreadable(path, error, BOX_CURE) from error
    return np.concatenate([values[:, :2] - values[:, 2:] / 2, values[:, :2] + values[:, 2:] / 2], 1)


class Teacher:
    """Thunder and BlazePose, seeing each person several times.

    Arguments:
        aspects: possible width over height of photographs that are stored as squares.
    """

    def __init__(self, aspects: Sequence[float] = ASPECTS) -> None:
        self.aspects = aspects
        self.body = MoveNetThunder(threads=1)
        self.feet = BlazePose(threads=1)

    def __call__(self, path: Path) -> PhotographLabels:
        """The people of one photograph, whose boxes are beside it in a .txt file.

        Raises:
            OccluposeError: a file cannot be read.
        """
        boxes = read_boxes(path.with_suffix(".txt"))
        height, width = read_image(path).shape[:2]
        aspects = self.aspects if width == height else (width / height,)
        views = [self._at(path, aspect) for aspect in aspects]
        aspect, pyramid, sides = views[0]
        if len(views) > 1 and len(boxes):
            aspect, pyramid, sides = max(views, key=lambda view: self._confidence(view[1], view[2], boxes))
        boxes = boxes * np.tile(sides, 2) - 0.5
        xy, score = self.label(pyramid, boxes)
        kept = find_own(xy[:, : len(COCO17)], score[:, : len(COCO17)] >= CONFIDENT, boxes)
        return PhotographLabels(
            names=np.array([path.name]),
            aspect=np.array([aspect]),
            image=np.zeros(int(kept.sum()), int),
            box=boxes[kept].astype(np.float32),
            xy=xy[kept].astype(np.float32),
            score=score[kept].astype(np.float32),
        )

    def _at(self, path: Path, aspect: float) -> tuple[float, Pyramid, np.ndarray]:
        pyramid = Pyramid(read_photograph(path, aspect))
        return aspect, pyramid, np.array(pyramid.size)

    def _confidence(self, pyramid: Pyramid, sides: np.ndarray, boxes: Float[np.ndarray, "person 4"]) -> float:
        """Thunder's mean confidence of the largest person of an image."""
        largest = boxes[[np.ptp(boxes.reshape(-1, 2, 2), axis=1).prod(1).argmax()]] * np.tile(sides, 2) - 0.5
        views = [self._view(pyramid, self.body.crop.regions(largest), 1.0, mirrored) for mirrored in (False, True)]
        return float(np.mean([score for _, score in views]))

    def label(
        self, image: Pyramid, boxes: Float[np.ndarray, "person 4"]
    ) -> tuple[Float[np.ndarray, "person 21 2"], Float[np.ndarray, "person 21"]]:
        """Keypoints of people in boxes, and their confidence, 0 where the views disagree."""
        regions = self.body.crop.regions(boxes)
        views = [self._view(image, regions, scale, mirrored) for scale in SCALES for mirrored in (False, True)]
        body, score = agree(views, radius(regions))
        feet, feet_score = agree(
            [self._feet(image, body, score, mirrored) for mirrored in (False, True)], radius(regions)
        )
        return np.concatenate([body, feet], 1), np.concatenate([score, feet_score], 1)

    def _view(
        self, image: Pyramid, regions: Regions, scale: float, mirrored: bool
    ) -> tuple[Float[np.ndarray, "person 17 2"], Float[np.ndarray, "person 17"]]:
        """Thunder's keypoints in one view."""
        matrices = self.body.crop.matrices(upright_regions(regions[:, :2], scale * radius(regions)))
        xy, score = self.body(_crops(image, matrices, self.body.crop, mirrored))
        if mirrored:
            xy, score = _mirror(xy, score, self.body.crop.width, COCO17.mirror)
        shift = self.body.crop.shift * np.array([-1 if mirrored else 1, 1])  # it is one in the crop's axes
        return transform_points(invert(matrices), xy) + shift, score

    def _feet(
        self,
        image: Pyramid,
        body: Float[np.ndarray, "person 17 2"],
        score: Float[np.ndarray, "person 17"],
        mirrored: bool,
    ) -> tuple[Float[np.ndarray, "person 4 2"], Float[np.ndarray, "person 4"]]:
        """BlazePose's keypoints of the feet, with a confidence of 0 where its ankle is not where Thunder's is."""
        xy = np.zeros((len(body), len(FEET4), 2))
        confidence = np.zeros((len(body), len(FEET4)))
        crop = Crop(SIZE, SIZE, padding=MARGIN)
        for person in np.flatnonzero((score[:, OWN_ANKLES] >= CONFIDENT).any(1)).tolist():
            hips = body[person, HIPS].mean(0)
            far = np.linalg.norm(body[person][score[person] > 0] - hips, axis=1).max(initial=1.0)
            matrix = crop.matrices(upright_regions(hips[None], np.array([1.1 * far])))
            points, sure, presence = self.feet.find_landmarks(list(_crops(image, matrix, crop, mirrored)))
            points = points[:, : len(BLAZEPOSE33)]
            sure = sure[:, : len(BLAZEPOSE33)] * presence
            if mirrored:
                points, sure = _mirror(points, sure, SIZE, BLAZEPOSE33.mirror)
            points = transform_points(invert(matrix), points)[0]
            apart = np.linalg.norm(points[ANKLES] - body[person, OWN_ANKLES], axis=1)
            agrees = (apart < 2 * AGREEMENT * far) & (score[person, OWN_ANKLES] >= CONFIDENT)
            xy[person] = points[FEET]
            confidence[person] = sure[0, FEET] * agrees
        return xy, confidence


def agree(
    views: Sequence[tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]],
    radii: Float[np.ndarray, " person"],
) -> tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]:
    """The mean of several views of the same joints, and its confidence, 0 where they disagree.

    Arguments:
        radii: half of the side of each person's box, px.
    """
    xy = np.stack([view[0] for view in views])
    score = np.stack([view[1] for view in views])
    weight = np.maximum(score, 1e-6)[..., None]
    mean = (weight * xy).sum(0) / weight.sum(0)
    apart = np.linalg.norm(xy - mean, axis=-1).mean(0)
    return mean, score.mean(0) * (apart <= 2 * AGREEMENT * radii[:, None])


def find_own(
    xy: Float[np.ndarray, "person joint 2"],
    confident: Bool[np.ndarray, "person joint"],
    boxes: Float[np.ndarray, "person 4"],
) -> Bool[np.ndarray, " person"]:
    """Which people have joints of their own, not those of somebody else in the crop: at least MIN_JOINTS confident
    ones, most of them in the person's box, and not those of another person whose box fits them better.

    Arguments:
        confident: which joints are.
        boxes: left, top, right, bottom, px.
    """
    low = boxes[:, None, :2]
    high = boxes[:, None, 2:]
    side = (high - low).max(-1)
    margin = BORDER * side[..., None]
    inside = ((xy > low - margin) & (xy < high + margin)).all(-1)
    count = confident.sum(1)
    kept = (count >= MIN_JOINTS) & ((inside & confident).sum(1) >= OWN * count)
    around = np.concatenate(
        [
            np.where(confident[..., None], xy, np.inf).min(1, initial=np.inf),
            np.where(confident[..., None], xy, -np.inf).max(1, initial=-np.inf),
        ],
        1,
    )
    fit = overlap(boxes, around)
    for one, other in combinations(np.flatnonzero(kept).tolist(), 2):
        both = confident[one] & confident[other]
        apart = np.linalg.norm(xy[one] - xy[other], axis=-1)
        same = both & (apart < SAME * min(side[one, 0], side[other, 0]))
        if 2 * same.sum() > min(count[one], count[other]):
            kept[one if fit[one] < fit[other] else other] = False
    return kept


def find_photographs(folder: Path) -> list[Path]:
    """The photographs NAME.jpg of a folder that have boxes in NAME.txt, by name.

    Raises:
        OccluposeError: there are none.
    """
    paths = sorted(path for path in folder.glob("*.jpg") if path.with_suffix(".txt").exists())
    if not paths:
        wrong = "no photograph NAME.jpg with boxes NAME.txt in it"
        raise OccluposeError(f"{folder}: {wrong}; give a folder that has some")
    return paths


def write_labels(
    photographs: Path, folder: Path, *, threads: int = 2, aspects: Sequence[float] = ASPECTS
) -> Iterator[Path]:
    """Writes the labels of each photograph, NAME.jpg with boxes in NAME.txt, those that are missing; yields the path of
    each, in the order of the names.

    Raises:
        OccluposeError: there is no photograph, a file cannot be read or written, or ai-edge-litert is not installed.
    """
    paths = find_photographs(photographs)
    own = local()  # a teacher for each thread
    making = Lock()

    def write(path: Path) -> Path:
        written = folder / f"{path.stem}.npz"
        if not written.exists():
            with making:  # it silences the process for a moment
                own.teacher = getattr(own, "teacher", None) or Teacher(aspects)
            own.teacher(path).save(written)
        return written

    with ThreadPoolExecutor(threads) as workers:
        yield from workers.map(write, paths)


def join(labels: Sequence[PhotographLabels]) -> PhotographLabels:
    """The labels of several sets of photographs as one."""
    starts = np.cumsum([0] + [len(part.names) for part in labels[:-1]])
    joined = {field.name: np.concatenate([getattr(part, field.name) for part in labels]) for field in fields(labels[0])}
    joined["image"] = np.concatenate([part.image + start for part, start in zip(labels, starts, strict=True)])
    return PhotographLabels(**joined)


def _crops(
    image: Pyramid, matrices: Float[np.ndarray, "person 2 3"], crop: Crop, mirrored: bool
) -> UInt8[np.ndarray, "person height width 3"]:
    crops = np.array([image.crop(matrix, crop.width, crop.height) for matrix in matrices], np.uint8)
    crops = crops.reshape(-1, crop.height, crop.width, 3)
    return np.ascontiguousarray(crops[:, :, ::-1]) if mirrored else crops


def _mirror(xy: np.ndarray, score: np.ndarray, width: int, mirror: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of a mirrored crop in the crop itself."""
    order = list(mirror)
    return (np.array([width - 1, 0]) + np.array([-1, 1]) * xy)[:, order], score[:, order]
