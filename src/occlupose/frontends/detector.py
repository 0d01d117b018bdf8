"""BlazePose's person detector, on as many views of a picture as it takes to find small people."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Regions, invert, radius, transform_points
from occlupose.frontends.regions import similarity, suppress
from occlupose.frontends.tflite import Network
from occlupose.pyramid import Pyramid, square_crop_matrix

SIZE = 224  # px, side of the network's input
# of the four key points
HIPS_AND_TOP = [0, 1]
HIPS_AND_SHOULDERS = [0, 2]
SAME = 0.3  # more similar regions are one person
STRIDES = ((8, 2), (16, 2), (32, 6))  # px between anchors, anchors at each place

View = tuple[float, float, float]  # left, top, side of a square of the image, px, pixel edges


def anchors() -> Float[np.ndarray, "2254 2"]:
    """Centres of the network's anchors, in its input's pixels, pixel edges. All have one fixed size."""
    centres = []
    for stride, count in STRIDES:
        y, x = np.mgrid[stride // 2 : SIZE : stride, stride // 2 : SIZE : stride]
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres).astype(np.float32)


def decode(
    regressors: Float[np.ndarray, "anchor 12"], centres: Float[np.ndarray, "anchor 2"]
) -> Float[np.ndarray, "anchor 4 2"]:
    """The four key points (hip centre, top of the body's circle, shoulder centre, top of the upper body's circle),
    input px, pixel edges.

    The first four regressors are a box of one constant size; it says nothing the key points do not.
    """
    return regressors[:, 4:].reshape(-1, 4, 2) + centres[:, None]


def whole(width: int, height: int) -> View:
    """The square that holds the whole image, centred."""
    side = max(width, height)
    return ((width - side) / 2, (height - side) / 2, side)


def tiles(width: int, height: int, *, share: float = 0.5, overlap: float = 0.5) -> list[View]:
    """Overlapping squares that cover the image, each `share` of the long side of it, row by row."""
    side = max(share * max(width, height), 1.0)
    return [(left, top, side) for top in _starts(height, side, overlap) for left in _starts(width, side, overlap)]


def around(region: Float[np.ndarray, " 4"]) -> View:
    """The square that shows a region and as much again round it."""
    side = 4 * max(float(radius(region)), 8.0)
    return (float(region[0]) - side / 2, float(region[1]) - side / 2, side)


def _starts(length: int, side: float, overlap: float) -> list[float]:
    if side >= length:
        return [(length - side) / 2]
    count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1
    return [float(start) for start in np.linspace(0, length - side, count)]


class Detector:
    """Finds people in views of a picture.

    Arguments:
        weights: pose_detection.tflite.
        threads: of the processor.
        threshold: least score of a detection, 0..1.
        threshold_beside: the same in views where people are painted over; what shows of them there looks like people
            too.
    """

    def __init__(
        self, weights: Path, *, threads: int = 2, threshold: float = 0.5, threshold_beside: float = 0.7
    ) -> None:
        self.network = Network(weights, threads=threads, divisor=127.5, offset=-1)
        self.threshold = threshold
        self.threshold_beside = threshold_beside
        self._anchors = anchors()

    def __call__(
        self, picture: Pyramid, views: list[View], *, hide: Float[np.ndarray, "person stroke 2 2"] | None = None
    ) -> Regions:
        """The people in these views, each once, the surest first; in full-image pixels.

        Arguments:
            hide: people to paint over, so that the network finds those beside and behind them: thick strokes along
                their limbs, px.
        """
        looks = [self._look(picture, view, hide) for view in views]
        regions = np.concatenate([np.zeros((0, 4)), *(regions for regions, _ in looks)])
        scores = np.concatenate([np.zeros(0), *(scores for _, scores in looks)])
        return regions[suppress(similarity(regions[:, None], regions), scores, SAME)]

    def _look(
        self, picture: Pyramid, view: View, hide: Float[np.ndarray, "person stroke 2 2"] | None
    ) -> tuple[Regions, Float[np.ndarray, " person"]]:
        matrix = square_crop_matrix(*view, SIZE)
        pixels = picture.crop(matrix, SIZE, SIZE)
        for strokes in () if hide is None else hide:
            _paint(pixels, transform_points(matrix, strokes))
        regressors, logits = self.network(pixels)
        score = 1 / (1 + np.exp(-logits[:, 0].clip(-80, 80)))
        likely = np.flatnonzero(score > (self.threshold if hide is None else self.threshold_beside))
        points = decode(regressors[likely], self._anchors[likely])
        within = ((points[:, HIPS_AND_SHOULDERS] > 0) & (points[:, HIPS_AND_SHOULDERS] < SIZE)).all((1, 2))
        regions = transform_points(invert(matrix), points[:, HIPS_AND_TOP] - 0.5).reshape(-1, 4)
        # else the rest of the body is a guess
        fits = within & ((2 * radius(regions) <= view[2]) | (view[2] >= max(picture.size)))
        return regions[fits], score[likely[fits]]


def _paint(pixels: UInt8[np.ndarray, "height width 3"], strokes: Float[np.ndarray, "stroke 2 2"]) -> None:
    """Paint a person over with the picture's mean colour, in place. The strokes are a third as wide as the longest is
    long.
    """
    width = max(int(np.linalg.norm(strokes[:, 1] - strokes[:, 0], axis=-1).max() / 3), 1)
    cv2.polylines(
        pixels,
        list(strokes.round().astype(np.int32)),
        isClosed=False,
        color=pixels.mean((0, 1)).tolist(),
        thickness=width,
    )
