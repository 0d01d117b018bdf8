"""Finds and reads the dataset in a folder, which is recognised by the names and content of its files.

`load_dataset` gives image samples of any of these:

- `occlupose synth`: shards/*.tar, or scenes/*.npz beside images/ (`synth_scenes`), with the depth of every joint; in a
  subfolder for each split, or one folder for all.
- Human3.6M with images: annotations/Human36M_subject1_data.json and the like (`h36m_images`).
- MuCo-3DHP: MuCo-3DHP.json (`muco`).
- SMAP's and HUPOR's format: a .json file with a list "root" (`smap`).
- annotations in COCO's format (`coco`), without depth.

`find_dataset` finds the annotations and images of the last ones:

- COCO: annotations/person_keypoints_{train,val}2017.json beside train2017/ and val2017/ (or images/train2017/ ...).
- CrowdPose: json/ or annotations/ with crowdpose_{trainval,train,val,test}.json, beside images/.
- OCHuman: ochuman_coco_format_{val,test}_range_0.00_1.00.json, there or in annotations/, beside images/. It has no
  training split.
- `occlupose synth`: annotations.json beside images/ or shards/; in a subfolder for each split, or one folder for all.
- anything else: one .json file of annotated joints beside its images, or above a folder images/.

"test" is the split that papers report: COCO's val2017, since the annotations of its test are not public, and the test
split of the others.
"""

import itertools
import json
import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from occlupose.datasets.formats import coco, h36m_images, muco, smap, synth_scenes
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import TRIED, first_with_images
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError, naming, unreadable
from occlupose.files import parse_json

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
"""Names of each dataset's annotations, by split; the first one that exists is used."""

FOLDERS = ("", "annotations", "json", "data", "person_detection_results", "detections")
"""Where annotations and detections are, below a dataset's folder."""

KEYS = {"muco": b'"keypoints_cam"', "smap": b'"bodys"', "coco": b'"keypoints"'}
"""The key that tells a format's .json files from those of the formats after it; tried in this order."""

SUPPORTED = (
    "scenes of occlupose synth, Human36M_subject*_data.json, MuCo-3DHP.json, a .json file in SMAP's format, or COCO and"
    " the like"
)

WHOLE_BODY = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts", "foot_valid", "face_valid")
"""Keys of whole-body variants of a file; a file without them is preferred."""

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')

_OPTION = "name the file with --annotations FILE"


