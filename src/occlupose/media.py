"""Pictures, folders of pictures, videos and cameras in, as one stream of frames; videos and pictures out.

    with open_media("walk.mp4", every=2) as source, VideoWriter("out.mp4", source.width, source.height, source.fps) as
    out:
        for frame in prefetch(source):
            out.write(frame.image)

Frames are uint8 RGB, upright (EXIF orientation and display matrices are applied), and come one at a time:
a long video takes no more memory than a short one.
"""

import glob
import io
import itertools
import math
import re
import sys
import time as clock
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

import av
import av.container
import cv2
import numpy as np
from av.buffer import Buffer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.pyramid import Pyramid
from occlupose.threads import background

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".pgm")
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "PPM")
"""Pillow's names of these formats, for `Image.open`: of others some start programs (Ghostscript for an EPS)."""
MAX_PIXELS = 160_000_000  # of one picture: 480 MB as RGB; the largest cameras on sale make 151 million
ASSUMED_FPS = 30.0
TICK = 1e-6  # seconds; closer times are the same
# FFmpeg's AVCOL_SPC_BT709, AVCOL_SPC_UNSPECIFIED
BT709_SPACE = 1
UNSPECIFIED_SPACE = 2

T = TypeVar("T")
RGB = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Arguments:
        index: place among the frames the source gives: 0, 1, 2, ... whatever `every` and `start` left out.
        time: seconds since the first frame of the file (or camera session); strictly increasing. Videos: from the
            presentation timestamps.
        image: (height, width, 3) uint8 RGB, upright.
    """

    index: int
    time: float
    image: RGB

    @cached_property
    def pyramid(self) -> Pyramid:
        """The image, to cut from at any size."""
        return Pyramid(self.image)


def _same(frame: Frame) -> Frame:
    return frame


class Source(ABC):
    """A stream of frames. Iterate it (again and again, unless it is live), or use it as a context manager that closes
    it.

    Attributes:
        name: what was opened, for people to read.
        kind: "picture", "folder" (also a glob), "video" or "camera".
        width, height: pixels, upright.
        fps: frames per second that the source gives, after `every`; the average rate where a video's rate varies.
        fps_assumed: True where nothing states a rate and 30 is assumed (pictures, damaged headers).
        count: how many frames it will give: exact for pictures, the header's word for videos, None where unknown.
        duration: seconds those frames last, None where unknown.
        live: True for cameras: frames pass once and never end by themselves.
        names: of the picture files, in the order of the frames; none where the frames are not files.
        warnings: what went wrong without stopping the reading, one line each; complete when the iteration is.
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
    warnings: list[str]

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames in order. Raises OccluposeError at the first frame that cannot be given."""

    def at(self, times: Sequence[float]) -> list[Frame]:
        """The frames at some times (s), which increase; where there is none just then, the next.

        Times after the last frame are left out, unless all are: then it is that frame.
        """
        frames: list[Frame] = []
        last = None
        for time, last in self._pending() if times else ():
            if time >= times[len(frames)] - 0.5 / self.fps:
                frames.append(last())
            if len(frames) == len(times):
                break
        return frames or ([] if last is None else [last()])

    def _pending(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        """Time of each frame in order, and what makes it."""
        for frame in self:
            yield frame.time, partial(_same, frame)

    def close(self) -> None:  # noqa: B027, most sources hold nothing between iterations
        """Lets go of the device. Files are opened by each iteration and closed with it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warn(self, text: str) -> None:
        """Adds `text` to the warnings, once."""
        line = f"{self.name}: {text}"
        if line not in self.warnings:
            self.warnings.append(line)


