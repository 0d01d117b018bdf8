"""Limbs in part affinity fields: peaks of heatmaps, and how well a field leads from one to another (Cao et al. 2017, as
in SMAP, Zhen et al. 2020).

Coordinates are cells of the maps. Ours: peaks are refined by the maximum of the parabola through the logarithms, which
is exact for Gaussians, instead of a centroid; and a peak may be two cells wide, for joints halfway between cells.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from occlupose.codecs.heatmaps import subcell_offset

MIN_PEAK = 0.067
"""Minimum height of a peak: a third of the published 0.2, which is of the sum of three levels."""

MAX_PEAKS = 127
"""Maximum number of peaks of a joint; the highest are kept."""

MIN_AGREEMENT = 0.05
"""A sample of a field agrees with a limb if their dot product is larger."""

MIN_AGREEING = 0.95
"""Fraction of the samples of a limb that must agree with it."""

SAMPLE_RANGE = (5, 25)
"""Minimum and maximum number of samples of a field along a limb."""

MAX_OFFSET = 0.49999
"""Maximum offset of a peak from the centre of its cell, so that the position determines the cell."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Candidates of a joint: positions in cells and heights of the heatmap, 0..1."""

    xy: Float[np.ndarray, "peak 2"]
    score: Float[np.ndarray, " peak"]


def find_peaks(heatmaps: Float[np.ndarray, "joint y x"], minimum: float = MIN_PEAK) -> list[Peaks]:
    """Local maxima of each joint's heatmap among eight neighbours, the highest first; the first, row by row, of equal
    neighbours.
    """
    joints, rows, columns = heatmaps.shape
    padded = np.full((joints, rows + 2, columns + 2), -np.inf, heatmaps.dtype)
    padded[:, 1:-1, 1:-1] = heatmaps
    flat = padded.reshape(-1)
    width = columns + 2
    cells = np.flatnonzero(flat > minimum)
    for step in (1, width, width - 1, width + 1):
        score = flat.take(cells)
        cells = cells[(score > flat.take(cells - step)) & (score >= flat.take(cells + step))]
    score = flat.take(cells)
    joint = cells // (width * (rows + 2))
    y, x = np.divmod(cells % (width * (rows + 2)), width)
    dx = subcell_offset(flat.take(cells - 1), score, flat.take(cells + 1))
    dy = subcell_offset(flat.take(cells - width), score, flat.take(cells + width))
    xy = np.stack([x - 1, y - 1], -1) + np.stack([dx, dy], -1).clip(-MAX_OFFSET, MAX_OFFSET)
    order = np.lexsort((-score, joint))
    parts = np.split(order, np.searchsorted(joint, np.arange(1, joints)))
    return [Peaks(xy[index[:MAX_PEAKS]], score[index[:MAX_PEAKS]]) for index in parts]


def score_limbs(
    fields: Float[np.ndarray, "limb component y x"],
    limb: Int[np.ndarray, " candidate"],
    start: Float[np.ndarray, "candidate 2"],
    end: Float[np.ndarray, "candidate 2"],
) -> Float[np.ndarray, " candidate"]:
    """Scores of candidate limbs, at most 1; -1 where the field does not lead from start to end, or 0.1 where these are
    adjacent.

    The score is the mean agreement of the samples that agree with the limb, if nearly all do.

    Arguments:
        limb: index of the field.
    """
    vector = (end - start).astype(np.float32)
    length = lengths_of(vector)
    scores = np.where(length < np.sqrt(fields.shape[-2] * fields.shape[-1]) / 150, 0.1, -1.0)
    if not len(vector):
        return scores
    start = start.astype(np.float32)
    unit = vector / np.maximum(length, 1e-6)[:, None]
    count = sample_counts(vector)

    def agreement_at(rows: Int[np.ndarray, " n"], step: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Agreement of the field with these candidates at these samples."""
        fraction = (step / (count.take(rows) - 1)).astype(np.float32)
        cells = start.take(rows, 0) + fraction[:, None] * vector.take(rows, 0)
        return agreement_of(vectors_at(fields, limb.take(rows), cells), unit.take(rows, 0))

    middle = agreement_at(np.arange(len(vector)), count // 2) <= MIN_AGREEMENT
    likely = np.flatnonzero(enough_agree(middle, count))
    if not len(likely):
        return scores
    counts = count.take(likely)
    first = np.cumsum(counts) - counts
    agreement = agreement_at(np.repeat(likely, counts), np.arange(counts.sum()) - np.repeat(first, counts))
    disagrees = agreement <= MIN_AGREEMENT
    failed = np.add.reduceat(disagrees.astype(int), first)
    mean = np.add.reduceat(np.where(disagrees, 0, agreement), first) / np.maximum(counts - failed, 1)
    scores[likely] = np.where(enough_agree(failed, counts), mean, scores.take(likely))
    return scores


def enough_agree(
    failed: Shaped[np.ndarray, " candidate"], count: Int[np.ndarray, " candidate"]
) -> Bool[np.ndarray, " candidate"]:
    """Whether enough samples agree when this many of them do not."""
    return count - failed > MIN_AGREEING * count


def sample_counts(vector: Float[np.ndarray, "candidate 2"]) -> Int[np.ndarray, " candidate"]:
    """Number of samples along each candidate."""
    return np.rint(np.sqrt(5 * np.abs(vector).max(-1))).clip(*SAMPLE_RANGE).astype(int)


def vectors_at(
    fields: Float[np.ndarray, "limb component y x"], limb: Int[np.ndarray, " n"], cells: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """The x and y of fields in the cells nearest to these positions."""
    components, height, width = fields.shape[1:]
    x = np.minimum(np.maximum(cells[:, 0] + 0.5, 0).astype(int), width - 1)
    y = np.minimum(np.maximum(cells[:, 1] + 0.5, 0).astype(int), height - 1)
    index = (components * height * limb + y) * width + x
    flat = np.ascontiguousarray(fields).reshape(-1)
    return np.stack([flat.take(index), flat.take(index + height * width)], -1)


def agreement_of(vectors: Float[np.ndarray, "n 2"], unit: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Dot products of field vectors with limb directions."""
    return vectors[:, 0] * unit[:, 0] + vectors[:, 1] * unit[:, 1]


def lengths_of(vector: Float[np.ndarray, "candidate 2"]) -> Float[np.ndarray, " candidate"]:
    """Length of each vector."""
    return np.sqrt(vector[:, 0] * vector[:, 0] + vector[:, 1] * vector[:, 1])  # np.hypot is ten times as slow


@dataclass(frozen=True, eq=False)
class PeopleInMaps:
    """People in maps, in the order in which they were found.

    Attributes:
        xy: cells; NaN where a joint is absent.
        score: height of the map at the joint; 0 where it is absent.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
