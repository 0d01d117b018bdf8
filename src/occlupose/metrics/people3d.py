"""Everybody in a picture in absolute 3D, scored: MuPoTS-3D's protocol in three variants, and one for whatever has a
known truth.

True people find their predictions in the picture, one after the other. A joint is right where it is nearer than 150 mm
to the true one, the pelvis taken out before (relative) or not (absolute); the share of those is the PCK. It is given
over matched people, and over all of them, where a person without a prediction has every joint wrong. Predictions that
match nobody cost nothing, except in the average precision of the root.

The variants, which give different figures of the same predictions:

- `official`: the evaluation that comes with MuPoTS-3D, on the truth in universal scale (`univ_annot3`). In the order in
  which they are listed, true people take the free prediction with most joints (neck to ankles) less than 40 px away in
  x and in y, if there is any. Predictions get the true bone lengths, from the pelvis by way of the spine outwards. AUC:
  mean PCK at 0, 5 ... 150 mm.
- `smap15`: the same on 15 joints, without spine and head: the neck hangs on the pelvis. SMAP's and HUPOR's figures.
  Those also leave out predictions whose pelvis is over 30 px from every true one and pictures whose true pelvis is not
  seen, which is not done here.
- `pyport`: Python ports of it (GnTCN and relatives). They take the truth in true scale (`annot3`); a person takes the
  prediction that fits best after a Procrustes alignment, if that is better than 250 mm, and two may take the same; bone
  lengths are taken to the parent of another joint, since the ports look parents up by the place in the order of
  scaling; the absolute root is the true one, moved along its ray to the predicted depth; AUC: mean PCK at 0, 5 ... 195
  mm. To compare with figures of such papers, and nothing else.
- `crowd`: ours, for data with a known truth in the 15 joints of HUPOR: matched as `official`, but within 1/24 of the
  picture's longer side (80 px of 1920), as pictures may be small; scored as predicted.

Where bones are rescaled, a skeleton of the wrong size still counts as right, in the absolute figures too, which then
judge the place of the pelvis and the directions of the bones. Such figures say nothing of how well sizes are told;
tables say so beside them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton

NEAR = 40.0
"""Pixels in x and in y within which a joint counts for a match. As MuPoTS-3D has it."""

FITTING = 250.0
"""Mean error after alignment, mm, below which `pyport` matches. As the ports have it."""

RIGHT = 150.0
"""Error, mm, below which a joint is right. As MPI-INF-3DHP has it."""

ROOT_RIGHT = 250.0
"""Error, mm, below which a root is right for its average precision. As RootNet has it."""

LEVEL = 300.0
"""Difference in depth, mm, below which two people count as equally far away. As SMAP has it."""

LACKING = 160.0
"""Error, mm, that a joint of a matched person has which is not predicted. As MuPoTS-3D's evaluation by occlusion has
it.
"""

GROUPS = {
    "head": ("head_top",),
    "neck": ("neck",),
    "shoulder": ("right_shoulder", "left_shoulder"),
    "elbow": ("right_elbow", "left_elbow"),
    "wrist": ("right_wrist", "left_wrist"),
    "hip": ("right_hip", "left_hip"),
    "knee": ("right_knee", "left_knee"),
    "ankle": ("right_ankle", "left_ankle"),
}
"""The joints that are scored, as MPI-INF-3DHP groups them. Pelvis, spine and the middle of the head are not."""

SCORED = tuple(joint for group in GROUPS.values() for joint in group)
MATCHED = SCORED[1:]
"""Joints by which people are matched in the picture: all of those but the top of the head."""

SHARES = ("PCK", "AUC", "PCK_abs", "AUC_abs", "PCK_occ", "PCK_vis", "PCOD")
"""Figures that are shares, 0..1: of right joints, relative and absolute, hidden and visible (relative); of ordered
pairs of people.
"""

LENGTHS = ("MPJPE", "MPJPE_abs", "MPJPE_occ", "MPJPE_vis", "PA-MPJPE")
"""Figures in millimetres, of matched people only: relative, absolute, of hidden and visible joints, after a Procrustes
alignment.
"""

COLUMNS = (*SHARES, *LENGTHS, "predicted")
"""All figures of a set of people; `predicted` is the share of the joints of matched people that are predicted at
all.
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
_BY_PLACE = tuple(zip(_OUTWARDS, (_PARENTS[joint] for joint in MUPOTS17.joints), strict=False))

