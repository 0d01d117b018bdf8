"""From maps to people (HUPOR, arXiv 2208.00090, with the grouping of SMAP, Zhen et al. 2020): finds peaks of the
heatmaps and assigns them to people.

Each pelvis is a person. Limb by limb, from the nearest person to the farthest, each person takes the joint that the
field leads to and that is a possible limb length away at that depth. Nearer people come first because they are occluded
least. Nearly the whole field must agree with a limb, which rejects limbs where others of their kind cross: the field
there is the mean of both.

Coordinates are cells of the maps. Two details differ from the publication (ours): peaks are refined by the maximum of
the parabola through the logarithms, which is exact for Gaussians, instead of a centroid; and a peak may be two cells
wide, for joints halfway between cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from occlupose.codecs.heatmaps import subcell_offset
from occlupose.codecs.multi_person import MultiPersonMaps

BONES = {
    ("neck", "head_top"): 26.42,
    ("neck", "pelvis"): 48.37,
    ("neck", "right_shoulder"): 14.88,
    ("right_shoulder", "right_elbow"): 31.28,
    ("right_elbow", "right_wrist"): 23.92,
    ("neck", "left_shoulder"): 14.98,
    ("left_shoulder", "left_elbow"): 31.28,
    ("left_elbow", "left_wrist"): 23.92,
    ("pelvis", "right_hip"): 12.46,
    ("right_hip", "right_knee"): 48.27,
    ("right_knee", "right_ankle"): 39.04,
    ("pelvis", "left_hip"): 12.46,
    ("left_hip", "left_knee"): 48.19,
    ("left_knee", "left_ankle"): 39.04,
}
"""Typical lengths of limbs, cm (SMAP)."""

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

MAX_STRETCH = 1.2
"""Limbs longer than typical by more than this factor lose score."""

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
    length = _lengths(vector)
    scores = np.where(length < np.sqrt(fields.shape[-2] * fields.shape[-1]) / 150, 0.1, -1.0)
    if not len(vector):
        return scores
    start = start.astype(np.float32)
    unit = vector / np.maximum(length, 1e-6)[:, None]
    count = _sample_counts(vector)

    def agreement_at(rows: Int[np.ndarray, " n"], step: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Agreement of the field with these candidates at these samples."""
        fraction = (step / (count.take(rows) - 1)).astype(np.float32)
        cells = start.take(rows, 0) + fraction[:, None] * vector.take(rows, 0)
        return _agreement(_vectors_at(fields, limb.take(rows), cells), unit.take(rows, 0))

    middle = agreement_at(np.arange(len(vector)), count // 2) <= MIN_AGREEMENT
    likely = np.flatnonzero(_enough(middle, count))
    if not len(likely):
        return scores
    counts = count.take(likely)
    first = np.cumsum(counts) - counts
    agreement = agreement_at(np.repeat(likely, counts), np.arange(counts.sum()) - np.repeat(first, counts))
    disagrees = agreement <= MIN_AGREEMENT
    failed = np.add.reduceat(disagrees.astype(int), first)
    mean = np.add.reduceat(np.where(disagrees, 0, agreement), first) / np.maximum(counts - failed, 1)
    scores[likely] = np.where(_enough(failed, counts), mean, scores.take(likely))
    return scores


def _enough(
    failed: Shaped[np.ndarray, " candidate"], count: Int[np.ndarray, " candidate"]
) -> Bool[np.ndarray, " candidate"]:
    """Whether enough samples agree when this many of them do not."""
    return count - failed > MIN_AGREEING * count


def _sample_counts(vector: Float[np.ndarray, "candidate 2"]) -> Int[np.ndarray, " candidate"]:
    """Number of samples along each candidate."""
    return np.rint(np.sqrt(5 * np.abs(vector).max(-1))).clip(*SAMPLE_RANGE).astype(int)


def _vectors_at(
    fields: Float[np.ndarray, "limb component y x"], limb: Int[np.ndarray, " n"], cells: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """The x and y of fields in the cells nearest to these positions."""
    components, height, width = fields.shape[1:]
    x = np.minimum(np.maximum(cells[:, 0] + 0.5, 0).astype(int), width - 1)
    y = np.minimum(np.maximum(cells[:, 1] + 0.5, 0).astype(int), height - 1)
    index = (components * height * limb + y) * width + x
    flat = np.ascontiguousarray(fields).reshape(-1)
    return np.stack([flat.take(index), flat.take(index + height * width)], -1)


def _agreement(vectors: Float[np.ndarray, "n 2"], unit: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Dot products of field vectors with limb directions."""
    return vectors[:, 0] * unit[:, 0] + vectors[:, 1] * unit[:, 1]


def limb_order(codec: MultiPersonMaps) -> list[tuple[int, int, int, bool]]:
    """Limbs in the order in which people are assembled from the pelvis: index, joint that is assigned already, joint to
    find, and whether that is against the direction of the field.
    """
    sources, targets = codec.limbs
    remaining = list(range(len(sources)))
    reached = [codec.skeleton.index("pelvis")[0]]
    order = []
    while remaining:
        limb = next(limb for limb in remaining if sources[limb] in reached or targets[limb] in reached)
        forward = sources[limb] in reached
        start, end = (sources[limb], targets[limb]) if forward else (targets[limb], sources[limb])
        order.append((limb, start, end, not forward))
        reached.append(end)
        remaining.remove(limb)
    return order


@dataclass(frozen=True, eq=False)
class LimbCandidates:
    """All candidates of one limb, between the peaks of its two joints.

    Attributes:
        limb: its index.
        start, end: the joint that is assigned already, and the joint to find.
        scores: of each pair of peaks.
        lengths: distance of each pair, px.
    """

    limb: int
    start: int
    end: int
    scores: Float[np.ndarray, "start end"]
    lengths: Float[np.ndarray, "start end"]


def find_limb_candidates(
    peaks: Sequence[Peaks], fields: Float[np.ndarray, "limb 3 y x"], codec: MultiPersonMaps
) -> list[LimbCandidates]:
    """Scores of all pairs of peaks, limb by limb in the order of `limb_order`."""
    order = limb_order(codec)
    counts = np.array([[len(peaks[start].xy), len(peaks[end].xy)] for _, start, end, _ in order])
    limbs = np.array([limb for limb, *_ in order])
    signs = np.array([-1 if reverse else 1 for *_, reverse in order])
    start_peaks = np.concatenate([peaks[start].xy for _, start, _, _ in order])
    end_peaks = np.concatenate([peaks[end].xy for _, _, end, _ in order])
    start_index, end_index, step = _all_pairs(counts)
    start_xy = start_peaks.take(start_index, 0)
    end_xy = end_peaks.take(end_index, 0)
    vector = end_xy - start_xy
    length = _lengths(vector)
    unit = vector * (signs.take(step) / np.maximum(length, 1e-6))[:, None]
    at_start = _vectors_at(fields, np.repeat(limbs, counts[:, 0]), start_peaks).take(start_index, 0)
    at_end = _vectors_at(fields, np.repeat(limbs, counts[:, 1]), end_peaks).take(end_index, 0)
    start_failed = _agreement(at_start, unit) <= MIN_AGREEMENT
    end_failed = _agreement(at_end, unit) <= MIN_AGREEMENT
    failed = np.add(start_failed, end_failed, dtype=int)
    likely = np.flatnonzero(_enough(failed, _sample_counts(vector)))
    scores = np.where(length < np.sqrt(np.prod(codec.shape)) / 150, 0.1, -1.0)
    reverse = signs.take(step.take(likely))[:, None] < 0
    start_xy = start_xy.take(likely, 0)
    end_xy = end_xy.take(likely, 0)
    source = np.where(reverse, end_xy, start_xy)
    target = np.where(reverse, start_xy, end_xy)
    scores[likely] = score_limbs(fields, limbs.take(step.take(likely)), source, target)
    lengths = codec.stride * np.maximum(length, 1e-3)
    cuts = np.cumsum(counts.prod(1))[:-1]
    parts = zip(order, counts, np.split(scores, cuts), np.split(lengths, cuts), strict=True)
    return [
        LimbCandidates(limb, start, end, limb_scores.reshape(shape), limb_lengths.reshape(shape))
        for (limb, start, end, _), shape, limb_scores, limb_lengths in parts
    ]


def _all_pairs(
    counts: Int[np.ndarray, "step 2"],
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """All pairs of start and end peaks, step by step: indices of start and end among the peaks of all steps, and of the
    step.

    Arguments:
        counts: number of start and end peaks of each step.
    """
    step = np.repeat(np.arange(len(counts)), counts.prod(1))
    before = np.cumsum(counts, 0) - counts
    row = np.arange(counts[:, 0].sum())
    width = np.repeat(counts[:, 1], counts[:, 0])
    start = np.repeat(row, width)
    end = np.arange(len(start)) - np.repeat(np.cumsum(width) - width - np.repeat(before[:, 1], counts[:, 0]), width)
    return start, end, step


def _lengths(vector: Float[np.ndarray, "candidate 2"]) -> Float[np.ndarray, " candidate"]:
    return np.sqrt(vector[:, 0] * vector[:, 0] + vector[:, 1] * vector[:, 1])  # np.hypot is ten times as slow


def assign_peaks(
    peaks: Sequence[Peaks],
    candidates: Sequence[LimbCandidates],
    depth: Float[np.ndarray, " person"],
    codec: MultiPersonMaps,
) -> Int[np.ndarray, "person joint"]:
    """The index of each person's peak of each joint, -1 where there is none.

    Arguments:
        peaks: of each joint; each pelvis is a person.
        candidates: as `find_limb_candidates` returns them.
        depth: of each pelvis, as `multi_person.normalise_depth`; NaN where unknown.

    Returns:
        In the order of the pelvis peaks.
    """
    root = codec.skeleton.index("pelvis")[0]
    count = len(peaks[root].xy)
    assignment = np.full((count, len(peaks)), -1)
    assignment[:, root] = np.arange(count)
    depth = np.where(depth > 0, depth, np.nan)
    nearest_first = np.argsort(depth, kind="stable")
    for step in candidates:
        people = nearest_first[assignment[nearest_first, step.start] >= 0]
        if not len(people) or not step.scores.shape[1]:
            continue
        start = assignment[people, step.start]
        longest = MAX_STRETCH * BONES[codec.skeleton.limbs[step.limb]] / depth[people]
        lengths = step.lengths.take(start, 0)
        scores = step.scores.take(start, 0)
        penalty = np.fmin(longest[:, None] / lengths - 1, 0)
        _assign_nearest_first(assignment, people, step.end, np.where(scores > 0, scores + penalty / 3, -1))
    return assignment


def _assign_nearest_first(
    assignment: Int[np.ndarray, "person joint"], people: Int[np.ndarray, " some"], joint: int, scores: np.ndarray
) -> None:
    """Assigns to these people, in this order, the best free peak of a joint, by scores of (some, peak)."""
    best = scores.argmax(-1)
    if len(set(best.tolist())) == len(best):  # the best peaks of all people differ
        positive = scores[np.arange(len(best)), best] > 0
        assignment[people[positive], joint] = best[positive]
        return
    for person, row in zip(people, scores, strict=True):
        best = row.argmax()
        if row[best] > 0:
            assignment[person, joint] = best
            scores[:, best] = -1


def peak_positions(
    assignment: Int[np.ndarray, "person joint"], peaks: Sequence[Peaks]
) -> Float[np.ndarray, "person joint 2"]:
    """Joints of all people, cells; NaN where absent."""
    absent = [[np.nan, np.nan]]
    joints = [np.concatenate([of_joint.xy, absent])[rows] for of_joint, rows in zip(peaks, assignment.T, strict=True)]
    return np.stack(joints, 1)


def sample_limb_depths(
    fields: Float[np.ndarray, "limb 3 y x"], xy: Float[np.ndarray, "person joint 2"], codec: MultiPersonMaps
) -> Float[np.ndarray, "person limb"]:
    """Depth of each limb's second joint relative to its first, m: the winsorised mean of ten samples along it; NaN
    where a joint is missing.
    """
    sources, targets = codec.limbs
    fraction = np.linspace(0, 1, 10)[:, None]
    cells = xy[:, sources, None] * (1 - fraction) + xy[:, targets, None] * fraction
    known = np.isfinite(cells).all((-1, -2))
    cells = np.floor(np.nan_to_num(cells) + 0.5).astype(int)
    height, width = fields.shape[-2:]
    limbs = np.arange(len(sources))[:, None]
    samples = fields[limbs, 2, cells[..., 1].clip(0, height - 1), cells[..., 0].clip(0, width - 1)]
    return np.where(known, winsorised_mean(samples), np.nan)


def winsorised_mean(samples: Float[np.ndarray, "*batch 10"]) -> Float[np.ndarray, "*batch"]:
    """The mean of samples after clipping them to their 10th and 90th percentile."""
    if not samples.size:
        return samples.sum(-1)
    ranks = np.sort(samples, -1)
    low = ranks[..., :1] * 0.1 + ranks[..., 1:2] * 0.9
    high = ranks[..., -1:] * 0.1 + ranks[..., -2:-1] * 0.9
    return ranks.clip(low, high).mean(-1)
