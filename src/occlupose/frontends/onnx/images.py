"""Networks in ONNX files that take whole images: person detectors, and those that find keypoints too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Crop, invert, transform_points
from occlupose.detections import NOBODY, Detections, FrameBoxes, has_area, overlap, suppress_similar
from occlupose.errors import OccluposeError
from occlupose.frontends.onnx.cards import BoxCard, PeopleCard
from occlupose.frontends.onnx.session import OnnxSession, Outputs, describe, find_output
from occlupose.frontends.topdown import RegionEstimates, make_detections
from occlupose.media import Frame
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.pyramid import Pyramid

STRIDES = (8, 16, 32)
"""Pixels between YOLOX's anchors."""

MAX_LOGARITHM = 10.0
"""Of a size in strides; more is far larger than any input."""

MAX_CANDIDATES = 1000
"""Boxes that are compared with each other; the most confident."""

BATCH = 8
"""Images at a time, so that memory does not grow with their number."""


class Candidates(NamedTuple):
    """Boxes of one image before similar ones are left out: edges in px of the input, and scores."""

    boxes: Float[np.ndarray, "box 4"]
    score: Float[np.ndarray, " box"]


class OnnxDetector:
    """The network as a `BoxDetector`.

    Arguments:
        session: the file.
        card: its description.

    Raises:
        OccluposeError: the network is not as the card describes.
    """

    def __init__(self, session: OnnxSession, card: BoxCard) -> None:
        self._session = session
        self.card = card
        self.side = max(card.width, card.height)
        outputs = session.try_out(card.width, card.height)
        if self._candidates(outputs) is None:
            wanted = "dets (image, n, 5)" if card.codec == "boxes" else f"(image, {len(anchors(card)[0])}, 5 + classes)"
            raise OccluposeError(f"{session.file}: its output is {describe(outputs)}; the card says {wanted}")

    def __call__(self, images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> list[FrameBoxes]:
        """The people in each of these RGB images; see `BoxDetector`."""
        found: list[FrameBoxes] = []
        for start in range(0, len(images), BATCH):
            part = [Pyramid(image) for image in images[start : start + BATCH]]
            matrices = [self.card.letterbox.matrix(*image.size) for image in part]
            pixels = [self.card.letterbox.warp(image, matrix) for image, matrix in zip(part, matrices, strict=True)]
            candidates: list[Candidates] = []
            for outputs in self._session(self.card.normalise(np.array(pixels)), batch=BATCH):
                candidates += self._candidates(outputs) or []
            for image, matrix, each in zip(part, matrices, candidates, strict=True):
                kept = distinct(each, self.card)
                boxes = to_image(each.boxes[kept], matrix, image.size)
                found.append(without_empty(FrameBoxes(boxes, each.score[kept].astype(np.float64))))
        return found

    def _candidates(self, outputs: Outputs) -> list[Candidates] | None:
        """Of each image; None if the outputs are not those of the card."""
        return _from_dets(outputs, self.card) if self.card.codec == "boxes" else _from_yolox(outputs, self.card)


class OnnxPeople:
    """The network as a front end: every frame by itself, the whole image at once.

    Arguments:
        name: of the front end.
        session: the file.
        card: its description.

    Attributes:
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.

    Raises:
        OccluposeError: the network is not as the card describes; unknown skeleton.
    """

    min_joint_confidence = MIN_CONFIDENCE

    def __init__(self, name: str, session: OnnxSession, card: PeopleCard) -> None:
        self.name = name
        self._session = session
        self.card = card
        self.skeleton = card.build_skeleton()
        outputs = session.try_out(card.width, card.height)
        found = find_people(outputs)
        if found is None or found[1].shape[2] != len(self.skeleton):
            wanted = f"dets (image, n, 5) and keypoints (image, n, {len(self.skeleton)}, 3)"
            raise OccluposeError(f"{session.file}: its output is {describe(outputs)}; the card says {wanted}")

    def reset(self) -> None:
        """Nothing to do: frames are independent."""

    def __call__(self, frame: Frame) -> Detections:
        """People in this frame. A joint whose coordinates are not finite is in the middle of its box, with score 0."""
        image = frame.pyramid
        matrix = self.card.letterbox.matrix(*image.size)
        pixels = self.card.letterbox.warp(image, matrix)
        found = find_people(next(self._session(self.card.normalise(pixels[None]))))
        if found is None:
            return Detections.none(self.skeleton)
        dets = found[0][0]
        keypoints = found[1][0]
        kept = distinct(Candidates(dets[:, :4], dets[:, 4]), self.card)
        boxes = to_image(dets[kept, :4], matrix, image.size)
        points = keypoints[kept].astype(np.float64)
        finite = np.isfinite(points).all(-1)
        middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        xy = transform_points(invert(matrix), np.where(finite[..., None], points[..., :2], 0))
        estimates = RegionEstimates(
            np.where(finite[..., None], xy, middle),
            np.where(finite, points[..., 2].clip(0, 1), 0),
            dets[kept, 4].clip(0, 1).astype(np.float64),
            Crop().regions(boxes),
        )
        detections = make_detections(estimates, self.skeleton, image.size)
        return replace(detections, boxes=boxes.astype(np.float32)).select(has_area(boxes))


def find_people(outputs: Outputs) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes (image, n, 5) and keypoints (image, n, joint, 3); None if there are none. By name, else by shape."""
    dets = find_output(outputs, "dets", _are_boxes)
    keypoints = find_output(outputs, "keypoints", lambda values: values.ndim == 4 and values.shape[3] == 3)
    if dets is None or keypoints is None or dets.shape[:2] != keypoints.shape[:2]:
        return None
    return dets, keypoints


def anchors(card: BoxCard) -> tuple[Float[np.ndarray, "anchor 2"], Float[np.ndarray, " anchor"]]:
    """Corners of YOLOX's cells, px of the input, and their strides: row by row, the finest first."""
    corners = []
    strides = []
    for stride in STRIDES:
        y, x = np.mgrid[: card.height // stride, : card.width // stride]
        corners.append(np.stack([x, y], -1).reshape(-1, 2) * stride)
        strides.append(np.full(x.size, stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def distinct(candidates: Candidates, card: BoxCard | PeopleCard) -> list[int]:
    """Rows of the likely boxes, best first, each person once."""
    valid = np.isfinite(candidates.boxes).all(-1) & (np.nan_to_num(candidates.score, nan=-1) >= card.threshold)
    rows = np.flatnonzero(valid)
    rows = rows[np.argsort(-candidates.score[rows], kind="stable")][:MAX_CANDIDATES]
    boxes = candidates.boxes[rows]
    kept = suppress_similar(overlap(boxes[:, None], boxes), candidates.score[rows], card.overlap)
    return [int(row) for row in rows[kept]]


def to_image(
    boxes: Float[np.ndarray, "box 4"], matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> Float[np.ndarray, "box 4"]:
    """Boxes of the input as boxes of the image, pixel centres at integers, cut off at its edges.

    Arguments:
        boxes: from the edge of the input.
        matrix: from the image to the input.
        size: width and height of the image.
    """
    corners = transform_points(invert(matrix), boxes.reshape(-1, 2).astype(np.float64) - 0.5).reshape(-1, 4)
    return corners.clip(-0.5, np.array([*size, *size]) - 0.5)


def without_empty(found: FrameBoxes) -> FrameBoxes:
    """The boxes that are in the image at all."""
    seen = has_area(found.boxes)
    return FrameBoxes(found.boxes[seen], found.score[seen].clip(0, 1)) if seen.any() else NOBODY


def _are_boxes(values: np.ndarray) -> bool:
    return values.ndim == 3 and values.shape[2] == 5


def _from_dets(outputs: Outputs, card: BoxCard) -> list[Candidates] | None:
    dets = find_output(outputs, "dets", _are_boxes)
    if dets is None:
        return None
    labels = find_output(outputs, "labels", lambda values: values.ndim == 2)
    wanted = np.ones(dets.shape[:2], bool) if labels is None else labels == card.label
    return [Candidates(each[mask, :4], each[mask, 4]) for each, mask in zip(dets, wanted, strict=True)]


def _from_yolox(outputs: Outputs, card: BoxCard) -> list[Candidates] | None:
    """Ge et al. 2021, "YOLOX"."""
    corners, strides = anchors(card)
    values = find_output(outputs, "output", lambda values: values.ndim == 3 and values.shape[1] == len(corners))
    if values is None or values.shape[2] <= 5 + card.label:
        return None
    centres = values[..., :2] * strides[:, None] + corners
    half = np.exp(values[..., 2:4].clip(max=MAX_LOGARITHM)) * strides[:, None] / 2
    boxes = np.concatenate([centres - half, centres + half], -1)
    score = values[..., 4] * values[..., 5 + card.label]
    return [Candidates(*each) for each in zip(boxes, score, strict=True)]
