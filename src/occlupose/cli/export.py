"""The command that writes poses for other tools: export."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.options import Formats, Rate, Size, SkeletonName
from occlupose.cli.output import POSES, STEM, check_output
from occlupose.cli.terminal import check_file, say
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.poses import Poses


def export(
    input: Positional[Annotated[Path, arg(metavar="INPUT")]],
    to: Formats = (),
    output: Annotated[
        Path | None,
        arg(aliases=["-o"], metavar="PATH", help_behavior_hint="(default: in the folder of the run, of a file in out)"),
    ] = None,
    fps: Rate = None,
    size: Size = None,
    skeleton: SkeletonName = None,
) -> None:
    """Write poses in the formats of other tools.

    csv, xlsx: tables with a row for each joint; csv-wide, xlsx-wide: with a row for each person. trc: OpenSim. c3d:
    motion capture. nc, nc-2d: movement, in metres and in pixels. openpose: a folder of JSON files, BODY_25. coco:
    keypoint results. rrd: the rerun viewer. bvh, gltf, mot: rotations of rigid skeletons, for animation, with a body,
    and for OpenSim. Where the floor is known, people stand on it. docs/export.md has the units, the axes and what each
    format leaves out.

        occlupose export out/walk -o walk.csv
        occlupose export out/walk --to trc c3d xlsx
        occlupose export poses.npz --to openpose -o walk_json

    Args:
        input: Folder of occlupose run, or a file or folder of poses that occlupose lift takes.
        to: Formats, separated by spaces; by default by the suffix of the output.
        output: File to write; with several formats the folder for the files. An existing file is replaced, a folder
            with files in it is not.
        fps: Frames per second, if the input does not say it, or wrongly.
        size: Width and height of the images in pixels, if the input does not say it, or wrongly.
        skeleton: The input's joints in their order, if it does not name them: coco17, halpe26, body25b, ...
    """
    from occlupose import formats

    record = find_record(input)
    files = _targets(record, to, output, find_folder(input))
    for file, name in files.items():
        formats.check(file, name)
        if not file.is_dir():
            check_file(file)
        if file.resolve() == record.resolve():
            raise OccluposeError(f"{file}: is the input; give another file to write")
    for written in formats.write_all(read_record(record, fps, size, skeleton), files):
        print(f"{written}: written")


def find_record(input: Path) -> Path:
    """The poses in a folder of occlupose run; any other input itself."""
    return next((input / name for name in POSES if (input / name).is_file()), input)


def find_folder(input: Path) -> Path:
    """Where results lie by default: in the folder of occlupose run, or those of any other input in `out`."""
    return Path("out") if find_record(input) == input else input


def read_record(record: Path, fps: float | None, size: tuple[int, int] | None, skeleton: str | None) -> "Poses":
    """The poses of a file or folder; says what was assumed. Raises OccluposeError; arguments as of `formats.read`."""
    from occlupose import formats

    read = formats.read(record, fps=fps, size=size, skeleton=skeleton)
    for note in read.notes:
        say(Console(stderr=True), f"note: {note}")
    return read.poses


def _targets(record: Path, to: tuple[str, ...], output: Path | None, default: Path) -> dict[Path, str | None]:
    """The files to write and their formats. Raises OccluposeError."""
    from occlupose import formats

    if output is not None and len(to) < 2:
        return {output: to[0] if to else None}
    if not to:
        raise OccluposeError("export: no format to write; give --to csv, or a file such as -o poses.csv")
    folder = output or default
    check_output(folder)
    return {folder / formats.file_name(record.absolute().stem, name): name for name in to}


def check_formats(names: Iterable[str]) -> None:
    """Refuses formats that are unknown or need a package that is not installed. Raises OccluposeError."""
    from occlupose import formats

    for name in names:
        formats.check(formats.file_name(STEM, name), name)
