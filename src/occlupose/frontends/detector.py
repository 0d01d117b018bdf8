"""BlazePose's person detector, on as many views of a picture as it takes to find small people."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from occlupose.frontends.regions import Pyramid, Regions, apply, inverse, similarity, suppress, window
from occlupose.frontends.tflite import Network

SIZE = 224  # px, side of the network's input
STRIDES = ((8, 2), (16, 2), (32, 6))  # px between anchors, anchors at each place

View = tuple[float, float, float]  # left, top, side of a square of the image, px, pixel edges


def anchors() -> Float[np.ndarray, "2254 2"]:
    """Centres of the network's anchors, in its input's pixels, pixel edges. All have one fixed size."""
    centres = []
    for stride, count in STRIDES:
        y, x = np.mgrid[stride // 2 : SIZE : stride, stride // 2 : SIZE : stride]
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres).astype(np.float32)


def decode(regressors: Float[np.ndarray, "anchor 12"], centres: Float[np.ndarray, "anchor 2"]) -> Float[np.ndarray, "anchor 4 2"]:
    """The four key points (hip centre, top of the body's circle, shoulder centre, top of the upper body's circle), input px, pixel edges.

    The first four regressors are a box of one constant size; it says nothing the key points do not.
    """
    return regressors[:, 4:].reshape(-1, 4, 2) + centres[:, None]


def whole(width: int, height: int) -> View:
    """The square that holds the whole image, centred."""
    side = max(width, height)
    return ((width - side) / 2, (height - side) / 2, side)


def tiles(width: int, height: int, *, share: float = 0.5, overlap: float = 0.35) -> list[View]:
    """Overlapping squares that cover the image, each `share` of the long side of it, row by row."""
    side = max(share * max(width, height), 1.0)
    return [(left, top, side) for top in _starts(height, side, overlap) for left in _starts(width, side, overlap)]


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
    """

    def __init__(self, weights: Path, *, threads: int = 2, threshold: float = 0.5) -> None:
        self.network = Network(weights, threads=threads)
        self.threshold = threshold
        self._anchors = anchors()

    def __call__(self, picture: Pyramid, views: list[View]) -> tuple[Regions, Float[np.ndarray, " person"]]:
        """The people in these views, each once, and their scores; regions in full-image pixels."""
        found = [self._look(picture, view) for view in views]
        regions = np.concatenate([np.zeros((0, 4)), *(part[0] for part in found)])
        scores = np.concatenate([np.zeros(0), *(part[1] for part in found)])
        kept = suppress(similarity(regions, regions), scores, 0.3)
        return regions[kept], scores[kept]

    def _look(self, picture: Pyramid, view: View) -> tuple[Regions, Float[np.ndarray, " person"]]:
        matrix = window(*view, SIZE)
        pixels = picture.cut(matrix, SIZE, SIZE).astype(np.float32) / 127.5 - 1
        regressors, logits = self.network(pixels)
        score = 1 / (1 + np.exp(-logits[:, 0].clip(-80, 80)))
        likely = np.flatnonzero(score > self.threshold)
        points = decode(regressors[likely], self._anchors[likely])
        likely_score = score[likely]
        inside = ((points[:, [0, 2]] > 0) & (points[:, [0, 2]] < SIZE)).all((1, 2))  # of a person cut by the view's edge hips or shoulders may be a guess
        points = apply(inverse(matrix), points[inside].astype(np.float64) - 0.5)
        return points[:, :2].reshape(-1, 4), likely_score[inside]
