"""Commands that estimate poses: run, demo, lift."""

import os
import re
import sys
from collections.abc import Callable
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

from occlupose.cli.export import check_formats
from occlupose.cli.options import (
    UNKNOWN_CAMERA,
    Boxes,
    CameraOptions,
    Count,
    Detector,
    Device,
    Folder,
    Formats,
    Rate,
    Seconds,
    Size,
    SkeletonName,
    Threads,
    Weights,
    use_threads,
)
from occlupose.cli.output import OVERLAY, PAGE, PAGE_FILES, POSES, PREVIEW, STEM, OutputFolder, check_output
from occlupose.cli.page import measure
from occlupose.cli.terminal import (
    INTERRUPTED,
    Interrupt,
    StatusLines,
    announce,
    check_file,
    count,
    print_notes,
    progress,
    say,
    short,
    summary,
)
from occlupose.errors import OccluposeError, naming

if TYPE_CHECKING:  # heavy modules are imported where they are used, so that --help is quick
    from occlupose.estimator import PoseEstimator
    from occlupose.media import Source
    from occlupose.viewer import PanelPlace

Frontend = Annotated[str | None, arg(metavar="NAME|FILE", help_behavior_hint="(default: movenet-occlusion)")]
Flow = Annotated[
    Literal["dis", "raft-small", "raft-large"] | None,
    arg(metavar="{dis,raft-small,raft-large}", help_behavior_hint="(default: dis)"),
]


@dataclass(frozen=True)
class OANetOptions:
    """Options of --method oanet.

    Attributes:
        frontend: Person detector and 2D keypoint network: movenet-occlusion (knows hidden joints), movenet,
            movenet-multipose (faster: whole images in one pass), blazepose, blazepose:FILE.tflite (another landmark
            network of BlazePose), a .safetensors file (of train movenet, train ljof, train keypoints, train dsed or
            convert checkpoint), or an .onnx file, with the word for what it is before it: rtmpose:FILE.onnx,
            vitpose:FILE.onnx, rtmo:FILE.onnx.
        detector: Another person detector, an .onnx file: yolox:FILE.onnx, rtmdet:FILE.onnx. For networks that take
            crops: movenet-occlusion, movenet, .safetensors and .onnx files.
        boxes: JSON file with the bounding boxes of another person detector, in COCO's results format. image_id is the
            number of a frame, from 0, or the name of an image. For networks that take crops.
        flow: Optical flow that keypoints are checked against. RAFT needs torchvision; its weights are for research.
    """

    frontend: Frontend = None
    detector: Detector = None
    boxes: Boxes = None
    flow: Flow = None


DEFAULTS = OANetOptions()


def run(
    input: Positional[Annotated[str, arg(metavar="INPUT")]],
    output: Folder = None,
    every: int = 1,
    start: Annotated[Seconds, arg(help_behavior_hint="(default: the beginning)")] = None,
    end: Annotated[Seconds, arg(help_behavior_hint="(default: the end)")] = None,
    max_people: Count = None,
    video: bool = True,
    panel: Literal["none", "side", "below"] = "side",
    page: bool = False,
    overwrite: bool = False,
    export: Formats = (),
    method: Literal["oanet", "hupor"] = "oanet",
    flip: bool = False,
    weights: Weights = None,
    device: Device = "cpu",
    threads: Threads = None,
    keep_lifted: bool = False,
    calibration: OmitArgPrefixes[CameraOptions] = UNKNOWN_CAMERA,
    oanet: OmitArgPrefixes[OANetOptions] = DEFAULTS,
) -> None:
    """Estimate 2D and metric 3D poses of all people in an image or video; every joint is visible, occluded or absent.

    Writes poses.npz and poses.json (the same content), preview.png, run.json (version and input) and, for a video,
    overlay.mp4. Ctrl-C stops early: the poses so far are written, without overlay.mp4 and page.html, and the exit code
    is 130 (0 for a camera, which has no other end). A second Ctrl-C ends at once.

        occlupose run walk.mp4
        occlupose run walk.mp4 --start 1:30 --end 1:45 --height 1.75 -o results
        occlupose run photo.jpg --method hupor
        occlupose run 0 --no-video

    Args:
        input: Image, video, folder of images, glob pattern, camera number, or address of a network camera.
        output: Folder for the files.
        every: Use only every n-th frame.
        start: Start at this time.
        end: Stop before this time.
        max_people: Maximum number of people in a frame; those who came first are kept.
        video: Write overlay.mp4, in the size of the input and with its sound.
        panel: Where the 3D view is in overlay.mp4: beside the image, below it, or nowhere.
        page: Write page.html too: video, 3D, timelines and joint angles for a browser; see occlupose view.
        overwrite: Replace poses of another input in the folder.
        export: Formats to write the poses in, too: csv, trc, c3d, ...; occlupose export --help lists them.
        method: oanet detects people in 2D and lifts their tracks to 3D; hupor estimates everybody in an image at once,
            in 3D.
        flip: Test-time augmentation by horizontal flip: slightly better, twice the time. For .safetensors front ends
            and hupor.
        weights: Weights of the lifter (oanet), as train lifter or train oanet writes them, or of all networks (hupor),
            as train hupor writes them.
        device: Device of the lifter, a front end or detector in a file, RAFT and hupor: cpu, cuda, mps, ...;
            directml for .onnx files alone.
        threads: Processor threads of each network.
        keep_lifted: Keep the joints before skeletons were fitted to them as xyz_lifted.
        calibration: Camera and body height, for correct metres.
        oanet: Only with --method oanet.
    """
    options = EstimatorOptions(method, flip, weights, device, threads, oanet)
    options.check()
    if output is not None:
        check_output(output)
    if export:
        check_formats(export)
    _silence_ffmpeg()
    from occlupose.media import open_media
    from occlupose.media.images import ImageSequence

    with open_media(input, every=every, start=start, end=end) as source:
        if isinstance(source, ImageSequence):
            source.check_sizes()
        folder = OutputFolder.of(output or Path("out") / _name(source), source, overwrite=overwrite)
        drawn = Drawings(video=video, panel=panel, page=page)
        _run(
            source,
            folder,
            options,
            calibration,
            max_people=max_people,
            drawn=drawn,
            export=export,
            keep_lifted=keep_lifted,
        )