@dataclass(frozen=True)
class DatasetPaths:
    """A dataset on disk.

    Attributes:
        folder: that was searched.
        dataset: one of `coco.DATASETS`.
        annotations: .json file.
        images: folder of the images or of .tar shards, or one shard.
        detections: files in COCO's results format, without those named after another split.
    """

    folder: Path
    dataset: str
    annotations: Path
    images: Path
    detections: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A dataset's image samples.

    Attributes:
        format: "synth", "h36m", "muco", "smap" or "coco".
        path: folder or file that it was read from.
        samples: in the order of the dataset.
        report: what was wrong with single people and images.
        description: in its file; "" without.
    """

    format: str
    path: Path
    samples: list[ImageSample]
    report: DataReport
    description: str = ""

    @property
    def about(self) -> str:
        """Format and description."""
        return f"{self.format}, {self.description}" if self.description else self.format


def load_dataset(
    path: Path, split: Literal["train", "val"] = "train", images: Path | None = None, *, strict: bool = False
) -> ImageDataset:
    """The image samples of a folder or a file.

    Arguments:
        path: folder of a dataset, .json file, or .tar shard.
        split: for datasets with splits, SMAP's format and Human3.6M too.
        images: folder of the images, if they are not in the dataset's usual place.
        strict: any problem with any person or image is an error.

    Raises:
        OccluposeError: no known dataset is there, or several files are possible; or as the format's own `load`.
    """
    if not path.exists():
        raise OccluposeError(f"{path}: no such file or folder; give {SUPPORTED}")
    split_folder = path / split
    kind, file = _recognise(split_folder if synth_scenes.has_scenes(split_folder) else path)
    report = DataReport(file, strict)
    description = ""
    if kind == "synth":
        samples = synth_scenes.load(file)
    elif kind == "h36m":
        subjects = h36m_images.TRAIN if split == "train" else h36m_images.TEST
        samples = h36m_images.load(file, images, report, subjects=subjects)
    elif kind == "muco":
        samples = muco.load(file, images, report)
    elif kind == "smap":
        samples = smap.load(file, images, report, split=split if path.is_dir() else None)
    else:
        if images is None or file.is_dir():
            in_folder = file.is_dir()
            paths = find_dataset(file if in_folder else file.parent, split, None if in_folder else file)
            file = paths.annotations
            images = images or paths.images
        people = coco.load(file, images, strict=strict)
        samples = coco.make_samples(people)
        report = people.report
        description = people.ground_truth.description
    return ImageDataset(kind, file, samples, report, description)


def _recognise(path: Path) -> tuple[str, Path]:
    """The format of what is there, and the file or folder to read."""
    if path.suffix == ".tar" or (path.is_dir() and synth_scenes.has_scenes(path)):
        return "synth", path
    if path.is_file():
        kind = _recognise_file(path)
        if kind is None:
            raise OccluposeError(f"{path}: not {SUPPORTED}; give one of these")
        return kind, path
    if h36m_images.find_annotations(path, (*h36m_images.TRAIN, *h36m_images.TEST)) is not None:
        return "h36m", path
    kinds = {file: kind for file in _json_files(path) if (kind := _recognise_file(file)) is not None}
    special = [(kind, file) for file, kind in kinds.items() if kind != "coco"]
    if len(special) > 1:
        names = ", ".join(str(file.relative_to(path)) for _, file in special)
        raise OccluposeError(
            f"{path}: {len(special)} files are possible: {names}; name one of them instead of the folder"
        )
    if special:
        return special[0]
    if not kinds and not any(path.rglob("*.json")):
        raise OccluposeError(f"{path}: no known dataset in it; supported are {SUPPORTED}")
    return "coco", path


def _recognise_file(path: Path) -> str | None:
    """The format of a .json file by its keys; None if it has none of them or is not a JSON object."""
    if not _starts_object(path):
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return next((kind for kind, key in KEYS.items() if content.find(key) >= 0), None)


def find_dataset(folder: Path, split: Split = "train", annotations: Path | None = None) -> DatasetPaths:
    """The annotations and images of a split.

    Arguments:
        folder: of the dataset.
        split: "train", "val" or "test"; a folder with one file of annotations has one for all splits.
        annotations: used in place of those found; images are looked for in the same folders.

    Raises:
        OccluposeError: no such folder; no annotations, or several candidates; none of their images.
    """
    if not folder.is_dir():
        raise OccluposeError(f"{folder}: no such folder; give the folder of a dataset")
    if annotations is None and (folder / split / "annotations.json").is_file():
        folder = folder / split
    path = annotations or _find_known(folder, split) or _find_only(folder, split)
    dataset = _dataset_by_name(path)
    if dataset is None:
        content = _parse_object(path)
        if content is None or not _has_joints(content):
            raise OccluposeError(
                f"{path}: no annotations of joints; give a file in COCO's keypoint format with --annotations FILE"
            )
        dataset = _dataset_by_content(path, content)
    others = [file for file in _json_files(folder) if file != path]
    detections = tuple(file for file in others if _is_detections(file) and _matches_split(file, split))
    return DatasetPaths(folder, dataset, path, _find_image_folder(folder, path), detections)


def _find_known(folder: Path, split: Split) -> Path | None:
    """The file that one of the layouts has for the split; None if the folder has no known layout."""
    candidates = []
    others = []
    for splits in LAYOUTS.values():
        candidates += [path for name in splits[split] for path in _named(folder, name)][:1]
        others += [path.name for names in splits.values() for name in names for path in _named(folder, name)]
    if len(candidates) > 1:
        _refuse_ambiguous(folder, split, candidates)
    if candidates:
        return candidates[0]
    if others:
        wrong = f"no annotations of the split {split}, but {', '.join(dict.fromkeys(others))}"
        raise OccluposeError(f"{folder}: {wrong}; give another split or dataset, or {_OPTION}")
    path = folder / "annotations.json"
    return path if path.is_file() else None


def _named(folder: Path, name: str) -> list[Path]:
    return [path for place in FOLDERS if (path := folder / place / name).is_file()]


def _refuse_ambiguous(folder: Path, split: Split, paths: list[Path]) -> NoReturn:
    names = ", ".join(str(path.relative_to(folder)) for path in paths)
    raise OccluposeError(f"{folder}: {len(paths)} files could be the annotations of {split}: {names}; {_OPTION}")


def _dataset_by_name(path: Path) -> str | None:
    """The dataset of a file that is known by its name or its first lines."""
    for dataset, splits in LAYOUTS.items():
        if any(path.name in names for names in splits.values()):
            return dataset
    return "synth" if b"synthetic people of occlupose" in _first_bytes(path) else None


def _find_only(folder: Path, split: Split) -> Path:
    """The one file of annotated joints in a folder without a known layout.

    A plain file is preferred to whole-body ones, then one with the split in its name.
    """
    contents = {path: _parse_object(path) for path in _json_files(folder)}
    parsed = {path: content for path, content in contents.items() if content is not None and _has_joints(content)}
    plain = [path for path, content in parsed.items() if not _is_whole_body(content)]
    candidates = plain or list(parsed)
    if len(candidates) > 1:
        named = [path for path in candidates if any(word.startswith(split) for word in _words(path))]
        candidates = named or candidates
    if len(candidates) > 1:
        _refuse_ambiguous(folder, split, candidates)
    if not candidates:
        damaged = [path for path, content in contents.items() if content is None and _starts_object(path)]
        if damaged:
            raise OccluposeError(
                f"{damaged[0]}: cannot be read, damaged or cut short; give the whole file, or {_OPTION}"
            )
        cure = f"give the folder of COCO, CrowdPose, OCHuman or the like, or {_OPTION}"
        raise OccluposeError(f"{folder}: no annotations of joints in it; {cure}")
    return candidates[0]


def _json_files(folder: Path) -> list[Path]:
    own = ("manifest.json", "settings.json")
    return [
        path
        for place in FOLDERS
        for path in sorted((folder / place).glob("*.json"))
        if path.is_file() and path.name not in own
    ]


def _first_bytes(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        OccluposeError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(4096).lstrip()
    except OSError as error:
        raise unreadable(path, error, "give a file that can be read") from error


def _starts_object(path: Path) -> bool:
    return _first_bytes(path).startswith(b"{")


def _parse_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if it has something else."""
    if not _starts_object(path):
        return None
    try:
        content = parse_json(path.read_bytes())
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _has_joints(content: dict[str, Any]) -> bool:
    """Whether a file has one category with the joints of a known skeleton, and a person with that many keypoints."""
    try:
        joints = [category["keypoints"] for category in content["categories"] if category.get("keypoints")]
        if len(joints) != 1:
            return False
        coco.find_skeleton(Path("."), joints[0])
        people = (annotation.get("keypoints") for annotation in content["annotations"])
        return any(keypoints and len(keypoints) == 3 * len(joints[0]) for keypoints in people)
    except (KeyError, TypeError, AttributeError, OccluposeError):
        return False


