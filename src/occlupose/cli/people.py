"""Commands that find and lift people: run, demo, lift."""

import re
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import Progress
from tyro.conf import OmitArgPrefixes, Positional, arg

from occlupose.cli.options import UNKNOWN, Boxes, Count, Device, Folder, Scene, Seconds, Weights
from occlupose.cli.terminal import (
    INTERRUPTED,
    Interrupt,
    announce,
    check_folder,
    count,
    notes,
    progress,
    say,
    short,
    summary,
)
from occlupose.errors import OccluposeError

if TYPE_CHECKING:  # the heavy ones are imported where they are used, so that --help is quick
    from occlupose.media import Source
    from occlupose.poses import Poses
    from occlupose.sightings import Record, Sighting

Frontend = Annotated[str | None, arg(metavar="NAME|FILE", help_behavior_hint="(default: blazepose)")]
Flow = Annotated[
    Literal["dis", "raft-small", "raft-large"] | None,
    arg(metavar="{dis,raft-small,raft-large}", help_behavior_hint="(default: dis)"),
]


def run(
    input: Positional[Annotated[str, arg(metavar="INPUT")]],
    output: Folder = None,
    every: int = 1,
    start: Annotated[Seconds, arg(help_behavior_hint="(default: the beginning)")] = None,
    end: Annotated[Seconds, arg(help_behavior_hint="(default: the end)")] = None,
    max_people: Count = None,
    video: bool = True,
    scene: OmitArgPrefixes[Scene] = UNKNOWN,
    method: Literal["oanet", "hupor"] = "oanet",
    frontend: Frontend = None,
    boxes: Boxes = None,
    flip: bool = False,
    flow: Flow = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Find everybody in a picture or video, in 2D and in metric 3D, each joint visible, occluded or absent.

    Writes poses.npz and poses.json (the same content), preview.png and, of a video, overlay.mp4. Ctrl-C stops watching:
    what was seen until then is written, without overlay.mp4, and the exit code is 130 (0 for a camera, which has no
    other end). A second Ctrl-C ends at once.

    Args:
        input: picture, video, folder of pictures, glob pattern, camera number, or the address of a network camera.
        output: folder for the files.
        every: only every n-th frame.
        start: begin at this time, in seconds, m:ss or h:mm:ss.
        end: stop at this time.
        max_people: at most so many people in a frame; who was there first stays.
        video: write overlay.mp4.
        scene: camera and people.
        method: oanet finds people one by one and lifts them over time, by the temporal networks of OANet; hupor finds
            everybody in each picture at once, in space, and takes no frontend, boxes and flow.
        frontend: what finds joints in 2D: blazepose, a .safetensors of train ljof, train keypoints or convert
            checkpoint, or an .onnx file.
        boxes: JSON file of a detector's results, with the boxes to look into. Its image_id is the number of a frame,
            from 0, or a picture's name. For .safetensors and .onnx files.
        flip: look at mirror images too: a little better, twice the time. For .safetensors files and hupor.
        flow: what measures how the pixels move; RAFT needs torchvision, and its weights are for research.
        weights: another lifter than the shipped one; for hupor, what train hupor wrote.
        device: where the lifting networks, a .safetensors, RAFT and hupor run: cpu, cuda, ... as torch names it.
    """
    from occlupose.media import open_media

    with open_media(input, every=every, start=start, end=end) as source:
        folder = output or Path("out") / _name(source)
        way = _Way(
            method=method,
            max_people=max_people,
            frontend=frontend,
            boxes=boxes,
            flip=flip,
            flow=flow,
            weights=weights,
            device=device,
        )
        _run(source, folder, way, video=video, scene=scene)


def demo(output: Folder = None, video: bool = True) -> None:
    """Run on a clip of two people, fetched at first use (from the pose2sim package, BSD-3).

    Writes what `occlupose run` writes.

    Args:
        output: folder for the files.
        video: write overlay.mp4.
    """
    from occlupose.assets import DEMO_CLIP, demo_clip
    from occlupose.media import open_media

    announce(Console(stderr=True), DEMO_CLIP)
    with open_media(demo_clip()) as source:
        _run(source, output or Path("out") / "demo", _Way(), video=video)


@dataclass(frozen=True)
class _Way:
    """By what people are found, as `pipeline.run` is told."""

    method: str = "oanet"
    max_people: int | None = None
    frontend: str | None = None
    boxes: Path | None = None
    flip: bool = False
    flow: str | None = None
    weights: Path | None = None
    device: str = "cpu"

    def begin(self, source: "Source", scene: Scene, console: Console) -> "_Watching":
        """A watching that has not begun. Whatever cannot be is refused before anything is fetched."""
        from occlupose import pipeline

        pipeline.check_method(self.method, frontend=self.frontend, boxes=self.boxes, flow=self.flow)
        return self._hupor(source, scene) if self.method == "hupor" else self._oanet(source, scene, console)

    def _oanet(self, source: "Source", scene: Scene, console: Console) -> "_Watching":
        from occlupose import pipeline
        from occlupose.assets import BLAZEPOSE
        from occlupose.sightings import Record

        lift = pipeline.prepare(
            source,
            max_people=self.max_people,
            camera=scene.intrinsics(),
            fov=scene.fov,
            height=scene.height,
            weights=self.weights,
            device=self.device,
        )
        between = pipeline.meter(self.flow, device=self.device)
        if self.frontend in (None, "blazepose") and self.boxes is None and not self.flip:  # with these it is refused
            announce(console, BLAZEPOSE)
        eyes = pipeline.look(source, self.frontend, boxes=self.boxes, flip=self.flip, device=self.device)
        return _Watching(
            Record.of(source, eyes), pipeline.watch(source, eyes, max_people=self.max_people, flow=between), lift
        )

    def _hupor(self, source: "Source", scene: Scene) -> "_Watching":
        from occlupose import bottomup
        from occlupose.sightings import camera_of

        camera = camera_of(
            source, max_people=self.max_people, camera=scene.intrinsics(), fov=scene.fov, height=scene.height
        )
        find = bottomup.finder(self.weights, flip=self.flip, device=self.device)
        sightings = bottomup.watch(source, find, camera, max_people=self.max_people)
        return _Watching(bottomup.begin(source, camera), sightings, partial(bottomup.scaled, height=scene.height))


@dataclass
class _Watching:
    """What people are seen by, frame after frame, and what makes them people in space at the end.

    Attributes:
        record: empty; for the sightings.
    """

    record: "Record"
    sightings: Generator["Sighting", None, None]
    lift: "Callable[[Poses], Poses]"


def _run(source: "Source", folder: Path, way: _Way, *, video: bool = True, scene: Scene = UNKNOWN) -> None:
    """Watches, lifts, writes and sums up. Whatever cannot be is refused before anything is made or fetched."""
    check_folder(folder)
    from occlupose import viewer

    began = monotonic()
    console = Console(stderr=True)
    watching = way.begin(source, scene, console)
    record = watching.record
    lift = watching.lift
    with Interrupt() as interrupt, progress(console) as bar:
        seeing = bar.add_task(f"watching {short(Path(source.name).name)}", total=source.count, people="")
        with closing(watching.sightings) as sightings:
            for sighting in sightings:
                record.sightings.append(sighting)
                bar.update(seeing, advance=1, people=count(len(sighting.ids)))
                if interrupt.asked:
                    break
        early = interrupt.asked
        if early and not record.sightings:
            raise KeyboardInterrupt
        if early and not source.live:
            say(console, "interrupted; writing what was seen so far, without overlay.mp4 (Ctrl-C again ends at once)")
        bar.update(seeing, total=len(record.sightings))
        rest = bar.add_task("lifting and writing", total=None, people="")
        seen = record.poses()
        del watching, sightings, record  # their memory serves what follows
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
                say(console, "interrupted; overlay.mp4 is left out")
    for warning in source.warnings:
        say(console, f"warning: {warning}")
    notes(console, source.name, poses)
    Console().print(summary(poses, monotonic() - began))
    print(f"{folder}: {', '.join(written)}")
    if interrupt.asked and not source.live:
        sys.exit(INTERRUPTED)


def _draw(poses: "Poses", source: "Source", path: Path, bar: Progress, interrupt: "Interrupt") -> bool:
    """Writes the video with the people in it; False where Ctrl-C came before it was finished, and then there is
    none.
    """
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
    input: Positional[Annotated[Path, arg(metavar="INPUT")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    scene: OmitArgPrefixes[Scene] = UNKNOWN,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Lift 2D people from elsewhere to 3D.

    The input needs xy (time, person, joint, 2; pixels; NaN where missing), skeleton (coco17, h36m17, ...) and fps; it
    may have score, state, width, height, camera. The output has xyz (time, person, 17, 3; metres; camera frame) and
    state.

    Args:
        input: .npz or .json file of 2D people.
        output: .npz or .json file to write.
        scene: camera and people.
        weights: another lifter than the shipped one.
        device: where the networks run: cpu, cuda, ... as torch names it.
    """
    from occlupose.poses import Poses

    if output.resolve() == input.resolve():
        raise OccluposeError(f"{output}: is the input; give another file to write")
    camera = scene.intrinsics()
    poses = Poses.load(input)
    from occlupose import lifting

    lifted = lifting.lift(
        poses, camera=camera, fov=scene.fov, height=scene.height, lifter=lifting.networks(device, weights)
    )
    lifted.save(output)
    notes(Console(stderr=True), str(input), lifted)
    Console().print(summary(lifted))
    print(f"{output}: written")


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