@dataclass(frozen=True)
class Window:
    """Which frames of a source are wanted: every n-th of those with start <= time < end (seconds)."""

    every: int = 1
    start: float = 0.0
    end: float = math.inf

    def __post_init__(self) -> None:
        if not 1 <= self.every <= sys.maxsize:
            raise OccluposeError(f"every {self.every}: cannot take every {self.every}th frame; give 1, 2, 3, ...")
        if not 0 <= self.start < self.end:
            until = "" if math.isinf(self.end) else f", end {self.end:g} s"
            raise OccluposeError(
                f"start {self.start:g} s{until}: holds no time; give a start of 0 or more, before the end"
            )

    def choose(self, timed: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
        """Those of the (time, thing) pairs, in order of time, that are wanted; stops reading at `end`."""
        early_enough = itertools.takewhile(lambda item: item[0] < self.end - TICK, timed)
        late_enough = itertools.dropwhile(lambda item: item[0] < self.start - TICK, early_enough)
        return itertools.islice(late_enough, None, None, self.every)

    def expected(self, count: int | None, rate: float) -> int | None:
        """How many of `count` frames at `rate` frames per second are wanted."""
        if count is None:
            return None
        first = math.ceil(self.start * rate - rate * TICK)
        last = count if math.isinf(self.end) else min(count, math.ceil(self.end * rate - rate * TICK))
        return max(0, math.ceil((last - first) / self.every))


def open_media(
    spec: str | Path | int, *, every: int = 1, start: float | None = None, end: float | None = None
) -> Source:
    """Opens a picture, a folder or glob of pictures (in natural order: 2 before 10), a video, or a camera.

    Arguments:
        spec: path, glob ("shots/*.png"), camera number (0 or "0"), or the address of a network camera ("rtsp://...").
        every: give every n-th frame only.
        start: seconds; skip what is earlier. Videos are entered at the nearest key frame before.
        end: seconds; stop before.

    Returns:
        The source, its first frame already read once: what cannot be opened fails here.

    Raises:
        OccluposeError: nothing there, unreadable, neither picture nor video, or nothing between `start` and `end`.
    """
    window = Window(every, 0.0 if start is None else start, math.inf if end is None else end)
    text = str(spec)
    if not text:
        raise OccluposeError("an empty name: nothing to open; give a video, an image, a folder or a camera number")
    if "://" in text:
        return LiveCamera(text, window)
    try:
        path = Path(text).expanduser()
        exists = path.exists()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:
        raise OccluposeError(
            f"{text}: cannot be opened ({_line(error)}); check the name and its permissions"
        ) from error
    if text.isdecimal() and not exists:
        return LiveCamera(int(text), window)
    if is_folder:
        return Pictures("folder", text, _pictures_of_folder(path), window)
    if not exists and glob.has_magic(text):
        return Pictures("folder", text, _pictures_of_glob(text), window)
    _check_readable(path)
    if path.suffix.lower() in PICTURES:
        return Pictures("picture", text, [path], window)
    return Video(path, window)


def halved(source: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, each halved once already: with `prefetch`, whoever cuts smaller pictures out of them need not wait
    for that.
    """
    for frame in source:
        frame.pyramid.level(1)
        yield frame


def prefetch(source: Iterable[Frame], depth: int = 4, *, polite: bool = True) -> Generator[Frame, None, None]:
    """The frames of `source`, decoded up to `depth` frames ahead in a background thread, by default one that lets
    others go first.

    An error of the source is raised where its frame would have come. The thread ends with the generator, also when that
    is closed early.
    """
    frames = iter(source)
    worker = background("prefetch", polite=polite)
    try:
        ahead = deque(worker.submit(next, frames, None) for _ in range(depth))
        while (frame := ahead.popleft().result()) is not None:
            ahead.append(worker.submit(next, frames, None))
            yield frame
    finally:
        worker.shutdown(cancel_futures=True)


# -------------------------------------------------------------------------------------------- pictures


class Pictures(Source):
    """Picture files as a stream at an assumed 30 frames per second; all must have the size of the first."""

    def __init__(self, kind: str, name: str, paths: list[Path], window: Window):
        self.kind = kind
        self.name = name
        self.warnings = []
        self.fps = ASSUMED_FPS / window.every
        self.fps_assumed = True
        self._chosen = list(window.choose((i / ASSUMED_FPS, path) for i, path in enumerate(paths)))
        if not self._chosen:
            raise OccluposeError(_outside(name, window, len(paths) / ASSUMED_FPS))
        self.names = [path.name for _, path in self._chosen]
        self.count = len(self._chosen)
        self.duration = self.count / self.fps
        self.height, self.width = read_image(self._chosen[0][1]).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        return (make() for _, make in self._pending())

    def _pending(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        for index, (time, path) in enumerate(self._chosen):
            yield time, partial(self._frame, index, time, path)

    def _frame(self, index: int, time: float, path: Path) -> Frame:
        image = read_image(path)
        height, width = image.shape[:2]
        if (width, height) != (self.width, self.height):
            first = self._chosen[0][1].name
            raise OccluposeError(
                f"{path}: is {width}x{height} but {first} is {self.width}x{self.height}; pictures read together must"
                " have one size"
            )
        return Frame(index, time, image)


def read_image(path: str | Path) -> RGB:
    """The picture as 8-bit RGB, upright by its EXIF orientation.

    Grey and palette pictures become RGB, transparent ones are laid on white, 16-bit greys keep their upper 8 bits.

    Returns:
        (height, width, 3) uint8.

    Raises:
        OccluposeError: missing, not a picture, damaged, or over `MAX_PIXELS`.
    """
    path = Path(path)
    _check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                return _rgb(path, image)
    except Image.DecompressionBombError:
        raise OccluposeError(_too_large(path)) from None
    except UnidentifiedImageError:
        raise OccluposeError(
            f"{path}: its content is not a picture, whatever the name says; copy or save it again"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError) as error:
        raise OccluposeError(f"{path}: not a readable picture ({_line(error)}); copy or save it again") from error


def check_picture(path: Path) -> None:
    """Refuses a name that `write_image` could not write. Raises OccluposeError."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OccluposeError(f"{path}: pictures are written as .png or .jpg; give the name one of these endings")
    _check_writable(path)


def write_image(path: str | Path, image: RGB) -> None:
    """Writes (height, width, 3) uint8 RGB as .png or .jpg (quality 95), by the suffix. Raises OccluposeError where that
    fails.
    """
    path = Path(path)
    check_picture(path)
    _check_image(image)
    encoded = io.BytesIO()  # Pillow, writing to the disk itself, does not notice that this is full
    Image.fromarray(image).save(encoded, "PNG" if path.suffix.lower() == ".png" else "JPEG", quality=95)
    with atomic(path) as part:
        part.write_bytes(encoded.getbuffer())


def _rgb(path: Path, image: Image.Image) -> RGB:
    if image.width * image.height > MAX_PIXELS:
        raise OccluposeError(_too_large(path, f" ({image.width}x{image.height})"))
    if image.mode in ("I", "F"):
        raise OccluposeError(f"{path}: has 32 bits per channel; save it with 8 or 16")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    if upright.has_transparency_data:
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright.convert("RGBA"))
    return np.array(upright.convert("RGB"))


def _pictures_of_folder(folder: Path) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise OccluposeError(f"{folder}: cannot be listed ({_line(error)})") from error
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if not pictures:
        cure = f"give one of its files by name, such as {min(files)}" if files else "put pictures into it"
        raise OccluposeError(f"{folder}: this folder has no pictures ({' '.join(PICTURES)}); {cure}")
    return sorted(pictures, key=_natural)


def _pictures_of_glob(pattern: str) -> list[Path]:
    files = [Path(name) for name in glob.glob(str(Path(pattern).expanduser()), recursive=True)]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if not pictures:
        if files:
            raise OccluposeError(f"{pattern}: matches no picture, but {min(files)}; open such files by name")
        raise OccluposeError(f"{pattern}: matches no file; check the folder and the pattern")
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path).casefold()) if part
    ]


