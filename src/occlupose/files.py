"""Whole files or none: everything that is written goes through here."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlupose.errors import OccluposeError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, with the same suffix, that becomes `path` when the block ends well.

    The folder is made where it is missing. After any exception neither the temporary file nor a half-written `path` is
    left, and a file that stood at `path` before is untouched.

    Raises:
        OccluposeError: the disk is full, the folder is not writable, or the like; names `path`.
    """
    path = Path(path)
    # of a long name a part only: names end at 255 bytes
    temporary = path.with_name(f".{path.stem[:50]}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OccluposeError(
            f"{path}: could not be written ({reason}); choose a folder that is writable and has room"
        ) from error
