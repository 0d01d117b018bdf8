"""BlazePose's person detector, on several tiles of an image to find small people."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Regions, invert, radius, similarity, transform_points
from occlupose.detections import suppress_similar
from occlupose.frontends.search import Tile
from occlupose.frontends.tflite import TFLiteNetwork
from occlupose.pyramid import Pyramid, square_crop_matrix

SIZE = 224  # px, side of the network's input
# of the four keypoints
HIPS_AND_TOP = [0, 1]
HIPS_AND_SHOULDERS = [0, 2]
DUPLICATE_SIMILARITY = 0.3  # more similar regions are one person
STRIDES = ((8, 2), (16, 2), (32, 6))  # px between anchors, anchors at each position


def make_anchors() -> Float[np.ndarray, "2254 2"]:
    """Centres of the network's anchors, in its input's pixels, pixel edges. All have one fixed size."""
    centres = []
    for stride, count in STRIDES:
        y, x = np.mgrid[stride // 2 : SIZE : stride, stride // 2 : SIZE : stride]
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres).astype(np.float32)


def decode_regions(
    regressors: Float[np.ndarray, "anchor 12"], centres: Float[np.ndarray, "anchor 2"]
) -> Float[np.ndarray, "anchor 4 2"]:
    """The four keypoints (hip centre, top of the body's circle, shoulder centre, top of the upper body's circle), input
    px, pixel edges.

    The first four regressors are a box of constant size, which adds nothing to the keypoints.
    """
    return regressors[:, 4:].reshape(-1, 4, 2) + centres[:, None]


class BlazePoseDetector:
    """Detects people in tiles of an image.

    Arguments:
        weights: pose_detection.tflite.
        threads: processor threads.
        threshold: least score of a detection, 0..1.
        threshold_masked: the same in tiles with known people masked, since what remains of them looks like people too.
    """

    def __init__(
        self, weights: Path, *, threads: int = 2, threshold: float = 0.5, threshold_masked: float = 0.7
    ) -> None:
        self._anchors = make_anchors()
        count = len(self._anchors)
        outputs = {"regressors": (count, 12), "logits": (count, 1)}
        self.network = TFLiteNetwork(weights, size=SIZE, outputs=outputs, threads=threads, divisor=127.5, offset=-1)
        self.threshold = threshold
        self.threshold_masked = threshold_masked

    def __call__(
        self, image: Pyramid, tiles: list[Tile], *, mask: Float[np.ndarray, "person line 2 2"] | None = None
    ) -> Regions:
        """People in these tiles, each once, by descending score; regions in full-image pixels.

        Arguments:
            mask: known people to paint over, to find people next to and behind them: lines along their limbs, px.
        """
        found = [self._detect(image, tile, mask) for tile in tiles]
        regions = np.concatenate([np.zeros((0, 4)), *(regions for regions, _ in found)])
        scores = np.concatenate([np.zeros(0), *(scores for _, scores in found)])
        return regions[suppress_similar(similarity(regions[:, None], regions), scores, DUPLICATE_SIMILARITY)]

    def _detect(
        self, image: Pyramid, tile: Tile, mask: Float[np.ndarray, "person line 2 2"] | None
    ) -> tuple[Regions, Float[np.ndarray, " person"]]:
        matrix = square_crop_matrix(*tile, SIZE)
        pixels = image.crop(matrix, SIZE, SIZE)
        for lines in () if mask is None else mask:
            _paint(pixels, transform_points(matrix, lines))
        outputs = self.network(pixels)
        score = 1 / (1 + np.exp(-outputs["logits"][:, 0].clip(-80, 80)))
        likely = np.flatnonzero(score > (self.threshold if mask is None else self.threshold_masked))
        points = decode_regions(outputs["regressors"][likely], self._anchors[likely])
        within = ((points[:, HIPS_AND_SHOULDERS] > 0) & (points[:, HIPS_AND_SHOULDERS] < SIZE)).all((1, 2))
        regions = transform_points(invert(matrix), points[:, HIPS_AND_TOP] - 0.5).reshape(-1, 4)
        # otherwise most of the body is outside the tile
        fits = within & ((2 * radius(regions) <= tile[2]) | (tile[2] >= max(image.size)))
        return regions[fits], score[likely[fits]]


def _paint(pixels: UInt8[np.ndarray, "height width 3"], lines: Float[np.ndarray, "line 2 2"]) -> None:
    """Paint over a person with the mean colour, in place. The lines are a third as wide as the longest is long."""
    width = max(int(np.linalg.norm(lines[:, 1] - lines[:, 0], axis=-1).max() / 3), 1)
    points = list(lines.round().astype(np.int32))
    cv2.polylines(pixels, points, isClosed=False, color=pixels.mean((0, 1)).tolist(), thickness=width)
