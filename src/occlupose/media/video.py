"""Video files as streams of frames."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import av.container
import numpy as np
from av.buffer import Buffer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from occlupose.errors import OccluposeError
from occlupose.media.checks import one_line
from occlupose.media.sound import SoundTrack
from occlupose.media.source import ASSUMED_FPS, RGB, TICK, Frame, Source, TimeRange, no_frames

VIDEO_SUFFIXES = tuple(".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .mts .m2ts .ts .wmv .flv .3gp .ogv .mxf .vob".split())
"""By which videos are found in folders; a file that is named may have any."""

UNSPECIFIED_SPACE = 2
"""FFmpeg's AVCOL_SPC_UNSPECIFIED."""

MAX_FRAME_PIXELS = 80_000_000
"""Of a video's frame: 240 MB as RGB, of which several are read ahead. The largest cameras have 79.6 million (12K)."""


class Video(Source):
    """A video file. Damaged parts are skipped, truncated files are read as far as possible; `warnings` lists both."""

    kind = "video"

    def __init__(self, path: Path, window: TimeRange):
        self.name = str(path)
        self.warnings = []
        self._path = path
        self._window = window
        with self._opened() as container:
            stream = self._stream(container)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise OccluposeError(f"{path}: no frame of it can be decoded; copy it again or re-encode it")
            self._check_size(first.width, first.height)
            self._first_pts = first.pts
            self._time_base = stream.time_base or Fraction(1, av.time_base)
            self._coded_size = (first.width, first.height)
            self._matrix = _display_matrix(first)
            self.height, self.width = _upright_rgb(first, self._matrix).shape[:2]
            self._length = _length(container, stream)
            audio = container.streams.audio[0].codec_context if container.streams.audio else None
            if audio is not None:
                self.sound = SoundTrack(path, audio.name, float((first.pts or 0) * self._time_base))
            self._rate, self.fps_assumed = _rate(stream)
            if stream.sample_aspect_ratio not in (None, 0, 1):
                self.warn(
                    f"its pixels are not square ({stream.sample_aspect_ratio}); frames are given as stored, so people"
                    " look stretched"
                )
            frames = stream.frames or (None if self._length is None else round(self._length * self._rate))
        beyond = self._length is not None and window.start >= self._length
        if beyond and next(window.select(self._timed_frames()), None) is None:
            raise OccluposeError(no_frames(self.name, window, self._length))
        self.fps = self._rate / window.every
        self.count = window.expected(frames, self._rate)
        self.duration = None if self._length is None else max(0.0, min(self._length, window.end) - window.start)

    def __iter__(self) -> Iterator[Frame]:
        return (make() for _, make in self._deferred_frames())

    def _deferred_frames(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        index = -1
        for index, (time, frame) in enumerate(self._window.select(self._timed_frames())):
            yield time, partial(self._frame, index, time, frame)
        if index < 0:
            raise OccluposeError(no_frames(self.name, self._window, self._length))

    def _frame(self, index: int, time: float, frame: VideoFrame) -> Frame:
        return Frame(index, time, _upright_rgb(frame, self._matrix), continues=True)

    @contextmanager
    def _opened(self) -> Iterator[av.container.InputContainer]:
        try:
            # without "file:", FFmpeg takes the part before a colon for a protocol; tags need not be UTF-8
            container = av.open(f"file:{self._path}", metadata_errors="ignore")
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = f"not a readable video ({one_line(error)})"
            cure = "if it is one, it was cut off or damaged: copy it again"
            raise OccluposeError(f"{self._path}: {reason}; {cure}") from error
        with container:
            yield container

    def _stream(self, container: av.container.InputContainer) -> VideoStream:
        cover = av.stream.Disposition.attached_pic  # album art is not a video
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams or container.format.name == "tty":  # FFmpeg plays text files as terminals
            raise OccluposeError(f"{self._path}: has no video in it, or was cut off; give a video or an image")
        context = streams[0].codec_context
        if context is None:
            raise OccluposeError(f"{self._path}: its codec is not known, or was damaged; re-encode it as H.264")
        self._check_size(context.width, context.height)
        return streams[0]

    def _check_size(self, width: int, height: int) -> None:
        """Refuses frames that are too large to hold. Raises OccluposeError."""
        if width * height > MAX_FRAME_PIXELS:
            needed = f"{width}x{height}, {3 * width * height / 2**30:.1f} GiB for each frame"
            limit = f"scale it to at most {MAX_FRAME_PIXELS // 1_000_000} million pixels"
            raise OccluposeError(f"{self._path}: its frames are too large ({needed}); {limit}")

    def _timed_frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds, frame) from the last key frame before the range on, or from the beginning if seeking misses it."""
        if self._window.start and self._first_pts is not None:
            frames = self._frames_from(self._window.start)
            first = next(frames, None)
            if first is not None and first[0] <= self._window.start + TICK:
                yield first
                yield from frames
                return
        yield from self._frames_from()

    def _frames_from(self, start: float = 0.0) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds, frame) from a key frame near `start` on.

        Times are those of the timestamps, or one frame duration after the previous frame where these are missing or do
        not increase.
        """
        step = 1 / self._rate
        time = start - step
        duration = step
        with self._opened() as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            if start and self._first_pts is not None:
                time = -math.inf
                with suppress(av.FFmpegError):  # if seeking fails, read from the beginning
                    container.seek(self._first_pts + math.floor(start / self._time_base), stream=stream)
            for frame in self._decoded(container, stream):
                if (frame.width, frame.height) != self._coded_size:
                    was = f"{self._coded_size[0]}x{self._coded_size[1]}"
                    now = f"{frame.width}x{frame.height}"
                    wrong = f"frames change from {was} to {now} after {time:.2f} s"
                    raise OccluposeError(f"{self._path}: {wrong}; re-encode it with one size")
                stamp = -math.inf
                if frame.pts is not None and self._first_pts is not None:
                    stamp = float((frame.pts - self._first_pts) * self._time_base)
                time = stamp if stamp > time + TICK else time + step
                duration = float(frame.duration * self._time_base) if frame.duration else step
                yield time, frame
        if self._length is not None and 0 <= time + duration < self._length - 0.5:
            self.warn(f"was cut off: it ends at {time + duration:.2f} s of {self._length:.2f} s")

    def _decoded(self, container: av.container.InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Every frame that can be decoded, in order of presentation."""
        damaged = 0
        for packet in self._packets(container, stream):
            try:
                yield from stream.decode(packet)
            except av.FFmpegError:
                damaged += 1
        if damaged:
            self.warn(f"{damaged} damaged frames were left out")

    def _packets(self, container: av.container.InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
        """The stream's packets as far as they can be read; the last, None or empty, flushes the decoder."""
        try:
            yield from container.demux(stream)
        except (av.FFmpegError, OSError) as error:
            self.warn(f"reading stopped early ({one_line(error)}); what came before was read")
            yield None


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """Rotation and mirroring that players apply.

    For one frame only: after this PyAV frames stay in memory until cycles are collected.
    """
    matrix = cast(Buffer | None, frame.side_data.get("DISPLAYMATRIX"))
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def _upright_rgb(frame: VideoFrame, matrix: np.ndarray | None) -> RGB:
    """The frame as RGB, rotated and mirrored by a display matrix.

    Where the file does not name its colour matrix, BT.709 is assumed for high definition and BT.601 below, as players
    do.
    """
    space = None
    if frame.colorspace == UNSPECIFIED_SPACE:
        space = Colorspace.ITU709 if frame.height > 576 or frame.width >= 1280 else Colorspace.ITU601
    image = frame.to_ndarray(format="rgb24", src_colorspace=space, dst_color_range=ColorRange.JPEG)
    return image if matrix is None else _turn(image, matrix)


def _turn(image: RGB, matrix: np.ndarray) -> RGB:
    """The image under a display matrix (9 numbers): x' = m0 x + m3 y, y' = m1 x + m4 y, to the nearest quarter turn and
    mirror image.
    """
    x_to_x, x_to_y = matrix[[0, 1]]
    y_to_x, y_to_y = matrix[[3, 4]]
    if abs(x_to_y) > abs(x_to_x):
        image = image.transpose(1, 0, 2)
        right = y_to_x
        down = x_to_y
    else:
        right = x_to_x
        down = y_to_y
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def _rate(stream: VideoStream) -> tuple[float, bool]:
    """Frames per second, and whether they are assumed."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    stated = next((float(rate) for rate in rates if rate is not None and 0 < rate <= 1000), None)
    return (ASSUMED_FPS, True) if stated is None else (stated, False)


def _length(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Duration of the video in seconds by its header, None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if tag := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = map(float, tag.groups())
        return hours * 3600 + minutes * 60 + seconds
    if container.duration is not None and not container.streams.audio:
        return container.duration / av.time_base
    return None
