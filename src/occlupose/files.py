"""Writing of files: atomic, tried beforehand, and one for each person."""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from occlupose.errors import OccluposeError, reason


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that is renamed to `path` when the block ends.

    The folder is created if it is missing. After an exception no temporary file is left, and a file that was at `path`
    before is unchanged. The block may make a folder there instead; it takes the place of an empty one.

    Raises:
        OccluposeError: the disk is full, the folder is not writable, and so on; names `path`.
    """
    path = Path(path)
    # shortened: file names have at most 255 bytes
    temporary = path.with_name(f".{path.stem[:50]}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OccluposeError(
            f"{path}: could not be written ({reason(error)}); choose a folder that is writable and has room"
        ) from error


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
