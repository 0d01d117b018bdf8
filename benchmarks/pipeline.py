"""Time of each stage of `occlupose run`, relative to the front end's networks alone.

    python benchmarks/pipeline.py

Input: the demonstration clip of two people (pose2sim 0.9.8, BSD-3, 1088 x 1920, downloaded at first use), of whom at
most one or two are followed; for four people, two copies of it side by side at 0.7 of the size; repeated back and forth
to `--frames`. Measured on the same frames: the front end's networks (detector and keypoints) by themselves, each stage
by itself, and the whole pipeline without and with the overlay. Medians of `--repeats` runs. Peak memory: a 30-second
and a 5-minute video of the two people, each in its own process. Writes results/pipeline.csv. Finished runs are kept in
pipeline_runs.csv until then, so that an interrupted benchmark resumes, unless the code has changed.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import tyro
from onnxruntime import InferenceSession
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from occlupose import pipeline, viewer
from occlupose.assets import demo_clip
from occlupose.cameras import camera_from_fov
from occlupose.detections import Detections
from occlupose.flow import FlowSampler
from occlupose.frontends import DEFAULT
from occlupose.frontends.crops import TopDownFrontend
from occlupose.frontends.movenet import MoveNetThunder
from occlupose.frontends.nanodet import NanoDetector
from occlupose.media import VideoWriter, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.methods.oanet.lifter.weights import load
from occlupose.methods.oanet.lifting import TrackLifter
from occlupose.tracking import Tracker

PEOPLE = (1, 2, 4)
SECONDS = (30, 300)
COLUMNS = ("people", "stage", "ms_per_frame", "share_of_networks")
TWO_PEOPLE_END = 1.3
"""Seconds of the demonstration clip in which only the two people are detected."""


def clip(folder: Path, people: int, frames: int) -> Path:
    """A video of about two megapixels: the demonstration clip, or two copies side by side for more than two people."""
    path = folder / f"{people}.mp4"
    if path.exists():
        return path
    images = [frame.image for frame in open_media(demo_clip())]
    if people > 2:
        images = [
            cv2.resize(np.concatenate([image, image[:, ::-1]], 1), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
            for image in images
        ]
    with VideoWriter(path, images[0].shape[1], images[0].shape[0], 60) as out:
        for _, image in zip(range(frames), cycle(images + images[-2:0:-1]), strict=False):
            out.write(image)
    return path


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = perf_counter()
    action()
    return perf_counter() - start


@dataclass
class Stopwatch:
    """Seconds spent in a method so far."""

    seconds: float = 0.0


@contextmanager
def stopwatch(owner: type, method: str) -> Iterator[Stopwatch]:
    """Times every call of a method of a class."""
    watch = Stopwatch()
    original = getattr(owner, method)

    def timed_call(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            watch.seconds += perf_counter() - start

    with patch.object(owner, method, timed_call):
        yield watch


def default_frontend(people: int, threads: int) -> TopDownFrontend:
    """The default front end, for at most this many people."""
    detector = NanoDetector(threads=threads)
    return TopDownFrontend(DEFAULT, MoveNetThunder(threads=threads), detector, max_people=people)


def measure(path: Path, people: int, folder: Path, threads: int) -> Iterator[tuple[str, float]]:
    """Seconds of each stage by itself, then of the whole without and with the overlay."""
    yield "decode", timed(lambda: [None for _ in open_media(path)])
    frames = list(open_media(path))
    frontend = default_frontend(people, threads)
    detected: list[Detections] = []
    with stopwatch(InferenceSession, "run") as networks:
        whole = timed(lambda: detected.extend(frontend(frame) for frame in frames))
    yield "networks alone", networks.seconds
    yield "front end, rest", whole - networks.seconds
    tracker = Tracker()
    sampler = FlowSampler()
    numbers: list[np.ndarray] = []
    yield (
        "tracking",
        timed(
            lambda: numbers.extend(
                tracker.update(found, frame.time, frame.pyramid).track_numbers
                for found, frame in zip(detected, frames, strict=True)
            )
        ),
    )
    samples = [
        (frame.pyramid, found.boxes, found.xy, track_numbers)
        for frame, found, track_numbers in zip(frames, detected, numbers, strict=True)
    ]
    yield "flow", timed(lambda: [sampler.update(image, boxes, xy, track) for image, boxes, xy, track in samples])
    del frames, samples
    poses = pipeline.run(path, OANet(default_frontend(people, threads))).observed
    assert poses is not None
    lift = TrackLifter(camera_from_fov(poses.width, poses.height), None, load())
    yield "lifting and placement", timed(lambda: lift(poses))

    def without_overlay() -> None:
        result = pipeline.run(path, OANet(default_frontend(people, threads)))
        result.save(folder / "poses.npz")
        result.save(folder / "poses.json")

    yield "whole, no video", timed(without_overlay)

    def with_overlay() -> None:
        source = open_media(path)
        result = pipeline.run(source, OANet(default_frontend(people, threads)))
        result.save(folder / "poses.npz")
        result.save(folder / "poses.json")
        viewer.preview(result, source, folder / "preview.png")
        viewer.render(result, source, folder / "overlay.mp4")

    yield "whole, with overlay", timed(with_overlay)


def peak_memory(path: Path) -> float:
    """Peak memory in MiB of a process that runs the pipeline on a video, without the overlay, by Linux.

    `getrusage` would also count the memory of this process.
    """
    code = f"import occlupose; occlupose.run({str(path)!r}); print(open('/proc/self/status').read())"
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def small_clip(folder: Path, seconds: int) -> Path:
    """Two people at 30 frames/s and a third of the size."""
    path = folder / f"{seconds}s.mp4"
    images = [
        np.ascontiguousarray(frame.image[::3, ::3]) for frame in open_media(demo_clip(), every=2, end=TWO_PEOPLE_END)
    ]
    with VideoWriter(path, images[0].shape[1], images[0].shape[0], 30) as out:
        for _, image in zip(range(30 * seconds), cycle(images + images[-2:0:-1]), strict=False):
            out.write(image)
    return path


def run_key(people: int, frames: int, number: int) -> str:
    """Names a run of the stages."""
    return f"{people} people, {frames} frames, run {number}"


def memory_key(seconds: int) -> str:
    """Names a measurement of peak memory."""
    return f"memory, {seconds} s"


def timings(folder: Path, people: int, frames: int, threads: int) -> dict[str, float]:
    """Seconds of each stage."""
    return dict(measure(clip(folder, people, frames), people, folder, threads))


def peak(folder: Path, seconds: int) -> dict[str, float]:
    """Peak memory for a video of this length."""
    return {"MiB": peak_memory(small_clip(folder, seconds))}


def rows(runs: dict[str, dict[str, float]], frames: int, repeats: int) -> Iterator[tuple[object, ...]]:
    """The table: medians over the repeats."""
    for people in PEOPLE:
        measured = [runs[run_key(people, frames, number)] for number in range(repeats)]
        medians = {stage: statistics.median(run[stage] for run in measured) for stage in measured[0]}
        for stage, seconds in medians.items():
            yield people, stage, f"{1000 * seconds / frames:.2f}", f"{seconds / medians['networks alone']:.3f}"
    peaks = {seconds: runs[memory_key(seconds)]["MiB"] for seconds in SECONDS if memory_key(seconds) in runs}
    for seconds, most in peaks.items():
        yield "memory", f"{seconds} s, MiB", f"{most:.0f}", f"{most / peaks[SECONDS[0]]:.3f}"


def main(
    frames: int = 200,
    repeats: int = 3,
    threads: int = 2,
    memory: bool = True,
    output: Path = Path(__file__).parent / "results" / "pipeline.csv",
) -> None:
    """Measures the pipeline.

    Args:
        frames: of each clip.
        repeats: runs, of which the median counts.
        threads: of each of the front end's networks; 2 is what `occlupose run` uses.
        memory: also measure peak memory (some minutes).
        output: table to write.
    """
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), COMMIT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages = partial(timings, folder, frames=frames, threads=threads)
        wanted = [
            (run_key(people, frames, number), partial(stages, people=people))
            for number in range(repeats)
            for people in PEOPLE
        ]
        wanted += [(memory_key(seconds), partial(peak, folder, seconds)) for seconds in SECONDS] if memory else []
        for key, action in track(wanted, "measuring", console=Console(stderr=True)):
            runs.once(key, action)
    table = Table(*COLUMNS)
    found = list(rows(runs.done(), frames, repeats))
    write(output, COLUMNS, found)
    runs.path.unlink()
    for row in found:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
