"""Image files, one by one and as streams."""

import glob
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.media.checks import check_image, check_readable, check_writable, one_line
from occlupose.media.source import ASSUMED_FPS, RGB, Frame, Source, TimeRange, no_frames

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".pgm")
EXIF_ORIENTATION = 0x0112
"""EXIF tag of the orientation; from 5 on the image is rotated by a quarter turn."""
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "PPM")
"""Pillow's names of these formats, for `Image.open`; some others start programs (Ghostscript for an EPS)."""
BAND = 512
"""Rows of an image that are converted at a time, so that a large one needs little more memory than twice its own."""

MAX_PIXELS = 160_000_000
"""Of one image: 480 MB as RGB, and up to three times that during decoding. The largest cameras have 151 million."""
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(struct.error, SyntaxError, TypeError, ValueError, zlib.error),
)
"""What Pillow raises for a damaged image."""


class ImageSequence(Source):
    """Image files as a stream at an assumed 30 frames per second. All must have the size of the first."""

    def __init__(self, kind: str, name: str, paths: list[Path], window: TimeRange):
        self.kind = kind
        self.name = name
        self.warnings = []
        self.fps = ASSUMED_FPS / window.every
        self.fps_assumed = True
        self._chosen = list(window.select((i / ASSUMED_FPS, path) for i, path in enumerate(paths)))
        if not self._chosen:
            raise OccluposeError(no_frames(name, window, len(paths) / ASSUMED_FPS))
        self.names = [path.name for _, path in self._chosen]
        self.count = len(self._chosen)
        self.duration = self.count / self.fps
        self.height, self.width = read_image(self._chosen[0][1]).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        return (make() for _, make in self._deferred_frames())

    def _deferred_frames(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        for index, (time, path) in enumerate(self._chosen):
            yield time, partial(self._frame, index, time, path)

    def check_sizes(self) -> None:
        """Raises OccluposeError if an image has another size than the first, by the headers; skips unreadable files."""
        for _, path in self._chosen:
            with warnings.catch_warnings(), suppress(*UNREADABLE, Image.DecompressionBombError):
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path, formats=IMAGE_FORMATS) as image:
                    size = image.size
                    is_turned = size != (self.width, self.height) and image.getexif().get(EXIF_ORIENTATION, 1) >= 5
                    self._check_size(path, *(size[::-1] if is_turned else size))

    def _check_size(self, path: Path, width: int, height: int) -> None:
        if (width, height) != (self.width, self.height):
            first = self._chosen[0][1].name
            sizes = f"is {width}x{height} but {first} is {self.width}x{self.height}"
            raise OccluposeError(f"{path}: {sizes}; images read together must have one size")

    def _frame(self, index: int, time: float, path: Path) -> Frame:
        image = read_image(path)
        self._check_size(path, image.shape[1], image.shape[0])
        return Frame(index, time, image, continues=len(self._chosen) > 1)


def read_image(path: str | Path) -> RGB:
    """Read an image as 8-bit RGB, upright by its EXIF orientation.

    Grey and palette images become RGB, transparent ones get a white background, 16-bit grey keeps its upper 8 bits.

    Returns:
        (height, width, 3) uint8.

    Raises:
        OccluposeError: missing, not an image, damaged, or over `MAX_PIXELS`.
    """
    path = Path(path)
    check_readable(path)
    with open_image(path, path) as image:
        return _rgb(path, image)


def decode_image(content: bytes, where: object) -> RGB:
    """As `read_image`, of the content of a file.

    Arguments:
        where: the name of the image, for messages.
    """
    with open_image(io.BytesIO(content), where) as image:
        return _rgb(where, image)


@contextmanager
def open_image(file: Path | IO[bytes], where: object) -> Iterator[Image.Image]:
    """Pillow's image of a file, not decoded, open until the block ends.

    Arguments:
        where: the name of the image, for messages.

    Raises:
        OccluposeError: not an image or over `MAX_PIXELS`; from the block too: damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with Image.open(file, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise OccluposeError(_too_large(where, image.width, image.height))
                yield image
    except Image.DecompressionBombError:
        raise OccluposeError(_too_large(where)) from None
    except UnidentifiedImageError:
        raise OccluposeError(
            f"{where}: its content is not an image, whatever the name says; copy or save it again"
        ) from None
    except UNREADABLE as error:
        raise OccluposeError(f"{where}: not a readable image ({one_line(error)}); copy or save it again") from error


def check_image_path(path: Path) -> None:
    """Refuse a name that `write_image` could not write. Raises OccluposeError."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OccluposeError(f"{path}: images are written as .png or .jpg; give the name one of these endings")
    check_writable(path)


def write_image(path: str | Path, image: RGB) -> None:
    """Write (height, width, 3) uint8 RGB as .png or .jpg (quality 95), by the suffix. Raises OccluposeError."""
    path = Path(path)
    check_image_path(path)
    check_image(image)
    encoded = io.BytesIO()  # Pillow does not notice a full disk
    Image.fromarray(image).save(encoded, "PNG" if path.suffix.lower() == ".png" else "JPEG", quality=95)
    with atomic(path) as part:
        part.write_bytes(encoded.getbuffer())


def _rgb(where: object, image: Image.Image) -> RGB:
    if image.mode in ("I", "F"):
        raise OccluposeError(f"{where}: has 32 bits per channel; save it with 8 or 16")
    image.load()
    upright = ImageOps.exif_transpose(image) if image.getexif().get(EXIF_ORIENTATION, 1) != 1 else image
    if upright.mode.startswith("I;16"):
        return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    width, height = upright.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND):
        band = upright.crop((0, top, width, min(top + BAND, height)))
        if upright.has_transparency_data:
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band.convert("RGBA"))
        pixels[top : top + BAND] = np.asarray(band.convert("RGB"))
    return pixels


def images_of_folder(folder: Path) -> list[Path]:
    """The image files of a folder in natural order, without hidden ones.

    Raises:
        OccluposeError: it cannot be listed, or there are none.
    """
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise OccluposeError(f"{folder}: cannot be listed ({one_line(error)})") from error
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        cure = f"give one of its files by name, such as {min(files)}" if files else "put images into it"
        raise OccluposeError(f"{folder}: this folder has no images ({' '.join(IMAGE_SUFFIXES)}); {cure}")
    return sorted(images, key=natural_order)


def images_of_glob(pattern: str) -> list[Path]:
    """The image files that match a pattern, in natural order.

    Raises:
        OccluposeError: there are none.
    """
    files = [Path(name) for name in glob.glob(str(Path(pattern).expanduser()), recursive=True)]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        if files:
            raise OccluposeError(f"{pattern}: matches no image, but {min(files)}; open such files by name")
        raise OccluposeError(f"{pattern}: matches no file; check the folder and the pattern")
    return sorted(images, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key to sort paths by: 2 before 10."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]


def _too_large(where: object, width: int = 0, height: int = 0) -> str:
    needed = f" ({width}x{height}, {3 * width * height / 2**30:.1f} GiB as RGB)" if width else ""
    return f"{where}: the image is too large{needed}; scale it to at most {MAX_PIXELS // 1_000_000} million pixels"
