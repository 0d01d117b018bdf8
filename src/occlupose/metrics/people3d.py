"""Metrics of multi-person absolute 3D pose, by the protocols of `metrics.mupots`.

Each ground-truth person is matched to a prediction in the image. A joint is correct if its error is below 150 mm, after
subtracting the pelvis (relative) or not (absolute); PCK is the share of correct joints. It is given for matched people,
and for all people, where every joint of a person without a prediction is wrong. False positives only lower the average
precision of the root.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.metrics.matching import (
    compare_depth_order,
    match_pixels,
    match_procrustes,
    match_roots,
    rescale_bones,
)
from occlupose.metrics.mupots import JOINT_GROUPS, MATCHING_JOINTS, SCORED_JOINTS, MuPoTSProtocol
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.metrics.scores import Scores
from occlupose.poses import OCCLUDED

PCK_THRESHOLD = 150.0
"""Error, mm, below which a joint is correct (MPI-INF-3DHP)."""

SHARES = ("PCK", "AUC", "PCK_abs", "AUC_abs", "PCK_occ", "PCK_vis", "PCOD")
"""Metrics from 0 to 1: correct joints, relative and absolute, occluded and visible (relative); pairs of people in the
correct depth order.
"""

LENGTHS = ("MPJPE", "MPJPE_abs", "MPJPE_occ", "MPJPE_vis", "PA-MPJPE")
"""Metrics in millimetres, of matched people only: relative, absolute, of occluded and visible joints, after Procrustes
alignment.
"""

COLUMNS = (*SHARES, *LENGTHS, "predicted")
"""All metrics of a set of people; `predicted` is the share of the joints of matched people that are predicted at all.
"""


@dataclass(frozen=True, eq=False)
class ImageErrors:
    """Errors of the true people of one image, in mm and the order of SCORED_JOINTS: NaN without ground truth, infinite
    without a prediction.

    Attributes:
        sequence: that the image belongs to.
        matched: which people have a prediction.
        relative, absolute: after subtracting the pelvis, and as they are.
        aligned: after Procrustes alignment.
        occluded: 1 for an occluded joint, 0 for a visible one, -1 where this is not annotated.
        pairs: for each pair of people with known roots, 2 if both are matched and their depth order is correct, 1 if it
            is wrong, 0 if one of them is missed.
        roots: number of people whose root is known.
        score: of each prediction, in descending order.
        root_correct: whether that prediction's root is a person's, by `match_roots`.
    """

    sequence: str
    matched: Bool[np.ndarray, "person"]
    relative: Float[np.ndarray, "person joint"]
    absolute: Float[np.ndarray, "person joint"]
    aligned: Float[np.ndarray, "person joint"]
    occluded: Int[np.ndarray, "person joint"]
    pairs: Int[np.ndarray, "pair"]
    roots: int
    score: Float[np.ndarray, "prediction"]
    root_correct: Bool[np.ndarray, "prediction"]


def image_errors(sample: ImageSample, people: Detections, protocol: MuPoTSProtocol) -> ImageErrors:
    """All errors of the people predicted in one image; truth and predictions are 3D."""
    skeleton = protocol.skeleton
    people = people.to(skeleton)
    own = sample.skeleton.index(*skeleton.joints)
    root = protocol.root
    scored = protocol.scored
    score = people.score[:, scored].mean(-1)
    assert sample.xyz is not None, "a scored sample has 3D joints"
    truth = np.asarray(sample.xyz[:, own], np.float64)
    predictions = np.asarray(people.xyz, np.float64)
    if protocol.matching == "pixels":
        joints = skeleton.index(*MATCHING_JOINTS)
        radius = protocol.match_radius(sample.camera)
        matches = match_pixels(sample.xy[:, own][:, joints], people.xy[:, joints], radius)
    else:
        matches = match_procrustes(truth, predictions)
    matched = matches >= 0
    predicted = np.full(truth.shape, np.nan)
    predicted[matched] = predictions[matches[matched]]
    unscaled = predicted.copy()
    if protocol.rescales:
        bones = [(skeleton.index(joint)[0], skeleton.index(parent)[0]) for joint, parent in protocol.bones]
        predicted = rescale_bones(predicted, truth, bones)
    relative = predicted - predicted[:, root : root + 1]
    true_relative = truth - truth[:, root : root + 1]
    if protocol.depth_only:
        with np.errstate(divide="ignore", invalid="ignore"):
            predicted = relative + truth[:, root : root + 1] * (unscaled[:, root, 2] / truth[:, root, 2])[:, None, None]
    occluded = np.where(sample.occlusion_annotated, sample.state[:, own] == OCCLUDED, -1)
    order = np.argsort(-score, kind="stable")
    return ImageErrors(
        sequence=sample.sequence,
        matched=matched,
        relative=_millimetres(relative[:, scored], true_relative[:, scored]),
        absolute=_millimetres(predicted[:, scored], truth[:, scored]),
        aligned=_millimetres(procrustes(unscaled[:, scored], truth[:, scored]), truth[:, scored]),
        occluded=occluded[:, scored],
        pairs=compare_depth_order(truth[:, root, 2], unscaled[:, root, 2]),
        roots=int(np.isfinite(truth[:, root]).all(-1).sum()),
        score=score[order],
        root_correct=match_roots(truth[:, root], predictions[order, root]),
    )


def _millimetres(
    predicted: Float[np.ndarray, "person joint 3"], truth: Float[np.ndarray, "person joint 3"]
) -> np.ndarray:
    """Errors rounded to a nanometre, so that 150 mm by the coordinates is 150 mm."""
    distances = np.round(1000 * joint_errors(predicted, truth), 6)
    return np.where(np.isnan(truth).any(-1), np.nan, np.where(np.isnan(distances), np.inf, distances))


def average_precision(
    score: Float[np.ndarray, "prediction"], hits: Bool[np.ndarray, "prediction"], people: int
) -> float:
    """Area under the precision-recall curve, with the best precision at that recall or a higher one; NaN without
    people.

    Arguments:
        hits: which predictions are true positives.
        people: number of true people.
    """
    if not people:
        return float("nan")
    hits = hits[np.argsort(-score, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / people)


class MuPoTSReport:
    """All metrics of many images.

    There are two means: in `pooled` every joint counts the same, in `over_sequences` every sequence, as in MuPoTS-3D's
    tables.
    """

    def __init__(self, protocol: MuPoTSProtocol) -> None:
        self.protocol = protocol
        self._errors: list[ImageErrors] = []

    def add(self, sample: ImageSample, people: Detections) -> None:
        """Adds the people predicted in one image."""
        self._errors.append(image_errors(sample, people, self.protocol))

    @property
    def sequences(self) -> list[str]:
        """The images' sequences, in the order of the images."""
        return list(dict.fromkeys(each.sequence for each in self._errors))

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self._errors)

    @property
    def predictions(self) -> int:
        """Number of predicted people."""
        return sum(len(each.score) for each in self._errors)

    @property
    def matched(self) -> int:
        """Number of people with a prediction."""
        return int(sum(each.matched.sum() for each in self._errors))

    @property
    def root_ap(self) -> float:
        """Average precision of the root at 250 mm over all images, 0..1; the only metric that false positives lower."""
        if not self._errors:
            return float("nan")
        scores = np.concatenate([each.score for each in self._errors])
        hits = np.concatenate([each.root_correct for each in self._errors])
        return average_precision(scores, hits, sum(each.roots for each in self._errors))

    def pooled(self, matched: bool = False, sequences: Iterable[str] | None = None) -> Scores:
        """Metrics over all joints.

        Arguments:
            matched: of matched people only; otherwise every joint and every depth order of a missed person is wrong.
            sequences: of these only.
        """
        chosen = set(self.sequences if sequences is None else sequences)
        return _scores([each for each in self._errors if each.sequence in chosen], self.protocol, matched)

    def over_sequences(self, matched: bool = False) -> Scores:
        """Means of the sequences' metrics, each counting the same; sequences without a metric do not count for it.

        Arguments:
            matched: as in `pooled`.
        """
        scores = [self.pooled(matched, [sequence]) for sequence in self.sequences]
        columns = (*COLUMNS, *JOINT_GROUPS)
        means = {column: _mean(np.array([each[column] for each in scores])) for column in columns}
        return Scores(means, sum(each.people for each in scores))


