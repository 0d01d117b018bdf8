"""Time of the front ends and MediaPipe, and of each stage of `occlupose run`.

    python benchmarks/pipeline.py --videos VIDEOS --mediapipe PYTHON --heavy HEAVY

VIDEOS is the folder Demo_SinglePerson/videos of the pose2sim 0.9.8 wheel (BSD-3), of which cam03 is used: one man, 1088
x 1920, 60 frames/s, back and forth to `--frames`. For 2, 4 and 8 people, copies of the part around him, every second
one mirrored, in an image of the same area. PYTHON and HEAVY: see `mediapipe_poses.py`. MediaPipe follows one person
with mp.solutions.pose, and several with Pose Landmarker of MediaPipe Tasks, which is told how many.

pipeline_front_ends.csv: detector and pose network by themselves, as often as the front end runs them; both; the whole
front end, which gets decoded frames; and of that the first frame, which is searched everywhere. Of MediaPipe, its
calls. Ratios are to the same part of BlazePose; `followed` is the mean number of people found in a frame.

pipeline.csv: the stages of the default pipeline, each by itself, and the whole, whose networks are loaded already,
without and with the overlay, whose image is 960 pixels wide. `share_of_networks` is the ratio to the networks by
themselves. Peak memory: a 30-second and a 5-minute video of two people, a third as wide, at 30 frames/s, each in its
own process.

Each round runs every system in turn. Times are medians over the rounds, with the extremes; so are the ratios, each of
two times in the same round. CPU time is that of all threads. Run it on a machine that does nothing else. Finished
parts of rounds are kept in pipeline_runs.csv until all are, so that an interrupted benchmark resumes, unless the code
has changed.
"""

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice, product
from operator import attrgetter
from pathlib import Path
from statistics import mean, median
from time import perf_counter, process_time

import cv2
import numpy as np
import tyro
from jaxtyping import UInt8
from real import MediaPipe, System, find_system
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from tables import markdown_table

from occlupose import pipeline, viewer
from occlupose.detections import Detections
from occlupose.flow import FlowSampler
from occlupose.frontends import DEFAULT, build_frontend
from occlupose.media import Frame, VideoWriter, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.occlusion.plausibility import Plausibility
from occlupose.threads import opencv_on_one_thread
from occlupose.tracking import Tracker

CLIP = "cam03.mp4"
ROWS = slice(288, 1388)
"""Of the image, around the man."""

GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}
"""Copies side by side and above each other, by the number of people."""

PIXELS = 1088 * 1920
SECONDS = (30, 300)

CROPPED = {"detector": "detector._network._session.run", "pose network": "network._network._session.run"}
"""Of NanoDet and a network for crops."""

NETWORKS = {
    "blazepose": {"detector": "detector.network._interpreter.invoke", "pose network": "landmarks._interpreter.invoke"},
    "movenet-occlusion": CROPPED,
    "movenet": CROPPED,
    "movenet-multipose": {"pose network": "_network._session.run"},
}
"""What runs the networks of each front end."""

BASE = "blazepose"
SYSTEMS = (*NETWORKS, "mediapipe-full", "mediapipe-heavy")
PARTS = ("detector", "pose network", "networks", "front end", "first frame")
STAGES = (
    "networks",
    "front end",
    "decode",
    "tracking",
    "flow",
    "plausibility",
    "lifting",
    "whole, no video",
    "whole, with overlay",
)
TIMES = ("ms_per_frame", "min", "max", "cpu_ms")
FRONT_END_COLUMNS = ("people", "system", "part", *TIMES, f"of_{BASE}", f"cpu_of_{BASE}", "followed")
STAGE_COLUMNS = ("people", "stage", *TIMES, "share_of_networks")

Times = dict[str, float]
"""Of each part, ms a frame: wall time by "PART, ms" and CPU time by "PART, cpu_ms"."""


class Stopwatch:
    """Seconds spent inside so far: wall time, and CPU time of all threads."""

    def __init__(self) -> None:
        self.seconds = np.zeros(2)

    def __enter__(self) -> None:
        self._start = np.array([perf_counter(), process_time()])

    def __exit__(self, *_: object) -> None:
        self.seconds += np.array([perf_counter(), process_time()]) - self._start


def watch(owner: object, method: str, stopwatch: Stopwatch) -> None:
    """Times every call of a method of an object."""
    original = getattr(owner, method)

    def timed_call(*args: object, **kwargs: object) -> object:
        with stopwatch:
            return original(*args, **kwargs)

    setattr(owner, method, timed_call)


def per_frame(stopwatches: Mapping[str, Stopwatch], frames: int) -> Times:
    """The times of a frame."""
    milliseconds = {part: 1000 / frames * stopwatch.seconds for part, stopwatch in stopwatches.items()}
    wall = {f"{part}, ms": float(times[0]) for part, times in milliseconds.items()}
    return wall | {f"{part}, cpu_ms": float(times[1]) for part, times in milliseconds.items()}


