"""From maps to people (HUPOR, arXiv 2208.00090, whose grouping is that of SMAP, Zhen et al. 2020): peaks, and who has
which of them.

People are their pelvises. From the nearest to the farthest, limb after limb, everybody takes the joint that the field
leads to and that is as far away as a limb of that person can be long; who is nearer chooses first, as those in front
are seen best. That is `PAPER`.

Where limbs of a kind cross, their field is the mean of theirs, and nothing where they are opposite: a rule by which
nearly all of a field must lead along a limb loses such limbs. `OURS` lets a limb pass where the field does not speak
against it, gives joints to all people at once so that they explain as much of the fields as they can, and leaves it to
`crossings` to ask which of that the fields bear out.

Coordinates are cells of the maps. Of what is published, peaks' places between cells are ours: the top of the parabola
through logarithms, which is exact for Gaussians, in place of a centroid; and so is that a peak may be two cells wide,
for joints halfway between cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import linear_sum_assignment

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
"""Usual lengths of limbs, cm (SMAP)."""

MIN_PEAK = 0.067
"""A peak is higher: 0.2 on the published sum of three levels."""

MAX_PEAKS = 127
"""Peaks of a joint, the highest of them."""

MIN_AGREEMENT = 0.05
"""A sample of a field agrees with a way if their product is larger; along a limb 95 in 100 do."""

MIN_AGREEING = 0.95

SAMPLE_RANGE = (5, 25)
"""Of a field along a limb, at least and at most."""

MAX_STRETCH = 1.2
"""A limb may look so much longer than usual before that counts against it."""

MIN_VALUE = 1e-6

MIN_SCORE = 0.02
"""What a limb counts, at least, against which the field does not speak (ours)."""

MAX_CONTRADICTING = 0.1
"""Share of a limb's samples that may speak against it (ours)."""

MAX_OFFSET = 0.49999
"""Cells from the middle of its own that a peak may lie, so that its cell is known from its place."""


@dataclass(frozen=True)
class GroupingRules:
    """How people are grouped.

    Attributes:
        crossings: as limbs may cross (ours); else as published.
        borne_out: share of a limb's samples that must agree with it when the others' part in the field is taken out.
    """

    crossings: bool = True
    borne_out: float = 0.6


