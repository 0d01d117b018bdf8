"""Evaluates multi-person absolute 3D pose in images: MuPoTS-3D, 3DPW, Human3.6M and our synthetic scenes.

Predictions of other methods can be scored from an .npz file that holds the people of all images, one image after
another:

- `picture` (image): names, such as "TS1/img_000000.jpg", "downtown_stairs_00/image_00000.jpg", or the file's name in a
  folder of `occlupose synth`;
- `people` (image): number of people predicted in each image, 0 for none;
- `xyz` (person, joint, 3): camera frame, x right, y down, z forward; NaN where a joint is not predicted;
- `xy` (person, joint, 2): pixels, pixel centres at integers; NaN where a joint is absent;
- `skeleton`: "mpi15", "mupots17" or another of our skeletons; `unit`: of `xyz`, "m" or "mm";
- `score` (person, joint), optional (default 1): a person's score is the mean over its scored joints;
- `state` (person, joint), optional: 2 visible, 1 occluded, 0 absent.
"""

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from rich.table import Table

from occlupose.cameras import Camera
from occlupose.datasets.formats import h36m_images, mupots, synth_scenes, threedpw
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic
from occlupose.media import RGB
from occlupose.metrics import people3d
from occlupose.metrics.people3d import (
    JOINT_GROUPS,
    LENGTHS,
    MPI15_PROTOCOL,
    PROTOCOLS,
    SHARES,
    MuPoTSProtocol,
    MuPoTSReport,
    MuPoTSScores,
    ScoredImage,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton, by_name, convert

Dataset = Literal["mupots", "3dpw", "h36m", "synth"]
ProtocolName = Literal["official", "smap15", "gntcn"]

SPLITS = ("test", "val")
"""Folders of synthetic scenes that are scored: the first that exists, where a dataset has them."""

H36M_EVERY = 64
"""Human3.6M (subjects 9 and 11): every n-th frame is scored, as is usual for single images."""

UNITS = {"m": 1.0, "mm": 0.001}
"""Units of prediction files, in metres."""

MATCH_RADIUS_SHARE = 1 / 24
"""Share of an image's longer side within which a joint counts for a match in the protocol `mpi15` (ours)."""

ALL = "all"
MATCHED = "matched"
POOLED = "all joints"
SEQUENCES = "mean of sequences"
SUBSET = "all joints of 3DPW-OCC"

_HINT = "write it as occlupose.evaluation.people3d describes"

ImagePredictor = Callable[[RGB, Camera | None], Detections]
"""Predicts the people in an image with a known camera, or with an unknown one."""


def load_samples(
    dataset: Dataset, folder: Path, protocol: ProtocolName | None = None, sequences: Sequence[str] = ()
) -> tuple[list[ImageSample], MuPoTSProtocol]:
    """The images of a dataset, and the protocol to score them by.

    Arguments:
        protocol: for MuPoTS-3D, by default "official"; the other datasets have only `mpi15`.
        sequences: only these; all if empty.

    Raises:
        OccluposeError: data are missing or damaged, or the dataset has no such protocol or no sequences.
    """
    if dataset != "mupots" and protocol is not None:
        raise OccluposeError(f"protocol {protocol}: is for mupots, not for {dataset}; leave it out")
    if dataset in ("synth", "h36m"):
        if sequences:
            raise OccluposeError(
                f"sequences {', '.join(sequences)}: {dataset} has none; leave them out, or score mupots or 3dpw"
            )
        if dataset == "synth":
            folder = next((folder / split for split in SPLITS if synth_scenes.has_scenes(folder / split)), folder)
            samples = synth_scenes.load(folder)
        else:
            samples = h36m_images.load(folder, subjects=h36m_images.TEST, every=H36M_EVERY)
        return _with_names(folder, samples), MPI15_PROTOCOL
    if dataset == "3dpw":
        return threedpw.load(folder, sequences), MPI15_PROTOCOL
    chosen = PROTOCOLS[protocol or "official"]
    return mupots.load(folder, sequences, universal=chosen.universal), chosen


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


@dataclass(frozen=True, eq=False)
class ImagePredictions:
    """Predicted people of many images.

    Attributes:
        skeleton: of all of them.
        people: by image name.
    """

    skeleton: Skeleton
    people: dict[str, Detections]

    @classmethod
    def load(cls, path: Path, samples: Sequence[ImageSample]) -> "ImagePredictions":
        """The predictions of a file for these images; other images in it are ignored.

        Raises:
            OccluposeError: the file cannot be read, is inconsistent, or lacks an image.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except OSError as error:
            raise unreadable(path, error, "give an .npz of predictions") from error
        except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise OccluposeError(f"{path}: not a complete .npz of plain arrays; {_HINT}") from error
        skeleton, people = _checked(path, content)
        missing = [sample.name for sample in samples if sample.name not in people]
        if missing:
            wrong = f"lacks {len(missing)} of {len(samples)} images, first {missing[0]}"
            raise OccluposeError(f"{path}: {wrong}; give every image, with 0 people where none was found")
        return cls(skeleton, {sample.name: people[sample.name] for sample in samples})

    def save(self, path: Path) -> None:
        """Writes them as an .npz that `load` reads.

        Raises:
            OccluposeError: the file could not be written.
        """
        joints = len(self.skeleton)
        shapes = {"xy": (joints, 2), "xyz": (joints, 3), "score": (joints,), "state": (joints,)}
        arrays = {}
        for name, shape in shapes.items():
            values = [np.zeros((0, *shape)), *(getattr(people, name) for people in self.people.values())]
            arrays[name] = np.concatenate(values).astype(np.uint8 if name == "state" else np.float32)
        arrays["picture"] = np.array(list(self.people), str)
        arrays["people"] = np.array([len(people) for people in self.people.values()], np.int64)
        arrays["skeleton"] = np.array(self.skeleton.name)
        arrays["unit"] = np.array("m")
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _checked(path: Path, content: dict[str, Any]) -> tuple[Skeleton, dict[str, Detections]]:
    """The skeleton and the people of a file, by image."""
    for name in ("picture", "people", "xyz", "xy", "skeleton", "unit"):
        if name not in content:
            raise OccluposeError(f"{path}: no {name} in it, only {', '.join(content) or 'nothing'}; {_HINT}")
    names = content["picture"]
    counts = content["people"]
    unit = str(content["unit"])
    are_names = names.ndim == 1 and names.dtype.kind == "U"
    are_counts = counts.shape == names.shape and counts.dtype.kind in "iu" and not (counts < 0).any()
    if not (are_names and are_counts):
        raise OccluposeError(f"{path}: picture and people must be as many names and whole numbers; {_HINT}")
    if len(set(names.tolist())) < len(names):
        twice = next(name for number, name in enumerate(names.tolist()) if name in names[:number])
        raise OccluposeError(f"{path}: {twice} is in it twice; give each image once")
    if unit not in UNITS:
        raise OccluposeError(f"{path}: unit {unit}; it must be m or mm")
    try:
        skeleton = by_name(str(content["skeleton"]))
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    total = int(counts.sum())
    joints = len(skeleton)
    xy = _numbers(path, "xy", content["xy"], (total, joints, 2))
    xyz = _numbers(path, "xyz", content["xyz"], (total, joints, 3)) * UNITS[unit]
    known = np.isfinite(xy).all(-1)
    score = _numbers(path, "score", content.get("score", np.ones(known.shape)), known.shape)
    state = _numbers(path, "state", content.get("state", np.where(known, VISIBLE, ABSENT)), known.shape)
    if np.isnan(score).any():
        raise OccluposeError(f"{path}: score has numbers that are not finite; give 0 for a joint that is not predicted")
    if not np.isin(state, (ABSENT, OCCLUDED, VISIBLE)).all():
        raise OccluposeError(f"{path}: state must be 2 (visible), 1 (occluded) or 0 (absent); {_HINT}")
    detections = Detections(skeleton=skeleton, xy=xy, xyz=xyz, score=score, state=state.astype(np.uint8))
    ends = np.cumsum(counts)
    rows = zip(names.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
    return skeleton, {name: detections.select(np.arange(start, end)) for name, start, end in rows}


def _numbers(path: Path, name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.shape != shape or values.dtype.kind not in "fiub":
        raise OccluposeError(
            f"{path}: {name} has shape {values.shape} of {values.dtype}; it must be numbers of shape {shape}; {_HINT}"
        )
    if np.isinf(values).any():
        raise OccluposeError(f"{path}: {name} has infinite numbers; give NaN for a joint that is not predicted")
    return values.astype(np.float64)


def predict(
    samples: Sequence[ImageSample],
    predictor: ImagePredictor,
    progress: Callable[[int], None] = lambda images: None,
) -> ImagePredictions:
    """The people that a predictor finds in each image.

    Arguments:
        progress: called with 1 after each image.

    Raises:
        OccluposeError: an image cannot be read.
    """
    people = {}
    for sample in samples:
        people[sample.name] = predictor(sample.read(), sample.camera)
        progress(1)
    return ImagePredictions(MPI15, people)


def score(samples: Sequence[ImageSample], predictions: ImagePredictions, protocol: MuPoTSProtocol) -> MuPoTSReport:
    """All metrics of the predictions.

    Raises:
        OccluposeError: their skeleton has no pelvis, which the protocol needs.
    """
    if not _available_joints(predictions, protocol)[protocol.root]:
        raise OccluposeError(
            f"predictions in {predictions.skeleton.name} have no pelvis; predict a skeleton with one, such as mpi15"
        )
    return MuPoTSReport.score((_scored_image(sample, predictions, protocol) for sample in samples), protocol)


def _available_joints(predictions: ImagePredictions, protocol: MuPoTSProtocol) -> Bool[np.ndarray, "joint"]:
    """Which joints of the protocol the predictions have, or can be converted to."""
    source = predictions.skeleton
    return np.isfinite(convert(np.zeros((len(source), 1)), source, protocol.skeleton))[:, 0]


def _scored_image(sample: ImageSample, predictions: ImagePredictions, protocol: MuPoTSProtocol) -> ScoredImage:
    skeleton = protocol.skeleton
    predicted = predictions.people[sample.name].to(skeleton)
    joints = sample.skeleton.index(*skeleton.joints)
    assert sample.xyz is not None, "a scored sample has 3D joints"
    assert predicted.xyz is not None, "scored predictions are 3D"
    camera = sample.camera
    radius = people3d.MATCH_RADIUS
    if protocol is MPI15_PROTOCOL and camera is not None:
        radius = MATCH_RADIUS_SHARE * max(camera.width, camera.height)
    return ScoredImage(
        xyz=sample.xyz[:, joints],
        xy=sample.xy[:, joints],
        predicted_xyz=predicted.xyz,
        predicted_xy=predicted.xy,
        score=predicted.score[:, protocol.scored].mean(-1),
        occluded=sample.state[:, joints] == OCCLUDED if sample.occlusion_annotated else None,
        sequence=sample.sequence,
        radius=radius,
    )


def notes(
    dataset: Dataset, samples: Sequence[ImageSample], predictions: ImagePredictions, report: MuPoTSReport
) -> list[str]:
    """Lines that explain the metrics: what was scored and how, and what is missing."""
    protocol = report.protocol
    people = report.pooled().people
    lines = [
        f"{dataset}, {protocol.name}: {report.images:,} images, {people:,} people, {report.matched:,} of them matched;"
        f" {report.predictions:,} predictions"
    ]
    if not np.isnan(report.root_ap):
        root_ap = f"{100 * report.root_ap:.1f} %"
        lines.append(f"average precision of the root within 250 mm: {root_ap}; no other metric counts false positives")
    if protocol.rescales:
        lines.append("predictions were rescaled to the true bone lengths, so also absolute metrics ignore body size")
    if protocol.name == "gntcn":
        lines.append(
            "gntcn: metrics of some Python ports, which match and rescale differently from official and smap15"
        )
    available = _available_joints(predictions, protocol)
    has_spine = "spine" in predictions.skeleton.joints
    if protocol.name == "official" and not has_spine and available[MUPOTS17.index("spine")[0]]:
        lines.append("the predictions have no spine, so the midpoint of pelvis and neck was used; smap15 needs none")
    predicted = report.pooled(True)["predicted"]
    if predicted < 1:
        missing_error = protocol.missing_error
        counted = "left out of mean errors" if missing_error is None else f"errors of {missing_error:.0f} mm"
        lines.append(
            f"joints of matched people that are not predicted, which count as wrong, and {counted}: {1 - predicted:.1%}"
        )
    missing_joints = [joint for joint in people3d.SCORED_JOINTS if not available[protocol.skeleton.index(joint)[0]]]
    if missing_joints:
        lines.append(f"joints that the predictions never have: {', '.join(missing_joints)}")
    if dataset == "mupots":
        missing = [name for name in mupots.SEQUENCES if name not in report.sequences]
        if missing:
            lines.append(f"not the whole protocol, so the means differ: no {', '.join(missing)}")
        if any(sample.camera is not None and sample.camera.assumed for sample in samples):
            lines.append("cameras were estimated from annotations, with a poor fit; give mupots_intrinsics.json")
    if dataset == "3dpw":
        lines.append("head_top is SMPL's head joint, below the top of the head; occlusion is not annotated")
    return lines


def rows(report: MuPoTSReport) -> Iterator[tuple[str, str, MuPoTSScores]]:
    """Every row of a report: which people ("all" or "matched"), the subset (a mean or a sequence), and the metrics."""
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


def tables(report: MuPoTSReport) -> list[Table]:
    """The rows of a report for the terminal, shares in percent and errors in mm; a dash where there is nothing to
    score.
    """
    name = report.protocol.name
    lines = list(rows(report))
    over_many = (SEQUENCES, POOLED, SUBSET)
    means = [line for line in lines if line[1] in over_many]
    by_sequence = [line for line in lines if line[1] not in over_many]
    shares = tuple(column for column in SHARES if column != "AUC_abs")
    result = [
        _table(f"{name}: correct joints, and pairs of people in the correct depth order, %", means, shares),
        _table(f"{name}: mean errors, mm", [line for line in means if line[0] == MATCHED], LENGTHS),
        _table(f"{name}: PCK by joint, %", means, tuple(JOINT_GROUPS)),
    ]
    if by_sequence:
        columns = ("PCK", "PCK_abs", "PCK_occ", "PCK_vis", "MPJPE", "PA-MPJPE")
        result.append(_table(f"{name}: by sequence, %, and errors in mm", by_sequence, columns))
    return result


def _table(title: str, lines: Sequence[tuple[str, str, MuPoTSScores]], columns: Sequence[str]) -> Table:
    table = Table("subset", "people", title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for people, subset, scores in lines:
        cells = (_cell(column, scores[column]) for column in columns)
        table.add_row(f"{people}, {subset}", str(scores.people), *cells)
    return table


def _cell(column: str, value: float) -> str:
    return "-" if np.isnan(value) else f"{value if column in LENGTHS else 100 * value:.1f}"


def write_csv(report: MuPoTSReport, path: Path, *, dataset: str, predictions: str) -> None:
    """Writes every row of a report: shares from 0 to 1, lengths in mm, empty where there is nothing to score.

    Arguments:
        dataset: name of the dataset.
        predictions: name of the predictions.

    Raises:
        OccluposeError: the file could not be written.
    """
    columns = (*SHARES, *LENGTHS, "predicted", *JOINT_GROUPS)
    protocol = report.protocol
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        context = ["dataset", "protocol", "rescaled_bones", "predictions", "scored_people", "subset", "people"]
        metrics = [f"{column}_mm" if column in LENGTHS else column for column in columns]
        writer.writerow([*context, *metrics, "AP_root"])
        rescaled = "yes" if protocol.rescales else "no"
        for people, subset, scores in rows(report):
            root_ap = report.root_ap if (people, subset) == (ALL, POOLED) else float("nan")
            values = [*(scores[column] for column in columns), root_ap]
            cells = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
            writer.writerow([dataset, protocol.name, rescaled, predictions, people, subset, scores.people, *cells])
