"""Pictures that lie in folders, or in the .tar shards that `occlupose synth --shard` writes.

A shard is looked through once; every picture in it then knows where it begins, and reads nothing but itself.
"""

import io
import tarfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from occlupose.errors import OccluposeError
from occlupose.media import IMAGE_FORMATS, PICTURES, RGB, read_image

_AGAIN = "copy it again"


@dataclass(frozen=True)
class Picture:
    """One picture: a file, or a member of a .tar file. Threads and processes may read it side by side.

    Attributes:
        path: of the file.
        member: its name in the .tar file; "" for a file of its own.
        start, length: where its bytes are in the .tar file.
    """

    path: Path
    member: str = ""
    start: int = 0
    length: int = 0

    @property
    def name(self) -> str:
        """What annotations call it, without folders."""
        return Path(self.member).name if self.member else self.path.name

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def content(self) -> bytes:
        """The bytes of its file.

        Raises:
            OccluposeError: it cannot be read, or the .tar file ends before it does.
        """
        try:
            if not self.member:
                return self.path.read_bytes()
            with open(self.path, "rb") as file:
                file.seek(self.start)
                content = file.read(self.length)
        except OSError as error:
            raise OccluposeError(
                f"{self}: cannot be read ({(error.strerror or str(error)).lower()}); {_AGAIN}"
            ) from error
        if len(content) < self.length:
            raise OccluposeError(f"{self}: the file ends within it; {_AGAIN}")
        return content

    def read(self, size: tuple[int, int] | None = None) -> RGB:
        """The picture, upright, (height, width, 3) uint8 RGB.

        Arguments:
            size: (width, height) that it must have, px: in another the annotated joints would be elsewhere. None is
                any.

        Raises:
            OccluposeError: it is not there, is no picture, ends too early, or has another size; names the file and the
                member.
        """
        image = self._decoded()
        if size is not None and (image.shape[1], image.shape[0]) != size:
            given, wanted = (f"{width}x{height}" for width, height in (image.shape[1::-1], size))
            raise OccluposeError(
                f"{self}: is {given}, but {wanted} in its annotations; give the pictures that were annotated"
            )
        return image

    def _decoded(self) -> RGB:
        if not self.member:
            return read_image(self.path)
        try:
            with Image.open(io.BytesIO(self.content()), formats=IMAGE_FORMATS) as image:
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except UnidentifiedImageError:
            raise OccluposeError(f"{self}: its content is not a picture; {_AGAIN}") from None
        except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, Image.DecompressionBombError) as error:
            raise OccluposeError(
                f"{self}: not a readable picture ({str(error).splitlines()[0].lower()}); {_AGAIN}"
            ) from error


@dataclass(frozen=True)
class Shelf:
    """Where a dataset's pictures are: a folder of files, a folder of .tar shards, or one shard."""

    folder: Path

    @cached_property
    def members(self) -> dict[str, Picture]:
        """The pictures in shards, by name; none where the pictures are files.

        Raises:
            OccluposeError: a shard that cannot be read; two pictures of one name.
        """
        tars = [self.folder] if self.folder.suffix == ".tar" else sorted(self.folder.glob("*.tar"))
        found: dict[str, Picture] = {}
        for tar in tars:
            for picture in shard(tar):
                other = found.setdefault(picture.member, picture)
                if other is not picture:
                    raise OccluposeError(
                        f"{picture}: {other.path.name} has a picture of that name too; keep one of them"
                    )
        return found

    def find(self, name: str) -> Picture | None:
        """The picture that annotations call so; None where it is not there."""
        picture = self.members.get(name)
        if picture is None and self.folder.suffix != ".tar" and (self.folder / name).is_file():
            return Picture(self.folder / name)
        return picture

    def all(self) -> list[Picture]:
        """Every picture of it, those in folders below it too, in the order of their names.

        Raises:
            OccluposeError: a shard that cannot be read.
        """
        files = () if self.folder.suffix == ".tar" else self.folder.rglob("*")
        return [
            *self.members.values(),
            *(Picture(path) for path in sorted(files) if path.suffix.lower() in PICTURES and path.is_file()),
        ]


def shard(path: Path) -> tuple[Picture, ...]:
    """The pictures of a .tar file, in its order. The file is looked through once, as long as it does not change.

    Raises:
        OccluposeError: it cannot be read, or is cut short.
    """
    try:
        state = path.stat()
        return _shard(path, state.st_mtime_ns, state.st_size)
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no .tar file"
        raise OccluposeError(
            f"{path}: not a readable .tar file ({reason.lower()}); {_AGAIN}, or make it again"
        ) from error


@lru_cache(maxsize=4096)
def _shard(path: Path, changed: int, size: int) -> tuple[Picture, ...]:
    with tarfile.open(path, "r:") as tar:
        files = [member for member in tar if member.isfile()]
    for member in files:
        if member.offset_data + member.size > size:
            raise tarfile.ReadError(f"it ends within {member.name}")
    pictures = (member for member in files if Path(member.name).suffix.lower() in PICTURES)
    return tuple(Picture(path, member.name.removeprefix("./"), member.offset_data, member.size) for member in pictures)
