"""What the user asks for: at the command line, in a text list, in a manifest."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from occlupose.cli.estimation import RunOptions
from occlupose.cli.options import direction, seconds
from occlupose.errors import OccluposeError, naming, reason

COLUMNS: dict[str, tuple[Callable[[str], Any], str]] = {
    "start": (seconds, "not a time; give seconds, m:ss or h:mm:ss"),
    "end": (seconds, "not a time; give seconds, m:ss or h:mm:ss"),
    "height": (float, "not a number; give metres"),
    "fov": (float, "not a number; give degrees"),
    "camera": (Path, "not a file; give a JSON file"),
    "up": (direction, "not a direction; give x,y,z in the camera's axes, such as 0,-1,0"),
}
"""Options in a manifest: how a value is read, and what is said of a wrong one."""

NAMES = ("input", "output", *COLUMNS)
"""Columns of a manifest."""


@dataclass(frozen=True)
class Request:
    """What the user asks for in one place.

    Attributes:
        text: file, folder or glob pattern.
        options: for what is found there.
        output: folder for it, in that of the archive; None: as the tree says.
    """

    text: str
    options: RunOptions
    output: str | None = None


def read_requests(
    texts: Sequence[str], list_file: Path | None, manifest: Path | None, options: RunOptions
) -> list[Request]:
    """What the command line, a text list and a manifest ask for, in this order.

    Raises:
        OccluposeError: a list or manifest cannot be read, names nothing, or has a wrong column or value.
    """
    requests = [Request(text, options) for text in texts]
    if list_file is not None:
        requests += _read_list(list_file, options)
    if manifest is not None:
        requests += _read_manifest(manifest, options)
    return requests


def _read_list(path: Path, options: RunOptions) -> list[Request]:
    lines = _read(path, "give a text file with a path a line").split("\n")
    requests = [Request(line, options) for line in lines if line.strip()]
    if not requests:
        raise OccluposeError(f"{path}: names no input; give a text file with a path a line")
    return requests


def _read_manifest(path: Path, options: RunOptions) -> list[Request]:
    text = _read(path, "give a CSV file with a column input")
    header = text.partition("\n")[0]
    # spreadsheets write semicolons where the comma is in numbers
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.DictReader(StringIO(text), delimiter=delimiter)
    requests = []
    try:
        columns = reader.fieldnames or ()
        for name in columns:
            if name not in NAMES:
                raise OccluposeError(f"{path}: column {name}: not known; known are {', '.join(NAMES)}")
        if "input" not in columns:
            raise OccluposeError(f"{path}: has no column input; known are {', '.join(NAMES)}")
        for row in reader:
            if any(row.values()):
                with naming(f"{path}:{reader.line_num}"):
                    requests.append(_read_row(row, options))
    except csv.Error as error:
        raise OccluposeError(f"{path}: not a CSV file ({reason(error)}); give one with a column input") from error
    if not requests:
        raise OccluposeError(f"{path}: names no input; give a row for each")
    return requests


def _read_row(row: dict[Any, Any], options: RunOptions) -> Request:
    if None in row:
        raise OccluposeError("has more values than columns; quote values that have commas in them, such as up")
    given = {name: value for name, value in row.items() if value}
    if "input" not in given:
        raise OccluposeError("has no input; give a file")
    output = Path(given.get("output", ""))
    if output.anchor or ".." in output.parts:
        raise OccluposeError(f"output {output}: not in the output folder; give the name of a folder in it, without ..")
    values = {name: _value(name, given[name]) for name in COLUMNS if name in given}
    times = {name: values.pop(name) for name in ("start", "end") if name in values}
    own = replace(options, calibration=replace(options.calibration, **values), **times)
    own.check()
    return Request(given["input"], own, given.get("output"))


def _value(name: str, text: str) -> Any:
    read, wrong = COLUMNS[name]
    try:
        return read(text)
    except ValueError as error:
        raise OccluposeError(f"{name} {text}: {wrong}") from error


def _read(path: Path, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise OccluposeError(f"{path}: cannot be read ({reason(error)}); {hint}") from error
