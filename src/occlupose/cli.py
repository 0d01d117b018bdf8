"""The command line: `occlupose run`, `lift`, `demo`, `train`, `doctor`."""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from occlupose import __version__
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.media import Source, open_media
from occlupose.methods.oanet.recipe import Recipe
from occlupose.pipeline import Record
from occlupose.poses import OCCLUDED, VISIBLE, Poses

Short = Annotated[Path | None, arg(aliases=["-o"])]


@dataclass(frozen=True)
class Seeing:
    """What is known of the camera and the people."""

    fov: float | None = None
    """Field of view on the long side of the picture, degrees. Without it and --camera: 55, and the output says that it was assumed."""
    camera: Path | None = None
    """JSON file with width, height, fx, fy, cx, cy (pixels)."""
    height: float | None = None
    """Body height of the people, metres. Without it: as tall as the network believes."""

    def intrinsics(self) -> Camera | None:
        """The camera of the file, if one was given."""
        return None if self.camera is None else Camera.load(self.camera)


def run(
    input: Positional[str],
    output: Short = None,
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    video: bool = True,
    seeing: tyro.conf.OmitArgPrefixes[Seeing] = Seeing(),
    frontend: str = "blazepose",
    device: str = "cpu",
) -> None:
    """Find everybody in a picture or video, in 2D and in metric 3D, each joint visible, occluded or absent.

    Writes poses.npz, poses.json, preview.png and overlay.mp4. Ctrl-C stops watching; what was seen until then is written.

    Args:
        input: picture, video, folder of pictures, glob pattern, or camera number.
        output: folder for the files; by default out/NAME.
        every: only every n-th frame.
        start: begin at this second.
        end: stop at this second.
        max_people: at most so many people in a frame.
        video: write overlay.mp4.
        seeing: camera and people.
        frontend: what finds joints in 2D: blazepose, or an ONNX file with its card beside it.
        device: where the lifting networks run, as torch names it (cpu, cuda).
    """
    source = open_media(input, every=every, start=start, end=end)
    _run(source, output or Path("out") / _stem(input), max_people=max_people, video=video, seeing=seeing, frontend=frontend, device=device)


def demo(output: Short = None, video: bool = True) -> None:
    """Run on a clip of two people, fetched at first use (from the pose2sim package, BSD-3).

    Args:
        output: folder for the files; by default out/demo.
        video: write overlay.mp4.
    """
    from occlupose.assets import demo_clip

    _run(open_media(demo_clip()), output or Path("out") / "demo", video=video)


def _run(
    source: Source,
    folder: Path,
    *,
    video: bool = True,
    seeing: Seeing = Seeing(),
    max_people: int | None = None,
    frontend: str = "blazepose",
    device: str = "cpu",
) -> None:
    from occlupose import pipeline, viewer

    console = Console(stderr=True)
    began = monotonic()
    _writable(folder)
    with _progress(console) as bar:
        watching = bar.add_task(f"watching {source.name}", total=source.count, people="")
        poses = pipeline.run(
            source,
            max_people=max_people,
            camera=seeing.intrinsics(),
            fov=seeing.fov,
            height=seeing.height,
            frontend=frontend,
            device=device,
            progress=_watch(bar, watching),
        )
        bar.update(watching, total=len(poses), completed=len(poses))
        poses.save(folder / "poses.npz")
        poses.save(folder / "poses.json")
        written = ["poses.npz", "poses.json"]
        if not source.live:
            viewer.preview(poses, source, folder / "preview.png")
            written.append("preview.png")
        if video and not source.live and source.kind != "picture":
            drawing = bar.add_task("drawing", total=len(poses), people="")
            viewer.render(poses, source, folder / "overlay.mp4", progress=lambda done: bar.update(drawing, completed=done))
            written.append("overlay.mp4")
    for warning in source.warnings:
        console.print(f"occlupose: warning: {warning}", highlight=False)
    if not len(poses.track_id):
        console.print(f"occlupose: warning: {source.name}: nobody found in it; the files are valid but empty", highlight=False)
    if poses.camera is not None and poses.camera.assumed:
        console.print(
            "occlupose: note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right", highlight=False
        )
    Console().print(summary(poses, monotonic() - began))
    Console().print(f"{folder}: " + ", ".join(written), highlight=False)


