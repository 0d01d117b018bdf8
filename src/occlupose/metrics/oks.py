"""Average precision of 2D poses by object keypoint similarity, whole and by occlusion.

The precision itself is computed by faster-coco-eval, an implementation of COCO's evaluator; what goes into it is
prepared here, so that the figures are those of COCO's own evaluator (COCO, OCHuman, our own people) and of CrowdPose's.

How people are scored (COCO's keypoint challenge; CrowdPose as Li et al., CVPR 2019): a prediction's similarity to a
person is the mean over the person's annotated joints of exp(-d^2 / (2 area (2 sigma)^2)); CrowdPose, whose people have
no area, takes 0.53 of the box's. Predictions find people in the order of their score, at ten thresholds from 0.50 to
0.95. People without annotated joints, and crowds, are ignored: what is found within their box, enlarged by one of its
sides all around, is neither right nor wrong.

Strata of occlusion are the same evaluation of less truth: joints of other states count as not annotated, people of
other strata as people without annotated joints. So everybody whom a stratum leaves out takes up one prediction that
lies in the enlarged box, by COCO's own rule, however exact it is. Two things follow. In a dense crowd a bad prediction
of one person may go unpunished beside somebody who is left out. And wrong predictions weigh more where fewer people are
to be found: precision compares methods within a stratum, not strata; recall both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from jaxtyping import Bool, Float, Int

from occlupose.datasets.coco import GroundTruth
from occlupose.errors import OccluposeError
from occlupose.occlusion.blocks import LIMB_JOINTS
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import CROWDPOSE14

COUNTED = 0.2
"""Score that a joint must exceed to count for the person's score. As MMPose has it."""

SAME = 0.9
"""Similarity above which the weaker of two predictions is the same person. As MMPose has it."""

BODY = 0.53
"""A person's share of the box, where nobody knows the area. As CrowdPose's evaluator has it."""

MOST = 20
"""Predictions of a picture that are looked at, the best first. As COCO has it."""

CROWDS = {"AP-E": (-np.inf, 0.2), "AP-M": (0.2, 0.8), "AP-H": (0.8, np.inf)}
"""Pictures by CrowdPose's crowd index: easy below 0.2, hard from 0.8."""

HIDDEN = {
    "0 joints hidden": (0, 0),
    "1-2 joints hidden": (1, 2),
    "3-5 joints hidden": (3, 5),
    "6 or more joints hidden": (6, 1000),
}
"""People by the number of their hidden joints. Ours."""

_COCO = ("AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L")
_CROWDPOSE = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")

Boxes = Literal["ground truth", "detected"]


@dataclass(frozen=True)
class Protocol:
    """How a dataset is scored, and where the boxes came from in which people were looked for.

    Attributes:
        dataset: one of `datasets.coco.DATASETS`.
        boxes: "ground truth", or "detected" by somebody. Figures of the two say different things, and are never in one
            table unnamed.
    """

    dataset: str
    boxes: Boxes

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.dataset}, {self.boxes} boxes"

    @property
    def crowds(self) -> bool:
        """Whether it is CrowdPose's evaluation; all others are COCO's."""
        return self.dataset == "crowdpose"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its figures, in order."""
        return (*_CROWDPOSE, *CROWDS) if self.crowds else _COCO


@dataclass(frozen=True, eq=False)
class Result:
    """One person as predicted.

    Attributes:
        image: id of the picture.
        xy: joints, px, all of them finite.
        score: of each joint, 0..1.
        box: score of the box that the person was looked for in; 1 for a true box.
        area: of the region that was cut out, px^2, by which `finished` compares people; None takes the extent of the
            joints.
    """

    image: int
    xy: Float[np.ndarray, "joint 2"]
    score: Float[np.ndarray, "joint"]
    box: float = 1.0
    area: float | None = None

    @property
    def person(self) -> float:
        """Score of the person: that of the box times the mean of the joints' scores above COUNTED, 0 where none is."""
        counted = self.score[self.score > COUNTED]
        return float(self.box * counted.mean()) if len(counted) else 0.0


@dataclass(frozen=True)
class Scores:
    """Figures of one evaluation.

    Attributes:
        protocol: by which, and in which boxes.
        stratum: what part of the truth was asked for; "all" is the protocol's own.
        values: by the protocol's columns, 0..1; NaN where there is nobody to find.
        people: who were to be found.
        predictions: that were looked through.
    """

    protocol: Protocol
    stratum: str
    values: dict[str, float]
    people: int
    predictions: int

    def __getitem__(self, column: str) -> float:
        return self.values[column]


