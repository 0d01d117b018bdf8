"""Cost of live lifting per frame, and how it grows with the number of people.

    python benchmarks/live.py

Synthetic people, 30 frames/s, a fifth of their joints missing. Two ways to the same output, frame by frame: `live` is
`LiveLifter.update`; `window` lifts, for every frame, the window of all frames that can change it (`lift_rays` on
`look_ahead` frames to either side). `stream` is `StreamLifter.update`, which also computes the root trajectory.
Frames are timed one by one, after the latency; of the windows only every twentieth. Medians of `--repeats` runs, also
of each run's slowest frame. Writes results/live.csv.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from results import write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from occlupose.cameras import Camera
from occlupose.methods.oanet.lifting import TrackLifter
from occlupose.methods.oanet.live import LiveLifter
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays
from occlupose.methods.oanet.streaming import StreamLifter
from occlupose.methods.oanet.weights import load
from occlupose.poses import OCCLUDED, VISIBLE, FramePoses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import BODY22

PEOPLE = (1, 2, 4, 8)
FPS = 30
EVERY = 20
"""Every how many windows one is timed; they are slow and all cost the same."""
COLUMNS = ("people", "method", "mean_ms", "p95_ms", "worst_ms", "share_of_window", "times_one_person")

Rays = Float[np.ndarray, "time person 22 2"]
Observed = Bool[np.ndarray, "time person 22"]


def people(count: int, frames: int, seed: int = 0) -> tuple[Rays, Observed]:
    """People with swinging joints who move through the image, and which joints are observed."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None, None] / FPS
    rest = random.normal(0, (0.05, 0.1), (count, 22, 2)) + 0.4 * np.sin(random.uniform(0.1, 0.5, (count, 1, 2)) * time)
    swing = 0.02 * np.sin(random.uniform(3, 7, (count, 22, 2)) * time)
    return (rest + swing).astype(np.float32), random.random((frames, count, 22)) < 0.8


def timed(action: Callable[[], object]) -> float:
    """Duration in milliseconds."""
    start = perf_counter()
    action()
    return 1000 * (perf_counter() - start)


def live(lifter: OANetNetwork, rays: Rays, observed: Observed) -> list[float]:
    """Milliseconds of each frame after the latency."""
    lifting = LiveLifter(lifter, FPS)
    ids = np.arange(rays.shape[1])
    times = [timed(lambda frame=frame: lifting.update(ids, *frame)) for frame in zip(rays, observed, strict=True)]
    return times[lifting.latency :]


def stream(lifter: OANetNetwork, rays: Rays, observed: Observed) -> list[float]:
    """Milliseconds of each frame after the latency."""
    camera = Camera.from_fov(1280, 720)
    lifting = StreamLifter(TrackLifter(camera, None, lifter), PosesBuilder(BODY22, FPS, camera))
    xy = camera.project(np.concatenate([rays, np.ones_like(rays[..., :1])], -1))
    score = np.where(observed, 0.9, 0.1).astype(np.float32)
    state = np.where(observed, VISIBLE, OCCLUDED).astype(np.uint8)
    ids = np.arange(rays.shape[1])
    frames = [FramePoses(number / FPS, ids, xy[number], score[number], state[number]) for number in range(len(rays))]
    times = [timed(lambda frame=frame: lifting.update(frame)) for frame in frames]
    return times[lifting.latency :]


def window(lifter: OANetNetwork, rays: Rays, observed: Observed) -> list[float]:
    """Milliseconds of some frames with a whole window."""
    parts = (
        slice(frame - lifter.look_ahead, frame + lifter.look_ahead + 1)
        for frame in range(lifter.look_ahead, len(rays) - lifter.look_ahead, EVERY)
    )
    return [timed(lambda part=part: lift_rays(lifter, rays[part], observed[part], FPS)) for part in parts]


METHODS = {"live": live, "window": window, "stream": stream}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "mean": statistics.mean,
    "p95": lambda times: float(np.percentile(times, 95)),
    "worst": max,
}


def main(
    frames: int = 900,
    repeats: int = 5,
    threads: int | None = None,
    output: Path = Path(__file__).parent / "results" / "live.csv",
) -> None:
    """Measures live lifting.

    Args:
        frames: of each run.
        repeats: runs, of which the median counts.
        threads: of torch; by default one for each core.
        output: table to write.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    lifter = load()
    wanted = [(count, name) for _ in range(repeats) for count in PEOPLE for name in METHODS]
    runs: dict[tuple[int, str], list[list[float]]] = {}
    for count, name in track(wanted, "measuring", console=Console(stderr=True)):
        runs.setdefault((count, name), []).append(METHODS[name](lifter, *people(count, frames)))
    found = {
        key: {name: statistics.median(map(statistic, times)) for name, statistic in STATISTICS.items()}
        for key, times in runs.items()
    }
    rows = [
        (
            count,
            name,
            *(f"{value:.2f}" for value in measured.values()),
            f"{measured['mean'] / found[count, 'window']['mean']:.4f}",
            f"{measured['mean'] / found[1, name]['mean']:.2f}",
        )
        for (count, name), measured in found.items()
    ]
    write(output, COLUMNS, rows)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
