"""The inputs of an archive: where they are found, and what the folders of their results are called."""

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from occlupose.cli.archive.requests import Request
from occlupose.cli.estimation import RunOptions
from occlupose.cli.output import OVERLAY, PAGE_FILES, RUN
from occlupose.errors import OccluposeError
from occlupose.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from occlupose.media.camera import without_password
from occlupose.media.images import natural_order

OUR_VIDEOS = (OVERLAY, *PAGE_FILES)
"""Names of videos that a run writes, among others."""


@dataclass(frozen=True)
class Job:
    """One input of an archive.

    Attributes:
        input: as `open_media` takes it.
        name: its place in the tree, for messages.
        folder: for its files.
        options: that they follow from.
    """

    input: str
    name: str
    folder: Path
    options: RunOptions


@dataclass(frozen=True)
class Found:
    """What is in the place that a request names.

    Attributes:
        inputs: as `open_media` takes them.
        top: absolute folder in which their tree begins, if they are all there is.
        is_tree: whether they were found in a folder or by a glob pattern; else it is one input, and that is its name.
    """

    inputs: list[str]
    top: str
    is_tree: bool


def find(text: str) -> Found:
    """The videos below a folder, or that a glob pattern matches; else the text as a single input.

    Files are in natural order. What begins with a dot is left out, and so are videos that a run wrote. A folder that
    cannot be listed is among them, since it cannot be read.

    Arguments:
        text: of the user.
    """
    path = Path(os.path.expanduser(text))
    with suppress(OSError):  # a name that is too long: open_media says so
        if text and path.is_dir():
            videos = find_videos(path)
            if videos and videos != [str(path)]:
                return Found(videos, os.path.abspath(path), is_tree=True)
        elif glob.has_magic(text) and not path.exists():
            return _find_by_pattern(text, path)
    return Found([text], os.path.dirname(os.path.abspath(path)), is_tree=False)


def find_videos(folder: Path) -> list[str]:
    """The videos in a folder and in those below it; links to folders are followed, each folder is read once."""
    found: list[str] = []
    known = set()
    unlisted: list[OSError] = []
    for name, folders, files in os.walk(folder, onerror=unlisted.append, followlinks=True):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        real = os.path.realpath(name)
        if real in known:
            folders.clear()
            continue
        known.add(real)
        found += (os.path.join(name, file) for file in files if _is_video(Path(name, file)))
    found += (str(error.filename) for error in unlisted)
    return sorted(found, key=lambda name: natural_order(Path(name)))


def find_jobs(requests: Sequence[Request], found: Sequence[Found], root: Path) -> list[Job]:
    """The inputs in the order of the requests, each once, with folders below `root` that mirror their tree.

    The tree begins at the deepest folder that holds everything that was asked for. The folder of an input is called as
    its file, with the suffix, so that it depends on nothing else.

    Arguments:
        requests: of the user.
        found: what is there, for each.
        root: folder for all results.

    Raises:
        OccluposeError: a camera is among them, or two inputs have the same folder.
    """
    top = _common_top([each.top for each in found])
    jobs: dict[Path, Job] = {}
    for request, each in zip(requests, found, strict=True):
        for input in each.inputs:
            check_not_live(input)
            if request.output is None:
                place = _place(input, top)
            else:
                place = Path(request.output, _place(input, each.top) if each.is_tree else "")
            job = Job(input, place.as_posix(), root / place, request.options)
            key = Path(os.path.abspath(job.folder))
            other = jobs.setdefault(key, job)
            if other.options != job.options or os.path.abspath(other.input) != os.path.abspath(input):
                cure = "give one of them another output in a manifest"
                raise OccluposeError(f"{input}: its folder {job.folder} is that of {other.input}, too; {cure}")
    return list(jobs.values())


def check_not_live(input: str) -> None:
    """Refuses a camera, which has no end. Raises OccluposeError."""
    if "://" in input or (input.isdecimal() and not Path(input).exists()):
        raise OccluposeError(f"{without_password(input)}: a camera has no end; run it by itself, not in an archive")


def _find_by_pattern(text: str, pattern: Path) -> Found:
    matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)), key=natural_order)
    inputs = [str(path) for path in matches if _is_video(path)]
    for folder in filter(Path.is_dir, matches):
        inputs += find_videos(folder) or ([str(folder)] if _has_images(folder) else [])
    top = os.path.abspath(Path(*_until_magic(pattern.parts)))
    if not inputs or (not any(map(_is_video, map(Path, inputs))) and any(map(_is_image, matches))):
        return Found([text], os.path.dirname(top), is_tree=False)
    return Found(list(dict.fromkeys(inputs)), top, is_tree=True)


def _until_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _is_video(path: Path) -> bool:
    """Whether a file is a video by its name, and not one that a run wrote."""
    is_ours = path.name in OUR_VIDEOS and (path.parent / RUN).exists()
    is_seen = not path.name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES
    return is_seen and not is_ours and path.is_file()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _has_images(folder: Path) -> bool:
    with suppress(OSError):
        return any(map(_is_image, folder.iterdir()))
    return True  # which cannot be listed


def _common_top(tops: Sequence[str]) -> str | None:
    """The deepest folder that holds all of them; None: they are on several drives."""
    try:
        return os.path.commonpath(tops)
    except ValueError:
        return None


def _place(input: str, top: str | None) -> Path:
    """Where an input is in a tree. Magic characters of a pattern, which stands for a folder of images, are left out."""
    path = Path(os.path.abspath(os.path.expanduser(input)))
    if glob.has_magic(input) and not path.exists():
        path = Path(*_until_magic(path.parts))
    if top is None:
        drive, rest = os.path.splitdrive(path)
        return Path(drive.replace(":", "").strip("\\/") + rest)
    return Path(os.path.relpath(path, top))
