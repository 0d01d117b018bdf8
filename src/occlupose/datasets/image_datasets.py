"""Image samples of whatever dataset is in a folder, recognised by the names and content of its files.

- `occlupose synth`: shards/*.tar, or scenes/*.npz beside images/ (`synth_scenes`), with the depth of every joint; in a
  subfolder for each split, or one folder for all.
- Human3.6M with images: annotations/Human36M_subject1_data.json and the like (`h36m_images`).
- MuCo-3DHP: MuCo-3DHP.json (`muco`).
- SMAP's and HUPOR's format: a .json file with a list "root" (`smap`).
- COCO, CrowdPose, OCHuman and the like, as `discovery` finds them (`coco`), without depth.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from occlupose.datasets import discovery
from occlupose.datasets.formats import coco, h36m_images, muco, smap, synth_scenes
from occlupose.datasets.image_samples import ImageSample, from_coco
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError

ImageFormat = Literal["synth", "h36m", "muco", "smap", "coco"]

KEYS: dict[ImageFormat, bytes] = {"muco": b'"keypoints_cam"', "smap": b'"bodys"', "coco": b'"keypoints"'}
"""The key that tells a format's .json files from those of the formats after it; tried in this order."""

FOLDERS = ("", "annotations", "data")
"""Where .json files are, below a dataset's folder."""

SUPPORTED = (
    "scenes of occlupose synth, Human36M_subject*_data.json, MuCo-3DHP.json, a .json file in SMAP's format, or COCO and"
    " the like"
)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A dataset's image samples.

    Attributes:
        format: of its files.
        path: folder or file that it was read from.
        samples: in the order of the dataset.
        report: what was wrong with single people and images.
    """

    format: ImageFormat
    path: Path
    samples: list[ImageSample]
    report: DataReport


def load(
    path: Path, split: Literal["train", "val"] = "train", images: Path | None = None, *, strict: bool = False
) -> ImageDataset:
    """The image samples of a folder or a file.

    Arguments:
        path: folder of a dataset, .json file, or .tar shard.
        split: for datasets with splits, SMAP's format and Human3.6M too.
        images: folder of the images, if they are not in the dataset's usual place.
        strict: any problem with any person or image is an error.

    Raises:
        OccluposeError: no known dataset is there, or several files are possible; or as the dataset's own `load`.
    """
    if not path.exists():
        raise OccluposeError(f"{path}: no such file or folder; give {SUPPORTED}")
    split_folder = path / split
    kind, file = _recognise(split_folder if synth_scenes.has_scenes(split_folder) else path)
    report = DataReport(file, strict)
    if kind == "synth":
        return ImageDataset(kind, file, synth_scenes.load(file), report)
    if kind == "h36m":
        subjects = h36m_images.TRAIN if split == "train" else h36m_images.TEST
        return ImageDataset(kind, file, h36m_images.load(file, images, report, subjects=subjects), report)
    if kind == "muco":
        return ImageDataset(kind, file, muco.load(file, images, report), report)
    if kind == "smap":
        samples = smap.load(file, images, report, split=split if path.is_dir() else None)
        return ImageDataset(kind, file, samples, report)
    if images is None or file.is_dir():
        in_folder = file.is_dir()
        paths = discovery.find_dataset(file if in_folder else file.parent, split, None if in_folder else file)
        file = paths.annotations
        images = images or paths.images
    people = coco.load(file, images, strict=strict)
    return ImageDataset(kind, file, from_coco(people), people.report)


def _recognise(path: Path) -> tuple[ImageFormat, Path]:
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
    files = [file for folder in FOLDERS for file in sorted((path / folder).glob("*.json")) if file.is_file()]
    kinds = {file: kind for file in files if (kind := _recognise_file(file)) is not None}
    special: list[tuple[ImageFormat, Path]] = [(kind, file) for file, kind in kinds.items() if kind != "coco"]
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


def _recognise_file(path: Path) -> ImageFormat | None:
    """The format of a .json file by its keys; None if it has none of them or is not a JSON object."""
    try:
        with open(path, "rb") as file:
            if not file.read(4096).lstrip().startswith(b"{"):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return next((kind for kind, key in KEYS.items() if content.find(key) >= 0), None)
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: cannot be read ({error}); give {SUPPORTED}") from error
