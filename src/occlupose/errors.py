"""The exception for everything that a user can cause and fix."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class OccluposeError(Exception):
    """A file, option or value from the user that cannot be used.

    The message is one line, `FILE: what was wrong; what would be right`. The command line prints it and exits with code
    2. Line breaks and control characters, which names in files may have, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """A text that may have names from a file in it, as a line: line breaks and control characters become spaces."""
    return _CONTROL.sub(" ", text)


def unreadable(file: object, error: Exception, hint: str) -> OccluposeError:
    """The error for a file that cannot be read.

    Arguments:
        file: its path or name.
        error: why it cannot be read.
        hint: what to give instead.
    """
    return OccluposeError(f"{file}: cannot be read ({reason(error)}); {hint}")


def wrong_schema(file: object, error: Any, hint: str) -> OccluposeError:
    """The error for a document that does not have a schema.

    Arguments:
        file: its path or name.
        error: pydantic's ValidationError; the first of its errors counts.
        hint: what to give instead.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    return OccluposeError(f"{file}: {where}: {first['msg'].lower()}; {hint}")


def reason(error: Exception) -> str:
    """The message of an exception in lower case, without the name of the file."""
    return (getattr(error, "strerror", None) or str(error)).lower()


@contextmanager
def naming(file: object) -> Iterator[None]:
    """Puts the name of a file before the message of an OccluposeError from the block."""
    try:
        yield
    except OccluposeError as error:
        raise OccluposeError(f"{file}: {error}") from error
