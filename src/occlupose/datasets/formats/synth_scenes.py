"""Scenes of `occlupose synth` as image samples, with the depth of every joint and occlusion by exact meshes.

Images and `.npz` records are in .tar shards, or in images/ and scenes/. Of samples, a joint outside of the image is
absent, and people without a joint in it are left out. `neck` is the record's `thorax`, the base of the neck.

The .npz has `version` (1), `number` and `seed` of the scene, `skeleton`, `joint_names` and for every person: `xyz`
(metres, camera frame: x right, y down, z forward; also where a joint is occluded or outside of the image), `xy` (px),
`state` (2 visible, 1 occluded, 0 outside), `reason` (cause of the occlusion: 0 none, 1 self, 2 another person, 3
object, 4 outside), `by` (the occluder: people are 0 to n - 1, objects follow; -1 none), `box` (left, top, width, height
of the visible part, px from the image border; NaN where nothing is visible), `root_depth` (m), `shape`, `pose`
(rotations of 17 segments in the camera frame) and `translation`; then `things` (kinds of the objects), `width`,
`height`, `camera` (3 x 3, px), `rotation` and `eye` (world to camera: rotation @ (point - eye); the world has y up and
the ground at 0).
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample, make_mpi15_sample
from occlupose.datasets.images import ImageIndex, ImageRef, index_shard
from occlupose.errors import OccluposeError, naming
from occlupose.media import IMAGE_SUFFIXES
from occlupose.npz import open_npz
from occlupose.skeletons import BODY26, MPI15

VERSION = 1

NEEDED: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "xy": ("f", (None, len(BODY26), 2)),
    "xyz": ("f", (None, len(BODY26), 3)),
    "state": ("iu", (None, len(BODY26))),
    "camera": ("fiu", (3, 3)),
    "width": ("iu", ()),
    "height": ("iu", ()),
}
"""Arrays of a record that are read, with the kinds of their numbers and their shapes; None is the number of people."""

TO_MPI15 = BODY26.index(*("thorax" if joint == "neck" else joint for joint in MPI15.joints))
"""Indices of MPI15's joints among the record's."""

_KEYS = {"cause": "reason", "occluder": "by", "objects": "things", "camera_position": "eye"}
"""Keys of a file that differ from the names of their fields, as in earlier versions."""

_HINT = "copy it again, or make it again with occlupose synth"


@dataclass(frozen=True, eq=False)
class SceneRecord:
    """Ground truth of one scene. The docstring of the module explains each array, by its key in the file."""

    number: int
    seed: int
    width: int
    height: int
    xyz: Float[np.ndarray, "person 26 3"]
    xy: Float[np.ndarray, "person 26 2"]
    state: UInt8[np.ndarray, "person 26"]
    cause: UInt8[np.ndarray, "person 26"]
    occluder: Int[np.ndarray, "person 26"]
    box: Float[np.ndarray, "person 4"]
    root_depth: Float[np.ndarray, "person"]
    shape: Float[np.ndarray, "person shape"]
    pose: Float[np.ndarray, "person 17 3 3"]
    translation: Float[np.ndarray, "person 3"]
    objects: tuple[str, ...]
    camera: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    camera_position: Float[np.ndarray, "3"]

    def to_bytes(self) -> bytes:
        """The .npz file; the same record gives the same bytes."""
        names = [field.name for field in fields(self)]
        content: dict[str, Any] = {_KEYS.get(name, name): getattr(self, name) for name in names}
        content["things"] = np.array(self.objects, dtype="U16")
        about: dict[str, Any] = {"version": VERSION, "skeleton": BODY26.name, "joint_names": list(BODY26.joints)}
        file = io.BytesIO()
        np.savez_compressed(file, **about, **content)
        return file.getvalue()

    @classmethod
    def load(cls, path: Path) -> "SceneRecord":
        """Read a file that holds `to_bytes`.

        Raises:
            OccluposeError: the file cannot be read, or is no scene; names it.
        """
        file = ImageRef(path).read_bytes()
        with naming(path):
            content = _read(file, [field.name for field in fields(cls)])
        try:
            content |= {name: int(content[name]) for name in ("number", "seed", "width", "height")}
            content["objects"] = tuple(str(kind) for kind in content["objects"])
        except (ValueError, TypeError, OverflowError) as error:
            raise OccluposeError(f"{path}: not a scene of occlupose synth ({error}); {_HINT}") from error
        return cls(**content)


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
    except Exception:  # a damaged archive may fail in any way; `load` says how
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
    """The scenes of a .tar file; a scene's image may be anywhere in it."""
    files = index_shard(path, (*IMAGE_SUFFIXES, ".npz"))
    records = {Path(file.member).stem: file for file in files if file.member.endswith(".npz")}
    images = {Path(file.member).stem: file for file in files if not file.member.endswith(".npz")}
    for scene, file in sorted(records.items()):
        content = file.read_bytes()
        with naming(file):
            sample = _make_sample(_read(content), images.get(scene))
        yield sample


def _from_files(folder: Path) -> Iterator[ImageSample]:
    images = {image.path.stem: image for image in ImageIndex(folder / "images").all()}
    for path in sorted((folder / "scenes").glob("*.npz")):
        content = ImageRef(path).read_bytes()
        with naming(path):
            sample = _make_sample(_read(content), images.get(path.stem))
        yield sample


def _read(file: bytes, names: Iterable[str] = NEEDED) -> dict[str, Any]:
    """These arrays of a record.

    Raises:
        OccluposeError: it is not a record.
    """
    try:
        with open_npz(io.BytesIO(file)) as content:
            version = int(content["version"])
            if version != VERSION:
                raise OccluposeError(f"is of version {version}; this occlupose reads version {VERSION}")
            arrays = {name: content[_KEYS.get(name, name)] for name in names}
        for name, (kinds, shape) in NEEDED.items():
            wanted = tuple(len(arrays["xy"]) if side is None else side for side in shape)
            if arrays[name].dtype.kind not in kinds or arrays[name].shape != wanted:
                raise ValueError(f"{name} has shape {arrays[name].shape} of {arrays[name].dtype}")
        return arrays
    except (OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise OccluposeError(f"not a scene of occlupose synth ({error}); {_HINT}") from error
