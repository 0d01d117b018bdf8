"""HDF5 files of others, read with h5py: plain numbers and texts from this file alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from occlupose.errors import OccluposeError, unreadable

if TYPE_CHECKING:
    import h5py

__all__ = ["open_hdf5", "read_dataset", "to_text", "to_texts"]

MAX_BYTES = 8 * 2**30
"""Larger datasets are refused: a small file can claim any size."""

ELSEWHERE = "lies in another file; give a file that holds everything"


@contextmanager
def open_hdf5(path: Path) -> Iterator["h5py.File"]:
    """An HDF5 file, open until the block ends.

    Raises:
        OccluposeError: h5py is not installed, or the file cannot be read; from the block, the file is damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise OccluposeError(f"{path}: needs h5py; pip install '.[hdf5]' in a clone of occlupose") from error
    try:
        with h5py.File(path, "r") as file:
            for name in file:
                _refuse_link(file, name)
            yield file
    except OccluposeError:
        raise
    except OSError as error:
        raise unreadable(path, error, "write the file again, or give another one") from error
    except Exception as error:  # a damaged file may fail in any way
        raise OccluposeError(
            f"{path}: damaged ({str(error).partition(chr(10))[0]}); write the file again, or give another one"
        ) from error


def _refuse_link(group: "h5py.Group", name: str) -> None:
    import h5py

    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        raise OccluposeError(f"{group.file.filename}: {name} {ELSEWHERE}")


def read_dataset(group: "h5py.Group", name: str) -> np.ndarray:
    """The array of a dataset.

    Raises:
        OccluposeError: there is none, it is very large, or it lies in another file.
    """
    import h5py

    path = Path(group.file.filename)
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        there = ", ".join(group) or "nothing"
        raise OccluposeError(f"{path}: no array {name} in it, but {there}; give the file that has it")
    _refuse_link(group, name)
    if dataset.external or dataset.is_virtual:
        raise OccluposeError(f"{path}: {name} {ELSEWHERE}")
    if dataset.size is None or dataset.size * dataset.dtype.itemsize > MAX_BYTES:
        raise OccluposeError(f"{path}: {name} of shape {dataset.shape} is empty or too large; give a part of it")
    return np.asarray(dataset[()])


def to_text(value: Any) -> str:
    """The text of an attribute or element: bytes, an array of one, or text already."""
    value = np.asarray(value).ravel()[0] if np.size(value) else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def to_texts(values: np.ndarray) -> list[str]:
    """The texts in an array, along its first axis; characters along a second one are joined, as in netCDF 3."""
    if values.ndim == 2:
        values = np.array([b"".join(row.astype("S").tolist()) for row in values])
    return [to_text(value) for value in values]
