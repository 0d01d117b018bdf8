"""How well 3D is predicted from 2D on takes with a known truth: predict, keep the predictions, score them.

A file of predictions can be scored without what made it. It is an .npz with `skeleton`, the name of a joint set, and
one array a take, by the take's name ("S9/Walking 1/54138969"): (time, joint, 3), metres, camera axes, anywhere (poses
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

from occlupose.datasets import h36m, humaneva
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.methods.oanet.lifter.lift import interleave_factor, upsample_factor
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifting import lift, networks
from occlupose.methods.oanet.predict import predict_3d
from occlupose.methods.oanet.weights import TrainedOANet, is_oanet, load
from occlupose.methods.oanet.windows import observed_rays
from occlupose.metrics.pose3d import MEASURES, Report, measures
from occlupose.networks.weights import header, to_device
from occlupose.occlusion.cylinders import self_occluded
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import H36M17, Skeleton, by_name, convert

UNITS = ("mm", "mm", "mm", "mm/frame", "mm/s")
"""Of `MEASURES` in tables."""

STATES = {"all": None, "visible": VISIBLE, "occluded": OCCLUDED}
MEAN_OF_ACTIONS = "mean of actions"
FRAME_MEAN = "mean of frames"


class Predictor(Protocol):
    """Whatever lifts one person."""

    def __call__(self, poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        """H36M-17 relative to the pelvis (or anywhere), metres, camera axes, of the one person of a 2D record with its
        camera.
        """
        ...


def shipped(lifter: Lifter) -> Predictor:
    """The predictor that `occlupose lift` is, with these networks."""

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        xyz = lift(poses, lifter=lifter).xyz
        assert xyz is not None
        return xyz[:, 0]

    return predict


def paper(trained: TrainedOANet) -> Predictor:
    """The predictor of OANet's networks as the paper has them, on H36M-17 joints.

    Fast video is lifted as interleaved sequences, slow video with unseen frames in between, as by `lift_rays`.
    """

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        rays, evidence, there = observed_rays(poses)
        believed = there & (evidence >= trained.min_confidence)
        apart = upsample_factor(poses.fps)
        step = min(interleave_factor(poses.fps), max(1, len(poses)))
        spread = rays.new_zeros(apart * len(rays), *rays.shape[1:])
        seen = believed.new_zeros(apart * len(rays), believed.shape[1])
        spread[::apart] = rays
        seen[::apart] = believed
        xyz = np.empty((len(spread), len(H36M17), 3), np.float32)
        for first in range(step):
            part = slice(first, None, step)
            xyz[part] = predict_3d(trained.oanet, spread[part], seen[part], trained.window).numpy()
        return xyz[::apart]

    return predict


def predictor(weights: Path | None = None, device: str = "cpu") -> Predictor:
    """The predictor of a weights file, of `train lifter` or of `train oanet`; by default the shipped lifter.

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
        return paper(trained)
    return shipped(networks(device, weights))


