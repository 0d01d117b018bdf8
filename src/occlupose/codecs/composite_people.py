"""From composite fields to people: the greedy decoder of PifPaf (Kreiss et al., CVPR 2019, section 3.3).

Peaks of the joints' maps are seeds, the highest first. A person grows from a seed along the most certain connection,
until none is left. A connection from a joint is the best vote of the limb's association field: its confidence, less the
farther it begins from the joint, times the map where it ends (eq. 2).

Ours, for joints that only a reasoner knows (HUPOR, supplement 1.2), for which the association fields have no votes:
seeds are peaks of the maps, not cells of the intensity fields; where no vote is worth enough, a limb leads to the peak
that the part affinity field leads to; and a peak belongs to one person.

Coordinates are cells of the maps.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from occlupose.codecs.heatmaps import check_numbers, values_at
from occlupose.codecs.limb_fields import Peaks, PeopleInMaps, find_peaks, score_limbs

MIN_SEED = 0.2
"""Minimum height of a seed, as published."""

MIN_PEAK = 0.1
"""Minimum height of a peak that a limb may lead to (ours)."""

MIN_VOTE = 0.1
"""Minimum confidence of a cell of an association field that votes, as published."""

MIN_CONNECTION = 0.05
"""Minimum worth of a connection (ours)."""

SAME = 2.0
"""Joints of a kind nearer than this, cells, are one joint (ours)."""

NARROWEST = 1.0
"""Minimum spread of where a vote begins, cells (ours)."""


@dataclass(frozen=True, eq=False)
class LimbVotes:
    """The confident cells of a limb's association field.

    Attributes:
        confidence: 0..1.
        ends: where the first and the second joint are.
        spread: of these.
    """

    confidence: Float[np.ndarray, " vote"]
    ends: Float[np.ndarray, "vote 2 2"]
    spread: Float[np.ndarray, "vote 2"]


def connect_people(
    heatmaps: Float[np.ndarray, "joint y x"],
    fields: Float[np.ndarray, "limb 2 y x"],
    votes: Sequence[LimbVotes],
    limbs: Sequence[tuple[int, int]],
) -> PeopleInMaps:
    """The people in an image.

    Arguments:
        heatmaps, fields: of visible and hidden joints together; around 0..1.
        votes: of every limb.
        limbs: first and second joint of every limb.

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    check_numbers(heatmaps=heatmaps, fields=fields)
    image = _Image(heatmaps, fields, votes, limbs, find_peaks(heatmaps, MIN_PEAK))
    people: list[Float[np.ndarray, "joint 2"]] = []
    seeds = [
        (float(height), joint, place)
        for joint, peaks in enumerate(image.peaks)
        for height, place in zip(peaks.score, peaks.xy, strict=True)
        if height > MIN_SEED
    ]
    for _, joint, place in sorted(seeds, key=lambda seed: -seed[0]):
        if not image.is_taken(joint, place[None])[0]:
            people.append(image.grow(joint, place))
    xy = np.stack(people) if people else np.zeros((0, len(heatmaps), 2))
    known = np.isfinite(xy).all(-1)
    return PeopleInMaps(xy, np.where(known, values_at(heatmaps, xy), 0))


class _Image:
    """The fields of an image, and the joints that have been given to people."""

    def __init__(
        self,
        heatmaps: Float[np.ndarray, "joint y x"],
        fields: Float[np.ndarray, "limb 2 y x"],
        votes: Sequence[LimbVotes],
        limbs: Sequence[tuple[int, int]],
        peaks: Sequence[Peaks],
    ) -> None:
        self.heatmaps = heatmaps
        self.fields = fields
        self.votes = votes
        self.limbs = limbs
        self.peaks = peaks
        self.taken: list[list[np.ndarray]] = [[] for _ in heatmaps]

    def is_taken(self, joint: int, places: Float[np.ndarray, "place 2"]) -> Bool[np.ndarray, " place"]:
        """Whether somebody has this joint at these places."""
        taken = np.array(self.taken[joint]).reshape(-1, 2)
        return (np.linalg.norm(places[:, None] - taken, axis=-1) < SAME).any(1)

    def grow(self, seed: int, place: Float[np.ndarray, "2"]) -> Float[np.ndarray, "joint 2"]:
        """A person from one joint."""
        person = np.full((len(self.heatmaps), 2), np.nan)
        waiting: list[tuple[float, int, tuple[float, float]]] = []

        def add(joint: int, place: Float[np.ndarray, "2"]) -> None:
            person[joint] = place
            self.taken[joint].append(place)
            for limb, ends in enumerate(self.limbs):
                if joint in ends:
                    end = ends.index(joint)
                    other = ends[1 - end]
                    if np.isnan(person[other, 0]):
                        worth, target = self.connect(limb, end, other, place)
                        if worth > MIN_CONNECTION:
                            heapq.heappush(waiting, (-worth, other, (float(target[0]), float(target[1]))))

        add(seed, place)
        while waiting:
            _, joint, found = heapq.heappop(waiting)
            at = np.array(found)
            if np.isnan(person[joint, 0]) and not self.is_taken(joint, at[None])[0]:
                add(joint, at)
        return person

    def connect(
        self, limb: int, end: int, other: int, place: Float[np.ndarray, "2"]
    ) -> tuple[float, Float[np.ndarray, "2"]]:
        """The worth of the best connection from one end of a limb, and where it leads to.

        Arguments:
            end: 0 or 1: which of the limb's joints the place is.
            other: the joint to find.
        """
        worth, target = self._by_votes(self.votes[limb], end, other, place)
        if worth > MIN_CONNECTION:
            return worth, target
        return self._by_field(limb, end, other, place)

    def _by_votes(
        self, votes: LimbVotes, end: int, other: int, place: Float[np.ndarray, "2"]
    ) -> tuple[float, Float[np.ndarray, "2"]]:
        """By the association field; eq. 2. The end is moved to the nearest peak, if there is one."""
        begins = votes.ends[:, end]
        leads = votes.ends[:, 1 - end]
        distance = np.linalg.norm(begins - place, axis=-1) / np.maximum(votes.spread[:, end], NARROWEST)
        height = values_at(self.heatmaps[other][None], leads[:, None])[:, 0]
        worth = votes.confidence * np.exp(-distance) * height * ~self.is_taken(other, leads)
        if not worth.size:
            return 0.0, place
        best = int(worth.argmax())
        return float(worth[best]), self._nearest_peak(other, leads[best])

    def _by_field(
        self, limb: int, end: int, other: int, place: Float[np.ndarray, "2"]
    ) -> tuple[float, Float[np.ndarray, "2"]]:
        """By the part affinity field, to one of the peaks."""
        peaks = self.peaks[other]
        places = np.broadcast_to(place, peaks.xy.shape)
        start, target = (places, peaks.xy) if end == 0 else (peaks.xy, places)
        worth = score_limbs(self.fields, np.full(len(peaks.xy), limb), start, target) * peaks.score
        worth = worth * ~self.is_taken(other, peaks.xy)
        if not worth.size:
            return 0.0, place
        best = int(worth.argmax())
        return float(worth[best]), peaks.xy[best]

    def _nearest_peak(self, joint: int, place: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        distance = np.linalg.norm(self.peaks[joint].xy - place, axis=-1)
        return self.peaks[joint].xy[distance.argmin()] if (distance < SAME).any() else place
