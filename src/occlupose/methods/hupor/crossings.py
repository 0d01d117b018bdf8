"""Limbs of one kind that overlap (ours): which person each belongs to, and its depth.

The field of overlapping limbs is their mean (`codecs.multi_person`), so an assignment of joints predicts the field.
People exchange limbs if that makes the prediction fit better, limbs without support in the field are removed, and
depths are solved by least squares over all limbs at a sample.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.methods.hupor.grouping import MIN_AGREEMENT, MIN_SCORE, LimbCandidates, Peaks, winsorised_mean

LIMB_RADIUS = 1.0
"""Half the width of a limb in fields of the finest level, cells."""

EDGE_TOLERANCE = 0.003
"""Cells around the edge of a limb where it is uncertain whether the limb covers them."""

SAMPLE_POSITIONS = np.linspace(0, 1, 10, dtype=np.float32)
"""Where fields are sampled along limbs."""

WIDE_SAMPLES = np.array(
    [
        (fraction, beyond, aside)
        for fraction, beyond in ((0, -0.8), (0, 0), (0.25, 0), (0.5, 0), (0.75, 0), (1, 0), (1, 0.8))
        for aside in (-0.7, 0, 0.7)
    ]
)
"""Additional samples for limbs that others overlap everywhere: fraction of the length, cells beyond it, cells aside."""

MIN_UNSHARED = 2
"""A limb with fewer samples that no other limb overlaps gets the additional ones."""

MAX_ROUNDS = 6
"""Maximum number of rounds of exchanging limbs."""

MAX_RESIDUAL_RATIO = 0.8
"""An exchange must reduce the residual of the field to at most this fraction."""

MIN_SCORE_RATIO = 0.7
"""Exchanges are tried if their score is at least this fraction of the present one."""

RESIDUAL_TOLERANCE = 1e-3
"""Residual of a field that fits, cells times squares."""

SHORT_LIMB = 5
"""Two opposite limbs of fewer cells can cancel completely, so that the field shows neither."""

FIELD_SIGMA = 0.3
"""A sample with this deviation from the predicted field has weight exp(-1/2) for depths."""

DEPTH_OUTLIER = 0.02
"""Residual at which a sample has half its weight in the second solution, m; or twice the usual residual if larger."""

PRIOR_SIGMA = 0.05
"""Typical error, where limbs cross, of depths that are estimated for each limb separately, m."""

PRIOR_WEIGHT = 1e-3
"""Minimum weight of those depths, in samples."""

EPSILON = 1e-6

Ends = Float[np.ndarray, "set person 2"]


def limb_ends(xy: Float[np.ndarray, "person joint 2"], codec: MultiPersonMaps) -> tuple[Ends, Ends]:
    """First and second joints of each limb, as (limb, person, 2); both NaN where one of them is missing."""
    sources, targets = codec.limbs
    start = np.moveaxis(xy[:, sources], 0, 1).astype(np.float32)
    end = np.moveaxis(xy[:, targets], 0, 1).astype(np.float32)
    missing = np.isnan(start[..., :1] + end[..., :1])
    return np.where(missing, np.nan, start), np.where(missing, np.nan, end)


def sample_cells(
    start: Float[np.ndarray, "set limb 2"], end: Float[np.ndarray, "set limb 2"], *, wide: bool = False
) -> np.ndarray:
    """(2, set, limb x sample): x and y of the sampled cells, limb by limb; cell 0 for missing limbs.

    Arguments:
        wide: sample as in `WIDE_SAMPLES`.
    """
    if wide:
        fraction, beyond, aside = WIDE_SAMPLES.T.astype(np.float32)
        unit = unit_vectors(start, end)[..., None]
        normal = np.stack([-unit[:, :, 1], unit[:, :, 0]], 2)
        cells = start[..., None] + (end - start)[..., None] * fraction + unit * beyond + normal * aside
    else:
        cells = start[..., None] + (end - start)[..., None] * SAMPLE_POSITIONS
    nearest = np.floor(np.where(np.isnan(cells), 0, cells + 0.5))
    return np.moveaxis(nearest, 2, 0).reshape(2, len(cells), cells.shape[1] * cells.shape[3])


def unit_vectors(
    start: Float[np.ndarray, "set limb 2"], end: Float[np.ndarray, "set limb 2"]
) -> Float[np.ndarray, "set limb 2"]:
    """Directions of limbs with length 1; 0 for missing limbs."""
    vector = end - start
    vector = np.where(np.isnan(vector), 0, vector)
    length = np.sqrt(vector[..., :1] ** 2 + vector[..., 1:] ** 2)
    return vector / np.maximum(length, 1)  # shorter limbs have no field


def distance_inside(
    cells: Float[np.ndarray, "2 set cell"], start: Ends, end: Ends
) -> Float[np.ndarray, "set person cell"]:
    """How far inside the edge of each limb each cell lies, cells; negative outside, NaN for missing limbs."""
    unit = unit_vectors(start, end)
    half = (end - start)[..., None] / 2
    middle = (start + end) / 2
    right = cells[0, :, None] - middle[:, :, 0, None]
    down = cells[1, :, None] - middle[:, :, 1, None]
    distance = np.abs(down * unit[:, :, :1] - right * unit[:, :, 1:])
    for axis, offset in enumerate((right, down)):
        np.abs(offset, out=offset)
        offset -= np.abs(half[:, :, axis])
        np.maximum(distance, offset, out=distance)
    return np.subtract(LIMB_RADIUS, distance, out=distance)


def fields_at(
    fields: Float[np.ndarray, "limb 3 y x"], limb: Int[np.ndarray, " set"], cells: Float[np.ndarray, "2 set cell"]
) -> np.ndarray:
    """(set, 3, cell): fields in these cells."""
    height, width = fields.shape[-2:]
    x = np.minimum(np.maximum(cells[0], 0), width - 1).astype(np.int32)
    y = np.minimum(np.maximum(cells[1], 0), height - 1).astype(np.int32)
    index = (3 * height * limb[:, None] + y) * width + x
    return np.ascontiguousarray(fields).reshape(-1).take(index[:, None] + np.arange(3)[:, None] * (height * width))


class SampledFields:
    """Fields sampled along the limbs of all people, and which limbs cover each sample.

    Attributes:
        covers: (limb, person, person x sample), whether the limb of the first person covers a sample along the limb of
            the second.
        certain: whether it is certain which limbs cover a sample.
        unit: directions of limbs.
        values: of the fields, (limb, 3, person x sample).
        present: which limbs exist, (limb, person).
    """

    def __init__(
        self,
        fields: Float[np.ndarray, "limb 3 y x"],
        ends: tuple[Ends, Ends],
        limbs: Int[np.ndarray, " limb"],
        *,
        wide: bool,
    ) -> None:
        start = ends[0][limbs]
        end = ends[1][limbs]
        cells = sample_cells(start, end, wide=wide)
        inside = distance_inside(cells, start, end)
        self.covers = (inside > 0).astype(np.float32)
        self.certain = ~(np.abs(inside) <= EDGE_TOLERANCE).any(1)
        self.unit = unit_vectors(start, end)
        self.present = np.isfinite(start[..., 0])
        self.values = fields_at(fields, limbs, cells)

    def supported(self, minimum: float) -> Bool[np.ndarray, "person limb"]:
        """Whether a limb exists and at least this fraction of its samples agrees with it after the contribution of the
        other limbs is subtracted.
        """
        limbs, people, _ = self.unit.shape
        diagonal = np.arange(people)
        # 1 except for samples outside of the image
        covers_itself = self.covers.reshape(limbs, people, people, len(SAMPLE_POSITIONS))[:, diagonal, diagonal]
        count = self.covers.sum(1).reshape(covers_itself.shape)
        agreement = np.zeros_like(covers_itself)
        for axis in (0, 1):
            own = self.unit[..., axis, None]
            value = self.values[:, axis].reshape(covers_itself.shape)
            total = (self.unit[:, None, :, axis] @ self.covers).reshape(covers_itself.shape)
            agreement += ((count + 1 - covers_itself) * value - (total - covers_itself * own)) * own
        return (((agreement > MIN_AGREEMENT).mean(-1) >= minimum) & self.present).T

    def mean_depths(self) -> Float[np.ndarray, "limb person"]:
        """Depth of each limb separately, as published."""
        return winsorised_mean(self.values[:, 2].reshape(*self.present.shape, len(SAMPLE_POSITIONS)))

    def count_unshared(self) -> Float[np.ndarray, "limb person"]:
        """Number of samples that a limb covers alone."""
        return (self.covers * (self.covers.sum(1, keepdims=True) == 1)).sum(-1)

    def solve_depths(self, prior: Float[np.ndarray, "limb person"]) -> Float[np.ndarray, "limb person"]:
        """Depth of each limb's second joint relative to its first, m; the prior where samples do not determine it.

        Weighted least squares. A sample has less weight where the field deviates from the predicted one. A second
        solution gives less weight to samples with large residuals, and more to the prior of limbs with noisy samples.
        """
        people = self.present.shape[1]
        depth = self.values[:, 2]
        mixing = self.covers / np.maximum(self.covers.sum(1, keepdims=True), 1)  # of the limbs at each sample
        deviation = ((self.unit.swapaxes(1, 2) @ mixing - self.values[:, :2]) ** 2).sum(1)
        likelihood = np.exp(-deviation / (2 * FIELD_SIGMA**2))
        weight = likelihood * self.certain * np.repeat(self.present, self.covers.shape[2] // max(people, 1), 1)
        transposed = mixing.swapaxes(1, 2)
        prior_weight = np.full((len(mixing), 1, 1), PRIOR_WEIGHT, np.float32)

        def solve() -> Float[np.ndarray, "limb person"]:
            weighted = mixing * weight[:, None]
            normal = weighted @ transposed + prior_weight * np.eye(people, dtype=np.float32)
            right = weighted @ depth[..., None] + prior_weight * prior[..., None]
            return np.linalg.solve(normal, right)[..., 0]

        residual = (depth - (transposed @ solve()[..., None])[..., 0]) ** 2
        noise = (weight * residual).sum(1) / np.maximum(weight.sum(1), EPSILON)
        prior_weight = (PRIOR_WEIGHT + noise / PRIOR_SIGMA**2)[:, None, None]
        weight = weight / (1 + residual / np.maximum(DEPTH_OUTLIER**2, 4 * noise)[:, None])
        return solve()


def solve_limb_depths(
    fields: Float[np.ndarray, "limb 3 y x"], ends: tuple[Ends, Ends], sampled: SampledFields
) -> Float[np.ndarray, "person limb"]:
    """Depth of each limb's second joint relative to its first, m; NaN where there is no limb.

    Arguments:
        ends: of all limbs (`limb_ends`).
        sampled: fields along them.
    """
    prior = sampled.mean_depths()
    depths = sampled.solve_depths(prior)
    shared = np.flatnonzero((sampled.present & (sampled.count_unshared() < MIN_UNSHARED)).any(1))
    if len(shared):
        depths[shared] = SampledFields(fields, ends, shared, wide=True).solve_depths(prior[shared])
    return np.where(sampled.present, depths, np.nan).T


def exchange_limbs(
    assignment: Int[np.ndarray, "person joint"],
    peaks: Sequence[Peaks],
    candidates: Sequence[LimbCandidates],
    fields: Float[np.ndarray, "limb 3 y x"],
    codec: MultiPersonMaps,
) -> Int[np.ndarray, "person joint"]:
    """The assignment after pairs of people exchange limbs, with all joints beyond them, until the fields support no
    further exchange.
    """
    assignment = assignment.copy()
    for _ in range(MAX_ROUNDS):
        exchanges = _possible_exchanges(assignment, candidates, codec)
        if not len(exchanges):
            break
        limb = np.array([step.limb for step in candidates])[exchanges[:, 0]]
        xy = peak_positions(assignment, peaks)
        before, after = _residuals(xy, limb, exchanges[:, 1], exchanges[:, 2], fields, codec)
        better = np.flatnonzero(after < MAX_RESIDUAL_RATIO * before - RESIDUAL_TOLERANCE)
        changed: set[tuple[int, int]] = set()
        for step, one, other in exchanges[better[np.argsort((after - before)[better])]].tolist():
            joints = _joints_beyond(candidates[step], candidates)
            if not changed & {(joints[0], one), (joints[0], other)}:
                changed |= {(joint, person) for joint in joints for person in (one, other)}
                assignment[np.ix_([one, other], joints)] = assignment[np.ix_([other, one], joints)]
        if not changed:
            break
    return assignment


def _possible_exchanges(
    assignment: Int[np.ndarray, "person joint"], candidates: Sequence[LimbCandidates], codec: MultiPersonMaps
) -> Int[np.ndarray, "exchange 3"]:
    """Index of a limb's candidates and two people who could exchange that limb: the fields lead along both exchanged
    limbs, nearly as far as along the present ones.
    """
    people = len(assignment)
    upper = np.triu(np.ones((people, people), bool), 1)
    score = np.full((len(candidates), people, people), -1.0)
    length = np.full((len(candidates), people, people), -1.0)
    for row, step in enumerate(candidates):
        if step.scores.size:
            start = assignment[:, step.start]
            end = assignment[:, step.end]
            score[row] = step.scores.take(start, 0).take(end, 1)
            length[row] = step.lengths.take(start, 0).take(end, 1)
    known = np.stack([(assignment[:, step.start] >= 0) & (assignment[:, step.end] >= 0) for step in candidates])
    limb, one, other = np.nonzero((score > 0) & (score.swapaxes(1, 2) > 0) & upper)
    gain = (score - MIN_SCORE) * length
    before = gain[limb, one, one] + gain[limb, other, other]
    after = gain[limb, one, other] + gain[limb, other, one]
    short = np.maximum(length[limb, one, other], length[limb, other, one]) < SHORT_LIMB * codec.stride
    similar = (after >= np.maximum(MIN_SCORE_RATIO * before, codec.stride)) | (short & (before < codec.stride))
    possible = similar & known[limb, one] & known[limb, other]
    return np.stack([limb, one, other], 1)[possible]


def _joints_beyond(step: LimbCandidates, candidates: Sequence[LimbCandidates]) -> list[int]:
    """The limb's own end and all joints beyond it."""
    joints = [step.end]
    for later in candidates:
        if later.start in joints:
            joints.append(later.end)
    return joints


