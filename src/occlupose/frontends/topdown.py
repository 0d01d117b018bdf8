"""Detects and follows people, frame by frame, for keypoint networks that take one person at a time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr

from occlupose.codecs.crops import Regions, radius, similarity
from occlupose.detections import Detections, suppress_similar
from occlupose.frontends.search import Tile, TileScheduler, context_tile, whole_image
from occlupose.media import Frame
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

DUPLICATE_SIMILARITY = 0.5  # poses more similar are one person
MIN_AGREEMENT = 0.5  # least similarity of two estimates of a new person
ESTABLISHED_AGE = 10  # frames after which a followed person is not displaced by a new one; ours
KNOWN_SIMILARITY = 0.2  # a region more similar to a known one is not a new person
EARLY = 1e-3  # s; a search is not put off by a frame because of rounding
BODY = 1.2  # sides of a body's bounding box / those of its joints' (measured on photographs of Open Images)
SIGMA = 0.08  # of all joints where the skeleton has no sigmas: that of a shoulder

MEMORY = tuple(
    "best_rejected _turn _size _regions _xy _age _found _lost _next_detection _next_search _scheduler".split()
)
"""What is kept from frame to frame."""


FoundRegions = tuple[Regions, Float[np.ndarray, " person"]]
NOTHING: FoundRegions = (np.zeros((0, 4)), np.zeros(0))


@dataclass(frozen=True)
class RegionEstimates:
    """Keypoints in some regions of one image.

    Attributes:
        xy: keypoints, full-image px.
        score: confidence of each keypoint, 0..1.
        presence: confidence that the region shows a person, 0..1, by the keypoints.
        regions: of the same people in the next frame.
        peaks: the highest peaks of the heatmaps: x, y, full-image px, and confidence, 0..1; by default none.
        found: confidence of the detector when it found the person, 0..1; NaN, the default, if it does not say.
        age: frames for which each person has been followed; `TopDown` counts them. By default 0.
        peak_score: confidence of the peak that each keypoint is at, 0..1; 0 where it is inferred. By default the score.
        place: mean of the places where each joint may be, full-image px; NaN, the default, if unknown.
        spread: standard deviation of these places along an axis, full-image px; NaN, the default, if unknown.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    presence: Float[np.ndarray, " person"]
    regions: Regions
    peaks: Float[np.ndarray, "person joint peak 3"] = None  # type: ignore[assignment]
    found: Float[np.ndarray, " person"] = None  # type: ignore[assignment]
    age: Int[np.ndarray, " person"] = None  # type: ignore[assignment]
    peak_score: Float[np.ndarray, "person joint"] = None  # type: ignore[assignment]
    place: Float[np.ndarray, "person joint 2"] = None  # type: ignore[assignment]
    spread: Float[np.ndarray, "person joint"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.peaks is None:
            object.__setattr__(self, "peaks", np.zeros((*self.score.shape, 0, 3)))
        if self.found is None:
            object.__setattr__(self, "found", np.full(len(self.xy), np.nan))
        if self.age is None:
            object.__setattr__(self, "age", np.zeros(len(self.xy), int))
        if self.peak_score is None:
            object.__setattr__(self, "peak_score", self.score)
        if self.place is None:
            object.__setattr__(self, "place", np.full(self.xy.shape, np.nan))
        if self.spread is None:
            object.__setattr__(self, "spread", np.full(self.score.shape, np.nan))

    @property
    def confidence(self) -> Float[np.ndarray, " person"]:
        """Confidence that there is a person, 0..1: geometric mean of the detector's and the keypoints' (ours)."""
        return np.sqrt(np.where(np.isnan(self.found), self.presence, self.found) * self.presence)

    def select(self, rows: list[int] | np.ndarray) -> "RegionEstimates":
        """Some of the people, in this order."""
        return RegionEstimates(**{name: values[rows] for name, values in vars(self).items()})


def concatenate(first: RegionEstimates, second: RegionEstimates) -> RegionEstimates:
    """The people of both."""
    both = {name: np.concatenate([values, getattr(second, name)]) for name, values in vars(first).items()}
    return RegionEstimates(**both)


class TopDown(ABC):
    """Follows one region per person from frame to frame and searches for new people at intervals.

    The first frame is searched as a whole, in tiles (of a video in the large ones), and around everybody found. After
    that the whole image is searched every `detect_every` seconds, and one tile every `search_every`: around a lost
    person, one that has not been searched yet, otherwise in turn one of the scheduler's tiles and one around a known
    person.
    The place where a person disappears, or two become one, is searched
    at once. (The schedule is ours.)

    Arguments:
        detect_every, search_every: seconds.
        max_people: maximum number of people; the most confident are kept. None: no limit.
        tiled: also search tiles, for small people.

    Attributes:
        min_joint_confidence: least score of a visible joint.
        min_confidence: confidence that there is a new person, 0..1; less is nobody.
        min_presence: presence of a person who is followed, 0..1; less is nobody.
        accurate: whether the detector's regions are as good as those around the keypoints.
        tile_sides, min_tile, tile_overlap: see `TileScheduler`.
        first_side: of the tiles that are searched in the first frame of a video, at least, as a fraction of the image's
            long side.
        best_rejected: highest confidence of a rejected person since `reset`.
    """

    name: str
    skeleton: Skeleton
    min_joint_confidence: float = MIN_CONFIDENCE
    min_confidence = 0.5
    min_presence = 0.5
    accurate = False
    tile_sides: tuple[float, ...] = (0.5, 0.25)
    min_tile = 480
    first_side = 0.5
    tile_overlap = 0.25  # the detector finds people of a sixth of a tile's height in tiles twice as large

    def __init__(
        self,
        *,
        detect_every: float = 1 / 3,
        search_every: float = 1 / 6,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.detect_every = detect_every
        self.search_every = search_every
        self.max_people = max_people
        self.tiled = tiled
        self.reset()

    @abstractmethod
    def find(self, image: Pyramid, tiles: list[Tile], known: RegionEstimates, *, hide: bool = False) -> FoundRegions:
        """New people in these tiles, and the detector's confidence in each, 0..1.

        Arguments:
            known: people who are known already.
            hide: the tiles are around known people, who may be painted over.
        """

    @abstractmethod
    def estimate(self, image: Pyramid, regions: Regions) -> RegionEstimates:
        """Keypoints in these regions."""

    def separate(self, estimates: RegionEstimates, before: Float[np.ndarray, "person joint 2"]) -> RegionEstimates:
        """Keypoints with each peak of the heatmaps at one person; by default as they are.

        Arguments:
            before: keypoints in the frame before, px; NaN for somebody new.
        """
        return estimates

    def reset(self) -> None:
        """Forget earlier frames."""
        self.best_rejected = 0.0
        self._turn = 0
        self._size = (0, 0)
        self._regions = np.zeros((0, 4))
        self._xy = np.zeros((0, len(self.skeleton), 2))
        self._age = np.zeros(0, int)
        self._found = np.zeros(0)
        self._lost = np.zeros((0, 4))
        self._next_detection: float | None = None
        self._next_search = 0.0

    @property
    def memory(self) -> dict[str, Any]:
        """What it knows of earlier frames. A front end that is given it goes on after them, in any process."""
        return {name: getattr(self, name) for name in MEMORY if hasattr(self, name)}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        for name, value in memory.items():
            setattr(self, name, value)

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame."""
        image = frame.pyramid
        if self._size != image.size:
            self.reset()
            self._size = image.size
            self._scheduler = TileScheduler(
                *image.size, sides=self.tile_sides, min_side=self.min_tile, overlap=self.tile_overlap
            )
        followed = self.separate(self.estimate(image, self._regions), self._xy)
        followed = replace(followed, age=self._age + 1, found=self._found)
        # a region that jumps has lost its person
        stable = similarity(self._regions, followed.regions) > KNOWN_SIMILARITY
        kept = self._distinct(replace(followed, presence=followed.presence * stable), self.min_presence)
        known = followed.select(kept)
        gone = np.delete(self._regions, kept, axis=0)
        known = self._search(frame, known, gone)
        self._remember(known, gone)
        return make_detections(known, self.skeleton, self._size)

    def _search(self, frame: Frame, known: RegionEstimates, gone: Regions) -> RegionEstimates:
        """Adds new people, if a search is due."""
        image = frame.pyramid
        time = frame.time
        first = self._next_detection is None
        if self._next_detection is None or time > self._next_detection - EARLY:
            tiles = [whole_image(*self._size)]
            if first and self.tiled:
                tiles = self._scheduler.start(image, least=self.first_side if frame.continues else 0)
            known = self._add(image, known, self.find(image, tiles, known))
            if first:
                known = self._add(image, known, self._search_around(image, known, known.regions))
            self._next_detection = time + self.detect_every
            self._next_search = time + self.search_every
        elif len(gone):
            known = self._add(image, known, self._search_around(image, known, gone))
        elif time > self._next_search - EARLY:
            known = self._add(image, known, self._search_tile(image, known))
            self._next_search = time + self.search_every
        return known

    def _search_tile(self, image: Pyramid, known: RegionEstimates) -> FoundRegions:
        """New people in the next tile: around a lost person, else of the scheduler or around a known person."""
        if len(self._lost):
            due = self._lost[:1]
            self._lost = self._lost[1:]
            return self._search_around(image, known, due)
        self._turn += 1
        if self._turn % 2 and len(known.regions) and not self._scheduler.behind:
            row = self._turn // 2 % len(known.regions)
            return self._search_around(image, known, known.regions[row : row + 1])
        return self.find(image, [self._scheduler.next(image, boxes_around(known))], known) if self.tiled else NOTHING

    def _search_around(self, image: Pyramid, known: RegionEstimates, regions: Regions) -> FoundRegions:
        """New people around these regions."""
        return self.find(image, [context_tile(region) for region in regions], known, hide=True)

    def _add(self, image: Pyramid, known: RegionEstimates, new: FoundRegions) -> RegionEstimates:
        """Adds the people in these regions. Where the detector's are inaccurate, keypoints are estimated twice and must
        agree.
        """
        regions, found = new
        if not len(regions):
            return known
        rough = self._estimate_new(image, known, regions, found)
        rejected = rough.confidence[rough.confidence <= self.min_confidence]
        self.best_rejected = max(self.best_rejected, rejected.max(initial=0))
        rough = rough.select(rough.confidence > self.min_confidence)
        if not self.accurate:
            fine = self._estimate_new(image, known, rough.regions, rough.found)
            agree = similarity(rough.regions, fine.regions) > MIN_AGREEMENT
            rough = fine.select(agree & (fine.confidence > self.min_confidence))
        both = concatenate(known, rough)
        return both.select(self._distinct(both, self.min_presence))

    def _estimate_new(
        self, image: Pyramid, known: RegionEstimates, regions: Regions, found: Float[np.ndarray, " person"]
    ) -> RegionEstimates:
        """New people in these regions."""
        new = replace(self.estimate(image, regions), found=found)
        followed = np.where(known.age[:, None, None] > 0, known.xy, np.nan)
        before = np.concatenate([followed, np.full_like(new.xy, np.nan)])
        return self.separate(concatenate(known, new), before).select(np.arange(len(known.xy), len(before)))

    def _distinct(self, estimates: RegionEstimates, least: float) -> list[int]:
        """Rows that show a person, each person once: established people first, then by confidence.

        Arguments:
            least: presence.
        """
        quality = estimates.presence * estimates.score.mean(1) + (estimates.age >= ESTABLISHED_AGE)
        part = _limbs_of_others(estimates, quality) & (estimates.age < ESTABLISHED_AGE)
        bodies = np.flatnonzero((estimates.presence > least) & ~part)
        kept = suppress_similar(self._pose_similarity(estimates.select(bodies)), quality[bodies], DUPLICATE_SIMILARITY)
        return [int(row) for row in bodies[kept][: self.max_people]]

    def _pose_similarity(self, estimates: RegionEstimates) -> Float[np.ndarray, "person person"]:
        """Object keypoint similarity between poses (COCO), of whole bodies: in an image, two heads may be in one place.
        The area is the squared radius of the larger region. A joint counts by the lesser of its two confidences (ours):
        guesses say nothing about whether two poses are of one person.
        """
        squared_distance = ((estimates.xy[:, None] - estimates.xy[None]) ** 2).sum(-1)
        size = np.maximum(radius(estimates.regions), 1)
        area = np.maximum(size[:, None], size[None]) ** 2
        similar = np.exp(-squared_distance / (8 * np.square(self.skeleton.sigmas or SIGMA) * area[..., None]))
        weight = np.minimum(estimates.score[:, None], estimates.score[None])
        return (weight * similar).sum(-1) / np.maximum(weight.sum(-1), 1e-6)

    def _remember(self, known: RegionEstimates, gone: Regions) -> None:
        """Regions for the next frame, and those of lost people, to be searched three times each."""
        lost = np.concatenate([self._lost, np.tile(gone, (3, 1))])
        self._lost = lost[similarity(lost[:, None], known.regions).max(1, initial=0) < KNOWN_SIMILARITY][-12:]
        self._regions = known.regions
        self._xy = known.xy
        self._age = known.age
        self._found = known.found


def make_detections(known: RegionEstimates, skeleton: Skeleton, size: tuple[int, int]) -> Detections:
    """The detections of a front end. Joints outside the image have lower scores, by exp(-1/2) at a tenth of the radius.

    Arguments:
        size: width and height of the image, px.
    """
    beyond = np.maximum(np.maximum(-0.5 - known.xy, known.xy - np.array(size) + 0.5), 0)
    share = np.linalg.norm(beyond, axis=-1) / np.maximum(radius(known.regions), 1)[:, None]
    score = known.score * np.exp(-((share / 0.1) ** 2) / 2)
    return Detections(
        skeleton=skeleton,
        xy=known.xy.astype(np.float32),
        score=score.astype(np.float32),
        boxes=boxes_around(known).astype(np.float32),
        box_score=known.confidence.astype(np.float32),
        spread=np.where(known.peak_score > 0, np.nan, known.spread).astype(np.float32),
        probability=state_probability(known.place, score, known.spread, size).astype(np.float32),
    )


def state_probability(
    place: Float[np.ndarray, "person joint 2"],
    visible: Float[np.ndarray, "person joint"],
    spread: Float[np.ndarray, "person joint"],
    size: tuple[int, int],
) -> Float[np.ndarray, "person joint 3"]:
    """Probability that each joint is absent (outside the image), occluded and visible, in the order of the states; NaN
    where the spread is unknown. A joint that is not visible is normally distributed around its place (ours).

    Arguments:
        place: mean of the places where it may be, px.
        visible: probability that it is visible.
        spread: standard deviation of the places along an axis, px.
        size: width and height of the image, px.
    """
    low = ndtr((-0.5 - place) / spread[..., None])
    high = ndtr((np.array(size) - 0.5 - place) / spread[..., None])
    inside = (high - low).prod(-1)
    return np.stack([(1 - visible) * (1 - inside), (1 - visible) * inside, visible + 0 * inside], -1)


def boxes_around(estimates: RegionEstimates) -> Float[np.ndarray, "person 4"]:
    """Bounding boxes around the bodies, which are larger than their joints (see `BODY`)."""
    low = estimates.xy.min(1)
    high = estimates.xy.max(1)
    margin = (BODY - 1) / 2 * np.maximum((high - low).max(1, keepdims=True), 1)
    return np.concatenate([low - margin, high + margin], -1)


def _limbs_of_others(estimates: RegionEstimates, quality: Float[np.ndarray, " person"]) -> Bool[np.ndarray, " person"]:
    """Which poses are a limb mistaken for a body: most of the box inside that of a larger person, and hardly more
    confident. Ours.
    """
    low = estimates.xy.min(1)
    high = estimates.xy.max(1)
    shared = np.maximum(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0).prod(-1)
    inside = shared > 0.6 * (high - low).prod(-1)[:, None]
    size = radius(estimates.regions)
    hardly_better = quality[:, None] < np.minimum(quality + 0.1, 0.95)
    return (inside & (size[:, None] < 0.7 * size) & hardly_better).any(1)
