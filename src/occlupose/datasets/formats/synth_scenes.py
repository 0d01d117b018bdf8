"""Scenes of `occlupose synth` as image samples, with the depth of every joint and occlusion by exact meshes.

Images and `.npz` records (`synth.record`) are in .tar shards, or in images/ and scenes/. A joint outside of the image
is absent, and people without a joint in it are left out. `neck` is the record's `thorax`, the base of the neck.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample, make_mpi15_sample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError, unreadable
from occlupose.media import IMAGE_SUFFIXES
from occlupose.skeletons import BODY26, MPI15
from occlupose.synth.record import VERSION, SceneRecord

NEEDED = {
    "xy": (len(BODY26), 2),
    "xyz": (len(BODY26), 3),
    "state": (len(BODY26),),
    "camera": (3,),
    "width": (),
    "height": (),
}
"""Arrays of a record that are read, with their shapes without the first dimension."""

TO_MPI15 = BODY26.index(*("thorax" if joint == "neck" else joint for joint in MPI15.joints))
"""Indices of MPI15's joints among the record's."""

_DAMAGE = (OSError, KeyError, ValueError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_HINT = "copy it again, or make it again with occlupose synth"


def load(folder: Path) -> list[ImageSample]:
    """The scenes in a folder, sorted by name.

    Arguments:
        folder: output of `occlupose synth`, finished or not; or a folder of .tar shards, or one shard.

    Raises:
        OccluposeError: there are no scenes in it, or one cannot be read.
    """
    samples = [sample for tar in _shards(folder) for sample in _from_shard(tar)] or list(_from_files(folder))
    if not samples:
        raise OccluposeError(
            f"{folder}: no scene in it, in shards/*.tar, *.tar or scenes/*.npz; make some with occlupose synth"
        )
    return samples


def has_scenes(folder: Path) -> bool:
    """Whether `load` would find scenes, by the names of the files and of the members of one shard."""
    tars = _shards(folder)
    if not tars:
        return any(folder.glob("scenes/*.npz"))
    try:
        with tarfile.open(tars[0], "r:") as tar:
            return any(member.name.endswith(".npz") for member in tar)
    except (OSError, tarfile.TarError, EOFError):
        return False


def _shards(folder: Path) -> list[Path]:
    if folder.suffix == ".tar":
        return [folder]
    return sorted([*folder.glob("shards/*.tar"), *folder.glob("*.tar")])


def from_record(record: SceneRecord, image: ImageRef | None = None) -> ImageSample:
    """The sample of one scene."""
    return _make_sample({name: getattr(record, name) for name in NEEDED}, image)


def _make_sample(content: dict[str, Any], image: ImageRef | None) -> ImageSample:
    size = int(content["width"]), int(content["height"])
    return make_mpi15_sample(
        image,
        size,
        content["xy"][:, TO_MPI15],
        content["xyz"][:, TO_MPI15, 2],
        content["state"][:, TO_MPI15],
        camera=Camera.from_matrix(content["camera"], *size),
    )


def _from_shard(path: Path) -> Iterator[ImageSample]:
    """The scenes of a .tar file, which is read once; a scene's image may be anywhere in it."""
    images = dict[str, ImageRef]()
    records = dict[str, dict[str, Any]]()
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = Path(member.name)
                if name.suffix.lower() in IMAGE_SUFFIXES:
                    images[name.stem] = ImageRef(path, member.name.removeprefix("./"), member.offset_data, member.size)
                elif name.suffix == ".npz" and (file := tar.extractfile(member)) is not None:
                    records[name.stem] = _read(file.read(), f"{path}: {member.name}")
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no .tar file"
        raise OccluposeError(f"{path}: not a readable .tar file ({reason.lower()}); {_HINT}") from error
    for scene, record in sorted(records.items()):
        yield _make_sample(record, images.get(scene))


def _from_files(folder: Path) -> Iterator[ImageSample]:
    images = {
        path.stem: ImageRef(path)
        for path in sorted((folder / "images").glob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
    }
    for path in sorted((folder / "scenes").glob("*.npz")):
        try:
            record = _read(path.read_bytes(), str(path))
        except OSError as error:
            raise unreadable(path, error, _HINT) from error
        yield _make_sample(record, images.get(path.stem))


def _read(file: bytes, where: str) -> dict[str, Any]:
    """The arrays of a record that are needed.

    Raises:
        OccluposeError: it is not a record; says where.
    """
    try:
        with np.load(io.BytesIO(file), allow_pickle=False) as content:
            version = int(content["version"])
            if version != VERSION:
                raise OccluposeError(f"{where}: is of version {version}; this occlupose reads version {VERSION}")
            arrays = {name: content[name] for name in NEEDED}
        for name, shape in NEEDED.items():
            if arrays[name].shape[1:] != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}")
        return arrays
    except _DAMAGE as error:
        raise OccluposeError(f"{where}: not a scene of occlupose synth ({error}); {_HINT}") from error
