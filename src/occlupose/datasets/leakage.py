"""Images of one dataset that are also in another: training images must not be test images.

Identical files are found by their SHA-256; images that were compressed again, scaled, slightly cropped or mirrored by a
perceptual hash: the signs of the 64 lowest frequencies of the image at 32 x 32 (imagehash's `phash`), of which
similar images share all but a few.
"""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import imagehash
import numpy as np
from jaxtyping import Int, UInt64
from PIL import Image, ImageOps

from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import open_image

MAX_DISTANCE = 8
"""Bits by which the perceptual hashes of two copies may differ. Ours."""

MIN_SIDE = 128
"""Minimum length of the shorter side, px, at which a JPEG is decoded to be hashed. Ours."""

BLOCK = 1 << 22
"""Pairs compared at once."""

LeakKind = Literal["same file", "same image", "mirrored image"]


@dataclass(frozen=True)
class Leak:
    """An image that is in both datasets.

    Attributes:
        first, second: the image in the one and in the other.
        kind: "same file" is the same bytes.
        distance: bits by which the perceptual hashes differ, 0 to 64.
    """

    first: ImageRef
    second: ImageRef
    kind: LeakKind
    distance: int


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """Hashes of a dataset's images.

    Attributes:
        images: those that could be read.
        sha256: of each file's bytes.
        perceptual: perceptual hash of each image.
        mirrored: perceptual hash of its mirror image.
        unreadable: one line for each of the other images: why it could not be read.
    """

    images: list[ImageRef]
    sha256: list[bytes]
    perceptual: UInt64[np.ndarray, " image"]
    mirrored: UInt64[np.ndarray, " image"]
    unreadable: list[str]


def hash_images(images: Iterable[ImageRef], *, threads: int = 4) -> ImageHashes:
    """Hashes of images, in their order. Unreadable and truncated images are reported in `unreadable`."""
    images = list(dict.fromkeys(images))
    with ThreadPoolExecutor(threads) as workers:
        hashed = list(workers.map(_hash_image, images))
    good = [(image, result) for image, result in zip(images, hashed, strict=True) if not isinstance(result, str)]
    return ImageHashes(
        [image for image, _ in good],
        [result[0] for _, result in good],
        np.array([result[1] for _, result in good], np.uint64),
        np.array([result[2] for _, result in good], np.uint64),
        [result for result in hashed if isinstance(result, str)],
    )


def _hash_image(image: ImageRef) -> tuple[bytes, int, int] | str:
    """SHA-256, perceptual hash and that of the mirror image; or why the image cannot be read."""
    try:
        content = image.read_bytes()
        with open_image(io.BytesIO(content), image) as file:
            file.draft("L", (MIN_SIDE, MIN_SIDE))
            grey = ImageOps.exif_transpose(file).convert("L")
    except OccluposeError as error:
        return str(error)
    return hashlib.sha256(content).digest(), _perceptual_hash(grey), _perceptual_hash(ImageOps.mirror(grey))


def _perceptual_hash(grey: Image.Image) -> int:
    return int(str(imagehash.phash(grey)), 16)


def find_leaks(
    train: ImageHashes, test: ImageHashes, *, max_distance: int = MAX_DISTANCE, threads: int = 2
) -> list[Leak]:
    """Images of the one that are also in the other, each pair once under the strongest kind, in the order of the first.

    Arguments:
        max_distance: bits by which perceptual hashes may differ. A larger distance finds copies that were cropped more
            (3 % off every side costs about 6 bits, 5 % about 10), and images that only look alike: of unrelated pairs
            one in a thousand million is at most 8 bits apart, one in fifty million 10.
        threads: for the comparison.

    Raises:
        OccluposeError: `max_distance` is not between 0 and 63.
    """
    if not 0 <= max_distance < 64:
        raise OccluposeError(f"max_distance {max_distance}: hashes have 64 bits; give a number from 0 to 63")
    found: dict[tuple[int, int], tuple[LeakKind, int]] = {}
    by_sha256 = defaultdict[bytes, list[int]](list)
    for second, digest in enumerate(test.sha256):
        by_sha256[digest].append(second)
    for first, digest in enumerate(train.sha256):
        for second in by_sha256.get(digest, ()):
            found[first, second] = "same file", 0
    kinds: tuple[tuple[LeakKind, UInt64[np.ndarray, " image"]], ...] = (
        ("same image", test.perceptual),
        ("mirrored image", test.mirrored),
    )
    for kind, hashes in kinds:
        for first, second, distance in _close_pairs(train.perceptual, hashes, max_distance, threads):
            known = found.get((first, second))
            if known is None or (known[0] != "same file" and distance < known[1]):
                found[first, second] = kind, distance
    return [Leak(train.images[first], test.images[second], *found[first, second]) for first, second in sorted(found)]


def _close_pairs(
    ones: UInt64[np.ndarray, "one"], others: UInt64[np.ndarray, "other"], max_distance: int, threads: int
) -> list[tuple[int, int, int]]:
    """Indices and distance of all pairs within the distance."""
    if not (len(ones) and len(others)):
        return []
    rows = max(1, BLOCK // len(others))
    with ThreadPoolExecutor(threads) as workers:
        blocks = list(workers.map(partial(_compare_block, ones, others, max_distance, rows), range(0, len(ones), rows)))
    return [tuple(row) for block in blocks for row in block.tolist()]


def _compare_block(
    ones: UInt64[np.ndarray, "one"], others: UInt64[np.ndarray, "other"], max_distance: int, rows: int, start: int
) -> Int[np.ndarray, "pair 3"]:
    distance = np.bitwise_count(ones[start : start + rows, None] ^ others)
    first, second = np.nonzero(distance <= max_distance)
    return np.stack([first + start, second, distance[first, second]], -1)
