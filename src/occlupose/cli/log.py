"""A file of JSON lines that says what a run does, for other programs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from occlupose.cli.output import NOT_UTF8
from occlupose.cli.terminal import check_file
from occlupose.errors import OccluposeError, reason


class EventLog:
    """Appends a line for each event, which is in the file at once.

    Arguments:
        path: of the file; None: there is no log.

    Raises:
        OccluposeError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is None:
            return
        check_file(path, "--log")
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
            if self._file.tell():
                self._file.seek(-1, 2)
                if self._file.read(1) != b"\n":  # a killed process has not completed its line
                    self._file.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._file.close()

    def write(self, event: str, input: str, output: Path, **details: Any) -> None:
        """Adds a line.

        Arguments:
            event: what happened: started, finished, skipped, failed or interrupted.
            input: what it happened to.
            output: its folder.
            details: more values for JSON; those that are None are left out.
        """
        if self._path is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {name: value for name, value in details.items() if value is not None}
        line = json.dumps(
            {"time": time, "event": event, "input": input, "output": str(output), **known}, ensure_ascii=False
        )
        with self._writing():
            self._file.write(f"{line}\n".encode(errors=NOT_UTF8))
            self._file.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OccluposeError(
                f"{self._path}: could not be written ({reason(error)}); give another file with --log"
            ) from error