OURS = GroupingRules()
PAPER = GroupingRules(crossings=False)
"""Ours is exact where maps are; weak networks want the published rules (`benchmarks/hupor_ablation.py` compares
them).
"""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where a joint might be, cells, and how high the map is there, 0..1."""

    xy: Float[np.ndarray, "peak 2"]
    score: Float[np.ndarray, " peak"]


def find_peaks(heatmaps: Float[np.ndarray, "joint y x"], least: float = MIN_PEAK) -> list[Peaks]:
    """Cells than which none of the eight around them is higher, of each joint's map; the highest first. Of neighbours
    that are as high, the first, row by row."""
    joints, rows, columns = heatmaps.shape
    framed = np.full((joints, rows + 2, columns + 2), -np.inf, heatmaps.dtype)
    framed[:, 1:-1, 1:-1] = heatmaps
    flat = framed.reshape(-1)
    wide = columns + 2
    cells = np.flatnonzero(flat > least)
    for beside in (1, wide, wide - 1, wide + 1):
        score = flat.take(cells)
        cells = cells[(score > flat.take(cells - beside)) & (score >= flat.take(cells + beside))]
    score = flat.take(cells)
    joint = cells // (wide * (rows + 2))
    (y, x) = np.divmod(cells % (wide * (rows + 2)), wide)
    left, right, above, below = (flat.take(cells + beside) for beside in (-1, 1, -wide, wide))
    xy = np.stack([x - 1 + _top(left, score, right), y - 1 + _top(above, score, below)], -1)
    chosen = np.lexsort((-score, joint))
    parts = np.split(chosen, np.searchsorted(joint, np.arange(1, joints)))
    return [Peaks(xy[own[:MAX_PEAKS]], score[own[:MAX_PEAKS]]) for own in parts]


def _top(
    before: Float[np.ndarray, " n"], middle: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """From the middle of three cells to the top of the Gaussian through them; half a cell at most, and nothing at the
    border.
    """
    inside = np.isfinite(before) & np.isfinite(after)
    before, middle, after = (np.log(values.clip(MIN_VALUE)) for values in (before, middle, after))
    curve = before - 2 * middle + after
    return np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=inside & (curve < 0)).clip(
        -MAX_OFFSET, MAX_OFFSET
    )


def score_limbs(
    fields: Float[np.ndarray, "limb 3 y x"],
    limb: Int[np.ndarray, " way"],
    start: Float[np.ndarray, "way 2"],
    end: Float[np.ndarray, "way 2"],
    rules: GroupingRules = PAPER,
) -> Float[np.ndarray, " way"]:
    """How well fields lead from places to others, at most 1; -1 where they do not, or 0.1 where the places are next to
    each other.

    As published it is the mean over samples that agree with the way, where nearly all do. Ours is the mean over all
    samples, each less what it turns aside; it is `LEAST` at least, where hardly any sample speaks against the way,
    whether it speaks for it or not: where n limbs cross, their field F is within (n - 1) / n of the way's nth part, and
    so, of n up to three, F . way >= 1.5 F . F - 0.5.

    Arguments:
        limb: number of the field.
    """
    way = (end - start).astype(np.float32)
    length = _lengths(way)
    scores = np.where(length < np.sqrt(fields.shape[-2] * fields.shape[-1]) / 150, 0.1, -1.0)
    if not len(way):
        return scores
    start = start.astype(np.float32)
    unit = way / np.maximum(length, 1e-6)[:, None]
    count = _samples(way)

    def looked(
        ways: Int[np.ndarray, " n"], step: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """How far the field agrees with these ways at these steps of them, and its square."""
        share = (step / (count.take(ways) - 1)).astype(np.float32)
        cells = start.take(ways, 0) + share[:, None] * way.take(ways, 0)
        return _agreement(_at(fields, limb.take(ways), cells), unit.take(ways, 0))

    middle = _fails(*looked(np.arange(len(way)), count // 2), rules)
    going = np.flatnonzero(_enough(middle, count, rules))
    if not len(going):
        return scores
    count_of = count.take(going)
    first = np.cumsum(count_of) - count_of
    agrees, square = looked(np.repeat(going, count_of), np.arange(count_of.sum()) - np.repeat(first, count_of))
    failing = _fails(agrees, square, rules)
    failed = np.add.reduceat(failing.astype(int), first)
    if rules.crossings:
        mean = np.add.reduceat(agrees - np.maximum(square - agrees, 0), first) / count_of
        mean = np.maximum(mean, MIN_SCORE)
    else:
        mean = np.add.reduceat(np.where(failing, 0, agrees), first) / np.maximum(count_of - failed, 1)
    scores[going] = np.where(_enough(failed, count_of, rules), mean, scores.take(going))
    return scores


def _enough(
    failed: Shaped[np.ndarray, " way"], count: Int[np.ndarray, " way"], rules: GroupingRules
) -> Bool[np.ndarray, " way"]:
    """Whether enough of the samples of ways agree when so many do not."""
    return failed <= MAX_CONTRADICTING * count if rules.crossings else count - failed > MIN_AGREEING * count


def _samples(way: Float[np.ndarray, "way 2"]) -> Int[np.ndarray, " way"]:
    """Of a field along ways, as many as are looked at."""
    return np.rint(np.sqrt(5 * np.abs(way).max(-1))).clip(*SAMPLE_RANGE).astype(int)


def _at(
    fields: Float[np.ndarray, "limb 3 y x"], limb: Int[np.ndarray, " n"], places: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """Fields in the cells of these places."""
    height, width = fields.shape[-2:]
    x, y = (
        np.minimum(np.maximum(places[:, axis] + 0.5, 0).astype(int), side - 1)
        for axis, side in ((0, width), (1, height))
    )
    number = (3 * height * limb + y) * width + x
    flat = np.ascontiguousarray(fields).reshape(-1)
    return np.stack([flat.take(number), flat.take(number + height * width)], -1)


def _agreement(
    said: Float[np.ndarray, "n 2"], unit: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How far fields agree with ways, and their squares."""
    right = said[:, 0]
    down = said[:, 1]
    return right * unit[:, 0] + down * unit[:, 1], right * right + down * down