def arrange(image: UInt8[np.ndarray, "height width 3"], people: int, pixels: float) -> UInt8[np.ndarray, "h w 3"]:
    """As many copies of an image of one person, every second one mirrored, each with sides that are multiples of 8."""
    columns, rows = GRIDS[people]
    part = image[ROWS] if people > 1 else image
    scale = (pixels / people / part[..., 0].size) ** 0.5
    width = 8 * round(scale * part.shape[1] / 8)
    height = 8 * round(scale * part.shape[0] / 8)
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    pair = np.concatenate([small, small[:, ::-1]], 1)
    return np.tile(pair, (rows, columns, 1))[:, : columns * width]


def make_clip(video: Path, path: Path, people: int, frames: int, *, pixels: float = PIXELS, fps: int = 60) -> Path:
    """The clip of one person, back and forth, with this many people."""
    if not path.exists():
        images = [arrange(frame.image, people, pixels) for frame in open_media(video)]
        with VideoWriter(path, images[0].shape[1], images[0].shape[0], fps) as out:
            for image in islice(cycle(images + images[-2:0:-1]), frames):
                out.write(image)
    return path


def measure_front_end(name: str, frames: Sequence[Frame], threads: int) -> tuple[Times, list[Detections]]:
    """Times of a front end and its networks, with the number of people followed; and these people."""
    frontend = build_frontend(name, threads=threads)
    stopwatches = {part: Stopwatch() for part in NETWORKS[name]}
    for part, path in NETWORKS[name].items():
        owner, _, method = path.rpartition(".")
        watch(attrgetter(owner)(frontend), method, stopwatches[part])
    whole = Stopwatch()
    first = Stopwatch()
    with opencv_on_one_thread(), whole:
        with first:
            found = [frontend(frames[0])]
        found += [frontend(frame) for frame in frames[1:]]
    networks = Stopwatch()
    networks.seconds = np.sum([each.seconds for each in stopwatches.values()], 0)
    times = per_frame(stopwatches | {"networks": networks, "front end": whole}, len(frames))
    times |= per_frame({"first frame": first}, 1)
    return times | {"followed": float(np.mean([len(people) for people in found]))}, found


def measure_stages(frames: Sequence[Frame], found: Sequence[Detections]) -> dict[str, Stopwatch]:
    """Times of what follows the front end frame by frame."""
    stopwatches = {stage: Stopwatch() for stage in ("tracking", "flow", "plausibility")}
    tracker = Tracker()
    sampler = FlowSampler()
    plausibility = Plausibility()
    with opencv_on_one_thread():
        for frame, people in zip(frames, found, strict=True):
            with stopwatches["tracking"]:
                numbers = tracker.update(people, frame.time, frame.pyramid).track_numbers
            with stopwatches["flow"]:
                joint_flow = sampler.update(frame.pyramid, people.boxes, people.xy, numbers)
            with stopwatches["plausibility"]:
                plausibility.update(frame.time, people, numbers, joint_flow)
    return stopwatches


def measure_whole(clip: Path, folder: Path, threads: int) -> dict[str, Stopwatch]:
    """Times of decoding and lifting by themselves, and of the whole pipeline."""
    stopwatches = {stage: Stopwatch() for stage in ("decode", "lifting", "whole, no video", "whole, with overlay")}
    with stopwatches["decode"]:
        deque(open_media(clip), 0)
    estimator = OANet(threads=threads)
    watch(estimator, "finish", stopwatches["lifting"])
    source = open_media(clip)
    with stopwatches["whole, with overlay"]:
        with stopwatches["whole, no video"]:
            result = pipeline.run(source, estimator)
            result.save(folder / "poses.npz")
            result.save(folder / "poses.json")
        viewer.preview(result, source, folder / "preview.png")
        viewer.render(result, source, folder / "overlay.mp4", width=960)
    return stopwatches


def measure(system: System, people: int, make: Callable[[], Path], threads: int) -> Times:
    """Times of a system on a clip, with the number of people followed; of the default pipeline's stages as well."""
    clip = make()
    if isinstance(system, MediaPipe):
        return {name: float(value) for name, value in system("times", [[str(clip), people]]).items()}
    frames = list(open_media(clip))
    times, found = measure_front_end(system, frames, threads)
    if system != DEFAULT:
        return times
    times |= per_frame(measure_stages(frames, found), len(frames))
    count = len(frames)
    del frames
    return times | per_frame(measure_whole(clip, clip.parent, threads), count)


def peak_memory(make: Callable[[], Path]) -> dict[str, float]:
    """Peak memory in MiB of a process that runs the pipeline on a video, without the overlay, by Linux.

    `getrusage` would also count the memory of this process.
    """
    code = f"import occlupose; occlupose.run({str(make())!r}); print(open('/proc/self/status').read())"
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {"MiB": int(status.split("VmHWM:")[1].split()[0]) / 1024}


