"""What a run was made from, for JSON: the content of its input, and the settings that its files follow from."""

import hashlib
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from occlupose.errors import OccluposeError, unreadable

NO_SETTINGS = ("device", "threads")
"""Options that say where and how fast it is done, not what."""

BLOCK = 1 << 20
"""Bytes that are read at once."""


def stamp(files: Sequence[Path]) -> dict[str, Any]:
    """What tells at a glance whether files have changed: their size in bytes, and when each was modified, ns.

    Raises:
        OccluposeError: a file is missing.
    """
    try:
        states = [file.stat() for file in files]
    except OSError as error:
        raise unreadable(files[0], error, "give files that stay where they are") from error
    return {"size": sum(state.st_size for state in states), "modified": [state.st_mtime_ns for state in states]}


def digest(files: Sequence[Path]) -> str:
    """The SHA-256 of the contents of files, in hexadecimal digits. Raises OccluposeError: a file cannot be read."""
    total = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    total.update(block)
        except OSError as error:
            raise unreadable(file, error, "check its permissions") from error
    return total.hexdigest()


class InputContent:
    """What an input is, from before it is read.

    Arguments:
        name: of the input.
        files: of the input; none of a camera.

    Raises:
        OccluposeError: a file is missing.
    """

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self._name = name
        self._files = files
        self._stamp = stamp(files)

    def by_stamp(self) -> dict[str, Any]:
        """The stamp, for JSON."""
        return {"content": self._stamp if self._files else None}

    def whole(self) -> dict[str, Any]:
        """Stamp and digest, for JSON. Raises OccluposeError: the files have changed meanwhile."""
        whole = {**self._stamp, "sha256": digest(self._files)}
        if stamp(self._files) != self._stamp:
            raise OccluposeError(f"{self._name}: has changed while it was read; run it again once it is complete")
        return {"content": whole}


def settings(options: Any) -> dict[str, Any]:
    """The options of a dataclass that are not the default, with those of dataclasses in it.

    Files are named with the SHA-256 of their content. An option that a later version adds changes nothing.
    """
    chosen = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in NO_SETTINGS:
            continue
        if is_dataclass(value):
            if inner := settings(value):
                chosen[field.name] = inner
        elif field.default is MISSING or value != field.default:
            chosen[field.name] = _as_json(value)
    return chosen


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    file = _file(value)
    if file is None:
        return str(value) if isinstance(value, Path) else value
    word = str(value).removesuffix(str(file))
    return f"{word}{file.name} sha256:{_digest_once(file)}"


def _file(value: Any) -> Path | None:
    """The file that an option names; a word with a colon may stand before it."""
    if isinstance(value, Path):
        return value if value.is_file() else None
    if isinstance(value, str) and Path(value).suffix:
        return next((path for path in (Path(value), Path(value.partition(":")[2])) if path.is_file()), None)
    return None


def _digest_once(file: Path) -> str:
    """The digest of a file, with that of a network's card beside it; computed once for all inputs."""
    card = file.with_suffix(".json")
    files = (file, card) if file.suffix.lower() == ".onnx" and card.is_file() else (file,)
    states = [each.stat() for each in files]
    return _digest_of(files, tuple((state.st_size, state.st_mtime_ns) for state in states))


@lru_cache(maxsize=64)
def _digest_of(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    return digest(files)