def protocol(truth: GroundTruth, boxes: Boxes) -> Protocol:
    """The protocol that a dataset's figures are given by."""
    return Protocol(truth.dataset, boxes)


# ------------------------------------------------------------------------------------ predictions


def similarities(
    xy: Float[np.ndarray, "joint 2"],
    area: float,
    others: Float[np.ndarray, "other joint 2"],
    areas: Float[np.ndarray, "other"],
    sigmas: Float[np.ndarray, "joint"],
) -> Float[np.ndarray, "other"]:
    """Object keypoint similarity of a prediction and others, over all joints and the mean of the two areas (px^2)."""
    squared = ((others - xy) ** 2).sum(-1)
    scale = (area + areas)[:, None] / 2 + np.spacing(1)
    return np.exp(-squared / (2 * sigmas) ** 2 / scale / 2).mean(-1)


def suppressed(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person"],
    area: Float[np.ndarray, "person"],
    sigmas: Float[np.ndarray, "joint"],
    *,
    most: float = SAME,
) -> Int[np.ndarray, "kept"]:
    """Who is left of one picture's predictions when those are taken out that a better one is too similar to; the best
    first.

    Arguments:
        most: similarity up to which two are different people.
    """
    order = np.argsort(-score, kind="stable")
    kept = []
    while len(order):
        best = order[0]
        order = order[1:]
        kept.append(best)
        order = order[similarities(xy[best], float(area[best]), xy[order], area[order], sigmas) <= most]
    return np.array(kept, int)


def finished(results: Sequence[Result], truth: GroundTruth, *, most: float = SAME) -> list[dict[str, Any]]:
    """Predictions in COCO's results format: people with their scores, and nobody twice.

    Arguments:
        truth: whose joints, sigmas and category they have.
        most: as in `suppressed`.

    Raises:
        OccluposeError: the skeleton has no sigmas.
    """
    sigmas = _sigmas(truth)
    by_image = defaultdict[int, list[Result]](list)
    for result in results:
        by_image[result.image].append(result)
    entries = []
    for image, people in by_image.items():
        xy = np.stack([result.xy for result in people])
        score = np.array([result.person for result in people])
        extent = np.prod(xy.max(1) - xy.min(1), axis=-1)
        area = np.array(
            [size if result.area is None else result.area for result, size in zip(people, extent, strict=True)], float
        )
        for number in suppressed(xy, score, area, sigmas, most=most).tolist():
            joints = np.concatenate([xy[number], people[number].score[:, None]], -1, dtype=float)
            keypoints = joints.ravel().tolist()
            entries.append(
                {
                    "image_id": image,
                    "category_id": truth.category,
                    "keypoints": keypoints,
                    "score": float(score[number]),
                }
            )
    return entries


# ----------------------------------------------------------------------------------------- strata


def with_joints(truth: GroundTruth, counted: Bool[np.ndarray, "person joint"]) -> GroundTruth:
    """The same people with some of their joints only; people who keep none are ignored."""
    state = np.where(counted, truth.state, ABSENT)
    labelled = (state != ABSENT).sum(-1)
    box = _boxes(truth)  # while all joints are there to be boxed
    return replace(
        truth,
        boxes=box,
        area=_areas(truth, box),
        state=state,
        num_keypoints=np.where(truth.num_keypoints > 0, labelled, 0),
    )


def with_people(truth: GroundTruth, counted: Bool[np.ndarray, "person"]) -> GroundTruth:
    """The same truth with some of its people to be found only; the others are ignored."""
    return with_joints(truth, np.broadcast_to(counted[:, None], truth.state.shape))


def strata(truth: GroundTruth) -> dict[str, GroundTruth]:
    """The truth by occlusion: all of it, joints by their state, arms and legs apart, and people by the number of their
    hidden joints.
    """
    state = truth.state
    limb = np.isin(truth.skeleton.joints, LIMB_JOINTS)
    hidden = (state == OCCLUDED).sum(-1)
    return {
        "all": truth,
        "visible joints": with_joints(truth, state == VISIBLE),
        "hidden joints": with_joints(truth, state == OCCLUDED),
        "visible limb joints": with_joints(truth, (state == VISIBLE) & limb),
        "hidden limb joints": with_joints(truth, (state == OCCLUDED) & limb),
        **{name: with_people(truth, (low <= hidden) & (hidden <= high)) for name, (low, high) in HIDDEN.items()},
    }


