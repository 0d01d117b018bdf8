"""Ablation of LJOF on open data: blocks, structure losses, schedules of their weight, number and size of blocks.

    occlupose synth --scenes 6000 --seed 21 --people 1 1 --occluders 0 --size 288 288 --shard 200 -o TRAIN
    occlupose synth --scenes 300 --seed 12 --shard 100 -o TEST
    python benchmarks/ljof_ablation.py --train TRAIN --test TEST --runs RUNS [--tables main grid long]

Training data are people who stand alone, with self-occlusion only; test data are others in crowds, behind each other
and behind objects, as papers train on COCO and test on OCHuman. Two small estimators of ours are scored in ground-truth
boxes: `ap` and `ar` by COCO's protocol, `ap_occluded` on occluded joints alone. Every run starts from the same weights,
trained on the same people without LJOF, as published runs start from ImageNet; its seed determines the order of the
people, their augmentation and their blocks.

Reduced for two cores: crops of 64 x 96 px, at most a million parameters, 200,000 people for the initial weights, then
12,000 for each run (published: 149,813 people of COCO, 210 times), milder augmentation, batches of 16, and a cosine
schedule instead of milestones. Effects that need long training, such as a regulariser's on a converged network, do not
show here; one estimator is also trained with LJOF for as long as the initial weights.

Writes results/ljof_ablation.csv, a row for each finished run; finished runs are not repeated.
"""

import csv
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import torch
import tyro
from results import describe
from rich.console import Console

from occlupose.codecs.crops import Crop
from occlupose.datasets.annotations import Annotations
from occlupose.datasets.augmentation import TopDownAugmentation
from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats.coco import load
from occlupose.evaluation.keypoints import all_results, ground_truth_boxes, predict_in_boxes
from occlupose.frontends.estimator import EstimatorNetwork
from occlupose.methods.ljof.recipe import LJOFRecipe, StructureTerm, published
from occlupose.methods.ljof.schedules import Constant, Exponential, Linear, Step
from occlupose.methods.ljof.train import train_estimator
from occlupose.metrics import oks
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.training.run import TrainingRun

RESULTS = Path(__file__).parent / "results" / "ljof_ablation.csv"
COLUMNS = ("estimator", "variant", "seed", "ap", "ap_occluded", "ar")
ESTIMATORS = ("hrnet_small", "simple_baseline_small")
SMALLER = ESTIMATORS[1]
SEEDS = (0, 1, 2)
LONG_SEED = 100
INITIAL_PEOPLE = 200_000
PEOPLE = 12_000
"""Training samples: for the initial weights, and in each run."""

CACHE_BYTES = 3 * 2**30
BLOCKS = LimbBlocks()

MAIN: dict[str, tuple[LimbBlocks | None, StructureTerm | None]] = {
    "baseline": (None, None),
    "LJA": (BLOCKS, None),
    "LJA + DSL, step": (BLOCKS, StructureTerm("limbs", Step())),
    "LJA + DSL, constant": (BLOCKS, StructureTerm("limbs", Constant())),
    "LJA + DSL, linear": (BLOCKS, StructureTerm("limbs", Linear())),
    "LJA + DSL, exponential": (BLOCKS, StructureTerm("limbs", Exponential())),
    "LJA + Ke et al., constant": (BLOCKS, StructureTerm("body", Constant())),
    "LJA + Ke et al., step": (BLOCKS, StructureTerm("body", Step())),
}
"""The rows of the paper's tables 6, 8 and 9."""

GRID: dict[str, tuple[LimbBlocks | None, StructureTerm | None]] = {
    f"LJA, number {number:.2f}, size {size:.2f}": (LimbBlocks(number, size), None)
    for number in (0.15, 0.30, 0.45)
    for size in (0.10, 0.20, 0.30)
    if (number, size) != (BLOCKS.joint_share, BLOCKS.size)  # that is LJA above
}
"""Table 7: number and size of blocks, with the smaller estimator."""


LONG = {f"{name}, from the start": MAIN[name] for name in ("baseline", "LJA", "LJA + DSL, step")}
"""Complete trainings of the smaller estimator. The first gives the initial weights of the other rows."""

Table = Literal["main", "grid", "long"]


@dataclass(frozen=True)
class Run:
    """One row."""

    estimator: str
    variant: str
    seed: int

    @property
    def folder(self) -> str:
        """Its name."""
        return f"{self.estimator}_{self.variant}_{self.seed}".replace(" ", "_").replace(",", "")

    def recipe(self, people: int) -> LJOFRecipe:
        """The recipe of the run."""
        blocks, structure = (MAIN | GRID | LONG)[self.variant]
        recipe = replace(small(self.estimator), blocks=blocks, structure=structure, seed=self.seed)
        if self.variant in LONG:
            return replace(recipe, epochs=INITIAL_PEOPLE / people)
        return replace(recipe, epochs=PEOPLE / people, learning_rate=recipe.learning_rate / 2)


