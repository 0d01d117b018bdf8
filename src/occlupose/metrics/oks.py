"""Average precision of 2D poses by object keypoint similarity (OKS), overall and by occlusion.

faster-coco-eval, an implementation of COCO's evaluator, computes the precision. This module prepares its input so that
the figures are those of COCO's own evaluator (COCO, OCHuman, our synthetic people) and of CrowdPose's.

The protocols (COCO's keypoint challenge; CrowdPose: Li et al., CVPR 2019): the similarity of a prediction and a person
is the mean over the person's annotated joints of exp(-d^2 / (2 area (2 sigma)^2)). CrowdPose's people have no area, so
it takes 0.53 of the box's. Predictions are matched to people in the order of their score, at ten thresholds from 0.50
to 0.95. People without annotated joints, and crowd regions, are ignored: predictions within their box, enlarged by one
of its sides all around, are neither right nor wrong.

Strata of occlusion are evaluated in the same way with less ground truth: joints of other states count as not annotated,
people of other strata as people without annotated joints. By COCO's own rule each person outside a stratum thus absorbs
one prediction in the enlarged box, however exact it is. Two consequences: in a dense crowd, a bad prediction beside a
person outside the stratum may go unpunished; and false positives weigh more where there are fewer people. So compare
the precision of methods within a stratum, not of strata; recall can be compared across both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from jaxtyping import Bool, Float, Int

from occlupose.datasets.annotations import GroundTruth
from occlupose.errors import OccluposeError
from occlupose.metrics.scores import Scores
from occlupose.occlusion.blocks import LIMB_JOINTS
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import CROWDPOSE14

MIN_JOINT_SCORE = 0.2
"""Score above which a joint counts for the score of the person (MMPose)."""

NMS_THRESHOLD = 0.9
"""Similarity above which the weaker of two predictions is suppressed (MMPose)."""

AREA_PER_BOX = 0.53
"""Area of a person / area of the bounding box, where the area is unknown (CrowdPose's evaluator)."""

MAX_DETECTIONS = 20
"""Predictions per image that are evaluated, best first (COCO)."""

CROWD_INDEX_BINS = {"AP-E": (-np.inf, 0.2), "AP-M": (0.2, 0.8), "AP-H": (0.8, np.inf)}
"""CrowdPose's images by crowd index: easy below 0.2, hard from 0.8."""

OCCLUDED_JOINT_BINS = {
    "0 joints occluded": (0, 0),
    "1-2 joints occluded": (1, 2),
    "3-5 joints occluded": (3, 5),
    "6 or more joints occluded": (6, 1000),
}
"""Strata of people by the number of their occluded joints. Ours."""

_COCO = ("AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L")
_CROWDPOSE = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")

BoxSource = Literal["ground truth", "detected"]


@dataclass(frozen=True)
class OKSProtocol:
    """How a dataset is scored, and whose bounding boxes the keypoints were predicted in.

    Attributes:
        dataset: one of `formats.coco.DATASETS`.
        boxes: "ground truth" or "detected". The figures of the two are not comparable, so tables always name it.
    """

    dataset: str
    boxes: BoxSource

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"{self.dataset}, {self.boxes} boxes"

    @property
    def is_crowdpose(self) -> bool:
        """Whether it is CrowdPose's evaluation; all others are COCO's."""
        return self.dataset == "crowdpose"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its metrics, in order."""
        return (*_CROWDPOSE, *CROWD_INDEX_BINS) if self.is_crowdpose else _COCO


@dataclass(frozen=True, eq=False)
class KeypointResult:
    """The predicted keypoints of one person.

    Attributes:
        image: id of the image.
        xy: keypoints in pixels, all finite.
        score: confidence of each keypoint, 0..1.
        box_score: confidence of the bounding box; 1 for ground truth.
        area: of the crop, px^2, by which `to_coco_results` compares people; None takes the extent of the keypoints.
    """

    image: int
    xy: Float[np.ndarray, "joint 2"]
    score: Float[np.ndarray, "joint"]
    box_score: float = 1.0
    area: float | None = None

    @property
    def person_score(self) -> float:
        """Box score times the mean of the keypoint scores above MIN_JOINT_SCORE; 0 if there are none."""
        confident = self.score[self.score > MIN_JOINT_SCORE]
        return float(self.box_score * confident.mean()) if len(confident) else 0.0


def oks(
    xy: Float[np.ndarray, "joint 2"],
    area: float,
    others: Float[np.ndarray, "other joint 2"],
    areas: Float[np.ndarray, "other"],
    sigmas: Float[np.ndarray, "joint"],
) -> Float[np.ndarray, "other"]:
    """Object keypoint similarity of one prediction and others, over all joints and the mean of the two areas (px^2)."""
    squared = ((others - xy) ** 2).sum(-1)
    scale = (area + areas)[:, None] / 2 + np.spacing(1)
    return np.exp(-squared / (2 * sigmas) ** 2 / scale / 2).mean(-1)


def oks_nms(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person"],
    area: Float[np.ndarray, "person"],
    sigmas: Float[np.ndarray, "joint"],
    *,
    threshold: float = NMS_THRESHOLD,
) -> Int[np.ndarray, "kept"]:
    """Non-maximum suppression: the predictions of an image that are kept, best first.

    Arguments:
        threshold: similarity to a better prediction above which one is suppressed.
    """
    order = np.argsort(-score, kind="stable")
    kept = []
    while len(order):
        best = order[0]
        order = order[1:]
        kept.append(best)
        order = order[oks(xy[best], float(area[best]), xy[order], area[order], sigmas) <= threshold]
    return np.array(kept, int)


def to_coco_results(
    results: Sequence[KeypointResult], truth: GroundTruth, *, threshold: float = NMS_THRESHOLD
) -> list[dict[str, Any]]:
    """Predictions in COCO's results format, with person scores and after non-maximum suppression.

    Arguments:
        truth: gives joints, sigmas and category.
        threshold: of `oks_nms`.

    Raises:
        OccluposeError: the skeleton has no sigmas.
    """
    sigmas = _sigmas(truth)
    by_image = defaultdict[int, list[KeypointResult]](list)
    for result in results:
        by_image[result.image].append(result)
    entries = []
    for image, people in by_image.items():
        xy = np.stack([result.xy for result in people])
        score = np.array([result.person_score for result in people])
        extent = np.prod(xy.max(1) - xy.min(1), axis=-1)
        areas = [size if result.area is None else result.area for result, size in zip(people, extent, strict=True)]
        for number in oks_nms(xy, score, np.array(areas, float), sigmas, threshold=threshold).tolist():
            keypoints = np.concatenate([xy[number], people[number].score[:, None]], -1, dtype=float)
            entry = {"image_id": image, "category_id": truth.category, "keypoints": keypoints.ravel().tolist()}
            entries.append(entry | {"score": float(score[number])})
    return entries


def keep_joints(truth: GroundTruth, kept: Bool[np.ndarray, "person joint"]) -> GroundTruth:
    """The same people with some of their joints only; people without any of these are ignored."""
    state = np.where(kept, truth.state, ABSENT)
    labelled = (state != ABSENT).sum(-1)
    box = _boxes(truth)  # before joints are removed
    return replace(
        truth,
        boxes=box,
        area=_areas(truth, box),
        state=state,
        num_keypoints=np.where(truth.num_keypoints > 0, labelled, 0),
    )


def keep_people(truth: GroundTruth, kept: Bool[np.ndarray, "person"]) -> GroundTruth:
    """The same ground truth with some of its people only; the others are ignored."""
    return keep_joints(truth, np.broadcast_to(kept[:, None], truth.state.shape))


def make_strata(truth: GroundTruth) -> dict[str, GroundTruth]:
    """The ground truth by occlusion: all of it; joints by state, also of arms and legs alone; and people by the number
    of their occluded joints.
    """
    state = truth.state
    limb = np.isin(truth.skeleton.joints, LIMB_JOINTS)
    occluded = (state == OCCLUDED).sum(-1)
    return {
        "all": truth,
        "visible joints": keep_joints(truth, state == VISIBLE),
        "hidden joints": keep_joints(truth, state == OCCLUDED),
        "visible limb joints": keep_joints(truth, (state == VISIBLE) & limb),
        "occluded limb joints": keep_joints(truth, (state == OCCLUDED) & limb),
    } | {
        name: keep_people(truth, (low <= occluded) & (occluded <= high))
        for name, (low, high) in OCCLUDED_JOINT_BINS.items()
    }


def evaluate(
    truth: GroundTruth,
    results: Sequence[KeypointResult | Mapping[str, Any]],
    protocol: OKSProtocol,
) -> Scores:
    """Average precision and recall of predictions.

    Arguments:
        truth: all people, from `formats.coco.load_ground_truth` or one of `make_strata`. Images without predictions
            count: their people are missed.
        results: predictions, which go through `to_coco_results`; or entries of COCO's results format (image_id,
            category_id, keypoints, score), which are used as they are.
        protocol: how to score.

    Raises:
        OccluposeError: the protocol is another dataset's; the skeleton has no sigmas; a prediction is of an image
            without annotations, has another number of joints, or is not finite.
    """
    if protocol.dataset != truth.dataset:
        wrong = f"is {truth.dataset}, which is not scored by the protocol of {protocol.dataset}"
        raise OccluposeError(f"{truth.path}: {wrong}")
    predictions = [result for result in results if isinstance(result, KeypointResult)]
    entries = [result for result in results if not isinstance(result, KeypointResult)]
    if predictions and entries:
        raise OccluposeError(f"{truth.path}: predictions are partly in COCO's results format; give one kind")
    if protocol.is_crowdpose and truth.skeleton != CROWDPOSE14:
        raise OccluposeError(
            f"{truth.path}: joints are those of {truth.skeleton.name}; CrowdPose's protocol scores {CROWDPOSE14.name}"
        )
    _check(truth, predictions)
    checked = _checked_entries(truth, to_coco_results(predictions, truth) if predictions else entries, protocol)
    images = [{"id": image.id} for image in truth.images.values()]
    people = _annotations(truth, protocol)
    stats = _stats(truth, images, people, checked, protocol)
    values = dict(zip(_COCO, stats, strict=True))
    if protocol.is_crowdpose:
        values = {name: values[name] for name in _CROWDPOSE}
        for name, (low, high) in CROWD_INDEX_BINS.items():
            indexed = {image.id: image.crowd_index for image in truth.images.values()}
            chosen = {id for id, index in indexed.items() if index is not None and low <= index < high}
            values[name] = _stats(truth, images, people, checked, protocol, chosen)[0]
    scored = int(((truth.num_keypoints > 0) & ~truth.is_crowd).sum())
    return Scores(values, scored, len(checked))


def evaluate_strata(
    truth: GroundTruth, results: Sequence[KeypointResult | Mapping[str, Any]], protocol: OKSProtocol
) -> dict[str, Scores]:
    """`evaluate` on each of `make_strata`, by their names; "all" first.

    Raises:
        OccluposeError: as `evaluate`.
    """
    predictions = [result for result in results if isinstance(result, KeypointResult)]
    if predictions and len(predictions) == len(results):
        _check(truth, predictions)
        results = to_coco_results(predictions, truth)
    return {name: evaluate(part, results, protocol) for name, part in make_strata(truth).items()}


def _sigmas(truth: GroundTruth) -> Float[np.ndarray, "joint"]:
    if truth.skeleton.sigmas is None:
        raise OccluposeError(
            f"{truth.path}: {truth.skeleton.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    return np.array(truth.skeleton.sigmas)


def _check(truth: GroundTruth, results: Sequence[KeypointResult]) -> None:
    """Refuses predictions that `to_coco_results` cannot compare."""
    for result in results:
        if result.xy.shape != (len(truth.skeleton), 2) or result.score.shape != result.xy.shape[:1]:
            shapes = f"joints {result.xy.shape} and scores {result.score.shape}"
            raise OccluposeError(
                f"{truth.path}: a prediction has {shapes}; give {len(truth.skeleton)} joints and a score for each"
            )
        if not (np.isfinite(result.xy).all() and np.isfinite(result.score).all() and np.isfinite(result.box_score)):
            wrong = f"a prediction of image {result.image} is not finite"
            raise OccluposeError(f"{truth.path}: {wrong}; give every joint a position and a score")


def _annotations(truth: GroundTruth, protocol: OKSProtocol) -> list[dict[str, Any]]:
    """All people as annotations for the evaluator.

    Ids begin at 1, as the evaluator takes a match with 0 for none. An unknown area is AREA_PER_BOX of the box's; an
    unknown box is that of the joints.
    """
    box = _boxes(truth)
    area = box[:, 2] * box[:, 3] * AREA_PER_BOX if protocol.is_crowdpose else _areas(truth, box)
    joints = np.concatenate([truth.xy, truth.state[..., None]], -1).reshape(len(truth), -1)
    columns = (truth.image_id, box, area, truth.is_crowd.astype(int), truth.num_keypoints, joints)
    names = ("image_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {"id": number, "category_id": truth.category} | dict(zip(names, row, strict=True))
        for number, row in enumerate(rows, 1)
    ]


def _boxes(truth: GroundTruth) -> Float[np.ndarray, "person 4"]:
    """Left, top, width, height; of the joints where a box is missing, 0 where there are no joints either."""
    known = (truth.state != ABSENT)[..., None]
    low = np.where(known, truth.xy, np.inf).min(1)
    high = np.where(known, truth.xy, -np.inf).max(1)
    of_joints = np.where(known.any(1), np.concatenate([low, high - low], -1), 0)
    return np.where(np.isnan(truth.boxes), of_joints, truth.boxes)


def _areas(truth: GroundTruth, box: Float[np.ndarray, "person 4"]) -> Float[np.ndarray, "person"]:
    """The people's areas; AREA_PER_BOX of the box's where one is missing."""
    return np.where(np.isnan(truth.area), box[:, 2] * box[:, 3] * AREA_PER_BOX, truth.area)


def _checked_entries(
    truth: GroundTruth, results: Sequence[Mapping[str, Any]], protocol: OKSProtocol
) -> list[dict[str, Any]]:
    """Predictions for the evaluator; CrowdPose's leaves out those without any joint."""
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
            raise OccluposeError(f"{where} {wrong}; it needs image_id, category_id, keypoints and score") from error
        if image not in truth.images:
            raise OccluposeError(
                f"{where} has image {image!r}, which is not annotated; give predictions of annotated images"
            )
        if keypoints.shape != (3 * len(truth.skeleton),):
            raise OccluposeError(
                f"{where} has keypoints of shape {keypoints.shape}; give x, y and score of {len(truth.skeleton)} joints"
            )
        if not (np.isfinite(keypoints).all() and np.isfinite(score)):
            raise OccluposeError(f"{where} is not finite; give every joint a position and a score")
        if category == truth.category and not (protocol.is_crowdpose and (keypoints[2::3] <= 0).all()):
            entry = {"image_id": image, "category_id": category, "keypoints": keypoints.tolist(), "score": score}
            if "bbox" in result:
                entry["bbox"] = list(result["bbox"])
            entries.append(entry)
    if not all("bbox" in entry for entry in entries):  # the evaluator takes areas from the boxes of all or of none
        for entry in entries:
            entry.pop("bbox", None)
    return entries


