"""From maps to people (HUPOR, arXiv 2208.00090, whose grouping is that of SMAP, Zhen et al. 2020): peaks, and who has which of them.

People are their pelvises. From the nearest to the farthest, limb after limb, everybody takes the joint that the field leads to and that is
as far away as a limb of that person can be long; who is nearer chooses first, as those in front are seen best.

Coordinates are cells of the maps. Of what is published, peaks' places between cells are ours: the top of the parabola through logarithms,
which is exact for Gaussians, in place of a centroid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from occlupose.codecs.scenes import SceneMaps

BONES = {
    ("neck", "head_top"): 26.42, ("neck", "pelvis"): 48.37, ("neck", "right_shoulder"): 14.88,
    ("right_shoulder", "right_elbow"): 31.28, ("right_elbow", "right_wrist"): 23.92, ("neck", "left_shoulder"): 14.98,
    ("left_shoulder", "left_elbow"): 31.28, ("left_elbow", "left_wrist"): 23.92, ("pelvis", "right_hip"): 12.46,
    ("right_hip", "right_knee"): 48.27, ("right_knee", "right_ankle"): 39.04, ("pelvis", "left_hip"): 12.46,
    ("left_hip", "left_knee"): 48.19, ("left_knee", "left_ankle"): 39.04,
}  # fmt: skip
"""Usual lengths of limbs, cm (SMAP)."""

LOWEST = 0.067
"""A peak is higher: 0.2 on the published sum of three levels."""

MOST = 127
"""Peaks of a joint, the highest of them."""

AGREES = 0.05
"""A sample of a field agrees with a way if their product is larger; along a limb 95 in 100 do."""

SHARE = 0.95

SAMPLES = (5, 25)
"""Of a field along a limb, at least and at most."""

STRETCH = 1.2
"""A limb may look so much longer than usual before that counts against it."""

FLOOR = 1e-6

AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where a joint might be, cells, and how high the map is there, 0..1."""

    xy: Float[np.ndarray, "peak 2"]
    score: Float[np.ndarray, " peak"]


def peaks(heatmaps: Float[np.ndarray, "joint y x"], least: float = LOWEST) -> list[Peaks]:
    """Cells that are higher than all eight around them, of each joint's map; the highest first."""
    around = np.stack([cv2.dilate(each, AROUND, borderType=cv2.BORDER_CONSTANT, borderValue=-np.inf) for each in heatmaps])
    joints, y, x = np.nonzero((heatmaps > around) & (heatmaps > least))
    score = heatmaps[joints, y, x]
    height, width = heatmaps.shape[1:]
    left, right = heatmaps[joints, y, (x - 1).clip(0)], heatmaps[joints, y, (x + 1).clip(max=width - 1)]
    above, below = heatmaps[joints, (y - 1).clip(0), x], heatmaps[joints, (y + 1).clip(max=height - 1), x]
    moves = [_top(left, score, right), _top(above, score, below)]
    xy = np.stack([x, y], -1) + np.stack(moves, -1)
    found = []
    for joint in range(len(heatmaps)):
        own = np.flatnonzero(joints == joint)
        own = own[np.argsort(-score[own], kind="stable")][:MOST]
        found.append(Peaks(xy[own], score[own]))
    return found


