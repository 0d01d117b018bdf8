"""The command that makes synthetic images of people."""

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
    people: Annotated[tuple[int, int], arg(metavar="MIN MAX")] = (1, 7),
    size: Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")] = (512, 320),
    overlap: Annotated[float, arg(metavar="FRACTION")] = 0.5,
    occluders: Annotated[float, arg(metavar="MEAN")] = 1.0,
    labels_only: bool = False,
    shard: Annotated[int | None, arg(metavar="SCENES", help_behavior_hint="(default: single files)")] = None,
    mocap: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the shipped pose prior)")] = None,
    backdrops: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: painted rooms and streets)")
    ] = None,
    workers: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: one per core)")] = None,
) -> None:
    """Render synthetic images of people with ground truth: 2D and 3D joints, each visible, occluded (and by what) or
    outside of the image.

    Writes images and annotations.json in COCO's keypoint format, a .npz for every scene with 3D joints, camera and
    causes of occlusion, and manifest.json with a hash of every file. The same command resumes a stopped run; the same
    seed gives the same bytes.

        occlupose synth -o people
        occlupose synth -o crowds --scenes 5000 --people 4 10 --shard 500

    Args:
        output: Folder for the dataset.
        scenes: Number of scenes.
        seed: Seed of all random numbers.
        people: Smallest and largest number of people in a scene, up to 10.
        size: Size of the images, pixels.
        overlap: Fraction of the people placed in front of or behind another person, 0 to 1.
        occluders: Mean number of objects in front of people: tables, boxes, rails, leaves, ...
        labels_only: Write no images; needs no renderer and takes less than half the time.
        shard: Scenes in each .tar file, for streaming.
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc, for the poses.
        backdrops: Folder of background images.
        workers: Number of processes.
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
    settings = SceneSettings(
        seed=seed, people=people, width=size[0], height=size[1], overlap=overlap, objects=occluders
    )
    if workers is not None and workers < 0:
        raise OccluposeError(f"workers {workers}: must be 0 or more")
    if labels_only and backdrops is not None:
        raise OccluposeError(
            f"backdrops {backdrops}: cannot be used with --labels-only, which makes no images; leave one of them out"
        )
    images = None
    if not labels_only:
        from occlupose.synth.backdrops import find_backdrops
        from occlupose.synth.render import Renderer

        Renderer().close()  # fails early if something is missing
        images = ImageSettings(() if backdrops is None else _report_broken(console, *find_backdrops(backdrops)))
    plan = DatasetPlan(output, scenes, shard, images)
    check_folder(output)
    source = SceneSource.load(settings, mocap=mocap)
    columns = (TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("scenes", total=scenes)
        for number in write_dataset(plan, source, workers=workers):
            progress.advance(bar, number)
    print(f"{output}: {scenes} scenes; annotations.json, manifest.json")


def _report_broken(console: Console, files: list[Path], broken: list[Path]) -> tuple[Path, ...]:
    """The files; prints a warning about the broken ones."""
    if broken:
        say(console, f"warning: {len(broken)} broken images left out: {', '.join(path.name for path in broken)}")
    return tuple(files)