def _scores(errors: Sequence[ImageErrors], protocol: MuPoTSProtocol, matched_only: bool) -> Scores:
    def concatenate(name: str) -> np.ndarray:
        return np.concatenate([getattr(each, name) for each in errors]) if errors else np.zeros(0)

    joints = len(SCORED_JOINTS)
    matched = concatenate("matched").astype(bool)
    relative = concatenate("relative").reshape(-1, joints)
    absolute = concatenate("absolute").reshape(-1, joints)
    aligned = concatenate("aligned").reshape(-1, joints)
    occluded = concatenate("occluded").reshape(-1, joints)
    pairs = concatenate("pairs")
    people = np.flatnonzero(matched) if matched_only else np.arange(len(matched))
    values = {
        "PCK": pck(relative[people]),
        "AUC": _auc(relative[people], protocol),
        "PCK_abs": pck(absolute[people]),
        "AUC_abs": _auc(absolute[people], protocol),
        "PCK_occ": pck(relative[people][occluded[people] == 1], inclusive=protocol.inclusive),
        "PCK_vis": pck(relative[people][occluded[people] == 0], inclusive=protocol.inclusive),
        "PCOD": _mean(pairs[pairs > 0] == 2 if matched_only else pairs == 2),
        "MPJPE": _mean_error(relative[matched], protocol),
        "MPJPE_abs": _mean_error(absolute[matched], protocol),
        "MPJPE_occ": _mean_error(relative[matched][occluded[matched] == 1], protocol),
        "MPJPE_vis": _mean_error(relative[matched][occluded[matched] == 0], protocol),
        "PA-MPJPE": _mean_error(aligned[matched], protocol),
        "predicted": _mean(np.isfinite(absolute[matched][~np.isnan(absolute[matched])])),
    }
    for group, names in JOINT_GROUPS.items():
        values[group] = pck(relative[people][:, [SCORED_JOINTS.index(name) for name in names]])
    return Scores(values, len(people))


def pck(errors: Float[np.ndarray, "..."], threshold: float = PCK_THRESHOLD, *, inclusive: bool = False) -> float:
    """Share of errors (mm) below a threshold; NaN without any. Joints without ground truth (NaN) do not count.

    Arguments:
        inclusive: whether an error equal to the threshold is correct too.
    """
    known = errors[~np.isnan(errors)]
    return _mean(known <= threshold if inclusive else known < threshold)


def _auc(errors: Float[np.ndarray, "person joint"], protocol: MuPoTSProtocol) -> float:
    return _mean(np.array([pck(errors, threshold) for threshold in protocol.thresholds]))


def _mean_error(errors: Float[np.ndarray, "..."], protocol: MuPoTSProtocol) -> float:
    known = errors[~np.isnan(errors)]
    if protocol.missing_error is None:
        return _mean(known[np.isfinite(known)])
    return _mean(np.where(np.isinf(known), protocol.missing_error, known))


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
