"""Evaluates 2D keypoints in images by the protocols of COCO, CrowdPose and OCHuman, and by occlusion."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from occlupose.datasets import discovery
from occlupose.datasets.annotations import Annotations
from occlupose.datasets.formats import coco, coco_results
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation
from occlupose.evaluation.keypoints import detected_boxes, ground_truth_boxes, predict_in_boxes, predict_in_images
from occlupose.evaluation.table import Column, Table
from occlupose.frontends import (
    DEFAULT,
    NAMES,
    build_frontend,
    check_detector,
    check_options,
    is_bottom_up_file,
    is_network_file,
    load_crop_network,
)
from occlupose.frontends.presets import split_preset
from occlupose.metrics.oks import BoxSource, KeypointResult, OKSProtocol, evaluate_strata
from occlupose.metrics.scores import Scores

LABELS = ("dataset", "boxes", "frontend", "box_source", "stratum", "people", "predictions")
BY_OCCLUSION = ("AP", "AP50", "AP75", "AR")
"""Metrics that are printed by occlusion, where the protocol has them."""

Source = Literal["ground-truth", "detector"]
"""Where boxes come from: the ground truth, or a detector."""


class OKSEvaluator:
    """Average precision and recall by object keypoint similarity, overall and by occlusion.

    Arguments:
        annotated: the dataset.
        frontend: what predicts, as at the command line.
        boxes: in which keypoints are predicted.
        box_source: "ground-truth", "detector" (the front end's own), or the name of another detector or of a file.
        strict: whether an image that cannot be used is an error.
    """

    def __init__(
        self, annotated: Annotations, *, frontend: str, boxes: BoxSource, box_source: str, strict: bool = False
    ) -> None:
        self.annotated = annotated
        self.frontend = frontend
        self.box_source = box_source
        self.strict = strict
        self.protocol = OKSProtocol(annotated.ground_truth.dataset, boxes)
        self._results: list[KeypointResult] = []
        self._unusable: list[str] = []

    def add(self, sample: object, prediction: Sequence[KeypointResult]) -> None:
        """Adds the people that were predicted in one image."""
        self._results += prediction

    def skip(self, reason: str) -> None:
        """Notes an image that cannot be used, whose people count as missed.

        Raises:
            OccluposeError: every image must be used.
        """
        if self.strict:
            cure = "" if "; " in reason else "; give the dataset's own images, or leave out --strict"
            raise OccluposeError(reason + cure)
        self._unusable.append(reason)

    def scores(self) -> dict[str, Scores]:
        """The metrics by stratum, "all" first."""
        return evaluate_strata(self.annotated.ground_truth, self._results, self.protocol)

    def result(self) -> Table:
        """The metrics of each stratum, 0..1."""
        strata = self.scores()
        protocol = self.protocol
        columns = [Column(name, factor=100) for name in protocol.columns]
        context = (protocol.dataset, protocol.boxes, Path(self.frontend).name, self.box_source)
        by_occlusion = Table(
            ("stratum", "people"),
            [column for column in columns if column.name in BY_OCCLUSION],
            [((name, scores.people), scores.values) for name, scores in strata.items()],
            f"{protocol.name}: by occlusion",
        )
        return Table(
            LABELS,
            columns,
            [((*context, name, each.people, each.predictions), each.values) for name, each in strata.items()],
            views=[Table((), columns, [((), strata["all"].values)], protocol.name), by_occlusion],
            notes=self._notes(strata["all"]),
        )

    def _notes(self, scores: Scores) -> list[str]:
        in_true_boxes = self.protocol.boxes == "ground truth"
        where = f"in the boxes of {self.box_source}"
        if in_true_boxes:
            where = "in ground-truth boxes"
        elif self.box_source == "detector":
            where = f"in boxes of {self.frontend} itself"
        people = scores.people
        file = self.annotated.ground_truth.path.name
        lines = [f"{self.protocol.dataset}: {people} people of {file}; {scores.predictions} predictions {where}"]
        without = people - len(self.annotated.people)
        if in_true_boxes and without > 0:
            lines.append(f"people without an image or a box, who count as missed: {without}")
        if self._unusable:
            wrong = f"{len(self._unusable)} (first {self._unusable[0]})"
            lines.append(f"images that could not be used, whose people count as missed: {wrong}")
        return lines


def protocol_of(dataset: str) -> str:
    """The dataset whose protocol scores keypoints: crowdpose, ochuman, or coco for all without their own.

    Arguments:
        dataset: one of `formats.coco.DATASETS`.
    """
    return dataset if dataset in ("crowdpose", "ochuman") else "coco"


def prepare(
    dataset: str,
    data: Path,
    *,
    frontend: str = DEFAULT,
    detector: str | None = None,
    boxes: Path | None = None,
    box_source: Source | None = None,
    split: Literal["test", "val", "train"] = "test",
    annotations: Path | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    strict: bool = False,
    device: str = "cpu",
    threads: int = 2,
) -> Evaluation[Any, Sequence[KeypointResult]]:
    """The evaluation of keypoints on a dataset.

    Arguments:
        dataset: coco, crowdpose or ochuman.
        data: its folder.
        frontend, detector, boxes, box_source, split, annotations, flip, scales, strict, device, threads: as the options
            of the commands.

    Raises:
        OccluposeError: options cannot be combined, or files are missing or damaged.
    """
    source = _box_source(frontend, detector, boxes, box_source, flip=flip, scales=tuple(scales) != (1.0,))
    files = discovery.find_dataset(data, split, annotations)
    if (other := protocol_of(files.dataset)) != dataset:
        raise OccluposeError(f"{files.annotations}: not annotations of {dataset}; give occlupose eval {other}")
    networks: dict[str, Any] = {"threads": threads, "flip": flip, "device": device}
    predictor: Callable[..., Iterator[tuple[Any, list[KeypointResult]]]]
    if source == "detector":
        own = build_frontend(frontend, detector=detector, scales=scales, **networks)
        predictor = partial(predict_in_images, folder=files.images, frontend=own)
    else:
        predictor = partial(predict_in_boxes, network=load_crop_network(frontend, **networks))
    annotated = coco.load(files.annotations, files.images, strict=strict)
    truth = annotated.ground_truth
    skeleton = truth.skeleton
    if skeleton.sigmas is None:
        raise OccluposeError(
            f"{files.annotations}: {skeleton.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    evaluator = OKSEvaluator(
        annotated,
        frontend=frontend,
        boxes="ground truth" if source == "ground-truth" else "detected",
        box_source=_name(source, boxes, detector),
        strict=strict,
    )
    warnings = annotated.report.lines()
    samples: Sequence[Any]
    if source == "detector":
        samples = list(truth.images.values())
    elif boxes is None:
        samples = ground_truth_boxes(annotated)
    else:
        detected = coco_results.match_boxes(boxes, truth, strict=strict)
        warnings = warnings + detected.report.lines()
        samples, missing = detected_boxes(truth, detected, files.images)
        for name in missing:
            evaluator.skip(f"{name}: not in {files.images}")
    predictor = partial(predictor, skeleton=skeleton, unreadable=evaluator.skip)
    return Evaluation(samples, predictor, evaluator, warnings=warnings)


def _name(source: str, boxes: Path | None, detector: str | None) -> str:
    """The box source's name in tables."""
    if boxes is not None:
        return boxes.name
    return source if detector is None else split_preset(detector)[1].name


def _box_source(
    frontend: str, detector: str | None, boxes: Path | None, source: Source | None, *, flip: bool, scales: bool
) -> Literal["ground-truth", "detector", "file"]:
    """Where the bounding boxes come from: as the options say, otherwise as the front end allows.

    Raises:
        OccluposeError: the front end or a file does not exist, or they cannot be combined.
    """
    if boxes is not None and source is not None:
        raise OccluposeError("boxes: come from the file or from --box-source; give one of the two")
    if detector is not None and source == "ground-truth":
        raise OccluposeError("detector: has nothing to find in ground-truth boxes; leave it or --box-source out")
    if boxes is not None and str(boxes) in ("ground-truth", "found") and not boxes.exists():
        new = "ground-truth" if str(boxes) == "ground-truth" else "detector"
        raise OccluposeError(f"boxes {boxes}: no such file; give --box-source {new}")
    given = boxes is not None or source == "ground-truth"
    if is_network_file(frontend) and not split_preset(frontend)[1].is_file():
        raise OccluposeError(f"{frontend}: no such file; give {', '.join(NAMES)}, or a .safetensors or .onnx file")
    check_options(frontend, boxes=given, detector=detector is not None, flip=flip, scales=scales)
    if detector is not None:
        check_detector(detector)
    if boxes is not None:
        if not boxes.is_file():
            raise OccluposeError(f"boxes {boxes}: no such file; give a detector's results in COCO's format")
        return "file"
    takes_crops = is_network_file(frontend) and not is_bottom_up_file(frontend)
    if source is None and takes_crops and detector is None:
        return "ground-truth"
    return source or "detector"
