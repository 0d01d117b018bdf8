"""How fast do the estimators train and look, how much of training is lost to data, and what do batches of crops buy?

    occlupose synth --scenes 100 --seed 13 --shard 100 -o PEOPLE
    python benchmarks/ljof_speed.py --people PEOPLE [--models NAMES] [--parts inference training]

Training: a step as `occlupose train ljof` does it, beside the same step on one batch that is always the same; the
difference is what data cost that were not ready. Turns of both take turns; medians. Writes results/ljof_training.csv.

Inference: 1, 4 and 16 crops, one by one and together, in float32, in turns; medians. `gflops` is how much is calculated
in a second; the largest product of matrices that is tried says what the processor can do at most. Batches help where
single crops leave it idle. bf16 is tried on one estimator. Writes results/ljof_inference.csv.
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

from occlupose.datasets.coco import Annotations, load
from occlupose.datasets.discovery import find_dataset
from occlupose.frontends.estimator import prepare_network
from occlupose.methods.ljof.recipe import LJOFRecipe, published
from occlupose.methods.ljof.train import LJOFBatch, LJOFSampler, LJOFTraining
from occlupose.networks.estimators import ESTIMATORS, build, normalise_images
from occlupose.skeletons import COCO17
from occlupose.training.loop import Optimisation, Terms, train

TRAINING = ("estimator", "width", "height", "batch", "fed_people_per_s", "free_people_per_s", "lost_to_data")
INFERENCE = (
    *("estimator", "width", "height", "precision", "crops", "alone_ms", "together_ms", "ratio"),
    *("alone_gflops", "together_gflops", "peak_gflops"),
)
CROPS = (1, 4, 16)
Part = Literal["inference", "training"]
SMALL_BATCH = 32
LARGE_BATCH = 4
TURNS = 3


def steps(recipe: LJOFRecipe, data: Annotations, count: int, *, fixed: LJOFBatch | None) -> list[float]:
    """Seconds from one step's loss to the next one's: on people as they come, or always on one batch."""
    stamps: list[float] = []
    torch.manual_seed(0)
    training = LJOFTraining(recipe.design(COCO17).build(), recipe, COCO17, count).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = LJOFSampler(data, recipe)

    def loss(training: nn.Module, batch: LJOFBatch) -> Terms:
        stamps.append(perf_counter())
        return training(batch)

    def batch(generator: Generator) -> LJOFBatch:
        return samples.draw(generator) if fixed is None else fixed

    with tempfile.TemporaryDirectory() as folder:
        plan = Optimisation(steps=count, warm_up_steps=1, save_every=10**6, log_every=10**6, ema_decay=recipe.ema_decay)
        train(training, batch, loss, plan, Path(folder), progress=False)
    return [after - before for before, after in pairwise(stamps)][1:]  # the first one warms up


def training(model: str, data: Annotations) -> list[object]:
    """One estimator's row."""
    small = model.endswith("small")
    recipe = replace(published(model), batch=SMALL_BATCH if small else LARGE_BATCH)
    fixed = LJOFSampler(data, recipe).draw(Generator().manual_seed(0))
    count = 24 if small else 3
    fed = []
    free = []
    for _ in range(TURNS):
        fed += steps(recipe, data, count, fixed=None)
        free += steps(recipe, data, count, fixed=fixed)
    crop = recipe.crop
    times = (median(fed), median(free))
    speeds = [f"{recipe.batch / time:.3g}" for time in times]
    return [model, crop.width, crop.height, recipe.batch, *speeds, f"{1 - times[1] / times[0]:.3f}"]


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = perf_counter()
    call()
    return perf_counter() - began


@torch.inference_mode()
def inference(model: str, peak: float, precision: torch.dtype = torch.float32) -> list[list[object]]:
    """One estimator's rows."""
    recipe = published(model)
    crop = recipe.crop
    torch.manual_seed(0)
    network = prepare_network(recipe.design(COCO17).build().eval(), "cpu")
    with torch.device("meta"):
        of_usual_crop = multiply_adds(build(model).eval())["Global"]
    work = 2 * of_usual_crop * crop.width * crop.height / (WIDTH * HEIGHT) / 1e9
    rows: list[list[object]] = []
    for number in CROPS:
        noise = np.random.default_rng(0).integers(0, 256, (number, crop.height, crop.width, 3), dtype=np.uint8)
        pictures = normalise_images(torch.from_numpy(noise))
        alone = []
        together = []
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            for turn in range(TURNS + 1):
                one = timed(lambda pictures=pictures: [network(each[None]) for each in pictures]) / number
                all_ = timed(lambda pictures=pictures: network(pictures)) / number
                if turn:  # the first one warms up
                    alone.append(one)
                    together.append(all_)
        times = median(alone), median(together)
        said = [f"{1000 * time:.2f}" for time in times]
        rows.append(
            [
                model,
                crop.width,
                crop.height,
                str(precision).removeprefix("torch."),
                number,
                *said,
                f"{times[0] / times[1]:.2f}",
                *(f"{work / time:.0f}" for time in times),
                f"{peak:.0f}",
            ]
        )
    return rows


def fastest() -> float:
    """The most that this processor has calculated in a second, GFLOP: a product of large matrices."""
    side = 2048
    one, other = torch.randn(2, side, side)
    return max(2 * side**3 / timed(lambda: one @ other) / 1e9 for _ in range(8))


def table(path: Path) -> list[list[object]]:
    """The rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def main(people: Path, models: tuple[str, ...] = tuple(ESTIMATORS), parts: tuple[Part, ...] = get_args(Part)) -> None:
    """Measures all of them, on all cores.

    Args:
        people: of occlupose synth.
        models: names of estimators.
        parts: what is measured. Rows of training are written one by one; those of other models stay.
    """
    console = Console()
    results = Path(__file__).parent / "results"
    place = find_dataset(people)
    if "inference" in parts:
        peak = fastest()
        rows = []
        console.print(f"{peak:.0f} GFLOP/s at most")
        for model, precision in [*((model, torch.float32) for model in models), ("hrnet_small", torch.bfloat16)]:
            rows += inference(model, peak, precision)
            console.print(*rows[-len(CROPS) :], sep="\n")
        write(results / "ljof_inference.csv", INFERENCE, rows)
    if "training" in parts:
        data = load(place.annotations, place.images)
        path = results / "ljof_training.csv"
        measured = {str(row[0]): row for row in table(path)}
        for model in models:
            measured[model] = training(model, data)
            console.print(*measured[model])
            write(path, TRAINING, [measured[name] for name in ESTIMATORS if name in measured], grows=True)


if __name__ == "__main__":
    tyro.cli(main)
