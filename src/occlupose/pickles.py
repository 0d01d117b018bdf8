"""Untrusted pickles, read without running code: names in them resolve to our stand-ins or are refused.

NumPy's own classes are not safe either: `numpy.dtype.__setstate__` accepts overlapping fields, with which a file can
make NumPy drop a reference at any address. So arrays, dtypes and scalars are rebuilt here from their numbers.
"""

import pickle
import re
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

_DTYPE = re.compile(r"[fiubc](?:[1248]|16)|O8?|[US]\d{1,4}")
"""Allowed element types of a pickled array: numbers, objects, strings."""


class PickledDtype:
    """Stand-in for a pickled `numpy.dtype` of a plain type.

    Raises:
        pickle.UnpicklingError: any other type.
    """

    code = ""
    order = "="

    def __init__(self, code: str, *_: Any) -> None:
        if not _DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r:.20} in it")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array of unknown byte order in it")
        self.order = state[1]

    def numpy(self) -> np.dtype:
        """The dtype itself.

        Raises:
            pickle.UnpicklingError: its elements are objects.
        """
        if self.code.startswith("O"):
            raise pickle.UnpicklingError("an object where numbers should be in it")
        return np.dtype(f"{self.order}{self.code}")


class PickledArray:
    """Stand-in for a pickled `numpy.ndarray`.

    Attributes:
        items: an array of numbers or strings, or the list of an object array's elements.
    """

    items: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.code.startswith("O"):
            if type(data) is not list or len(data) != int(np.prod(shape, dtype=np.int64)):
                raise pickle.UnpicklingError("an array of objects in it that lacks some")
            self.items = data
        else:
            content = data.encode("latin1") if isinstance(data, str) else data  # bytes of Python 2 are text here
            self.items = np.frombuffer(content, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: Any) -> PickledArray:
    return PickledArray()


def _scalar(dtype: PickledDtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.numpy())[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1" or type(text) is not str:
        raise pickle.UnpicklingError("bytes in an unknown encoding in it")
    return text.encode("latin1")


NUMPY: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}
"""Stand-ins for the names in NumPy's pickles, by module and name."""

_BYTES: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,  # bytes in protocol 2 of Python 3, which NumPy used before 1.17
    ("__builtin__", "bytes"): bytes,  # empty bytes, likewise
}


class SafeUnpickler(pickle.Unpickler):
    """An unpickler for plain values, NumPy's arrays (as `PickledArray`) and the names that it is given.

    Arguments:
        names: stand-ins for further names, by module and name.
        encoding: of strings of Python 2.

    Raises:
        pickle.UnpicklingError: from `load`; the file names anything else.
    """

    def __init__(
        self, file: IO[bytes], names: Mapping[tuple[str, str], Any] | None = None, *, encoding: str = "ASCII"
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._names = {**NUMPY, **_BYTES, **(names or {})}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name."""
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"names {module}.{name}, which may run code and was not touched")
        return self._names[module, name]
