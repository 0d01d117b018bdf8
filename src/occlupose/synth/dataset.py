"""Synthetic datasets on disk: images and labels in COCO's format, scenes in ours, and a manifest with a hash of every
file.

Scenes are written in chunks. A chunk is finished when its part of the annotations is in `.parts`; a later run skips it.
At the end the parts are merged into `annotations.json` and `manifest.json`. The same settings and renderer give the
same bytes.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occlupose.datasets.formats.coco import SYNTH
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import LEFTOVER_AGE, atomic, parse_json, remove_leftovers
from occlupose.media import RGB
from occlupose.synth.generate import ImageSettings, SceneGenerator, SceneSample, map_in_processes
from occlupose.synth.layout import SceneSource
from occlupose.synth.record import COCO_CATEGORY, coco_annotations, coco_image

CHUNK = 10
"""Number of scenes in a chunk, without shards."""

JPEG_QUALITY = (62, 96)
"""Range of the random JPEG quality of an image."""

ANNOTATIONS = "annotations.json"
MANIFEST = "manifest.json"
PARTS = ".parts"
SETTINGS = "settings.json"
FOLDERS = ("images", "scenes", "shards")

VERSION = 1

LIBRARIES = ("torch", "numpy", "opencv-python-headless")
"""Libraries whose versions may change the bytes."""


@dataclass(frozen=True)
class DatasetPlan:
    """Size and place of a dataset.

    Attributes:
        folder: of the dataset.
        scenes: number of scenes.
        shard: scenes in a .tar file; None writes single files into images/ and scenes/.
        images: settings of the renderer; None writes labels alone.

    Raises:
        OccluposeError: a value out of range.
    """

    folder: Path
    scenes: int
    shard: int | None = None
    images: ImageSettings | None = field(default_factory=ImageSettings)

    def __post_init__(self) -> None:
        if self.scenes < 1:
            raise OccluposeError(f"scenes: {self.scenes}; give a number from 1")
        if self.shard is not None and self.shard < 1:
            raise OccluposeError(f"shard: {self.shard}; give a number of scenes from 1")

    @property
    def chunks(self) -> list[range]:
        """Numbers of the scenes of each chunk."""
        size = self.shard or CHUNK
        return [range(first, min(first + size, self.scenes)) for first in range(0, self.scenes, size)]


def write_dataset(plan: DatasetPlan, source: SceneSource, *, workers: int | None = None) -> Iterator[int]:
    """Write a dataset, or the missing rest of one; yields the number of scenes of each finished chunk.

    Arguments:
        workers: see `generate.generate_scenes`.

    Raises:
        OccluposeError: the folder holds another dataset, it cannot be written, or there is no EGL for rendering.
    """
    settings = _describe(plan, source)
    _claim_folder(plan.folder, settings)
    parts = plan.folder / PARTS
    for folder in (plan.folder, parts, *(plan.folder / name for name in FOLDERS)):
        remove_leftovers(folder, older_than=LEFTOVER_AGE)  # another run may be writing the same dataset
    if (plan.folder / MANIFEST).exists():
        shutil.rmtree(parts, ignore_errors=True)  # left by a run that was killed at its end
        _check(plan.folder)
        yield plan.scenes
        return
    finished = [_is_finished(plan.folder, parts / f"{number:06}.json") for number in range(len(plan.chunks))]
    yield sum(len(chunk) for chunk, done in zip(plan.chunks, finished, strict=True) if done)
    todo = [(number, plan) for number, done in enumerate(finished) if not done]
    if todo:
        yield from map_in_processes(_write_chunk, todo, source, plan.images, workers)
    try:
        _merge(plan, settings)
    except FileNotFoundError:
        _check(plan.folder)  # another run has finished the same dataset and removed its parts


def _claim_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings into an empty folder; refuse one with other settings."""
    path = folder / SETTINGS
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise OccluposeError(
                f"{folder}: is not empty, and no dataset of occlupose synth; choose another folder with -o"
            )
        _write_json(path, settings)
        return
    try:
        existing = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "choose another folder with -o") from error
    if not isinstance(existing, dict):
        raise OccluposeError(f"{path}: not the settings of a dataset; choose another folder with -o")
    for name in settings:
        if existing.get(name) != settings[name]:
            is_hash = name in ("poses", "backdrops")
            what = f"other {name}" if is_hash else f"{name} {existing.get(name)}, not {settings[name]}"
            raise OccluposeError(f"{folder}: holds a dataset with {what}; choose another folder with -o")


