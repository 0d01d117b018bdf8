"""Scenes of `occlupose synth` as crowds: everybody in the picture, with the depth of every joint, and what is hidden as
meshes show it.

Pictures and `.npz` records (`synth.record`) lie in .tar shards, or one by one in images/ and scenes/. A joint outside
of the picture is absent, and whoever has no joint in it is left out. `neck` is the record's `thorax`, the base of the
neck.
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
from occlupose.datasets.image_samples import ImageSample, mpi15_sample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
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
"""What a crowd needs of a record, and the shapes of it without the first number; the rest stays unread, which is
quicker.
"""

PICK = BODY26.index(*("thorax" if joint == "neck" else joint for joint in MPI15.joints))
"""Where the joints of MPI15 are among the record's."""

_HINT = "copy it again, or make it again with occlupose synth"


def load(folder: Path) -> list[ImageSample]:
    """The scenes in a folder, in the order of their names; pictures are read when they are asked for.

    Arguments:
        folder: that `occlupose synth` wrote, finished or not; or a folder of .tar shards, or one shard.

    Raises:
        OccluposeError: there is no scene in it, or one cannot be read.
    """
    tars = [folder] if folder.suffix == ".tar" else sorted([*folder.glob("shards/*.tar"), *folder.glob("*.tar")])
    crowds = [scene for tar in tars for scene in _shard(tar)] or list(_files(folder))
    if not crowds:
        raise OccluposeError(
            f"{folder}: no scene in it, in shards/*.tar, *.tar or scenes/*.npz; make some with occlupose synth"
        )
    return crowds


def has_scenes(folder: Path) -> bool:
    """Whether `load` would find files to read; looks at names, and into a shard."""
    tars = [folder] if folder.suffix == ".tar" else sorted([*folder.glob("shards/*.tar"), *folder.glob("*.tar")])
    if not tars:
        return any(folder.glob("scenes/*.npz"))
    try:
        with tarfile.open(tars[0], "r:") as tar:
            return any(member.name.endswith(".npz") for member in tar)
    except (OSError, tarfile.TarError, EOFError):
        return False


def from_record(record: SceneRecord, image: ImageRef | None = None) -> ImageSample:
    """Everybody of one scene who has a joint in the picture."""
    return _crowd({name: getattr(record, name) for name in NEEDED}, image)


def _crowd(content: dict[str, Any], image: ImageRef | None) -> ImageSample:
    size = int(content["width"]), int(content["height"])
    return mpi15_sample(
        image,
        size,
        content["xy"][:, PICK],
        content["xyz"][:, PICK, 2],
        content["state"][:, PICK],
        camera=Camera.from_matrix(content["camera"], *size),
    )


def _shard(path: Path) -> Iterator[ImageSample]:
    """Of a .tar file, which is read once from its beginning to its end; a scene's picture stands anywhere in it."""
    pictures = dict[str, ImageRef]()
    records = dict[str, dict[str, Any]]()
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = Path(member.name)
                if name.suffix.lower() in IMAGE_SUFFIXES:
                    pictures[name.stem] = ImageRef(
                        path, member.name.removeprefix("./"), member.offset_data, member.size
                    )
                elif name.suffix == ".npz" and (file := tar.extractfile(member)) is not None:
                    records[name.stem] = _read(file.read(), f"{path}: {member.name}")
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no .tar file"
        raise OccluposeError(f"{path}: not a readable .tar file ({reason.lower()}); {_HINT}") from error
    for scene, record in sorted(records.items()):
        yield _crowd(record, pictures.get(scene))


def _files(folder: Path) -> Iterator[ImageSample]:
    pictures = {
        path.stem: ImageRef(path)
        for path in sorted((folder / "images").glob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
    }
    for path in sorted((folder / "scenes").glob("*.npz")):
        try:
            record = _read(path.read_bytes(), str(path))
        except OSError as error:
            raise OccluposeError(
                f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); {_HINT}"
            ) from error
        yield _crowd(record, pictures.get(path.stem))


def _read(file: bytes, where: str) -> dict[str, Any]:
    """What is needed of a record.

    Raises:
        OccluposeError: it is none; says where.
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
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise OccluposeError(f"{where}: not a scene of occlupose synth ({error}); {_HINT}") from error