@dataclass(frozen=True, eq=False)
class Predictions:
    """3D poses of takes.

    Attributes:
        skeleton: of all of them.
        xyz: by take name, metres, camera axes; NaN where a joint is not predicted, which then is not scored.
    """

    skeleton: Skeleton
    xyz: dict[str, Float[np.ndarray, "time joint 3"]]

    @classmethod
    def load(cls, path: Path, takes: Sequence[PoseSequence]) -> "Predictions":
        """Those of a file for these takes; others in it are left alone.

        Raises:
            OccluposeError: the file cannot be read, lacks a take, or has one of another length or skeleton.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if "skeleton" not in file.files:
                    raise OccluposeError(
                        f"{path}: no skeleton in it; a file of predictions says h36m17 or another joint set there"
                    )
                skeleton = _named(path, str(file["skeleton"]))
                missing = [take.name for take in takes if take.name not in file.files]
                if missing:
                    raise OccluposeError(
                        f"{path}: lacks {len(missing)} of {len(takes)} takes, first {missing[0]}; predict every take"
                    )
                return cls(skeleton, {take.name: _checked(path, take, skeleton, file[take.name]) for take in takes})
        except OSError as error:
            raise OccluposeError(
                f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give an .npz of predictions"
            ) from error
        except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise OccluposeError(
                f"{path}: not a whole .npz of plain arrays; write it with numpy.savez_compressed"
            ) from error

    def save(self, path: Path) -> None:
        """Write them as an .npz that `load` reads.

        Raises:
            OccluposeError: it could not be written.
        """
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, skeleton=np.array(self.skeleton.name), **self.xyz)  # type: ignore[arg-type]


def _named(path: Path, skeleton: str) -> Skeleton:
    try:
        return by_name(skeleton)
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error


def _checked(path: Path, take: PoseSequence, skeleton: Skeleton, xyz: np.ndarray) -> Float[np.ndarray, "time joint 3"]:
    wanted = (len(take.poses), len(skeleton), 3)
    if xyz.shape != wanted or xyz.dtype.kind not in "fiu":
        raise OccluposeError(
            f"{path}: {take.name}: shape {xyz.shape}; of this take and {skeleton.name} it must be {wanted}, in metres"
        )
    if np.isinf(xyz).any():
        raise OccluposeError(f"{path}: {take.name}: infinite positions; a joint that is not predicted is NaN")
    return xyz


def load_takes(
    dataset: Literal["humaneva", "h36m"], folder: Path, subjects: tuple[str, ...], detections: str, every: int = 1
) -> list[PoseSequence]:
    """The takes that a dataset's protocol scores, or those of other subjects; see `datasets.h36m.load_sequences` and
    `datasets.humaneva.load_sequences`.

    Raises:
        OccluposeError: something of it is missing or damaged.
    """
    if every < 1:
        raise OccluposeError(f"every {every}: every n-th frame; give 1 for all of them, or more")
    if dataset == "h36m":
        return h36m.load_sequences(folder, subjects or h36m.TEST, detections=detections, every=every)
    return humaneva.load_sequences(folder, subjects or humaneva.VALIDATE, detections=detections, every=every)


def missing(dataset: Literal["humaneva", "h36m"], takes: Sequence[PoseSequence]) -> list[str]:
    """Actions and subjects that the dataset's protocol scores and none of these takes shows; actions of HumanEva-I by
    subject.
    """
    shown = {(take.action, take.subject) for take in takes}
    there = {subject for _, subject in shown}
    if dataset == "h36m":
        actions = [action for action in h36m.ACTIONS if action not in {action for action, _ in shown}]
        return [*(subject for subject in h36m.TEST if subject not in there), *actions]
    actions = [
        f"{action} {subject}"
        for action in humaneva.ACTIONS
        for subject in sorted(there)
        if (action, subject) not in shown
    ]
    return [*(subject for subject in humaneva.SUBJECTS if subject not in there), *actions]


def predict(
    takes: Sequence[PoseSequence], predictor: Predictor, progress: Callable[[int], None] = lambda frames: None
) -> Predictions:
    """What a predictor says of every take: from its detections, or where it has none from its true pixels.

    Arguments:
        progress: called after each take with its number of frames.
    """
    xyz = {}
    for take in takes:
        xyz[take.name] = np.asarray(predictor(two_d(take)), np.float32)
        progress(len(take.poses))
    return Predictions(H36M17, xyz)


def two_d(take: PoseSequence) -> Poses:
    """The 2D record that a take is lifted from: its detections, or where it has none its true pixels."""
    return take.poses.observed or replace(take.poses, xyz=None)


def states(takes: Sequence[PoseSequence]) -> tuple[str, list[UInt8[np.ndarray, "time joint"]]]:
    """Which true joints are visible and which are occluded, and in words who says so.

    The detections do, where any of them has a joint that is not visible; else the Cylinder Man (OANet section 4) says
    it of the true poses, which knows of what a body hides from itself. A joint that the detections' skeleton lacks is
    0.
    """
    observed = [take.poses.observed for take in takes]
    if any(poses is not None and (poses.state != VISIBLE).any() for poses in observed):
        return "the detections' states", [_of_detections(take) for take in takes]
    return "self-occlusion of the true poses, by the Cylinder Man", [_of_cylinders(take) for take in takes]


def _of_detections(take: PoseSequence) -> UInt8[np.ndarray, "time joint"]:
    truth = take.poses
    observed = take.poses.observed
    assert observed is not None
    made = np.isfinite(convert(np.ones((len(observed.skeleton), 1)), observed.skeleton, truth.skeleton))[:, 0]
    seen = observed.to(truth.skeleton).state[:, 0] == VISIBLE
    return np.where(made, np.where(seen, VISIBLE, OCCLUDED), ABSENT).astype(np.uint8)


def _of_cylinders(take: PoseSequence) -> UInt8[np.ndarray, "time joint"]:
    behind = self_occluded(torch.from_numpy(_truth(take)), take.poses.skeleton).numpy()
    return np.where(behind, OCCLUDED, VISIBLE).astype(np.uint8)


def _truth(take: PoseSequence) -> Float[np.ndarray, "time joint 3"]:
    if take.poses.xyz is None:
        raise OccluposeError(f"{take.name}: 2D only; scores need takes with a true 3D pose")
    return take.poses.xyz[:, 0]


def score(takes: Sequence[PoseSequence], predictions: Predictions, *, by_subject: bool = False) -> tuple[Report, str]:
    """All errors of the predictions, and who says which joints are occluded (as `states` says).

    Predictions in another skeleton than the truth's are converted by joint names; joints that they do not have are not
    scored.

    Arguments:
        by_subject: an action of each subject counts as an action by itself, as HumanEva-I's tables have it.

    Raises:
        OccluposeError: a take is 2D only.
    """
    source, of_takes = states(takes)
    report = Report(takes[0].poses.skeleton)
    for take, state in zip(takes, of_takes, strict=True):
        truth = _truth(take)
        skeleton = take.poses.skeleton
        xyz = convert(predictions.xyz[take.name], predictions.skeleton, skeleton)
        root = skeleton.joints.index(skeleton.root or skeleton.joints[0])
        action = f"{take.action} {take.subject}" if by_subject else take.action
        report.add(action, measures(xyz, truth, take.poses.fps, root), state)
    return report, source


def notes(dataset: Literal["humaneva", "h36m"], takes: Sequence[PoseSequence], report: Report) -> list[str]:
    """Lines to read the figures by: how much was scored, what the protocol has besides, and which joints were left
    out.
    """
    frames = sum(len(take.poses) for take in takes)
    joints = report.skeleton.joints
    lines = [f"{len(takes)} takes, {frames:,} frames"]
    lacking = missing(dataset, takes)
    if lacking:
        lines.append(f"not the whole protocol, so the means are others: no {', '.join(lacking)}")
    share = report.number / max(1, frames * len(joints))
    if share < 1:
        never = [joint for joint in joints if not report.scored(joint)]
        always = f", among them every {', '.join(never)}" if never else ""
        lines.append(f"not scored for want of a prediction or a truth: {1 - share:.1%} of the joints{always}")
    return lines


def rows(report: Report) -> Iterator[tuple[str, str, str, list[float]]]:
    """Every line of a report: what it is of ("action", "joint"), its name, which joints ("all", "visible", "occluded"),
    and the errors by each of `MEASURES` in millimetres. Joints are means of frames."""
    for joints, state in STATES.items():
        for action in report.actions:
            yield "action", action, joints, _millimetres(report.mean(action, state=state))
        yield "action", MEAN_OF_ACTIONS, joints, _millimetres(report.over_actions(state=state))
        yield "action", FRAME_MEAN, joints, _millimetres(report.mean(state=state))
        for joint in report.skeleton.joints:
            yield "joint", joint, joints, _millimetres(report.mean(joint=joint, state=state))


def _millimetres(errors: Float[np.ndarray, "measure"]) -> list[float]:
    return (1000 * errors).tolist()


def tables(report: Report) -> list[Table]:
    """The lines of a report for the terminal: all joints by action, by visible and occluded, by joint."""
    lines = list(rows(report))
    states = [(joints, name, errors) for _, name, joints, errors in lines if name in (MEAN_OF_ACTIONS, FRAME_MEAN)]
    return [
        _table("action", [(name, errors) for of, name, joints, errors in lines if of == "action" and joints == "all"]),
        _table("joints", [(f"{joints} ({share(report, joints)}), {name}", errors) for joints, name, errors in states]),
        _table("joint", [(name, errors) for of, name, joints, errors in lines if of == "joint" and joints == "all"]),
    ]


def share(report: Report, joints: str) -> str:
    """How many of the scored joints these are, in per cent."""
    state = STATES[joints]
    return f"{1 if state is None else report.share(state):.0%}"


def _table(title: str, lines: list[tuple[str, list[float]]]) -> Table:
    table = Table(title)
    for measure, unit in zip(MEASURES, UNITS, strict=True):
        table.add_column(f"{measure.partition('_per')[0].upper().replace('_', '-')} {unit}", justify="right")
    for name, errors in lines:
        table.add_row(name, *("" if np.isnan(error) else f"{error:.1f}" for error in errors))
    return table


def write_csv(report: Report, path: Path) -> None:
    """Write every line of a report.

    Raises:
        OccluposeError: it could not be written.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "of",
                "name",
                "joints",
                "mpjpe_mm",
                "p_mpjpe_mm",
                "n_mpjpe_mm",
                "mpjve_mm_per_frame",
                "mpjve_mm_per_second",
            ]
        )
        for of, name, joints, errors in rows(report):
            writer.writerow([of, name, joints, *("" if np.isnan(error) else f"{error:.4f}" for error in errors)])
