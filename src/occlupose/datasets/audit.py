"""Pictures of one dataset that stand in another: what a network has learnt from must not be what it is tested on.

Files of the same bytes are found by their hash (SHA-256), pictures that were compressed, scaled or cut slightly again,
or mirrored, by a perceptual hash: the signs of the 64 lowest frequencies of the picture at 32 x 32 (imagehash's
`phash`), which pictures that look alike share all but for a few.
"""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from occlupose.media import IMAGE_FORMATS

APART = 8
"""Bits by which the hashes of two copies may differ. Ours."""

SIDE = 128
"""Pixels of the shorter side that a JPEG is decoded at, at least, to be hashed. Ours."""

BLOCK = 1 << 22
"""Pairs that are compared at once."""

Kind = Literal["same file", "same picture", "mirrored picture"]


@dataclass(frozen=True)
class Leak:
    """A picture that stands in both datasets.

    Attributes:
        first, second: the picture in the one and in the other.
        kind: "same file" is the same bytes.
        distance: bits by which the perceptual hashes differ, 0 to 64.
    """

    first: ImageRef
    second: ImageRef
    kind: Kind
    distance: int


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Hashes of a dataset's pictures.

    Attributes:
        pictures: those that could be read.
        files: SHA-256 of each one's bytes.
        looks: perceptual hash of each.
        mirrored: that of its mirror image.
        unreadable: why the others could not be read, a line each.
    """

    pictures: list[ImageRef]
    files: list[bytes]
    looks: UInt64[np.ndarray, "picture"]
    mirrored: UInt64[np.ndarray, "picture"]
    unreadable: list[str]


def fingerprints(pictures: Iterable[ImageRef], *, threads: int = 4) -> Fingerprints:
    """Hashes of pictures, in their order; those that cannot be read or end too early are named, and do not stop it."""
    pictures = list(dict.fromkeys(pictures))
    with ThreadPoolExecutor(threads) as workers:
        hashed = list(workers.map(_hashed, pictures))
    good = [(picture, result) for picture, result in zip(pictures, hashed, strict=True) if not isinstance(result, str)]
    return Fingerprints(
        [picture for picture, _ in good],
        [result[0] for _, result in good],
        np.array([result[1] for _, result in good], np.uint64),
        np.array([result[2] for _, result in good], np.uint64),
        [result for result in hashed if isinstance(result, str)],
    )


def _hashed(picture: ImageRef) -> tuple[bytes, int, int] | str:
    try:
        content = picture.read_bytes()
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            image.draft("L", (SIDE, SIDE))
            grey = ImageOps.exif_transpose(image).convert("L")
    except OccluposeError as error:
        return str(error)
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, Image.DecompressionBombError) as error:
        return f"{picture}: not a readable picture ({str(error).splitlines()[0].lower()}); copy it again"
    return hashlib.sha256(content).digest(), _look(grey), _look(ImageOps.mirror(grey))


def _look(grey: Image.Image) -> int:
    return int(str(imagehash.phash(grey)), 16)


def leaks(train: Fingerprints, test: Fingerprints, *, apart: int = APART, threads: int = 2) -> list[Leak]:
    """The pictures of the one that stand in the other, each pair once under the strongest kind, in the order of the
    first.

    Arguments:
        apart: bits by which perceptual hashes may differ. More finds copies that were cut more (3 % off every side
            costs about 6 bits, 5 % about 10), and pictures that only look alike: of pairs that have nothing in common
            one in a thousand million is 8 bits apart or less, one in fifty million 10.
        threads: that compare.

    Raises:
        OccluposeError: a number of bits that no hashes can be apart.
    """
    if not 0 <= apart < 64:
        raise OccluposeError(f"apart {apart}: hashes have 64 bits; give a number from 0 to 63")
    found: dict[tuple[int, int], tuple[Kind, int]] = {}
    by_file = defaultdict[bytes, list[int]](list)
    for second, file in enumerate(test.files):
        by_file[file].append(second)
    for first, file in enumerate(train.files):
        for second in by_file.get(file, ()):
            found[first, second] = "same file", 0
    kinds: tuple[tuple[Kind, UInt64[np.ndarray, " picture"]], ...] = (
        ("same picture", test.looks),
        ("mirrored picture", test.mirrored),
    )
    for kind, looks in kinds:
        for first, second, distance in _close(train.looks, looks, apart, threads):
            known = found.get((first, second))
            if known is None or (known[0] != "same file" and distance < known[1]):
                found[first, second] = kind, distance
    return [
        Leak(train.pictures[first], test.pictures[second], *found[first, second]) for first, second in sorted(found)
    ]


def _close(
    ones: UInt64[np.ndarray, "one"], others: UInt64[np.ndarray, "other"], apart: int, threads: int
) -> list[tuple[int, int, int]]:
    """Places and distances of all pairs that are at most so far apart."""
    if not (len(ones) and len(others)):
        return []
    rows = max(1, BLOCK // len(others))
    with ThreadPoolExecutor(threads) as workers:
        blocks = list(workers.map(partial(_block, ones, others, apart, rows), range(0, len(ones), rows)))
    return [tuple(row) for block in blocks for row in block.tolist()]


def _block(
    ones: UInt64[np.ndarray, "one"], others: UInt64[np.ndarray, "other"], apart: int, rows: int, start: int
) -> Int[np.ndarray, "pair 3"]:
    distance = np.bitwise_count(ones[start : start + rows, None] ^ others)
    first, second = np.nonzero(distance <= apart)
    return np.stack([first + start, second, distance[first, second]], -1)


def audit(
    train: Sequence[ImageRef], test: Sequence[ImageRef], *, apart: int = APART, threads: int = 4
) -> tuple[list[Leak], list[str]]:
    """`leaks` of pictures that are read for it, and a line for each that could not be read.

    Raises:
        OccluposeError: as `leaks`.
    """
    first = fingerprints(train, threads=threads)
    second = fingerprints(test, threads=threads)
    return leaks(first, second, apart=apart, threads=threads), first.unreadable + second.unreadable
