"""NanoDet-g as a person detector."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from occlupose.codecs.letterbox import fit
from occlupose.detections import NOBODY, FrameBoxes, overlap, suppress_similar
from occlupose.networks import pretrained
from occlupose.networks.nanodet import SIDE

STEP = 32  # px; the sides of the network's input are multiples of this
GREY = (124, 116, 104)  # of the padding: ImageNet's mean colour, 0 for the network
MIN_SCORE = 0.25
MAX_OVERLAP = 0.6  # intersection over union of two people (NanoDet's own)


class NanoDetector:
    """People by NanoDet-g, whose input is as large as its training images: people from about 30 px there.

    Arguments:
        threads: processor threads.
        device: torch device, or cpu.
        min_score: boxes with a lower score are left out.
    """

    side = SIDE

    def __init__(self, *, threads: int = 2, device: str = "cpu", min_score: float = MIN_SCORE) -> None:
        self._network = pretrained.load("nanodet_g", threads=threads, device=device)
        self._min_score = min_score

    def __call__(self, images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> list[FrameBoxes]:
        """The people in each of these RGB images, by descending score."""
        return [self._detect(image) for image in images]

    def _detect(self, image: UInt8[np.ndarray, "height width 3"]) -> FrameBoxes:
        height, width = image.shape[:2]
        sides = fit(width, height, SIDE)
        small = image
        if sides != (width, height):
            shrinks = max(width, height) > SIDE
            small = cv2.resize(image, sides, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        right = -sides[0] % STEP
        below = -sides[1] % STEP
        padded = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT, value=GREY)
        outputs = self._network(padded[None])
        score = outputs[1][0]
        likely = np.flatnonzero(score > self._min_score)
        if not len(likely):
            return NOBODY
        ratio = np.array([width, height] * 2) / np.array(sides * 2)
        boxes = (outputs[0][0][likely] + 0.5) * ratio - 0.5
        limits = np.array([width, height] * 2) - 0.5
        boxes = np.clip(boxes, -0.5, limits)
        kept = suppress_similar(overlap(boxes[:, None], boxes), score[likely], MAX_OVERLAP)
        return FrameBoxes(boxes[kept].astype(np.float64), score[likely][kept].astype(np.float64))
