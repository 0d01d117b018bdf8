"""Videos an hour of `occlupose run` on an archive: one process, all processors, and Ray.

    python benchmarks/archive.py --videos VIDEOS

VIDEOS is the folder Demo_SinglePerson/videos of the pose2sim 0.9.8 wheel (BSD-3): one man, 1088 x 1920, 60 frames/s.
The archive has clips of `--frames` frames from its four videos in turn. Every mode is the command that users give,
with `--no-video --no-json --no-preview`, in processes of its own; modes take turns in each of `--rounds`:

one processor: `--threads 1`, and all threads of the process on one processor (Linux only)
one thread: `--threads 1`; decoding, tracking and flow have threads of their own, as ever
default: no option
all processors: `--workers` as many as there are processors
ray local: the same with `--ray local`
two nodes: the same with two nodes of a Ray cluster on this machine, half of the processors each

The time is from the first video that is started to the last that is finished, by `--log`; loading of networks and, with
Ray, the start of the cluster come before, and are `start_s`. Needs Ray (pip install '.[ray]') and an idle machine. What
Ray adds to an input is the time of `--nothings` files that are no videos, with and without it.

archive.csv: videos an hour, median, least and largest of all rounds, and the median ratios in the same round.
archive_projection.csv: what Ray adds to an input, and how long 50,000 videos would take on 100 workers. That is
arithmetic on this machine's figures: videos like these, workers as fast as those of two nodes here, storage that keeps
up, and one command that gives out inputs no faster than it did here; nothing of it was measured on 100 workers.
Finished runs are kept if it is stopped.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice, product
from pathlib import Path
from statistics import median
from time import perf_counter

import tyro
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from tables import markdown_table

from occlupose.media import VideoWriter, open_media

CAMERAS = ("cam01", "cam02", "cam03", "cam04")
SHARED = ("all processors", "ray local", "two nodes")
"""Modes with a worker for each processor."""

OVERHEAD = SHARED[:2]
"""Modes that are compared without work."""

MODES = ("one processor", "one thread", "default", *SHARED)
BASES = ("one thread", "default")
TARGETS = {"one thread": 1.7, "default": 1.2}
"""Least ratio of all processors to each."""

RATIOS = {base: f"of_{base.replace(' ', '_')}" for base in BASES}
COLUMNS = ("mode", "workers", "videos_per_hour", "min", "max", *RATIOS.values(), "start_s")
PROJECTION_COLUMNS = ("quantity", "value", "unit")
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ARCHIVE = 50_000
WORKERS = 100


def make_clips(videos: Path, folder: Path, count: int, frames: int) -> Path:
    """The archive: clips of the videos in turn, each from a later frame on."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:03}.mp4"
        source = open_media(videos / f"{CAMERAS[number % len(CAMERAS)]}.mp4")
        first = 3 * (number // len(CAMERAS)) % 40
        with VideoWriter(path, source.width, source.height, source.fps) as out:
            for frame in islice(source, first, first + frames):
                out.write(frame.image)
    return folder


def make_nothings(folder: Path, count: int) -> Path:
    """Files that are no videos."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.mp4").write_text("this is no video\n")
    return folder


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a Ray cluster of two nodes on this machine."""
    from ray.cluster_utils import Cluster

    share = {"num_cpus": max(1, PROCESSORS // 2)}
    cluster = Cluster(initialize_head=True, head_node_args=share | {"include_dashboard": False})
    try:
        cluster.add_node(**share)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def measure(mode: str, archive: Path) -> dict[str, float]:
    """Seconds from the first input that is started to the last that has ended, how many there are, and all seconds."""
    if mode == "two nodes":
        with two_nodes() as address:
            return run(archive, ["--ray", address, "--workers", str(PROCESSORS)])
    options = {
        "one processor": ["--threads", "1"],
        "one thread": ["--threads", "1"],
        "default": [],
        "all processors": ["--workers", str(PROCESSORS)],
        "ray local": ["--ray", "local", "--workers", str(PROCESSORS)],
    }[mode]
    return run(archive, options, on_one_processor=mode == "one processor")


def run(archive: Path, options: Sequence[str], *, on_one_processor: bool = False) -> dict[str, float]:
    """Times of a command; see `measure`."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.jsonl"
        output = ["-o", name, "--log", str(log), "--no-video", "--no-json", "--no-preview", "--quiet"]
        words = [sys.executable, "-m", "occlupose", "run", str(archive), *output, *options]
        pin = partial(os.sched_setaffinity, 0, [min(os.sched_getaffinity(0))]) if on_one_processor else None
        begin = perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, preexec_fn=pin)
        whole = perf_counter() - begin
        if done.returncode not in (0, 1) or not log.exists():
            raise SystemExit(done.stderr)
        return read_times(log.read_text().splitlines()) | {"whole": whole}


def read_times(lines: Sequence[str]) -> dict[str, float]:
    """Seconds from the first event to the last, and number of inputs that have ended, by a log."""
    events = [json.loads(line) for line in lines]
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in events]
    ended = sum(event["event"] in ("finished", "failed") for event in events)
    return {"seconds": times[-1] - times[0], "inputs": ended}


def rate(times: Mapping[str, float]) -> float:
    """Inputs an hour."""
    return 3600 * times["inputs"] / times["seconds"]


def summarise(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    """Rows of archive.csv, from the rounds of each mode."""
    rows = []
    for mode, runs in rounds.items():
        rates = [rate(times) for times in runs]
        ratios = [
            f"{median(rate(times) / rate(other) for times, other in zip(runs, rounds[base], strict=True)):.2f}"
            for base in BASES
        ]
        start = median(times["whole"] - times["seconds"] for times in runs)
        workers = PROCESSORS if mode in SHARED else 1
        figures = (f"{value:.1f}" for value in (median(rates), min(rates), max(rates)))
        rows.append([mode, str(workers), *figures, *ratios, f"{start:.1f}"])
    return rows


def project(
    rounds: Mapping[str, Sequence[Mapping[str, float]]],
    nothings: Mapping[str, Sequence[Mapping[str, float]]],
    frames: int,
) -> list[list[str]]:
    """Rows of archive_projection.csv.

    Arguments:
        rounds: of each mode.
        nothings: the same with files that are no videos.
        frames: of a video.
    """
    per_input = {mode: median(times["seconds"] / times["inputs"] for times in runs) for mode, runs in nothings.items()}
    work = median(PROCESSORS * times["seconds"] / times["inputs"] for times in rounds["two nodes"])
    # whichever is slower: the workers, or the command that gives out inputs
    seconds = ARCHIVE * max(work / WORKERS, per_input["ray local"])
    return [
        ["Ray's overhead on an input", f"{1000 * (per_input['ray local'] - per_input['all processors']):.1f}", "ms"],
        ["inputs that one command gives out", f"{1 / per_input['ray local']:.0f}", "1/s"],
        ["frames of a video", str(frames), ""],
        ["work of a worker on a video", f"{work:.2f}", "s"],
        [f"{ARCHIVE} videos on {WORKERS} workers", f"{seconds / 3600:.2f}", "h"],
        [f"{ARCHIVE} videos of 1800 frames on {WORKERS} workers", f"{seconds / 3600 * 1800 / frames:.1f}", "h"],
    ]


def main(
    videos: Path,
    count: int = 8,
    frames: int = 50,
    nothings: int = 200,
    rounds: int = 3,
    modes: tuple[str, ...] = MODES,
    output: Path = Path(__file__).parent / "results" / "archive.csv",
) -> None:
    """Measures the modes.

    Args:
        videos: folder of cam01.mp4 to cam04.mp4.
        count: number of videos of the archive.
        frames: of each.
        nothings: number of files that are no videos.
        rounds: of all modes.
        modes: names of them; "one thread", "default", "all processors", "ray local" and "two nodes" are needed.
        output: the table; NAME_projection.csv is beside it.
    """
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), f"{COMMIT}, {count} videos, {frames} frames")
    with tempfile.TemporaryDirectory() as name:
        clips = make_clips(videos, Path(name) / "clips", count, frames)
        wanted: dict[str, Callable[[], dict[str, float]]] = {
            key(mode, number): partial(measure, mode, clips) for number, mode in product(range(rounds), modes)
        }
        empty = make_nothings(Path(name) / "nothings", nothings)
        for number, mode in product(range(rounds), OVERHEAD):
            wanted[key(f"nothings, {mode}", number)] = partial(measure, mode, empty)
        for wanted_key, action in track(wanted.items(), "measuring", console=Console(stderr=True)):
            runs.once(wanted_key, action)
    done = runs.done()
    found = {mode: [done[key(mode, number)] for number in range(rounds)] for mode in modes}
    nothing = {mode: [done[key(f"nothings, {mode}", number)] for number in range(rounds)] for mode in OVERHEAD}
    rows = summarise(found)
    projection = project(found, nothing, frames)
    write(output.with_name(f"{output.stem}_projection.csv"), PROJECTION_COLUMNS, projection)
    write(output, COLUMNS, rows)
    runs.path.unlink()
    for columns, lines in ((COLUMNS, rows), (PROJECTION_COLUMNS, projection)):
        print(markdown_table([dict(zip(columns, line, strict=True)) for line in lines]))
    shared = next(row for row in rows if row[0] == "all processors")
    for base, least in TARGETS.items():
        ratio = float(shared[COLUMNS.index(RATIOS[base])])
        print(f"all processors / {base}: {ratio:.2f}, target {least}: {'met' if ratio >= least else 'missed'}")


def key(mode: str, number: int) -> str:
    """Names a mode's part of a round."""
    return f"{mode}, round {number}"


if __name__ == "__main__":
    tyro.cli(main)
