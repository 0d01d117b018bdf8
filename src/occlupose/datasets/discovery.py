"""Where in a folder a dataset's annotations and pictures are, as its makers lay it out.

- COCO: annotations/person_keypoints_{train,val}2017.json beside train2017/ and val2017/ (or images/train2017/ ...).
- CrowdPose: json/ or annotations/ with crowdpose_{trainval,train,val,test}.json, beside images/.
- OCHuman: ochuman_coco_format_{val,test}_range_0.00_1.00.json, there or in annotations/, beside images/. It has nothing
  to train on.
- `occlupose synth`: annotations.json beside images/ or shards/; in a folder of its own for each split, or one for all.
- anything else: one .json file of annotated joints beside its pictures, or above a folder images/.

"test" is what papers give figures of: COCO's val2017, since the annotations of its test are not public, and the test of
the others.
"""

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from occlupose.datasets.coco import dataset_of, skeleton_of
from occlupose.datasets.images import ImageIndex
from occlupose.errors import OccluposeError

Split = Literal["train", "val", "test"]

LAYOUTS: dict[str, dict[Split, tuple[str, ...]]] = {
    "coco": {
        "train": ("person_keypoints_train2017.json",),
        "val": ("person_keypoints_val2017.json",),
        "test": ("person_keypoints_val2017.json",),
    },
    "crowdpose": {
        "train": ("crowdpose_trainval.json", "crowdpose_train.json"),
        "val": ("crowdpose_val.json",),
        "test": ("crowdpose_test.json",),
    },
    "ochuman": {
        "train": (),
        "val": ("ochuman_coco_format_val_range_0.00_1.00.json",),
        "test": ("ochuman_coco_format_test_range_0.00_1.00.json",),
    },
}
"""Names of each dataset's annotations, by split; the first that is there is taken."""

FOLDERS = ("", "annotations", "json", "person_detection_results", "detections")
"""Where annotations and detections lie, below a dataset's folder."""

WHOLE_BODY = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts", "foot_valid", "face_valid")
"""What people have in whole-body variants of a file, which stand behind the plain one."""

SHOWN = 20
"""Annotated pictures that are looked for in a folder before it is taken to be another's."""

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')

_OPTION = "name the file with --annotations FILE"


@dataclass(frozen=True)
class DatasetPaths:
    """A dataset on disk.

    Attributes:
        folder: that was looked into.
        dataset: one of `coco.DATASETS`.
        annotations: .json file.
        images: folder of the pictures, of .tar shards with them, or one shard.
        detections: files in COCO's results format that lie there, as far as their names do not speak of another split.
    """

    folder: Path
    dataset: str
    annotations: Path
    images: Path
    detections: tuple[Path, ...]


def find_dataset(folder: Path, split: Split = "train", annotations: Path | None = None) -> DatasetPaths:
    """The annotations and pictures of a split.

    Arguments:
        folder: of the dataset.
        split: "train", "val" or "test"; a folder with one file of annotations has one for all of them.
        annotations: that are to be used instead of those found; pictures are looked for in the same places.

    Raises:
        OccluposeError: no such folder; no annotations, or several that could be meant; no picture of theirs.
    """
    if not folder.is_dir():
        raise OccluposeError(f"{folder}: no such folder; give the folder of a dataset")
    if annotations is None and (folder / split / "annotations.json").is_file():
        folder = folder / split
    path = annotations or _find_known(folder, split) or _find_only(folder, split)
    dataset = _dataset_by_name(path)
    if dataset is None:
        content = _parsed(path)
        if content is None or not _has_joints(content):
            raise OccluposeError(
                f"{path}: no annotations of joints; give a file in COCO's keypoint format with --annotations FILE"
            )
        dataset = _dataset(path, content)
    images = _images(folder, path)
    found = tuple(each for each in _files(folder) if each != path and _is_detections(each) and _of_split(each, split))
    return DatasetPaths(folder, dataset, path, images, found)


def _find_known(folder: Path, split: Split) -> Path | None:
    """The file that a layout has for the split; None where the folder has none of the layouts."""
    of_split = []
    of_others = []
    for splits in LAYOUTS.values():
        wanted = [path for name in splits[split] for path in _named(folder, name)]
        of_split += wanted[:1]
        of_others += [path.name for names in splits.values() for name in names for path in _named(folder, name)]
    if len(of_split) > 1:
        _ambiguous(folder, split, of_split)
    if of_split:
        return of_split[0]
    if of_others:
        there = ", ".join(dict.fromkeys(of_others))
        raise OccluposeError(
            f"{folder}: no annotations of the split {split}, but {there}; give another split or dataset, or {_OPTION}"
        )
    path = folder / "annotations.json"
    return path if path.is_file() else None


def _named(folder: Path, name: str) -> list[Path]:
    return [path for place in FOLDERS if (path := folder / place / name).is_file()]


