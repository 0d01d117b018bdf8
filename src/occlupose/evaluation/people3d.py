"""Everybody in pictures in absolute 3D: what a network predicts or a file says, scored by the protocols of MuPoTS-3D,
3DPW and our scenes.

A file of predictions is an .npz, so that those of others can be scored as well. All people of all pictures stand one
after the other:

- `picture` (image): names, "TS1/img_000000.jpg", "downtown_stairs_00/image_00000.jpg", or the file's name in a folder
  of `occlupose synth`;
- `people` (image): how many were found in each picture, 0 for nobody;
- `xyz` (person, joint, 3): camera frame, x right, y down, z forward; NaN where a joint is not predicted;
- `xy` (person, joint, 2): px, pixel centres at integers; NaN where it is absent;
- `skeleton`: "mpi15", "mupots17" or another joint set of ours; `unit`: of `xyz`, "m" or "mm";
- `score` (person, joint), which may be missing (1): a person's is the mean of its scored joints';
- `state` (person, joint), which may be missing: 2 visible, 1 occluded, 0 absent.
"""

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from rich.table import Table

from occlupose.cameras import Camera
from occlupose.datasets import h36m_images, mupots, synth_scenes, threedpw
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.media import RGB
from occlupose.metrics import people3d
from occlupose.metrics.people3d import GROUPS, LENGTHS, PROTOCOLS, SHARES, Frame, Report, Scores
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton, by_name, convert, convert_weakest

Dataset = Literal["mupots", "3dpw", "h36m", "synth"]
Variant = Literal["official", "smap15", "pyport"]

SPLITS = ("test", "val")
"""Folders of synthetic scenes that are scored, the first that is there, where a dataset has such."""

H36M_EVERY = 64
"""Of Human3.6M's frames (subjects 9 and 11) those whose number this divides are scored, as those do who score single
pictures.
"""

UNITS = {"m": 1.0, "mm": 0.001}
"""Of files of predictions, in metres."""

SHARE = 1 / 24
"""Of a picture's longer side, within which a joint counts for a match by the protocol `crowd` (ours)."""

ALL = "all people"
MATCHED = "matched people"
POOLED = "all joints"
SEQUENCES = "mean of sequences"
SUBSET = "all joints of 3DPW-OCC"

_CURE = "write it as occlupose.evaluation.people3d says"


Predictor = Callable[[RGB, Camera | None], Detections]
"""Finds everybody in a picture that this camera took, or nobody knows which."""


def load(
    dataset: Dataset, folder: Path, variant: Variant | None = None, sequences: Sequence[str] = ()
) -> tuple[list[ImageSample], people3d.Protocol]:
    """The pictures of a dataset, and the protocol that they are scored by.

    Arguments:
        variant: of MuPoTS-3D's protocol, by default "official"; the others have but one, `people3d.CROWD`.
        sequences: only these; none are all.

    Raises:
        OccluposeError: something of it is missing or damaged, or it has neither variants nor sequences.
    """
    if dataset != "mupots" and variant is not None:
        raise OccluposeError(f"variant {variant}: {dataset} has none; leave it out, or score mupots")
    if dataset in ("synth", "h36m"):
        if sequences:
            raise OccluposeError(
                f"sequences {', '.join(sequences)}: {dataset} has none; leave them out, or score mupots or 3dpw"
            )
        if dataset == "synth":
            folder = next((folder / split for split in SPLITS if synth_scenes.has_scenes(folder / split)), folder)
        samples = (
            synth_scenes.load(folder)
            if dataset == "synth"
            else h36m_images.load(folder, subjects=h36m_images.TEST, every=H36M_EVERY)
        )
        return _with_names(folder, samples), people3d.CROWD
    if dataset == "3dpw":
        return threedpw.load(folder, sequences), people3d.CROWD
    protocol = PROTOCOLS[variant or "official"]
    return mupots.load(folder, sequences, universal=protocol.universal), protocol


def _with_names(folder: Path, samples: Sequence[ImageSample]) -> list[ImageSample]:
    """The samples, each with a name of its own.

    Raises:
        OccluposeError: two images have one name, or an image has no camera.
    """
    result = []
    names = set()
    for number, sample in enumerate(samples):
        name = sample.name or f"scene {number}"
        if name in names:
            raise OccluposeError(
                f"{folder}: two images are called {name}; give a folder in which each has a name of its own"
            )
        names.add(name)
        if sample.camera is None:
            raise OccluposeError(
                f"{folder}: {name}: its camera is unknown, so it has no 3D truth; give a dataset with cameras"
            )
        result.append(replace(sample, name=name))
    return result


