"""Arrays of one track after another: in memory while they are small, then in a temporary file."""

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from occlupose.errors import OccluposeError, reason

IN_MEMORY = 16 * 2**20
"""Bytes of the tracks that stay in memory: the first ones. Ours."""


class _Stored(NamedTuple):
    """An array in the file."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]


class TrackStore:
    """Arrays by name of tracks 0, 1, ..., which are added at the end and do not change.

    Tracks beyond `in_memory` bytes are in a temporary file, which goes away with the store.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._tracks: list[dict[str, Any]] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of tracks."""
        return len(self._tracks)

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds a track. Raises OccluposeError: no room for the temporary file."""
        self._bytes += sum(values.nbytes for values in arrays.values())
        if self._bytes <= self._in_memory:
            self._tracks.append({name: np.array(values) for name, values in arrays.items()})
            return
        try:
            self._tracks.append({name: self._write(values) for name, values in arrays.items()})
        except OSError as error:
            where = tempfile.gettempdir()
            raise OccluposeError(f"{where}: {reason(error)}; set TMPDIR to a folder with more room") from error

    def get(self, track: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of a track, by default all; not to be written to."""
        stored = self._tracks[track]
        return {name: self._read(stored[name]) for name in (stored if names is None else names)}

    def __getstate__(self) -> tuple[int, list[dict[str, np.ndarray]]]:
        return self._in_memory, [self.get(track) for track in range(len(self))]

    def __setstate__(self, state: tuple[int, list[dict[str, np.ndarray]]]) -> None:
        in_memory, tracks = state
        TrackStore.__init__(self, in_memory)
        for track in tracks:
            self.append(track)

    def _write(self, values: np.ndarray) -> _Stored:
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="occlupose-")  # noqa: SIM115 (open as long as the store)
            offset = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
            self._file.flush()
        return _Stored(offset, values.dtype, values.shape)

    def _read(self, stored: Any) -> np.ndarray:
        if isinstance(stored, np.ndarray):
            return stored
        assert self._file is not None
        values = np.empty(stored.shape, stored.dtype)
        if values.size:
            with self._lock:
                self._file.seek(stored.offset)
                self._file.readinto(values.data.cast("B"))  # type: ignore[attr-defined]
        return values

    def __del__(self) -> None:
        with suppress(Exception):
            if self._file is not None:
                self._file.close()
