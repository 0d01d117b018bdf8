"""The command that makes synthetic people."""

from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import arg

from occlupose.cli.terminal import check_folder, say
from occlupose.errors import OccluposeError


def synth(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    scenes: Annotated[int, arg(metavar="COUNT")] = 200,
    seed: int = 0,
    people: Annotated[tuple[int, int], arg(metavar="FEWEST MOST")] = (1, 7),
    size: Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")] = (512, 320),
    overlap: Annotated[float, arg(metavar="SHARE")] = 0.5,
    objects: Annotated[float, arg(metavar="MEAN")] = 1.0,
    labels_only: bool = False,
    shard: Annotated[int | None, arg(metavar="SCENES", help_behavior_hint="(default: files one by one)")] = None,
    mocap: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: poses that come with occlupose)")
    ] = None,
    backdrops: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: painted rooms and streets)")
    ] = None,
    workers: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: one for each core)")] = None,
) -> None:
    """Make pictures of people whose every joint is known: where it is, and whether it is seen, hidden (and by whom) or
    outside.

    Writes pictures and annotations.json in COCO's keypoint format, a .npz of every scene with 3D, camera and reasons,
    and manifest.json with a hash of every file. The same command goes on where it was stopped; the same seed gives the
    same bytes.

    Args:
        output: folder for the dataset.
        scenes: how many.
        seed: of everything; other seeds give other scenes.
        people: fewest and most in a scene, up to 10.
        size: of the pictures, pixels.
        overlap: share of the people who stand before or behind somebody, 0 to 1.
        objects: mean number of tables, boxes, rails, leaves, ... that may hide somebody.
        labels_only: no pictures, which needs no renderer and takes less than half the time.
        shard: scenes in each .tar file, for training that streams.
        mocap: CMU motion capture to take poses from, with its cmu/NN/NN_MM.amc.
        backdrops: pictures to stand behind the people.
        workers: processes that work side by side.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from occlupose.synth.dataset import DatasetPlan, write_dataset
    from occlupose.synth.generate import ImageSettings
    from occlupose.synth.layout import SceneSettings, SceneSource

    console = Console(stderr=True)
    settings = SceneSettings(seed=seed, people=people, width=size[0], height=size[1], overlap=overlap, objects=objects)
    if workers is not None and workers < 0:
        raise OccluposeError(f"workers: {workers}; give a number of processes from 0")
    if labels_only and backdrops is not None:
        raise OccluposeError(
            f"backdrops {backdrops}: of pictures, of which --labels-only makes none; leave one of the two out"
        )
    pictures = None
    if not labels_only:
        from occlupose.synth.backdrops import find_backdrops
        from occlupose.synth.render import Renderer

        Renderer().close()  # says now what is missing, not in the middle of the work
        pictures = ImageSettings(() if backdrops is None else _told(console, *find_backdrops(backdrops)))
    plan = DatasetPlan(output, scenes, shard, pictures)
    check_folder(output)
    source = SceneSource.load(settings, mocap=mocap)
    columns = (TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("scenes", total=scenes)
        for number in write_dataset(plan, source, workers=workers):
            progress.advance(bar, number)
    print(f"{output}: {scenes} scenes; annotations.json, manifest.json")


def _told(console: Console, files: list[Path], broken: list[Path]) -> tuple[Path, ...]:
    """The files, after saying which ones were left out."""
    if broken:
        say(console, f"warning: {len(broken)} broken pictures left out: {', '.join(path.name for path in broken)}")
    return tuple(files)