def _is_whole_body(content: dict[str, Any]) -> bool:
    return any(key in annotation for annotation in content["annotations"][:TRIED] for key in WHOLE_BODY)


def _is_detections(path: Path) -> bool:
    """Whether a file begins as a list of boxes with scores, without keypoints."""
    start = _first_bytes(path)
    first = start.partition(b"}")[0]
    return start.startswith(b"[") and b'"bbox"' in first and b'"score"' in first and b'"keypoints"' not in first


def _matches_split(path: Path, split: Split) -> bool:
    """Whether a file's name has this split in it, or none."""
    prefixes = {"train": ("train",), "val": ("val",), "test": ("test", "val2017")}
    named = [each for each, begins in prefixes.items() if any(word.startswith(begins) for word in _words(path))]
    return not named or split in named


def _words(path: Path) -> list[str]:
    """The words of a file's name."""
    return re.split(r"[^a-z0-9]+", path.stem.lower())


def _find_image_folder(folder: Path, annotations: Path) -> Path:
    """The first of the usual folders that has any of the first annotated images."""
    matches = itertools.islice(_FILE_NAME.finditer(annotations.read_bytes()), TRIED)
    try:
        names = [str(json.loads(match.group(1))) for match in matches]  # without parsing the whole file
    except ValueError as error:
        raise unreadable(annotations, error, "write the annotations again") from error
    year = [part for part in annotations.stem.split("_") if part in ("train2017", "val2017")]
    places = [*(place for part in year for place in (part, f"images/{part}")), "images", "shards", ""]
    roots = (folder, annotations.parent, annotations.parent.parent)
    with naming(annotations):
        found = first_with_images((root / place for root in roots for place in places), names)
    if found is not None:
        return found.folder
    tried = ", ".join(f"{place}/" if place else "the folder itself" for place in places)
    first = names[0] if names else "any"
    raise OccluposeError(
        f"{folder}: no image of {annotations.name} in it: no {first} in {tried}; give the folder that holds its images"
    )


def _dataset_by_content(path: Path, content: dict[str, Any]) -> str:
    joints = next(category["keypoints"] for category in content["categories"] if category.get("keypoints"))
    return coco.identify_dataset(path, coco.find_skeleton(path, joints), content.get("info"))
