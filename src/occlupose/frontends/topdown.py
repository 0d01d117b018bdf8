"""From regions to people, frame after frame: what every estimator has in common that looks at one person at a time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occlupose.frontends import People
from occlupose.frontends.detector import Detector, View, tiles, whole
from occlupose.frontends.regions import Pyramid, Regions, radius, similarity, suppress
from occlupose.media import Frame
from occlupose.skeletons import Skeleton


@dataclass(frozen=True)
class Estimate:
    """What a network says of some regions of one image.

    Attributes:
        xy, score: joints, in full-image pixels, and belief in each, 0..1.
        presence: belief that the region shows a person, 0..1.
        regions: where to look for the same people in the next frame.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    presence: Float[np.ndarray, " person"]
    regions: Regions

    def take(self, rows: list[int] | np.ndarray) -> "Estimate":
        return Estimate(self.xy[rows], self.score[rows], self.presence[rows], self.regions[rows])


def joined(first: Estimate, second: Estimate) -> Estimate:
    """The people of both."""
    pairs = ((getattr(first, name), getattr(second, name)) for name in ("xy", "score", "presence", "regions"))
    return Estimate(*(np.concatenate(pair) for pair in pairs))


class TopDown(ABC):
    """Keeps one region per person from frame to frame and asks the detector for new people now and then.

    The whole picture is searched at the first frame and then every `detect_every` frames. Between those, every `look_every` frames one small
    view is searched: where a person was lost or two overlap, or else the next tile of the picture, in turn. (The schedule is ours.)

    Arguments:
        detector: finds regions.
        detect_every, look_every: frames.
        max_people: at most so many, the surest; None for all.
        tiled: also search tiles, where people are small.
        presence: least belief that there is a person, 0..1.
        same: poses more alike than this (object keypoint similarity) are one person.
    """

    name: str
    skeleton: Skeleton

    def __init__(
        self,
        detector: Detector,
        *,
        detect_every: int = 10,
        look_every: int = 3,
        max_people: int | None = None,
        tiled: bool = True,
        presence: float = 0.5,
        same: float = 0.5,
    ) -> None:
        self.detector = detector
        self.detect_every, self.look_every = detect_every, look_every
        self.max_people, self.tiled = max_people, tiled
        self.presence, self.same = presence, same
        self.reset()

    @property
    @abstractmethod
    def network_seconds(self) -> float:
        """Time spent inside the networks so far, detector included."""

    @abstractmethod
    def estimate(self, picture: Pyramid, regions: Regions) -> Estimate:
        """What the network says of these regions."""

    def reset(self) -> None:
        """Forget the frames before."""
        self._regions = np.zeros((0, 4))
        self._lost = np.zeros((0, 4))
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._turn = 0

    def __call__(self, frame: Frame) -> People:
        """The people in this frame."""
        picture = Pyramid(frame.image)
        if self._size != (picture.width, picture.height):
            self.reset()
            self._size = (picture.width, picture.height)
        tracked = self._regions
        found = self._search(picture)
        found = found[similarity(found, tracked).max(1, initial=0) < 0.3]
        estimate = self.estimate(picture, tracked)
        if len(found):
            first = self.estimate(picture, found)
            estimate = joined(estimate, self.estimate(picture, first.regions[first.presence > self.presence]))
        estimate = estimate.take(self._people(estimate))
        alone = similarity(tracked, estimate.regions).max(1, initial=0) < 0.1
        self._lost = np.concatenate([self._lost, tracked[alone]])[-4:]
        self._regions = estimate.regions
        self._count += 1
        return People(estimate.xy.astype(np.float32), self._score(estimate), self._boxes(estimate), estimate.presence.astype(np.float32))

    def _search(self, picture: Pyramid) -> Regions:
        """Regions the detector finds in what is due to be looked at."""
        views = self._due(picture.width, picture.height)
        return self.detector(picture, views)[0] if views else np.zeros((0, 4))

    def _due(self, width: int, height: int) -> list[View]:
        small = tiles(width, height) + tiles(width, height, share=0.3) if self.tiled else []
        if self._count == 0:
            return [whole(width, height), *small]
        if self._count % self.detect_every == 0:
            return [whole(width, height)]
        if self._count % self.look_every:
            return []
        if len(self._lost):
            region, self._lost = self._lost[0], self._lost[1:]
            return [_around(region)]
        self._turn += 1
        return [small[self._turn % len(small)]] if small else []

    def _people(self, estimate: Estimate) -> list[int]:
        """Rows that show a person, each person once, the surest first."""
        sure = np.flatnonzero(estimate.presence > self.presence)
        chosen = estimate.take(sure)
        kept = suppress(self._alike(chosen), chosen.presence * chosen.score.mean(1), self.same)
        return [int(sure[row]) for row in kept[: self.max_people]]

    def _alike(self, estimate: Estimate) -> Float[np.ndarray, "person person"]:
        """Object keypoint similarity between poses (COCO), the scale being the larger region."""
        sigmas = np.array(self.skeleton.sigmas)
        apart = ((estimate.xy[:, None] - estimate.xy[None]) ** 2).sum(-1)
        size = radius(estimate.regions)
        area = np.maximum(size[:, None], size[None]) ** 2
        return np.exp(-apart / (8 * sigmas**2 * area[..., None])).mean(-1)

    def _score(self, estimate: Estimate) -> Float[np.ndarray, "person joint"]:
        """Belief in the joints, less where they lie beyond the image's edge: a tenth of the radius costs a factor exp(-1/2)."""
        assert self._size is not None
        beyond = np.maximum(np.maximum(-0.5 - estimate.xy, estimate.xy - np.array(self._size) + 0.5), 0)
        share = np.linalg.norm(beyond, axis=-1) / np.maximum(radius(estimate.regions), 1)[:, None]
        return (estimate.score * np.exp(-((share / 0.1) ** 2) / 2)).astype(np.float32)

    def _boxes(self, estimate: Estimate) -> Float[np.ndarray, "person 4"]:
        """Round the joints, a tenth of the radius wider."""
        margin = 0.1 * radius(estimate.regions)[:, None]
        return np.concatenate([estimate.xy.min(1) - margin, estimate.xy.max(1) + margin], -1).astype(np.float32)


def _around(region: Float[np.ndarray, " 4"]) -> View:
    """A view that shows the person and as much again."""
    side = 4 * max(float(radius(region)), 8.0)
    return (float(region[0]) - side / 2, float(region[1]) - side / 2, side)
