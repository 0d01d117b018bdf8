"""The table of an archive: what became of each input."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import Any

from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.worker import Result
from occlupose.errors import OccluposeError
from occlupose.files import atomic

SUMMARY = "summary.csv"

FIGURES = ("seconds", "frames", "people", "visible", "occluded", "absent")
"""Columns of numbers; the last three are shares of all joints of all people in all frames."""

COLUMNS = ("input", "output", "status", "error", *FIGURES)

LARGE = 1000
"""Rows of a table that is not written after each input, since that would hold up the work."""

PAUSE = 10.0
"""Seconds between two times that a large table is written."""


class Summary:
    """A row for each input that was begun or skipped, in the order of the archive.

    Arguments:
        path: of the .csv.
        jobs: all inputs.
    """

    def __init__(self, path: Path, jobs: Sequence[Job]) -> None:
        self.path = path
        self._rows: dict[Path, dict[str, Any] | None] = {job.folder: None for job in jobs}
        self._written = 0.0

    def add(self, job: Job, result: Result) -> None:
        """Says what became of an input; `write` puts it into the file."""
        figures = {name: result.figures.get(name) for name in FIGURES}
        row = {"input": job.input, "output": job.folder, "status": result.status, "error": result.error}
        self._rows[job.folder] = row | figures

    def write_if_due(self) -> None:
        """Replaces the file, unless it is large and was written a moment ago. Raises OccluposeError: it cannot be."""
        if len(self._rows) < LARGE or monotonic() - self._written >= PAUSE:
            self.write()

    def write(self) -> None:
        """Replaces the file. Raises OccluposeError: it cannot be written."""
        text = StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in self._rows.values() if row is not None)
        try:
            self._replace(text.getvalue())
        except OccluposeError:  # a call that begins at this moment takes its temporary file for one of a killed process
            self._replace(text.getvalue())
        self._written = monotonic()

    def _replace(self, text: str) -> None:
        with atomic(self.path) as part:
            # names of files need not be UTF-8
            part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
