"""Commands that estimate poses: run, demo, lift."""

import os
import re
import sys
from functools import partial
from glob import has_magic
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional, arg

from occlupose.cli.archive import LONGEST, Archive
from occlupose.cli.estimation import DEFAULTS, EstimatorOptions, Files, OANetOptions, RunOptions, estimate, export_all
from occlupose.cli.export import check_formats
from occlupose.cli.fingerprint import InputContent
from occlupose.cli.log import EventLog
from occlupose.cli.options import (
    UNKNOWN_CAMERA,
    CameraOptions,
    Count,
    Device,
    Folder,
    Formats,
    Rate,
    Seconds,
    Size,
    SkeletonName,
    Threads,
    Weights,
)
from occlupose.cli.output import OutputFolder, check_output
from occlupose.cli.terminal import (
    INTERRUPTED,
    Interrupt,
    Stages,
    announce,
    check_file,
    print_notes,
    progress,
    say,
    summary,
)
from occlupose.errors import OccluposeError, naming

if TYPE_CHECKING:  # heavy modules are imported where they are used, so that --help is quick
    from occlupose.media import Source

WORKERS_HINT = "(default: 1; with --ray one for each processor)"


def run(
    inputs: Positional[Annotated[tuple[str, ...], arg(metavar="INPUT", help_behavior_hint="")]] = (),
    list_file: Annotated[Path | None, arg(name="list", metavar="FILE", help_behavior_hint="(default: none)")] = None,
    manifest: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None,
    output: Folder = None,
    every: int = 1,
    start: Annotated[Seconds, arg(help_behavior_hint="(default: the beginning)")] = None,
    end: Annotated[Seconds, arg(help_behavior_hint="(default: the end)")] = None,
    max_people: Count = None,
    video: bool = True,
    panel: Literal["none", "side", "below"] = "side",
    page: bool = False,
    json: bool = True,
    preview: bool = True,
    overwrite: bool = False,
    export: Formats = (),
    method: Literal["oanet", "hupor"] = "oanet",
    flip: bool = False,
    weights: Weights = None,
    device: Device = "cpu",
    threads: Threads = None,
    workers: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint=WORKERS_HINT)] = None,
    ray: Annotated[str | None, arg(metavar="ADDRESS|local", help_behavior_hint="(default: no Ray)")] = None,
    longest: Annotated[int, arg(metavar="FRAMES")] = LONGEST,
    log: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None,
    quiet: bool = False,
    keep_lifted: bool = False,
    calibration: OmitArgPrefixes[CameraOptions] = UNKNOWN_CAMERA,
    oanet: OmitArgPrefixes[OANetOptions] = DEFAULTS,
) -> None:
    """Estimate 2D and metric 3D poses of all people in images and videos; every joint is visible, occluded or absent.

    Writes poses.npz and poses.json (the same content), preview.png, run.json (version, input and settings) and, for a
    video, overlay.mp4. Ctrl-C stops early: the poses so far are written, without overlay.mp4 and page.html, and the
    exit code is 130 (0 for a camera, which has no other end). A second Ctrl-C ends at once.

        occlupose run walk.mp4
        occlupose run walk.mp4 --start 1:30 --end 1:45 --height 1.75 -o results
        occlupose run photo.jpg --method hupor
        occlupose run 0 --no-video

    Several inputs, or a folder with videos in it, are an archive: each input has a folder of its own, at the same place
    in the tree as in the archive, and summary.csv lists them all. Call it again to go on: what is finished is skipped,
    what was cut short is done again. The exit code is 1 if an input failed. docs/archive.md has more.

        occlupose run archive -o results --no-video --workers 2
        occlupose run "archive/*.mp4" walk.mov -o results --log log.jsonl
        occlupose run --manifest videos.csv -o results
        occlupose run archive -o results --ray auto

    Args:
        inputs: Images, videos, folders of images or of videos, glob patterns; or one camera number or address of a
            network camera.
        list_file: Text file that names inputs, one a line.
        manifest: CSV file that names inputs in the column input; it may have columns output, start, end, height, fov,
            camera and up, for the options of each.
        output: Folder for the files; of an archive the folder of them all, by default out.
        every: Use only every n-th frame.
        start: Start at this time.
        end: Stop before this time.
        max_people: Maximum number of people in a frame; those who came first are kept.
        video: Write overlay.mp4, in the size of the input and with its sound.
        panel: Where the 3D view is in overlay.mp4: beside the image, below it, or nowhere.
        page: Write page.html too: video, 3D, timelines and joint angles for a browser; see occlupose view.
        json: Write poses.json.
        preview: Write preview.png.
        overwrite: Replace poses of another input in the folder; in an archive, do also again what is finished.
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
        workers: Processes that share the inputs of an archive, each with its own networks.
        ray: Ray cluster whose machines share the inputs of an archive, such as 10.0.0.1:6379; local: a cluster of this
            machine alone. Needs the extra ray; docs/archive.md has more.
        longest: With --ray: in parts of so many frames of a longer video, people are detected by several workers.
        log: File that gets a line of JSON when an input is started, finished, skipped, failed or interrupted.
        quiet: Print errors and the last line only.
        keep_lifted: Keep the joints before skeletons were fitted to them as xyz_lifted.
        calibration: Camera and body height, for correct metres.
        oanet: Only with --method oanet.
    """
    if not inputs and list_file is None and manifest is None:
        raise OccluposeError("run: INPUT missing; see occlupose run --help")
    if workers is not None and workers < 1:
        raise OccluposeError(f"workers {workers}: nobody would do the work; give 1 or more")
    if longest < 1:
        raise OccluposeError(f"longest {longest}: a part needs a frame; give 1 or more")
    options = RunOptions(
        every,
        start,
        end,
        max_people,
        keep_lifted,
        Files(json, preview, video, panel, page, export),
        calibration,
        EstimatorOptions(method, flip, weights, device, threads, oanet),
    )
    options.estimator.check()
    if output is not None:
        check_output(output)
    if export:
        check_formats(export)
    _silence_ffmpeg()
    archive = Archive.find(inputs, list_file, manifest, output or Path("out"), options)
    if archive is not None:
        if code := archive.run(workers, log, ray=ray, longest=longest, overwrite=overwrite, quiet=quiet):
            sys.exit(code)
        return
    if ray is not None:
        from occlupose.media.camera import without_password

        shown = without_password(inputs[0])
        raise OccluposeError(f"--ray: shares the inputs of an archive; give a folder or a list for {shown}")
    with options.open(inputs[0]) as source, EventLog(log) as events:
        folder = OutputFolder.of(output or Path("out") / _name(source), source, overwrite=overwrite)
        _run(source, folder, options, events, quiet=quiet)


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
    with open_media(demo_clip()) as source, EventLog(None) as events:
        folder = OutputFolder.of(path, source, overwrite=overwrite)
        _run(source, folder, RunOptions(files=Files(video=video)), events)