def _fails(
    agrees: Float[np.ndarray, " n"], square: Float[np.ndarray, " n"], rules: GroupingRules
) -> Bool[np.ndarray, " n"]:
    """Whether a sample speaks against there being a limb; ours, alone or with up to two others."""
    return agrees < 1.5 * np.minimum(square, 1) - 0.7 if rules.crossings else agrees <= MIN_AGREEMENT


def limb_order(maps: MultiPersonMaps) -> list[tuple[int, int, int, bool]]:
    """Limbs as people grow: number, joint that is there, joint that is looked for, and whether that is against the
    field's direction.
    """
    sources, targets = maps.limbs
    root = maps.skeleton.index("pelvis")[0]
    left = list(range(len(sources)))
    reached = [root]
    steps = []
    while left:
        limb = next(limb for limb in left if sources[limb] in reached or targets[limb] in reached)
        forward = sources[limb] in reached
        here, there = (sources[limb], targets[limb]) if forward else (targets[limb], sources[limb])
        steps.append((limb, here, there, not forward))
        reached.append(there)
        left.remove(limb)
    return steps


@dataclass(frozen=True, eq=False)
class LimbCandidates:
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


def find_limb_candidates(
    found: Sequence[Peaks], fields: Float[np.ndarray, "limb 3 y x"], maps: MultiPersonMaps, rules: GroupingRules = PAPER
) -> list[LimbCandidates]:
    """All ways in which limbs can join peaks."""
    steps = limb_order(maps)
    counts = np.array([[len(found[here].xy), len(found[there].xy)] for _, here, there, _ in steps])
    limbs = np.array([limb for limb, *_ in steps])
    signs = np.array([-1 if against else 1 for *_, against in steps])
    ends = [np.concatenate([found[step[side]].xy for step in steps]) for side in (1, 2)]
    numbers, step = _all_pairs(counts)
    one, other = (end.take(number, 0) for end, number in zip(ends, numbers, strict=True))
    way = other - one
    length = _lengths(way)
    unit = way * (signs.take(step) / np.maximum(length, 1e-6))[:, None]
    at_ends = [_at(fields, np.repeat(limbs, counts[:, side]), ends[side]).take(numbers[side], 0) for side in (0, 1)]
    failing = [_fails(*_agreement(said, unit), rules) for said in at_ends]
    failed = np.add(*failing, dtype=int)
    likely = np.flatnonzero(failed == 0 if rules.crossings else _enough(failed, _samples(way), rules))
    scores = np.where(length < np.sqrt(np.prod(maps.shape)) / 150, 0.1, -1.0)
    turned = signs.take(step.take(likely))[:, None] < 0
    one = one.take(likely, 0)
    other = other.take(likely, 0)
    start = np.where(turned, other, one)
    end = np.where(turned, one, other)
    scores[likely] = score_limbs(fields, limbs.take(step.take(likely)), start, end, rules)
    lengths = maps.stride * np.maximum(length, 1e-3)
    cuts = np.cumsum(counts.prod(1))[:-1]
    return [
        LimbCandidates(limb, here, there, *(part.reshape(shape) for part in parts))
        for (limb, here, there, _), shape, *parts in zip(
            steps, counts, np.split(scores, cuts), np.split(lengths, cuts), strict=True
        )
    ]


def _all_pairs(counts: Int[np.ndarray, "step 2"]) -> tuple[list[Int[np.ndarray, " pair"]], Int[np.ndarray, " pair"]]:
    """All pairs of ends, step by step, each step having so many ends here and there: numbers of both, which are
    numbered through; and of the step."""
    step = np.repeat(np.arange(len(counts)), counts.prod(1))
    before = np.cumsum(counts, 0) - counts
    row = np.arange(counts[:, 0].sum())
    wide = np.repeat(counts[:, 1], counts[:, 0])
    here = np.repeat(row, wide)
    there = np.arange(len(here)) - np.repeat(np.cumsum(wide) - wide - np.repeat(before[:, 1], counts[:, 0]), wide)
    return [here, there], step


