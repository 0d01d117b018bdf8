"""Metrics of multi-person absolute 3D pose: MuPoTS-3D's protocol in three variants, and one for other ground truth.

Each ground-truth person is matched to a prediction in the image. A joint is correct if its error is below 150 mm, after
subtracting the pelvis (relative) or not (absolute); PCK is the share of correct joints. It is given for matched people,
and for all people, where every joint of a person without a prediction is wrong. False positives only lower the average
precision of the root.

The variants give different figures for the same predictions:

- `official`: the evaluation that comes with MuPoTS-3D, on the truth in universal scale (`univ_annot3`). In the order of
  the annotations, each person takes the free prediction with the most joints (neck to ankles) less than 40 px away in x
  and in y, if there is any. Predictions are rescaled to the true bone lengths, from the pelvis through the spine
  outwards. AUC: mean PCK at 0, 5 ... 150 mm.
- `smap15`: the same on 15 joints, without spine and head: the neck's parent is the pelvis. SMAP's and HUPOR's figures.
  They also drop predictions whose pelvis is over 30 px from every true one, and images whose true pelvis is not
  visible, which is not done here.
- `gntcn`: Python ports of it (GnTCN and relatives), on the truth in true scale (`annot3`). A person takes the
  prediction with the smallest error after Procrustes alignment, if that is below 250 mm; two people may take the same.
  Bones are rescaled along the parents of other joints, since the ports look parents up by the position in the order of
  rescaling. The absolute root is the true one, moved along its ray to the predicted depth. AUC: mean PCK at 0, 5 ...
  195 mm. Only for comparison with figures of such papers.
- `mpi15`: ours, for data with ground truth in HUPOR's 15 joints. Matched as `official`, but within 1/24 of the image's
  longer side (80 px of 1920), as images may be small; predictions are not rescaled.

Where bones are rescaled, a skeleton of the wrong size is still correct, also in the absolute figures, which then
measure the position of the pelvis and the directions of the bones but not sizes. Tables say so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton

MATCH_RADIUS = 40.0
"""Pixels in x and in y within which a joint counts for a match (MuPoTS-3D)."""

MAX_PROCRUSTES_ERROR = 250.0
"""Mean error after alignment, mm, below which `gntcn` matches (the ports)."""

PCK_THRESHOLD = 150.0
"""Error, mm, below which a joint is correct (MPI-INF-3DHP)."""

ROOT_THRESHOLD = 250.0
"""Error, mm, below which a root is correct for its average precision (RootNet)."""

SAME_DEPTH = 300.0
"""Difference in depth, mm, below which two people are equally far away (SMAP)."""

MISSING_ERROR = 160.0
"""Error, mm, of a joint that is not predicted for a matched person (MuPoTS-3D's evaluation by occlusion)."""

JOINT_GROUPS = {
    "head": ("head_top",),
    "neck": ("neck",),
    "shoulder": ("right_shoulder", "left_shoulder"),
    "elbow": ("right_elbow", "left_elbow"),
    "wrist": ("right_wrist", "left_wrist"),
    "hip": ("right_hip", "left_hip"),
    "knee": ("right_knee", "left_knee"),
    "ankle": ("right_ankle", "left_ankle"),
}
"""The joints that are scored, in the groups of MPI-INF-3DHP. Pelvis, spine and head (centre) are not scored."""

SCORED_JOINTS = tuple(joint for group in JOINT_GROUPS.values() for joint in group)
MATCHING_JOINTS = SCORED_JOINTS[1:]
"""Joints by which people are matched in the image: all scored ones but the top of the head."""

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

_OUTWARDS = ("spine", "neck", "head_top", "head", *MUPOTS17.joints[2:14])
_PARENTS = {
    "head_top": "neck",
    "neck": "spine",
    "spine": "pelvis",
    "head": "neck",
    "pelvis": "pelvis",
    "right_shoulder": "neck",
    "right_elbow": "right_shoulder",
    "right_wrist": "right_elbow",
    "left_shoulder": "neck",
    "left_elbow": "left_shoulder",
    "left_wrist": "left_elbow",
    "right_hip": "pelvis",
    "right_knee": "right_hip",
    "right_ankle": "right_knee",
    "left_hip": "pelvis",
    "left_knee": "left_hip",
    "left_ankle": "left_knee",
}
_BY_SPINE = tuple((joint, _PARENTS[joint]) for joint in _OUTWARDS)
_BY_PELVIS = (
    ("neck", "pelvis"),
    *((joint, parent) for joint, parent in _BY_SPINE if joint not in ("spine", "neck", "head")),
)
_BY_POSITION = tuple(zip(_OUTWARDS, (_PARENTS[joint] for joint in MUPOTS17.joints), strict=False))

Bones = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MuPoTSProtocol:
    """How people are matched and scored.

    Attributes:
        name: "official", "smap15", "gntcn" or "mpi15".
        skeleton: of truth and predictions.
        universal: whether the truth is in universal scale, where a dataset has one.
        bones: (joint, parent) in the order of rescaling to the true bone lengths; empty if predictions are not
            rescaled.
        matching: "pixels" or "procrustes".
        depth_only: whether only the depth of a predicted root is scored.
        max_threshold: last threshold of the AUC, mm; the first is 0 and the step 5 mm.
        inclusive: whether an error of exactly 150 mm is correct in `PCK_occ` and `PCK_vis`; elsewhere it never is.
        missing_error: error, mm, of a joint of a matched person that is not predicted, in mean errors; None leaves it
            out.
    """

    name: str
    skeleton: Skeleton
    universal: bool = False
    bones: Bones = ()
    matching: Literal["pixels", "procrustes"] = "pixels"
    depth_only: bool = False
    max_threshold: float = 150.0
    inclusive: bool = False
    missing_error: float | None = None

    @property
    def rescales(self) -> bool:
        """Whether predictions are rescaled to the true bone lengths."""
        return bool(self.bones)

    @property
    def scored(self) -> list[int]:
        """Numbers of the scored joints in the skeleton."""
        return self.skeleton.index(*SCORED_JOINTS)

    @property
    def root(self) -> int:
        """Number of the pelvis."""
        return self.skeleton.index("pelvis")[0]

    @property
    def thresholds(self) -> Float[np.ndarray, "threshold"]:
        """Of the AUC, mm."""
        return np.arange(0, self.max_threshold + 1, 5)


OFFICIAL = MuPoTSProtocol(
    "official", MUPOTS17, universal=True, bones=_BY_SPINE, inclusive=True, missing_error=MISSING_ERROR
)
SMAP15 = MuPoTSProtocol(
    "smap15",
    MUPOTS17.subset(MUPOTS17.joints[:15]),
    universal=True,
    bones=_BY_PELVIS,
    inclusive=True,
    missing_error=MISSING_ERROR,
)
GNTCN = MuPoTSProtocol(
    "gntcn",
    MUPOTS17,
    bones=_BY_POSITION,
    matching="procrustes",
    depth_only=True,
    max_threshold=195.0,
    inclusive=True,
    missing_error=MISSING_ERROR,
)
MPI15_PROTOCOL = MuPoTSProtocol("mpi15", MPI15)
PROTOCOLS = {protocol.name: protocol for protocol in (OFFICIAL, SMAP15, GNTCN, MPI15_PROTOCOL)}


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """Ground truth and predictions of one image, in the protocol's skeleton. Unknown joints are NaN.

    Attributes:
        xyz, xy: ground truth, metres in the camera frame and pixels.
        predicted_xyz, predicted_xy: predictions, in any order.
        score: of each predicted person.
        occluded: which true joints are occluded; None where this is not annotated.
        sequence: that the image belongs to.
        radius: pixels within which a joint counts for a match.
    """

    xyz: Float[np.ndarray, "person joint 3"]
    xy: Float[np.ndarray, "person joint 2"]
    predicted_xyz: Float[np.ndarray, "prediction joint 3"]
    predicted_xy: Float[np.ndarray, "prediction joint 2"]
    score: Float[np.ndarray, "prediction"]
    occluded: Bool[np.ndarray, "person joint"] | None = None
    sequence: str = ""
    radius: float = MATCH_RADIUS


def match_pixels(
    xy: Float[np.ndarray, "person joint 2"],
    predicted: Float[np.ndarray, "prediction joint 2"],
    radius: float = MATCH_RADIUS,
) -> Int[np.ndarray, "person"]:
    """The prediction of each person, or -1: in the order of the people, the free one with the most joints nearby, the
    first of equals.

    Arguments:
        radius: pixels in x and in y that a joint must be closer than.
    """
    near = (np.abs(xy[:, None] - predicted) < radius).all(-1).sum(-1)
    matches = np.full(len(xy), -1)
    taken = np.zeros(len(predicted), bool)
    for person, joints in enumerate(near):
        free = np.where(taken, 0, joints)
        if free.any():
            matches[person] = free.argmax()
            taken[matches[person]] = True
    return matches


def match_procrustes(
    xyz: Float[np.ndarray, "person joint 3"],
    predicted: Float[np.ndarray, "prediction joint 3"],
    max_error: float = MAX_PROCRUSTES_ERROR,
) -> Int[np.ndarray, "person"]:
    """The prediction with the smallest error after Procrustes alignment for each person, or -1; two people may have the
    same.

    Arguments:
        max_error: mean error over the joints that both have, mm, that it must be below.
    """
    if not len(predicted) or not len(xyz):
        return np.full(len(xyz), -1)
    truth = np.broadcast_to(xyz[:, None], (len(xyz), *predicted.shape))
    aligned = procrustes(np.broadcast_to(predicted, truth.shape), truth)
    errors = joint_errors(aligned, truth)
    known = np.isfinite(errors)
    means = np.where(known.any(-1), 1000 * np.where(known, errors, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.inf)
    return np.where(means.min(-1) < max_error, means.argmin(-1), -1)


def rescale_bones(
    predicted: Float[np.ndarray, "person joint 3"],
    truth: Float[np.ndarray, "person joint 3"],
    bones: Iterable[tuple[int, int]],
) -> Float[np.ndarray, "person joint 3"]:
    """Predictions with their own bone directions and the true bone lengths; NaN at the end of a bone of length 0.

    Arguments:
        bones: (joint, parent), parents first.
    """
    result = predicted.copy()
    for joint, parent in bones:
        bone = predicted[:, joint] - predicted[:, parent]
        length = np.linalg.norm(bone, axis=-1)
        true_length = np.linalg.norm(truth[:, joint] - truth[:, parent], axis=-1)
        factor = np.divide(true_length, length, out=np.full(len(bone), np.nan), where=length > 0)
        result[:, joint] = result[:, parent] + bone * factor[:, None]
    return result


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


def image_errors(image: ScoredImage, protocol: MuPoTSProtocol) -> ImageErrors:
    """All errors of one image."""
    truth = np.asarray(image.xyz, np.float64)
    root = protocol.root
    scored = protocol.scored
    predictions = np.asarray(image.predicted_xyz, np.float64)
    if protocol.matching == "pixels":
        joints = protocol.skeleton.index(*MATCHING_JOINTS)
        matches = match_pixels(image.xy[:, joints], image.predicted_xy[:, joints], image.radius)
    else:
        matches = match_procrustes(truth, predictions)
    matched = matches >= 0
    predicted = np.full(truth.shape, np.nan)
    predicted[matched] = predictions[matches[matched]]
    unscaled = predicted.copy()
    if protocol.rescales:
        index = protocol.skeleton.index
        bones = [(index(joint)[0], index(parent)[0]) for joint, parent in protocol.bones]
        predicted = rescale_bones(predicted, truth, bones)
    relative = predicted - predicted[:, root : root + 1]
    true_relative = truth - truth[:, root : root + 1]
    if protocol.depth_only:
        with np.errstate(divide="ignore", invalid="ignore"):
            predicted = relative + truth[:, root : root + 1] * (unscaled[:, root, 2] / truth[:, root, 2])[:, None, None]
    occluded = np.full(truth.shape[:2], -1) if image.occluded is None else image.occluded.astype(int)
    order = np.argsort(-image.score, kind="stable")
    return ImageErrors(
        sequence=image.sequence,
        matched=matched,
        relative=_millimetres(relative[:, scored], true_relative[:, scored]),
        absolute=_millimetres(predicted[:, scored], truth[:, scored]),
        aligned=_millimetres(procrustes(unscaled[:, scored], truth[:, scored]), truth[:, scored]),
        occluded=occluded[:, scored],
        pairs=compare_depth_order(truth[:, root, 2], unscaled[:, root, 2]),
        roots=int(np.isfinite(truth[:, root]).all(-1).sum()),
        score=image.score[order],
        root_correct=match_roots(truth[:, root], predictions[order, root]),
    )


def _millimetres(
    predicted: Float[np.ndarray, "person joint 3"], truth: Float[np.ndarray, "person joint 3"]
) -> np.ndarray:
    """Errors rounded to a nanometre, so that 150 mm by the coordinates is 150 mm."""
    distances = np.round(1000 * joint_errors(predicted, truth), 6)
    return np.where(np.isnan(truth).any(-1), np.nan, np.where(np.isnan(distances), np.inf, distances))


def compare_depth_order(
    depth: Float[np.ndarray, "person"], predicted: Float[np.ndarray, "person"], same_depth: float = SAME_DEPTH
) -> Int[np.ndarray, "pair"]:
    """For each pair of people: 2 if their depth order is predicted correctly, 1 if not, 0 if one of them is not
    predicted.

    SMAP's ordinal depth: correct is the same sign of the difference, or both differences below a threshold. People of
    unknown depth are left out.

    Arguments:
        depth: of the true roots, m.
        predicted: of the roots of the matching predictions, m; NaN where there is none.
        same_depth: the threshold, mm.
    """
    known = np.isfinite(depth)
    depth = depth[known]
    predicted = predicted[known]
    first, second = np.triu_indices(len(depth), 1)
    true_difference = depth[first] - depth[second]
    difference = predicted[first] - predicted[second]
    same_sign = np.sign(true_difference) == np.sign(difference)
    both_small = (1000 * np.abs(true_difference) < same_depth) & (1000 * np.abs(difference) < same_depth)
    return np.where(np.isnan(difference), 0, np.where(same_sign | both_small, 2, 1))


def match_roots(
    truth: Float[np.ndarray, "person 3"],
    predicted: Float[np.ndarray, "prediction 3"],
    max_error: float = ROOT_THRESHOLD,
) -> Bool[np.ndarray, "prediction"]:
    """Which predicted roots are correct: the nearest free person is less than `max_error` mm away, and then taken.

    Arguments:
        predicted: in descending order of score.
    """
    free = np.isfinite(truth).all(-1)
    hits = np.zeros(len(predicted), bool)
    for number, root in enumerate(predicted):
        distances = np.where(free, 1000 * np.linalg.norm(truth - root, axis=-1), np.inf)
        if len(distances) and (nearest := int(np.nanargmin(np.append(distances, np.inf)))) < len(distances):
            hits[number] = distances[nearest] < max_error
            free[nearest] &= not hits[number]
    return hits


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


@dataclass(frozen=True)
class MuPoTSScores:
    """Metrics of a set of people.

    Attributes:
        people: how many.
        values: by COLUMNS and by JOINT_GROUPS (PCK); shares 0..1, lengths in mm, NaN where there is nothing to score.
    """

    people: int
    values: dict[str, float]

    def __getitem__(self, column: str) -> float:
        return self.values[column]


class MuPoTSReport:
    """All metrics of many images.

    There are two means: in `pooled` every joint counts the same, in `over_sequences` every sequence, as in MuPoTS-3D's
    tables.
    """

    def __init__(self, errors: Sequence[ImageErrors], protocol: MuPoTSProtocol) -> None:
        self.protocol = protocol
        self.sequences = list(dict.fromkeys(each.sequence for each in errors))
        self._errors = list(errors)

    @classmethod
    def score(
        cls,
        images: Iterable[ScoredImage],
        protocol: MuPoTSProtocol,
        progress: Callable[[int], None] = lambda images: None,
    ) -> "MuPoTSReport":
        """The report of these images.

        Arguments:
            progress: called with 1 after each image.
        """
        errors = []
        for image in images:
            errors.append(image_errors(image, protocol))
            progress(1)
        return cls(errors, protocol)

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self._errors)

    @property
    def predictions(self) -> int:
        """Number of predicted people."""
        return sum(len(each.score) for each in self._errors)

    @cached_property
    def matched(self) -> int:
        """Number of people with a prediction."""
        return int(sum(each.matched.sum() for each in self._errors))

    @cached_property
    def root_ap(self) -> float:
        """Average precision of the root at 250 mm over all images, 0..1; the only metric that false positives lower."""
        if not self._errors:
            return float("nan")
        scores = np.concatenate([each.score for each in self._errors])
        hits = np.concatenate([each.root_correct for each in self._errors])
        return average_precision(scores, hits, sum(each.roots for each in self._errors))

    def pooled(self, matched: bool = False, sequences: Iterable[str] | None = None) -> MuPoTSScores:
        """Metrics over all joints.

        Arguments:
            matched: of matched people only; otherwise every joint and every depth order of a missed person is wrong.
            sequences: of these only.
        """
        chosen = set(self.sequences if sequences is None else sequences)
        return _scores([each for each in self._errors if each.sequence in chosen], self.protocol, matched)

    def over_sequences(self, matched: bool = False) -> MuPoTSScores:
        """Means of the sequences' metrics, each counting the same; sequences without a metric do not count for it.

        Arguments:
            matched: as in `pooled`.
        """
        scores = [self.pooled(matched, [sequence]) for sequence in self.sequences]
        columns = (*COLUMNS, *JOINT_GROUPS)
        means = {column: _mean(np.array([each[column] for each in scores])) for column in columns}
        return MuPoTSScores(sum(each.people for each in scores), means)


def _scores(errors: Sequence[ImageErrors], protocol: MuPoTSProtocol, matched_only: bool) -> MuPoTSScores:
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
    return MuPoTSScores(len(people), values)


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
