"""The command that measures joint angles: angles."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from occlupose.cli.export import find_folder, find_record, read_record
from occlupose.cli.options import Rate, Size, SkeletonName
from occlupose.cli.output import ANGLES
from occlupose.cli.terminal import check_file
from occlupose.errors import OccluposeError, naming

SUFFIXES = (".csv", ".png")


def angles(
    input: Positional[Annotated[Path, arg(metavar="INPUT")]],
    output: Annotated[
        Path | None,
        arg(
            aliases=["-o"],
            metavar="FILE",
            help_behavior_hint="(default: angles.csv in the folder of the run, of a file in out)",
        ),
    ] = None,
    fps: Rate = None,
    size: Size = None,
    skeleton: SkeletonName = None,
) -> None:
    """Measure joint angles: a table, or a plot.

    Hips, knees, ankles, shoulders, elbows and trunk as the ISB recommends, and segments to the vertical, in degrees,
    with standard deviation, velocity and state. The vertical is that of the world; where it is unknown, that of the
    camera. In the plot hidden intervals are shaded. docs/angles.md says which angle is what.

        occlupose angles out/walk -o angles.csv
        occlupose angles out/walk -o angles.png

    Args:
        input: Folder of occlupose run, or a file or folder of poses that occlupose lift takes; in 3D.
        output: .csv or .png to write; a picture is of one person, of several there are NAME_ID.png.
        fps: Frames per second, if the input does not say it, or wrongly.
        size: Width and height of the images in pixels, if the input does not say it, or wrongly.
        skeleton: The input's joints in their order, if it does not name them: coco17, halpe26, body25b, ...
    """
    record = find_record(input)
    file = output or find_folder(input) / ANGLES[0]
    if file.suffix.lower() not in SUFFIXES:
        raise OccluposeError(f"{file}: angles are a table or a plot; give a .csv or a .png")
    check_file(file)
    poses = read_record(record, fps, size, skeleton)
    from occlupose.kinematics import measure_angles
    from occlupose.viewer.angle_plot import plot_angles

    with naming(record):
        measured = measure_angles(poses)
    written = [file]
    if file.suffix.lower() == ".png":
        written = plot_angles(measured, file)
    else:
        measured.save(file)
    for each in written:
        print(f"{each}: written")
