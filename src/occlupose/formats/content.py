"""Opens a file or folder, whatever is in it, by its content; runs nothing that is in it."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from occlupose.errors import OccluposeError, unreadable, wrong_schema
from occlupose.formats.hdf5 import open_hdf5
from occlupose.formats.recording import number_frames
from occlupose.npz import check_text, open_npz

__all__ = ["Content", "Kind", "checked", "open_content", "parse_json"]

Kind = Literal["folder", "json", "hdf5", "netcdf3", "numpy", "text"]

T = TypeVar("T")

HDF5 = b"\x89HDF\r\n\x1a\n"
NETCDF3 = b"CDF"
NUMPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Content:
    """What is in a file or folder.

    Attributes:
        path: of it.
        kind: of `value`. folder: its .json files in the order of their frames; json: the document; hdf5: the open
            `h5py.File`; netcdf3: the open `scipy.io.netcdf_file`; numpy: the arrays by name (`""` for that of a .npy);
            text: its lines, none of a file that is no text.
        value: of this kind.
    """

    path: Path
    kind: Kind
    value: Any


@contextmanager
def open_content(path: Path) -> Iterator[Content]:
    """What is in a file or folder; open until the block ends.

    Raises:
        OccluposeError: it is missing, cannot be read, or is damaged.
    """
    if _is_folder(path):
        yield Content(path, "folder", _json_files(path))
        return
    with _opened(path) as file:
        start = file.read(1024)
    if start.startswith(HDF5):
        with open_hdf5(path) as hdf5:
            yield Content(path, "hdf5", hdf5)
    elif start.startswith(NETCDF3):
        with _open_netcdf3(path) as netcdf:
            yield Content(path, "netcdf3", netcdf)
    elif start.startswith((NUMPY, ZIP)):
        yield Content(path, "numpy", _read_arrays(path))
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        yield Content(path, "json", parse_json(path))
    else:
        yield Content(path, "text", [] if b"\0" in start else _decode(path.read_bytes()).splitlines())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # where nobody may look; opening it says so
        return False


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise unreadable(path, error, "give a .npz or .json file, or one of another tool") from error


def parse_json(path: Path) -> Any:
    """The document in a JSON file; NaN and Infinity are numbers.

    Raises:
        OccluposeError: the file cannot be read or is not JSON.
    """
    with _opened(path) as file:
        content = file.read()
    try:
        return from_json(_decode(content))
    except ValueError as error:
        raise OccluposeError(f"{path}: not JSON, or not all of it ({error}); write it again") from error


def checked(path: Path, schema: TypeAdapter[T], document: Any, hint: str) -> T:
    """A JSON document, checked against a schema.

    Arguments:
        hint: what to give instead, for the message.

    Raises:
        OccluposeError: it does not have this schema; says where.
    """
    try:
        return schema.validate_python(document)
    except ValidationError as error:
        raise wrong_schema(path, error, hint) from error


def _decode(content: bytes) -> str:
    """Text in UTF-8, with or without a byte order mark, or else in Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _json_files(folder: Path) -> list[tuple[int, Path]]:
    """The .json files in a folder with the numbers of their frames; those that end in _keypoints.json, if there are."""
    try:
        files = [path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
    except OSError as error:
        raise unreadable(folder, error, "give a folder with a .json file for each frame") from error
    files = [path for path in files if path.stem.endswith("_keypoints")] or files
    if not files:
        raise OccluposeError(f"{folder}: no .json file in it; give a folder with one for each frame, or a .npz file")
    numbers, notes = number_frames(path.name for path in files)
    stems = {re.sub(r"[0-9]+(_keypoints)?$", "", path.stem) for path in files}
    if notes or len(stems) > 1:
        names = " and ".join(sorted(path.name for path in files)[:: max(len(files) - 1, 1)][:2])
        raise OccluposeError(f"{folder}: {names} are not numbered frames of one video; give a folder of one video")
    return sorted((numbers[path.name], path) for path in files)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):
            return {"": _read_array(path)}
        with open_npz(path) as archive:
            return dict(archive)
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: {error}; write it again with numpy.save or numpy.savez") from error


def _read_array(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
        check_text(values)
        return values
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"damaged or not plain arrays ({str(error).partition(chr(10))[0]})") from error


@contextmanager
def _open_netcdf3(path: Path) -> Iterator[Any]:
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, mmap=False) as file:
            yield file
    except OccluposeError:
        raise
    except Exception as error:  # a damaged file may fail in any way, when its arrays are read too
        raise OccluposeError(f"{path}: damaged, or not a netCDF file; write it again") from error
