"""Readers that fail in every way, to test that it is noticed."""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np

from fuzz.mutation import Target, change_bytes
from occlupose.errors import OccluposeError


class Lines(OccluposeError):
    """An error whose message has two lines."""

    def __str__(self) -> str:
        return "a\nb"


def read(name: str, path: Path) -> object:
    """Fails as its name says."""
    if name == "exception":
        return {}[path.name]
    if name == "several lines":
        raise Lines("a")
    if name == "refused":
        raise OccluposeError(f"{path}: wrong; give another")
    if name == "died":
        os.abort()
    if name == "memory":
        return np.ones(2**30).sum()
    while name == "hang":
        pass
    if name == "asleep":
        time.sleep(1000)
    return None


def make(folder: Path) -> Path:
    """A file that nobody looks at."""
    path = folder / "a.txt"
    path.write_bytes(b"content")
    return path


NAMES = ("read", "refused", "exception", "several lines", "died", "memory", "hang", "asleep")
ALL = {name: Target(name, make, change_bytes, partial(read, name)) for name in NAMES}
