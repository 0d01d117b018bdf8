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
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from glob import has_magic
from importlib import metadata
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, Union
from urllib.parse import urlsplit

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from occlupose import __version__
from occlupose.errors import OccluposeError

if TYPE_CHECKING:  # the heavy ones are imported where they are used, so that --help is quick
    from occlupose.assets import Asset
    from occlupose.cameras import Camera
    from occlupose.datasets.take import Take
    from occlupose.media import Source
    from occlupose.poses import Poses

T = TypeVar("T")

LETTERS = 20
"""Of a file's name that a line of progress has room for."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def _recipe() -> type:
    from occlupose.methods.oanet.lifter.recipe import Recipe

    return Recipe


def _oanet_recipe() -> type:
    from occlupose.methods.oanet.recipe import Recipe

    return Recipe


def _keypoints_recipe() -> type:
    from occlupose.methods.oanet.keypoints import Recipe

    return Recipe


Folder = Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/NAME)")]
Count = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: everybody)")]
Degrees = Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="(default: 55, and the output says that it was assumed)")]
Metres = Annotated[float | None, arg(metavar="METRES", help_behavior_hint="(default: as tall as the network believes)")]
Device = Annotated[str, arg(metavar="DEVICE")]
Boxes = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: people are looked for)")]
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
    boxes: Boxes = None,
    flip: bool = False,
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
        frontend: what finds joints in 2D: blazepose, a .safetensors that `train keypoints` wrote, or an .onnx file with its card beside it.
        boxes: JSON file of a detector's results, with the boxes to look into. Its image_id is the number of a frame, from 0, or a picture's
            name. For .safetensors and .onnx files.
        flip: look at each person's mirror image too: a little better, twice the time. For .safetensors files.
        flow: what measures how the pixels move; RAFT needs torchvision, and its weights are for research.
        weights: another lifter than the shipped one.
        device: where the lifting networks, a .safetensors and RAFT run: cpu, cuda, ... as torch names it.
    """
    from occlupose.media import open_media

    with open_media(input, every=every, start=start, end=end) as source:
        folder = output or Path("out") / _name(source)
        _run(
            source, folder, max_people=max_people, video=video, scene=scene, frontend=frontend, boxes=boxes, flip=flip, flow=flow,
            weights=weights, device=device,
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
    boxes: Path | None = None,
    flip: bool = False,
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

    began, console = monotonic(), Console(stderr=True)
    lift = pipeline.prepare(
        source, max_people=max_people, camera=camera, fov=scene.fov, height=scene.height, weights=weights, device=device
    )  # fmt: skip
    between = flows.build(flow, device=device)
    if frontend == "blazepose" and boxes is None and not flip:  # with these it is refused
        _announce(console, BLAZEPOSE)
    eyes = pipeline.look(source, frontend, boxes=boxes, flip=flip, device=device)
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


def label(
    input: Positional[Annotated[tuple[Path, ...], arg(metavar="INPUT...", help_behavior_hint="")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    views: Annotated[int, arg(metavar="COUNT", help_behavior_hint="(default: 0, the data's own camera)")] = 0,
    projection: Literal["perspective", "orthographic"] = "perspective",
    rules: Literal["ours", "paper"] = "ours",
    camera: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: 1000 x 1000 px, by --fov)")] = None,
    fov: Annotated[float, arg(metavar="DEGREES")] = 55.0,
    skeleton: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the input's own; h36m17 for motion capture)")] = None,
    seed: int = 0,
    dataset: Literal["files", "h36m", "humaneva"] = "files",
    subjects: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of its protocol)")] = (),
    strip: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None,
) -> None:
    """Label 3D people with what their own bodies hide: the state of every joint, 2 visible or 1 occluded.

    Writes FOLDER/NAME.npz from the data's own camera, or FOLDER/NAME/view000.npz, view001.npz, ... from virtual ones. Exactly as the paper:
    --views 100 --projection orthographic --rules paper.

    Args:
        input: poses with xyz (.npz, .json), CMU motion capture (.amc with its .asf beside it), or folders of motion capture.
        output: folder for the labelled poses.
        views: virtual cameras for each input. Motion capture needs some, for it has no camera.
        projection: parallel rays (orthographic) are the paper's.
        rules: the paper's have no margin, no limbs seen end-on and no face.
        camera: JSON file of the virtual cameras' size and lens.
        fov: field of view of the virtual cameras.
        skeleton: of what is written: h36m17, coco17, ...
        seed: of the virtual cameras.
        dataset: what the input is: files of poses and CMU motion capture, or the folder of Human3.6M (h36m) or HumanEva-I.
        subjects: of the dataset.
        strip: picture of six moments of the first labels, to check by eye.
    """
    from rich.progress import track

    from occlupose import labels
    from occlupose.cameras import Camera
    from occlupose.evaluation import load_takes
    from occlupose.skeletons import by_name

    lens = Camera.from_fov(labels.SIZE, labels.SIZE, fov) if camera is None else Camera.load(camera)
    look = labels.Look(views, projection == "perspective", lens, labels.RULES[rules], seed)
    target = None if skeleton is None else by_name(skeleton)
    console, joints, occluded, written = Console(stderr=True), 0, 0, 0

    def counted(things: list[T]) -> Iterable[T]:
        _check_folder(output)
        return track(things, "labelling", console=console, disable=not console.is_terminal)

    files = labels.find(input, look) if dataset == "files" else []
    if dataset == "files":
        takes: Iterable[Take] = labels.read(counted(files))
    else:
        takes = counted([take for folder in input for take in load_takes(dataset, folder, subjects, "ground-truth")])
    for _, poses in labels.write(takes, output, look, skeleton=target, inputs=files):
        if strip is not None and not written:
            from occlupose import viewer

            viewer.strip(poses, strip)
        written += 1
        joints, occluded = joints + int((poses.state > 0).sum()), occluded + int((poses.state == 1).sum())
    share = f"{occluded / joints:.0%} of the joints occluded" if joints else "nobody in them"
    print(f"{output}: {written} file{'' if written == 1 else 's'} of labels, {share}")
    if strip is not None:
        print(f"{strip}: written")


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


def train_lifter(
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: AnyRecipe,
    start: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train the lifter that ships, the 2D and 3D temporal networks, from the committed recipe.

    Args:
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on.
        start: weights to begin with.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet.lifter import train

    weights = train.train_lifter(mocap, output, recipe, start=start, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them")


def train_keypoints(
    data: Annotated[Path, arg(metavar="FILE")],
    images: Annotated[Path, arg(metavar="FOLDER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_keypoints_recipe)],
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train a 2D network of your own on annotated pictures, whose maps stay dark where a joint is hidden.

    Args:
        data: annotations in COCO's keypoint format, with v of each joint: 2 seen, 1 hidden, 0 not annotated.
        images: folder of their pictures.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on besides the pictures.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet import keypoints

    weights = keypoints.train_keypoints(data, images, output, recipe, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them; use them with occlupose run --frontend {weights}")


def train_oanet(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_oanet_recipe)],
    video: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's temporal networks as the paper has them, every part of it to be switched, for comparisons.

    Args:
        data: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoints, logs, weights and card.
        recipe: everything that the result depends on.
        video: folder of poses files in 2D, as `occlupose run` writes them, to learn from without 3D.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet import train

    weights = train.train_to_file(data, output, recipe, video=video, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them; score them with occlupose eval oanet --weights {weights}")


TRAIN: dict[str, Callable[..., None]] = {"lifter": train_lifter, "oanet": train_oanet, "keypoints": train_keypoints}
"""What `occlupose train` can train."""


def evaluate(
    method: Positional[Literal["oanet"]],
    dataset: Literal["humaneva", "h36m"],
    data: Path,
    subjects: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of the protocol)")] = (),
    detections: Annotated[str, arg(metavar="NAME")] = "ground-truth",
    every: int = 1,
    predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")] = None,
    save_predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score 3D poses by the protocols of Human3.6M or HumanEva-I: by action, by joint, visible and occluded joints apart.

    Args:
        method: what lifts: oanet.
        dataset: humaneva (HumanEva-I) or h36m (Human3.6M).
        data: folder of the dataset.
        subjects: whom to score.
        detections: what to lift: ground-truth, NAME of data_2d_DATASET_NAME.npz, or a folder of poses files.
        every: only every n-th frame.
        predictions: score this file instead of predicting.
        save_predictions: .npz file to keep the predictions in.
        output: .csv file for all figures.
        weights: of train lifter or train oanet, instead of the shipped lifter.
        device: where the networks run: cpu, cuda, ... as torch names it.
    """
    if predictions is not None and (weights is not None or save_predictions is not None):
        raise OccluposeError("predictions: are scored as they are; leave out --weights and --save-predictions")
    for file in (save_predictions, output):
        if file is not None:
            _check_folder(file.absolute().parent)
    from occlupose import evaluation

    console = Console(stderr=True)
    takes = evaluation.load_takes(dataset, data, subjects, detections, every)
    if predictions is not None:
        predicted = evaluation.Predictions.load(predictions, takes)
    else:
        predictor = evaluation.predictor(weights, device)
        with _progress(console) as bar:
            lifting = bar.add_task("lifting", total=sum(len(take.poses) for take in takes), people="")
            predicted = evaluation.predict(takes, predictor, lambda frames: bar.advance(lifting, frames))
    if save_predictions is not None:
        predicted.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    report, source = evaluation.score(takes, predicted, by_subject=dataset == "humaneva")
    for table in evaluation.tables(report):
        Console().print(table)
    print(f"2D: {detections}; visible or occluded: {source}")
    for note in evaluation.notes(dataset, takes, report):
        print(note)
    if output is not None:
        evaluation.write_csv(report, output)
        print(f"{output}: written")


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


def _choice(commands: dict[str, Any], **about: str) -> Any:
    """The type that tyro reads as one of these commands; a command that is a choice itself needs a line about it."""
    named = (Annotated[Any, subcommand(name, constructor=command, description=about.get(name))] for name, command in commands.items())
    return Union[tuple(named)]  # noqa: UP007 (however many there are)


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    commands = {
        "run": run, "demo": demo, "lift": lift, "label": label, "train": _choice(TRAIN), "eval": evaluate, "doctor": doctor,
    }  # fmt: skip
    arguments = sys.argv[1:] or ["--help"]
    try:
        if arguments == ["--version"]:
            print(f"occlupose {__version__}")
        else:
            tyro.cli(_choice(commands, train="Train a network."), prog="occlupose", description=__doc__, args=arguments)
    except OccluposeError as error:
        print(f"occlupose: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlupose: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
