"""Synthetic people on disk: pictures and labels in COCO's format, scenes in ours, and a manifest with a hash of every
file.

Scenes are made in pieces. A piece is finished when its part of the annotations lies in `.parts`; what was finished is
not made again. When all are, the parts become `annotations.json` and `manifest.json`. The same settings and the same
renderer give the same bytes.
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

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.media import RGB
from occlupose.synth.generate import Maker, Pictures, Sample, spread
from occlupose.synth.groups import Source
from occlupose.synth.record import CATEGORY, annotations, image

PIECE = 10
"""Scenes of a piece, where there are no shards."""

QUALITY = (62, 96)
"""JPEG quality of a picture lies between these, other for each."""

ANNOTATIONS = "annotations.json"
MANIFEST = "manifest.json"
PARTS = ".parts"
SETTINGS = "settings.json"

VERSION = 1

LIBRARIES = ("torch", "numpy", "opencv-python-headless")
"""Whose versions bytes may depend on."""


@dataclass(frozen=True)
class Plan:
    """What is written where.

    Attributes:
        folder: that it all goes into.
        scenes: how many.
        shard: scenes in a .tar file; None writes files one by one, into images/ and scenes/.
        pictures: how they are painted; None writes labels alone.

    Raises:
        OccluposeError: a number that cannot be.
    """

    folder: Path
    scenes: int
    shard: int | None = None
    pictures: Pictures | None = field(default_factory=Pictures)

    def __post_init__(self) -> None:
        if self.scenes < 1:
            raise OccluposeError(f"scenes: {self.scenes}; give a number from 1")
        if self.shard is not None and self.shard < 1:
            raise OccluposeError(f"shard: {self.shard}; give a number of scenes from 1")

    @property
    def pieces(self) -> list[range]:
        """The numbers of the scenes, by pieces."""
        size = self.shard or PIECE
        return [range(first, min(first + size, self.scenes)) for first in range(0, self.scenes, size)]


def write(plan: Plan, source: Source, *, workers: int | None = None) -> Iterator[int]:
    """Writes a dataset, or what is missing of one; gives the number of scenes of each piece when it is there.

    Arguments:
        workers: see `generate.scenes`.

    Raises:
        OccluposeError: the folder holds another dataset, it cannot be written, or there is no EGL to paint with.
    """
    same = _about(plan, source)
    _begin(plan.folder, same)
    parts = plan.folder / PARTS
    if (plan.folder / MANIFEST).exists():
        shutil.rmtree(parts, ignore_errors=True)  # what a run left that was killed at its very end
        _check(plan.folder)
        yield plan.scenes
        return
    finished = [_finished(plan.folder, parts / f"{number:06}.json") for number in range(len(plan.pieces))]
    yield sum(len(piece) for piece, done in zip(plan.pieces, finished, strict=True) if done)
    todo = [(number, plan) for number, done in enumerate(finished) if not done]
    if todo:
        yield from spread(_piece, todo, source, plan.pictures, workers)
    try:
        _merge(plan, same)
    except FileNotFoundError:
        _check(plan.folder)  # another run has finished the same dataset and removed its parts


def _begin(folder: Path, ours: dict[str, Any]) -> None:
    """Says what the folder is for; refuses one that is for something else."""
    path = folder / SETTINGS
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise OccluposeError(
                f"{folder}: is not empty, and no dataset of occlupose synth; choose another folder with -o"
            )
        _write_json(path, ours)
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: cannot be read ({error}); choose another folder with -o") from error
    if not isinstance(theirs, dict):
        raise OccluposeError(f"{path}: says nothing of a dataset; choose another folder with -o")
    for name in ours:
        if theirs.get(name) != ours[name]:
            what = f"other {name}" if name in ("poses", "backdrops") else f"{name} {theirs.get(name)}, not {ours[name]}"
            raise OccluposeError(f"{folder}: holds a dataset with {what}; choose another folder with -o")


def _about(plan: Plan, source: Source) -> dict[str, Any]:
    """What a dataset is made of: two that say the same have the same bytes, where the renderer is the same."""
    from occlupose import __version__

    prior = source.poses
    poses = hashlib.sha256(b"".join(value.tobytes() for value in (prior.weight, prior.mean, prior.axes, prior.noise)))
    backdrops = hashlib.sha256()
    for path in () if plan.pictures is None else plan.pictures.backdrops:
        backdrops.update(hashlib.sha256(path.read_bytes()).digest())
    return {
        "version": VERSION,
        "occlupose": __version__,
        "scenes": plan.scenes,
        "shard": plan.shard,
        "pictures": plan.pictures is not None,
        "backdrops": backdrops.hexdigest()[:16] if plan.pictures and plan.pictures.backdrops else None,
        "poses": poses.hexdigest()[:16],
        **json.loads(json.dumps(asdict(source.settings))),  # as it will be read again
    }


def _piece(maker: Maker, task: tuple[int, Plan]) -> int:
    """Makes and writes one piece, its part of the annotations last."""
    number, plan = task
    scenes = plan.pieces[number]
    part: dict[str, Any] = {"images": [], "annotations": [], "files": [], "people": 0}
    contents: list[tuple[str, bytes]] = []
    for scene in scenes:
        made = maker.make(scene)
        part["images"].append(image(made.record, f"{scene:06}.jpg"))
        part["annotations"] += annotations(made.record, made.thing)
        part["people"] += len(made.record.xyz)
        contents += _contents(made, f"{scene:06}")
    part["renderer"] = maker.renderer
    if plan.shard is None:
        for name, content in contents:
            part["files"].append(
                _keep(plan.folder, f"{'images' if name.endswith('.jpg') else 'scenes'}/{name}", content)
            )
    else:
        part["files"].append(_keep(plan.folder, f"shards/{number:06}.tar", _tar(contents)))
    _write_json(plan.folder / PARTS / f"{number:06}.json", part)
    return len(scenes)


def _contents(made: Sample, name: str) -> list[tuple[str, bytes]]:
    """The files of a scene: its picture, where there is one, and its record."""
    result = [(f"{name}.npz", made.record.encoded())]
    if made.picture is not None:
        result.insert(0, (f"{name}.jpg", jpeg(made.picture, made.record.number, made.record.seed)))
    return result


def jpeg(picture: RGB, number: int, seed: int) -> bytes:
    """A picture as a JPEG file of a quality that the scene's number decides."""
    quality = int(np.random.default_rng([seed, number, 1]).integers(*QUALITY))
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _tar(contents: list[tuple[str, bytes]]) -> bytes:
    """A .tar file that says nothing of who packed it and when."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _keep(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    with atomic(folder / name) as temporary:
        temporary.write_bytes(content)
    return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _finished(folder: Path, part: Path) -> bool:
    """Whether a piece is there, with all its files."""
    try:
        files = json.loads(part.read_text(encoding="utf-8"))["files"]
        return all(_is(folder / file["name"], file["bytes"]) for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check(folder: Path) -> None:
    """A finished dataset has all its files."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        gone = [file["name"] for file in files if not _is(folder / file["name"], file["bytes"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OccluposeError(
            f"{folder / MANIFEST}: cannot be read ({error}); delete it, and make the dataset again"
        ) from error
    if gone:
        raise OccluposeError(
            f"{folder / gone[0]}: is missing or was changed; delete {MANIFEST}, and make the dataset again"
        )


def _is(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _merge(plan: Plan, same: dict[str, Any]) -> None:
    """The parts become the annotations and the manifest."""
    parts = [
        json.loads((plan.folder / PARTS / f"{n:06}.json").read_text(encoding="utf-8")) for n in range(len(plan.pieces))
    ]
    people = [annotation for part in parts for annotation in part["annotations"]]
    images = [one for part in parts for one in part["images"]]
    info = {"description": "synthetic people of occlupose", "settings": same}
    content = json.dumps({"info": info, "images": images, "annotations": people, "categories": [CATEGORY]}).encode()
    files = [file for part in parts for file in part["files"]] + [_keep(plan.folder, ANNOTATIONS, content)]
    manifest = same | {
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