Bones = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Protocol:
    """How people are scored.

    Attributes:
        name: "official", "smap15", "pyport" or "crowd".
        skeleton: of truth and predictions.
        universal: whether the truth is that in universal scale, where a dataset has one.
        bones: (joint, the joint it hangs on) in the order of giving predictions their true lengths; none leaves them as
            they are.
        matching: "pixels" or "fit".
        depth_only: whether of a predicted root only the depth counts.
        most: the last threshold of the AUC, mm; the first is 0, and they are 5 mm apart.
        edge: whether 150 mm count as right where joints are told apart by occlusion; otherwise they nowhere do.
        lacking: error, mm, of a joint of a matched person that is not predicted, in means of errors; None leaves it out
            of them.
    """

    name: str
    skeleton: Skeleton
    universal: bool = False
    bones: Bones = ()
    matching: Literal["pixels", "fit"] = "pixels"
    depth_only: bool = False
    most: float = 150.0
    edge: bool = False
    lacking: float | None = None

    @property
    def rescales(self) -> bool:
        """Whether predictions get the true bone lengths."""
        return bool(self.bones)

    @property
    def scored(self) -> list[int]:
        """Where the scored joints are in its skeleton."""
        return self.skeleton.index(*SCORED)

    @property
    def root(self) -> int:
        """Where the pelvis is."""
        return self.skeleton.index("pelvis")[0]

    @property
    def thresholds(self) -> Float[np.ndarray, "threshold"]:
        """Of the AUC, mm."""
        return np.arange(0, self.most + 1, 5)


