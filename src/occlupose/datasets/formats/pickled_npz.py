"""Nested dictionaries of arrays in .npz files, as `numpy.savez` pickles them, read without running code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from occlupose.errors import OccluposeError, unreadable
from occlupose.pickles import SafeUnpickler


def read_pickled(path: Path, *names: str) -> list[Any]:
    """The named entries of an .npz file: arrays, or what `numpy.savez` made of nested dictionaries, lists and arrays
    (these inside as `PickledArray`).

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
        raise unreadable(path, error, "give an .npz file") from error
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
        content = SafeUnpickler(file).load()
        return content.items[0] if shape == () else content.items