def _lengths(way: Float[np.ndarray, "way 2"]) -> Float[np.ndarray, " way"]:
    return np.sqrt(way[:, 0] * way[:, 0] + way[:, 1] * way[:, 1])  # np.hypot is ten times as slow


def assign_peaks(
    found: Sequence[Peaks],
    steps: Sequence[LimbCandidates],
    depth: Float[np.ndarray, " person"],
    maps: MultiPersonMaps,
    rules: GroupingRules = PAPER,
) -> Int[np.ndarray, "person joint"]:
    """Everybody's peaks: of each person and joint the number of the peak, -1 where there is none.

    Ours gives each kind of joint to all people at once, so that what their limbs score, times the root of their lengths
    as far as these are usual, is the most.

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
        usual = MAX_STRETCH * BONES[maps.skeleton.limbs[step.limb]] / depth[who]
        lengths = step.lengths.take(at, 0)
        scores = step.scores.take(at, 0)
        fits = np.fmin(usual[:, None] / lengths - 1, 0)
        if rules.crossings:
            gain = np.maximum(scores + fits / 3, MIN_SCORE) * np.sqrt(np.fmin(lengths, usual[:, None])) * (scores > 0)
            gain *= np.sqrt(found[step.here].score[at, None] * found[step.there].score)
            rows, columns = linear_sum_assignment(gain, maximize=True)
            some = gain[rows, columns] > 0
            mine[who[rows[some]], step.there] = columns[some]
        else:
            _nearest_first(mine, who, step.there, np.where(scores > 0, scores + fits / 3, -1))
    return mine


def _nearest_first(
    mine: Int[np.ndarray, "person joint"], who: Int[np.ndarray, " some"], joint: int, scores: np.ndarray
) -> None:
    """These people, in this order, take the peak of this joint that is best and still free, by scores of (some,
    peak).
    """
    best = scores.argmax(-1)
    if len(set(best.tolist())) == len(best):  # nobody is in another's way
        some = scores[np.arange(len(best)), best] > 0
        mine[who[some], joint] = best[some]
        return
    for person, row in zip(who, scores, strict=True):
        best = row.argmax()
        if row[best] > 0:
            mine[person, joint] = best
            scores[:, best] = -1


def sample_limb_depths(
    fields: Float[np.ndarray, "limb 3 y x"], xy: Float[np.ndarray, "person joint 2"], maps: MultiPersonMaps
) -> Float[np.ndarray, "person limb"]:
    """How much farther away each limb's second joint is than its first, m: the mean of ten samples along it, those
    beyond the 10th and 90th percentile being taken for those; NaN where an end is missing."""
    sources, targets = maps.limbs
    share = np.linspace(0, 1, 10)[:, None]
    at = xy[:, sources, None] * (1 - share) + xy[:, targets, None] * share
    known = np.isfinite(at).all((-1, -2))
    at = np.floor(np.nan_to_num(at) + 0.5).astype(int)
    height, width = fields.shape[-2:]
    limbs = np.arange(len(sources))[:, None]
    samples = fields[limbs, 2, at[..., 1].clip(0, height - 1), at[..., 0].clip(0, width - 1)]
    return np.where(known, winsorised_mean(samples), np.nan)


def winsorised_mean(samples: Float[np.ndarray, "*batch 10"]) -> Float[np.ndarray, "*batch"]:
    """Of samples, those beyond the 10th and 90th percentile being taken for those."""
    if not samples.size:
        return samples.sum(-1)
    ranks = np.sort(samples, -1)
    low = ranks[..., :1] * 0.1 + ranks[..., 1:2] * 0.9
    high = ranks[..., -1:] * 0.1 + ranks[..., -2:-1] * 0.9
    return ranks.clip(low, high).mean(-1)