# ---------------------------------------------------------------------------------------------- videos


class Video(Source):
    """A video file. Damaged parts are skipped and a file that was cut off is read as far as it goes; both are told in
    `warnings`.
    """

    kind = "video"

    def __init__(self, path: Path, window: Window):
        self.name = str(path)
        self.warnings = []
        self._path = path
        self._window = window
        with self._opened() as container:
            stream = self._stream(container)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise OccluposeError(f"{path}: no picture in it can be decoded; copy it again or re-encode it")
            self._origin = first.pts
            self._tick = stream.time_base or Fraction(1, av.time_base)
            self._stored = (first.width, first.height)
            self._matrix = _display_matrix(first)
            self.height, self.width = _upright_rgb(first, self._matrix).shape[:2]
            self._length = _length(container, stream)
            self._rate, self.fps_assumed = _rate(stream)
            if stream.sample_aspect_ratio not in (None, 0, 1):
                self.warn(
                    f"its pixels are not square ({stream.sample_aspect_ratio}); frames are given as stored, so people"
                    " look stretched"
                )
            frames = stream.frames or (None if self._length is None else round(self._length * self._rate))
        if (
            self._length is not None
            and window.start >= self._length
            and next(window.choose(self._timed()), None) is None
        ):
            raise OccluposeError(_outside(self.name, window, self._length))
        self.fps = self._rate / window.every
        self.count = window.expected(frames, self._rate)
        self.duration = None if self._length is None else max(0.0, min(self._length, window.end) - window.start)

    def __iter__(self) -> Iterator[Frame]:
        return (make() for _, make in self._pending())

    def _pending(self) -> Iterator[tuple[float, Callable[[], Frame]]]:
        index = -1
        for index, (time, frame) in enumerate(self._window.choose(self._timed())):
            yield time, partial(self._frame, index, time, frame)
        if index < 0:
            raise OccluposeError(_outside(self.name, self._window, self._length))

    def _frame(self, index: int, time: float, frame: VideoFrame) -> Frame:
        return Frame(index, time, _upright_rgb(frame, self._matrix))

    @contextmanager
    def _opened(self) -> Iterator[av.container.InputContainer]:
        try:
            # "file:", or FFmpeg takes what stands before a colon for a protocol; tags need not be UTF-8
            container = av.open(f"file:{self._path}", metadata_errors="ignore")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise OccluposeError(
                f"{self._path}: not a readable video ({_line(error)}); if it is one, it was cut off or damaged: copy it"
                " again"
            ) from error
        with container:
            yield container

    def _stream(self, container: av.container.InputContainer) -> VideoStream:
        cover = av.stream.Disposition.attached_pic  # the picture of an album is no video
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams or container.format.name == "tty":  # FFmpeg plays text files as terminals
            raise OccluposeError(f"{self._path}: has no video in it, or was cut off; give a video or a picture")
        return streams[0]

    def _timed(self) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds, frame) from the last key frame before the window on; from the beginning where the file's index
        leads elsewhere.
        """
        if self._window.start and self._origin is not None:
            frames = self._stamped(self._window.start)
            first = next(frames, None)
            if first is not None and first[0] <= self._window.start + TICK:
                yield first
                yield from frames
                return
        yield from self._stamped()

    def _stamped(self, start: float = 0.0) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds, frame) from a key frame near `start` on.

        The seconds are those of the timestamps; where these are missing or do not increase, one frame's length after
        the frame before.
        """
        step = 1 / self._rate
        time = start - step
        held = step
        with self._opened() as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            if start and self._origin is not None:
                time = -math.inf
                with suppress(av.FFmpegError):  # what cannot be entered midway is read from its beginning
                    container.seek(self._origin + math.floor(start / self._tick), stream=stream)
            for frame in self._decoded(container, stream):
                if (frame.width, frame.height) != self._stored:
                    was, now = (f"{width}x{height}" for width, height in (self._stored, (frame.width, frame.height)))
                    raise OccluposeError(
                        f"{self._path}: frames change from {was} to {now} after {time:.2f} s; re-encode it with one"
                        " size"
                    )
                stamp = (
                    None
                    if frame.pts is None or self._origin is None
                    else float((frame.pts - self._origin) * self._tick)
                )
                time = time + step if stamp is None or stamp <= time + TICK else stamp
                held = float(frame.duration * self._tick) if frame.duration else step
                yield time, frame
        if self._length is not None and 0 <= time + held < self._length - 0.5:
            self.warn(f"was cut off: it ends at {time + held:.2f} s of {self._length:.2f} s; what is there was read")

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
        """The stream's packets as far as they can be read; the last, None or empty, makes the decoder give what it
        holds back.
        """
        try:
            yield from container.demux(stream)
        except (av.FFmpegError, OSError) as error:
            self.warn(f"reading stopped early ({_line(error)}); what came before was read")
            yield None


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """How players turn and mirror the frame. To be asked of one frame only: PyAV frames that were asked live until
    cycles are collected.
    """
    matrix = cast(Buffer | None, frame.side_data.get("DISPLAYMATRIX"))
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def _upright_rgb(frame: VideoFrame, matrix: np.ndarray | None) -> RGB:
    """The frame as RGB, turned and mirrored as this display matrix says.

    Where the file does not name its colour matrix, players take BT.709 for high definition and BT.601 below; so do we.
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
    """Frames per second, and whether that had to be assumed."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    stated = next((float(rate) for rate in rates if rate is not None and 0 < rate <= 1000), None)
    return (ASSUMED_FPS, True) if stated is None else (stated, False)