OFFICIAL = Protocol("official", MUPOTS17, universal=True, bones=_BY_SPINE, edge=True, lacking=LACKING)
SMAP15 = Protocol(
    "smap15", MUPOTS17.subset(MUPOTS17.joints[:15]), universal=True, bones=_BY_PELVIS, edge=True, lacking=LACKING
)
PYPORT = Protocol(
    "pyport", MUPOTS17, bones=_BY_PLACE, matching="fit", depth_only=True, most=195.0, edge=True, lacking=LACKING
)
CROWD = Protocol("crowd", MPI15)
PROTOCOLS = {protocol.name: protocol for protocol in (OFFICIAL, SMAP15, PYPORT, CROWD)}


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: who is in it, and who is said to be, in the skeleton of the protocol. A joint that nobody knows is
    NaN.

    Attributes:
        xyz, xy: the truth, m in the camera's frame and px.
        predicted_xyz, predicted_xy: the predictions, in any order.
        score: of each predicted person.
        hidden: true joints that are not seen in the picture; None where nobody says.
        sequence: that it belongs to.
        near: px within which a joint counts for a match.
    """

    xyz: Float[np.ndarray, "person joint 3"]
    xy: Float[np.ndarray, "person joint 2"]
    predicted_xyz: Float[np.ndarray, "prediction joint 3"]
    predicted_xy: Float[np.ndarray, "prediction joint 2"]
    score: Float[np.ndarray, "prediction"]
    hidden: Bool[np.ndarray, "person joint"] | None = None
    sequence: str = ""
    near: float = NEAR


# ------------------------------------------------------------------------------------ matching


def match_pixels(
    xy: Float[np.ndarray, "person joint 2"], predicted: Float[np.ndarray, "prediction joint 2"], near: float = NEAR
) -> Int[np.ndarray, "person"]:
    """Which prediction is each person's, -1 for nobody's: in the people's order, the free one with most joints nearby,
    the first of equals.

    Arguments:
        near: px in x and in y that a joint must be less away than.
    """
    close = (np.abs(xy[:, None] - predicted) < near).all(-1).sum(-1)
    matches = np.full(len(xy), -1)
    taken = np.zeros(len(predicted), bool)
    for person, joints in enumerate(close):
        free = np.where(taken, 0, joints)
        if free.any():
            matches[person] = free.argmax()
            taken[matches[person]] = True
    return matches


def match_fit(
    xyz: Float[np.ndarray, "person joint 3"], predicted: Float[np.ndarray, "prediction joint 3"], most: float = FITTING
) -> Int[np.ndarray, "person"]:
    """Which prediction fits each person best after a Procrustes alignment, -1 where none does; two people may have the
    same.

    Arguments:
        most: mean error over the joints that both have, mm, that it must be below.
    """
    if not len(predicted) or not len(xyz):
        return np.full(len(xyz), -1)
    truth = np.broadcast_to(xyz[:, None], (len(xyz), *predicted.shape))
    fitted = procrustes(np.broadcast_to(predicted, truth.shape), truth)
    errors = joint_errors(fitted, truth)
    known = np.isfinite(errors)
    means = np.where(known.any(-1), 1000 * np.where(known, errors, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.inf)
    return np.where(means.min(-1) < most, means.argmin(-1), -1)


def rescaled_bones(
    predicted: Float[np.ndarray, "person joint 3"],
    truth: Float[np.ndarray, "person joint 3"],
    bones: Iterable[tuple[int, int]],
) -> Float[np.ndarray, "person joint 3"]:
    """Predictions whose bones point as they did and are as long as the true ones; a bone without a length loses its
    joint (NaN).

    Arguments:
        bones: (joint, the joint it hangs on), the one on which others hang first.
    """
    result = predicted.copy()
    for joint, parent in bones:
        bone = predicted[:, joint] - predicted[:, parent]
        is_long = np.linalg.norm(bone, axis=-1)
        should_be = np.linalg.norm(truth[:, joint] - truth[:, parent], axis=-1)
        factor = np.divide(should_be, is_long, out=np.full(len(bone), np.nan), where=is_long > 0)
        result[:, joint] = result[:, parent] + bone * factor[:, None]
    return result


# -------------------------------------------------------------------------------------- errors


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one picture's true people, in mm and the order of SCORED: NaN where there is no truth, infinite where
    no prediction.

    Attributes:
        sequence: that the picture belongs to.
        matched: who has a prediction.
        relative, absolute: with the pelvis taken out, and as they are.
        aligned: after a Procrustes alignment.
        hidden: 1 for a hidden joint, 0 for a visible one, -1 where nobody says.
        pairs: for each two people with known roots, 2 where they are both matched and their order in depth is right, 1
            where it is wrong, 0 where one of them is missed.
        roots: people whose root is known.
        score: of each prediction, the best first.
        found: whether that prediction's root is a person's, by `root_hits`.
    """

    sequence: str
    matched: Bool[np.ndarray, "person"]
    relative: Float[np.ndarray, "person joint"]
    absolute: Float[np.ndarray, "person joint"]
    aligned: Float[np.ndarray, "person joint"]
    hidden: Int[np.ndarray, "person joint"]
    pairs: Int[np.ndarray, "pair"]
    roots: int
    score: Float[np.ndarray, "prediction"]
    found: Bool[np.ndarray, "prediction"]


def errors(frame: Frame, protocol: Protocol) -> Errors:
    """Everything that is to be known of one picture."""
    truth = np.asarray(frame.xyz, np.float64)
    root = protocol.root
    scored = protocol.scored
    everybody = np.asarray(frame.predicted_xyz, np.float64)
    if protocol.matching == "pixels":
        by = protocol.skeleton.index(*MATCHED)
        matches = match_pixels(frame.xy[:, by], frame.predicted_xy[:, by], frame.near)
    else:
        matches = match_fit(truth, everybody)
    matched = matches >= 0
    predicted = np.full(truth.shape, np.nan)
    predicted[matched] = everybody[matches[matched]]
    own = predicted.copy()
    if protocol.rescales:
        indices = protocol.skeleton.index
        predicted = rescaled_bones(
            predicted, truth, [(indices(joint)[0], indices(parent)[0]) for joint, parent in protocol.bones]
        )
    relative, truth_relative = (xyz - xyz[:, root : root + 1] for xyz in (predicted, truth))
    if protocol.depth_only:
        with np.errstate(divide="ignore", invalid="ignore"):
            predicted = relative + truth[:, root : root + 1] * (own[:, root, 2] / truth[:, root, 2])[:, None, None]
    hidden = np.full(truth.shape[:2], -1) if frame.hidden is None else frame.hidden.astype(int)
    order = np.argsort(-frame.score, kind="stable")
    return Errors(
        sequence=frame.sequence,
        matched=matched,
        relative=_millimetres(relative[:, scored], truth_relative[:, scored]),
        absolute=_millimetres(predicted[:, scored], truth[:, scored]),
        aligned=_millimetres(procrustes(own[:, scored], truth[:, scored]), truth[:, scored]),
        hidden=hidden[:, scored],
        pairs=ordered(truth[:, root, 2], own[:, root, 2]),
        roots=int(np.isfinite(truth[:, root]).all(-1).sum()),
        score=frame.score[order],
        found=root_hits(truth[:, root], everybody[order, root]),
    )


