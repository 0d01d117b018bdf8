"""Cost of live lifting per frame at every delay, and how it grows with the number of people.

    python benchmarks/live.py --before CHECKOUT

Synthetic people, 30 frames/s, a fifth of their joints missing. Ours is `StreamLifter.update` with each latency: poses
in metres, roots, and the uncertainty of both. Beside it, in the same rounds, the lifter of another checkout
(`earlier_lifter.py`): `before, live` is its `LiveLifter.update`, which gives poses relative to the root, and
`before, stream` its `StreamLifter.update`, which computes the root trajectory as well. Frames are timed one by one,
after `WARM_UP` frames. Times and ratios are medians of `--rounds`, in which both take turns to be first. Writes
results/live.csv, and prints the bars. Finished rounds are kept if it is stopped.
"""

import statistics
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from earlier_lifter import EarlierLifter, timed
from jaxtyping import Float, UInt8
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from tables import markdown_table

from occlupose.cameras import Camera
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.network import DEFAULT, LifterNetwork, load
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.poses import OCCLUDED, VISIBLE, FramePoses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import BODY22

PEOPLE = (1, 2, 4, 8)
FPS = 30
SIZE = (1280, 720)
LATENCIES = {"0": 0.0, "0.1": 0.1, "0.3": 0.3, "1": 1.0, "full": FUTURE}
"""Seconds, by their names in the table."""

WARM_UP = 180
"""Frames that do not count: from then on every frame has an output, also in the lifter of before."""

BEFORE = ("before, live", "before, stream")
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "mean": statistics.mean,
    "p95": lambda times: float(np.percentile(times, 95)),
}
RATIOS = tuple(f"{statistic}_of_{name.rpartition(' ')[2]}" for name in BEFORE for statistic in STATISTICS)
COLUMNS = ("people", "lifter", "latency_s", *(f"{statistic}_ms" for statistic in STATISTICS), *RATIOS)

BARS = dict.fromkeys(LATENCIES, 3.0) | {"full": 1.0}
"""Largest ratio to the time of before."""

Ask = Callable[..., dict[str, Any]]


def people(count: int, frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """People with swinging joints who move through the image: `rays` on the plane z = 1, which joints are `observed`,
    and the same as detections `xy` (px), `score` and `state`.
    """
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None, None] / FPS
    rest = random.normal(0, (0.05, 0.1), (count, 22, 2)) + 0.4 * np.sin(random.uniform(0.1, 0.5, (count, 1, 2)) * time)
    swing = 0.02 * np.sin(random.uniform(3, 7, (count, 22, 2)) * time)
    rays = (rest + swing).astype(np.float32)
    observed = random.random((frames, count, 22)) < 0.8
    xy: Float[np.ndarray, "time person 22 2"] = Camera.from_fov(*SIZE).project(
        np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    )
    score = np.where(observed, 0.9, 0.1).astype(np.float32)
    state: UInt8[np.ndarray, "time person 22"] = np.where(observed, VISIBLE, OCCLUDED).astype(np.uint8)
    return {"rays": rays, "observed": observed, "xy": xy, "score": score, "state": state}


def stream(lifter: LifterNetwork, given: dict[str, np.ndarray], latency: float) -> list[float]:
    """Milliseconds of each frame."""
    camera = Camera.from_fov(*SIZE)
    lifting = StreamLifter(TrackLifter(camera, None, lifter), PosesBuilder(BODY22, FPS, camera), latency)
    ids = np.arange(given["xy"].shape[1])
    values = zip(given["xy"], given["score"], given["state"], strict=True)
    poses = [FramePoses(number / FPS, ids, *one) for number, one in enumerate(values)]
    return [timed(lambda frame=frame: lifting.update(frame)) for frame in poses]


def measure(lifter: LifterNetwork, ask: Ask, count: int, frames: int, first: bool) -> dict[str, float]:
    """The statistics of ours at each latency, and of the lifter of before.

    Arguments:
        ask: see `EarlierLifter`.
        first: whether ours comes first.
    """
    given = people(count, frames)
    found: dict[str, list[float]] = {}

    def measure_before() -> None:
        answer = ask("live", fps=FPS, size=np.array(SIZE), **given)
        found.update({name: answer[name.rpartition(" ")[2]].tolist() for name in BEFORE})

    if not first:
        measure_before()
    for name, latency in LATENCIES.items():
        found[f"ours, {name}"] = stream(lifter, given, latency)
    if first:
        measure_before()
    return {
        f"{name}, {statistic}": function(times[WARM_UP:])
        for name, times in found.items()
        for statistic, function in STATISTICS.items()
    }


def rows(runs: Mapping[str, dict[str, float]], rounds: int) -> list[tuple[str, ...]]:
    """One row per number of people and lifter, with the ratios to each of the lifters of before."""
    found = []
    for count in PEOPLE:
        own = [runs[key(count, number)] for number in range(rounds)]
        for name in (*(f"ours, {latency}" for latency in LATENCIES), *BEFORE):
            times = [statistics.median(one[f"{name}, {statistic}"] for one in own) for statistic in STATISTICS]
            ratios = [
                statistics.median(one[f"{name}, {statistic}"] / one[f"{other}, {statistic}"] for one in own)
                for other in BEFORE
                for statistic in STATISTICS
            ]
            lifter, _, latency = name.partition(", ")
            names = (lifter, latency) if lifter == "ours" else (name, "")
            found.append((str(count), *names, *(f"{time:.2f}" for time in times), *(f"{one:.2f}" for one in ratios)))
    return found


def key(count: int, number: int) -> str:
    """Of a run."""
    return f"{count} people, round {number}"


def main(
    before: Path,
    lifter: Path | None = None,
    frames: int = 600,
    rounds: int = 5,
    threads: int | None = None,
    output: Path = Path(__file__).parent / "results" / "live.csv",
) -> None:
    """Measures live lifting.

    Args:
        before: checkout whose lifter is measured as well.
        lifter: weights of ours; the shipped ones by default.
        frames: of each run, more than are needed to warm up.
        rounds: of which the median counts.
        threads: of torch; by default one for each core.
        output: table to write.
    """
    if frames <= WARM_UP:
        raise SystemExit(f"frames {frames}: give more than {WARM_UP}, which do not count")
    if threads is not None:
        torch.set_num_threads(threads)
    network = load(lifter)
    weights = zlib.crc32((lifter or DEFAULT).read_bytes())
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), f"{COMMIT}, {weights}, {before}, {frames}, {threads}")
    with EarlierLifter(before, threads) as earlier:
        wanted = list(product(range(rounds), PEOPLE))
        for number, count in track(wanted, "measuring", console=Console(stderr=True)):
            runs.once(key(count, number), partial(measure, network, earlier.ask, count, frames, number % 2 == 0))
    found = rows(runs.done(), rounds)
    write(output, COLUMNS, found)
    runs.path.unlink()
    with_bars = [(*row, f"{BARS[row[2]]:g}" if row[2] else "") for row in found]
    print(markdown_table([dict(zip((*COLUMNS, "at most"), row, strict=True)) for row in with_bars]))


if __name__ == "__main__":
    tyro.cli(main)