def lift(
    input: Positional[Path],
    output: Annotated[Path, arg(aliases=["-o"])],
    seeing: tyro.conf.OmitArgPrefixes[Seeing] = Seeing(),
    weights: Path | None = None,
    device: str = "cpu",
) -> None:
    """Lift 2D people from elsewhere to 3D.

    The input needs xy (time, person, joint, 2; pixels; NaN where missing), skeleton (coco17, h36m17, ...) and fps; it may have score,
    state, width, height, camera. The output has xyz (time, person, 17, 3; metres; camera frame) and state.

    Args:
        input: .npz or .json file of 2D people.
        output: .npz or .json file to write.
        seeing: camera and people.
        weights: another lifter than the shipped one.
        device: where the networks run, as torch names it (cpu, cuda).
    """
    from occlupose import lifting
    from occlupose.methods.oanet.weights import load

    poses = Poses.load(input)
    lifted = lifting.lift(poses, camera=seeing.intrinsics(), fov=seeing.fov, height=seeing.height, lifter=load(weights).to(device))
    lifted.save(output)
    Console().print(summary(lifted))


def doctor() -> None:
    """Print versions, weights, licences and devices: what to copy into a bug report."""
    import torch

    from occlupose.assets import ASSETS
    from occlupose.methods.oanet.weights import card

    table = Table("what", "version", "licence or place", title=f"occlupose {__version__}")
    table.add_row("python", platform.python_version(), platform.platform())
    for name in ("torch", "numpy", "scipy", "av", "opencv-python-headless", "ai-edge-litert", "onnxruntime"):
        try:
            table.add_row(
                name,
                metadata.version(name),
                _licence(name),
            )
        except metadata.PackageNotFoundError:
            table.add_row(name, "not installed", "")
    for asset in ASSETS:
        table.add_row(asset.name, asset.version, asset.licence)
    lifter = card()
    table.add_row(lifter["name"], f"{lifter['parameters']:,} parameters", lifter["licence"])
    table.add_row(
        "devices",
        f"cpu ({torch.get_num_threads()} threads)",
        ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())) or "no GPU",
    )
    Console().print(table)


def _licence(package: str) -> str:
    """As the package states it, in a few words."""
    stated = dict(metadata.metadata(package).json)
    return str(stated.get("license_expression") or stated.get("license", "")).split("\n")[0][:40]


def train(
    method: Positional[Literal["lifter"]],
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"])],
    resume: bool = False,
    device: str = "cpu",
    recipe: Recipe = Recipe(),  # noqa: B008
) -> None:
    """Train the networks that ship, from the committed recipe.

    Args:
        method: lifter, the 2D and 3D temporal networks of OANet.
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoint, log, weights and card.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
        recipe: everything that the result depends on.
    """
    from occlupose.methods.oanet.train import train_lifter

    weights = train_lifter(mocap, output, recipe, resume=resume, device=device)
    Console().print(f"{weights}: weights written, their card beside them", highlight=False)


def summary(poses: Poses, seconds: float | None = None) -> Table:
    """Who was there, when, how far away, and how much of them was seen."""
    title = f"{len(poses)} frames, {len(poses.track_id)} people" + (f", {len(poses) / seconds:.1f} frames/s" if seconds else "")
    table = Table("person", "from", "to", "frames", "visible", "occluded", "distance", title=title)
    for person, track in enumerate(poses.track_id.tolist()):
        state = poses.state[:, person]
        there = (state > 0).any(-1)
        if not there.any():
            continue
        times, joints = poses.time[there], state[there]
        away = "" if poses.xyz is None else f"{np.nanmedian(poses.xyz[there, person, 0, 2]):.1f} m"
        shares = (f"{(joints == value).mean():.0%}" for value in (VISIBLE, OCCLUDED))
        table.add_row(str(track), f"{times[0]:.1f} s", f"{times[-1]:.1f} s", str(int(there.sum())), *shares, away)
    return table


def _watch(bar: Progress, task: TaskID) -> Callable[..., None]:
    def update(record: Record) -> None:
        seen = {int(who) for who in record.sightings[-1].ids} if record.sightings else set()
        bar.update(task, completed=len(record.sightings), people=f"{len(seen)} people")
        if record.interrupted:
            bar.console.print("occlupose: interrupted; writing what was seen so far", highlight=False)

    return update


class _Speed(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[people]}"),
        _Speed(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (probe := folder / ".occlupose").touch()
        probe.unlink()
    except OSError as error:
        raise OccluposeError(
            f"{folder}: cannot be written to ({(error.strerror or str(error)).lower()}); give another folder with -o"
        ) from None


def _stem(spec: str) -> str:
    return f"camera{spec}" if spec.isdigit() else Path(spec).resolve().stem or "poses"


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"run": run, "demo": demo, "lift": lift, "train": train, "doctor": doctor}, prog="occlupose", description=__doc__
        )
    except OccluposeError as error:
        print(f"occlupose: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlupose: interrupted", file=sys.stderr)
        sys.exit(130)
