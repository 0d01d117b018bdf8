"""What each clip of motion capture shows, who moves in it, and whether it is held out of training: `mocap_clips.csv`,
beside this module, has a row for every clip of

- `cmu/NN/NN_MM.amc` and `cmu_expmap/joints_60fps.npz` (`formats.cmu`),
- `more/cmu_60fps.npz`, `accad_30fps.npz`, `uiprmd_50fps.npz` and `opencap_100fps.npz` (`formats.mocap_joints`).

Whole people are held out: CMU's 02, 08, 32, 86 and 135, ACCAD's Male2, UI-PRMD's s09 and s10, and OpenCap's Subject4,
the only one there who sits. The exception are 60 and 61, who dance together: of them trials 12 to 15 are held out. The
kind is that of most of the clip, after CMU's descriptions of its trials, the names of the others and a look at those
that leave doubts. Running, jumping and climbing are sports; crouching and crawling are sitting and lying. All who fight
are held out, so that this kind is not learnt from.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from occlupose.datasets.formats import cmu, mocap_joints
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError, unreadable

TABLE = Path(__file__).with_suffix(".csv")

KINDS = ("walking", "sitting and lying", "sports", "dance", "fight", "exercise", "everyday")
"""Everyday is what none of the others is: standing, gestures, looking around, things picked up."""

COLUMNS = ["file", "clip", "subject", "kind", "held_out"]

CREDIT = (
    "CMU Graphics Lab motion capture (free to use, also commercially); ACCAD Open Motion Project, The Ohio State"
    " University (CC BY 3.0); UI-PRMD (Vakanski et al. 2018; ODC Public Domain Dedication); OpenCap LabValidation"
    " (Uhlrich et al. 2023; Apache-2.0); whole people held out: CMU 02, 08, 32, 86, 135 and dances of 60 and 61, ACCAD"
    " Male2, UI-PRMD s09 and s10, OpenCap Subject4"
)
"""Training data on the card of weights that were trained on the clips that are not held out."""

EXPMAP = "cmu_expmap/joints_60fps.npz"


@dataclass(frozen=True)
class ClipLabel:
    """A row of the table.

    Attributes:
        subject: the person, unique over all files; "clips" where CMU's clips of joint positions do not say who it is.
        kind: one of KINDS.
        held_out: whether the clip is for validation only.
    """

    subject: str
    kind: str
    held_out: bool


@dataclass(frozen=True, eq=False)
class LabelledClip:
    """A clip, or a piece of one, with its kind and whether it is for validation only."""

    clip: MotionClip
    kind: str
    held_out: bool


def read_labels(table: Path = TABLE) -> dict[tuple[str, str], ClipLabel]:
    """The labels of all clips, by file and name.

    Raises:
        OccluposeError: the table cannot be read, or a row is damaged or there twice; names file and line.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(table, error, "install occlupose again") from error
    if not rows or rows[0] != COLUMNS:
        raise OccluposeError(f"{table}: line 1 has other columns; {','.join(COLUMNS)} is expected")
    labels: dict[tuple[str, str], ClipLabel] = {}
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or row[3] not in KINDS or row[4] not in ("0", "1"):
            raise OccluposeError(
                f"{table}: line {line} is no file, clip, subject, kind ({', '.join(KINDS)}) and 0 or 1; correct it"
            )
        file_name, clip, subject, kind, held_out = row
        if (file_name, clip) in labels:
            raise OccluposeError(f"{table}: line {line} has {clip} of {file_name} once more; keep one")
        labels[file_name, clip] = ClipLabel(subject, kind, held_out == "1")
    return labels


def load_labelled_clips(folder: Path, table: Path = TABLE) -> list[LabelledClip]:
    """All motion capture of a folder, cut where it jumps, with kinds and split.

    It holds `cmu/`, `more/` and, optionally, `cmu_expmap/`. Clips that show again what a held-out subject does
    (`cmu.VALIDATION_COPIES`) are in neither part.

    Raises:
        OccluposeError: a file is missing or damaged, or the table has no row for a clip.
    """
    labels = read_labels(table)
    clips = [clip for clip in cmu.load_clips(folder) if _whole(clip) not in cmu.VALIDATION_COPIES]
    labelled = [_label(clip, folder, _cmu_file(clip), labels) for clip in clips]
    for stem in (mocap_joints.CMU, *mocap_joints.TRUNKS):
        name = f"more/{stem}.npz"
        labelled += [_label(clip, folder, name, labels) for clip in mocap_joints.load_joints(folder / name)]
    return labelled


def load_labelled_pairs(folder: Path, table: Path = TABLE) -> list[tuple[LabelledClip, LabelledClip]]:
    """The dances of `mocap_joints.load_pairs` in a folder as above: two people in one world frame, frame by frame.

    Raises:
        OccluposeError: as `load_labelled_clips`.
    """
    labels = read_labels(table)
    name = f"more/{mocap_joints.CMU}.npz"
    return [
        (_label(one, folder, name, labels), _label(other, folder, name, labels))
        for one, other in mocap_joints.load_pairs(folder / name)
    ]


def count_seconds(clips: Iterable[LabelledClip]) -> dict[tuple[str, bool], float]:
    """Seconds of each kind and split (whether held out), in the order of KINDS, training first."""
    seconds = {(kind, held_out): 0.0 for kind in KINDS for held_out in (False, True)}
    for labelled in clips:
        seconds[labelled.kind, labelled.held_out] += len(labelled.clip.joints) / labelled.clip.fps
    return seconds


def _whole(clip: MotionClip) -> str:
    """The name of the clip that this is a piece of."""
    return clip.name.split(".")[0]


def _cmu_file(clip: MotionClip) -> str:
    return EXPMAP if clip.subject == "clips" else f"cmu/{clip.subject}/{_whole(clip)}.amc"


def _label(clip: MotionClip, folder: Path, file_name: str, labels: dict[tuple[str, str], ClipLabel]) -> LabelledClip:
    label = labels.get((file_name, _whole(clip)))
    if label is None:
        raise OccluposeError(
            f"{folder / file_name}: clip {_whole(clip)} is not in {TABLE.name}; add a row for it, or leave it out"
        )
    return LabelledClip(clip, label.kind, label.held_out)
