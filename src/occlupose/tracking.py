"""Who is who from frame to frame: ids that survive an occlusion, decided from the past alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from occlupose.detections import Detections

__all__ = ["Tracker", "Who"]

# Everything below is ours; lengths are in box sides (the longer side of the person's box), so that no number depends on
# the resolution.
JOINT_REACH = 0.08  # half side of the square round a joint
TOP = 7  # joints of which the best-fitting squares count (PoseFlow)
POSE_MEMORY = 0.3  # s, after which a remembered pose counts exp(-1) of what it did
DAMPING = 4.0  # s, in which a hidden person's speed falls to exp(-1)
JITTER = 0.03  # standard deviation of where a person is seen
SPEED = 1.0  # per s, standard deviation of a person's speed
PUSH = 4.0  # per s, standard deviation of what a person's speed gains or loses at random in 1 s
SIZE_JITTER = 0.25  # standard deviation of the logarithm of the box side: boxes shrink when half a person is hidden
SURPRISE = 16.0  # squared standard deviations beyond which motion alone explains nothing
# how far from where they should be a person is looked for: at once, more per s, at most
NEAREST = 0.5
DRIFT = 1.0
FARTHEST = 2.0
LEAST_AFFINITY = 0.2  # PoseFlow's
# mean overlap of all joints' squares from which two people of a frame are one: 0.04 box sides per joint
SAME_PERSON = 0.6


@dataclass(eq=False)
class _Track:
    """One person as last seen; `id` is -1 until confirmed."""

    number: int
    xy: Float[np.ndarray, "joint 2"]
    score: Float[np.ndarray, " joint"]
    box: Float[np.ndarray, " 4"]
    begun: float
    time: float
    id: int = -1
    hits: int = 1
    velocity: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))
    # of place and speed
    covariance: Float[np.ndarray, "2 2"] = field(default_factory=lambda: np.diag([JITTER**2, SPEED**2]))

    def predict(self, time: float) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, "2 2"]]:
        """How far the person should have moved by then, px, and how sure that is: speed decays, and is pushed at
        random.
        """
        gap = max(time - self.time, 0.0)
        decay = np.exp(-gap / DAMPING)
        step = np.array([[1, DAMPING * (1 - decay)], [0, decay]])
        push = PUSH**2 * np.array([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]])
        return self.velocity * step[0, 1], step @ self.covariance @ step.T + push

    def compare(
        self, people: Detections, time: float
    ) -> tuple[Float[np.ndarray, " person"], Float[np.ndarray, "person 2"]]:
        """How likely this is each of these people, 0..1 (0: it cannot be), and how far each is from where it should be,
        px.
        """
        travel, covariance = self.predict(time)
        offset = _offset(self.xy + travel, self.score, people)
        side = _sides(self.box)
        sides = _sides(people.boxes)
        pose = np.sort(_joint_overlap(self.xy + travel, people.xy, np.sqrt(side * sides)))[:, -TOP:].mean(-1)
        box = _box_overlap(self.box + np.tile(travel, 2), people.boxes)
        distance = np.linalg.norm(offset, axis=-1) / side
        surprise = distance**2 / (covariance[0, 0] + JITTER**2) + (np.log(sides / side) / SIZE_JITTER) ** 2
        memory = 2 * np.exp(-(time - self.time) / POSE_MEMORY)
        affinity = (memory * pose + box + 2 * np.exp(-surprise / 8)) / (memory + 3)
        reach = min(NEAREST + DRIFT * (time - self.time), FARTHEST)
        possible = (distance < reach) & ((surprise < SURPRISE) | (pose > LEAST_AFFINITY) | (box > LEAST_AFFINITY))
        return np.where(possible, affinity, 0), offset

    def see(self, people: Detections, person: int, offset: Float[np.ndarray, " 2"], time: float) -> None:
        """Take this person as the track's, seen this far (px) from where it should be: a Kalman step, softened for
        leaps.
        """
        _, covariance = self.predict(time)
        surprise = (offset**2).sum() / _sides(self.box) ** 2 / (covariance[0, 0] + JITTER**2)
        gain = covariance[:, 0] / ((covariance[0, 0] + JITTER**2) * max(1.0, surprise / SURPRISE))
        self.velocity = self.velocity * np.exp(-max(time - self.time, 0.0) / DAMPING) + gain[1] * offset
        self.covariance = covariance - np.outer(gain, covariance[0])
        self.xy = people.xy[person]
        self.score = people.score[person]
        self.box = people.boxes[person]
        self.time = time
        self.hits += 1


@dataclass(frozen=True)
class Who:
    """Who the people of one frame are."""

    owners: list[_Track | None]

    @property
    def tracks(self) -> Int[np.ndarray, " person"]:
        """The same number as in other frames for the same person, at once, also for people who turn out to be ghosts;
        -1 for a double.
        """
        return np.array([-1 if owner is None else owner.number for owner in self.owners], np.int64)

    @property
    def ids(self) -> Int[np.ndarray, " person"]:
        """Ids as far as they are known by now; -1 for a double, and for somebody who is not (or never was) there for
        long enough.
        """
        return np.array([-1 if owner is None else owner.id for owner in self.owners], np.int64)


class Tracker:
    """Gives the people of each frame the ids of the people before; after PoseFlow (pose and box overlap, Hungarian),
    with motion ours.

    Causal and deterministic; the order in which a frame's people are listed does not matter. A person who is not seen
    is expected where their motion, ever less certain, would bring them, and keeps their id for `look_back` seconds. Ids
    are 1, 2, 3, ... in order of appearance and are never given twice.

    Arguments:
        look_back: s, how long a hidden person's id is kept; ours.
        confirm: s, for which somebody new must be seen in every frame to get an id, so that ghosts get none; ours. A
            person's frames are final, in hindsight from the first on, once this has passed. 0: at once.
    """

    def __init__(self, *, look_back: float = 2.0, confirm: float = 1 / 3) -> None:
        self._look_back = look_back
        self.confirm = confirm
        self.reset()

    def reset(self) -> None:
        """Forget everybody: another video starts, with id 1."""
        self._tracks: list[_Track] = []
        self._begun: float | None = None
        self._time = 0.0
        self._frames = self._met = self._given = 0

    def update(self, people: Detections, time: float) -> Who:
        """Take the people of the next frame, and say who they are.

        Arguments:
            people: as a frontend saw them.
            time: of the frame, s; never earlier than the frame before.
        """
        self._begun = time if self._begun is None else self._begun
        self._time = time
        self._frames += 1
        self._tracks = [track for track in self._tracks if time - track.time <= self._look_back]
        owners: list[_Track | None] = [None] * len(people)
        free = _without_duplicates(people, _canonical_order(people))
        for tracks in ([t for t in self._tracks if t.id > 0], [t for t in self._tracks if t.id < 0]):
            free = _match(tracks, people, free, owners, time)
        seen = {id(owner) for owner in owners}
        self._tracks = [track for track in self._tracks if track.id > 0 or id(track) in seen]
        for person in free:
            self._met += 1
            newcomer = _Track(self._met, people.xy[person], people.score[person], people.boxes[person], time, time)
            owners[person] = newcomer
            self._tracks.append(newcomer)
        self._confirm(lambda track: time - track.begun > self.confirm - 1e-6)
        return Who(owners)

    def finish(self) -> None:
        """No frame follows. If all were less than it takes to confirm somebody, whoever was seen twice, or in the only
        one, has an id.
        """
        if self._begun is not None and self._time - self._begun < self.confirm:
            self._confirm(lambda track: track.hits >= min(self._frames, 2))

    def _confirm(self, there: Callable[[_Track], bool]) -> None:
        for track in self._tracks:
            if track.id < 0 and there(track):
                self._given += 1
                track.id = self._given


def _match(
    tracks: list[_Track], people: Detections, free: list[int], owners: list[_Track | None], time: float
) -> list[int]:
    """Give the free people to the tracks that they fit best together; returns who is still free."""
    if not tracks or not free:
        return free
    candidates = people.select(free)
    compared = [track.compare(candidates, time) for track in tracks]
    affinity = np.stack([likely for likely, _ in compared])
    for row, column in zip(*linear_sum_assignment(affinity, maximize=True), strict=True):
        if affinity[row, column] > LEAST_AFFINITY:
            tracks[row].see(people, free[column], compared[row][1][column], time)
            owners[free[column]] = tracks[row]
    return [person for person in free if owners[person] is None]


def _without_duplicates(people: Detections, order: list[int]) -> list[int]:
    """These people, in this order, without those whose every joint lies on a better seen person's."""
    kept: list[int] = []
    sides = _sides(people.boxes)
    for person in sorted(order, key=lambda person: -people.box_score[person]):
        others = people.xy[kept]
        if (
            not kept
            or _joint_overlap(people.xy[person], others, np.sqrt(sides[person] * sides[kept])).mean(-1).max()
            < SAME_PERSON
        ):
            kept.append(person)
    return [person for person in order if person in kept]


