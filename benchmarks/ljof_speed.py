"""Speed of training and inference of the estimators, time lost waiting for data, and gain by batches of crops.

    occlupose synth --scenes 100 --seed 13 --shard 100 -o PEOPLE
    python benchmarks/ljof_speed.py --people PEOPLE [--models NAMES] [--parts inference training]

Training: a step as in `occlupose train ljof`, compared with a step on a fixed batch; the difference is time spent
waiting for data. Both are measured alternately; medians. Writes results/ljof_training.csv.

Inference: 1, 4 and 16 crops, singly and as a batch, in float32, alternately; medians. `gflops` is the number of
operations per second; the peak is that of a large matrix product. bf16 is measured for one estimator. Writes
results/ljof_inference.csv.
"""

import csv
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal, get_args

import numpy as np
import torch
import tyro
from estimators import HEIGHT, WIDTH, multiply_adds
from results import write
from rich.console import Console
from torch import Generator, nn

from occlupose.datasets.annotations import Annotations
from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats.coco import load
from occlupose.frontends.estimator import prepare_network
from occlupose.methods.ljof.recipe import LJOFRecipe, published
from occlupose.methods.ljof.train import LJOFBatch, LJOFSampler, LJOFTraining
from occlupose.networks.estimators import ESTIMATORS, build, normalise_images
from occlupose.skeletons import COCO17
from occlupose.training.loop import Optimisation, Terms, train

TRAINING = ("estimator", "width", "height", "batch", "people_per_s", "people_per_s_fixed_batch", "data_wait")
INFERENCE = (
    *("estimator", "width", "height", "precision", "crops", "single_ms", "batch_ms", "ratio"),
    *("single_gflops", "batch_gflops", "peak_gflops"),
)
CROPS = (1, 4, 16)
Part = Literal["inference", "training"]
SMALL_BATCH = 32
LARGE_BATCH = 4
TURNS = 3


def steps(recipe: LJOFRecipe, data: Annotations, count: int, *, fixed: LJOFBatch | None) -> list[float]:
    """Seconds between the losses of consecutive steps, on sampled batches or on a fixed one."""
    stamps: list[float] = []
    torch.manual_seed(0)
    training = LJOFTraining(recipe.design(COCO17).build(), recipe, COCO17, count)
    training = training.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = LJOFSampler(data, recipe)

    def loss(training: nn.Module, batch: LJOFBatch) -> Terms:
        stamps.append(perf_counter())
        return training(batch)

    def batch(generator: Generator) -> LJOFBatch:
        return sampler.draw(generator) if fixed is None else fixed

    with tempfile.TemporaryDirectory() as folder:
        plan = Optimisation(steps=count, warm_up_steps=1, save_every=10**6, log_every=10**6, ema_decay=recipe.ema_decay)
        train(training, batch, loss, plan, Path(folder), progress=False)
    return [after - before for before, after in pairwise(stamps)][1:]  # the first one warms up


def training(model: str, data: Annotations) -> list[object]:
    """The row of an estimator."""
    small = model.endswith("small")
    recipe = replace(published(model), batch=SMALL_BATCH if small else LARGE_BATCH)
    fixed = LJOFSampler(data, recipe).draw(Generator().manual_seed(0))
    count = 24 if small else 3
    sampled: list[float] = []
    same: list[float] = []
    for _ in range(TURNS):
        sampled += steps(recipe, data, count, fixed=None)
        same += steps(recipe, data, count, fixed=fixed)
    crop = recipe.crop
    times = (median(sampled), median(same))
    speeds = [f"{recipe.batch / time:.3g}" for time in times]
    return [model, crop.width, crop.height, recipe.batch, *speeds, f"{1 - times[1] / times[0]:.3f}"]


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = perf_counter()
    call()
    return perf_counter() - start


@torch.inference_mode()
def inference(model: str, peak: float, precision: torch.dtype = torch.float32) -> list[list[object]]:
    """The rows of an estimator."""
    recipe = published(model)
    crop = recipe.crop
    torch.manual_seed(0)
    network = prepare_network(recipe.design(COCO17).build().eval(), "cpu")
    with torch.device("meta"):
        operations = multiply_adds(build(model).eval())["Global"]
    work = 2 * operations * crop.width * crop.height / (WIDTH * HEIGHT) / 1e9
    rows: list[list[object]] = []
    for number in CROPS:
        noise = np.random.default_rng(0).integers(0, 256, (number, crop.height, crop.width, 3), dtype=np.uint8)
        images = normalise_images(torch.from_numpy(noise))
        single = []
        batch = []
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            for turn in range(TURNS + 1):
                one = timed(lambda images=images: [network(each[None]) for each in images]) / number
                all_ = timed(lambda images=images: network(images)) / number
                if turn:  # the first one warms up
                    single.append(one)
                    batch.append(all_)
        times = median(single), median(batch)
        milliseconds = [f"{1000 * time:.2f}" for time in times]
        rows.append(
            [
                model,
                crop.width,
                crop.height,
                str(precision).removeprefix("torch."),
                number,
                *milliseconds,
                f"{times[0] / times[1]:.2f}",
                *(f"{work / time:.0f}" for time in times),
                f"{peak:.0f}",
            ]
        )
    return rows


def peak_speed() -> float:
    """Speed of a large matrix product on this machine, GFLOP/s."""
    side = 2048
    one, other = torch.randn(2, side, side)
    return max(2 * side**3 / timed(lambda: one @ other) / 1e9 for _ in range(8))


def table(path: Path) -> list[list[object]]:
    """The rows of an existing table."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def main(people: Path, models: tuple[str, ...] = tuple(ESTIMATORS), parts: tuple[Part, ...] = get_args(Part)) -> None:
    """Measures all of them, on all cores.

    Args:
        people: folder written by occlupose synth.
        models: names of estimators.
        parts: what to measure. Rows of training are written one by one; rows of other models stay.
    """
    console = Console()
    results = Path(__file__).parent / "results"
    paths = find_dataset(people)
    if "inference" in parts:
        peak = peak_speed()
        rows = []
        console.print(f"{peak:.0f} GFLOP/s at most")
        for model, precision in [*((model, torch.float32) for model in models), ("hrnet_small", torch.bfloat16)]:
            rows += inference(model, peak, precision)
            console.print(*rows[-len(CROPS) :], sep="\n")
        write(results / "ljof_inference.csv", INFERENCE, rows)
    if "training" in parts:
        data = load(paths.annotations, paths.images)
        path = results / "ljof_training.csv"
        measured = {str(row[0]): row for row in table(path)}
        for model in models:
            measured[model] = training(model, data)
            console.print(*measured[model])
            write(path, TRAINING, [measured[name] for name in ESTIMATORS if name in measured], grows=True)


if __name__ == "__main__":
    tyro.cli(main)
