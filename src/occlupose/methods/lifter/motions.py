"""Motions to train and validate the lifter on: motion capture with all joints of BODY22, and the same motions on other
bodies.

A body model is fitted to every clip. It fills in the joints that a capture lacks (the face, mostly), and lends the
motion to other bodies, adults and children: rotations stay, bones change. All ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import savgol_filter
from torch import Generator, Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.bodies.fitting import BodyFit, fit_pose
from occlupose.datasets.formats.mocap_clips import LabelledClip, load_labelled_clips
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.npz import OWN_BYTES, open_npz
from occlupose.skeletons import BODY22, BODY26
from occlupose.synth.pose_prior import BATCH_SIZE, JOINT_WEIGHTS, fit_subject_shape
from occlupose.training.loop import fingerprint

FPS = 30.0
"""Frames per second of the motions; samples of other rates are interpolated."""

BODIES = 3
"""Other bodies that each clip is lent to."""

CHILDREN = 0.25
"""Share of children among them."""

MAX_ERROR = 0.08
"""Mean distance of a clip's joints from the fitted body, m, from which on it is left out."""

SMOOTHING = 5
"""Frames of the parabola that smooths the fitted joints, since every pose is fitted by itself."""

UIPRMD_EVERY = 4
"""Of each subject's clips of UI-PRMD, one of so many is used: they are repetitions of ten exercises."""


@dataclass(frozen=True, eq=False)
class LentMotion:
    """A clip on several bodies, FPS frames per second.

    Attributes:
        joints: BODY22, m, y up: the captured joints (those that the capture lacks are the fitted body's), then those of
            each other body.
    """

    name: str
    subject: str
    kind: str
    held_out: bool
    joints: Float[np.ndarray, "body time 22 3"]


def load_motions(mocap: Path, folder: Path) -> list[LentMotion]:
    """The motions of a folder of motion capture; made at first, which takes some minutes, and kept in `folder`.

    Raises:
        OccluposeError: as `load_labelled_clips`, or the file in the folder is damaged or of other motion capture.
    """
    path = folder / "motions.npz"
    source = _identify_source(mocap)
    if not path.exists():
        clips = select(load_labelled_clips(mocap))
        folder.mkdir(parents=True, exist_ok=True)
        _save(list(make_motions(clips)), source, path)
    return _load(path, source)


