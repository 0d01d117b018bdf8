"""The command that writes a page to look at: view."""

import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import nullcontext
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.export import find_folder, find_record, read_record
from occlupose.cli.options import Rate, Size, SkeletonName
from occlupose.cli.output import PAGE, POSES, recorded_input
from occlupose.cli.terminal import check_file, say
from occlupose.errors import OccluposeError, naming

if TYPE_CHECKING:
    from occlupose.kinematics import JointAngles
    from occlupose.media import Source
    from occlupose.poses import Poses


def view(
    input: Positional[Annotated[Path, arg(metavar="INPUT")]],
    output: Annotated[
        Path | None,
        arg(
            aliases=["-o"],
            metavar="FILE",
            help_behavior_hint="(default: page.html in the folder of the run, of a file in out)",
        ),
    ] = None,
    video: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: that of the run)")] = None,
    names: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: person 1, ...)")] = (),
    angles: bool = True,
    open: bool = True,
    fps: Rate = None,
    size: Size = None,
    skeleton: SkeletonName = None,
) -> None:
    """Write a page to look at: video, 3D, timelines of joints and joint angles, in one HTML file.

    The page needs no server and no network. A video of up to 30 s lies inside; a longer one lies beside the page, as
    NAME_video.mp4, and must stay beside it.

        occlupose view out/walk
        occlupose view out/walk -o walk.html --names Anna Ben --no-open
        occlupose view poses.npz --video walk.mp4

    Args:
        input: Folder of occlupose run, or a file or folder of poses that occlupose lift takes.
        output: .html to write.
        video: Video, image or folder of images that the poses are of.
        names: Names of the people, in the order of their track ids.
        angles: Measure joint angles, of poses in 3D.
        open: Open the page in the browser.
        fps: Frames per second, if the input does not say it, or wrongly.
        size: Width and height of the images in pixels, if the input does not say it, or wrongly.
        skeleton: The input's joints in their order, if it does not name them: coco17, halpe26, body25b, ...
    """
    record = find_record(input)
    file = output or find_folder(input) / PAGE
    if file.suffix.lower() != ".html":
        raise OccluposeError(f"{file}: a page is an .html; give its name this ending")
    check_file(file)
    if video is not None and not video.exists():
        raise OccluposeError(f"{video}: there is no such file or folder; give the video of the poses")
    poses = read_record(record, fps, size, skeleton)
    from occlupose.viewer import write_page

    measured = measure(poses, record) if angles else None
    with _source(record, video, poses) or nullcontext() as source:
        title = record.stem if source is None else None
        written = write_page(poses, file, source, angles=measured, names=names, title=title)
    for each in written:
        print(f"{each}: written")
    if open and _has_display():
        webbrowser.open(file.resolve().as_uri())


def _print_note(text: str) -> None:
    say(Console(stderr=True), text)


def measure(poses: "Poses", record: Path, note: Callable[[str], object] = _print_note) -> "JointAngles | None":
    """The joint angles for a page; None, with a note, where there are none.

    Arguments:
        record: that the poses are of, for the note.
        note: is told why there are none.
    """
    if poses.xyz is None or not poses.state.any():
        return None
    from occlupose.kinematics import measure_angles

    try:
        with naming(record):
            return measure_angles(poses)
    except OccluposeError as error:
        note(f"note: the page has no joint angles: {error}")
        return None


def _source(record: Path, video: Path | None, poses: "Poses") -> "Source | None":
    """The video of poses, opened at their times; None, with a note, if there is none."""
    name = str(video) if video is not None else _input_of(record)
    if name is None or not len(poses):
        return None
    from occlupose.media import open_media

    start = float(poses.time[0])
    end = float(poses.time[-1]) + 0.5 / poses.fps
    return open_media(name, start=start or None, end=end)


def _input_of(record: Path) -> str | None:
    """The input of the run that wrote a file of poses, if it is still there; a camera has no video."""
    name = recorded_input(record.parent) if record.name in POSES else None
    if name is None:
        return None
    if not Path(name).exists() and not glob(name):
        if name.isdecimal() or "://" in name:
            return None
        say(Console(stderr=True), f"note: {name}: is not there any more, so that the page has no video; see --video")
        return None
    return name


def _has_display() -> bool:
    """Whether a browser can be opened that does not take over the terminal."""
    linux = sys.platform.startswith("linux")
    return not linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
