"""Detections and bounding boxes: the people found in one image, whatever found them; overlap of boxes, and non-maximum
suppression.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, VISIBLE
from occlupose.skeletons import Skeleton, convert, convert_weakest

__all__ = ["Detections", "FrameBoxes", "NOBODY", "box_sides", "has_area", "overlap", "suppress_similar"]

STATES = 3
"""Absent, occluded, visible."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Detections:
    """People found in one image.

    Attributes:
        skeleton: names of the joints.
        xy: keypoints in pixels of the whole image; NaN where a joint is absent.
        score: confidence of each keypoint, 0..1.
        state: 0 absent, 1 occluded, 2 visible. By default visible where xy is known, else absent.
        boxes: bounding boxes as left, top, right, bottom, in pixels. By default the smallest around the keypoints.
        box_score: confidence that there is a person, 0..1. By default the mean score of the keypoints.
        xyz: joints in metres in the camera frame (x right, y down, z forward), NaN where unknown; or None in 2D.
        spread: standard deviation along an axis of each keypoint that is inferred, px; NaN where it is seen, or the
            spread unknown. By default unknown.
        probability: of each state, in the order absent, occluded, visible, NaN where unknown. By default unknown.

    Raises:
        OccluposeError: an array has the wrong shape.
    """

    skeleton: Skeleton
    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"] = None  # type: ignore[assignment]
    boxes: Float[np.ndarray, "person 4"] = None  # type: ignore[assignment]
    box_score: Float[np.ndarray, " person"] = None  # type: ignore[assignment]
    xyz: Float[np.ndarray, "person joint 3"] | None = None
    spread: Float[np.ndarray, "person joint"] = None  # type: ignore[assignment]
    probability: Float[np.ndarray, "person joint state"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.state is None:
            known = np.isfinite(self.xy).all(-1)
            object.__setattr__(self, "state", np.where(known, VISIBLE, ABSENT).astype(np.uint8))
        if self.boxes is None:
            object.__setattr__(self, "boxes", _around(self.xy))
        if self.box_score is None:
            object.__setattr__(self, "box_score", self.score.mean(-1))
        if self.spread is None:
            object.__setattr__(self, "spread", np.full(self.score.shape, np.nan, np.float32))
        if self.probability is None:
            object.__setattr__(self, "probability", np.full((*self.score.shape, STATES), np.nan, np.float32))
        self._check_shapes()

    def __len__(self) -> int:
        """Number of people."""
        return len(self.xy)

    def __repr__(self) -> str:
        people = "1 person" if len(self) == 1 else f"{len(self)} people"
        return f"Detections({people}, {self.skeleton.name}, {'2D' if self.xyz is None else '3D'})"

    @classmethod
    def none(cls, skeleton: Skeleton, *, in_3d: bool = False) -> "Detections":
        """No people, with the joints of this skeleton."""
        joints = len(skeleton)
        xy = np.zeros((0, joints, 2), np.float32)
        score = np.zeros((0, joints), np.float32)
        return cls(skeleton=skeleton, xy=xy, score=score, xyz=np.zeros((0, joints, 3), np.float32) if in_3d else None)

    def select(self, people: Int[np.ndarray, " selected"] | Bool[np.ndarray, " person"] | list[int]) -> "Detections":
        """Some of the people, by a mask or by their rows in the order wanted."""
        rows = np.asarray(people)
        rows = rows if rows.size else rows.astype(int)
        return replace(
            self,
            xy=self.xy[rows],
            score=self.score[rows],
            state=self.state[rows],
            boxes=self.boxes[rows],
            box_score=self.box_score[rows],
            xyz=None if self.xyz is None else self.xyz[rows],
            spread=self.spread[rows],
            probability=self.probability[rows],
        )

    def to(self, skeleton: Skeleton) -> "Detections":
        """The same people with the joints of another skeleton, as `skeletons.convert` derives them.

        A joint derived from several has the lowest state and score among them, and the mean of their spreads and
        probabilities; one that cannot be derived is absent.
        """
        if skeleton == self.skeleton:
            return self
        return replace(
            self,
            skeleton=skeleton,
            xy=convert(self.xy, self.skeleton, skeleton),
            score=convert_weakest(self.score, self.skeleton, skeleton),
            state=convert_weakest(self.state, self.skeleton, skeleton),
            xyz=None if self.xyz is None else convert(self.xyz, self.skeleton, skeleton),
            spread=convert(self.spread[..., None], self.skeleton, skeleton)[..., 0],
            probability=convert(self.probability, self.skeleton, skeleton),
        )

    def _check_shapes(self) -> None:
        people = len(self.xy)
        joints = len(self.skeleton)
        shapes: dict[str, tuple[int, ...]] = {
            "xy": (people, joints, 2),
            "score": (people, joints),
            "state": (people, joints),
            "boxes": (people, 4),
            "box_score": (people,),
            "xyz": (people, joints, 3),
            "spread": (people, joints),
            "probability": (people, joints, STATES),
        }
        for name, shape in shapes.items():
            value: Any = getattr(self, name)
            if value is not None and value.shape != shape:
                raise OccluposeError(f"{name}: has shape {value.shape}; it must be {shape}")


@dataclass(frozen=True, eq=False)
class FrameBoxes:
    """Bounding boxes of the people in one image.

    Attributes:
        boxes: left, top, right, bottom of each, px; pixel centres at integers, so the whole image has -0.5 as its left
            and top.
        score: confidence that there is a person, 0..1.
    """

    boxes: Float[np.ndarray, "person 4"]
    score: Float[np.ndarray, " person"]

    def __len__(self) -> int:
        """Number of people."""
        return len(self.boxes)


NOBODY = FrameBoxes(np.zeros((0, 4)), np.zeros(0))
"""Boxes of an image without people."""


def box_sides(boxes: Float[np.ndarray, "*any 4"]) -> Float[np.ndarray, "*any"]:
    """The longer side of each bounding box, px; at least one pixel."""
    return np.maximum((boxes[..., 2:] - boxes[..., :2]).max(-1), 1)


def overlap(boxes: Float[np.ndarray, "*a 4"], others: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*c"]:
    """Intersection over union of bounding boxes (left, top, right, bottom), 0..1 (shapes broadcast)."""
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [np.maximum(each[..., 2:] - each[..., :2], 0).prod(-1) for each in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def has_area(boxes: Float[np.ndarray, "box 4"]) -> Bool[np.ndarray, " box"]:
    """Which boxes are wider and higher than nothing; NaN is neither."""
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=1)


def suppress_similar(
    similar: Float[np.ndarray, "person person"], order: Float[np.ndarray, " person"], threshold: float
) -> list[int]:
    """Non-maximum suppression: the rows that are kept, best first, no two of them more similar than the threshold.

    Arguments:
        similar: similarity of rows i and j.
        order: the larger is kept; of two equal ones the earlier.
    """
    kept: list[int] = []
    for row in np.argsort(-order, kind="stable"):
        if not kept or similar[row, kept].max() <= threshold:
            kept.append(int(row))
    return kept


def _around(xy: Float[np.ndarray, "person joint 2"]) -> Float[np.ndarray, "person 4"]:
    """The smallest box around the known keypoints of each person; NaN where none is known."""
    known = np.isfinite(xy).all(-1, keepdims=True)
    low = np.where(known, xy, np.inf).min(1, initial=np.inf)
    high = np.where(known, xy, -np.inf).max(1, initial=-np.inf)
    boxes = np.concatenate([low, high], -1)
    return np.where(np.isfinite(boxes), boxes, np.nan).astype(xy.dtype)
