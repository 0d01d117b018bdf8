"""Images in folders, or in the .tar shards that `occlupose synth --shard` writes, and a cache of them.

A shard is scanned once; afterwards each image is read by its offset.
"""

import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from threading import Lock

from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError, naming, unreadable
from occlupose.media import IMAGE_SUFFIXES, RGB, decode_image, read_image
from occlupose.pyramid import Pyramid

TRIED = 20
"""Annotated images that are looked for in a folder before it is taken to have none of them."""

CACHE_BYTES = 2**30
"""Default size of the cache of decoded images."""

MISSING = "missing images, their people left out"
LABELS_ONLY = "images that are missing, all of this dataset: labels only"

_HINT = "copy it again"


@dataclass(frozen=True)
class ImageRef:
    """Where an image (or another file of a dataset) is: a file, or a member of a .tar file. Threads and processes may
    read in parallel.

    Attributes:
        path: of the file.
        member: its name in the .tar file; "" for a file of its own.
        start, length: offset and number of its bytes in the .tar file.
    """

    path: Path
    member: str = ""
    start: int = 0
    length: int = 0

    @property
    def name(self) -> str:
        """File name without folders."""
        return Path(self.member).name if self.member else self.path.name

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def read_bytes(self) -> bytes:
        """The content of the image file.

        Raises:
            OccluposeError: it cannot be read, or the .tar file is cut short.
        """
        try:
            if not self.member:
                return self.path.read_bytes()
            with open(self.path, "rb") as file:
                file.seek(self.start)
                content = file.read(self.length)
        except OSError as error:
            raise unreadable(self, error, _HINT) from error
        if len(content) < self.length:
            raise OccluposeError(f"{self}: the file ends within it; {_HINT}")
        return content

    def read(self, size: tuple[int, int] | None = None) -> RGB:
        """The image, upright, (height, width, 3) uint8 RGB.

        Arguments:
            size: required (width, height), px; at another size the annotated joints would be wrong. None accepts any.

        Raises:
            OccluposeError: the file is missing, damaged, not an image or of another size; names the file and the
                member.
        """
        image = self._decode()
        if size is not None and (image.shape[1], image.shape[0]) != size:
            given = f"{image.shape[1]}x{image.shape[0]}"
            wrong = f"is {given}, but {size[0]}x{size[1]} in its annotations"
            raise OccluposeError(f"{self}: {wrong}; give the images that were annotated")
        return image

    def _decode(self) -> RGB:
        return decode_image(self.read_bytes(), self) if self.member else read_image(self.path)


@dataclass(frozen=True)
class ImageIndex:
    """The images of a dataset: a folder of files, a folder of .tar shards, or one shard."""

    folder: Path

    @cached_property
    def members(self) -> dict[str, ImageRef]:
        """Images in shards, by name; empty where the images are files.

        Raises:
            OccluposeError: a shard cannot be read, or two images have the same name.
        """
        tars = [self.folder] if self.folder.suffix == ".tar" else sorted(self.folder.glob("*.tar"))
        found: dict[str, ImageRef] = {}
        for tar in tars:
            for image in index_shard(tar):
                other = found.setdefault(image.member, image)
                if other is not image:
                    raise OccluposeError(f"{image}: {other.path.name} has an image of the same name; keep one of them")
        return found

    def find(self, name: str) -> ImageRef | None:
        """The image with this name in the annotations; None if it does not exist.

        Raises:
            OccluposeError: a shard cannot be read, or the name leads out of the folder.
        """
        image = self.members.get(name)
        if image is not None or self.folder.suffix == ".tar":
            return image
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise OccluposeError(
                f"{name[:200]}: this name of an image leads out of {self.folder}; correct it in the annotations"
            )
        try:
            return ImageRef(self.folder / name) if (self.folder / name).is_file() else None
        except OSError:  # a name that no file can have
            return None

    def all(self) -> list[ImageRef]:
        """Every image, in subfolders too, sorted by name.

        Raises:
            OccluposeError: a shard cannot be read.
        """
        paths = () if self.folder.suffix == ".tar" else sorted(self.folder.rglob("*"))
        files = [ImageRef(path) for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        return [*self.members.values(), *files]


def find_images(names: Iterable[str], folders: Sequence[Path], report: DataReport) -> dict[str, ImageRef | None]:
    """Finds images by name; missing ones are left out and reported.

    Arguments:
        folders: that the names may be relative to; the first one that has any of the first TRIED images is taken. If
            none has, every image is None: there are only labels.
    """
    wanted = list(dict.fromkeys(names))
    with naming(report.file):
        index = first_with_images(folders, wanted[:TRIED])
        found = {} if index is None else {name: index.find(name) for name in wanted}
    if index is None:
        for name in wanted:
            report.add_note(LABELS_ONLY, name)
        return dict.fromkeys(wanted)
    for name, image in found.items():
        if image is None:
            report.add_problem(MISSING, name)
    return {name: image for name, image in found.items() if image is not None}


def first_with_images(folders: Iterable[Path], names: Sequence[str]) -> ImageIndex | None:
    """The images of the first folder that has any of these; None if none has."""
    indices = map(ImageIndex, dict.fromkeys(folders))
    return next((index for index in indices if any(index.find(name) for name in names)), None)


class ImageCache:
    """Decoded images, kept after the first read as long as there is room. Threads may share it.

    Arguments:
        max_bytes: size of the cache.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._free_bytes = max_bytes
        self._pyramids = dict[ImageRef, Pyramid]()
        self._lock = Lock()

    def get(self, image: ImageRef) -> Pyramid | None:
        """The image, if it is in the cache."""
        return self._pyramids.get(image)

    def read(self, image: ImageRef, size: tuple[int, int] | None = None) -> Pyramid:
        """The image.

        Arguments:
            size: required (width, height), px; None accepts any.

        Raises:
            OccluposeError: as `ImageRef.read`.
        """
        cached = self.get(image)
        if cached is not None:
            return cached
        pyramid = Pyramid(image.read(size))
        needed = pyramid.level(0).nbytes * 4 // 3  # each level has a quarter of the one before
        with self._lock:
            if image not in self._pyramids and needed <= self._free_bytes:
                self._free_bytes -= needed
                self._pyramids[image] = pyramid.build_levels()
        return pyramid


def index_shard(path: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> tuple[ImageRef, ...]:
    """The images of a .tar file, in its order. The index is cached until the file changes.

    Arguments:
        suffixes: of the members to index, to find other files too.

    Raises:
        OccluposeError: it cannot be read, or is cut short.
    """
    try:
        status = path.stat()
        return _index_shard(path, suffixes, status.st_mtime_ns, status.st_size)
    except Exception as error:  # a damaged archive may fail in any way
        reason = next(iter(str(getattr(error, "strerror", None) or error).splitlines()), "not a .tar file")
        raise OccluposeError(
            f"{path}: not a readable .tar file ({reason.lower()}); {_HINT}, or make it again"
        ) from error


@lru_cache(maxsize=4096)
def _index_shard(path: Path, suffixes: tuple[str, ...], modified: int, size: int) -> tuple[ImageRef, ...]:
    with tarfile.open(path, "r:") as tar:
        files = [member for member in tar if member.isfile()]
    for member in files:
        if member.offset_data + member.size > size:
            raise tarfile.ReadError(f"it ends within {member.name}")
    chosen = (member for member in files if Path(member.name).suffix.lower() in suffixes)
    return tuple(ImageRef(path, member.name.removeprefix("./"), member.offset_data, member.size) for member in chosen)
