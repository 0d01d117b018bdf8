"""Limbs of a kind that lie over each other (ours): who has which, and how deep each is.

The field of such limbs is the mean of theirs (`codecs.multi_person`). So once everybody has joints, what a field should
be is known: people exchange limbs if it then is more like what it is, limbs of which the field knows nothing go, and
depths come from all limbs that lie at a sample, by least squares.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.methods.hupor.grouping import MIN_AGREEMENT, MIN_SCORE, LimbCandidates, Peaks, winsorised_mean

LIMB_RADIUS = 1.0
"""Cells from its line that a limb lies, in fields of the finest level."""

EDGE_TOLERANCE = 0.003
"""Cells about the edge of a limb of which it is not sure whether it lies there."""

SAMPLE_POSITIONS = np.linspace(0, 1, 10, dtype=np.float32)
"""Where along limbs fields are looked at."""

WIDE_SAMPLES = np.array(
    [
        (share, beyond, aside)
        for share, beyond in ((0, -0.8), (0, 0), (0.25, 0), (0.5, 0), (0.75, 0), (1, 0), (1, 0.8))
        for aside in (-0.7, 0, 0.7)
    ]
)
"""Where, besides, limbs are looked at that lie nowhere alone: share of their length, and cells beyond that and
aside.
"""

MIN_UNSHARED = 2
"""Samples at which a limb lies alone, at least, lest it be looked at there too."""

MAX_ROUNDS = 6
"""Of exchanging limbs, at most."""

MAX_RESIDUAL_RATIO = 0.8
"""An exchange leaves so much of the difference between the fields and what they should be, at most."""

MIN_SCORE_RATIO = 0.7
"""The exchanged limbs score so much of what those before did, at least, to be looked at."""

RESIDUAL_TOLERANCE = 1e-3
"""What is left of a field that is as it should be, cells times squares."""

SHORT_LIMB = 5
"""Limbs of fewer cells may be all hidden by one that lies the opposite way, so that fields say nothing at all."""

FIELD_SIGMA = 0.3
"""A sample that is so far from what it should be counts exp(-1/2) for depths."""

DEPTH_OUTLIER = 0.02
"""A sample that is so many metres off what it should be counts a half from then on; or twice as many as samples usually
are, if more.
"""

PRIOR_SIGMA = 0.05
"""Metres by which depths that each limb by itself would have are usually off where limbs cross."""

PRIOR_WEIGHT = 1e-3
"""How much they count, at least, in samples."""

EPSILON = 1e-6

Ends = Float[np.ndarray, "set person 2"]


def limb_ends(xy: Float[np.ndarray, "person joint 2"], maps: MultiPersonMaps) -> tuple[Ends, Ends]:
    """First and second ends of each limb, as (limb, person, 2); NaN where one of them is missing."""
    start, end = (np.moveaxis(xy[:, joints], 0, 1).astype(np.float32) for joints in maps.limbs)
    missing = np.isnan(start[..., :1] + end[..., :1])
    return np.where(missing, np.nan, start), np.where(missing, np.nan, end)


def sample_cells(
    start: Float[np.ndarray, "set limb 2"], end: Float[np.ndarray, "set limb 2"], *, wide: bool = False
) -> np.ndarray:
    """(2, set, limb x along): cells along limbs, across and down, one limb after the other; of missing ones, the first
    cell.
    """
    if wide:
        share, beyond, aside = WIDE_SAMPLES.T.astype(np.float32)
        unit = unit_vectors(start, end)[..., None]
        at = (
            start[..., None]
            + (end - start)[..., None] * share
            + unit * beyond
            + np.stack([-unit[:, :, 1], unit[:, :, 0]], 2) * aside
        )
    else:
        at = start[..., None] + (end - start)[..., None] * SAMPLE_POSITIONS
    return np.moveaxis(np.floor(np.where(np.isnan(at), 0, at + 0.5)), 2, 0).reshape(
        2, len(at), at.shape[1] * at.shape[3]
    )


def unit_vectors(
    start: Float[np.ndarray, "set limb 2"], end: Float[np.ndarray, "set limb 2"]
) -> Float[np.ndarray, "set limb 2"]:
    """Ways of length 1; 0 where a limb is missing."""
    way = end - start
    way = np.where(np.isnan(way), 0, way)
    return way / np.maximum(np.sqrt(way[..., :1] ** 2 + way[..., 1:] ** 2), 1)  # shorter ones make no field


def inside_distance(
    cells: Float[np.ndarray, "2 set cell"], start: Ends, end: Ends
) -> Float[np.ndarray, "set person cell"]:
    """Cells that each cell is within the edge of each limb; less than 0 outside, NaN for limbs that are missing."""
    unit = unit_vectors(start, end)
    half = (end - start)[..., None] / 2
    right, down = (cells[axis, :, None] - (start + end)[:, :, axis, None] / 2 for axis in (0, 1))  # from the middle
    within = np.abs(down * unit[:, :, :1] - right * unit[:, :, 1:])
    for axis, away in enumerate((right, down)):
        np.abs(away, out=away)
        away -= np.abs(half[:, :, axis])
        np.maximum(within, away, out=within)
    return np.subtract(LIMB_RADIUS, within, out=within)


def fields_at(
    fields: Float[np.ndarray, "limb 3 y x"], limb: Int[np.ndarray, " set"], cells: Float[np.ndarray, "2 set cell"]
) -> np.ndarray:
    """(set, 3, cell): fields in these cells."""
    height, width = fields.shape[-2:]
    x, y = (
        np.minimum(np.maximum(place, 0), side - 1).astype(np.int32)
        for place, side in zip(cells, (width, height), strict=True)
    )
    number = (3 * height * limb[:, None] + y) * width + x
    return np.ascontiguousarray(fields).reshape(-1).take(number[:, None] + np.arange(3)[:, None] * (height * width))


class SampledFields:
    """What fields are, and what they should be, at samples along everybody's limbs.

    Attributes:
        lies: whether a limb lies at a sample: (limb, person, person x along), of the one whose limb it is and the one
            along whose it is.
        sure: whether it is sure which limbs lie there.
        unit: ways of limbs.
        said: fields there, (limb, 3, person x along).
        there: which limbs there are, (limb, person).
    """

    def __init__(
        self,
        fields: Float[np.ndarray, "limb 3 y x"],
        ends: tuple[Ends, Ends],
        limbs: Int[np.ndarray, " limb"],
        *,
        wide: bool,
    ) -> None:
        start, end = (each[limbs] for each in ends)
        cells = sample_cells(start, end, wide=wide)
        within = inside_distance(cells, start, end)
        self.lies = (within > 0).astype(np.float32)
        self.sure = ~(np.abs(within) <= EDGE_TOLERANCE).any(1)
        self.unit = unit_vectors(start, end)
        self.there = np.isfinite(start[..., 0])
        self.said = fields_at(fields, limbs, cells)

    def borne_out(self, least: float) -> Bool[np.ndarray, "person limb"]:
        """Whether a limb is there, and at least this share of its samples agrees with it when the others' part is taken
        out.
        """
        limbs, people, _ = self.unit.shape
        everybody = np.arange(people)
        # but for samples beyond the border it is 1
        itself = self.lies.reshape(limbs, people, people, len(SAMPLE_POSITIONS))[:, everybody, everybody]
        count = self.lies.sum(1).reshape(itself.shape)
        agree = np.zeros_like(itself)
        for axis in (0, 1):
            own = self.unit[..., axis, None]
            said = self.said[:, axis].reshape(itself.shape)
            total = (self.unit[:, None, :, axis] @ self.lies).reshape(itself.shape)
            agree += ((count + 1 - itself) * said - (total - itself * own)) * own
        return (((agree > MIN_AGREEMENT).mean(-1) >= least) & self.there).T

    def plain(self) -> Float[np.ndarray, "limb person"]:
        """Depths as published, each limb by itself."""
        return winsorised_mean(self.said[:, 2].reshape(*self.there.shape, len(SAMPLE_POSITIONS)))

    def alone(self) -> Float[np.ndarray, "limb person"]:
        """Samples at which limbs lie alone."""
        return (self.lies * (self.lies.sum(1, keepdims=True) == 1)).sum(-1)

    def depths(self, plain: Float[np.ndarray, "limb person"]) -> Float[np.ndarray, "limb person"]:
        """How much farther away each limb's second joint is than its first, m; where samples leave it open it is the
        plain depth.

        Least squares, in which samples count less where the field is not what it should be in the picture; then again,
        with those that were far off counting less, and the plain depths the more the noisier the samples are that a
        limb has.
        """
        people = self.there.shape[1]
        deep = self.said[:, 2]
        share = self.lies / np.maximum(self.lies.sum(1, keepdims=True), 1)
        unlike = ((self.unit.swapaxes(1, 2) @ share - self.said[:, :2]) ** 2).sum(1)
        weight = (
            np.exp(-unlike / (2 * FIELD_SIGMA**2))
            * self.sure
            * np.repeat(self.there, self.lies.shape[2] // max(people, 1), 1)
        )
        across = share.swapaxes(1, 2)
        tie = np.full((len(share), 1, 1), PRIOR_WEIGHT, np.float32)

        def solved() -> Float[np.ndarray, "limb person"]:
            weighted = share * weight[:, None]
            normal = weighted @ across + tie * np.eye(people, dtype=np.float32)
            right = weighted @ deep[..., None] + tie * plain[..., None]
            return np.linalg.solve(normal, right)[..., 0]

        rest = (deep - (across @ solved()[..., None])[..., 0]) ** 2
        noise = (weight * rest).sum(1) / np.maximum(weight.sum(1), EPSILON)
        tie = (PRIOR_WEIGHT + noise / PRIOR_SIGMA**2)[:, None, None]
        weight = weight / (1 + rest / np.maximum(DEPTH_OUTLIER**2, 4 * noise)[:, None])
        return solved()


def solve_limb_depths(
    fields: Float[np.ndarray, "limb 3 y x"], ends: tuple[Ends, Ends], seen: SampledFields
) -> Float[np.ndarray, "person limb"]:
    """How much farther away each limb's second joint is than its first, m; NaN where there is no limb.

    Arguments:
        ends: of all limbs (`places`).
        seen: along them.
    """
    plain = seen.plain()
    found = seen.depths(plain)
    doubtful = np.flatnonzero((seen.there & (seen.alone() < MIN_UNSHARED)).any(1))
    if len(doubtful):
        found[doubtful] = SampledFields(fields, ends, doubtful, wide=True).depths(plain[doubtful])
    return np.where(seen.there, found, np.nan).T


def exchange_limbs(
    mine: Int[np.ndarray, "person joint"],
    found: Sequence[Peaks],
    steps: Sequence[LimbCandidates],
    fields: Float[np.ndarray, "limb 3 y x"],
    maps: MultiPersonMaps,
) -> Int[np.ndarray, "person joint"]:
    """Everybody's peaks when pairs of people have exchanged limbs, with all that hangs on them, as long as fields bear
    that out better.
    """
    mine = mine.copy()
    for _ in range(MAX_ROUNDS):
        ways = _candidates(mine, steps, maps)
        if not len(ways):
            break
        limb = np.array([step.limb for step in steps])[ways[:, 0]]
        now, then = _rest(peak_positions(mine, found), limb, ways[:, 1], ways[:, 2], fields, maps)
        better = np.flatnonzero(then < MAX_RESIDUAL_RATIO * now - RESIDUAL_TOLERANCE)
        touched: set[tuple[int, int]] = set()
        for number, one, other in ways[better[np.argsort((then - now)[better])]].tolist():
            beyond = _beyond(steps[number], steps)
            if not touched & {(beyond[0], one), (beyond[0], other)}:
                touched |= {(joint, who) for joint in beyond for who in (one, other)}
                mine[np.ix_([one, other], beyond)] = mine[np.ix_([other, one], beyond)]
        if not touched:
            break
    return mine


def _candidates(
    mine: Int[np.ndarray, "person joint"], steps: Sequence[LimbCandidates], maps: MultiPersonMaps
) -> Int[np.ndarray, "way 3"]:
    """Number of a step and two people who might exchange that limb: fields may lead along both, and about as far as
    they do now.
    """
    people = len(mine)
    upper = np.triu(np.ones((len(mine), len(mine)), bool), 1)
    score, length = np.full((2, len(steps), people, people), -1.0)
    for place, step in enumerate(steps):
        if step.scores.size:
            here = mine[:, step.here]
            there = mine[:, step.there]
            score[place], length[place] = (part.take(here, 0).take(there, 1) for part in (step.scores, step.lengths))
    known = np.stack([(mine[:, step.here] >= 0) & (mine[:, step.there] >= 0) for step in steps])
    number, one, other = np.nonzero((score > 0) & (score.swapaxes(1, 2) > 0) & upper)
    worth = (score - MIN_SCORE) * length
    now = worth[number, one, one] + worth[number, other, other]
    then = worth[number, one, other] + worth[number, other, one]
    short = np.maximum(length[number, one, other], length[number, other, one]) < SHORT_LIMB * maps.stride
    alike = (then >= np.maximum(MIN_SCORE_RATIO * now, maps.stride)) | (short & (now < maps.stride))
    good = alike & known[number, one] & known[number, other]
    return np.stack([number, one, other], 1)[good]


def _beyond(step: LimbCandidates, steps: Sequence[LimbCandidates]) -> list[int]:
    """Joints that hang on this limb, its own first."""
    joints = [step.there]
    for later in steps:
        if later.here in joints:
            joints.append(later.there)
    return joints


def remove_limbs(
    mine: Int[np.ndarray, "person joint"], kept: Bool[np.ndarray, "person limb"], steps: Sequence[LimbCandidates]
) -> np.ndarray:
    """Everybody's peaks without limbs that are not kept, and what hangs on them."""
    mine = mine.copy()
    for step in steps:
        mine[(mine[:, step.here] < 0) | ~kept[:, step.limb], step.there] = -1
    return mine