def small(estimator: str) -> LJOFRecipe:
    """The recipe that all runs share."""
    recipe = published(estimator).without_ljof()
    mild = TopDownAugmentation(half_body_probability=0.0, scale=(0.8, 1.2), rotation=20.0)
    return replace(
        recipe,
        crop=Crop(64, 96, grid="corners"),
        augmentation=mild,
        batch=16,
        learning_rate=6.4e-2,
        warm_up_steps=50,
        milestones=(),
        ema_decay=0.998,
    )


@lru_cache(maxsize=2)
def people(folder: Path) -> Annotations:
    """The people of a dataset."""
    paths = find_dataset(folder)
    return load(paths.annotations, paths.images)


def trained(run: Run, train: Path, runs: Path) -> Path:
    """The weights of a run, trained once, on one core."""
    torch.set_num_threads(1)
    data = people(train)
    folder = runs / run.folder
    path = folder / f"{run.estimator}.safetensors"
    if not path.exists():
        initial = None if run.variant in LONG else trained(first(run.estimator), train, runs)
        training = TrainingRun(folder, resume=True, init_from=initial, progress=False)
        train_estimator(data, run.recipe(len(data.people)), training, cache_bytes=CACHE_BYTES)
    return path


def first(estimator: str) -> Run:
    """The run that gives the initial weights of an estimator's other runs."""
    return Run(estimator, next(iter(LONG)), LONG_SEED)


def score(weights: Path, test: Path) -> tuple[float, float, float]:
    """AP, AP of occluded joints, AR."""
    data = people(test)
    predictions = predict_in_boxes(ground_truth_boxes(data), EstimatorNetwork(weights), data.skeleton)
    found = oks.to_coco_results(all_results(predictions), data.ground_truth)
    by = oks.OKSProtocol(data.ground_truth.dataset, "ground truth")
    parts = oks.make_strata(data.ground_truth)
    whole = oks.evaluate(parts["all"], found, by)
    occluded = oks.evaluate(parts["hidden joints"], found, by)
    return whole["AP"], occluded["AP"], whole["AR"]


def work(run: Run, train: Path, test: Path, runs: Path) -> tuple[Run, tuple[float, float, float]]:
    """Trains and scores a run, on one core."""
    return run, score(trained(run, train, runs), test)


def planned(tables: tuple[Table, ...]) -> Iterator[Run]:
    """All runs, the more important first."""
    if "main" in tables:
        yield from (Run(estimator, variant, seed) for seed in SEEDS for estimator in ESTIMATORS for variant in MAIN)
    if "grid" in tables:
        yield from (Run(SMALLER, variant, seed) for seed in SEEDS for variant in GRID)
    if "long" in tables:
        yield from (Run(SMALLER, variant, LONG_SEED) for variant in LONG)


def finished() -> set[Run]:
    """Runs in the results."""
    if not RESULTS.exists():
        return set()
    with RESULTS.open() as file:
        return {Run(row["estimator"], row["variant"], int(row["seed"])) for row in csv.DictReader(file)}


def append(run: Run, figures: tuple[float, float, float]) -> None:
    """Appends a row."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow([run.estimator, run.variant, run.seed, *(f"{figure:.5f}" for figure in figures)])
    describe(RESULTS, seed=", ".join(map(str, (*SEEDS, LONG_SEED))), grows=True)


def main(train: Path, test: Path, runs: Path, tables: tuple[Table, ...] = get_args(Table), workers: int = 2) -> None:
    """Trains and scores the missing runs.

    Args:
        train: training data, by occlupose synth.
        test: test data, of another seed.
        runs: folder of the training runs; stopped runs are continued.
        tables: which rows.
        workers: parallel runs, each on one core.
    """
    console = Console()
    existing = finished()
    todo = [run for run in planned(tables) if run not in existing]
    console.print(f"{len(todo)} runs, {len(existing)} done before")
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        initial = {
            pool.submit(trained, first(estimator), train, runs): estimator
            for estimator in dict.fromkeys(run.estimator for run in todo)
        }
        running: set[Future[tuple[Run, tuple[float, float, float]]]] = set()
        while initial or running:
            for done in wait([*initial, *running], return_when=FIRST_COMPLETED).done:
                if done in initial:
                    estimator = initial.pop(done)
                    console.print(
                        f"{estimator}, initial weights:", *(f"{figure:.4f}" for figure in score(done.result(), test))
                    )
                    running |= {pool.submit(work, run, train, test, runs) for run in todo if run.estimator == estimator}
                else:
                    running.remove(done)
                    run, figures = done.result()
                    append(run, figures)
                    console.print(run.estimator, run.variant, run.seed, *(f"{figure:.4f}" for figure in figures))


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
