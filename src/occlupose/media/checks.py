"""Checks of paths and images, with messages of one line."""

from pathlib import Path

import numpy as np

from occlupose.errors import OccluposeError


def check_readable(path: Path) -> None:
    """Refuse a file that is missing, empty or not readable, and pipes and devices. Raises OccluposeError."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OccluposeError(f"{path}: is a pipe or a device; give a file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise OccluposeError(
            f"{path}: there is no such file or folder; give an image, a video, a folder or glob of images, or a"
            " camera number"
        ) from None
    except IsADirectoryError:
        raise OccluposeError(f"{path}: is a folder; a file is needed here") from None
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: cannot be read ({one_line(error)}); check its permissions") from error
    if empty:
        raise OccluposeError(f"{path}: is empty; copy or record it again")


def check_writable(path: Path) -> None:
    """Refuse a folder as the name of a file to write. Raises OccluposeError."""
    if path.is_dir():
        raise OccluposeError(f"{path}: is a folder; give the name of a file to write")


def check_image(image: np.ndarray, width: int | None = None, height: int | None = None) -> None:
    """Refuse an array that is not (height, width, 3) uint8, of this size if given. Raises ValueError."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is (height, width, 3) uint8, not {image.shape} {image.dtype}")
    if width is not None and image.shape[:2] != (height, width):
        raise ValueError(f"this video's frames are {width}x{height}, not {image.shape[1]}x{image.shape[0]}")


def one_line(error: BaseException) -> str:
    """The message of an exception, as part of a line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")