def _rest(
    xy: Float[np.ndarray, "person joint 2"],
    limb: Int[np.ndarray, " way"],
    one: Int[np.ndarray, " way"],
    other: Int[np.ndarray, " way"],
    fields: Float[np.ndarray, "limb 3 y x"],
    maps: MultiPersonMaps,
) -> tuple[Float[np.ndarray, " way"], Float[np.ndarray, " way"]]:
    """How far fields are from what they should be before and after two people exchange a limb: the sum over both limbs
    as they are and as they would be, cells times squares."""
    start, end = limb_ends(xy, maps)
    number = np.arange(len(limb))
    both = np.stack([one, other], 1)
    turned = np.stack([other, one], 1)
    first, second, crossed = (part[limb[:, None], who] for part, who in ((start, both), (end, both), (end, turned)))
    # as they are, and exchanged
    first = np.concatenate([first, first], 1)
    second = np.concatenate([second, crossed], 1)
    cells = sample_cells(first, second)
    cell = np.repeat(np.hypot(*np.moveaxis(second - first, -1, 0)), len(SAMPLE_POSITIONS), 1) / len(SAMPLE_POSITIONS)
    start = start[limb]
    end = end[limb]
    start[number, one] = start[number, other] = np.nan
    lies = (inside_distance(cells, start, end) > 0).astype(np.float32)
    count = lies.sum(1)
    total = unit_vectors(start, end).swapaxes(1, 2) @ lies
    pair = (inside_distance(cells, first, second) > 0).astype(np.float32)
    said = fields_at(fields, limb, cells)[:, :2]
    unit = unit_vectors(first, second).swapaxes(1, 2)
    rest = []
    for part in (slice(0, 2), slice(2, 4)):
        should = (total + unit[..., part] @ pair[:, part]) / np.maximum(count + pair[:, part].sum(1), 1)[:, None]
        rest.append((((should - said) ** 2).sum(1) * cell).sum(-1))
    return rest[0], rest[1]


def peak_positions(
    mine: Int[np.ndarray, "person joint"], found: Sequence[Peaks]
) -> Float[np.ndarray, "person joint 2"]:
    """Everybody's joints, cells; NaN where there is none."""
    nowhere = [[np.nan, np.nan]]
    return np.stack([np.concatenate([peak.xy, nowhere])[own] for peak, own in zip(found, mine.T, strict=True)], 1)
