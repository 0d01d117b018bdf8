"""Frames, and the streams that give them."""

import itertools
import math
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from jaxtyping import UInt8

from occlupose.errors import OccluposeError
from occlupose.media.sound import SoundTrack
from occlupose.pyramid import Pyramid
from occlupose.threads import background_thread

ASSUMED_FPS = 30.0
TICK = 1e-6
"""Times that differ by less, in seconds, are the same."""

T = TypeVar("T")
RGB = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Arguments:
        index: number of the frame among those that the source returns: 0, 1, 2, ..., also with `every` or `start`.
        time: seconds since the first frame of the file (or camera session); strictly increasing. Videos: from the
            presentation timestamps.
        image: (height, width, 3) uint8 RGB, upright.
        continues: whether it is of a video, so that what is not found in it may be found in the next.
    """

    index: int
    time: float
    image: RGB
    continues: bool = False

    @cached_property
    def pyramid(self) -> Pyramid:
        """The image at several sizes, for crops."""
        return Pyramid(self.image)


def _same_frame(frame: Frame) -> Frame:
    return frame


class Source(ABC):
    """A stream of frames: iterable (repeatedly, unless it is live), and a context manager that closes it.

    Attributes:
        name: what was opened, for messages.
        kind: "image", "folder" (also a glob), "video" or "camera".
        width, height: pixels, upright.
        fps: frames per second after `every`; the average rate where a video's rate varies.
        fps_assumed: True where no rate is known and 30 is assumed (images, damaged headers).
        count: number of frames: exact for images, as the header states for videos, None where unknown.
        duration: of those frames in seconds, None where unknown.
        live: True for cameras: frames come once and do not end by themselves.
        names: file names of the images, in the order of the frames; empty where the frames are not files.
        sound: of a video, if it has any.
        warnings: problems that did not stop the reading, one line each; complete after the iteration.
    """

    name: str
    kind: str
    live: bool = False
    names: Sequence[str] = ()
    width: int
    height: int
    fps: float
    fps_assumed: bool = False
    count: int | None
    duration: float | None
    sound: SoundTrack | None = None
    warnings: list[str]

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames in order. Raises OccluposeError at the first frame that cannot be read."""

    def frames_at(self, times: Sequence[float]) -> list[Frame]:
        """The frames at increasing times (s), or the next frame where there is none at a time.

        Times after the last frame are left out; if all are, the last frame is returned.
        """
        frames: list[Frame] = []
        last = None
        for time, last in self._deferred_frames() if times else ():
            if time >= times[len(frames)] - 0.5 / self.fps:
                frames.append(last())
            if len(frames) == len(times):
                break
        return frames or ([] if last is None else [last()])

    def _deferred_frames(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        """Time of each frame in order, with a function that decodes it."""
        for frame in self:
            yield frame.time, partial(_same_frame, frame)

    def close(self) -> None:  # noqa: B027, most sources hold nothing between iterations
        """Release the device. Files are opened and closed by each iteration."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warn(self, text: str) -> None:
        """Add `text` to the warnings, once."""
        line = f"{self.name}: {text}"
        if line not in self.warnings:
            self.warnings.append(line)


@dataclass(frozen=True)
class TimeRange:
    """Selected frames of a source: every n-th of those with start <= time < end (seconds)."""

    every: int = 1
    start: float = 0.0
    end: float = math.inf

    def __post_init__(self) -> None:
        if not 1 <= self.every <= sys.maxsize:
            raise OccluposeError(f"every {self.every}: cannot take every {self.every}th frame; give 1, 2, 3, ...")
        if not 0 <= self.start < self.end:
            until = "" if math.isinf(self.end) else f", end {self.end:g} s"
            raise OccluposeError(
                f"start {self.start:g} s{until}: an empty range; give a start of 0 or more, before the end"
            )

    def select(self, timed: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
        """The selected (time, item) pairs of pairs in order of time; stops reading at `end`."""
        early_enough = itertools.takewhile(lambda item: item[0] < self.end - TICK, timed)
        late_enough = itertools.dropwhile(lambda item: item[0] < self.start - TICK, early_enough)
        return itertools.islice(late_enough, None, None, self.every)

    def expected(self, count: int | None, rate: float) -> int | None:
        """Number of selected frames, of `count` at `rate` frames per second."""
        if count is None:
            return None
        first = math.ceil(self.start * rate - rate * TICK)
        last = count if math.isinf(self.end) else min(count, math.ceil(self.end * rate - rate * TICK))
        return max(0, math.ceil((last - first) / self.every))


def with_half_resolution(source: Iterable[Frame]) -> Iterator[Frame]:
    """The frames with their half resolution level computed; with `prefetch` this happens in the background."""
    for frame in source:
        frame.pyramid.level(1)
        yield frame


def prefetch(source: Iterable[Frame], depth: int = 4, *, low_priority: bool = True) -> Generator[Frame, None, None]:
    """The frames of `source`, decoded up to `depth` frames ahead in a background thread, by default of low priority.

    An error of the source is raised in place of its frame. The thread ends with the generator, also when that is closed
    early.
    """
    frames = iter(source)
    worker = background_thread("prefetch", low_priority=low_priority)
    try:
        ahead = deque(worker.submit(next, frames, None) for _ in range(depth))
        while (frame := ahead.popleft().result()) is not None:
            ahead.append(worker.submit(next, frames, None))
            yield frame
    finally:
        worker.shutdown(cancel_futures=True)


def no_frames(name: str, window: TimeRange, length: float | None) -> str:
    """Message for a range of a source that holds no frame."""
    lasts = "" if length is None else f" (it lasts {length:.2f} s)"
    until = "" if math.isinf(window.end) else f" and before {window.end:g} s"
    return f"{name}: has no frame from {window.start:g} s on{until}{lasts}; choose a time within it"
