"""Plain arrays in .npz files of others: read one by one, without running code, and only as large as the file really is.

with open_npz(path) as file:
    xy = file["xy"]
"""

import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

MAX_BYTES = 4 * 2**30
"""Of all arrays that are read from one file of others: a small one can unpack to a thousand times its size."""

OWN_BYTES = 2**40
"""The same of our own files of training data."""

MAX_EMPTY = 10_000_000
"""Places along the sides of an array without elements, which no byte of the file pays for."""

PLAIN = "biufcSU"
"""Kinds of NumPy's types that are read: numbers, truth values, bytes and texts."""


class NpzArrays(Mapping[str, np.ndarray]):
    """The arrays of an open .npz file by name; each is read when it is asked for.

    Raises:
        KeyError: for a name that is not in it.
        ValueError: for an array that is damaged, too large, or not of plain numbers or texts; names it in one line.
    """

    def __init__(self, archive: zipfile.ZipFile, max_bytes: int) -> None:
        self._archive = archive
        self._max_bytes = max_bytes
        self._members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        self._bytes = 0

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with _naming(name):
            return self._read(member)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    @contextmanager
    def in_parts(self, name: str) -> Iterator[tuple[tuple[int, ...], Callable[[int], np.ndarray]]]:
        """The shape of an array, and what reads it from its beginning on: called with a number of rows, it returns the
        next ones.

        Raises:
            KeyError, ValueError: as of the whole array, when it is opened or read.
        """
        member = self._members[name]
        with _naming(name):
            file = self._archive.open(member)
        with file:
            with _naming(name):
                shape, transposed, dtype = _read_header(file)
                self._check(member.file_size, file.tell(), shape, dtype)
                if transposed or not shape:
                    raise ValueError("its rows do not follow each other")

            def read(rows: int) -> np.ndarray:
                values = np.zeros((rows, *shape[1:]), dtype)
                with _naming(name):
                    data = file.read(values.nbytes)
                    if len(data) < values.nbytes:
                        raise ValueError(f"has fewer than {rows} more rows")
                    values = np.frombuffer(data, dtype).reshape(values.shape)
                    check_text(values)
                    return values

            yield shape, read
            with _naming(name):
                file.read(1)  # the end, where the checksum is compared

    def _read(self, member: zipfile.ZipInfo) -> np.ndarray:
        with self._archive.open(member) as file:
            shape, _, dtype = _read_header(file)
            self._check(member.file_size, file.tell(), shape, dtype)
        with self._archive.open(member) as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
        check_text(values)
        return values

    def _check(self, size: int, start: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Refuses an array that is not plain, or not as large as its header says, or too large. Raises ValueError."""
        if dtype.kind not in PLAIN:
            raise ValueError("objects, which are not read" if dtype.hasobject else f"values of type {dtype}")
        count = math.prod(shape)
        if min(shape, default=0) < 0 or start + count * dtype.itemsize != size:
            raise ValueError(f"its data are not of shape {shape}")
        if math.prod(max(side, 1) for side in shape) * (dtype.itemsize or 1) > max(size, MAX_EMPTY):
            raise ValueError(f"shape {shape} is too large")
        self._bytes += size
        if self._bytes > self._max_bytes:
            needed = f"{self._bytes / 2**30:.1f} GiB of memory"
            raise ValueError(f"needs {needed}, at most {self._max_bytes / 2**30:g} are allowed")


def check_text(values: np.ndarray) -> None:
    """Refuses an array of text that is not Unicode, of which NumPy makes damaged strings. Raises ValueError."""
    if values.dtype.kind != "U" or not values.nbytes:
        return
    codes = np.ascontiguousarray(values.ravel().astype(values.dtype.newbyteorder("="))).view(np.uint32)
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("text that is not Unicode")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Raises ValueError for whatever fails: names the array, in one line."""
    try:
        yield
    except Exception as error:  # a damaged archive may fail in any way
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(f"damaged or not plain arrays ({name}: {why})") from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first axis changes fastest, and type of an array."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return header(file)


def write_array(archive: zipfile.ZipFile, name: str, parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Adds an array to an .npz file, in parts that follow each other along its first axis.

    Arguments:
        shape: of the whole.
    """
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        for number, part in enumerate(parts):
            if number == 0:
                kind = {"descr": np.lib.format.dtype_to_descr(part.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, kind)
            file.write(part.tobytes())


@contextmanager
def open_npz(source: Path | IO[bytes], max_bytes: int = MAX_BYTES) -> Iterator[NpzArrays]:
    """The arrays of an .npz file, open until the block ends.

    Arguments:
        max_bytes: of all arrays that are read.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no whole .npz archive.
    """
    try:
        archive = zipfile.ZipFile(source)
    except OSError:
        raise
    except Exception as error:  # a damaged archive may fail in any way
        raise ValueError("not a whole .npz archive") from error
    with archive:
        yield NpzArrays(archive, max_bytes)
