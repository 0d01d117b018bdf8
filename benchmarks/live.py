"""What lifting beside a camera costs a frame, and how that grows with the people.

    python benchmarks/live.py

People made of formulas, 30 frames/s, a fifth of their joints unseen. Two ways to the same answers, frame by frame:
`live` is `LiveLifter.update`; `window` lifts anew, for every frame, all that can change its answer (`lift_rays` on
`Lifter.look_ahead` frames to either side). Each frame is timed by itself, from the one from which the networks are in
full use; of the windows only every twentieth. Medians of `--repeats` runs, also of each run's slowest frame. Writes
results/live.csv.
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

from occlupose.methods.oanet.lifter.lift import lift_rays
from occlupose.methods.oanet.lifter.live import LiveLifter
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.weights import load

PEOPLE = (1, 2, 4, 8)
FPS = 30
EVERY = 20
"""One in so many of the windows is timed: they cost much, and all the same."""
COLUMNS = ("people", "method", "mean_ms", "p95_ms", "worst_ms", "share_of_window", "times_one_person")

Rays = Float[np.ndarray, "time person 22 2"]
Seen = Bool[np.ndarray, "time person 22"]


def people(count: int, frames: int, seed: int = 0) -> tuple[Rays, Seen]:
    """People who swing their joints while they move through the picture, and which of these are seen."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None, None] / FPS
    rest = random.normal(0, (0.05, 0.1), (count, 22, 2)) + 0.4 * np.sin(random.uniform(0.1, 0.5, (count, 1, 2)) * time)
    swing = 0.02 * np.sin(random.uniform(3, 7, (count, 22, 2)) * time)
    return (rest + swing).astype(np.float32), random.random((frames, count, 22)) < 0.8


def timed(action: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = perf_counter()
    action()
    return 1000 * (perf_counter() - began)


def live(lifter: Lifter, rays: Rays, seen: Seen) -> list[float]:
    """Milliseconds of each frame behind the first that are answered."""
    lifting = LiveLifter(lifter, FPS)
    ids = np.arange(rays.shape[1])
    times = [timed(lambda now=now: lifting.update(ids, *now)) for now in zip(rays, seen, strict=True)]
    return times[lifting.delay :]


def window(lifter: Lifter, rays: Rays, seen: Seen) -> list[float]:
    """Milliseconds of some frames that have their whole past and future."""
    parts = (
        slice(frame - lifter.look_ahead, frame + lifter.look_ahead + 1)
        for frame in range(lifter.look_ahead, len(rays) - lifter.look_ahead, EVERY)
    )
    return [timed(lambda part=part: lift_rays(lifter, rays[part], seen[part], FPS)) for part in parts]


METHODS = {"live": live, "window": window}
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
