"""Writing of videos."""

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.container
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.media.checks import check_image, check_writable, one_line
from occlupose.media.sound import SoundCopy, SoundTrack
from occlupose.media.source import RGB

BT709_SPACE = 1
"""FFmpeg's AVCOL_SPC_BT709."""


class VideoWriter:
    """Write RGB frames as an H.264 video (.mp4, yuv420p, BT.709, index in front) that every player and browser opens.

        with VideoWriter("out.mp4", 640, 480, fps=30) as out:
            out.write(image)

    The file appears when the block ends without an exception. To keep what was written so far, as after Ctrl-C, call
    `finish()` before leaving the block. Encoding runs one frame behind the caller in a thread that Ctrl-C does not
    reach. Odd widths and heights grow by one pixel that repeats the edge, since yuv420p needs even sizes.

    Arguments:
        path: ends in .mp4.
        width, height: of the frames, pixels.
        fps: frames per second; with `write(..., time=...)` only for the duration of the last frame and the encoder.
        preset: of x264, "ultrafast" .. "veryslow": smaller files for more time.
        crf: of x264, quality 0 (lossless) .. 51.
        key_frame_every: number of frames after which players can enter; None leaves it to x264.
        sound: copied from the time of the first frame to the end of the last; with `write(..., time=...)`. Left out if
            it cannot be read.

    Raises:
        OccluposeError: the name does not end in .mp4, the folder or disk cannot be written to, or there was no frame.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: float,
        *,
        preset: str = "fast",
        crf: float = 20,
        key_frame_every: int | None = None,
        sound: SoundTrack | None = None,
    ):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise OccluposeError(f"{self.path}: videos are written as .mp4; give the name this ending")
        check_writable(self.path)
        if not (width > 0 and height > 0 and 0 < fps < math.inf):
            raise ValueError(f"a video needs a size and a rate, not {width}x{height} at {fps} fps")
        self.width = width
        self.height = height
        self.fps = Fraction(fps).limit_denominator(1001)
        self.count = 0
        # with B-frames, mp4 states a wrong length where the rate varies
        self._options = {"preset": preset, "crf": str(crf), "bf": "0"}
        if key_frame_every is not None:
            self._options["g"] = str(key_frame_every)
        self._track = sound
        self._sound: SoundCopy | None = None
        self._stack = ExitStack()
        self._worker: ThreadPoolExecutor | None = None
        self._job: Future[None] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(atomic(self.path))
            self._container = stack.enter_context(_muxer(self.path, part))
            self._stream = self._video_stream()
            if self._track is not None:
                # what cannot be read, or has changed since, is left out
                with suppress(av.FFmpegError, OSError, ValueError, IndexError):
                    source = stack.enter_context(av.open(f"file:{self._track.path}", metadata_errors="ignore"))
                    self._sound = SoundCopy(self._track, source, self._container)
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
        """Append a frame.

        Arguments:
            image: (height, width, 3) uint8 RGB of the writer's size; it may be changed after the call.
            time: seconds, increasing, relative to the first frame; None: one frame duration after the previous frame.
                For all frames or none.
        """
        if self._worker is None:
            raise ValueError(f"{self.path}: the video is not open; write inside its with-block and before finish()")
        check_image(image, self.width, self.height)
        frame = VideoFrame.from_ndarray(_pad_to_even(image), format="rgb24")
        self._wait()
        self._job = self._worker.submit(self._encode, frame, time)

    def finish(self) -> None:
        """Complete the file and give it its name. Does nothing the second time."""
        if self._worker is None:
            return
        worker = self._worker
        self._worker = None
        with self._stack:
            self._wait()
            if self.count == 0:
                raise OccluposeError(f"{self.path}: no frame was written; write at least one")
            worker.submit(self._complete).result()

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

    def _wait(self) -> None:
        """Wait for the frame being encoded and raise its error, if any."""
        if self._job is not None:
            self._job.result()

    def _encode(self, frame: VideoFrame, time: float | None) -> None:
        tick = self._stream.codec_context.time_base
        if self.count == 0:
            self._begin = time or 0.0
            self._last = -1
            if self._sound is not None:
                self._sound.start(self._begin)
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
        if self._sound is not None:  # in step, so that players need not look ahead
            self._sound.copy_until(float(self._last * tick))

    def _complete(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.copy_until(float(self._last * self._stream.codec_context.time_base + 1 / self.fps))


@contextmanager
def _muxer(path: Path, part: Path) -> Iterator[av.container.OutputContainer]:
    """An mp4 container at `part`; errors name `path`. After an exception in the block the file is unusable."""
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
            f"{path}: could not be written ({one_line(error)}); choose a folder that is writable and has room"
        ) from error


def _pad_to_even(image: RGB) -> RGB:
    """The image with even width and height; the last row or column is repeated."""
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(image)
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
