"""How much longer does training take than the network by itself? A step of the 3D TCN's recipe beside forward and
backward alone.

    python benchmarks/training.py --mocap FOLDER

`bare` is the network's forward and backward pass on one batch; `step` is what `occlupose train` does: it also draws
another batch each time, moves the weights and keeps their average. Bare passes and steps take turns. Once at the
paper's size, once at that of `oanet_ablation.py`. Writes results/training.csv: milliseconds (medians), frames a second,
and their ratio.
"""

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import tyro
from results import write
from rich.console import Console
from rich.table import Table
from torch import Generator, nn

from occlupose.datasets.cmu import load_clips, split
from occlupose.methods.oanet.network import Duel, OANet
from occlupose.methods.oanet.recipe import Batch, Recipe, believe, lift_loss
from occlupose.methods.oanet.train import film
from occlupose.training.loop import Optimisation, Terms, train

PLAIN = Recipe(refine=False, occlusion=False, symmetry=0.0, adversarial=0.0, regularisation=0.0, augmentation=0.0)
"""The 3D TCN alone, the first row of the paper's table 2."""

SIZES = {"paper": (PLAIN, 4), "reduced": (replace(PLAIN, width=96, length=64, batch=32), 60)}
"""Recipes, and the steps of a turn."""

COLUMNS = ("size", "width", "length", "batch", "bare_ms", "step_ms", "bare_frames_per_s", "step_frames_per_s", "ratio")


def bare(network: nn.Module, batch: Batch, recipe: Recipe, count: int) -> list[float]:
    """Seconds of forward and backward passes on one batch."""
    times = []
    for _ in range(count):
        began = perf_counter()
        network.zero_grad()
        torch.stack(list(lift_loss(network, batch, recipe).values())).sum().backward()
        times.append(perf_counter() - began)
    return times


def steps(network: nn.Module, recipe: Recipe, mocap: Path, count: int) -> list[float]:
    """Seconds from one step's loss to the next one's."""
    stamps: list[float] = []
    draw = film(split(load_clips(mocap))[0], recipe)

    def loss(network: nn.Module, batch: Batch) -> Terms:
        stamps.append(perf_counter())
        return lift_loss(network, batch, recipe)

    def batch(generator: Generator) -> Batch:
        return believe(draw(generator), recipe)

    plan = Optimisation(steps=count + 1, warm_up=1, save_every=count + 1, precision="32-true")
    with tempfile.TemporaryDirectory() as folder:
        train(network, batch, loss, plan, Path(folder), progress=False)
    return [after - before for before, after in pairwise(stamps)]


def main(mocap: Path, output: Path = Path(__file__).parent / "results" / "training.csv", turns: int = 3) -> None:
    """Measures the overhead of training.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        output: table to write.
        turns: of bare passes and steps.
    """
    rows = []
    for name, (recipe, count) in SIZES.items():
        network = Duel(OANet(recipe.width, recipe.depth, refine=recipe.refine, dropout=recipe.dropout))
        one = believe(film(split(load_clips(mocap))[0], recipe)(Generator().manual_seed(0)), recipe)
        bare(network, one, recipe, 2)
        alone = []
        whole = []
        for _ in range(turns):
            alone += bare(network, one, recipe, count)
            whole += steps(network, recipe, mocap, count)
        seconds = (median(alone), median(whole))
        frames = recipe.batch * recipe.length
        rates = [frames / second for second in seconds]
        rows.append(
            (
                name,
                recipe.width,
                recipe.length,
                recipe.batch,
                *(f"{1000 * second:.1f}" for second in seconds),
                *(f"{rate:.0f}" for rate in rates),
                f"{seconds[1] / seconds[0]:.3f}",
            )
        )
    write(output, COLUMNS, rows)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
