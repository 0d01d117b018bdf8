"""The result of an evaluation: printed as tables, explained by notes, written as .csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import rich.table
from rich.console import Console

from occlupose.files import atomic

Row = tuple[Sequence[object], Mapping[str, float]]
"""The labels of a row, and its metrics by name; NaN where there is nothing to score."""


@dataclass(frozen=True)
class Column:
    """A metric.

    Attributes:
        name: by which rows have it.
        header: in print; the name if empty.
        csv: header in .csv files; the name if empty.
        factor: of printed values, such as 100 for percent. They have one decimal.
        digits: decimals in .csv files, where values are as they are.
    """

    name: str
    header: str = ""
    csv: str = ""
    factor: float = 1.0
    digits: int = 6


@dataclass(frozen=True)
class Table:
    """Metrics of an evaluation.

    Attributes:
        labels: headers of the rows' labels.
        columns: the metrics.
        rows: what was scored.
        title: in print.
        views: smaller tables, which are printed instead of this one.
        notes: lines that say what was scored and how, and what is missing.
    """

    labels: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str | None = None
    views: Sequence["Table"] = ()
    notes: Sequence[str] = ()

    def __rich__(self) -> rich.table.Table:
        """For rich's `print`: all rows, with a dash where there is nothing to score."""
        table = rich.table.Table(*self.labels, title=self.title)
        for column in self.columns:
            table.add_column(column.header or column.name, justify="right")
        for labels, values in self.rows:
            figures = [column.factor * values[column.name] for column in self.columns]
            table.add_row(*map(str, labels), *("-" if isnan(figure) else f"{figure:.1f}" for figure in figures))
        return table

    def print(self) -> None:
        """Prints the views, or the table itself if it has none, and the notes."""
        console = Console()
        for view in self.views or [self]:
            console.print(view)
        for note in self.notes:
            print(note)

    def write_csv(self, path: Path) -> None:
        """Writes every row; cells are empty where there is nothing to score.

        Raises:
            OccluposeError: the file could not be written.
        """
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.labels, *(column.csv or column.name for column in self.columns)])
            for labels, values in self.rows:
                cells = ((values[column.name], column.digits) for column in self.columns)
                writer.writerow([*labels, *("" if isnan(value) else f"{value:.{digits}f}" for value, digits in cells)])
