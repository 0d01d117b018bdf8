"""Background images from a folder of the user. Ours."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator

from occlupose.errors import OccluposeError
from occlupose.media import IMAGE_SUFFIXES, read_image

MIN_SIZE = 64
"""Minimum length of the shorter side of a backdrop, px."""

MIN_CROP = 0.6
"""Smallest crop, relative to the largest crop with the right aspect ratio."""


def find_backdrops(folder: Path) -> tuple[list[Path], list[Path]]:
    """The usable images in a folder and its subfolders, by name, and the others: damaged, or under MIN_SIZE pixels.

    Raises:
        OccluposeError: no such folder, or no usable image in it.
    """
    if not folder.is_dir():
        raise OccluposeError(f"{folder}: is not a folder; give one with images for the background")
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
        names = ", ".join([*(path.name for path in broken[:3]), *["..."][: len(broken) > 3]])
        more = f"{len(broken)} cannot be used ({names})" if broken else "there are none"
        raise OccluposeError(
            f"{folder}: no usable image, {more}; give a folder with images ({' '.join(IMAGE_SUFFIXES)}) of {MIN_SIZE}"
            " pixels or more"
        )
    return good, broken


def read_backdrop(path: Path, width: int, height: int, generator: Generator) -> UInt8[np.ndarray, "height width 3"]:
    """A random crop of an image, resized to a size in pixels, and mirrored with probability 0.5.

    Raises:
        OccluposeError: the image cannot be read.
    """
    image = read_image(path)
    image_height, image_width = image.shape[:2]
    scale = min(image_width / width, image_height / height) * generator.uniform(MIN_CROP, 1.0)
    crop_width = max(1, int(width * scale))
    crop_height = max(1, int(height * scale))
    left = int(generator.integers(0, image_width - crop_width + 1))
    top = int(generator.integers(0, image_height - crop_height + 1))
    part = image[top : top + crop_height, left : left + crop_width]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    interpolation = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=interpolation), np.uint8)


def _usable(path: Path) -> bool:
    try:
        return min(read_image(path).shape[:2]) >= MIN_SIZE
    except OccluposeError:
        return False