def key(people: int, system: str, number: int) -> str:
    """Names a system's part of a round."""
    return f"{people} people, {system}, round {number}"


def summarise(part: str, rounds: Sequence[Times]) -> list[str]:
    """Median, least and largest wall time of a part, and its CPU time."""
    wall = [times[f"{part}, ms"] for times in rounds]
    cpu = [times[f"{part}, cpu_ms"] for times in rounds]
    return [f"{value:.2f}" for value in (median(wall), min(wall), max(wall), median(cpu))]


def ratio(rounds: Sequence[Times], time: str, base: Sequence[Times], base_time: str) -> str:
    """Median ratio of two times of the same round; empty where the second is not measured."""
    ratios = [
        times[time] / others[base_time] for times, others in zip(rounds, base, strict=True) if base_time in others
    ]
    return f"{median(ratios):.3f}" if ratios else ""


def compare(rounds: Mapping[str, Sequence[Times]]) -> Iterator[list[str]]:
    """Rows of pipeline_front_ends.csv for one number of people.

    Arguments:
        rounds: of each system.
    """
    for system, times in rounds.items():
        followed = mean(each["followed"] for each in times)
        for part in PARTS:
            if f"{part}, ms" in times[0]:
                ratios = [ratio(times, f"{part}, {unit}", rounds[BASE], f"{part}, {unit}") for unit in ("ms", "cpu_ms")]
                yield [system, part, *summarise(part, times), *ratios, f"{followed:.2f}"]


def list_stages(rounds: Sequence[Times]) -> Iterator[list[str]]:
    """Rows of pipeline.csv for one number of people."""
    for stage in STAGES:
        yield [stage, *summarise(stage, rounds), ratio(rounds, f"{stage}, ms", rounds, "networks, ms")]


def list_memory(runs: Mapping[str, Times]) -> Iterator[list[str]]:
    """Rows of pipeline.csv for peak memory, if that was measured."""
    peaks = {seconds: runs[f"memory, {seconds} s"]["MiB"] for seconds in SECONDS if f"memory, {seconds} s" in runs}
    for seconds, most in peaks.items():
        yield ["memory", f"{seconds} s, MiB", f"{most:.0f}", "", "", "", f"{most / peaks[SECONDS[0]]:.3f}"]


def main(
    videos: Path,
    mediapipe: Path | None = None,
    heavy: Path | None = None,
    people: tuple[int, ...] = tuple(GRIDS),
    systems: tuple[str, ...] = SYSTEMS,
    frames: int = 200,
    rounds: int = 5,
    threads: int = 2,
    memory: bool = True,
    output: Path = Path(__file__).parent / "results" / "pipeline.csv",
) -> None:
    """Measures the systems and the pipeline.

    Args:
        videos: folder of cam03.mp4.
        mediapipe: Python interpreter of the environment of MediaPipe.
        heavy: the heavy landmark network, if that environment lacks it.
        people: numbers of people: 1, 2, 4, 8.
        systems: names of front ends; mediapipe-full and mediapipe-heavy. blazepose and movenet-occlusion are needed.
        frames: of each clip.
        rounds: of all systems.
        threads: of each of our networks; 2 is what `occlupose run` uses.
        memory: also measure peak memory (some minutes).
        output: table of the stages; that of the systems, NAME_front_ends.csv, is beside it.
    """
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), f"{COMMIT}, {frames} frames, {threads} threads")
    video = videos / CLIP
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted: dict[str, Callable[[], Times]] = {}
        for number, count, system in product(range(rounds), people, systems):
            clip = partial(make_clip, video, folder / f"{count}.mp4", count, frames)
            run = find_system(system, mediapipe, heavy)
            wanted[key(count, system, number)] = partial(measure, run, count, clip, threads)
        for seconds in SECONDS if memory else ():
            clip = partial(make_clip, video, folder / f"{seconds}s.mp4", 2, 30 * seconds, pixels=PIXELS / 9, fps=30)
            wanted[f"memory, {seconds} s"] = partial(peak_memory, clip)
        for wanted_key, action in track(wanted.items(), "measuring", console=Console(stderr=True)):
            runs.once(wanted_key, action)
    done = runs.done()
    front_ends: list[list[str]] = []
    stages: list[list[str]] = []
    for count in people:
        found = {system: [done[key(count, system, number)] for number in range(rounds)] for system in systems}
        front_ends += [[str(count), *row] for row in compare(found)]
        stages += [[str(count), *row] for row in list_stages(found[DEFAULT])]
    stages += list_memory(done)
    write(output.with_name(f"{output.stem}_front_ends.csv"), FRONT_END_COLUMNS, front_ends)
    write(output, STAGE_COLUMNS, stages)
    runs.path.unlink()
    for columns, rows in ((FRONT_END_COLUMNS, front_ends), (STAGE_COLUMNS, stages)):
        print(markdown_table([dict(zip(columns, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    tyro.cli(main)
