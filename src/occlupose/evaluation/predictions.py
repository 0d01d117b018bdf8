"""Predictions in files, to score those of other methods, or once more. Two kinds of .npz:

Of sequences (`SequencePredictions`): `skeleton`, the name of a joint set, and one array for each sequence under its
name ("S9/Walking 1/54138969"): (time, joint, 3), metres, camera axes, with any origin (poses are compared relative to
their root).

Of images (`ImagePredictions`), the people of all images, one image after another:

- `picture` (image): names, such as "TS1/img_000000.jpg", "downtown_stairs_00/image_00000.jpg", or the file's name in a
  folder of `occlupose synth`;
- `people` (image): number of people predicted in each image, 0 for none;
- `xyz` (person, joint, 3): camera frame, x right, y down, z forward; NaN where a joint is not predicted;
- `xy` (person, joint, 2): pixels, pixel centres at integers; NaN where a joint is absent;
- `skeleton`: "mpi15", "mupots17" or another of our skeletons; `unit`: of `xyz`, "m" or "mm";
- `score` (person, joint), optional (default 1): a person's score is the mean over its scored joints;
- `state` (person, joint), optional: 2 visible, 1 occluded, 0 absent.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from jaxtyping import Float

from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.sequence import PoseSequence
from occlupose.detections import Detections
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic
from occlupose.npz import open_npz
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton, by_name

UNITS = {"m": 1.0, "mm": 0.001}
"""Units of files of images, in metres."""

_HINT = "write it as occlupose.evaluation.predictions describes"

P = TypeVar("P")


@dataclass(frozen=True, eq=False)
class Predictions(ABC, Generic[P]):
    """Predictions of a dataset. They are a `Predictor`: called with samples, they yield theirs.

    Attributes:
        skeleton: of all of them.
        by_sample: the predictions, by the samples' names.
    """

    SAMPLES: ClassVar[str]
    """What the samples are, in messages."""
    CURE: ClassVar[str]
    """What to do if some are missing."""

    skeleton: Skeleton
    by_sample: dict[str, P] = field(default_factory=dict)

    def add(self, sample: Any, prediction: P) -> None:
        """Adds the prediction of one sample."""
        self.by_sample[sample.name] = prediction

    def __call__(self, samples: Sequence[Any]) -> Iterator[tuple[Any, P]]:
        """The samples with their predictions."""
        return ((sample, self.by_sample[sample.name]) for sample in samples)

    def save(self, path: Path) -> None:
        """Writes them as an .npz that `load` reads.

        Raises:
            OccluposeError: the file could not be written.
        """
        arrays = {"skeleton": np.array(self.skeleton.name), **self._arrays()}
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, samples: Sequence[Any]) -> Self:
        """The predictions of a file for these samples; others in it are ignored.

        Raises:
            OccluposeError: the file cannot be read, is inconsistent, or lacks a sample.
        """
        try:
            with open_npz(path) as file:
                if "skeleton" not in file:
                    raise OccluposeError(f"{path}: no skeleton in it; add the name of the joint set, such as h36m17")
                try:
                    skeleton = by_name(str(file["skeleton"]))
                except OccluposeError as error:
                    raise OccluposeError(f"{path}: {error}") from error
                by_sample = cls._read(path, file, skeleton, samples)
        except OSError as error:
            raise unreadable(path, error, "give an .npz of predictions") from error
        except ValueError as error:
            raise OccluposeError(f"{path}: not a complete .npz of plain arrays ({error}); {_HINT}") from error
        missing = [sample.name for sample in samples if sample.name not in by_sample]
        if missing:
            wrong = f"lacks {len(missing)} of {len(samples)} {cls.SAMPLES}, first {missing[0]}"
            cure = cls.CURE if len(missing) < len(samples) else "give predictions of this dataset"
            raise OccluposeError(f"{path}: {wrong}; {cure}")
        return cls(skeleton, {sample.name: by_sample[sample.name] for sample in samples})

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What is written, besides the skeleton."""

    @classmethod
    @abstractmethod
    def _read(cls, path: Path, file: Mapping[str, Any], skeleton: Skeleton, samples: Sequence[Any]) -> dict[str, P]:
        """The predictions in an open file, by name."""