def _ambiguous(folder: Path, split: Split, paths: list[Path]) -> NoReturn:
    names = ", ".join(str(path.relative_to(folder)) for path in paths)
    raise OccluposeError(f"{folder}: {len(paths)} files could be the annotations of {split}: {names}; {_OPTION}")


def _dataset_by_name(path: Path) -> str | None:
    """The dataset of a file that says so by its name or in its first lines."""
    for dataset, splits in LAYOUTS.items():
        if any(path.name in names for names in splits.values()):
            return dataset
    return "synth" if b"synthetic people of occlupose" in _start(path) else None


def _find_only(folder: Path, split: Split) -> Path:
    """The one file of annotated joints in a folder of no known layout: a plain one before whole-body ones, one whose
    name has the split.
    """
    parsed = {
        path: content for path in _files(folder) if (content := _parsed(path)) is not None and _has_joints(content)
    }
    plain = [path for path, content in parsed.items() if not _has_whole_body(content)]
    left = plain or list(parsed)
    if len(left) > 1:
        left = [path for path in left if any(word.startswith(split) for word in _words(path))] or left
    if len(left) > 1:
        _ambiguous(folder, split, left)
    if not left:
        damaged = [path for path in _files(folder) if _start(path).startswith(b"{") and _parsed(path) is None]
        if damaged:
            raise OccluposeError(
                f"{damaged[0]}: cannot be read, damaged or cut short; give the whole file, or {_OPTION}"
            )
        raise OccluposeError(
            f"{folder}: no annotations of joints in it; give the folder of COCO, CrowdPose, OCHuman or the like, or"
            f" {_OPTION}"
        )
    return left[0]


def _files(folder: Path) -> list[Path]:
    own = ("manifest.json", "settings.json")
    return [
        path
        for place in FOLDERS
        for path in sorted((folder / place).glob("*.json"))
        if path.is_file() and path.name not in own
    ]


def _start(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        OccluposeError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(4096).lstrip()
    except OSError as error:
        raise OccluposeError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); {_OPTION}") from error


def _parsed(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is something else."""
    if not _start(path).startswith(b"{"):
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _has_joints(content: dict[str, Any]) -> bool:
    """Whether a file has one category with the joints of a known skeleton, and somebody whose keypoints are as many."""
    try:
        joints = [category["keypoints"] for category in content["categories"] if category.get("keypoints")]
        if len(joints) != 1:
            return False
        skeleton_of(Path("."), joints[0])
        people = (annotation.get("keypoints") for annotation in content["annotations"])
        return any(keypoints and len(keypoints) == 3 * len(joints[0]) for keypoints in people)
    except (KeyError, TypeError, AttributeError, OccluposeError):
        return False


def _has_whole_body(content: dict[str, Any]) -> bool:
    return any(key in annotation for annotation in content["annotations"][:SHOWN] for key in WHOLE_BODY)


def _is_detections(path: Path) -> bool:
    """Whether a file begins as a list of boxes with scores, without joints."""
    start = _start(path)
    first = start.partition(b"}")[0]
    return start.startswith(b"[") and b'"bbox"' in first and b'"score"' in first and b'"keypoints"' not in first


def _of_split(path: Path, split: Split) -> bool:
    """Whether a name speaks of this split, or of none."""
    names = {"train": ("train",), "val": ("val",), "test": ("test", "val2017")}
    said = [each for each, begins in names.items() if any(word.startswith(begins) for word in _words(path))]
    return not said or split in said


def _words(path: Path) -> list[str]:
    """Of a file's name."""
    return re.split(r"[^a-z0-9]+", path.stem.lower())


def _images(folder: Path, annotations: Path) -> Path:
    """The first of the usual places that has any of the file's first pictures."""
    found = itertools.islice(_FILE_NAME.finditer(annotations.read_bytes()), SHOWN)
    names = [str(json.loads(name.group(1))) for name in found]  # the file may be large, and need not be read for this
    year = [part for part in annotations.stem.split("_") if part in ("train2017", "val2017")]
    places = [*(place for part in year for place in (part, f"images/{part}")), "images", "shards", ""]
    around = dict.fromkeys(
        root / place for root in (folder, annotations.parent, annotations.parent.parent) for place in places
    )
    for place in around:
        if place.is_dir() and any(ImageIndex(place).find(name) for name in names):
            return place
    looked = ", ".join(f"{place}/" if place else "the folder itself" for place in places)
    first = names[0] if names else "any"
    raise OccluposeError(
        f"{folder}: no picture of {annotations.name} in it: no {first} in {looked}; give the folder that holds its"
        " pictures"
    )


def _dataset(path: Path, content: dict[str, Any]) -> str:
    joints = next(category["keypoints"] for category in content["categories"] if category.get("keypoints"))
    return dataset_of(path, skeleton_of(path, joints), content.get("info"))
