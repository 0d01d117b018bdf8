"""What was wrong with a dataset without making it unusable: counted and named, never silent."""

from dataclasses import dataclass, field
from pathlib import Path

from occlupose.errors import OccluposeError

NAMED = 3
"""How many of each kind are named in a line."""


@dataclass
class Problems:
    """What was found while a file was read.

    Attributes:
        file: that was read.
        strict: the first problem is an error.
        found: whom each kind of problem concerns.
        ordinary: the same, of what every dataset has (people without an annotated joint, crowds): no problem, but
            counted.
    """

    file: Path
    strict: bool = False
    found: dict[str, list[str]] = field(default_factory=dict)
    ordinary: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Counts a problem.

        Raises:
            OccluposeError: no problem is allowed.
        """
        if self.strict:
            raise OccluposeError(f"{self.file}: {kind}: {name}; mend the file, or do without strict")
        self.found.setdefault(kind, []).append(name)

    def note(self, kind: str, name: str) -> None:
        """Counts something that is no problem."""
        self.ordinary.setdefault(kind, []).append(name)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind of problem there are."""
        return {kind: len(names) for kind, names in self.found.items()}

    def __bool__(self) -> bool:
        return bool(self.found)

    def lines(self) -> list[str]:
        """A line for each kind of problem: what it is, how many there are, and the first few names."""
        return [f"{self.file}: {kind}: {_counted(names)}" for kind, names in self.found.items()]


def _counted(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} ({', '.join(names[:NAMED])}{more})"
