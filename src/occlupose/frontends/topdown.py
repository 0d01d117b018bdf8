"""Detects and follows people, frame by frame, for keypoint networks that take one person at a time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.codecs.crops import Regions, radius
from occlupose.detections import Detections
from occlupose.frontends.detector import PersonDetector, context_tile, whole_image
from occlupose.frontends.regions import similarity, suppress_similar
from occlupose.frontends.search import TileScheduler
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

MIN_PRESENCE = 0.5  # confidence that there is a person, 0..1; less is nobody
CERTAIN_PRESENCE = 0.85  # above it a person is masked in the search for others
DUPLICATE_SIMILARITY = 0.5  # poses more similar are one person
MIN_AGREEMENT = 0.5  # least similarity of two estimates of a new person
ESTABLISHED_AGE = 10  # frames after which a followed person is not displaced by a new one; ours
KNOWN_SIMILARITY = 0.2  # a region more similar to a known one is not a new person
SIGMA = 0.08  # of all joints where the skeleton has no sigmas: that of a shoulder
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "head_top", "neck")


@dataclass(frozen=True)
class RegionEstimates:
    """Keypoints in some regions of one image.

    Attributes:
        xy: keypoints, full-image px.
        score: confidence of each keypoint, 0..1.
        presence: confidence that the region shows a person, 0..1.
        regions: of the same people in the next frame.
        age: frames for which each person has been followed; `TopDown` counts them.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    presence: Float[np.ndarray, " person"]
    regions: Regions
    age: Int[np.ndarray, " person"] = field(default_factory=lambda: np.zeros(0, int))

    def select(self, rows: list[int] | np.ndarray) -> "RegionEstimates":
        """Some of the people, in this order."""
        return RegionEstimates(**{name: values[rows] for name, values in vars(self).items()})


def concatenate(first: RegionEstimates, second: RegionEstimates) -> RegionEstimates:
    """The people of both."""
    both = {name: np.concatenate([values, getattr(second, name)]) for name, values in vars(first).items()}
    return RegionEstimates(**both)