def _top(before: Float[np.ndarray, " n"], middle: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From the middle of three cells to the top of the Gaussian through them; half a cell at most."""
    before, middle, after = (np.log(values.clip(FLOOR)) for values in (before, middle, after))
    curve = before - 2 * middle + after
    return np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=curve < 0).clip(-0.5, 0.5)


def limb_scores(
    field: Float[np.ndarray, "2 y x"], sources: Float[np.ndarray, "source 2"], targets: Float[np.ndarray, "target 2"]
) -> Float[np.ndarray, "source target"]:
    """How well a field leads from each place to each other one, at most 1: the mean over samples that agree with the way, where nearly all
    do; else -1, or 0.1 where the places are next to each other."""
    way = (targets[None] - sources[:, None]).reshape(-1, 2)
    start = np.repeat(sources, len(targets), 0)
    length = np.hypot(*way.T)
    count = np.clip(np.rint(np.sqrt(5 * np.abs(way).max(-1, initial=0))), *SAMPLES).astype(int)
    unit = way / np.maximum(length, 1e-6)[:, None]
    height, width = field.shape[1:]
    scores = np.where(length < np.sqrt(height * width) / 150, 0.1, -1.0)

    def along(pairs: Int[np.ndarray, " pair"], steps: Int[np.ndarray, "pair step"]) -> Float[np.ndarray, "pair step"]:
        share = steps / (count[pairs, None] - 1)
        x, y = (
            np.floor(start[pairs, axis, None] + share * way[pairs, axis, None] + 0.5).astype(int).clip(0, side - 1)
            for axis, side in enumerate((width, height))
        )
        return field[0, y, x] * unit[pairs, 0, None] + field[1, y, x] * unit[pairs, 1, None]

    some = along(np.arange(len(way)), np.rint(np.linspace(0, 1, SAMPLES[0]) * (count[:, None] - 1)).astype(int))
    likely = np.flatnonzero((some > AGREES).sum(-1) >= SAMPLES[0] - 1)  # of 25 samples one at most may disagree, of up to 20 none
    steps = np.arange(SAMPLES[1])
    values = along(likely, np.minimum(steps, count[likely, None] - 1))
    agree = (values > AGREES) & (steps < count[likely, None])
    agreed = agree.sum(-1)
    mean = (values * agree).sum(-1) / np.maximum(agreed, 1)
    scores[likely] = np.where(agreed > SHARE * count[likely], mean, scores[likely])
    return scores.reshape(len(sources), len(targets))


def order(maps: SceneMaps) -> list[tuple[int, int, int, bool]]:
    """Limbs as people grow: number, joint that is there, joint that is looked for, and whether that is against the field's direction."""
    sources, targets = maps.limbs
    root = maps.skeleton.index("pelvis")[0]
    left, reached, steps = list(range(len(sources))), [root], []
    while left:
        limb = next(limb for limb in left if sources[limb] in reached or targets[limb] in reached)
        forward = sources[limb] in reached
        here, there = (sources[limb], targets[limb]) if forward else (targets[limb], sources[limb])
        steps.append((limb, here, there, not forward))
        reached.append(there)
        left.remove(limb)
    return steps


@dataclass(frozen=True, eq=False)
class Step:
    """How everybody may grow by one limb.

    Attributes:
        limb: its number.
        here, there: joint that people have, and joint that they look for.
        scores: of each peak of the one and of the other.
        lengths: between them, px.
    """

    limb: int
    here: int
    there: int
    scores: Float[np.ndarray, "here there"]
    lengths: Float[np.ndarray, "here there"]


def connections(found: Sequence[Peaks], fields: Float[np.ndarray, "limb 3 y x"], maps: SceneMaps) -> list[Step]:
    """All ways in which limbs can join peaks."""
    steps = []
    for limb, here, there, against in order(maps):
        ends = found[there].xy, found[here].xy
        scores = limb_scores(fields[limb, :2], *ends).T if against else limb_scores(fields[limb, :2], *ends[::-1])
        lengths = maps.stride * np.hypot(*(ends[0][None] - ends[1][:, None]).transpose(2, 0, 1))
        steps.append(Step(limb, here, there, scores, lengths))
    return steps


def associate(
    found: Sequence[Peaks], steps: Sequence[Step], depth: Float[np.ndarray, " person"], maps: SceneMaps
) -> Int[np.ndarray, "person joint"]:
    """Everybody's peaks: of each person and joint the number of the peak, -1 where there is none.

    Arguments:
        found: of each joint; every pelvis is a person.
        steps: `connections`.
        depth: of each pelvis, as `scenes.normalised`; NaN where it is not known.

    Returns:
        In the order of the pelvises' peaks.
    """
    root = maps.skeleton.index("pelvis")[0]
    count = len(found[root].xy)
    mine = np.full((count, len(found)), -1)
    mine[:, root] = np.arange(count)
    depth = np.where(depth > 0, depth, np.nan)
    from_near = np.argsort(depth, kind="stable")
    for step in steps:
        who = from_near[mine[from_near, step.here] >= 0]
        if not len(who) or not step.scores.shape[1]:
            continue
        at = mine[who, step.here]
        usual = STRETCH * BONES[maps.skeleton.limbs[step.limb]] / depth[who]
        fits = np.minimum(usual[:, None] / np.maximum(step.lengths[at], 1e-6) - 1, 0)
        scores = np.where(step.scores[at] > 0, step.scores[at] + np.nan_to_num(fits) / 3, -1)
        for person, row in zip(who, scores, strict=True):
            best = row.argmax()
            if row[best] > 0:
                mine[person, step.there] = best
                scores[:, best] = -1
    return mine


def limb_depths(
    fields: Float[np.ndarray, "limb 3 y x"], xy: Float[np.ndarray, "person joint 2"], maps: SceneMaps
) -> Float[np.ndarray, "person limb"]:
    """How much farther away each limb's second joint is than its first, m: the mean of ten samples along it, those beyond the 10th and 90th
    percentile being taken for those; NaN where an end is missing."""
    sources, targets = maps.limbs
    share = np.linspace(0, 1, 10)[:, None]
    at = xy[:, sources, None] * (1 - share) + xy[:, targets, None] * share
    known = np.isfinite(at).all((-1, -2))
    at = np.floor(np.nan_to_num(at) + 0.5).astype(int)
    height, width = fields.shape[-2:]
    limbs = np.arange(len(sources))[:, None]
    samples = fields[limbs, 2, at[..., 1].clip(0, height - 1), at[..., 0].clip(0, width - 1)]
    low, high = np.percentile(samples, (10, 90), axis=-1, keepdims=True)
    return np.where(known, samples.clip(low, high).mean(-1), np.nan)