def _run(source: "Source", folder: OutputFolder, options: RunOptions, events: EventLog, *, quiet: bool = False) -> None:
    """Estimates, writes and prints a summary. Invalid options are refused before networks are loaded or downloaded."""
    begin = monotonic()
    folder.check()
    events.write("started", source.name, folder.path)
    event = "failed"
    details: dict[str, object] = {}
    try:
        with folder.taken():
            details |= _estimate(source, folder, options, quiet=quiet)
        event = "finished"
    except OccluposeError as error:
        details["error"] = str(error)
        raise
    except (KeyboardInterrupt, SystemExit):
        event = "interrupted"
        raise
    finally:
        events.write(event, source.name, folder.path, seconds=round(monotonic() - begin, 2), **details)


def _estimate(source: "Source", folder: OutputFolder, options: RunOptions, *, quiet: bool) -> dict[str, object]:
    """The work of `_run` in a folder that is taken; returns figures of the poses."""
    from occlupose.media import files_of

    begin = monotonic()
    console = Console(stderr=True, quiet=quiet)
    camera = options.camera(source)
    content = InputContent(source.name, [] if source.kind == "camera" else files_of(source.name))
    estimator = options.estimator.build(console, source)
    with Interrupt() as interrupt, progress(console) as bars:
        done = estimate(
            source,
            folder,
            options,
            camera,
            estimator,
            describe=content.by_stamp,
            report=Stages(bars, console, Path(source.name).name),
            interrupt=interrupt,
            keep_early=partial(say, console),
        )
    for note in done.notes:
        say(console, note)
    seconds = monotonic() - begin
    Console(quiet=quiet).print(summary(done.poses, seconds))
    try:
        for file in export_all(done.poses, folder.path, options.files.export):
            done.written.append(file)
    finally:  # an error of an export comes last, and does not hide what was written
        print(f"{folder.path}: {', '.join(done.written)}")
    if not done.is_whole:
        sys.exit(INTERRUPTED)
    folder.finish(done.written, result={"seconds": round(seconds, 2), **done.figures()})
    return done.figures()


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