class SequencePredictions(Predictions[Float[np.ndarray, "time joint 3"]]):
    """3D poses of sequences, metres, camera axes; NaN where a joint is not predicted and so not scored."""

    SAMPLES = "sequences"
    CURE = "predict every sequence"

    def _arrays(self) -> dict[str, np.ndarray]:
        return self.by_sample

    @classmethod
    def _read(
        cls, path: Path, file: Mapping[str, Any], skeleton: Skeleton, samples: Sequence[PoseSequence]
    ) -> dict[str, Float[np.ndarray, "time joint 3"]]:
        result = {}
        for sequence in samples:
            if sequence.name in file:
                where = f"{path}: {sequence.name}"
                xyz = file[sequence.name]
                wanted = (len(sequence.poses), len(skeleton), 3)
                if xyz.shape != wanted or xyz.dtype.kind not in "fiu":
                    wrong = f"shape {xyz.shape}; it must be {wanted} for this sequence in {skeleton.name}"
                    raise OccluposeError(f"{where}: {wrong}")
                if np.isinf(xyz).any():
                    raise OccluposeError(f"{where}: infinite positions; give NaN for a joint that is not predicted")
                result[sequence.name] = xyz
        return result


class ImagePredictions(Predictions[Detections]):
    """The people in images, with 3D joints."""

    SAMPLES = "images"
    CURE = "give every image, with 0 people where none was found"

    def _arrays(self) -> dict[str, np.ndarray]:
        joints = len(self.skeleton)
        shapes = {"xy": (joints, 2), "xyz": (joints, 3), "score": (joints,), "state": (joints,)}
        arrays = {}
        for name, shape in shapes.items():
            values = [np.zeros((0, *shape)), *(getattr(people, name) for people in self.by_sample.values())]
            arrays[name] = np.concatenate(values).astype(np.uint8 if name == "state" else np.float32)
        arrays["picture"] = np.array(list(self.by_sample), str)
        arrays["people"] = np.array([len(people) for people in self.by_sample.values()], np.int64)
        arrays["unit"] = np.array("m")
        return arrays

    @classmethod
    def _read(
        cls, path: Path, file: Mapping[str, Any], skeleton: Skeleton, samples: Sequence[ImageSample]
    ) -> dict[str, Detections]:
        content = dict(file)
        for name in ("picture", "people", "xyz", "xy", "unit"):
            if name not in content:
                raise OccluposeError(f"{path}: no {name} in it; {_HINT}")
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
        total = int(counts.sum())
        joints = len(skeleton)
        xy = _numbers(path, "xy", content["xy"], (total, joints, 2))
        xyz = _numbers(path, "xyz", content["xyz"], (total, joints, 3)) * UNITS[unit]
        known = np.isfinite(xy).all(-1)
        score = _numbers(path, "score", content.get("score", np.ones(known.shape)), known.shape)
        state = _numbers(path, "state", content.get("state", np.where(known, VISIBLE, ABSENT)), known.shape)
        if np.isnan(score).any():
            raise OccluposeError(
                f"{path}: score has numbers that are not finite; give 0 for a joint that is not predicted"
            )
        if not np.isin(state, (ABSENT, OCCLUDED, VISIBLE)).all():
            raise OccluposeError(f"{path}: state must be 2 (visible), 1 (occluded) or 0 (absent); {_HINT}")
        detections = Detections(skeleton=skeleton, xy=xy, xyz=xyz, score=score, state=state.astype(np.uint8))
        ends = np.cumsum(counts)
        rows = zip(names.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
        return {name: detections.select(np.arange(start, end)) for name, start, end in rows}


def _numbers(path: Path, name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.shape != shape or values.dtype.kind not in "fiub":
        raise OccluposeError(
            f"{path}: {name} has shape {values.shape} of {values.dtype}; it must be numbers of shape {shape}; {_HINT}"
        )
    if np.isinf(values).any():
        raise OccluposeError(f"{path}: {name} has infinite numbers; give NaN for a joint that is not predicted")
    return values.astype(np.float64)
