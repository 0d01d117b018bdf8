"""The work of `occlupose run` on one input: its options, and the estimate with everything that is written."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from tyro.conf import arg

from occlupose.cli.fingerprint import settings
from occlupose.cli.options import UNKNOWN_CAMERA, Boxes, CameraOptions, Detector, use_threads
from occlupose.cli.output import OVERLAY, PAGE, PAGE_FILES, POSES, PREVIEW, STEM, OutputFolder
from occlupose.cli.page import measure
from occlupose.cli.terminal import LIFTING, Report, Stoppable, announce, count, find_notes, repeated, say
from occlupose.errors import OccluposeError

if TYPE_CHECKING:  # heavy modules are imported where they are used, so that --help is quick
    from occlupose.cameras import Camera
    from occlupose.estimator import PoseEstimator
    from occlupose.media import Source
    from occlupose.poses import Poses
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

    def build(self, console: Console, source: "Source | None" = None) -> "PoseEstimator":
        """The estimator with its networks loaded.

        Arguments:
            console: for what the user should know.
            source: that the boxes of a file are of, if there is such a file.

        Raises:
            OccluposeError: the options do not go together, or a network cannot be loaded.
        """
        threads = use_threads(self.threads)
        if self.method == "hupor":
            from occlupose.methods.hupor.estimator import HUPOR

            estimator = HUPOR(self.weights, flip=self.flip, device=self.device)
            if self.weights is None:
                say(console, "warning: the shipped networks of hupor are small, less accurate than the default method")
            return estimator
        from occlupose.assets import BLAZEPOSE
        from occlupose.frontends import DEFAULT, check_detector, check_options
        from occlupose.frontends.boxes import load

        frontend = self.oanet.frontend or DEFAULT
        detector = self.oanet.detector
        check_options(frontend, boxes=self.oanet.boxes is not None, detector=detector is not None, flip=self.flip)
        if detector is not None:
            check_detector(detector)
        boxes = None if self.oanet.boxes is None or source is None else load(self.oanet.boxes, source)
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
class Files:
    """Which files are written besides poses.npz and run.json.

    Attributes:
        json: whether poses.json is.
        preview: whether preview.png is.
        video: whether overlay.mp4 is.
        panel: where the 3D view is in it.
        page: whether page.html is.
        export: formats of other tools.
    """

    json: bool = True
    preview: bool = True
    video: bool = True
    panel: "PanelPlace" = "side"
    page: bool = False
    export: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOptions:
    """Everything that the files of an input follow from, besides the input; as of `occlupose run`."""

    every: int = 1
    start: float | None = None
    end: float | None = None
    max_people: int | None = None
    keep_lifted: bool = False
    files: Files = Files()
    calibration: CameraOptions = UNKNOWN_CAMERA
    estimator: EstimatorOptions = EstimatorOptions()

    def check(self) -> None:
        """Refuses values that are impossible for any input, before one is opened. Raises OccluposeError."""
        from occlupose.cameras import camera_from_fov
        from occlupose.estimator import check_people
        from occlupose.media.source import TimeRange

        TimeRange(self.every, self.start or 0.0, inf if self.end is None else self.end)
        check_people(self.max_people, self.calibration.height)
        camera_from_fov(640, 480, self.calibration.fov)
        self.calibration.load()

    def open(self, input: str) -> "Source":
        """The input, opened. Raises OccluposeError."""
        from occlupose.media import open_media
        from occlupose.media.images import ImageSequence

        source = open_media(input, every=self.every, start=self.start, end=self.end)
        if isinstance(source, ImageSequence):
            source.check_sizes()
        return source

    def camera(self, source: "Source") -> "Camera":
        """The camera of a source. Raises OccluposeError: an option cannot be, before networks are loaded."""
        from occlupose.estimator import check_people, resolve_camera

        check_people(self.max_people, self.calibration.height)
        return resolve_camera(source, self.calibration.load(), self.calibration.fov)


@dataclass
class Estimate:
    """The poses of one input, and what was done with them.

    Attributes:
        poses: people over time.
        written: names of the files that were written, in order.
        notes: what the user should know, in lines.
        is_whole: whether nothing was left out because the user interrupted it.
    """

    poses: "Poses"
    written: list[str]
    notes: list[str] = field(default_factory=list)
    is_whole: bool = True

    def figures(self) -> dict[str, Any]:
        """Numbers of frames and people, and which shares of the joints are visible, occluded and absent."""
        from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

        count = self.poses.count_states()
        states = {"visible": VISIBLE, "occluded": OCCLUDED, "absent": ABSENT}
        places = int(count.sum())
        shares = {name: round(int(count[value]) / places, 4) if places else None for name, value in states.items()}
        return {"frames": len(self.poses), "people": len(self.poses.track_id), **shares}


def estimate(
    source: "Source",
    folder: OutputFolder,
    options: RunOptions,
    camera: "Camera",
    estimator: "PoseEstimator",
    *,
    describe: Callable[[], dict[str, Any]],
    report: Report,
    interrupt: Stoppable,
    keep_early: Callable[[str], None] | None = None,
) -> Estimate:
    """Estimates the poses of a source and writes and draws them, all but exports.

    Arguments:
        folder: where; taken by this process.
        describe: returns more for run.json; called before anything is written.
        report: is told how far it is.
        interrupt: whether to stop early.
        keep_early: is told what is left out when it stops early; None: nothing is written then.

    Raises:
        KeyboardInterrupt: it was to stop early, and nothing is written.
        OccluposeError: the source cannot be read, or a file cannot be written.
    """
    from occlupose import viewer
    from occlupose.world import stand

    files = options.files
    tracks, early = _detect(source, options, camera, estimator, report, interrupt, keep_early is not None)
    if early and keep_early is not None and not source.live:
        left_out = " and ".join((OVERLAY, PAGE) if files.page else (OVERLAY,))
        keep_early(f"interrupted; writing the poses so far, without {left_out} (Ctrl-C again ends at once)")
    report(LIFTING, 0, None)
    with repeated(partial(report, LIFTING, 0, None)):
        lifted = estimator.finish(tracks, options.calibration.height)
        poses, floorless = stand(lifted, up=options.calibration.up, keep_lifted=options.keep_lifted)
    if interrupt.asked and keep_early is None:
        raise KeyboardInterrupt
    notes = []
    if not poses.fits_in_arrays and (files.preview or files.video or files.page):
        files = replace(files, preview=False, video=False, page=False)
        size = f"{count(len(poses.track_id))} in {len(poses)} frames"
        notes = [f"warning: {source.name}: {size} are too many to draw; pictures, video and page are left out"]
    written = [name for name in POSES if files.json or name == POSES[0]]
    folder.prepare(written, method=options.estimator.method, settings=settings(options), **describe())
    for name in written:
        poses.save(folder.path / name)
    if files.preview and not source.live:
        viewer.preview(poses, source, folder.path / PREVIEW)
        written.append(PREVIEW)
    report(LIFTING, 1, 1)
    done = Estimate(poses, written, notes)
    draw = partial(_draw, done, report=report, interrupt=interrupt, keep_early=keep_early)
    if files.video and not early and source.kind in ("video", "folder"):
        draw(OVERLAY, partial(viewer.render, poses, source, folder.path / OVERLAY, panel=files.panel))
    if files.page and (source.live or not interrupt.asked):
        angles = measure(poses, folder.path / POSES[0], done.notes.append)
        draw(PAGE, partial(viewer.write_page, poses, folder.path / PAGE, source, angles=angles))
        written += [name for name in PAGE_FILES[1:] if (folder.path / name).exists()]
    done.is_whole = source.live or not interrupt.asked
    done.notes += [f"warning: {warning}" for warning in source.warnings]
    done.notes += find_notes(source.name, poses, getattr(estimator, "best_rejected", 0.0), floorless)
    return done


def export_all(poses: "Poses", folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    """Writes poses in formats of other tools; nothing where nobody is.

    Yields:
        The name of each file when it is written.

    Raises:
        OccluposeError: one cannot be written.
    """
    from occlupose import formats

    files = {folder / formats.file_name(STEM, name): name for name in names if poses.is_anybody_there}
    for file in formats.write_all(poses, files):
        yield file.name


def _detect(
    source: "Source",
    options: RunOptions,
    camera: "Camera",
    estimator: "PoseEstimator",
    report: Report,
    interrupt: Stoppable,
    keep_early: bool,
) -> "tuple[Poses, bool]":
    """Tracked people, and whether the user stopped early. Raises KeyboardInterrupt: early, and nothing is kept."""
    from occlupose.estimator import track
    from occlupose.poses_builder import PosesBuilder

    builder = PosesBuilder(estimator.skeleton, source.fps, camera, estimator.in_3d)
    stage = "detecting"
    people = ""
    report(stage, 0, source.count)
    with closing(track(source, estimator, camera, max_people=options.max_people)) as frames:
        for frame_poses in frames:
            builder.frames.append(frame_poses)
            people = count(len(frame_poses))
            report(stage, len(builder.frames), source.count, people)
            if interrupt.asked:
                break
    early = interrupt.asked
    if early and not (keep_early and builder.frames):
        raise KeyboardInterrupt
    report(stage, len(builder.frames), len(builder.frames), people)
    return builder.poses(), early


def _draw(
    done: Estimate,
    name: str,
    draw: Callable[..., object],
    *,
    report: Report,
    interrupt: Stoppable,
    keep_early: Callable[[str], None] | None,
) -> None:
    """Draws a file; it is left out when the user interrupts it.

    Arguments:
        name: of the file.
        draw: takes `progress`.

    Raises:
        KeyboardInterrupt: the user interrupts it, and nothing is to be kept.
    """
    stage = f"drawing {name}"
    total = len(done.poses)
    report(stage, 0, total)

    def progress(count: int) -> None:
        report(stage, count, total)
        if interrupt.asked:
            raise KeyboardInterrupt

    try:
        draw(progress=progress)
    except KeyboardInterrupt:
        if keep_early is None:
            raise
        keep_early(f"interrupted; {name} is left out")
        return
    done.written.append(name)
