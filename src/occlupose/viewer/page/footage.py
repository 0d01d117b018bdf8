"""The video of a page, as every browser plays it: in the page if it is short, beside it if it is long."""

import base64
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occlupose.errors import OccluposeError
from occlupose.media import Source, VideoWriter, prefetch, write_image
from occlupose.poses import Poses
from occlupose.threads import opencv_on_one_thread

LONGEST_INSIDE = 30.0
"""Seconds up to which a video lies in the page."""

LONG_SIDE = 960
"""Of the video at most, px."""

QUALITY = 24.0
"""Of the video: x264's crf."""

STRETCH = 0.03
"""By how much the shape of the images may differ from that of the poses."""


@dataclass(frozen=True)
class Footage:
    """What a page has of its source.

    Attributes:
        content: for the page: `kind` (video, image or none), `source` (of a file beside it), `type`, `start` (time of
            the first frame, s), `fps` and `note`, a line for the reader.
        inside: the file in base64, if it lies in the page.
        beside: files that were written beside the page.
    """

    content: dict[str, Any]
    inside: str = ""
    beside: list[Path] = field(default_factory=list)


def embed(poses: Poses, source: Source | None, path: Path, progress: Callable[[int], object] | None) -> Footage:
    """Encodes the video or image of a page at `path`.

    Raises:
        OccluposeError: the source has another shape than the images of the poses, or cannot be read, or its video
            would be written over it; or the disk is full.
    """
    if source is None or source.live:
        return Footage(_content("none", "There is no video."))
    _check_shape(poses, source)
    if source.kind == "image":
        return _image(source)
    if _seconds(poses, source) <= LONGEST_INSIDE:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "video.mp4"
            start = _encode(source, file, progress)
            inside = _base64(file)
        note = "The video lies in this file."
        return Footage(_content("video", note, "video/mp4", start=start, fps=source.fps), inside)
    file = beside_path(path)
    if file.resolve() == Path(source.name).expanduser().resolve():
        raise OccluposeError(f"{file}: is the input; give the page another name")
    start = _encode(source, file, progress)
    note = f"The video is longer than {LONGEST_INSIDE:g} s: it is {file.name}, which must lie beside this page."
    return Footage(_content("video", note, "video/mp4", file.name, start, source.fps), beside=[file])


def beside_path(path: Path) -> Path:
    """Where the video of a page lies that is too long to lie in it; its name is UTF-8, so that the page can say it."""
    stem = path.stem.encode("utf-8", "replace").decode("utf-8")
    return path.with_name(f"{stem}_video.mp4")


def _content(
    kind: str, note: str, type: str = "", source: str = "", start: float = 0.0, fps: float = 30.0
) -> dict[str, Any]:
    return {"kind": kind, "note": note, "type": type, "source": source, "start": start, "fps": fps}


def _seconds(poses: Poses, source: Source) -> float:
    """How long the video is: at least as long as the poses."""
    seconds = float(np.ptp(poses.time)) + 1 / poses.fps if len(poses) else 0.0
    return max(seconds, source.duration or 0.0)


def _check_shape(poses: Poses, source: Source) -> None:
    stretch = source.width * poses.height / (source.height * poses.width)
    if abs(stretch - 1) > STRETCH:
        theirs = f"{source.width}x{source.height}"
        ours = f"{poses.width}x{poses.height}"
        raise OccluposeError(f"{source.name}: is {theirs}, the poses are of {ours}; give the video of these poses")


def _size(source: Source) -> tuple[int, int]:
    """Width and height of the video of a page, px."""
    scale = min(1.0, LONG_SIDE / max(source.width, source.height))
    return max(1, round(scale * source.width)), max(1, round(scale * source.height))


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _image(source: Source) -> Footage:
    frame = next(iter(source))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.jpg"
        write_image(file, _shrink(frame.image, _size(source)))
        inside = _base64(file)
    return Footage(_content("image", "The image lies in this file.", "image/jpeg"), inside)


def _encode(source: Source, file: Path, progress: Callable[[int], object] | None) -> float:
    """Writes the video; returns the time of its first frame, s."""
    size = _size(source)
    sound = source.sound if source.sound is not None and source.sound.fits_mp4 else None
    rate = max(1, round(source.fps))  # a key frame each second, so that seeking is quick
    start = 0.0
    with (
        VideoWriter(
            file, *size, source.fps, preset="veryfast", crf=QUALITY, key_frame_every=rate, sound=sound
        ) as writer,
        opencv_on_one_thread(),
        closing(prefetch(source)) as frames,
    ):
        for count, frame in enumerate(frames, 1):
            if count == 1:
                start = frame.time
            writer.write(_shrink(frame.image, size), frame.time)
            if progress is not None:
                progress(count)
    return start


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")
