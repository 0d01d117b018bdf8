"""Images, folders of images, videos and cameras as one stream of frames; writing of videos and images.

    with open_media("walk.mp4", every=2) as source:
        with VideoWriter("out.mp4", source.width, source.height, source.fps) as out:
            for frame in prefetch(source):
                out.write(frame.image)

Frames are uint8 RGB, upright (EXIF orientation and display matrices are applied), and come one at a time: a long video
takes no more memory than a short one.
"""

import glob
import math
from pathlib import Path

from occlupose.errors import OccluposeError
from occlupose.media.camera import LiveCamera
from occlupose.media.checks import check_readable, one_line
from occlupose.media.images import (
    IMAGE_FORMATS,
    IMAGE_SUFFIXES,
    ImageSequence,
    check_image_path,
    decode_image,
    images_of_folder,
    images_of_glob,
    open_image,
    read_image,
    write_image,
)
from occlupose.media.source import RGB, Frame, Source, TimeRange, prefetch, with_half_resolution
from occlupose.media.video import VIDEO_SUFFIXES, Video
from occlupose.media.writer import VideoWriter

__all__ = [
    "IMAGE_FORMATS",
    "IMAGE_SUFFIXES",
    "RGB",
    "VIDEO_SUFFIXES",
    "Frame",
    "LiveCamera",
    "Source",
    "VideoWriter",
    "check_image_path",
    "decode_image",
    "files_of",
    "open_image",
    "open_media",
    "prefetch",
    "read_image",
    "with_half_resolution",
    "write_image",
]


def open_media(
    spec: str | Path | int, *, every: int = 1, start: float | None = None, end: float | None = None
) -> Source:
    """Open an image, a folder or glob of images (in natural order: 2 before 10), a video, or a camera.

    Arguments:
        spec: path, glob ("shots/*.png"), camera number (0 or "0"), or the address of a network camera ("rtsp://...").
        every: return only every n-th frame.
        start: seconds; skip earlier frames. Videos are entered at the nearest key frame before.
        end: seconds; stop before this time.

    Returns:
        The source. Its first frame has been read once, so what cannot be opened fails here.

    Raises:
        OccluposeError: not found, unreadable, neither an image nor a video, or no frame between `start` and `end`.
    """
    window = TimeRange(every, 0.0 if start is None else start, math.inf if end is None else end)
    text = str(spec)
    if not text:
        raise OccluposeError("an empty name: nothing to open; give a video, an image, a folder or a camera number")
    if "://" in text:
        return LiveCamera(text, window)
    path = _path_of(text)
    exists = path.exists()
    if text.isdecimal() and not exists:
        return LiveCamera(int(text), window)
    if path.is_dir():
        return ImageSequence("folder", text, images_of_folder(path), window)
    if not exists and glob.has_magic(text):
        return ImageSequence("folder", text, images_of_glob(text), window)
    check_readable(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSequence("image", text, [path], window)
    return Video(path, window)


def files_of(spec: str | Path | int) -> list[Path]:
    """The files that `open_media` reads: one, or the images of a folder or glob in their order; none of a camera.

    Raises:
        OccluposeError: a folder or glob without images; a name that cannot be looked up.
    """
    text = str(spec)
    path = _path_of(text)
    if path.is_dir():
        return images_of_folder(path)
    if "://" in text or (text.isdecimal() and not path.exists()):
        return []
    if glob.has_magic(text) and not path.exists():
        return images_of_glob(text)
    return [path]


def _path_of(text: str) -> Path:
    """The path with the folder of the user. Raises OccluposeError: it cannot be looked up."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:
        raise OccluposeError(
            f"{text}: cannot be opened ({one_line(error)}); check the name and its permissions"
        ) from error
    return path
