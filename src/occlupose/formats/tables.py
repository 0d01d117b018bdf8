"""Tables of numbers: CSV and the like."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Float, Shaped

from occlupose.errors import OccluposeError
from occlupose.pose_files import shortest

__all__ = ["LONGEST", "frame_of", "read_numbers", "split_lines", "to_cells"]

EMPTY = ("", "na", "nan", "none", "null")
LONGEST = csv.field_size_limit()
"""Letters of a cell."""

_CHUNK = 1000
"""Rows that are turned into numbers at once: texts take much more memory."""


def split_lines(lines: Iterable[str], delimiters: str = ",;\t", *, where: object = "a table") -> Iterator[list[str]]:
    """The cells of each line that is not empty; split by the one of the delimiters that the first line has most.

    Arguments:
        where: the file, for messages.

    Raises:
        OccluposeError: a cell is longer than LONGEST, as after a lone quotation mark.
    """
    lines = iter(lines)
    first = next(lines, "")
    delimiter = max(delimiters, key=first.count)
    try:
        yield from csv.reader([first], delimiter=delimiter)
        yield from csv.reader((line for line in lines if line.strip()), delimiter=delimiter)
    except csv.Error as error:
        raise OccluposeError(f"{where}: not a table ({error}); write the file again") from error


def read_numbers(
    rows: Iterable[Sequence[str]], columns: Sequence[int], where: object
) -> Float[np.ndarray, "row column"]:
    """The numbers in some columns; NaN where a cell is empty or the row is shorter.

    Raises:
        OccluposeError: something else is in a cell.
    """
    rows = iter(rows)
    chunks = [np.empty((0, len(columns)))]
    while chunk := list(islice(rows, _CHUNK)):
        try:
            chunks.append(np.array([[float(row[column]) for column in columns] for row in chunk]))
        except (ValueError, IndexError):
            chunks.append(np.array([[_number(row, column, where) for column in columns] for row in chunk]))
    return np.concatenate(chunks)


def _number(row: Sequence[str], column: int, where: object) -> float:
    cell = row[column].strip() if column < len(row) else ""
    try:
        return np.nan if cell.lower() in EMPTY else float(cell)
    except ValueError as error:
        raise OccluposeError(f"{where}: {cell[:40]!r} where a number should be; write the file again") from error


def frame_of(cell: str) -> int | str:
    """What stands for a frame: its number, or the name of its image."""
    try:
        return int(float(cell))
    except (ValueError, OverflowError):
        return cell


def to_cells(values: Shaped[np.ndarray, "*any"]) -> Shaped[np.ndarray, "*any"]:
    """Python's numbers, float32 with as few digits as tell them apart; None where NaN."""
    cells = shortest(values).astype(object)
    cells[np.isnan(values)] = None
    return cells