def _millimetres(
    predicted: Float[np.ndarray, "person joint 3"], truth: Float[np.ndarray, "person joint 3"]
) -> np.ndarray:
    """Errors to a nanometre, so that what is 150 mm by its coordinates is 150 mm."""
    distances = np.round(1000 * joint_errors(predicted, truth), 6)
    return np.where(np.isnan(truth).any(-1), np.nan, np.where(np.isnan(distances), np.inf, distances))


def ordered(
    depth: Float[np.ndarray, "person"], predicted: Float[np.ndarray, "person"], level: float = LEVEL
) -> Int[np.ndarray, "pair"]:
    """Of each two people: 2 where their order in depth is predicted right, 1 where it is wrong, 0 where one of them is
    not predicted.

    SMAP's ordinal depth: right is the same sign of the difference, or both differences below a level. People of unknown
    depth are left out.

    Arguments:
        depth: of the true roots, m.
        predicted: of the roots of the predictions that match them, m; NaN where none does.
        level: mm.
    """
    known = np.isfinite(depth)
    depth = depth[known]
    predicted = predicted[known]
    first, second = np.triu_indices(len(depth), 1)
    true = depth[first] - depth[second]
    said = predicted[first] - predicted[second]
    right = (np.sign(true) == np.sign(said)) | ((1000 * np.abs(true) < level) & (1000 * np.abs(said) < level))
    return np.where(np.isnan(said), 0, np.where(right, 2, 1))


def root_hits(
    truth: Float[np.ndarray, "person 3"], predicted: Float[np.ndarray, "prediction 3"], most: float = ROOT_RIGHT
) -> Bool[np.ndarray, "prediction"]:
    """Which predictions' roots are a person's: that is the nearest of those who are still free, and less than `most` mm
    away.

    Arguments:
        predicted: the best first.
    """
    free = np.isfinite(truth).all(-1)
    hits = np.zeros(len(predicted), bool)
    for number, root in enumerate(predicted):
        distances = np.where(free, 1000 * np.linalg.norm(truth - root, axis=-1), np.inf)
        if len(distances) and (nearest := int(np.nanargmin(np.append(distances, np.inf)))) < len(distances):
            hits[number] = distances[nearest] < most
            free[nearest] &= not hits[number]
    return hits


