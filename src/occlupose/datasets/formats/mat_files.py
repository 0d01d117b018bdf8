"""Arrays of MATLAB's .mat files, read in a process of its own: damaged ones can crash SciPy."""

import io
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from occlupose.datasets.formats import mat_child
from occlupose.errors import OccluposeError
from occlupose.pickles import PickledArray, SafeUnpickler

TIMEOUT = 600.0
"""Seconds after which a file is damaged; whole ones take a second or two."""


def read_mats(files: Sequence[tuple[Path, str]], hint: str) -> list[Any]:
    """The array of this name in each file: numbers as an array, a struct as a dictionary, a cell array as its shape and
    the list of its cells; None if the file has no such array.

    Arguments:
        files: paths and names.
        hint: what to give instead, for the error message.

    Raises:
        OccluposeError: a file cannot be read; names it.
    """
    arguments = [str(part) for file in files for part in file]
    output = b""
    try:
        command = [sys.executable, "-P", str(Path(mat_child.__file__)), *arguments]
        output = subprocess.run(command, capture_output=True, timeout=TIMEOUT).stdout
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
    arrays: list[Any] = []
    stream = io.BytesIO(output)
    with suppress(Exception):  # what the process wrote is as little trusted as the files
        while len(arrays) < len(files):
            length = int.from_bytes(stream.read(8), "little")
            arrays.append(_unpacked(SafeUnpickler(io.BytesIO(stream.read(length))).load()))
    if len(arrays) < len(files):
        raise OccluposeError(f"{files[len(arrays)][0]}: not a whole .mat file; {hint}")
    return arrays


def _unpacked(value: Any) -> Any:
    """The same with NumPy's own arrays."""
    if isinstance(value, PickledArray):
        return value.items
    if isinstance(value, dict):
        return {name: _unpacked(item) for name, item in value.items()}
    return (value[0], [_unpacked(item) for item in value[1]]) if isinstance(value, tuple) else value
