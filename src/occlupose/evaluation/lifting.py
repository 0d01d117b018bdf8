"""Evaluates 3D poses lifted from 2D, on sequences with ground truth: predicts, saves predictions and scores them.

Predictions of other methods can be scored from an .npz file with `skeleton`, the name of a joint set, and one array for
each sequence under its name ("S9/Walking 1/54138969"): (time, joint, 3), metres, camera axes, with any origin (poses
are compared relative to their root).
"""

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.table import Table

from occlupose.datasets.formats import h36m, humaneva
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic
from occlupose.methods.oanet.lifter.lift import interleave_factor, upsample_factor
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifting import lift, load_lifter
from occlupose.methods.oanet.predict import predict_3d
from occlupose.methods.oanet.weights import TrainedOANet, is_oanet, load
from occlupose.methods.oanet.windows import observed_rays
from occlupose.metrics.pose3d import METRICS, MPJPEReport, all_errors
from occlupose.networks.weights import header, to_device
from occlupose.occlusion.cylinders import self_occluded
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import H36M17, Skeleton, by_name, convert

UNITS = ("mm", "mm", "mm", "mm/frame", "mm/s")
"""Units of `METRICS` in tables."""

STATES = {"all": None, "visible": VISIBLE, "occluded": OCCLUDED}
MEAN_OF_ACTIONS = "mean of actions"
FRAME_MEAN = "mean of frames"


