"""DSED behind other networks on open data: small bases without reasoning, with an hourglass and with DSED.

    occlupose synth --scenes 3000 --seed 41 --people 1 4 --size 192 192 --shard 200 -o TRAIN
    occlupose synth --scenes 400 --seed 43 --people 1 4 --size 192 192 --shard 200 -o TEST
    python benchmarks/hupor_bases.py --train TRAIN --test TEST --runs RUNS [--bases higherhrnet --seeds 0]

Each base is trained once (recipe `movenet` of `occlupose train dsed`: HigherHRNet and PifPaf on the features of MoveNet
MultiPose; from random weights such small networks find next to nobody after so short a training), then each reasoner
behind it once for each seed. People in other scenes are scored by COCO's protocol in boxes of the networks themselves:
`ap` and `ar` on all joints, `ap_hidden` on hidden joints alone, at one scale, and for HigherHRNet at three (0.5, 1, 2),
whose heatmaps are averaged. `paper` is AP on CrowdPose of HigherHRNet-W48 (HUPOR, supplement, table 2).

Reduced for two cores: inputs of 192 px, 8 epochs of 3,000 images for the base (3,000 steps) and one for a reasoner of
400,000 parameters (370 steps); published are inputs of 640 px, 300 epochs and 10.

    python benchmarks/hupor_bases.py --train TRAIN --test TEST --runs RUNS --timing

trains a few steps of each instead, and writes results/hupor_bases_time.csv: CPU time of a step on one core, and of the
whole training. `--share 0.002` shortens all trainings to that share, to see that everything works.

Writes results/hupor_bases.csv, a row for each finished run; stopped runs are continued, finished ones not repeated.
"""

import csv
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import torch
import tyro
from results import describe, write
from rich.console import Console

from occlupose.datasets.annotations import Annotations
from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats.coco import load
from occlupose.evaluation import oks
from occlupose.methods.hupor.bases.recipe import RECIPES, DSEDRecipe, find_recipe
from occlupose.methods.hupor.bases.train import train_dsed
from occlupose.training.recipe import changed
from occlupose.training.run import TrainingRun

RESULTS = Path(__file__).parent / "results" / "hupor_bases.csv"
COLUMNS = ("base", "reasoning", "scales", "seed", "ap", "ap_hidden", "ar", "paper")
TIME_COLUMNS = ("base", "part", "steps", "step_s", "training_h")
TIMED_STEPS = 12
SEEDS = (0, 1, 2)
BASE_EPOCHS = 8.0
REASONER_EPOCHS = 1.0

Arm = Literal["none", "hourglass", "dsed"]
Base = Literal["higherhrnet", "pifpaf"]

SCALES: dict[Base, tuple[tuple[float, ...], ...]] = {
    "higherhrnet": ((1.0,), (0.5, 1.0, 2.0)),
    "pifpaf": ((1.0,),),
}
"""Sizes of the input of each row."""

PAPER = {
    ("none", 1): 65.9,
    ("hourglass", 1): 64.6,
    ("dsed", 1): 70.3,
    ("none", 3): 67.6,
    ("hourglass", 3): 66.1,
    ("dsed", 3): 71.4,
}
"""AP of HigherHRNet-W48 on CrowdPose's test split, by reasoning and number of scales."""


@dataclass(frozen=True)
class Run:
    """A training: a base, or a reasoner behind it."""

    base: Base
    arm: Arm
    seed: int

    @property
    def folder(self) -> str:
        """Its name."""
        return f"{self.base}-{self.arm}-{self.seed}"

    def recipe(self, share: float = 1.0) -> DSEDRecipe:
        """The recipe; the reasoners' keep the base of their initial weights.

        Arguments:
            share: of the epochs.
        """
        recipe = RECIPES[find_recipe("movenet", self.base)]
        base_epochs = BASE_EPOCHS * share if self.arm == "none" else 0.0
        of_base = {f"{self.base}.epochs": base_epochs, "design.reasoning": self.arm}
        return changed(recipe, {"epochs": REASONER_EPOCHS * share, "seed": self.seed} | of_base)


@cache
def people(folder: Path) -> Annotations:
    """The people of a dataset."""
    paths = find_dataset(folder)
    return load(paths.annotations, paths.images)


