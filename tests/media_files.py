"""Tiny real media files for tests, written with PyAV and Pillow directly, so that they do not lean on the code under
test.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from occlupose.media import Frame, Source


def level(index: int) -> int:
    """The grey of frame `index` of `make_video`: tells frames apart after compression."""
    return 16 + 7 * (index % 32)


def index_of(image: np.ndarray) -> int:
    """The index of the frame that `image` was decoded from (of the first 32)."""
    return round((float(image.mean()) - 16) / 7)


class EmptyCamera(Source):
    """A camera that is switched off before its first frame."""

    kind = "camera"
    name = "nothing"
    live = True
    fps = 30.0
    count = None
    duration = None

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.warnings = []

    def __iter__(self) -> Iterator[Frame]:
        return iter(())


def make_video(
    path: Path,
    count: int = 10,
    *,
    size: tuple[int, int] = (64, 48),
    fps: int | Fraction = 10,
    times: Sequence[float] | None = None,
    rotation: float | None = None,
    mirror: bool = False,
    audio: bool = False,
    sound: float | None = None,
    sound_codec: str = "aac",
    codec: str = "libx264",
    key_frame_every: int = 12,
    images: Sequence[np.ndarray] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes `count` grey frames (or `images`) to `path`; the container follows the suffix. `times` in seconds make the
    frame rate vary; `sound` is silence of so many seconds.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = key_frame_every
        if codec != "libx264":
            stream.bit_rate = 4_000_000  # enough to keep the greys apart
        stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(fps)
        if rotation is not None or mirror:
            stream.set_display_rotation(rotation or 0, hflip=mirror)
        if audio or sound:
            track = container.add_stream(sound_codec, rate=44100, layout="mono")
        for index in range(len(images) if images is not None else count):
            image = np.full((size[1], size[0], 3), level(index), np.uint8) if images is None else images[index]
            frame = VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            container.mux(track.encode(silence(1024)))
            container.mux(track.encode(None))
        elif sound:
            for block in range(int(44.1 * sound)):
                piece = silence(1000, track.format.name)
                piece.pts = 1000 * block
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """A file with sound and no image."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        container.mux(stream.encode(silence(1024)))
        container.mux(stream.encode(None))
    return path


def silence(samples: int, format: str = "fltp") -> av.AudioFrame:
    kind = np.int16 if format == "s16" else np.float32
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), kind), format=format, layout="mono")
    frame.sample_rate = 44100
    return frame


def corners(width: int, height: int) -> np.ndarray:
    """An image with quarters in red, green (right), blue (below), white (both): shows turns and mirror images."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 200, 30, 30
    image[: height // 2, width // 2 :] = 30, 200, 30
    image[height // 2 :, : width // 2] = 30, 30, 200
    image[height // 2 :, width // 2 :] = 255, 255, 255
    return image
