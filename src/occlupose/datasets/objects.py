"""Nested dictionaries of arrays in .npz files, as `numpy.savez` pickles them, read without running anything that a
pickle may name.

Pickles can call any function. This reader knows the four names of numpy that arrays are pickled by and gives each a
harmless meaning of its own; plain numbers, strings, lists, tuples, sets and dictionaries need no name. Whatever else a
file names is refused.
"""

import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from occlupose.errors import OccluposeError

_DTYPE = re.compile(r"[fiub][1248]|O8?|U\d{1,4}")
"""Elements that a pickled array may have: numbers, objects, strings."""


def read_objects(path: Path, *names: str) -> list[Any]:
    """The named entries of an .npz file: arrays, or what `numpy.savez` made of nested dictionaries, lists and arrays.

    Raises:
        OccluposeError: the file cannot be read, lacks an entry, or holds anything but arrays, numbers, strings and
            containers of them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
            if missing:
                there = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                raise OccluposeError(f"{path}: no {missing[0]} in it, but {there}; give the file that has it")
            return [_read(archive, f"{name}.npy") for name in names]
    except OccluposeError:
        raise
    except pickle.UnpicklingError as error:
        raise OccluposeError(
            f"{path}: {str(error).splitlines()[0]}; give a file of plain dictionaries of arrays"
        ) from error
    except OSError as error:
        raise OccluposeError(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give an .npz file"
        ) from error
    except Exception as error:  # a damaged archive or pickle may fail in any way
        raise OccluposeError(f"{path}: damaged, or not an .npz file; fetch it again") from error


def _read(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if not dtype.hasobject:
            with archive.open(name) as again:
                return np.lib.format.read_array(again, allow_pickle=False)
        content = _Reader(file).load()
        return content.items[0] if shape == () else content.items


@dataclass
class _Dtype:
    """A pickled `numpy.dtype`: one of a few plain kinds."""

    code: str
    order: str = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array of unknown byte order in it")
        self.order = state[1]

    def numpy(self) -> np.dtype:
        return np.dtype(f"{self.order}{self.code}")


class Pickled:
    """A pickled `numpy.ndarray`: `items` is an array of numbers or strings, or the list of an object array's
    elements.
    """

    items: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.code.startswith("O"):
            if type(data) is not list or len(data) != int(np.prod(shape, dtype=np.int64)):
                raise pickle.UnpicklingError("an array of objects in it that lacks some")
            self.items = data
        else:
            self.items = np.frombuffer(data, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


def _bytes(text: str, coding: str) -> bytes:
    if coding != "latin1" or type(text) is not str:
        raise pickle.UnpicklingError("bytes in an unknown coding in it")
    return text.encode("latin1")


class _Reader(pickle.Unpickler):
    """An unpickler to which every name means something of ours, or nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        meanings = {
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): self.dtype,
            ("numpy._core.multiarray", "_reconstruct"): self.array,
            ("numpy._core.multiarray", "scalar"): self.scalar,
            ("_codecs", "encode"): _bytes,  # so Python 3 writes bytes in protocol 2, which numpy used before 1.17
            ("__builtin__", "bytes"): bytes,  # likewise where there are none
        }
        known = (module.replace("numpy.core", "numpy._core"), name)
        if known not in meanings:
            raise pickle.UnpicklingError(f"names {module}.{name}, which may run code and was not touched")
        return meanings[known]

    def dtype(self, code: str, *_: Any) -> _Dtype:
        if not _DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r:.20} in it")
        return _Dtype(code)

    def array(self, *_: Any) -> Pickled:
        return Pickled()

    def scalar(self, dtype: _Dtype, data: bytes) -> Any:
        return np.frombuffer(data, dtype.numpy())[0].item()