def demo(
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/demo)")
    ] = None,
    video: bool = True,
    overwrite: bool = False,
) -> None:
    """Run on a short clip of two people, downloaded at first use (from the pose2sim package, BSD-3).

    Writes the same files as `occlupose run`.

    Args:
        output: Folder for the files.
        video: Write overlay.mp4.
        overwrite: Replace poses of another input in the folder.
    """
    from occlupose.assets import DEMO_CLIP, demo_clip
    from occlupose.media import open_media

    path = output or Path("out") / "demo"
    check_output(path)
    announce(Console(stderr=True), DEMO_CLIP)
    with open_media(demo_clip()) as source:
        folder = OutputFolder.of(path, source, overwrite=overwrite)
        _run(source, folder, EstimatorOptions(), UNKNOWN_CAMERA, drawn=Drawings(video=video))


@dataclass(frozen=True)
class EstimatorOptions:
    """Options that choose and build the estimator."""

    method: str = "oanet"
    flip: bool = False
    weights: Path | None = None
    device: str = "cpu"
    threads: int | None = None
    oanet: OANetOptions = DEFAULTS

    def check(self) -> None:
        """Refuses combinations and missing files, before anything is opened or loaded. Raises OccluposeError."""
        from occlupose.frontends.presets import split_preset

        frontend = self.oanet.frontend
        if self.method == "hupor":
            for name, value in vars(self.oanet).items():
                if value is not None:
                    raise OccluposeError(f"--{name}: hupor does not use it; leave it out, or give --method oanet")
        for network in filter(None, (frontend, self.oanet.detector)):
            file = split_preset(network)[1]
            if file.suffix.lower() in (".safetensors", ".onnx") and not file.is_file():
                made_by = "" if file.suffix.lower() == ".onnx" else " that train keypoints or train ljof wrote"
                raise OccluposeError(f"{file}: no such file; give a network{made_by}")
        for path, content in ((self.oanet.boxes, "a detector's results"), (self.weights, f"weights of {self.trained}")):
            if path is not None and not path.exists():
                raise OccluposeError(f"{path}: no such file; give {content}")

    @property
    def trained(self) -> str:
        """What the weights belong to, and which command writes them."""
        if self.method == "hupor":
            return "HUPOR, as train hupor writes them"
        return "the lifter, as train lifter or train oanet writes them"

    def build(self, source: "Source", console: Console) -> "PoseEstimator":
        """The estimator with its networks loaded. Raises OccluposeError."""
        threads = use_threads(self.threads)
        if self.method == "hupor":
            from occlupose.methods.hupor.estimator import HUPOR

            estimator = HUPOR(self.weights, flip=self.flip, device=self.device)
            if self.weights is None:
                say(console, "warning: the shipped weights of hupor are a demonstration, trained on synthetic people")
            return estimator
        from occlupose.assets import BLAZEPOSE
        from occlupose.frontends import DEFAULT, check_detector, check_options
        from occlupose.frontends.boxes import load

        frontend = self.oanet.frontend or DEFAULT
        detector = self.oanet.detector
        check_options(frontend, boxes=self.oanet.boxes is not None, detector=detector is not None, flip=self.flip)
        if detector is not None:
            check_detector(detector)
        boxes = None if self.oanet.boxes is None else load(self.oanet.boxes, source)
        if frontend.startswith("blazepose"):
            announce(console, BLAZEPOSE)
        from occlupose.methods.oanet.estimator import OANet

        flow = self.oanet.flow or "dis"
        return OANet(
            frontend,
            boxes=boxes,
            detector=detector,
            flip=self.flip,
            flow=flow,
            weights=self.weights,
            device=self.device,
            threads=threads,
        )