def select(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """The clips without most repetitions of UI-PRMD, evenly over each subject's."""
    kept = []
    counts: dict[str, int] = {}
    for clip in clips:
        every = UIPRMD_EVERY if clip.kind == "exercise" and clip.clip.subject.startswith("s") else 1
        number = counts.setdefault(clip.clip.subject, 0)
        counts[clip.clip.subject] += 1
        if number % every == 0:
            kept.append(clip)
    return kept


def make_motions(clips: Sequence[LabelledClip]) -> Iterator[LentMotion]:
    """Each clip on its own and on random other bodies, subject by subject."""
    body = anny(captured=True)
    generator = torch.Generator().manual_seed(0)
    for subject in dict.fromkeys(clip.clip.subject for clip in clips):
        own = [clip for clip in clips if clip.clip.subject == subject]
        joints = [_at_rate(clip) for clip in own]
        shape = fit_subject_shape(torch.cat(joints), body)
        for clip, captured in zip(own, joints, strict=True):
            fits = [
                fit_pose(part, body, shape.expand(len(part), -1), joint_weights=JOINT_WEIGHTS)
                for part in captured.split(BATCH_SIZE)
            ]
            if np.mean([fit.error.mean() for fit in fits]) > MAX_ERROR:
                continue
            bodies = [_complete(captured, torch.cat([fit.joints for fit in fits]))]
            for _ in range(0 if clip.held_out else BODIES):
                bodies.append(_lend(fits, shape, random_shape(body, generator), body))
            yield LentMotion(clip.clip.name, subject, clip.kind, clip.held_out, np.stack(bodies).astype(np.float32))


def random_shape(body: BodyModel, generator: Generator) -> Float[Tensor, "shape"]:
    """A random adult's or child's shape."""
    shape = 0.5 + 0.2 * torch.randn(len(body.neutral), generator=generator).clamp(-2, 2)
    shape = torch.where(torch.tensor([name in ("cupsize", "firmness") for name in body.shape_names]), 0.5, shape)
    is_child = torch.rand((), generator=generator) < CHILDREN
    age = torch.rand((), generator=generator)
    shape[body.shape_names.index("age")] = 0.2 + 0.3 * age if is_child else 0.6 + 0.4 * age
    shape[body.shape_names.index("gender")] = torch.rand((), generator=generator)
    return shape


def _at_rate(labelled: LabelledClip) -> Float[Tensor, "time 26 3"]:
    """A clip at FPS."""
    joints = labelled.clip.body26
    times = np.arange(0, len(joints) / labelled.clip.fps, 1 / FPS)
    frames = np.minimum(times * labelled.clip.fps, len(joints) - 1)
    below = frames.astype(int)
    above = np.minimum(below + 1, len(joints) - 1)
    share = (frames - below)[:, None, None]
    return torch.from_numpy(((1 - share) * joints[below] + share * joints[above]).astype(np.float32))


def _complete(captured: Float[Tensor, "time 26 3"], fitted: Float[Tensor, "time 26 3"]) -> np.ndarray:
    """The captured joints of BODY22, and the fitted ones where they are unknown."""
    unknown = captured.isnan().any(-1, keepdim=True)
    return torch.where(unknown, _smooth(fitted), captured)[:, : len(BODY22)].numpy()


def _lend(fits: list[BodyFit], shape: Tensor, other: Tensor, body: BodyModel) -> np.ndarray:
    """A motion on another body: it walks as far as its legs are long."""
    pose = torch.cat([fit.pose for fit in fits])
    translation = torch.cat([fit.translation for fit in fits])
    own_leg = _leg(body, shape)
    other_leg = _leg(body, other)
    joints = body.joints(pose, other.expand(len(pose), -1), translation * other_leg / own_leg)
    return _smooth(joints)[:, : len(BODY22)].numpy()


def _leg(body: BodyModel, shape: Float[Tensor, "shape"]) -> Float[Tensor, ""]:
    hip, ankle = body.rest(shape[None])[0, BODY26.index("left_hip", "left_ankle")]
    return (hip - ankle).norm()


def _smooth(joints: Float[Tensor, "time 26 3"]) -> Float[Tensor, "time 26 3"]:
    if len(joints) < SMOOTHING:
        return joints
    return torch.from_numpy(savgol_filter(joints.numpy(), SMOOTHING, 2, axis=0).astype(np.float32))


def identify(motions: Sequence[LentMotion]) -> str:
    """Fingerprint of motions."""
    return fingerprint(motion.joints for motion in motions)


def _identify_source(mocap: Path) -> str:
    """Fingerprint of the names and sizes of the files of motion capture."""
    files = sorted(path for part in ("cmu", "cmu_expmap", "more") for path in (mocap / part).rglob("*.*"))
    listing = "\n".join(f"{path.relative_to(mocap).as_posix()} {path.stat().st_size}" for path in files)
    return fingerprint([np.frombuffer(listing.encode(), np.uint8)])


def _save(motions: Sequence[LentMotion], source: str, path: Path) -> None:
    names = np.array([(one.name, one.subject, one.kind, str(int(one.held_out))) for one in motions])
    arrays: dict[str, Any] = {f"joints{number:05}": one.joints for number, one in enumerate(motions)}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=names, source=np.array(source), **arrays)


def _load(path: Path, source: str) -> list[LentMotion]:
    try:
        with open_npz(path, OWN_BYTES) as file:
            if str(file["source"]) != source:
                raise OccluposeError(f"{path}: was made from other motion capture; give another folder")
            return [
                LentMotion(str(name), str(subject), str(kind), held_out == "1", file[f"joints{number:05}"])
                for number, (name, subject, kind, held_out) in enumerate(file["about"])
            ]
    except (OSError, KeyError, ValueError, TypeError):
        raise OccluposeError(f"{path}: damaged; delete it, it is made again") from None
