"""Where the time of `occlupose run` goes, and what it costs beside the front end's networks alone.

    python benchmarks/pipeline.py

The demonstration clip of two people (pose2sim 0.9.8, BSD-3, 1088 x 1920, fetched at first use), of whom at most one or
two are followed, and, for four, two of it side by side at 0.7 of the size; repeated back and forth to `--frames`. In
the same run and on the same frames: the front end's networks (detector and landmarks) by themselves, the whole pipeline
without and with the overlay, and each stage by itself, one after another. Medians of `--repeats` runs. Peak memory: of
a 30-second and a 5-minute video of the two people, each in a process of its own. Writes results/pipeline.csv. Until
then each finished run is kept in pipeline_runs.csv beside it, and a benchmark that was stopped goes on there, unless
the code is another.
"""

import csv
import json
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
from ai_edge_litert.interpreter import Interpreter
from results import COMMIT, write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from occlupose import pipeline, viewer
from occlupose.assets import demo_clip
from occlupose.cameras import camera_from_fov
from occlupose.detections import Detections
from occlupose.flow import FlowSampler
from occlupose.frontends.blazepose import BlazePose
from occlupose.media import VideoWriter, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.methods.oanet.lifter.weights import load
from occlupose.methods.oanet.lifting import TrackLifter
from occlupose.tracking import Tracker

PEOPLE = (1, 2, 4)
SECONDS = (30, 300)
COLUMNS = ("people", "stage", "ms_per_frame", "share_of_networks")
TOGETHER = 1.3
"""Seconds of the demonstration clip in which nobody but the two people is found."""


def clip(folder: Path, people: int, frames: int) -> Path:
    """A video of about two megapixels: the demonstration clip, or for more than two people two of it side by side."""
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
    """Seconds that it takes."""
    began = perf_counter()
    action()
    return perf_counter() - began


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


def measure(path: Path, people: int, folder: Path, threads: int) -> Iterator[tuple[str, float]]:
    """Seconds of each stage by itself, then of the whole without and with the overlay."""
    yield "decode", timed(lambda: [None for _ in open_media(path)])
    frames = list(open_media(path))
    eyes = BlazePose(max_people=people, threads=threads)
    seen: list[Detections] = []
    with stopwatch(Interpreter, "invoke") as networks:
        whole = timed(lambda: seen.extend(eyes(frame) for frame in frames))
    yield "networks alone", networks.seconds
    yield "front end, rest", whole - networks.seconds
    tracker = Tracker()
    meter = FlowSampler()
    ids: list[np.ndarray] = []
    yield (
        "tracking",
        timed(
            lambda: ids.extend(
                tracker.update(found, frame.time).track_numbers for found, frame in zip(seen, frames, strict=True)
            )
        ),
    )
    moments = list(zip(frames, seen, ids, strict=True))
    yield (
        "flow",
        timed(lambda: [meter.update(frame.pyramid, found.boxes, found.xy, who) for frame, found, who in moments]),
    )
    del frames, moments
    poses = pipeline.run(path, OANet(BlazePose(max_people=people, threads=threads))).observed
    assert poses is not None
    lift = TrackLifter(camera_from_fov(poses.width, poses.height), None, load())
    yield "lifting and placement", timed(lambda: lift(poses))

    def without_overlay() -> None:
        result = pipeline.run(path, OANet(BlazePose(max_people=people, threads=threads)))
        result.save(folder / "poses.npz")
        result.save(folder / "poses.json")

    yield "whole, no video", timed(without_overlay)

    def with_overlay() -> None:
        source = open_media(path)
        result = pipeline.run(source, OANet(BlazePose(max_people=people, threads=threads)))
        result.save(folder / "poses.npz")
        result.save(folder / "poses.json")
        viewer.preview(result, source, folder / "preview.png")
        viewer.render(result, source, folder / "overlay.mp4")

    yield "whole, with overlay", timed(with_overlay)


def peak_memory(path: Path) -> float:
    """MiB of a process that runs the pipeline on a video, without the overlay, as Linux tells it of that program alone.

    `getrusage` would also count what this process held when it began the other.
    """
    code = f"import occlupose; occlupose.run({str(path)!r}); print(open('/proc/self/status').read())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return int(told.split("VmHWM:")[1].split()[0]) / 1024


def small_clip(folder: Path, seconds: int) -> Path:
    """Two people at 30 frames/s and a third of the size, for so long."""
    path = folder / f"{seconds}s.mp4"
    images = [np.ascontiguousarray(frame.image[::3, ::3]) for frame in open_media(demo_clip(), every=2, end=TOGETHER)]
    with VideoWriter(path, images[0].shape[1], images[0].shape[0], 30) as out:
        for _, image in zip(range(30 * seconds), cycle(images + images[-2:0:-1]), strict=False):
            out.write(image)
    return path


@dataclass(frozen=True)
class Runs:
    """What was measured so far with this code: commit, key and values of each run, appended to a file one by one."""

    path: Path
    commit: str

    def done(self) -> dict[str, dict[str, float]]:
        """The runs in the file."""
        lines = csv.reader(self.path.read_text().splitlines()) if self.path.exists() else ()
        whole = (row for row in lines if len(row) == 3 and row[2].endswith("}"))  # none that was cut off
        return {key: json.loads(value) for commit, key, value in whole if commit == self.commit}

    def once(self, key: str, action: Callable[[], dict[str, float]]) -> None:
        """Measures what is not in the file yet, and appends it."""
        if key not in self.done():
            value = json.dumps(action())
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerow([self.commit, key, value])


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
    """Peak memory with a video of so many seconds."""
    return {"MiB": peak_memory(small_clip(folder, seconds))}


def rows(runs: dict[str, dict[str, float]], frames: int, repeats: int) -> Iterator[tuple[object, ...]]:
    """The table: medians over the repeats."""
    for people in PEOPLE:
        mine = [runs[run_key(people, frames, number)] for number in range(repeats)]
        medians = {stage: statistics.median(run[stage] for run in mine) for stage in mine[0]}
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
