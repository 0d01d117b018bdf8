"""Multi-person tracking: ids that survive an occlusion, decided from past frames alone."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from occlupose.detections import Detections

__all__ = ["MAX_GAP", "Assignment", "ConfirmationBuffer", "Tracker"]

MAX_GAP = 2.0
"""Seconds for which an undetected person keeps their id (`max_age` of the tracker) and their track is still lifted."""

# All values are ours unless stated. Lengths are in box sides (the longer side of the person's box), so that no value
# depends on the resolution.
JOINT_RADIUS = 0.08  # half side of the square around a joint
TOP_JOINTS = 7  # number of best overlapping joints that count (PoseFlow)
POSE_DECAY = 0.3  # s in which the weight of the last pose falls to exp(-1)
SPEED_DECAY = 4.0  # s in which the speed of an undetected person falls to exp(-1)
MEASUREMENT_NOISE = 0.03  # standard deviation of a detected position
INITIAL_SPEED = 1.0  # per s, standard deviation of a new person's speed
PROCESS_NOISE = 4.0  # per s, standard deviation of the random change of speed within 1 s
SIZE_NOISE = 0.25  # standard deviation of the logarithm of the box side: boxes shrink when half a person is hidden
GATE = 16.0  # squared Mahalanobis distance beyond which motion does not explain a detection
# search radius around the predicted position: at once, growth per s, at most
SEARCH_RADIUS = 0.5
SEARCH_GROWTH = 1.0
MAX_SEARCH_RADIUS = 2.0
MIN_AFFINITY = 0.2  # PoseFlow's
# mean overlap of all joints' squares above which two detections are one person: 0.04 box sides per joint
DUPLICATE_OVERLAP = 0.6

T = TypeVar("T")


@dataclass(eq=False)
class _Track:
    """One person as last detected; `id` is -1 until confirmed."""

    number: int
    xy: Float[np.ndarray, "joint 2"]
    score: Float[np.ndarray, " joint"]
    box: Float[np.ndarray, " 4"]
    start: float
    time: float
    id: int = -1
    hits: int = 1
    velocity: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))
    # of position and speed
    covariance: Float[np.ndarray, "2 2"] = field(
        default_factory=lambda: np.diag([MEASUREMENT_NOISE**2, INITIAL_SPEED**2])
    )

    def predict(self, time: float) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, "2 2"]]:
        """Expected displacement by then, px, and covariance of position and speed (decaying, changed at random)."""
        gap = max(time - self.time, 0.0)
        decay = np.exp(-gap / SPEED_DECAY)
        step = np.array([[1, SPEED_DECAY * (1 - decay)], [0, decay]])
        noise = PROCESS_NOISE**2 * np.array([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]])
        return self.velocity * step[0, 1], step @ self.covariance @ step.T + noise

    def compare(
        self, detections: Detections, time: float
    ) -> tuple[Float[np.ndarray, " person"], Float[np.ndarray, "person 2"]]:
        """Affinity with each detection, 0..1 (0: impossible), and its offset from the predicted position, px."""
        displacement, covariance = self.predict(time)
        offset = _offset(self.xy + displacement, self.score, detections)
        side = _sides(self.box)
        sides = _sides(detections.boxes)
        joints = _joint_overlap(self.xy + displacement, detections.xy, np.sqrt(side * sides))
        pose = np.sort(joints)[:, -TOP_JOINTS:].mean(-1)
        box = _box_overlap(self.box + np.tile(displacement, 2), detections.boxes)
        distance = np.linalg.norm(offset, axis=-1) / side
        position_variance = covariance[0, 0] + MEASUREMENT_NOISE**2
        mahalanobis = distance**2 / position_variance + (np.log(sides / side) / SIZE_NOISE) ** 2
        pose_weight = 2 * np.exp(-(time - self.time) / POSE_DECAY)
        affinity = (pose_weight * pose + box + 2 * np.exp(-mahalanobis / 8)) / (pose_weight + 3)
        radius = min(SEARCH_RADIUS + SEARCH_GROWTH * (time - self.time), MAX_SEARCH_RADIUS)
        possible = (distance < radius) & ((mahalanobis < GATE) | (pose > MIN_AFFINITY) | (box > MIN_AFFINITY))
        return np.where(possible, affinity, 0), offset

    def update(self, detections: Detections, person: int, offset: Float[np.ndarray, " 2"], time: float) -> None:
        """Kalman update with this detection, at this offset (px) from the prediction; weaker beyond the gate."""
        _, covariance = self.predict(time)
        position_variance = covariance[0, 0] + MEASUREMENT_NOISE**2
        mahalanobis = (offset**2).sum() / _sides(self.box) ** 2 / position_variance
        gain = covariance[:, 0] / (position_variance * max(1.0, mahalanobis / GATE))
        self.velocity = self.velocity * np.exp(-max(time - self.time, 0.0) / SPEED_DECAY) + gain[1] * offset
        self.covariance = covariance - np.outer(gain, covariance[0])
        self.xy = detections.xy[person]
        self.score = detections.score[person]
        self.box = detections.boxes[person]
        self.time = time
        self.hits += 1


@dataclass(frozen=True)
class Assignment:
    """Tracks of the people of one frame, in the order of the detections."""

    tracks: list[_Track | None]

    @property
    def track_numbers(self) -> Int[np.ndarray, " person"]:
        """Internal track numbers, known at once, also of false positives; -1 for a duplicate."""
        return np.array([-1 if track is None else track.number for track in self.tracks], np.int64)

    @property
    def ids(self) -> Int[np.ndarray, " person"]:
        """Ids as far as they are confirmed by now; -1 for a duplicate and for a person who is not confirmed (yet)."""
        return np.array([-1 if track is None else track.id for track in self.tracks], np.int64)


class Tracker:
    """Assigns the people of each frame to tracks, after PoseFlow (pose and box overlap, Hungarian), with our motion
    model.

    Causal and deterministic; the order of the detections does not matter. An undetected person is expected where their
    motion would bring them, with growing uncertainty, and keeps their id for `max_age` seconds. Ids are 1, 2, 3, ... in
    order of appearance and are never reused.

    Arguments:
        max_age: s for which an undetected person keeps their id; ours.
        min_duration: s for which a new person must be detected in every frame to get an id, against false positives
            (SORT's min_hits, in seconds); ours. Once this has passed, the ids of a frame are final. 0: at once.
    """

    def __init__(self, *, max_age: float = MAX_GAP, min_duration: float = 1 / 3) -> None:
        self._max_age = max_age
        self.min_duration = min_duration
        self.reset()

    def reset(self) -> None:
        """Start with another video: no tracks, next id 1."""
        self._tracks: list[_Track] = []
        self._start: float | None = None
        self._time = 0.0
        self._frames = 0
        self._numbers = 0
        self._ids = 0

    def update(self, detections: Detections, time: float) -> Assignment:
        """Assign the people of the next frame to tracks.

        Arguments:
            detections: without NaN in xy.
            time: of the frame, s; never earlier than the frame before.
        """
        self._start = time if self._start is None else self._start
        self._time = time
        self._frames += 1
        self._tracks = [track for track in self._tracks if time - track.time <= self._max_age]
        assigned: list[_Track | None] = [None] * len(detections)
        free = _without_duplicates(detections, _canonical_order(detections))
        confirmed = [track for track in self._tracks if track.id > 0]
        unconfirmed = [track for track in self._tracks if track.id < 0]
        for tracks in (confirmed, unconfirmed):
            free = _match(tracks, detections, free, assigned, time)
        detected = {id(track) for track in assigned}
        self._tracks = [track for track in self._tracks if track.id > 0 or id(track) in detected]
        for person in free:
            self._numbers += 1
            xy = detections.xy[person]
            track = _Track(self._numbers, xy, detections.score[person], detections.boxes[person], time, time)
            assigned[person] = track
            self._tracks.append(track)
        self._confirm(lambda track: time - track.start > self.min_duration - 1e-6)
        return Assignment(assigned)

    def finish(self) -> None:
        """End of the video. If it was shorter than `min_duration`, everybody who was detected twice, or in the only
        frame, gets an id.
        """
        if self._start is not None and self._time - self._start < self.min_duration:
            self._confirm(lambda track: track.hits >= min(self._frames, 2))

    def _confirm(self, condition: Callable[[_Track], bool]) -> None:
        for track in self._tracks:
            if track.id < 0 and condition(track):
                self._ids += 1
                track.id = self._ids


class ConfirmationBuffer(Generic[T]):
    """Delays frames until a tracker's ids for them are final.

    Arguments:
        tracker: must be updated with a frame before the frame is pushed.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._waiting: deque[tuple[float, T]] = deque()

    @property
    def newest(self) -> T | None:
        """The frame that was pushed last, if any waits."""
        return self._waiting[-1][1] if self._waiting else None

    def push(self, time: float, frame: T) -> list[T]:
        """Add a frame; returns those before it whose ids are final, oldest first."""
        confirmed = []
        while self._waiting and time - self._waiting[0][0] > self._tracker.min_duration - 1e-6:
            confirmed.append(self._waiting.popleft()[1])
        self._waiting.append((time, frame))
        return confirmed

    def finish(self) -> list[T]:
        """End of the video: finishes the tracker and returns all frames that are left."""
        self._tracker.finish()
        rest = [frame for _, frame in self._waiting]
        self._waiting.clear()
        return rest


def _match(
    tracks: list[_Track], detections: Detections, free: list[int], assigned: list[_Track | None], time: float
) -> list[int]:
    """Assign free detections to tracks by the best total affinity; returns those that are still free."""
    if not tracks or not free:
        return free
    candidates = detections.select(free)
    compared = [track.compare(candidates, time) for track in tracks]
    affinity = np.stack([affinities for affinities, _ in compared])
    for row, column in zip(*linear_sum_assignment(affinity, maximize=True), strict=True):
        if affinity[row, column] > MIN_AFFINITY:
            tracks[row].update(detections, free[column], compared[row][1][column], time)
            assigned[free[column]] = tracks[row]
    return [person for person in free if assigned[person] is None]


def _without_duplicates(detections: Detections, order: list[int]) -> list[int]:
    """These people, in this order, without those whose joints all lie on those of a person with a higher box score."""
    kept: list[int] = []
    sides = _sides(detections.boxes)
    for person in sorted(order, key=lambda person: -detections.box_score[person]):
        overlap = _joint_overlap(detections.xy[person], detections.xy[kept], np.sqrt(sides[person] * sides[kept]))
        if not kept or overlap.mean(-1).max() < DUPLICATE_OVERLAP:
            kept.append(person)
    return [person for person in order if person in kept]


def _canonical_order(detections: Detections) -> list[int]:
    """The people from left to right, independent of the order of the detections."""
    fields = zip(detections.boxes, detections.box_score, detections.xy, detections.score, strict=True)
    keys = [(*box, box_score, *xy.flat, *score) for box, box_score, xy, score in fields]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _offset(
    xy: Float[np.ndarray, "joint 2"], score: Float[np.ndarray, " joint"], detections: Detections
) -> Float[np.ndarray, "person 2"]:
    """From this pose to each detection, px: median over the half of the joints with the highest product of scores."""
    half = (len(xy) + 1) // 2
    best = np.argsort(-score * detections.score, axis=-1, kind="stable")[:, :half]
    return np.median(np.take_along_axis(detections.xy - xy, best[..., None], axis=1), axis=1)


def _joint_overlap(
    xy: Float[np.ndarray, "joint 2"], others: Float[np.ndarray, "person joint 2"], sides: Float[np.ndarray, " person"]
) -> Float[np.ndarray, "person joint"]:
    """Intersection over union of the squares around the same joint of a pose and of each other pose.

    Arguments:
        sides: box side for each of the others, px.
    """
    shared = np.maximum(1 - np.abs(others - xy) / (2 * JOINT_RADIUS * sides[:, None, None]), 0).prod(-1)
    return shared / (2 - shared)


def _box_overlap(box: Float[np.ndarray, " 4"], others: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, " person"]:
    """Intersection over union of a box and each other box."""
    shared = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0).prod(-1)
    area = (box[2:] - box[:2]).prod()
    areas = (others[:, 2:] - others[:, :2]).prod(-1)
    return shared / np.maximum(area + areas - shared, 1e-9)


def _sides(boxes: Float[np.ndarray, "*any 4"]) -> Float[np.ndarray, "*any"]:
    """The longer side of each box, px; at least one pixel."""
    return np.maximum((boxes[..., 2:] - boxes[..., :2]).max(-1), 1.0)