def _length(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Seconds of picture that the header promises, None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if tag := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = map(float, tag.groups())
        return hours * 3600 + minutes * 60 + seconds
    if container.duration is not None and not container.streams.audio:
        return container.duration / av.time_base
    return None


# --------------------------------------------------------------------------------------------- cameras


class LiveCamera(Source):
    """A camera of this machine, by its number, or of the network, by its address. Frame times are those of their
    arrival.
    """

    kind = "camera"
    live = True

    def __init__(self, device: int | str, window: Window):
        # without a user's name and password
        self.name = f"camera {device}" if isinstance(device, int) else re.sub(r"(?<=://)[^/]*@", "", device)
        self.warnings = []
        self.count = None
        self.duration = None if math.isinf(window.end) else window.end - window.start
        self._window = window
        if isinstance(device, int) and sys.platform == "linux" and not Path(f"/dev/video{device}").exists():
            found = " ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*")))
            raise OccluposeError(f"{self.name}: there is no such camera; cameras of this machine: {found or 'none'}")
        self._capture = cv2.VideoCapture(device)
        works, first = self._capture.read()
        if not works:
            self.close()
            raise OccluposeError(
                f"{self.name}: gives no picture; check that it is connected, allowed and not in use by another program"
            )
        self.height, self.width = first.shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps_assumed = not 0 < rate <= 1000
        self.fps = (ASSUMED_FPS if self.fps_assumed else rate) / window.every

    def __iter__(self) -> Iterator[Frame]:
        for index, (time, _) in enumerate(self._window.choose(self._arrivals())):
            works, image = self._capture.retrieve()
            if works:
                yield Frame(index, time, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        self._capture.release()

    def _arrivals(self) -> Iterator[tuple[float, None]]:
        begin = clock.monotonic()
        while self._capture.grab():
            yield clock.monotonic() - begin, None
        self.warn("stopped giving pictures")


# --------------------------------------------------------------------------------------------- writing


class VideoWriter:
    """Writes RGB frames as an H.264 video (.mp4, yuv420p, BT.709, index in front) that every player and browser opens.

        with VideoWriter("out.mp4", 640, 480, fps=30) as out:
            out.write(image)

    The file appears under its name when the block ends well; after an exception there is none. To keep what was written
    so far, as after Ctrl-C, call `finish()` before leaving the block. Encoding runs one frame behind the caller in a
    thread that Ctrl-C does not reach. Odd widths and heights grow by one pixel that repeats the edge, since yuv420p has
    none.

    Arguments:
        path: ends in .mp4.
        width, height: of the frames to come, pixels.
        fps: frames per second; with `write(..., time=...)` only the length of the last frame and the encoder's rate.
        preset: of x264, "ultrafast" .. "veryslow": smaller files for more time.
        crf: of x264, quality 0 (lossless) .. 51.

    Raises:
        OccluposeError: the name, the folder or the disk does not allow it, or no frame was written.
    """

    def __init__(self, path: str | Path, width: int, height: int, fps: float, *, preset: str = "fast", crf: float = 20):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise OccluposeError(f"{self.path}: videos are written as .mp4; give the name this ending")
        _check_writable(self.path)
        if not (width > 0 and height > 0 and 0 < fps < math.inf):
            raise ValueError(f"a video needs a size and a rate, not {width}x{height} at {fps} fps")
        self.width = width
        self.height = height
        self.fps = Fraction(fps).limit_denominator(1001)
        self.count = 0
        # with B-frames, mp4 states a wrong length where the rate varies
        self._options = {"preset": preset, "crf": str(crf), "bf": "0"}
        self._stack = ExitStack()
        self._worker: ThreadPoolExecutor | None = None
        self._job: Future[None] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(atomic(self.path))
            self._container = stack.enter_context(_muxer(self.path, part))
            self._stream = self._video_stream()
            self._worker = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="encode"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self._worker = None
            self._stack.__exit__(kind, error, trace)

    def write(self, image: RGB, time: float | None = None) -> None:
        """Appends a frame.

        Arguments:
            image: (height, width, 3) uint8 RGB of the writer's size; free to be changed after the call.
            time: seconds, increasing, counted from the first frame's; None: one frame's length after the one before.
                All frames or none.
        """
        if self._worker is None:
            raise ValueError(f"{self.path}: the video is not open; write inside its with-block and before finish()")
        _check_image(image, self.width, self.height)
        frame = VideoFrame.from_ndarray(_even(image), format="rgb24")
        self._settle()
        self._job = self._worker.submit(self._encode, frame, time)

    def finish(self) -> None:
        """Completes the file and gives it its name. Does nothing when that was done."""
        if self._worker is None:
            return
        worker = self._worker
        self._worker = None
        with self._stack:
            self._settle()
            if self.count == 0:
                raise OccluposeError(f"{self.path}: no frame was written and so no video; write one at least")
            worker.submit(lambda: self._container.mux(self._stream.encode(None))).result()

    def _video_stream(self) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self.fps, options=self._options)
        stream.width = self.width + self.width % 2
        stream.height = self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # exact for fps, fine for other times
        context.time_base = Fraction(1, self.fps.numerator * math.ceil(10_000 / self.fps.numerator))
        context.colorspace = BT709_SPACE
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        return stream

    def _settle(self) -> None:
        """Waits for the frame being encoded; raises what went wrong with it."""
        if self._job is not None:
            self._job.result()

    def _encode(self, frame: VideoFrame, time: float | None) -> None:
        tick = self._stream.codec_context.time_base
        if self.count == 0:
            self._begin = time or 0.0
            self._last = -1
        stamp = self.count / self.fps / tick if time is None else (time - self._begin) / tick
        frame.time_base = tick
        frame.pts = self._last = max(self._last + 1, round(stamp))
        frame.duration = round(1 / self.fps / tick)
        yuv = frame.reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        self._container.mux(self._stream.encode(yuv))
        self.count += 1