def _stats(
    truth: GroundTruth,
    images: list[dict[str, Any]],
    people: list[dict[str, Any]],
    entries: list[dict[str, Any]],
    protocol: OKSProtocol,
    chosen: set[int] | None = None,
) -> list[float]:
    """The ten metrics of COCO's evaluator, over some of the images or all; NaN where there are no people."""

    def choose(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [dict(row) for row in rows if chosen is None or row[key] in chosen]

    content = {
        "images": choose(images, "id"),
        "annotations": choose(people, "image_id"),
        "categories": [{"id": truth.category, "name": "person"}],
    }
    if not content["images"]:
        return [np.nan] * len(_COCO)
    annotations = COCO(content, print_function=_print_nothing)
    evaluator = COCOeval_faster(
        annotations,
        annotations.loadRes(choose(entries, "image_id")),
        "keypoints",
        print_function=_print_nothing,
        kpt_oks_sigmas=_sigmas(truth).tolist(),
        use_area=not protocol.is_crowdpose,
    )
    evaluator.params.catIds = [truth.category]
    evaluator.params.maxDets = [MAX_DETECTIONS]
    with np.errstate(over="ignore"):  # boxes of negative size, as in COCO's own evaluator
        evaluator.run()
    return [np.nan if value == -1 else float(value) for value in evaluator.stats]


def _print_nothing(*words: object) -> None:
    pass
