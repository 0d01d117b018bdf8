"""Crowds of whatever dataset lies in a folder, found by what its files are called and hold.

- `occlupose synth`: shards/*.tar, or scenes/*.npz beside images/ (`scenes`), with the depth of every joint; in a folder
  of its own for each split, or one for all.
- Human3.6M with pictures: annotations/Human36M_subject1_data.json and the like (`h36m_pictures`).
- MuCo-3DHP: MuCo-3DHP.json (`muco`).
- SMAP's and HUPOR's form: a .json file with a list "root" (`smap`).
- COCO, CrowdPose, OCHuman and the like, as `places` finds them (`coco`), without depth.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from occlupose.datasets import coco, h36m_pictures, muco, places, scenes, smap
from occlupose.datasets.image_samples import ImageSample, from_coco
from occlupose.datasets.problems import Problems
from occlupose.errors import OccluposeError

Form = Literal["synth", "h36m", "muco", "smap", "coco"]

KEYS: dict[Form, bytes] = {"muco": b'"keypoints_cam"', "smap": b'"bodys"', "coco": b'"keypoints"'}
"""What a .json file of a form has, and those before it in this list lack; in this order."""

FOLDERS = ("", "annotations", "data")
"""Where .json files lie, below a dataset's folder."""

LOOKED = (
    "scenes of occlupose synth, Human36M_subject*_data.json, MuCo-3DHP.json, a .json file in SMAP's form, or COCO and"
    " the like"
)


@dataclass(frozen=True, eq=False)
class Found:
    """A dataset's crowds.

    Attributes:
        form: in which it lies there.
        path: folder or file that it was read from.
        crowds: in the order of the dataset.
        problems: what was wrong with single people and pictures.
    """

    form: Form
    path: Path
    crowds: list[ImageSample]
    problems: Problems


def load(
    path: Path, split: Literal["train", "val"] = "train", images: Path | None = None, *, strict: bool = False
) -> Found:
    """Crowds of a folder or of one file.

    Arguments:
        path: folder of a dataset, .json file, or .tar shard.
        split: where the dataset has more than one; SMAP's form and Human3.6M too.
        images: folder of the pictures, where they are not where the dataset has them.
        strict: anything that is wrong with any person or picture is an error.

    Raises:
        OccluposeError: nothing of what is known is there, or several files could be meant; or as the dataset's own
            `load`.
    """
    if not path.exists():
        raise OccluposeError(f"{path}: no such file or folder; give {LOOKED}")
    form, file = _form(path / split if scenes.has_scenes(path / split) else path)
    problems = Problems(file, strict)
    read: dict[Form, Callable[[], list[ImageSample]]] = {
        "synth": lambda: scenes.load(file),
        "h36m": lambda: h36m_pictures.load(file, images, problems, subjects=_subjects(split)),
        "muco": lambda: muco.load(file, images, problems),
        "smap": lambda: smap.load(file, images, problems, split=split if path.is_dir() else None),
    }
    if form != "coco":
        return Found(form, file, read[form](), problems)
    if images is None or file.is_dir():
        place = places.find(file, split) if file.is_dir() else places.find(file.parent, split, file)
        file = place.annotations
        images = images or place.images
    people = coco.load(file, images, strict=strict)
    return Found(form, file, from_coco(people), people.problems)


def _subjects(split: str) -> tuple[int, ...]:
    return h36m_pictures.TRAIN if split == "train" else h36m_pictures.TEST


def _form(path: Path) -> tuple[Form, Path]:
    """What lies there, and which file or folder of it is to be read."""
    if path.suffix == ".tar" or (path.is_dir() and scenes.has_scenes(path)):
        return "synth", path
    if path.is_file():
        form = _of_file(path)
        if form is None:
            raise OccluposeError(f"{path}: not {LOOKED}; give one of these")
        return form, path
    if h36m_pictures.home(path, (*h36m_pictures.TRAIN, *h36m_pictures.TEST)) is not None:
        return "h36m", path
    files = [file for folder in FOLDERS for file in sorted((path / folder).glob("*.json")) if file.is_file()]
    forms = {file: form for file in files if (form := _of_file(file)) is not None}
    special: list[tuple[Form, Path]] = [(form, file) for file, form in forms.items() if form != "coco"]
    if len(special) > 1:
        names = ", ".join(str(file.relative_to(path)) for _, file in special)
        raise OccluposeError(
            f"{path}: {len(special)} files could be meant: {names}; name one of them instead of the folder"
        )
    if special:
        return special[0]
    if not forms and not any(path.rglob("*.json")):
        raise OccluposeError(f"{path}: no dataset of people in it; looked for {LOOKED}")
    return "coco", path


def _of_file(path: Path) -> Form | None:
    """By the keys that it has; None where it has none of them, or is no JSON object."""
    try:
        with open(path, "rb") as file:
            if not file.read(4096).lstrip().startswith(b"{"):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return next((form for form, key in KEYS.items() if content.find(key) >= 0), None)
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: cannot be read ({error}); give {LOOKED}") from error
