"""Multi-person tracking: ids that survive an occlusion, decided from past frames alone."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from occlupose.appearance import BINS, PARTS, compare_appearances, describe_people
from occlupose.detections import Detections, box_sides, overlap, suppress_similar
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid

__all__ = ["MAX_GAP", "Assignment", "ConfirmationBuffer", "Tracker", "fill_absent"]

MAX_GAP = 2.0
"""Seconds for which an undetected person keeps their id (`max_age` of the tracker) and their track is still lifted."""

# All values are ours unless stated. Lengths are in box sides (the longer side of a person's box, averaged), so that no
# value depends on the resolution.
JOINT_RADIUS = 0.08  # half side of the square around a joint
TOP_JOINTS = 7  # number of best overlapping joints that count (PoseFlow)
POSE_DECAY = 0.3  # s in which the weight of the last pose falls to exp(-1)
SPEED_DECAY = 4.0  # s in which the speed of an undetected person falls to exp(-1)
MEASUREMENT_NOISE = 0.03  # standard deviation of a detected position
INITIAL_SPEED = 1.0  # per s, standard deviation of a new person's speed
PROCESS_NOISE = 4.0  # per s, standard deviation of the random change of speed within 1 s
SIZE_NOISE = 0.25  # standard deviation of the logarithm of the box side: boxes shrink when half a person is hidden
SIZE_MEMORY = 1.0  # s over which the box side is averaged
MAX_DEVIATION = 0.75  # standard deviation of an undetected person's position, at most
GATE = 16.0  # squared Mahalanobis distance beyond which motion does not explain a detection
# How far from where they were last seen people are found again: this far, and further as they would walk (or as fast as
# they were, if faster), at most `REACH`. Standing people have boxes of about 1.6 m around their joints: this is a brisk
# walk, and 2 m at most, or 3.2 m for somebody who looks the same.
SEARCH_RADIUS = 0.5
WALK = 1.0  # per s
REACH = 1.25
ALIKE_REACH = 2.0
ALIKE = 0.8  # probability that it is the same person, by the appearance, from which on the clothes are the same
# In OpenCV's video of walkers, vtest.avi, two views of a person, a second apart, have a Bhattacharyya coefficient above
# 0.8 in nine of ten cases, those of two people one below 0.63 in three of four. The probability that they show one is
# 1/2 in between, at the first of these values, and e/(1 + e) a step above.
SAME_APPEARANCE = 0.7
APPEARANCE_STEP = 0.06
APPEARANCE_DELAY = 0.5  # s, after which an undetected person's appearance counts by 1 - exp(-1)
APPEARANCE_MEMORY = 1.0  # s over which the appearance is averaged
EXCHANGE_GAIN = 0.5  # probability, summed over two people, by which exchanged ids must explain their appearances better
MIN_AFFINITY = 0.2  # PoseFlow's
# mean overlap of all joints' squares above which two detections are one person: 0.04 box sides per joint
DUPLICATE_OVERLAP = 0.6
# the same for a new person and one who has an id: 0.07 box sides per joint
DOUBLE_OVERLAP = 0.3

T = TypeVar("T")


@dataclass(eq=False)
class _Person:
    """Who somebody is: an id, -1 until confirmed, and the average appearance, NaN where unknown."""

    id: int = -1
    appearance: Float[np.ndarray, "part bin"] = field(default_factory=lambda: np.full((PARTS, BINS), np.nan))
    observations: int = 0

    def recognise(self, appearances: Float[np.ndarray, "*any part bin"]) -> Float[np.ndarray, "*any"]:
        """Probability that somebody who looks like this is this person, if half of those who might be are; NaN where
        the appearance is unknown.
        """
        likeness = compare_appearances(self.appearance, appearances)
        return 1 / (1 + np.exp((SAME_APPEARANCE - likeness) / APPEARANCE_STEP))

    def remember(self, appearance: Float[np.ndarray, "part bin"], step: float) -> None:
        """Average with the appearance `step` seconds after the frame before; NaN where it is not known."""
        seen = np.isfinite(appearance)
        self.observations += seen.any()
        weight = max(1 / max(self.observations, 1), 1 - np.exp(-step / APPEARANCE_MEMORY))
        average = (1 - weight) * np.where(np.isfinite(self.appearance), self.appearance, appearance)
        self.appearance = np.where(seen, average + weight * appearance, self.appearance)


@dataclass(eq=False)
class _Track:
    """The movement of somebody as last detected; `side` is the average side of the box, px."""

    number: int
    xy: Float[np.ndarray, "joint 2"]
    score: Float[np.ndarray, " joint"]
    box: Float[np.ndarray, " 4"]
    start: float
    time: float
    person: _Person = field(default_factory=_Person)
    hits: int = 1
    side: float = field(init=False)
    velocity: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))
    # of position and speed
    covariance: Float[np.ndarray, "2 2"] = field(
        default_factory=lambda: np.diag([MEASUREMENT_NOISE**2, INITIAL_SPEED**2])
    )

    def __post_init__(self) -> None:
        self.side = float(box_sides(self.box))

    @property
    def confirmed(self) -> bool:
        """Whether the person has an id."""
        return self.person.id > 0

    def predict(self, time: float) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, "2 2"]]:
        """Expected displacement by then, px, and covariance of position and speed (decaying, changed at random)."""
        gap = max(time - self.time, 0.0)
        decay = np.exp(-gap / SPEED_DECAY)
        step = np.array([[1, SPEED_DECAY * (1 - decay)], [0, decay]])
        noise = PROCESS_NOISE**2 * np.array([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]])
        return self.velocity * step[0, 1], step @ self.covariance @ step.T + noise

    def predict_box(self, time: float) -> Float[np.ndarray, " 4"]:
        """Expected box, px."""
        return self.box + np.tile(self.predict(time)[0], 2)

    def compare(
        self, detections: Detections, appearances: Float[np.ndarray, "person part bin"], time: float
    ) -> tuple[Float[np.ndarray, " person"], Float[np.ndarray, "person 2"]]:
        """Affinity with each detection, 0..1 (0: impossible), and its offset from the predicted position, px."""
        displacement, covariance = self.predict(time)
        offset = _offset(self.xy + displacement, self.score, detections)
        side = self.side
        sides = box_sides(detections.boxes)
        joints = _joint_overlap(self.xy + displacement, detections.xy, np.sqrt(side * sides))
        pose = np.sort(joints)[:, -TOP_JOINTS:].mean(-1)
        box = overlap(self.box + np.tile(displacement, 2), detections.boxes)
        distance = np.linalg.norm(offset, axis=-1) / side
        position_variance = min(covariance[0, 0], MAX_DEVIATION**2) + MEASUREMENT_NOISE**2
        mahalanobis = distance**2 / position_variance + (np.log(sides / side) / SIZE_NOISE) ** 2
        gap = time - self.time
        pose_weight = 2 * np.exp(-gap / POSE_DECAY)
        affinity = (pose_weight * pose + box + 2 * np.exp(-mahalanobis / 8)) / (pose_weight + 3)
        recognised = self.person.recognise(appearances)
        affinity *= np.nan_to_num(recognised, nan=1.0) ** (1 - np.exp(-gap / APPEARANCE_DELAY))
        reach = np.where(recognised > ALIKE, ALIKE_REACH, REACH)
        pace = max(WALK, float(np.linalg.norm(self.velocity)) / side)
        travelled = np.linalg.norm(offset + displacement, axis=-1) / side
        near = travelled < np.minimum(SEARCH_RADIUS + pace * gap, reach)
        possible = near & ((mahalanobis < GATE) | (pose > MIN_AFFINITY) | (box > MIN_AFFINITY))
        return np.where(possible, affinity, 0), offset

    def update(self, detections: Detections, person: int, offset: Float[np.ndarray, " 2"], time: float) -> None:
        """Kalman update with this detection, at this offset (px) from the prediction; weaker beyond the gate."""
        _, covariance = self.predict(time)
        position_variance = covariance[0, 0] + MEASUREMENT_NOISE**2
        mahalanobis = (offset**2).sum() / self.side**2 / position_variance
        gain = covariance[:, 0] / (position_variance * max(1.0, mahalanobis / GATE))
        self.velocity = self.velocity * np.exp(-max(time - self.time, 0.0) / SPEED_DECAY) + gain[1] * offset
        self.covariance = covariance - np.outer(gain, covariance[0])
        self.xy = detections.xy[person]
        self.score = detections.score[person]
        self.box = detections.boxes[person]
        self.hits += 1
        weight = max(1 / self.hits, 1 - math.exp(-(time - self.time) / SIZE_MEMORY))
        self.side *= float(box_sides(self.box) / self.side) ** weight
        self.time = time


@dataclass(frozen=True)
class Assignment:
    """Tracks of the people of one frame, in the order of the detections.

    Attributes:
        track_numbers: internal numbers of continuous movements, known at once, also of false positives; -1 for a
            duplicate.
    """

    track_numbers: Int[np.ndarray, " person"]
    people: list[_Person | None]

    @property
    def ids(self) -> Int[np.ndarray, " person"]:
        """Ids as far as they are confirmed by now; -1 for a duplicate and for a person who is not confirmed (yet)."""
        return np.array([-1 if person is None else person.id for person in self.people], np.int64)


class Tracker:
    """Assigns the people of each frame to tracks, after PoseFlow (pose and box overlap, Hungarian), with our motion
    model and appearance.

    Causal and deterministic; the order of the detections does not matter. An undetected person is expected where their
    motion would bring them, with growing uncertainty, and keeps their id for `max_age` seconds, but is found again only
    within reach of where they were last seen: 1.25 box sides, or 2 if the appearance is the same. Ids are 1, 2, 3, ...
    in order of appearance and are never reused.

    The appearance is averaged over the frames in which nobody overlaps the person. It weighs little from one frame to
    the next, where position decides, and more the longer somebody was not detected. When two people whose boxes touched
    are seen clearly again, and would look more like themselves with their ids exchanged, the ids are exchanged.

    Arguments:
        max_age: s for which an undetected person keeps their id; ours.
        min_duration: s for which a new person must be detected in every frame to get an id, against false positives
            (SORT's min_hits, in seconds), and must not lie on a person who has one, joint by joint; ours. Once this has
            passed, the ids of a frame are final. 0: at once.
    """

    def __init__(self, *, max_age: float = MAX_GAP, min_duration: float = 1 / 3) -> None:
        self._max_age = max_age
        self.min_duration = min_duration
        self.reset()

    def reset(self) -> None:
        """Start with another video: no tracks, next id 1."""
        self._tracks: list[_Track] = []
        self._contacts: set[tuple[int, int]] = set()
        self._start: float | None = None
        self._time = 0.0
        self._frames = 0
        self._numbers = 0
        self._ids = 0

    def update(self, detections: Detections, time: float, image: Pyramid | None = None) -> Assignment:
        """Assign the people of the next frame to tracks.

        Arguments:
            detections: without NaN in xy.
            time: of the frame, s; never earlier than the frame before.
            image: the frame. None: appearance does not count.
        """
        self._start = time if self._start is None else self._start
        step = time - self._time
        self._time = time
        self._frames += 1
        self._tracks = [track for track in self._tracks if time - track.time <= self._max_age]
        free = _without_duplicates(detections, _canonical_order(detections))
        appearances = np.full((len(detections), PARTS, BINS), np.nan)
        if image is not None:
            appearances[free] = describe_people(image, detections.select(free))
        assigned: list[_Track | None] = [None] * len(detections)
        confirmed = [track for track in self._tracks if track.confirmed]
        unconfirmed = [track for track in self._tracks if not track.confirmed]
        for tracks in (confirmed, unconfirmed):
            free = _match(tracks, detections, appearances, free, assigned, time)
        detected = {id(track) for track in assigned}
        self._tracks = [track for track in self._tracks if track.confirmed or id(track) in detected]
        for person in free:
            self._numbers += 1
            xy = detections.xy[person]
            track = _Track(self._numbers, xy, detections.score[person], detections.boxes[person], time, time)
            assigned[person] = track
            self._tracks.append(track)
        seen = {track.number: appearances[row] for row, track in enumerate(assigned) if track is not None}
        doubtful = self._exchange_ids(seen)
        for track in self._tracks:
            if track.number in seen and (track.number not in doubtful or not track.person.observations):
                track.person.remember(seen[track.number], step)
        self._restart_doubles()
        self._confirm(lambda track: time - track.start > self.min_duration - 1e-6)
        numbers = np.array([-1 if track is None else track.number for track in assigned], np.int64)
        return Assignment(numbers, [None if track is None else track.person for track in assigned])

    def finish(self) -> None:
        """End of the video. If it was shorter than `min_duration`, everybody who was detected twice, or in the only
        frame, gets an id.
        """
        if self._start is not None and self._time - self._start < self.min_duration:
            self._confirm(lambda track: track.hits >= min(self._frames, 2))

    def _exchange_ids(self, seen: dict[int, Float[np.ndarray, "part bin"]]) -> set[int]:
        """Exchange ids of tracks that touched, where the appearances say so.

        A contact lasts until both people have been seen clearly again.

        Arguments:
            seen: appearance of each detected person, by track number.

        Returns:
            Numbers of the tracks whose person is not sure.
        """
        tracks = {track.number: track for track in self._tracks if track.confirmed}
        self._contacts = {pair for pair in self._contacts if tracks.keys() >= set(pair)}
        self._contacts |= _touching(list(tracks.values()), self._time)
        for first, second in sorted(self._contacts):
            people = [tracks[first].person, tracks[second].person]
            if _exchange_gain(people, [seen.get(first), seen.get(second)]) > EXCHANGE_GAIN:
                tracks[second].person, tracks[first].person = people
        clear = {number for number, appearance in seen.items() if np.isfinite(appearance).any()}
        self._contacts = {pair for pair in self._contacts if not clear >= set(pair)}
        return {number for pair in self._contacts for number in pair}

    def _restart_doubles(self) -> None:
        """The time to confirm begins anew for those who lie on a person with an id, joint by joint."""
        known = [track for track in self._tracks if track.confirmed and track.time == self._time]
        for track in self._tracks:
            if known and not track.confirmed:
                sides = np.sqrt(box_sides(track.box) * box_sides(np.stack([other.box for other in known])))
                shared = _joint_overlap(track.xy, np.stack([other.xy for other in known]), sides)
                track.start = self._time if shared.mean(-1).max() > DOUBLE_OVERLAP else track.start

    def _confirm(self, condition: Callable[[_Track], bool]) -> None:
        for track in self._tracks:
            if not track.confirmed and condition(track):
                self._ids += 1
                track.person.id = self._ids


class ConfirmationBuffer(Generic[T]):
    """Delays frames until a tracker's ids for them are final.

    Arguments:
        tracker: must be updated with a frame before the frame is pushed.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._waiting: deque[tuple[float, T]] = deque()

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


def fill_absent(detections: Detections) -> Detections:
    """Detections for the tracker: absent joints are in the middle of the others, with score 0."""
    present = (detections.state != ABSENT)[..., None]
    if present.all():
        return detections
    middle = np.where(present, detections.xy, 0).sum(1, keepdims=True) / np.maximum(present.sum(1, keepdims=True), 1)
    xy = np.where(present, detections.xy, middle)
    return replace(detections, xy=xy, score=np.where(present[..., 0], detections.score, 0))


def _match(
    tracks: list[_Track],
    detections: Detections,
    appearances: Float[np.ndarray, "person part bin"],
    free: list[int],
    assigned: list[_Track | None],
    time: float,
) -> list[int]:
    """Assign free detections to tracks by the best total affinity; returns those that are still free."""
    if not tracks or not free:
        return free
    candidates = detections.select(free)
    compared = [track.compare(candidates, appearances[free], time) for track in tracks]
    affinity = np.stack([affinities for affinities, _ in compared])
    for row, column in zip(*linear_sum_assignment(affinity, maximize=True), strict=True):
        if affinity[row, column] > MIN_AFFINITY:
            tracks[row].update(detections, free[column], compared[row][1][column], time)
            assigned[free[column]] = tracks[row]
    return [person for person in free if assigned[person] is None]


def _touching(tracks: list[_Track], time: float) -> set[tuple[int, int]]:
    """Pairs of numbers, the smaller first, of tracks whose boxes intersect: as detected, or as expected by then."""
    boxes = np.stack([track.predict_box(time) for track in tracks]) if tracks else np.zeros((0, 4))
    sharing = (boxes[:, None, :2] < boxes[:, 2:]).all(-1)
    rows = np.argwhere(np.triu(sharing & sharing.T, 1)).tolist()
    pairs = [sorted(tracks[row].number for row in pair) for pair in rows]
    return {(first, second) for first, second in pairs}


def _exchange_gain(people: list[_Person], seen: list[Float[np.ndarray, "part bin"] | None]) -> float:
    """By how much the appearances of two people, in their order, are explained better the other way round.

    In -2..2: the sum of the probabilities, 1/2 where unknown, less that in this order.
    """
    gain = 0.0
    for own, other, appearance in zip(people, people[::-1], seen, strict=True):
        if appearance is not None:
            gain += np.nan_to_num(other.recognise(appearance), nan=0.5)
            gain -= np.nan_to_num(own.recognise(appearance), nan=0.5)
    return gain


def _without_duplicates(detections: Detections, order: list[int]) -> list[int]:
    """These people, in this order, without those whose joints all lie on those of a person with a higher box score."""
    xy = detections.xy[order]
    sides = box_sides(detections.boxes[order])
    similar = _joint_overlap(xy[:, None], xy, np.sqrt(sides[:, None] * sides)).mean(-1)
    kept = suppress_similar(similar, detections.box_score[order], DUPLICATE_OVERLAP)
    return [order[row] for row in sorted(kept)]


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
    xy: Float[np.ndarray, "*#any joint 2"],
    others: Float[np.ndarray, "*#any joint 2"],
    sides: Float[np.ndarray, "*any"],
) -> Float[np.ndarray, "*any joint"]:
    """Intersection over union of the squares around the same joint of poses and other poses (shapes broadcast).

    Arguments:
        sides: box side of each pair, px.
    """
    shared = np.maximum(1 - np.abs(others - xy) / (2 * JOINT_RADIUS * sides[..., None, None]), 0).prod(-1)
    return shared / (2 - shared)
