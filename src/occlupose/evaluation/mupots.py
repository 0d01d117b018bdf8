"""Evaluates multi-person absolute 3D pose in images: MuPoTS-3D, 3DPW, Human3.6M and our synthetic scenes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from occlupose.datasets.formats import h36m_images, mupots, synth_scenes, threedpw
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation, one_by_one
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.evaluation.table import Column, Row, Table
from occlupose.methods.hupor.predict import load
from occlupose.metrics.mupots import JOINT_GROUPS, PROTOCOLS, SCORED_JOINTS, MuPoTSProtocol
from occlupose.metrics.people3d import LENGTHS, SHARES, MuPoTSReport
from occlupose.metrics.scores import Scores
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton, convert

Dataset = Literal["mupots", "3dpw", "h36m-images", "synth"]

SPLITS = ("test", "val")
"""Folders of synthetic scenes that are scored: the first that exists, where a dataset has them."""

H36M_EVERY = 64
"""Human3.6M (subjects 9 and 11): every n-th frame is scored, as is usual for single images."""

LABELS = ("dataset", "protocol", "rescaled_bones", "predictions", "scored_people", "subset", "people")

_SHARES = [Column(name, factor=100) for name in SHARES]
_LENGTHS = [Column(name, csv=f"{name}_mm") for name in LENGTHS]
_GROUPS = [Column(name, factor=100) for name in JOINT_GROUPS]
_BY_SEQUENCE = ("PCK", "PCK_abs", "PCK_occ", "PCK_vis", "MPJPE", "PA-MPJPE")
COLUMNS = [*_SHARES, *_LENGTHS, Column("predicted"), *_GROUPS, Column("AP_root")]

ALL = "all"
MATCHED = "matched"
POOLED = "all joints"
SEQUENCES = "mean of sequences"
SUBSET = "all joints of 3DPW-OCC"
MEANS = (SEQUENCES, POOLED, SUBSET)


class MuPoTSEvaluator:
    """Metrics of all people and of matched people, pooled, as means of sequences and by sequence.

    Arguments:
        dataset: whose name and notes are in the table.
        protocol: to score by.
        skeleton: of the predictions.
        name: of the predictions.

    Attributes:
        report: the metrics.

    Raises:
        OccluposeError: the skeleton has no pelvis, which the protocol needs.
    """

    def __init__(self, dataset: Dataset, protocol: MuPoTSProtocol, skeleton: Skeleton, name: str = "") -> None:
        self.dataset = dataset
        self.protocol = protocol
        self.skeleton = skeleton
        self.name = name
        self.report = MuPoTSReport(protocol)
        self._camera_assumed = False
        if not self._available[protocol.root]:
            raise OccluposeError(
                f"predictions in {skeleton.name} have no pelvis; predict a skeleton with one, such as mpi15"
            )

    def add(self, sample: ImageSample, prediction: Detections) -> None:
        """Scores the people in one image."""
        self.report.add(sample, prediction)
        self._camera_assumed |= sample.camera is not None and sample.camera.assumed

    def result(self) -> Table:
        """The metrics: shares 0..1, lengths in mm."""
        name = self.protocol.name
        rescaled = "yes" if self.protocol.rescales else "no"
        scores = list(self._scores())
        rows = list[Row]()
        for people, subset, each in scores:
            root_ap = self.report.root_ap if (people, subset) == (ALL, POOLED) else nan
            labels = (self.dataset, name, rescaled, self.name, people, subset, each.people)
            rows.append((labels, each.values | {"AP_root": root_ap}))

        def choose(means: bool, whose: tuple[str, ...] = (ALL, MATCHED)) -> list[Row]:
            return [
                ((f"{people}, {subset}", each.people), each.values)
                for people, subset, each in scores
                if (subset in MEANS) == means and people in whose
            ]

        means = choose(True)
        by_sequence = choose(False)
        shares = [column for column in _SHARES if column.name != "AUC_abs"]
        heads = ("subset", "people")
        views = [
            Table(heads, shares, means, f"{name}: correct joints, and pairs of people in the correct depth order, %"),
            Table(heads, _LENGTHS, choose(True, (MATCHED,)), f"{name}: mean errors, mm"),
            Table(heads, _GROUPS, means, f"{name}: PCK by joint, %"),
        ]
        if by_sequence:
            some = [column for column in COLUMNS if column.name in _BY_SEQUENCE]
            views.append(Table(heads, some, by_sequence, f"{name}: by sequence, %, and errors in mm"))
        return Table(LABELS, COLUMNS, rows, views=views, notes=self._notes())

    def _scores(self) -> Iterator[tuple[str, str, Scores]]:
        """Of each row: which people ("all" or "matched"), the subset (a mean or a sequence), and the metrics."""
        report = self.report
        named = [name for name in report.sequences if name]
        occluded = [name for name in named if threedpw.is_take_of(name)]
        for people, matched in ((ALL, False), (MATCHED, True)):
            if named:
                yield people, SEQUENCES, report.over_sequences(matched)
            yield people, POOLED, report.pooled(matched)
            if occluded:
                yield people, SUBSET, report.pooled(matched, occluded)
            for name in named:
                yield people, name, report.pooled(matched, [name])

    @property
    def _available(self) -> Bool[np.ndarray, "joint"]:
        """Which joints of the protocol the predictions have, or can be converted to."""
        return np.isfinite(convert(np.zeros((len(self.skeleton), 1)), self.skeleton, self.protocol.skeleton))[:, 0]

    def _notes(self) -> list[str]:
        report = self.report
        protocol = self.protocol
        skeleton = self.skeleton
        counts = f"{report.images:,} images, {report.pooled().people:,} people, {report.matched:,} of them matched"
        lines = [f"{self.dataset}, {protocol.name}: {counts}; {report.predictions:,} predictions"]
        if not np.isnan(report.root_ap):
            root_ap = f"within 250 mm: {100 * report.root_ap:.1f} %"
            lines.append(f"average precision of the root {root_ap}; no other metric counts false positives")
        if protocol.rescales:
            lines.append(
                "predictions were rescaled to the true bone lengths, so also absolute metrics ignore body size"
            )
        if protocol.name == "gntcn":
            ports = "metrics of some Python ports, which match and rescale differently from official and smap15"
            lines.append(f"gntcn: {ports}")
        available = self._available
        has_spine = "spine" in skeleton.joints
        if protocol.name == "official" and not has_spine and available[MUPOTS17.index("spine")[0]]:
            middle = "the midpoint of pelvis and neck was used; smap15 needs none"
            lines.append(f"the predictions have no spine, so {middle}")
        predicted = report.pooled(True)["predicted"]
        if predicted < 1:
            error = protocol.missing_error
            counted = "left out of mean errors" if error is None else f"errors of {error:.0f} mm"
            wrong = f"which count as wrong, and {counted}: {1 - predicted:.1%}"
            lines.append(f"joints of matched people that are not predicted, {wrong}")
        never = [joint for joint in SCORED_JOINTS if not available[protocol.skeleton.index(joint)[0]]]
        if never:
            lines.append(f"joints that the predictions never have: {', '.join(never)}")
        if self.dataset == "mupots":
            missing = [name for name in mupots.SEQUENCES if name not in report.sequences]
            if missing:
                lines.append(f"not the whole protocol, so the means differ: no {', '.join(missing)}")
            if self._camera_assumed:
                lines.append("cameras were estimated from annotations, with a poor fit; give mupots_intrinsics.json")
        if self.dataset == "3dpw":
            lines.append("head_top is SMPL's head joint, below the top of the head; occlusion is not annotated")
        return lines


def prepare(
    dataset: Dataset,
    data: Path,
    *,
    protocol: str = "mpi15",
    sequences: Sequence[str] = (),
    predictions: Path | None = None,
    flip: bool = False,
    weights: Path | None = None,
    device: str = "cpu",
) -> Evaluation[ImageSample, Detections]:
    """The evaluation of the people in a dataset's images.

    Arguments:
        data: folder of the dataset.
        protocol: one of PROTOCOLS.
        sequences, predictions, flip, weights, device: as the options of the commands.

    Raises:
        OccluposeError: data, predictions or weights are missing or damaged.
    """
    chosen = PROTOCOLS[protocol]
    samples = load_samples(dataset, data, sequences, universal=chosen.universal)
    if predictions is None:
        hupor = load(weights, flip=flip, device=device)
        record = ImagePredictions(MPI15)

        def predict(sample: ImageSample) -> Detections:
            return hupor(sample.read(), sample.camera)

        predictor = one_by_one(predict)
    else:
        predictor = record = ImagePredictions.load(predictions, samples)
    source = predictions or weights
    evaluator = MuPoTSEvaluator(dataset, chosen, record.skeleton, "shipped" if source is None else source.name)
    return Evaluation(samples, predictor, evaluator, record)


def load_samples(
    dataset: Dataset, folder: Path, sequences: Sequence[str] = (), *, universal: bool = False
) -> list[ImageSample]:
    """The images of a dataset.

    Arguments:
        sequences: of mupots or 3dpw, only these; all if empty.
        universal: whether MuPoTS-3D's truth is in universal scale.

    Raises:
        OccluposeError: data are missing or damaged.
    """
    if dataset == "mupots":
        return mupots.load(folder, sequences, universal=universal)
    if dataset == "3dpw":
        return threedpw.load(folder, sequences)
    if dataset == "h36m-images":
        return _with_names(folder, h36m_images.load(folder, subjects=h36m_images.TEST, every=H36M_EVERY))
    folder = next((folder / split for split in SPLITS if synth_scenes.has_scenes(folder / split)), folder)
    return _with_names(folder, synth_scenes.load(folder))


def _with_names(folder: Path, samples: Sequence[ImageSample]) -> list[ImageSample]:
    """The samples with unique names.

    Raises:
        OccluposeError: two images have one name, or an image has no camera.
    """
    result = []
    names = set()
    for number, sample in enumerate(samples):
        name = sample.name or f"scene {number}"
        if name in names:
            raise OccluposeError(f"{folder}: two images are called {name}; give a folder with unique names")
        names.add(name)
        if sample.camera is None:
            raise OccluposeError(f"{folder}: {name}: its camera is unknown; give a dataset with cameras")
        result.append(replace(sample, name=name))
    return result