@contextmanager
def _muxer(path: Path, part: Path) -> Iterator[av.container.OutputContainer]:
    """An mp4 container at `part`; what fails is told of `path`. After an exception inside the file is of no use."""
    try:
        container = av.open(f"file:{part}", "w", options={"movflags": "+faststart"})
        try:
            yield container
        except BaseException:
            with suppress(av.FFmpegError, OSError):
                container.close()
            raise
        container.close()
    except av.FFmpegError as error:
        raise OccluposeError(
            f"{path}: could not be written ({_line(error)}); choose a folder that is writable and has room"
        ) from error


def _even(image: RGB) -> RGB:
    height, width = image.shape[:2]
    return (
        np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if height % 2 or width % 2
        else np.ascontiguousarray(image)
    )


# ---------------------------------------------------------------------------------------------- checks


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise OccluposeError(
            f"{path}: there is no such file or folder; give a picture, a video, a folder or glob of pictures, or a"
            " camera number"
        ) from None
    except IsADirectoryError:
        raise OccluposeError(f"{path}: is a folder; a file is needed here") from None
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: cannot be read ({_line(error)}); check its permissions") from error
    if empty:
        raise OccluposeError(f"{path}: is empty; copy or record it again")


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise OccluposeError(f"{path}: is a folder; give the name of a file to write")


def _check_image(image: np.ndarray, width: int | None = None, height: int | None = None) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is (height, width, 3) uint8, not {image.shape} {image.dtype}")
    if width is not None and image.shape[:2] != (height, width):
        raise ValueError(f"this video's frames are {width}x{height}, not {image.shape[1]}x{image.shape[0]}")


def _outside(name: str, window: Window, length: float | None) -> str:
    lasts = "" if length is None else f" (it lasts {length:.2f} s)"
    until = "" if math.isinf(window.end) else f" and before {window.end:g} s"
    return f"{name}: has no frame from {window.start:g} s on{until}{lasts}; choose a time within it"


def _too_large(path: Path, size: str = "") -> str:
    return f"{path}: the picture is too large{size}; scale it to at most {MAX_PIXELS // 1_000_000} million pixels"


def _line(error: BaseException) -> str:
    """What an exception says, as the part of a line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")
