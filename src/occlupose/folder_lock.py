"""A lock on a folder, so that two processes never write into the same one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from occlupose.errors import OccluposeError, reason

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed
    fcntl = None  # type: ignore[assignment]

LOCK = ".occlupose.lock"
"""File with the number of the process that writes into a folder. A killed process leaves it, unlocked."""

PATIENCE = 3.0
"""Seconds to wait for another process, which may need them to end after it was killed."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process is in this block for a folder; the system ends the lock if it is killed.

    The folder is created if it is missing, and removed if it is empty at the end.

    Raises:
        OccluposeError: another process is in the block, or the folder cannot be written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            opened = _take(folder / LOCK, monotonic() + PATIENCE)
        except BlockingIOError:
            owner = _owner(folder / LOCK)
            cure = "wait for it, or give another folder with -o"
            raise OccluposeError(f"{folder}: another process{owner} is writing into it; {cure}") from None
        except OSError as error:
            raise OccluposeError(
                f"{folder}: cannot be written to ({reason(error)}); give another folder with -o"
            ) from error
        try:
            yield
        finally:
            _release(folder / LOCK, opened)
    finally:
        for path in made:
            with suppress(OSError):  # not empty
                path.rmdir()


def was_cut_short(folder: Path) -> bool:
    """Whether a process was killed while it wrote into a folder, or one is writing now."""
    return (folder / LOCK).exists()


def _take(path: Path, deadline: float) -> int:
    """The opened and locked file. Raises BlockingIOError: another process has it until after the deadline."""
    while True:
        opened = _try(path)
        if opened is not None:
            os.ftruncate(opened, 0)
            os.write(opened, f"{os.getpid()}\n".encode())
            return opened
        if monotonic() > deadline:
            raise BlockingIOError
        sleep(0.05)


def _try(path: Path) -> int | None:
    """The opened file, locked if no other process has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _try_exclusive(path) if fcntl is None else _try_flock(path)
    except FileNotFoundError:  # another process removes its folder or file at this moment
        return None


def _try_flock(path: Path) -> int | None:
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    except OSError:
        return opened  # this file system has no locks
    try:
        is_current = os.path.samestat(os.fstat(opened), path.stat())  # else its last owner has removed it meanwhile
    except FileNotFoundError:
        is_current = False
    if not is_current:
        os.close(opened)
        return None
    return opened


def _try_exclusive(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        try:
            path.unlink()
        except PermissionError:  # it is open
            return None
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except (FileExistsError, PermissionError):
        return None


def _release(path: Path, opened: int) -> None:
    if fcntl is None:
        os.close(opened)
    with suppress(OSError):
        path.unlink()
    if fcntl is not None:
        os.close(opened)


def _owner(path: Path) -> str:
    """The number of the process that has the lock, in brackets; "" if it is not known."""
    try:
        return f" ({int(path.read_text())})"
    except (OSError, ValueError):
        return ""