@dataclass(frozen=True)
class Drawings:
    """What is drawn beside preview.png.

    Attributes:
        video: whether overlay.mp4 is.
        panel: where the 3D view is in it.
        page: whether page.html is.
    """

    video: bool = True
    panel: "PanelPlace" = "side"
    page: bool = False


def _run(
    source: "Source",
    folder: OutputFolder,
    options: EstimatorOptions,
    calibration: CameraOptions,
    *,
    max_people: int | None = None,
    drawn: Drawings,
    export: tuple[str, ...] = (),
    keep_lifted: bool = False,
) -> None:
    """Estimates, writes and prints a summary. Invalid options are refused before networks are loaded or downloaded."""
    folder.check()
    from occlupose.estimator import check_people, resolve_camera, track
    from occlupose.poses_builder import PosesBuilder

    start = monotonic()
    console = Console(stderr=True)
    check_people(max_people, calibration.height)
    camera = resolve_camera(source, calibration.load(), calibration.fov)
    estimator = options.build(source, console)
    from occlupose import formats, viewer
    from occlupose.world import stand

    builder = PosesBuilder(estimator.skeleton, source.fps, camera, estimator.in_3d)
    status = StatusLines(console)
    with Interrupt() as interrupt, progress(console) as bars:
        detecting = bars.add_task(f"detecting {short(Path(source.name).name)}", total=source.count, people="")
        with closing(track(source, estimator, camera, max_people=max_people)) as frames:
            for frame_poses in frames:
                builder.frames.append(frame_poses)
                people = count(len(frame_poses))
                bars.update(detecting, advance=1, people=people)
                status.update("detecting", len(builder.frames), source.count, people)
                if interrupt.asked:
                    break
        early = interrupt.asked
        if early and not builder.frames:
            raise KeyboardInterrupt
        if early and not source.live:
            left_out = " and ".join((OVERLAY, PAGE) if drawn.page else (OVERLAY,))
            say(console, f"interrupted; writing the poses so far, without {left_out} (Ctrl-C again ends at once)")
        bars.update(detecting, total=len(builder.frames))
        finishing = bars.add_task("lifting and writing", total=None, people="")
        tracks = builder.poses()
        del builder, frames, frame_poses  # their memory is reused
        lifted = estimator.finish(tracks, calibration.height)
        poses, floorless = stand(lifted, up=calibration.up, keep_lifted=keep_lifted)
        folder.prepare(method=options.method)
        written = list(POSES)
        for name in POSES:
            poses.save(folder.path / name)
        if not source.live:
            viewer.preview(poses, source, folder.path / PREVIEW)
            written.append(PREVIEW)
        bars.update(finishing, total=1, completed=1)
        follow = partial(_follow, bars, status, interrupt, len(poses))
        if drawn.video and not early and source.kind in ("video", "folder"):
            render = partial(viewer.render, poses, source, folder.path / OVERLAY, panel=drawn.panel)
            if follow(OVERLAY, render):
                written.append(OVERLAY)
            else:
                say(console, "interrupted; overlay.mp4 is left out")
        if drawn.page and (source.live or not interrupt.asked):
            angles = measure(poses, folder.path / POSES[0])
            if not follow(PAGE, partial(viewer.write_page, poses, folder.path / PAGE, source, angles=angles)):
                say(console, "interrupted; page.html is left out")
            written += [name for name in PAGE_FILES if (folder.path / name).exists()]
    for warning in source.warnings:
        say(console, f"warning: {warning}")
    print_notes(console, source.name, poses, getattr(estimator, "best_rejected", 0.0), floorless)
    Console().print(summary(poses, monotonic() - start))
    files = {folder.path / formats.file_name(STEM, name): name for name in export if poses.state.any()}
    try:
        for file in formats.write_all(poses, files):
            written.append(file.name)
    finally:  # an error of an export comes last, and does not hide what was written
        print(f"{folder.path}: {', '.join(written)}")
    if interrupt.asked and not source.live:
        sys.exit(INTERRUPTED)