def average_precision(
    score: Float[np.ndarray, "prediction"], hits: Bool[np.ndarray, "prediction"], people: int
) -> float:
    """Area under precision over recall, precision being the best at that recall or a higher one; NaN where there is
    nobody to find.

    Arguments:
        hits: which predictions found somebody whom no better one had found.
        people: to be found.
    """
    if not people:
        return float("nan")
    hits = hits[np.argsort(-score, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / people)


# ------------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Scores:
    """Figures of a set of people.

    Attributes:
        people: how many.
        values: by COLUMNS and by GROUPS (PCK); shares 0..1, lengths in mm, NaN where there is nothing to score.
    """

    people: int
    values: dict[str, float]

    def __getitem__(self, column: str) -> float:
        return self.values[column]


class Report:
    """All figures of many pictures.

    There are two means: `pooled` counts every joint the same, `over_sequences` every sequence, as MuPoTS-3D's tables
    have it.
    """

    def __init__(self, of: Sequence[Errors], protocol: Protocol) -> None:
        self.protocol = protocol
        self.sequences = list(dict.fromkeys(each.sequence for each in of))
        self._of = list(of)

    @classmethod
    def score(
        cls, frames: Iterable[Frame], protocol: Protocol, progress: Callable[[int], None] = lambda frames: None
    ) -> "Report":
        """The report of these pictures.

        Arguments:
            progress: called with 1 after each picture.
        """
        of = []
        for frame in frames:
            of.append(errors(frame, protocol))
            progress(1)
        return cls(of, protocol)

    @property
    def pictures(self) -> int:
        """How many were scored."""
        return len(self._of)

    @property
    def predictions(self) -> int:
        """How many people were predicted."""
        return sum(len(each.score) for each in self._of)

    @cached_property
    def found(self) -> int:
        """How many people have a prediction."""
        return int(sum(each.matched.sum() for each in self._of))

    @cached_property
    def root_ap(self) -> float:
        """Average precision of the root at 250 mm, 0..1; the one figure that predictions of nobody lower. Of all
        pictures together.
        """
        if not self._of:
            return float("nan")
        scores, hits = (np.concatenate([getattr(each, name) for each in self._of]) for name in ("score", "found"))
        return average_precision(scores, hits, sum(each.roots for each in self._of))

    def pooled(self, matched: bool = False, sequences: Iterable[str] | None = None) -> Scores:
        """Figures of all joints together.

        Arguments:
            matched: of matched people only; otherwise whoever is missed has every joint wrong, and every order in
                depth.
            sequences: of these only.
        """
        chosen = set(self.sequences if sequences is None else sequences)
        return _scores([each for each in self._of if each.sequence in chosen], self.protocol, matched)

    def over_sequences(self, matched: bool = False) -> Scores:
        """The means of the sequences' figures, each counting the same; one that lacks a figure does not count for it.

        Arguments:
            matched: as in `pooled`.
        """
        each = [self.pooled(matched, [sequence]) for sequence in self.sequences]
        means = {column: _mean(np.array([one[column] for one in each])) for column in (*COLUMNS, *GROUPS)}
        return Scores(sum(one.people for one in each), means)


def _scores(of: Sequence[Errors], protocol: Protocol, matched_only: bool) -> Scores:
    joints = len(SCORED)

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(each, name) for each in of]) if of else np.zeros(0)

    matched = together("matched").astype(bool)
    relative, absolute, aligned, hidden = (
        together(name).reshape(-1, joints) for name in ("relative", "absolute", "aligned", "hidden")
    )
    pairs = together("pairs")
    people = np.flatnonzero(matched) if matched_only else np.arange(len(matched))
    values = {
        "PCK": right(relative[people]),
        "AUC": _auc(relative[people], protocol),
        "PCK_abs": right(absolute[people]),
        "AUC_abs": _auc(absolute[people], protocol),
        "PCK_occ": right(relative[people][hidden[people] == 1], edge=protocol.edge),
        "PCK_vis": right(relative[people][hidden[people] == 0], edge=protocol.edge),
        "PCOD": _mean(pairs[pairs > 0] == 2 if matched_only else pairs == 2),
        "MPJPE": _error(relative[matched], protocol),
        "MPJPE_abs": _error(absolute[matched], protocol),
        "MPJPE_occ": _error(relative[matched][hidden[matched] == 1], protocol),
        "MPJPE_vis": _error(relative[matched][hidden[matched] == 0], protocol),
        "PA-MPJPE": _error(aligned[matched], protocol),
        "predicted": _mean(np.isfinite(absolute[matched][~np.isnan(absolute[matched])])),
    }
    for group, names in GROUPS.items():
        values[group] = right(relative[people][:, [SCORED.index(name) for name in names]])
    return Scores(len(people), values)


def right(errors: Float[np.ndarray, "..."], threshold: float = RIGHT, *, edge: bool = False) -> float:
    """The share of errors (mm) below a threshold, NaN where there is none; joints without a truth (NaN) do not count.

    Arguments:
        edge: whether the threshold itself is right too.
    """
    known = errors[~np.isnan(errors)]
    return _mean(known <= threshold if edge else known < threshold)


def _auc(errors: Float[np.ndarray, "person joint"], protocol: Protocol) -> float:
    return _mean(np.array([right(errors, threshold) for threshold in protocol.thresholds]))


def _error(errors: Float[np.ndarray, "..."], protocol: Protocol) -> float:
    known = errors[~np.isnan(errors)]
    return _mean(
        known[np.isfinite(known)] if protocol.lacking is None else np.where(np.isinf(known), protocol.lacking, known)
    )


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