# ------------------------------------------------------------------------------------- evaluation


def evaluate(
    truth: GroundTruth, results: Sequence[Result | Mapping[str, Any]], by: Protocol, *, stratum: str = "all"
) -> Scores:
    """Average precision and recall of predictions.

    Arguments:
        truth: everybody, from `datasets.coco.load_ground_truth` or one of `strata`. Pictures of it without predictions
            count: their people are missed.
        results: predictions as they were made, which are `finished` first; or entries of COCO's results format
            (image_id, category_id, keypoints, score), which are taken as they are.
        by: the protocol.
        stratum: what the scores are called.

    Raises:
        OccluposeError: the protocol is another dataset's; the skeleton has no sigmas; a prediction of a picture that
            the truth does not have, of another number of joints, or that is not finite.
    """
    if by.dataset != truth.dataset:
        raise OccluposeError(f"{truth.path}: is {truth.dataset}, and is not scored by the protocol of {by.dataset}")
    raw = [result for result in results if isinstance(result, Result)]
    if raw and len(raw) < len(results):
        raise OccluposeError(f"{truth.path}: predictions to be scored are partly finished; give one kind")
    if by.crowds and truth.skeleton != CROWDPOSE14:
        raise OccluposeError(
            f"{truth.path}: joints are those of {truth.skeleton.name}; CrowdPose's protocol scores {CROWDPOSE14.name}"
        )
    _check(truth, raw)
    entries = _entries(
        truth, finished(raw, truth) if raw else [each for each in results if not isinstance(each, Result)], by
    )
    pictures = _pictures(truth)
    people = _people(truth, by)
    stats = _stats(truth, pictures, people, entries, by)
    values = dict(zip(_COCO, stats, strict=True))
    if by.crowds:
        values = {name: values[name] for name in _CROWDPOSE}
        for name, (low, high) in CROWDS.items():
            chosen = {
                image.id
                for image in truth.images.values()
                if image.crowd_index is not None and low <= image.crowd_index < high
            }
            values[name] = _stats(truth, pictures, people, entries, by, chosen)[0]
    scored = int(((truth.num_keypoints > 0) & ~truth.is_crowd).sum())
    return Scores(by, stratum, values, scored, len(entries))


def evaluate_strata(truth: GroundTruth, results: Sequence[Result | Mapping[str, Any]], by: Protocol) -> list[Scores]:
    """`evaluate` of each of `strata`, the whole first.

    Raises:
        OccluposeError: as `evaluate`.
    """
    raw = [result for result in results if isinstance(result, Result)]
    if raw and len(raw) == len(results):
        _check(truth, raw)
        results = finished(raw, truth)
    return [evaluate(part, results, by, stratum=name) for name, part in strata(truth).items()]


