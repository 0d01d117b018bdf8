"""MoveNet: Thunder and its successor for hidden joints for crops of one person, MultiPose for whole images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import HALF_PIXEL, Crop
from occlupose.codecs.letterbox import fit
from occlupose.detections import Detections
from occlupose.frontends.crops import CropKeypoints, Keypoints
from occlupose.media import Frame
from occlupose.networks import pretrained
from occlupose.networks.movenet import PEAKS
from occlupose.skeletons import COCO17, COCO21

SIDE = 256  # px, side of Thunder's input
BATCH = 4  # people at once; more are no faster and take more memory
LONG_SIDE = 416  # px, of MultiPose's input
STEP = 32  # px; its sides are multiples of this
# where a keypoint is: at the most likely place, at the peak of its heatmap, and between both in between
VISIBILITY = (0.1, 0.5)  # probability that the joint is visible
APART = (16.0, 8.0)  # px between the two
THUNDER_OUTPUTS = ((17, 2), (17,), (17, PEAKS, 2), (17, PEAKS))
OCCLUSION_OUTPUTS = ((21, 2), (21,), (21,), (21, 2), (21, 3), (21, PEAKS, 2), (21, PEAKS))
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
        found = self.detail(crops)
        return found.xy, found.score

    def detail(self, crops: UInt8[np.ndarray, "person 256 256 3"]) -> CropKeypoints:
        """Keypoints in any number of RGB crops, and the peaks of everybody's."""
        xy, score, peaks, peak_score = run_in_batches(self._network, crops, THUNDER_OUTPUTS)
        return CropKeypoints.simple(xy - 0.5, score, join_peaks(peaks, peak_score))


class MoveNetOcclusion:
    """MoveNet trained further to tell and to place hidden joints, as a `CropNetwork`.

    Arguments:
        weights: as `occlupose train movenet` writes them; None: the shipped ones.
        threads: processor threads.
        device: torch device, or cpu.
    """

    crop = Crop(SIDE, SIDE)
    skeleton = COCO21
    min_joint_confidence = 0.4  # benchmarks/reliability.py

    def __init__(self, weights: Path | None = None, *, threads: int = 2, device: str = "cpu") -> None:
        self._network = pretrained.load("movenet_occlusion", weights, threads=threads, device=device)

    def __call__(self, crops: UInt8[np.ndarray, "person 256 256 3"]) -> Keypoints:
        """Keypoints in any number of RGB crops, and the probability that each is visible."""
        found = self.detail(crops)
        return found.xy, found.score

    def detail(self, crops: UInt8[np.ndarray, "person 256 256 3"]) -> CropKeypoints:
        """Keypoints in any number of RGB crops: near their peaks where visible, else at their most likely places."""
        outputs = run_in_batches(self._network, crops, OCCLUSION_OUTPUTS)
        xy, score, visible, place, covariance, peaks, peak_score = outputs
        share = peak_share(xy, visible, place)
        return CropKeypoints(
            xy=combine(share, xy, place) - 0.5,
            score=visible,
            peak_score=np.where(share > 0.5, score, 0),
            place=place - 0.5,
            spread=np.sqrt((covariance[..., 0] + covariance[..., 2]) / 2),
            peaks=join_peaks(peaks, peak_score),
        )


def peak_share(
    xy: Float[np.ndarray, "person joint 2"],
    visible: Float[np.ndarray, "person joint"],
    place: Float[np.ndarray, "person joint 2"],
) -> Float[np.ndarray, "person joint"]:
    """How far each keypoint is from the most likely place, 0, to the peak of its heatmap, 1: the farther the more
    probably the joint is visible and the nearer the two are. It is continuous, so that keypoints of video do not jump.
    Chosen on the people of the calibration (ours).
    """
    apart = np.linalg.norm(xy - place, axis=-1)
    return _ramp(visible, *VISIBILITY) * _ramp(apart, *APART)


def _ramp(x: Float[np.ndarray, "*any"], zero: float, one: float) -> Float[np.ndarray, "*any"]:
    return np.clip((x - zero) / (one - zero), 0, 1)


def combine(
    share: Float[np.ndarray, "person joint"],
    xy: Float[np.ndarray, "person joint 2"],
    place: Float[np.ndarray, "person joint 2"],
) -> Float[np.ndarray, "person joint 2"]:
    """Positions between the most likely places and the peaks."""
    return place + share[..., None] * (xy - place)


def run_in_batches(
    network: pretrained.Network, crops: UInt8[np.ndarray, "person 256 256 3"], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """The outputs of a network for any number of crops, in double precision.

    Arguments:
        shapes: of the outputs for one person.
    """
    rows = [network(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    nobody = [np.zeros((0, *shape)) for shape in shapes]
    return [np.concatenate(parts) for parts in zip(nobody, *rows, strict=True)]


def join_peaks(
    xy: Float[np.ndarray, "person joint peak 2"], score: Float[np.ndarray, "person joint peak"]
) -> Float[np.ndarray, "person joint peak 3"]:
    """Peaks in pixels from the centre of the first one, with their confidence."""
    return np.concatenate([xy - 0.5, score[..., None]], -1)


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