def trained(run: Run, train: Path, runs: Path, share: float) -> Path:
    """The weights of a run, trained once, those of its base before."""
    folder = runs / run.folder
    recipe = run.recipe(share)
    path = folder / f"{recipe.name}.safetensors"
    if not path.exists():
        initial = None if run.arm == "none" else trained(Run(run.base, "none", SEEDS[0]), train, runs, share)
        training = TrainingRun(folder, resume=True, init_from=initial, progress=False)
        train_dsed(people(train), recipe, training, licence="Apache-2.0")
    return path


def score(weights: Path, test: Path, scales: tuple[float, ...]) -> tuple[float, float, float]:
    """AP, AP of hidden joints and AR, per cent."""
    evaluation = oks.prepare("coco", test, frontend=str(weights), scales=scales, threads=1)
    evaluation.run()
    assert isinstance(evaluation.evaluator, oks.OKSEvaluator)
    strata = evaluation.evaluator.scores()
    everything = strata["all"].values
    return 100 * everything["AP"], 100 * strata["hidden joints"].values["AP"], 100 * everything["AR"]


def finished(output: Path) -> set[tuple[str, ...]]:
    """Base, reasoning, scales and seed of the rows in the results."""
    if not output.exists():
        return set()
    with output.open(newline="") as file:
        return {tuple(row[name] for name in COLUMNS[:4]) for row in csv.DictReader(file)}


def append(output: Path, row: tuple[str, ...]) -> None:
    """Adds a row and the description of the table."""
    new = not output.exists()
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(row)
    describe(output, seed=" ".join(sorted({key[3] for key in finished(output)})), grows=True)


def time_steps(base: Base, train: Path) -> list[tuple[str, ...]]:
    """CPU time of the steps of a base and of its reasoners, without the start of a training."""
    data = people(train)
    images = len({person.image for person in data.people})
    rows = []
    with TemporaryDirectory() as folder:
        for arm in get_args(Arm):
            run = Run(base, arm, 0)
            whole = run.recipe()
            training = whole.base_training if arm == "none" else whole
            seconds = []
            for steps in (2, TIMED_STEPS):
                share = steps * training.batch / (images * training.epochs)
                given = None if arm == "none" else trained(Run(base, "none", 0), train, Path(folder), share)
                start = time.process_time()
                where = TrainingRun(Path(folder) / f"{arm}-{steps}", init_from=given, progress=False)
                train_dsed(data, run.recipe(share), where, licence="Apache-2.0")
                seconds.append(time.process_time() - start)
            step = (seconds[1] - seconds[0]) / (TIMED_STEPS - 2)
            count = training.optimisation(images).steps
            part = "base" if arm == "none" else arm
            rows.append((base, part, str(count), f"{step:.2f}", f"{step * count / 3600:.1f}"))
    return rows


def main(
    train: Path,
    test: Path,
    runs: Path,
    bases: tuple[Base, ...] = get_args(Base),
    seeds: tuple[int, ...] = SEEDS,
    share: float = 1.0,
    timing: bool = False,
    output: Path = RESULTS,
) -> None:
    """Trains and scores the missing runs, on one core.

    Args:
        train: training data, by occlupose synth.
        test: test data, of another seed.
        runs: folder of the training runs; stopped runs are continued.
        bases: which bases.
        seeds: of the rows.
        share: of the epochs of all trainings; less than 1 only to see that everything works.
        timing: measure a few steps of each training instead.
        output: .csv file; of the times it is NAME_time.csv.
    """
    torch.set_num_threads(1)
    console = Console(stderr=True)
    if timing:
        rows = [row for base in bases for row in time_steps(base, train)]
        write(output.with_name(f"{output.stem}_time.csv"), TIME_COLUMNS, rows)
        for row in rows:
            console.print(*row)
        return
    for seed in seeds:
        for base in bases:
            for arm in get_args(Arm):
                if arm == "none" and seed != SEEDS[0]:
                    continue
                for scales in SCALES[base]:
                    key = (base, arm, " ".join(f"{scale:g}" for scale in scales), str(seed))
                    if key in finished(output):
                        continue
                    figures = score(trained(Run(base, arm, seed), train, runs, share), test, scales)
                    paper = str(PAPER[arm, len(scales)]) if base == "higherhrnet" else ""
                    append(output, (*key, *(f"{figure:.2f}" for figure in figures), paper))
                    console.print(*key, *(f"{figure:.1f}" for figure in figures))


if __name__ == "__main__":
    tyro.cli(main)