def _describe(plan: DatasetPlan, source: SceneSource) -> dict[str, Any]:
    """Everything that determines the bytes of a dataset, except the renderer."""
    from occlupose import __version__

    prior = source.pose_prior
    poses = hashlib.sha256(b"".join(value.tobytes() for value in (prior.weight, prior.mean, prior.axes, prior.noise)))
    backdrops = hashlib.sha256()
    for path in () if plan.images is None else plan.images.backdrops:
        backdrops.update(hashlib.sha256(path.read_bytes()).digest())
    return {
        "version": VERSION,
        "occlupose": __version__,
        "scenes": plan.scenes,
        "shard": plan.shard,
        "pictures": plan.images is not None,
        "backdrops": backdrops.hexdigest()[:16] if plan.images and plan.images.backdrops else None,
        "poses": poses.hexdigest()[:16],
        **json.loads(json.dumps(asdict(source.settings))),  # as read from a file
    }


def _write_chunk(generator: SceneGenerator, task: tuple[int, DatasetPlan]) -> int:
    """Generate and write one chunk, its part of the annotations last."""
    number, plan = task
    scenes = plan.chunks[number]
    part: dict[str, Any] = {"images": [], "annotations": [], "files": [], "people": 0}
    contents: list[tuple[str, bytes]] = []
    for scene in scenes:
        sample = generator.generate(scene)
        part["images"].append(coco_image(sample.record, f"{scene:06}.jpg"))
        part["annotations"] += coco_annotations(sample.record, sample.surface)
        part["people"] += len(sample.record.xyz)
        contents += _contents(sample, f"{scene:06}")
    part["renderer"] = generator.renderer
    if plan.shard is None:
        for name, content in contents:
            folder = "images" if name.endswith(".jpg") else "scenes"
            part["files"].append(_write_file(plan.folder, f"{folder}/{name}", content))
    else:
        part["files"].append(_write_file(plan.folder, f"shards/{number:06}.tar", _tar(contents)))
    _write_json(plan.folder / PARTS / f"{number:06}.json", part)
    return len(scenes)


def _contents(sample: SceneSample, name: str) -> list[tuple[str, bytes]]:
    """The files of a scene: its image, if there is one, and its record."""
    result = [(f"{name}.npz", sample.record.to_bytes())]
    if sample.image is not None:
        result.insert(0, (f"{name}.jpg", encode_jpeg(sample.image, sample.record.number, sample.record.seed)))
    return result


def encode_jpeg(rgb: RGB, number: int, seed: int) -> bytes:
    """An image as a JPEG file; the quality depends on the seed and the number of the scene."""
    quality = int(np.random.default_rng([seed, number, 1]).integers(*JPEG_QUALITY))
    return cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _tar(contents: list[tuple[str, bytes]]) -> bytes:
    """A .tar file without owner and time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _write_file(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    with atomic(folder / name) as temporary:
        temporary.write_bytes(content)
    return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _is_finished(folder: Path, part: Path) -> bool:
    """Whether a chunk exists with all its files."""
    try:
        files = parse_json(part.read_text(encoding="utf-8"))["files"]
        return all(_has_size(folder / file["name"], file["bytes"]) for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check(folder: Path) -> None:
    """Check that a finished dataset has all its files."""
    try:
        files = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        missing = [file["name"] for file in files if not _has_size(folder / file["name"], file["bytes"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder / MANIFEST, error, "delete it, and make the dataset again") from error
    if missing:
        raise OccluposeError(
            f"{folder / missing[0]}: is missing or was changed; delete {MANIFEST}, and make the dataset again"
        )


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _merge(plan: DatasetPlan, settings: dict[str, Any]) -> None:
    """Merge the parts into the annotations and the manifest."""
    paths = [plan.folder / PARTS / f"{number:06}.json" for number in range(len(plan.chunks))]
    parts = [parse_json(path.read_text(encoding="utf-8")) for path in paths]
    people = [annotation for part in parts for annotation in part["annotations"]]
    coco = {
        "info": {"description": SYNTH, "settings": settings},
        "images": [image for part in parts for image in part["images"]],
        "annotations": people,
        "categories": [COCO_CATEGORY],
    }
    content = json.dumps(coco).encode()
    files = [file for part in parts for file in part["files"]] + [_write_file(plan.folder, ANNOTATIONS, content)]
    manifest = settings | {
        "renderer": ", ".join(sorted({part["renderer"] for part in parts if part["renderer"]})) or None,
        "versions": {name: version(name) for name in LIBRARIES},
        "people": sum(part["people"] for part in parts),
        "annotated": len(people),
        "files": files,
    }
    _write_json(plan.folder / MANIFEST, manifest)
    shutil.rmtree(plan.folder / PARTS, ignore_errors=True)  # another run may remove them at this moment


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
