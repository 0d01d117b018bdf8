"""From maps to people (HUPOR, arXiv 2208.00090, with the grouping of SMAP, Zhen et al. 2020): assigns the peaks of the
heatmaps to people.

Each pelvis is a person. Limb by limb, from the nearest person to the farthest, each person takes the joint that the
field leads to and that is a possible limb length away at that depth. Nearer people come first because they are occluded
least. Nearly the whole field must agree with a limb, which rejects limbs where others of their kind cross: the field
there is the mean of both. Limbs to peaks lower than half have lower scores, as false peaks on the way to a joint agree
with the field as well as the joint does (ours).

Coordinates are cells of the maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occlupose.codecs.limb_fields import (
    MIN_AGREEMENT,
    Peaks,
    agreement_of,
    enough_agree,
    lengths_of,
    sample_counts,
    score_limbs,
    vectors_at,
)
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

MAX_STRETCH = 1.2
"""Limbs longer than typical by more than this factor lose score."""


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
    length = lengths_of(vector)
    unit = vector * (signs.take(step) / np.maximum(length, 1e-6))[:, None]
    at_start = vectors_at(fields, np.repeat(limbs, counts[:, 0]), start_peaks).take(start_index, 0)
    at_end = vectors_at(fields, np.repeat(limbs, counts[:, 1]), end_peaks).take(end_index, 0)
    start_failed = agreement_of(at_start, unit) <= MIN_AGREEMENT
    end_failed = agreement_of(at_end, unit) <= MIN_AGREEMENT
    failed = np.add(start_failed, end_failed, dtype=int)
    likely = np.flatnonzero(enough_agree(failed, sample_counts(vector)))
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
        weighted = scores * np.sqrt((2 * peaks[step.end].score).clip(max=1))
        _assign_nearest_first(assignment, people, step.end, np.where(scores > 0, weighted + penalty / 3, -1))
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
