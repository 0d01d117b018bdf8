"""Problems of a dataset that do not make it unusable: counted and named, never dropped silently."""

from dataclasses import dataclass, field
from pathlib import Path

from occlupose.errors import OccluposeError, printable

MAX_NAMES = 3
"""Names listed for each kind of problem in a line."""


@dataclass
class DataReport:
    """Problems that were found while a dataset was read.

    Attributes:
        file: that was read.
        strict: the first problem is an error.
        problems: names of the people or images, by kind of problem.
        notes: the same for cases that are no problem (people without an annotated joint, crowds).
    """

    file: Path
    strict: bool = False
    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add_problem(self, kind: str, name: str) -> None:
        """Counts a problem.

        Raises:
            OccluposeError: the report is strict.
        """
        if self.strict:
            raise OccluposeError(f"{self.file}: {kind}: {name}; correct the file, or do without strict")
        self.problems.setdefault(kind, []).append(name)

    def add_note(self, kind: str, name: str) -> None:
        """Counts something that is no problem."""
        self.notes.setdefault(kind, []).append(name)

    @property
    def counts(self) -> dict[str, int]:
        """Number of cases of each kind of problem."""
        return {kind: len(names) for kind, names in self.problems.items()}

    def __bool__(self) -> bool:
        return bool(self.problems)

    def lines(self) -> list[str]:
        """A line for each kind of problem: the kind, the number of cases and the first names."""
        return [printable(f"{self.file}: {kind}: {_counted(names)}") for kind, names in self.problems.items()]


def _counted(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{len(names)} ({', '.join(names[:MAX_NAMES])}{more})"