# ------------------------------------------------------------------------------------ predictions


@dataclass(frozen=True, eq=False)
class People:
    """Whom somebody found in one picture, in some skeleton; NaN where a joint is absent.

    Attributes:
        xy: px.
        xyz: m, camera frame.
        score: of joints.
        state: 2 visible, 1 occluded, 0 absent.
    """

    xy: Float[np.ndarray, "person joint 2"]
    xyz: Float[np.ndarray, "person joint 3"]
    score: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]

    def __len__(self) -> int:
        return len(self.xy)

    def to(self, source: Skeleton, target: Skeleton) -> "People":
        """The same people in another skeleton."""
        xy = convert(self.xy, source, target)
        xyz = convert(self.xyz, source, target)
        return People(xy, xyz, convert_weakest(self.score, source, target), convert_weakest(self.state, source, target))


@dataclass(frozen=True, eq=False)
class Predictions:
    """Whom somebody found in pictures.

    Attributes:
        skeleton: of all of them.
        people: by the pictures' names.
    """

    skeleton: Skeleton
    people: dict[str, People]

    @classmethod
    def load(cls, path: Path, truths: Sequence[ImageSample]) -> "Predictions":
        """Those of a file for these pictures; others in it are left alone.

        Raises:
            OccluposeError: the file cannot be read, contradicts itself, or lacks a picture.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except OSError as error:
            raise OccluposeError(
                f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give an .npz of predictions"
            ) from error
        except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise OccluposeError(f"{path}: not a whole .npz of plain arrays; {_CURE}") from error
        skeleton, people = _checked(path, content)
        missing = [truth.name for truth in truths if truth.name not in people]
        if missing:
            wrong = f"lacks {len(missing)} of {len(truths)} pictures, first {missing[0]}"
            raise OccluposeError(f"{path}: {wrong}; name every picture, with 0 people where nobody was found")
        return cls(skeleton, {truth.name: people[truth.name] for truth in truths})

    def save(self, path: Path) -> None:
        """Write them as an .npz that `load` reads.

        Raises:
            OccluposeError: it could not be written.
        """
        joints = len(self.skeleton)
        everybody = list(self.people.values())
        shapes = {"xy": (joints, 2), "xyz": (joints, 3), "score": (joints,), "state": (joints,)}
        arrays = {
            name: (
                np.concatenate([np.zeros((0, *shape)), *(getattr(some, name) for some in everybody)]).astype(
                    np.uint8 if name == "state" else np.float32
                )
            )
            for name, shape in shapes.items()
        }
        names = np.array(list(self.people), str)
        counts = np.array([len(some) for some in everybody], np.int64)
        with atomic(path) as temporary, temporary.open("wb") as file:
            arrays |= {
                "picture": names,
                "people": counts,
                "skeleton": np.array(self.skeleton.name),
                "unit": np.array("m"),
            }
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _checked(path: Path, content: dict[str, Any]) -> tuple[Skeleton, dict[str, People]]:
    """The joint set and the people of a file, by picture."""
    for name in ("picture", "people", "xyz", "xy", "skeleton", "unit"):
        if name not in content:
            raise OccluposeError(f"{path}: no {name} in it, but {', '.join(content) or 'nothing'}; {_CURE}")
    names = content["picture"]
    counts = content["people"]
    unit = str(content["unit"])
    if (
        names.ndim != 1
        or names.dtype.kind != "U"
        or counts.shape != names.shape
        or counts.dtype.kind not in "iu"
        or (counts < 0).any()
    ):
        raise OccluposeError(f"{path}: picture and people must be names and whole numbers, as many; {_CURE}")
    if len(set(names.tolist())) < len(names):
        twice = next(name for number, name in enumerate(names.tolist()) if name in names[:number])
        raise OccluposeError(f"{path}: {twice} stands in it twice; give each picture once")
    if unit not in UNITS:
        raise OccluposeError(f"{path}: unit {unit}; it must be m or mm")
    try:
        skeleton = by_name(str(content["skeleton"]))
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    total = int(counts.sum())
    joints = len(skeleton)
    xy, xyz = (_numbers(path, name, content[name], (total, joints, size)) for name, size in (("xy", 2), ("xyz", 3)))
    seen = np.isfinite(xy).all(-1)
    score = _numbers(path, "score", content.get("score", np.ones(seen.shape)), seen.shape)
    state = _numbers(path, "state", content.get("state", np.where(seen, VISIBLE, ABSENT)), seen.shape)
    if np.isnan(score).any():
        raise OccluposeError(f"{path}: score has numbers that are not finite; a joint that is not predicted has 0")
    if not np.isin(state, (ABSENT, OCCLUDED, VISIBLE)).all():
        raise OccluposeError(f"{path}: state must be 2 (visible), 1 (occluded) or 0 (absent); {_CURE}")
    ends = np.cumsum(counts)
    return skeleton, {
        name: People(xy[begin:end], xyz[begin:end] * UNITS[unit], score[begin:end], state[begin:end].astype(np.uint8))
        for name, begin, end in zip(names.tolist(), ends - counts, ends, strict=True)
    }


def _numbers(path: Path, name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.shape != shape or values.dtype.kind not in "fiub":
        raise OccluposeError(
            f"{path}: {name} has shape {values.shape} of {values.dtype}; it must be numbers of shape {shape}; {_CURE}"
        )
    if np.isinf(values).any():
        raise OccluposeError(f"{path}: {name} has infinite numbers; a joint that is not predicted is NaN")
    return values.astype(np.float64)


def predict(
    truths: Sequence[ImageSample], predictor: Predictor, progress: Callable[[int], None] = lambda pictures: None
) -> Predictions:
    """Whom a predictor finds in each picture.

    Arguments:
        progress: called with 1 after each picture.

    Raises:
        OccluposeError: a picture cannot be read.
    """
    people = {}
    for truth in truths:
        found = predictor(truth.read(), truth.camera)
        people[truth.name] = People(*(np.asarray(values) for values in (found.xy, found.xyz, found.score, found.state)))
        progress(1)
    return Predictions(MPI15, people)


# --------------------------------------------------------------------------------------- scoring


def score(truths: Sequence[ImageSample], predictions: Predictions, protocol: people3d.Protocol) -> Report:
    """All figures of the predictions.

    Raises:
        OccluposeError: their joints lack the pelvis, which the protocol compares people by.
    """
    skeleton = protocol.skeleton
    known = np.isfinite(convert(np.zeros((len(predictions.skeleton), 1)), predictions.skeleton, skeleton))[:, 0]
    if not known[protocol.root]:
        raise OccluposeError(
            f"predictions in {predictions.skeleton.name} have no pelvis; predict a joint set that has one, as mpi15"
        )
    return Report.score((_frame(truth, predictions, protocol) for truth in truths), protocol)


def _frame(truth: ImageSample, predictions: Predictions, protocol: people3d.Protocol) -> Frame:
    skeleton = protocol.skeleton
    said = predictions.people[truth.name].to(predictions.skeleton, skeleton)
    joints = truth.skeleton.index(*skeleton.joints)
    assert truth.xyz is not None, "a sample that is scored has 3D joints"
    own = people3d.SCORED
    camera = truth.camera
    near = (
        SHARE * max(camera.width, camera.height) if protocol.name == "crowd" and camera is not None else people3d.NEAR
    )
    return Frame(
        xyz=truth.xyz[:, joints],
        xy=truth.xy[:, joints],
        predicted_xyz=said.xyz,
        predicted_xy=said.xy,
        score=said.score[:, skeleton.index(*own)].mean(-1),
        hidden=truth.state[:, joints] == OCCLUDED if truth.occlusion_annotated else None,
        sequence=truth.sequence,
        near=near,
    )


def notes(dataset: Dataset, truths: Sequence[ImageSample], predictions: Predictions, report: Report) -> list[str]:
    """Lines to read the figures by: how much was scored and how, and what the protocol has besides."""
    protocol = report.protocol
    people = report.pooled().people
    lines = [
        f"{dataset}, {protocol.name}: {report.pictures:,} pictures, {people:,} people, {report.found:,} of them"
        f" matched; {report.predictions:,} predictions"
    ]
    if not np.isnan(report.root_ap):
        lines.append(
            f"average precision of the root within 250 mm: {100 * report.root_ap:.1f} %; the rest lets wrong"
            " predictions go free"
        )
    if protocol.rescales:
        lines.append(
            "predictions were given the true bone lengths, in the absolute figures too: nothing here says how well"
            " sizes are told"
        )
    if protocol.name == "pyport":
        lines.append(
            "pyport: figures of some Python ports of the evaluation, which match and rescale otherwise; official and"
            " smap15 differ"
        )
    made = np.isfinite(convert(np.zeros((len(predictions.skeleton), 1)), predictions.skeleton, protocol.skeleton))[:, 0]
    if protocol.name == "official" and "spine" not in predictions.skeleton.joints and made[MUPOTS17.index("spine")[0]]:
        lines.append(
            "the predictions have no spine, so it was put halfway between pelvis and neck; smap15 does without it"
        )
    predicted = report.pooled(True)["predicted"]
    if predicted < 1:
        counted = "left out of mean errors" if protocol.lacking is None else f"errors of {protocol.lacking:.0f} mm"
        lines.append(
            f"joints of matched people that are not predicted, which are nowhere right, and {counted}:"
            f" {1 - predicted:.1%}"
        )
    lacking = [joint for joint in people3d.SCORED if not made[protocol.skeleton.index(joint)[0]]]
    if lacking:
        lines.append(f"joints that the predictions never have: {', '.join(lacking)}")
    if dataset == "mupots":
        absent = [name for name in mupots.SEQUENCES if name not in report.sequences]
        if absent:
            lines.append(f"not the whole protocol, so the means are others: no {', '.join(absent)}")
        if any(truth.camera is not None and truth.camera.assumed for truth in truths):
            lines.append(
                "cameras were estimated from annotations that they do not fit well; give mupots_intrinsics.json"
            )
    if dataset == "3dpw":
        lines.append("head_top is SMPL's head joint, below the top of the head; who is occluded nobody says")
    return lines


# ---------------------------------------------------------------------------------------- tables


def rows(report: Report) -> Iterator[tuple[str, str, Scores]]:
    """Every line of a report: of whom ("all people", "matched people"), what it is of (a mean or a sequence), and the
    figures.
    """
    named = [name for name in report.sequences if name]
    occluded = [name for name in named if threedpw.belongs(name)]
    for people, matched in ((ALL, False), (MATCHED, True)):
        if named:
            yield people, SEQUENCES, report.over_sequences(matched)
        yield people, POOLED, report.pooled(matched)
        if occluded:
            yield people, SUBSET, report.pooled(matched, occluded)
        for name in named:
            yield people, name, report.pooled(matched, [name])


def tables(report: Report) -> list[Table]:
    """The lines of a report for the terminal, shares in percent and errors in mm; a dash is for nothing to score."""
    lines = list(rows(report))
    name = report.protocol.name
    of_many = (SEQUENCES, POOLED, SUBSET)
    means, singles = ([line for line in lines if (line[1] in of_many) == chosen] for chosen in (True, False))
    shares = tuple(column for column in SHARES if column != "AUC_abs")
    result = [
        _table(f"{name}: right joints, and pairs of people in the right order, %", means, shares),
        _table(f"{name}: mean errors, mm", [line for line in means if line[0] == MATCHED], LENGTHS),
        _table(f"{name}: PCK by joint, %", means, tuple(GROUPS)),
    ]
    if singles:
        result.append(
            _table(
                f"{name}: by sequence, %, and errors in mm",
                singles,
                ("PCK", "PCK_abs", "PCK_occ", "PCK_vis", "MPJPE", "PA-MPJPE"),
            )
        )
    return result


def _table(title: str, lines: Sequence[tuple[str, str, Scores]], columns: Sequence[str]) -> Table:
    table = Table("of", "people", title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for people, of, scores in lines:
        shown = (_shown(column, scores[column]) for column in columns)
        table.add_row(f"{people.removesuffix(' people')}, {of}", str(scores.people), *shown)
    return table


def _shown(column: str, value: float) -> str:
    return "-" if np.isnan(value) else f"{value if column in LENGTHS else 100 * value:.1f}"


def write_csv(report: Report, path: Path, *, dataset: str, predictions: str) -> None:
    """Writes every line of a report: shares of 1, lengths in mm, empty where there is nothing to score.

    Arguments:
        dataset, predictions: what was scored, and whose predictions.

    Raises:
        OccluposeError: it could not be written.
    """
    columns = (*SHARES, *LENGTHS, "predicted", *GROUPS)
    protocol = report.protocol
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        about = ["dataset", "protocol", "rescaled_bones", "predictions", "people", "of", "number"]
        writer.writerow([*about, *(f"{column}_mm" if column in LENGTHS else column for column in columns), "AP_root"])
        for people, of, scores in rows(report):
            row = [dataset, protocol.name, "yes" if protocol.rescales else "no", predictions, people, of, scores.people]
            root_ap = report.root_ap if (people, of) == (ALL, POOLED) else float("nan")
            values = [*(scores[column] for column in columns), root_ap]
            writer.writerow([*row, *("" if np.isnan(value) else f"{value:.6f}" for value in values)])