def _sigmas(truth: GroundTruth) -> Float[np.ndarray, "joint"]:
    if truth.skeleton.sigmas is None:
        raise OccluposeError(
            f"{truth.path}: {truth.skeleton.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    return np.array(truth.skeleton.sigmas)


def _check(truth: GroundTruth, results: Sequence[Result]) -> None:
    """Predictions that `finished` could not compare."""
    for result in results:
        if result.xy.shape != (len(truth.skeleton), 2) or result.score.shape != result.xy.shape[:1]:
            shapes = f"joints {result.xy.shape} and scores {result.score.shape}"
            raise OccluposeError(
                f"{truth.path}: a prediction has {shapes}; give {len(truth.skeleton)} joints and a score of each"
            )
        if not (np.isfinite(result.xy).all() and np.isfinite(result.score).all() and np.isfinite(result.box)):
            raise OccluposeError(
                f"{truth.path}: a prediction of image {result.image} is not finite; give every joint a place and a"
                " score"
            )


def _pictures(truth: GroundTruth) -> list[dict[str, Any]]:
    return [{"id": image.id} for image in truth.images.values()]


def _people(truth: GroundTruth, by: Protocol) -> list[dict[str, Any]]:
    """Everybody as evaluators want them.

    Numbers begin at 1, as the evaluator takes a match with 0 for none. An area that is not known is BODY of the box's;
    a box that is not known is that of the joints.
    """
    box = _boxes(truth)
    area = _areas(truth, box) if not by.crowds else box[:, 2] * box[:, 3] * BODY
    joints = np.concatenate([truth.xy, truth.state[..., None]], -1).reshape(len(truth), -1)
    columns = (truth.image_id, box, area, truth.is_crowd.astype(int), truth.num_keypoints, joints)
    names = ("image_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {"id": number, "category_id": truth.category} | dict(zip(names, row, strict=True))
        for number, row in enumerate(rows, 1)
    ]


def _boxes(truth: GroundTruth) -> Float[np.ndarray, "person 4"]:
    """Left, top, width, height; round the joints where nobody gives a box, 0 where there are no joints either."""
    there = (truth.state != ABSENT)[..., None]
    low = np.where(there, truth.xy, np.inf).min(1)
    high = np.where(there, truth.xy, -np.inf).max(1)
    around = np.where(there.any(1), np.concatenate([low, high - low], -1), 0)
    return np.where(np.isnan(truth.boxes), around, truth.boxes)


def _areas(truth: GroundTruth, box: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, "person"]:
    """The people's areas, BODY of the box's where nobody gives one."""
    return np.where(np.isnan(truth.area), box[:, 2] * box[:, 3] * BODY, truth.area)


def _entries(truth: GroundTruth, results: Sequence[Mapping[str, Any]], by: Protocol) -> list[dict[str, Any]]:
    """Predictions as the evaluator wants them; CrowdPose's leaves out those without any joint."""
    entries = []
    for number, result in enumerate(results):
        where = f"{truth.path}: prediction {number}"
        try:
            image = result["image_id"]
            category = result["category_id"]
            score = float(result["score"])
            keypoints = np.array(result["keypoints"], float)
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
            raise OccluposeError(f"{where} {wrong}; it has image_id, category_id, keypoints and score") from error
        if image not in truth.images:
            raise OccluposeError(
                f"{where} has image {image!r}, which the annotations do not have; give predictions of their pictures"
            )
        if keypoints.shape != (3 * len(truth.skeleton),):
            raise OccluposeError(
                f"{where} has keypoints of shape {keypoints.shape}; it has x, y and score of {len(truth.skeleton)}"
                " joints"
            )
        if not (np.isfinite(keypoints).all() and np.isfinite(score)):
            raise OccluposeError(f"{where} is not finite; give every joint a place and a score")
        if category == truth.category and not (by.crowds and (keypoints[2::3] <= 0).all()):
            entries.append(
                {"image_id": image, "category_id": category, "keypoints": keypoints.tolist(), "score": score}
            )
            if "bbox" in result:
                entries[-1]["bbox"] = list(result["bbox"])
    if not all("bbox" in entry for entry in entries):  # the evaluator takes areas from the boxes of all or of nobody
        for entry in entries:
            entry.pop("bbox", None)
    return entries


def _stats(
    truth: GroundTruth,
    pictures: list[dict[str, Any]],
    people: list[dict[str, Any]],
    entries: list[dict[str, Any]],
    by: Protocol,
    chosen: set[int] | None = None,
) -> list[float]:
    """The ten figures of COCO's evaluator, over some of the pictures or all; NaN where nobody is to be found."""
    inside = [
        [dict(each) for each in rows if chosen is None or each[key] in chosen]
        for rows, key in ((pictures, "id"), (people, "image_id"), (entries, "image_id"))
    ]
    if not inside[0]:
        return [np.nan] * len(_COCO)
    content = {"images": inside[0], "annotations": inside[1], "categories": [{"id": truth.category, "name": "person"}]}
    whole = COCO(content, print_function=_quiet)
    evaluator = COCOeval_faster(
        whole,
        whole.loadRes(inside[2]),
        "keypoints",
        print_function=_quiet,
        kpt_oks_sigmas=_sigmas(truth).tolist(),
        use_area=not by.crowds,
    )
    evaluator.params.catIds = [truth.category]
    evaluator.params.maxDets = [MOST]
    with np.errstate(over="ignore"):  # boxes of negative size, as COCO's own evaluator takes them
        evaluator.run()
    return [np.nan if value == -1 else float(value) for value in evaluator.stats]


def _quiet(*words: object) -> None:
    pass