class SequenceLifter(Protocol):
    """Lifts the 2D poses of one person to 3D."""

    def __call__(self, poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        """H36M-17 joints in metres and camera axes, relative to the pelvis or any other origin.

        Arguments:
            poses: 2D, of one person, with their camera.
        """
        ...


def lifter_predictor(lifter: Lifter) -> SequenceLifter:
    """Lifts as `occlupose lift` does, with this network."""

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        xyz = lift(poses, lifter=lifter).xyz
        assert xyz is not None
        return xyz[:, 0]

    return predict


def oanet_predictor(trained: TrainedOANet) -> SequenceLifter:
    """Lifts with OANet's networks as in the paper, on H36M-17 joints.

    As in `lift_rays`, video with a high frame rate is lifted as interleaved sequences, video with a low frame rate with
    missing frames in between.
    """

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        rays, confidence, present = observed_rays(poses)
        reliable = present & (confidence >= trained.min_confidence)
        upsampling = upsample_factor(poses.fps)
        step = min(interleave_factor(poses.fps), max(1, len(poses)))
        all_rays = rays.new_zeros(upsampling * len(rays), *rays.shape[1:])
        all_reliable = reliable.new_zeros(upsampling * len(rays), reliable.shape[1])
        all_rays[::upsampling] = rays
        all_reliable[::upsampling] = reliable
        xyz = np.empty((len(all_rays), len(H36M17), 3), np.float32)
        for first in range(step):
            part = slice(first, None, step)
            xyz[part] = predict_3d(trained.oanet, all_rays[part], all_reliable[part], trained.window).numpy()
        return xyz[::upsampling]

    return predict


def load_predictor(weights: Path | None = None, device: str = "cpu") -> SequenceLifter:
    """The predictor for a weights file of `train lifter` or `train oanet`; by default for the shipped lifter.

    Raises:
        OccluposeError: the weights cannot be read, or torch has no such device here.
    """
    if weights is not None and weights.exists() and not header(weights):
        raise OccluposeError(
            f"{weights}: not readable as weights; give a file that `occlupose train lifter` or `train oanet` wrote"
        )
    if weights is not None and is_oanet(weights):
        trained = load(weights)
        to_device(trained.oanet, device)
        return oanet_predictor(trained)
    return lifter_predictor(load_lifter(device, weights))


@dataclass(frozen=True, eq=False)
class SequencePredictions:
    """Predicted 3D poses of many sequences.

    Attributes:
        skeleton: of all of them.
        xyz: by sequence name, metres, camera axes; NaN where a joint is not predicted and so not scored.
    """

    skeleton: Skeleton
    xyz: dict[str, Float[np.ndarray, "time joint 3"]]

    @classmethod
    def load(cls, path: Path, sequences: Sequence[PoseSequence]) -> "SequencePredictions":
        """The predictions of a file for these sequences; others in it are ignored.

        Raises:
            OccluposeError: the file cannot be read, lacks a sequence, or has one of another length or skeleton.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if "skeleton" not in file.files:
                    raise OccluposeError(f"{path}: no skeleton in it; add the name of the joint set, such as h36m17")
                skeleton = _skeleton(path, str(file["skeleton"]))
                missing = [sequence.name for sequence in sequences if sequence.name not in file.files]
                if missing:
                    wrong = f"lacks {len(missing)} of {len(sequences)} sequences, first {missing[0]}"
                    raise OccluposeError(f"{path}: {wrong}; predict every sequence")
                names = {sequence.name: sequence for sequence in sequences}
                return cls(skeleton, {name: _checked(path, names[name], skeleton, file[name]) for name in names})
        except OSError as error:
            raise unreadable(path, error, "give an .npz of predictions") from error
        except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise OccluposeError(
                f"{path}: not a complete .npz of plain arrays; write it with numpy.savez_compressed"
            ) from error

    def save(self, path: Path) -> None:
        """Writes them as an .npz that `load` reads.

        Raises:
            OccluposeError: the file could not be written.
        """
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, skeleton=np.array(self.skeleton.name), **self.xyz)  # type: ignore[arg-type]


def _skeleton(path: Path, name: str) -> Skeleton:
    try:
        return by_name(name)
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error


def _checked(
    path: Path, sequence: PoseSequence, skeleton: Skeleton, xyz: np.ndarray
) -> Float[np.ndarray, "time joint 3"]:
    wanted = (len(sequence.poses), len(skeleton), 3)
    if xyz.shape != wanted or xyz.dtype.kind not in "fiu":
        raise OccluposeError(
            f"{path}: {sequence.name}: shape {xyz.shape}; it must be {wanted} for this sequence in {skeleton.name}"
        )
    if np.isinf(xyz).any():
        raise OccluposeError(f"{path}: {sequence.name}: infinite positions; give NaN for a joint that is not predicted")
    return xyz


def load_sequences(
    dataset: Literal["humaneva", "h36m"], folder: Path, subjects: tuple[str, ...], detections: str, every: int = 1
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


def missing(dataset: Literal["humaneva", "h36m"], sequences: Sequence[PoseSequence]) -> list[str]:
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


def predict(
    sequences: Sequence[PoseSequence], lifter: SequenceLifter, progress: Callable[[int], None] = lambda frames: None
) -> SequencePredictions:
    """The 3D poses of every sequence, from its detections or, if there are none, from its true keypoints.

    Arguments:
        progress: called after each sequence with its number of frames.
    """
    xyz = {}
    for sequence in sequences:
        xyz[sequence.name] = np.asarray(lifter(input_2d(sequence)), np.float32)
        progress(len(sequence.poses))
    return SequencePredictions(H36M17, xyz)


def input_2d(sequence: PoseSequence) -> Poses:
    """The 2D poses to lift: the detections or, if there are none, the true keypoints."""
    return sequence.poses.observed or replace(sequence.poses, xyz=None)


def find_states(sequences: Sequence[PoseSequence]) -> tuple[str, list[UInt8[np.ndarray, "time joint"]]]:
    """The state of each true joint, and where it comes from.

    It comes from the detections if any of their joints is not visible; otherwise from the Cylinder Man (OANet section
    4) on the true poses, which knows self-occlusion only. A joint that the detections' skeleton lacks is 0.
    """
    observed = [sequence.poses.observed for sequence in sequences]
    if any(poses is not None and (poses.state != VISIBLE).any() for poses in observed):
        return "the detections' states", [_states_of_detections(sequence) for sequence in sequences]
    source = "self-occlusion of the true poses, by the Cylinder Man"
    return source, [_states_of_cylinders(sequence) for sequence in sequences]


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
    if sequence.poses.xyz is None:
        raise OccluposeError(f"{sequence.name}: 2D only; give sequences with 3D ground truth")
    return sequence.poses.xyz[:, 0]


def score(
    sequences: Sequence[PoseSequence], predictions: SequencePredictions, *, by_subject: bool = False
) -> tuple[MPJPEReport, str]:
    """All errors of the predictions, and the source of the joints' states (see `find_states`).

    Predictions in another skeleton are converted by joint names; joints that they do not have are not scored.

    Arguments:
        by_subject: an action of each subject counts as an action of its own, as in HumanEva-I's tables.

    Raises:
        OccluposeError: a sequence is 2D only.
    """
    source, states = find_states(sequences)
    report = MPJPEReport(sequences[0].poses.skeleton)
    for sequence, state in zip(sequences, states, strict=True):
        truth = _truth(sequence)
        skeleton = sequence.poses.skeleton
        xyz = convert(predictions.xyz[sequence.name], predictions.skeleton, skeleton)
        root = skeleton.joints.index(skeleton.root or skeleton.joints[0])
        action = f"{sequence.action} {sequence.subject}" if by_subject else sequence.action
        report.add(action, all_errors(xyz, truth, sequence.poses.fps, root), state)
    return report, source


def notes(dataset: Literal["humaneva", "h36m"], sequences: Sequence[PoseSequence], report: MPJPEReport) -> list[str]:
    """Lines that explain the errors: number of frames, missing parts of the protocol, and joints that were left out."""
    frames = sum(len(sequence.poses) for sequence in sequences)
    joints = report.skeleton.joints
    lines = [f"{len(sequences)} sequences, {frames:,} frames"]
    absent = missing(dataset, sequences)
    if absent:
        lines.append(f"not the whole protocol, so the means differ: no {', '.join(absent)}")
    scored = report.joint_count / max(1, frames * len(joints))
    if scored < 1:
        never = [joint for joint in joints if not report.scored(joint)]
        always = f", among them every {', '.join(never)}" if never else ""
        lines.append(f"not scored, without a prediction or ground truth: {1 - scored:.1%} of the joints{always}")
    return lines


def rows(report: MPJPEReport) -> Iterator[tuple[str, str, str, list[float]]]:
    """Every row of a report: what it groups by ("action" or "joint"), the name, which joints ("all", "visible",
    "occluded"), and the errors by each of `METRICS` in millimetres. Rows by joint are means of frames.
    """
    for joints, state in STATES.items():
        for action in report.actions:
            yield "action", action, joints, _millimetres(report.mean(action, state=state))
        yield "action", MEAN_OF_ACTIONS, joints, _millimetres(report.over_actions(state=state))
        yield "action", FRAME_MEAN, joints, _millimetres(report.mean(state=state))
        for joint in report.skeleton.joints:
            yield "joint", joint, joints, _millimetres(report.mean(joint=joint, state=state))


def _millimetres(errors: Float[np.ndarray, "metric"]) -> list[float]:
    return (1000 * errors).tolist()


def tables(report: MPJPEReport) -> list[Table]:
    """The rows of a report for the terminal: all joints by action, visible and occluded ones, by joint."""
    lines = list(rows(report))
    by_state = [
        (f"{joints} ({share(report, joints)}), {name}", errors)
        for _, name, joints, errors in lines
        if name in (MEAN_OF_ACTIONS, FRAME_MEAN)
    ]

    def all_joints(group: str) -> list[tuple[str, list[float]]]:
        return [(name, errors) for of, name, joints, errors in lines if of == group and joints == "all"]

    return [
        _table("action", all_joints("action")),
        _table("joints", by_state),
        _table("joint", all_joints("joint")),
    ]


def share(report: MPJPEReport, joints: str) -> str:
    """Share of the scored joints in this state, in percent."""
    state = STATES[joints]
    return f"{1 if state is None else report.share(state):.0%}"


def _table(title: str, lines: list[tuple[str, list[float]]]) -> Table:
    table = Table(title)
    for metric, unit in zip(METRICS, UNITS, strict=True):
        table.add_column(f"{metric.partition('_per')[0].upper().replace('_', '-')} {unit}", justify="right")
    for name, errors in lines:
        table.add_row(name, *("" if np.isnan(error) else f"{error:.1f}" for error in errors))
    return table


def write_csv(report: MPJPEReport, path: Path) -> None:
    """Writes every row of a report.

    Raises:
        OccluposeError: the file could not be written.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        errors = ["mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm_per_frame", "mpjve_mm_per_second"]
        writer.writerow(["group", "name", "joints", *errors])
        for group, name, joints, values in rows(report):
            writer.writerow([group, name, joints, *("" if np.isnan(value) else f"{value:.4f}" for value in values)])
