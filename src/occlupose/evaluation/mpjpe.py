"""Evaluates 3D poses of one person on sequences with ground truth, by the protocols of Human3.6M and HumanEva-I."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from occlupose.datasets.formats import h36m, humaneva
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation, one_by_one
from occlupose.evaluation.lifting import load_predictor
from occlupose.evaluation.predictions import SequencePredictions
from occlupose.evaluation.table import Column, Table
from occlupose.metrics.pose3d import METRICS, MPJPEReport, all_errors
from occlupose.occlusion.cylinders import self_occluded
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import H36M17, Skeleton, convert

Dataset = Literal["humaneva", "h36m"]

COLUMNS = [
    Column("mpjpe", "MPJPE mm", "mpjpe_mm", digits=4),
    Column("p_mpjpe", "P-MPJPE mm", "p_mpjpe_mm", digits=4),
    Column("n_mpjpe", "N-MPJPE mm", "n_mpjpe_mm", digits=4),
    Column("mpjve", "MPJVE mm/frame", "mpjve_mm_per_frame", digits=4),
    Column("mpjve_per_second", "MPJVE mm/s", "mpjve_mm_per_second", digits=4),
]
"""`METRICS` in millimetres."""

STATES = {"all": None, "visible": VISIBLE, "occluded": OCCLUDED}
MEAN_OF_ACTIONS = "mean of actions"
FRAME_MEAN = "mean of frames"


class MPJPEEvaluator:
    """Errors of 3D poses: by action and joint, and for visible and occluded joints separately.

    Predictions in another skeleton are converted by joint names; joints that they do not have are not scored. The state
    of a joint is that of the detections if any of these is not visible; otherwise the Cylinder Man (OANet section 4)
    finds the self-occluded ones in the true poses. A joint that the detections' skeleton lacks is in neither group.

    Arguments:
        dataset: whose protocol is used. With HumanEva-I's an action of each subject counts as an action of its own.
        sequences: all that will be scored.
        skeleton: of the predictions.
        detections: name of the 2D poses, for the notes.

    Attributes:
        report: the errors.

    Raises:
        OccluposeError: a sequence is 2D only.
    """

    def __init__(
        self, dataset: Dataset, sequences: Sequence[PoseSequence], skeleton: Skeleton, detections: str = "ground-truth"
    ) -> None:
        for sequence in sequences:
            if sequence.poses.xyz is None:
                raise OccluposeError(f"{sequence.name}: 2D only; give sequences with 3D ground truth")
        self.dataset = dataset
        self.skeleton = skeleton
        self.detections = detections
        self.report = MPJPEReport(sequences[0].poses.skeleton)
        self.by_detections = any(
            poses is not None and (poses.state != VISIBLE).any()
            for poses in (sequence.poses.observed for sequence in sequences)
        )
        self._sequences: list[PoseSequence] = []

    def add(self, sample: PoseSequence, prediction: Float[np.ndarray, "time joint 3"]) -> None:
        """Scores the poses of one sequence, in metres, camera axes and with any origin."""
        skeleton = sample.poses.skeleton
        xyz = convert(prediction, self.skeleton, skeleton)
        root = skeleton.joints.index(skeleton.root or skeleton.joints[0])
        action = f"{sample.action} {sample.subject}" if self.dataset == "humaneva" else sample.action
        errors = all_errors(xyz, _truth(sample), sample.poses.fps, root)
        self.report.add(action, errors, self.states(sample))
        self._sequences.append(sample)

    def states(self, sequence: PoseSequence) -> UInt8[np.ndarray, "time joint"]:
        """The state of each true joint."""
        return _states_of_detections(sequence) if self.by_detections else _states_of_cylinders(sequence)

    def result(self) -> Table:
        """The errors in millimetres. Rows by joint are means of frames."""
        rows = list(self._rows())

        def all_joints(group: str) -> Table:
            chosen = [((name,), values) for (of, name, joints), values in rows if (of, joints) == (group, "all")]
            return Table((group,), COLUMNS, chosen)

        means = [
            ((f"{joints} ({self._share(joints)}), {name}",), values)
            for (_, name, joints), values in rows
            if name in (MEAN_OF_ACTIONS, FRAME_MEAN)
        ]
        views = [all_joints("action"), Table(("joints",), COLUMNS, means), all_joints("joint")]
        return Table(("group", "name", "joints"), COLUMNS, rows, views=views, notes=self._notes())

    def _rows(self) -> Iterator[tuple[tuple[str, str, str], dict[str, float]]]:
        """What a row groups by ("action" or "joint"), the name, which joints, and the errors."""
        report = self.report
        for joints, state in STATES.items():
            for action in report.actions:
                yield ("action", action, joints), _millimetres(report.mean(action, state=state))
            yield ("action", MEAN_OF_ACTIONS, joints), _millimetres(report.over_actions(state=state))
            yield ("action", FRAME_MEAN, joints), _millimetres(report.mean(state=state))
            for joint in report.skeleton.joints:
                yield ("joint", joint, joints), _millimetres(report.mean(joint=joint, state=state))

    def _share(self, joints: str) -> str:
        """Share of the scored joints in this state, in percent."""
        state = STATES[joints]
        return f"{1 if state is None else self.report.share(state):.0%}"

    def _notes(self) -> list[str]:
        source = "self-occlusion of the true poses, by the Cylinder Man"
        if self.by_detections:
            source = "the detections' states"
        frames = sum(len(sequence.poses) for sequence in self._sequences)
        joints = self.report.skeleton.joints
        lines = [
            f"2D: {self.detections}; visible or occluded: {source}",
            f"{len(self._sequences)} sequences, {frames:,} frames",
        ]
        absent = missing(self.dataset, self._sequences)
        if absent:
            lines.append(f"not the whole protocol, so the means differ: no {', '.join(absent)}")
        scored = self.report.joint_count / max(1, frames * len(joints))
        if scored < 1:
            never = [joint for joint in joints if not self.report.scored(joint)]
            always = f", among them every {', '.join(never)}" if never else ""
            lines.append(f"not scored, without a prediction or ground truth: {1 - scored:.1%} of the joints{always}")
        worst = len(self.report.largest)
        lines.append(f"the {worst:,} joints with the largest errors: {1000 * self.report.mean_of_worst():.1f} mm")
        return lines


def prepare(
    dataset: Dataset,
    data: Path,
    *,
    subjects: tuple[str, ...] = (),
    detections: str = "ground-truth",
    every: int = 1,
    predictions: Path | None = None,
    weights: Path | None = None,
    device: str = "cpu",
) -> Evaluation[PoseSequence, Float[np.ndarray, "time joint 3"]]:
    """The evaluation of lifted 3D poses on a dataset.

    Arguments:
        data: folder of the dataset.
        subjects, detections, every, predictions, weights, device: as the options of the commands.

    Raises:
        OccluposeError: data, predictions or weights are missing or damaged.
    """
    sequences = load_sequences(dataset, data, subjects, detections, every)
    if predictions is None:
        lifter = load_predictor(weights, device)
        record = SequencePredictions(H36M17)

        def predict(sequence: PoseSequence) -> Float[np.ndarray, "time 17 3"]:
            return np.asarray(lifter(input_2d(sequence)), np.float32)

        predictor = one_by_one(predict)
    else:
        predictor = record = SequencePredictions.load(predictions, sequences)
    evaluator = MPJPEEvaluator(dataset, sequences, record.skeleton, detections)
    return Evaluation(sequences, predictor, evaluator, record, size=lambda sequence: len(sequence.poses))


def load_sequences(
    dataset: Dataset, folder: Path, subjects: tuple[str, ...], detections: str, every: int = 1
) -> list[PoseSequence]:
    """The sequences of a dataset's protocol, or of other subjects; see `formats.h36m.load_sequences` and
    `formats.humaneva.load_sequences`.

    Raises:
        OccluposeError: data are missing or damaged.
    """
    if every < 1:
        raise OccluposeError(f"every {every}: every n-th frame; give 1 for all frames, or more")
    if dataset == "h36m":
        return h36m.load_sequences(folder, subjects or h36m.TEST, detections=detections, every=every)
    return humaneva.load_sequences(folder, subjects or humaneva.VALIDATE, detections=detections, every=every)


def missing(dataset: Dataset, sequences: Sequence[PoseSequence]) -> list[str]:
    """Actions and subjects of the dataset's protocol that none of these sequences has; for HumanEva-I actions by
    subject.
    """
    present = {(sequence.action, sequence.subject) for sequence in sequences}
    subjects = {subject for _, subject in present}
    if dataset == "h36m":
        present_actions = {action for action, _ in present}
        actions = [action for action in h36m.ACTIONS if action not in present_actions]
        return [*(subject for subject in h36m.TEST if subject not in subjects), *actions]
    actions = [
        f"{action} {subject}"
        for action in humaneva.ACTIONS
        for subject in sorted(subjects)
        if (action, subject) not in present
    ]
    return [*(subject for subject in humaneva.SUBJECTS if subject not in subjects), *actions]


def input_2d(sequence: PoseSequence) -> Poses:
    """The 2D poses to lift: the detections or, if there are none, the true keypoints."""
    return sequence.poses.observed or sequence.poses.to_2d()


def _states_of_detections(sequence: PoseSequence) -> UInt8[np.ndarray, "time joint"]:
    skeleton = sequence.poses.skeleton
    observed = sequence.poses.observed
    assert observed is not None
    available = np.isfinite(convert(np.ones((len(observed.skeleton), 1)), observed.skeleton, skeleton))[:, 0]
    visible = observed.to(skeleton).state[:, 0] == VISIBLE
    return np.where(available, np.where(visible, VISIBLE, OCCLUDED), ABSENT).astype(np.uint8)


def _states_of_cylinders(sequence: PoseSequence) -> UInt8[np.ndarray, "time joint"]:
    occluded = self_occluded(torch.from_numpy(_truth(sequence)), sequence.poses.skeleton).numpy()
    return np.where(occluded, OCCLUDED, VISIBLE).astype(np.uint8)


def _truth(sequence: PoseSequence) -> Float[np.ndarray, "time joint 3"]:
    assert sequence.poses.xyz is not None, "a scored sequence has 3D joints"
    return sequence.poses.xyz[:, 0]


def _millimetres(errors: Float[np.ndarray, "metric"]) -> dict[str, float]:
    return dict(zip(METRICS, (1000 * errors).tolist(), strict=True))
