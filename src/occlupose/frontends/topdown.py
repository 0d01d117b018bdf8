"""From regions to people, frame after frame: what every estimator has in common that looks at one person at a time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.codecs.crops import Regions, radius
from occlupose.detections import Detections
from occlupose.frontends.detector import Detector, around, whole
from occlupose.frontends.regions import similarity, suppress
from occlupose.frontends.search import Search
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

PRESENT = 0.5  # belief that there is a person, 0..1: less is nobody
SURE = 0.85  # more is surely somebody
SAME = 0.5  # poses more alike are one person
STEADY = 0.5  # two looks at a new person must agree so far
SETTLED = 10  # frames for which somebody was followed whom nobody new displaces; ours
KNOWN = 0.2  # a region more similar to a known one brings nobody new
SIGMA = 0.08  # of all joints where the skeleton has no sigmas of its own: that of a shoulder
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "head_top", "neck")


@dataclass(frozen=True)
class Estimate:
    """What a network says of some regions of one image.

    Attributes:
        xy, score: joints, in full-image pixels, and belief in each, 0..1.
        presence: belief that the region shows a person, 0..1.
        regions: where to look for the same people in the next frame.
        age: frames for which each has been followed; `TopDown` counts them.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    presence: Float[np.ndarray, " person"]
    regions: Regions
    age: Int[np.ndarray, " person"] = field(default_factory=lambda: np.zeros(0, int))

    def take(self, rows: list[int] | np.ndarray) -> "Estimate":
        """These people alone, in this order."""
        return Estimate(self.xy[rows], self.score[rows], self.presence[rows], self.regions[rows], self.age[rows])


def joined(first: Estimate, second: Estimate) -> Estimate:
    """The people of both."""
    pairs = ((getattr(first, name), getattr(second, name)) for name in ("xy", "score", "presence", "regions", "age"))
    return Estimate(*(np.concatenate(pair) for pair in pairs))


