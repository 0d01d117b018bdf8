"""Pictures of one's own to stand behind synthetic people. Ours."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator

from occlupose.errors import OccluposeError
from occlupose.media import IMAGE_SUFFIXES, read_image

LEAST = 64
"""Pixels of a backdrop's shorter side, at least."""

CROP = 0.6
"""Share of a backdrop that is shown, at least, of the largest crop of the right form."""


def find(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder and in those within it, by name, and those that cannot be used: damaged, or under LEAST
    pixels.

    Every picture is read once.

    Raises:
        OccluposeError: no such folder, or no picture in it can be used.
    """
    if not folder.is_dir():
        raise OccluposeError(f"{folder}: is not a folder; give one with pictures to stand behind the people")
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    good: list[Path] = []
    broken: list[Path] = []
    for path in sorted(files):
        (good if _usable(path) else broken).append(path)
    if not good:
        names = ", ".join(path.name for path in broken[:3])
        more = (
            f"{len(broken)} cannot be used ({names}{', ...' if len(broken) > 3 else ''})"
            if broken
            else "there are none"
        )
        raise OccluposeError(
            f"{folder}: no usable image, {more}; give a folder with images ({' '.join(IMAGE_SUFFIXES)}) of {LEAST}"
            " pixels or more"
        )
    return good, broken


def open_backdrop(path: Path, width: int, height: int, generator: Generator) -> UInt8[np.ndarray, "height width 3"]:
    """A random part of a picture, scaled to a size in pixels, and mirrored half of the time.

    Raises:
        OccluposeError: the picture cannot be read.
    """
    image = read_image(path)
    have_height, have_width = image.shape[:2]
    scale = min(have_width / width, have_height / height) * generator.uniform(CROP, 1.0)
    cut_width = max(1, int(width * scale))
    cut_height = max(1, int(height * scale))
    left, top = (int(generator.integers(0, spare + 1)) for spare in (have_width - cut_width, have_height - cut_height))
    part = image[top : top + cut_height, left : left + cut_width]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=way), np.uint8)


def _usable(path: Path) -> bool:
    try:
        return min(read_image(path).shape[:2]) >= LEAST
    except OccluposeError:
        return False
