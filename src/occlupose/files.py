"""Writing of files: atomic, tried beforehand, and one for each person; removal of what a killed process left. Reading
of JSON.
"""

import json
import math
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from occlupose.errors import OccluposeError, reason

_MOST_OF_STEM = 50
"""Characters of a file's name in that of a temporary one: names have at most 255 bytes."""

LEFTOVER_AGE = 3600.0
"""Age in seconds of temporary files that nobody is still writing."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that is renamed to `path` when the block ends.

    The folder is created if it is missing. After an exception no temporary file is left, and a file that was at `path`
    before is unchanged. The block may make a folder there instead; it takes the place of an empty one. What has the
    name is on the disk, whole, even after a power cut. A process that is killed leaves a temporary file, which
    `remove_leftovers` finds.

    Raises:
        OccluposeError: the disk is full, the folder is not writable, and so on; names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:_MOST_OF_STEM]}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush_names(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink()
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OccluposeError(
            f"{path}: could not be written ({reason(error)}); choose a folder that is writable and has room"
        ) from error


def _flush(path: Path) -> None:
    """Waits until a file, or all files of a folder, are on the disk."""
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _flush_names(folder: Path) -> None:
    """Waits until the names of a folder's files are on the disk, where systems can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_leftovers(folder: Path, stems: Sequence[str] | None = None, *, older_than: float = 0.0) -> list[Path]:
    """Removes temporary files that a killed process left in a folder.

    Only for a folder that no other process writes to, or for files that are older than the writing of one takes.

    Arguments:
        stems: what the names of the files begin with; a word may follow after - or _, as of `name_by_person`. None: any
            names.
        older_than: seconds since a file was changed.

    Returns:
        What was removed.
    """
    known = r"[\w-]+" if stems is None else "|".join(re.escape(stem[:_MOST_OF_STEM]) for stem in stems)
    name = re.compile(rf"\.(?:{known})(?:[-_][\w-]+)?\.[0-9a-f]{{8}}(?:\..*)?")
    before = time.time() - older_than
    found = [path for path in folder.glob(".*") if name.fullmatch(path.name)]
    left = [path for path in found if not older_than or _changed(path) < before]
    for path in left:
        with suppress(OSError):
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
    return left


def _changed(path: Path) -> float:
    """When a file was changed, s; now if it is gone."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf


def try_to_write(folder: Path) -> None:
    """Writes a temporary file into a folder, or into the nearest one above that exists. Raises OSError."""
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            raise OSError(f"{path} is a broken link")
        if path.exists():
            with tempfile.TemporaryFile(dir=path):
                return


def name_by_person(path: Path, track_ids: Sequence[int]) -> list[Path]:
    """The file of each person: `path` of a single one, NAME_ID beside it of several."""
    if len(track_ids) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{track_id}{path.suffix}") for track_id in track_ids]


def find_by_person(path: Path) -> list[Path]:
    """The files with names of `name_by_person` that exist, whoever is in them."""
    name = re.compile(rf"{re.escape(path.stem)}(_-?\d+)?{re.escape(path.suffix)}")
    return sorted(file for file in path.parent.glob("*") if name.fullmatch(file.name) and file.is_file())


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON document.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