def remove_limbs(
    assignment: Int[np.ndarray, "person joint"],
    kept: Bool[np.ndarray, "person limb"],
    candidates: Sequence[LimbCandidates],
) -> np.ndarray:
    """The assignment without limbs that are not kept and all joints beyond them."""
    assignment = assignment.copy()
    for step in candidates:
        assignment[(assignment[:, step.start] < 0) | ~kept[:, step.limb], step.end] = -1
    return assignment


def _residuals(
    xy: Float[np.ndarray, "person joint 2"],
    limb: Int[np.ndarray, " exchange"],
    one: Int[np.ndarray, " exchange"],
    other: Int[np.ndarray, " exchange"],
    fields: Float[np.ndarray, "limb 3 y x"],
    codec: MultiPersonMaps,
) -> tuple[Float[np.ndarray, " exchange"], Float[np.ndarray, " exchange"]]:
    """Squared differences between fields and predicted fields before and after two people exchange a limb, summed over
    the samples of both limbs as they are and as they would be, cells times squares.
    """
    start, end = limb_ends(xy, codec)
    exchange = np.arange(len(limb))
    pair = np.stack([one, other], 1)
    swapped = np.stack([other, one], 1)
    pair_start = start[limb[:, None], pair]
    pair_end = end[limb[:, None], pair]
    swapped_end = end[limb[:, None], swapped]
    # the pair's limbs as they are, then exchanged
    four_starts = np.concatenate([pair_start, pair_start], 1)
    four_ends = np.concatenate([pair_end, swapped_end], 1)
    cells = sample_cells(four_starts, four_ends)
    values = fields_at(fields, limb, cells)[:, :2]
    length = np.hypot(*np.moveaxis(four_ends - four_starts, -1, 0)) / len(SAMPLE_POSITIONS)
    sample_length = np.repeat(length, len(SAMPLE_POSITIONS), 1)
    pair_unit = unit_vectors(four_starts, four_ends).swapaxes(1, 2)
    pair_covers = (distance_inside(cells, four_starts, four_ends) > 0).astype(np.float32)
    others_start = start[limb]
    others_end = end[limb]
    others_start[exchange, one] = others_start[exchange, other] = np.nan
    others_covers = (distance_inside(cells, others_start, others_end) > 0).astype(np.float32)
    others_total = unit_vectors(others_start, others_end).swapaxes(1, 2) @ others_covers

    def residual(part: slice) -> Float[np.ndarray, " exchange"]:
        covers = pair_covers[:, part]
        count = np.maximum(others_covers.sum(1) + covers.sum(1), 1)
        predicted = (others_total + pair_unit[..., part] @ covers) / count[:, None]
        return (((predicted - values) ** 2).sum(1) * sample_length).sum(-1)

    return residual(slice(0, 2)), residual(slice(2, 4))


def peak_positions(
    assignment: Int[np.ndarray, "person joint"], peaks: Sequence[Peaks]
) -> Float[np.ndarray, "person joint 2"]:
    """Joints of all people, cells; NaN where absent."""
    absent = [[np.nan, np.nan]]
    joints = [np.concatenate([of_joint.xy, absent])[rows] for of_joint, rows in zip(peaks, assignment.T, strict=True)]
    return np.stack(joints, 1)