def _canonical_order(people: Detections) -> list[int]:
    """The people from left to right, whatever order they came in."""
    return sorted(
        range(len(people)),
        key=lambda who: (*people.boxes[who], people.box_score[who], *people.xy[who].flat, *people.score[who]),
    )


def _offset(
    xy: Float[np.ndarray, "joint 2"], score: Float[np.ndarray, " joint"], people: Detections
) -> Float[np.ndarray, "person 2"]:
    """From this pose to each person's, px: the median over the half of the joints that both are surest of."""
    half = (len(xy) + 1) // 2
    surest = np.argsort(-score * people.score, axis=-1, kind="stable")[:, :half]
    return np.median(np.take_along_axis(people.xy - xy, surest[..., None], axis=1), axis=1)


def _joint_overlap(
    xy: Float[np.ndarray, "joint 2"], others: Float[np.ndarray, "person joint 2"], sides: Float[np.ndarray, " person"]
) -> Float[np.ndarray, "person joint"]:
    """Intersection over union of the squares round the same joint of one pose and of each other, for people of these
    box sides.
    """
    shared = np.maximum(1 - np.abs(others - xy) / (2 * JOINT_REACH * sides[:, None, None]), 0).prod(-1)
    return shared / (2 - shared)


def _box_overlap(box: Float[np.ndarray, " 4"], others: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, " person"]:
    """Intersection over union."""
    shared = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0).prod(-1)
    area = (box[2:] - box[:2]).prod()
    areas = (others[:, 2:] - others[:, :2]).prod(-1)
    return shared / np.maximum(area + areas - shared, 1e-9)


def _sides(boxes: Float[np.ndarray, "*any 4"]) -> Float[np.ndarray, "*any"]:
    """The longer side of each box, px; at least one pixel."""
    return np.maximum((boxes[..., 2:] - boxes[..., :2]).max(-1), 1.0)
