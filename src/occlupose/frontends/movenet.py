"""MoveNet: Thunder for crops of one person, MultiPose for whole images."""

import numpy as np
from jaxtyping import UInt8

from occlupose.codecs.crops import HALF_PIXEL, Crop
from occlupose.codecs.letterbox import fit
from occlupose.detections import Detections
from occlupose.frontends.crops import Keypoints, KeypointsAndPeaks
from occlupose.media import Frame
from occlupose.networks import pretrained
from occlupose.networks.movenet import PEAKS
from occlupose.skeletons import COCO17

SIDE = 256  # px, side of Thunder's input
BATCH = 4  # people at once; more are no faster and take more memory
LONG_SIDE = 416  # px, of MultiPose's input
STEP = 32  # px; its sides are multiples of this
MIN_SCORE = 0.1  # confidence of a person, 0..1; less is nobody


class MoveNetThunder:
    """MoveNet Thunder, as a `CropNetwork`: square crops of 1.25 x the person's box.

    Arguments:
        threads: processor threads.
        device: torch device, or cpu.
    """

    crop = Crop(SIDE, SIDE, shift=HALF_PIXEL)
    skeleton = COCO17
    min_joint_confidence = 0.2  # benchmarks/reliability.py

    def __init__(self, *, threads: int = 2, device: str = "cpu") -> None:
        self._network = pretrained.load("movenet_thunder", threads=threads, device=device)

    def __call__(self, crops: UInt8[np.ndarray, "person 256 256 3"]) -> Keypoints:
        """Keypoints in any number of RGB crops."""
        xy, score, _ = self.with_peaks(crops)
        return xy, score

    def with_peaks(self, crops: UInt8[np.ndarray, "person 256 256 3"]) -> KeypointsAndPeaks:
        """Keypoints in any number of RGB crops, and the peaks of everybody's."""
        xy = np.zeros((len(crops), len(COCO17), 2))
        score = np.zeros((len(crops), len(COCO17)))
        peaks = np.zeros((len(crops), len(COCO17), PEAKS, 3))
        for start in range(0, len(crops), BATCH):
            people = slice(start, start + BATCH)
            outputs = self._network(crops[people])
            xy[people] = outputs[0] - 0.5
            score[people] = outputs[1]
            peaks[people, ..., :2] = outputs[2] - 0.5
            peaks[people, ..., 2] = outputs[3]
        return xy, score, peaks


class MoveNetMultiPose:
    """MoveNet MultiPose as a front end: up to six people, with their keypoints, in one pass over the whole image.

    Arguments:
        threads: processor threads.
        device: torch device, or cpu.

    Attributes:
        best_rejected: highest confidence of a rejected person since `reset`.
    """

    name = "movenet-multipose"
    skeleton = COCO17
    min_joint_confidence = 0.1  # benchmarks/reliability.py

    def __init__(self, *, threads: int = 2, device: str = "cpu") -> None:
        self._network = pretrained.load("movenet_multipose", threads=threads, device=device)
        self.reset()

    def reset(self) -> None:
        """Frames are independent."""
        self.best_rejected = 0.0

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame."""
        size = np.array(frame.pyramid.size)
        sides = np.array(fit(*frame.pyramid.size, LONG_SIDE))
        ratio = sides / size
        padded = sides + -sides % STEP
        matrix = np.concatenate([np.diag(ratio), (ratio - 1)[:, None] / 2], 1)
        image = frame.pyramid.crop(matrix, *padded.tolist())
        outputs = self._network(image[None])
        xy = outputs[0][0]
        score = outputs[1][0]
        boxes = outputs[2][0]
        person = outputs[3][0]
        likely = person > MIN_SCORE
        self.best_rejected = max(self.best_rejected, person[~likely].max(initial=0))
        return Detections(
            skeleton=self.skeleton,
            xy=(xy[likely] / ratio).astype(np.float32),  # it learnt COCO's joints as measured from the edge
            score=score[likely].astype(np.float32),
            boxes=(boxes[likely] / np.tile(ratio, 2) - 0.5).astype(np.float32),
            box_score=person[likely].astype(np.float32),
        )