class TopDown(ABC):
    """Keeps one region per person from frame to frame and asks the detector for new people now and then.

    The first frame is searched as a whole, in tiles, and round everyone found. After that the whole picture is searched
    every `detect_every` frames, and every `look_every` frames one small view: round somebody lost, or else a tile and
    round somebody seen in turn. Where a person vanishes, or two become one, is looked at at once. (The schedule is
    ours.)

    Arguments:
        detector: finds regions.
        detect_every, look_every: frames.
        max_people: at most so many, the surest; None for all.
        tiled: also search tiles, where people are small.
    """

    name: str
    skeleton: Skeleton

    def __init__(
        self,
        detector: Detector,
        *,
        detect_every: int = 10,
        look_every: int = 2,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.detector = detector
        self.detect_every = detect_every
        self.look_every = look_every
        self.max_people = max_people
        self.tiled = tiled
        self.reset()

    @abstractmethod
    def estimate(self, picture: Pyramid, regions: Regions) -> Estimate:
        """What the network says of these regions."""

    def reset(self) -> None:
        """Forget the frames before."""
        self.best_rejected = 0.0
        self._frame = 0
        self._turn = 0
        self._size = (0, 0)
        self._tracked = np.zeros((0, 4))
        self._age = np.zeros(0, int)
        self._lost = np.zeros((0, 4))

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame."""
        picture = frame.pyramid
        if self._size != picture.size:
            self.reset()
            self._size = picture.size
            self._search = Search(*picture.size)
        followed = replace(self.estimate(picture, self._tracked), age=self._age + 1)
        steady = similarity(self._tracked, followed.regions) > KNOWN  # a region that leaps has lost its person
        kept = self._distinct(replace(followed, presence=followed.presence * steady))
        seen = followed.take(kept)
        gone = np.delete(self._tracked, kept, axis=0)
        if self._frame == 0:
            views = self._search.everything(picture) if self.tiled else [whole(*self._size)]
            seen = self._add(picture, seen, self.detector(picture, views))
            seen = self._add(picture, seen, self._beside(picture, seen, seen.regions))
        elif self._frame % self.detect_every == 0:
            seen = self._add(picture, seen, self.detector(picture, [whole(*self._size)]))
        elif len(gone):
            seen = self._add(picture, seen, self._beside(picture, seen, gone))
        elif self._frame % self.look_every == 0:
            seen = self._add(picture, seen, self._look(picture, seen))
        self._remember(seen, gone)
        return detections(seen, self.skeleton, self._size)

    def _look(self, picture: Pyramid, seen: Estimate) -> Regions:
        """Regions found in the one small view that is due: round somebody lost, a tile, round somebody seen, a tile,
        and so on.
        """
        if len(self._lost):
            due = self._lost[:1]
            self._lost = self._lost[1:]
            return self._beside(picture, seen, due)
        self._turn += 1
        if self._turn % 2 and len(seen.regions):
            row = self._turn // 2 % len(seen.regions)
            return self._beside(picture, seen, seen.regions[row : row + 1])
        return self.detector(picture, [self._search.next(picture, _boxes(seen))] if self.tiled else [])

    def _beside(self, picture: Pyramid, seen: Estimate, regions: Regions) -> Regions:
        """People found round these regions when those who are seen for sure are painted over."""
        limbs = np.array([self.skeleton.index(*limb) for limb in self.skeleton.limbs])
        return self.detector(
            picture, [around(region) for region in regions], hide=seen.xy[seen.presence > SURE][:, limbs]
        )

    def _add(self, picture: Pyramid, seen: Estimate, found: Regions) -> Estimate:
        """Also the people in these regions, where they are new. A detector's region is rough, so the network looks
        twice and must agree.
        """
        new = found[similarity(found[:, None], seen.regions).max(1, initial=0) < KNOWN]
        if not len(new):
            return seen
        rough = replace(self.estimate(picture, new), age=np.zeros(len(new), int))
        self.best_rejected = max(self.best_rejected, rough.presence[rough.presence <= PRESENT].max(initial=0))
        rough = rough.take(rough.presence > PRESENT)
        fine = replace(self.estimate(picture, rough.regions), age=rough.age)
        both = joined(seen, fine.take(similarity(rough.regions, fine.regions) > STEADY))
        return both.take(self._distinct(both))

    def _distinct(self, estimate: Estimate) -> list[int]:
        """Rows that show a person, each person once: who has been followed for long before others, and the surest
        first.
        """
        quality = estimate.presence * estimate.score.mean(1) + (estimate.age >= SETTLED)
        part = _part(estimate, quality) & (estimate.age < SETTLED)
        bodies = np.flatnonzero((estimate.presence > PRESENT) & ~part)
        kept = suppress(self._alike(estimate.take(bodies)), quality[bodies], SAME)
        return [int(row) for row in bodies[kept][: self.max_people]]

    def _alike(self, estimate: Estimate) -> Float[np.ndarray, "person person"]:
        """Object keypoint similarity between poses (COCO), of the whole bodies or of the heads: no two people have
        their head in one place.

        The squared radius of the larger region stands for the area.
        """
        apart = ((estimate.xy[:, None] - estimate.xy[None]) ** 2).sum(-1)
        size = np.maximum(radius(estimate.regions), 1)
        area = np.maximum(size[:, None], size[None]) ** 2
        joints = np.exp(-apart / (8 * np.square(self.skeleton.sigmas or SIGMA) * area[..., None]))
        head = [row for row, joint in enumerate(self.skeleton.joints) if joint in HEAD]
        return np.maximum(joints.mean(-1), joints[..., head].mean(-1) if head else 0)

    def _remember(self, seen: Estimate, gone: Regions) -> None:
        """Where to look in the next frame, and where to look again for those who are gone: three times each."""
        lost = np.concatenate([self._lost, np.tile(gone, (3, 1))])
        self._lost = lost[similarity(lost[:, None], seen.regions).max(1, initial=0) < KNOWN][-12:]
        self._tracked = seen.regions
        self._age = seen.age
        self._frame += 1


def detections(seen: Estimate, skeleton: Skeleton, size: tuple[int, int]) -> Detections:
    """As given out: joints beyond the edge of an image of this size are believed less, a tenth of the radius costing a
    factor exp(-1/2).
    """
    beyond = np.maximum(np.maximum(-0.5 - seen.xy, seen.xy - np.array(size) + 0.5), 0)
    share = np.linalg.norm(beyond, axis=-1) / np.maximum(radius(seen.regions), 1)[:, None]
    score = seen.score * np.exp(-((share / 0.1) ** 2) / 2)
    return Detections(
        skeleton=skeleton,
        xy=seen.xy.astype(np.float32),
        score=score.astype(np.float32),
        boxes=_boxes(seen).astype(np.float32),
        box_score=seen.presence.astype(np.float32),
    )


def _boxes(estimate: Estimate) -> Float[np.ndarray, "person 4"]:
    """Round the joints, a tenth of the radius wider."""
    margin = 0.1 * np.maximum(radius(estimate.regions), 1)[:, None]
    return np.concatenate([estimate.xy.min(1) - margin, estimate.xy.max(1) + margin], -1)


def _part(estimate: Estimate, quality: Float[np.ndarray, " person"]) -> Bool[np.ndarray, " person"]:
    """Which poses are a limb taken for a body: most of the box inside that of a larger person, and hardly better than
    that one. Ours.
    """
    low = estimate.xy.min(1)
    high = estimate.xy.max(1)
    shared = np.maximum(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0).prod(-1)
    inside = shared > 0.6 * (high - low).prod(-1)[:, None]
    size = radius(estimate.regions)
    hardly_better = quality[:, None] < np.minimum(quality + 0.1, 0.95)
    return (inside & (size[:, None] < 0.7 * size) & hardly_better).any(1)