def _follow(
    bars: Progress, status: StatusLines, interrupt: Interrupt, total: int, name: str, draw: Callable[..., object]
) -> bool:
    """Draws a file and shows how far that is. After Ctrl-C there is none, and False is returned.

    Arguments:
        total: number of frames.
        name: of the file.
        draw: takes `progress`.
    """
    drawing = bars.add_task(f"drawing {name}", total=total, people="")

    def progress(done: int) -> None:
        bars.update(drawing, completed=done)
        status.update(f"drawing {name}", done, total)
        if interrupt.asked:
            raise KeyboardInterrupt

    try:
        draw(progress=progress)
    except KeyboardInterrupt:
        return False
    return True


def lift(
    input: Positional[Annotated[Path, arg(metavar="INPUT")]],
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: out/NAME.npz)")
    ] = None,
    fps: Rate = None,
    size: Size = None,
    skeleton: SkeletonName = None,
    weights: Weights = None,
    device: Device = "cpu",
    keep_lifted: bool = False,
    calibration: OmitArgPrefixes[CameraOptions] = UNKNOWN_CAMERA,
) -> None:
    """Lift 2D poses to 3D.

    The input is a file or folder of OpenPose, COCO, AlphaPose, MMPose, MediaPipe, DeepLabCut, SLEAP, movement or
    Sports2D, which is recognised by its content. Or it is an .npz with xy (time, person, joint, 2; pixels; NaN where
    missing), skeleton (coco17, h36m17, ...) and fps; it may have score, state, width, height and camera. The output has
    xyz (time, person, 17, 3; metres, in the camera frame) and state.

        occlupose lift joints.npz -o poses.npz --fov 70
        occlupose lift openpose_json -o poses.npz --fps 25 --size 1920x1080

    Args:
        input: .npz or .json file of 2D poses, or a file or folder of another tool.
        output: .npz or .json file to write.
        fps: Frames per second, if the input does not say it, or wrongly.
        size: Width and height of the images in pixels, if the input does not say it, or wrongly.
        skeleton: The input's joints in their order, if it does not name them: coco17, halpe26, body25b, ...
        weights: Weights of the lifter, as train lifter or train oanet writes them.
        device: Torch device: cpu, cuda, ...
        keep_lifted: Keep the joints before skeletons were fitted to them as xyz_lifted.
        calibration: Camera and body height, for correct metres.
    """
    from occlupose import formats, pose_files

    file = Path("out") / f"{input.absolute().stem}.npz" if output is None else output
    if file.resolve() == input.resolve():
        raise OccluposeError(f"{file}: is the input; give another file to write")
    pose_files.check_suffix(file)
    check_file(file)
    if weights is not None and not weights.exists():
        raise OccluposeError(f"{weights}: no such file; give weights, as train lifter or train oanet writes them")
    camera = calibration.load()
    camera_size = None if camera is None else (camera.width, camera.height)
    read = formats.read(input, fps=fps, size=size, skeleton=skeleton, fallback_size=camera_size)
    if read.poses.xyz is not None and read.tool != formats.OURS:
        raise OccluposeError(f"{input}: is in 3D already; Poses.read takes it as it is, lift takes 2D poses")
    from occlupose.methods.oanet import lifting
    from occlupose.world import stand

    lifter = lifting.load_lifter(device, weights)
    with naming(input):
        notes = [f"{input}: {note}" for note in formats.check_2d(read.poses)] if read.tool == formats.OURS else []
        lifted = lifting.lift_checked(read.poses, camera, calibration.fov, calibration.height, lifter)
        lifted, floorless = stand(lifted, up=calibration.up, keep_lifted=keep_lifted)
    lifted.save(file)
    console = Console(stderr=True)
    for note in read.notes + notes:
        say(console, f"note: {note}")
    print_notes(console, str(input), lifted, floorless=floorless)
    Console().print(summary(lifted))
    print(f"{file}: written")


def _silence_ffmpeg() -> None:
    """Keeps OpenCV and its FFmpeg from printing lines of their own; before either is imported."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _name(source: "Source") -> str:
    """Name of the default output folder: of the file, the folder, or the camera."""
    path = Path(source.name).expanduser()
    if source.kind == "camera":
        address = urlsplit(source.name)
        return re.sub(r"[^\w.]+", "-", f"{address.hostname or ''}{address.path}").strip("-.") or "camera"
    if source.kind == "folder":
        named = [part for part in path.resolve().parts[1:] if path.is_dir() or not has_magic(part)]
        return named[-1] if named else "images"
    return path.stem