class TopDown(ABC):
    """Follows one region per person from frame to frame and runs the detector at intervals for new people.

    The first frame is searched as a whole, in tiles, and around everybody found. After that the whole image is searched
    every `detect_every` frames, and one tile every `search_every` frames: around a lost person, otherwise in turn one
    of the scheduler's tiles and one around a known person. The place where a person disappears, or two become one, is
    searched at once. (The schedule is ours.)

    Arguments:
        detector: finds regions.
        detect_every, search_every: frames.
        max_people: maximum number of people; the most confident are kept. None: no limit.
        tiled: also search tiles, for small people.

    Attributes:
        best_rejected: highest presence of a rejected person since `reset`.
    """

    name: str
    skeleton: Skeleton

    def __init__(
        self,
        detector: PersonDetector,
        *,
        detect_every: int = 10,
        search_every: int = 2,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.detector = detector
        self.detect_every = detect_every
        self.search_every = search_every
        self.max_people = max_people
        self.tiled = tiled
        self.reset()

    @abstractmethod
    def estimate(self, image: Pyramid, regions: Regions) -> RegionEstimates:
        """Keypoints in these regions."""

    def reset(self) -> None:
        """Forget earlier frames."""
        self.best_rejected = 0.0
        self._frame = 0
        self._turn = 0
        self._size = (0, 0)
        self._regions = np.zeros((0, 4))
        self._age = np.zeros(0, int)
        self._lost = np.zeros((0, 4))

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame."""
        image = frame.pyramid
        if self._size != image.size:
            self.reset()
            self._size = image.size
            self._scheduler = TileScheduler(*image.size)
        followed = replace(self.estimate(image, self._regions), age=self._age + 1)
        # a region that jumps has lost its person
        stable = similarity(self._regions, followed.regions) > KNOWN_SIMILARITY
        kept = self._distinct(replace(followed, presence=followed.presence * stable))
        known = followed.select(kept)
        gone = np.delete(self._regions, kept, axis=0)
        if self._frame == 0:
            tiles = self._scheduler.all_tiles(image) if self.tiled else [whole_image(*self._size)]
            known = self._add(image, known, self.detector(image, tiles))
            known = self._add(image, known, self._search_around(image, known, known.regions))
        elif self._frame % self.detect_every == 0:
            known = self._add(image, known, self.detector(image, [whole_image(*self._size)]))
        elif len(gone):
            known = self._add(image, known, self._search_around(image, known, gone))
        elif self._frame % self.search_every == 0:
            known = self._add(image, known, self._search_tile(image, known))
        self._remember(known, gone)
        return make_detections(known, self.skeleton, self._size)

    def _search_tile(self, image: Pyramid, known: RegionEstimates) -> Regions:
        """Regions found in the next tile: around a lost person, else of the scheduler or around a known person."""
        if len(self._lost):
            due = self._lost[:1]
            self._lost = self._lost[1:]
            return self._search_around(image, known, due)
        self._turn += 1
        if self._turn % 2 and len(known.regions):
            row = self._turn // 2 % len(known.regions)
            return self._search_around(image, known, known.regions[row : row + 1])
        return self.detector(image, [self._scheduler.next(image, _boxes(known))] if self.tiled else [])

    def _search_around(self, image: Pyramid, known: RegionEstimates, regions: Regions) -> Regions:
        """People found around these regions with the certain ones masked."""
        limbs = np.array([self.skeleton.index(*limb) for limb in self.skeleton.limbs])
        return self.detector(
            image,
            [context_tile(region) for region in regions],
            mask=known.xy[known.presence > CERTAIN_PRESENCE][:, limbs],
        )

    def _add(self, image: Pyramid, known: RegionEstimates, found: Regions) -> RegionEstimates:
        """Adds the people in these regions who are new. A detected region is inaccurate, so keypoints are estimated
        twice and must agree.
        """
        new = found[similarity(found[:, None], known.regions).max(1, initial=0) < KNOWN_SIMILARITY]
        if not len(new):
            return known
        rough = replace(self.estimate(image, new), age=np.zeros(len(new), int))
        self.best_rejected = max(self.best_rejected, rough.presence[rough.presence <= MIN_PRESENCE].max(initial=0))
        rough = rough.select(rough.presence > MIN_PRESENCE)
        fine = replace(self.estimate(image, rough.regions), age=rough.age)
        both = concatenate(known, fine.select(similarity(rough.regions, fine.regions) > MIN_AGREEMENT))
        return both.select(self._distinct(both))

    def _distinct(self, estimates: RegionEstimates) -> list[int]:
        """Rows that show a person, each person once: established people first, then by confidence."""
        quality = estimates.presence * estimates.score.mean(1) + (estimates.age >= ESTABLISHED_AGE)
        part = _limbs_of_others(estimates, quality) & (estimates.age < ESTABLISHED_AGE)
        bodies = np.flatnonzero((estimates.presence > MIN_PRESENCE) & ~part)
        kept = suppress_similar(self._pose_similarity(estimates.select(bodies)), quality[bodies], DUPLICATE_SIMILARITY)
        return [int(row) for row in bodies[kept][: self.max_people]]

    def _pose_similarity(self, estimates: RegionEstimates) -> Float[np.ndarray, "person person"]:
        """Object keypoint similarity between poses (COCO), the larger of that of the bodies and that of the heads: two
        heads are never in one place. The area is the squared radius of the larger region.
        """
        squared_distance = ((estimates.xy[:, None] - estimates.xy[None]) ** 2).sum(-1)
        size = np.maximum(radius(estimates.regions), 1)
        area = np.maximum(size[:, None], size[None]) ** 2
        joints = np.exp(-squared_distance / (8 * np.square(self.skeleton.sigmas or SIGMA) * area[..., None]))
        head = [row for row, joint in enumerate(self.skeleton.joints) if joint in HEAD]
        return np.maximum(joints.mean(-1), joints[..., head].mean(-1) if head else 0)

    def _remember(self, known: RegionEstimates, gone: Regions) -> None:
        """Regions for the next frame, and those of lost people, to be searched three times each."""
        lost = np.concatenate([self._lost, np.tile(gone, (3, 1))])
        self._lost = lost[similarity(lost[:, None], known.regions).max(1, initial=0) < KNOWN_SIMILARITY][-12:]
        self._regions = known.regions
        self._age = known.age
        self._frame += 1


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
        boxes=_boxes(known).astype(np.float32),
        box_score=known.presence.astype(np.float32),
    )


def _boxes(estimates: RegionEstimates) -> Float[np.ndarray, "person 4"]:
    """Bounding boxes around the joints, a tenth of the radius wider."""
    margin = 0.1 * np.maximum(radius(estimates.regions), 1)[:, None]
    return np.concatenate([estimates.xy.min(1) - margin, estimates.xy.max(1) + margin], -1)


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
