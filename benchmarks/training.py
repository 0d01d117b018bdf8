"""Overhead of training: a step of the 3D TCN's recipe against the network's forward and backward pass alone.

    python benchmarks/training.py --mocap FOLDER

`bare` is the forward and backward pass on one batch; `step` is what `occlupose train` does: it also draws a new batch,
updates the weights and their average. Bare passes and steps alternate. Measured at the paper's size and at that of
`oanet_ablation.py`. Writes results/training.csv: medians in milliseconds, frames per second, and the ratio.
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

from occlupose.datasets.formats.cmu import load_clips, split_clips
from occlupose.methods.oanet.network import AdversarialOANet
from occlupose.methods.oanet.recipe import OANetBatch, OANetRecipe, build_batch, loss_3d
from occlupose.training.loop import Optimisation, Terms, train

PLAIN = OANetRecipe(
    refine=False,
    occlusion_aware=False,
    symmetry_weight=0.0,
    adversarial_weight=0.0,
    regularisation_weight=0.0,
    virtual_view_fraction=0.0,
)
"""The 3D TCN alone, the first row of the paper's table 2."""

SIZES = {"paper": (PLAIN, 4), "reduced": (replace(PLAIN, width=96, window=64, batch=32), 60)}
"""Recipes, and steps per turn."""

COLUMNS = ("size", "width", "length", "batch", "bare_ms", "step_ms", "bare_frames_per_s", "step_frames_per_s", "ratio")


def bare(network: nn.Module, batch: OANetBatch, recipe: OANetRecipe, count: int) -> list[float]:
    """Seconds of forward and backward passes on one batch."""
    times = []
    for _ in range(count):
        start = perf_counter()
        network.zero_grad()
        torch.stack(list(loss_3d(network, batch, recipe).values())).sum().backward()
        times.append(perf_counter() - start)
    return times


def steps(network: nn.Module, recipe: OANetRecipe, mocap: Path, count: int) -> list[float]:
    """Seconds between the losses of consecutive steps."""
    stamps: list[float] = []
    draw = recipe.sampler(split_clips(load_clips(mocap))[0])

    def loss(network: nn.Module, batch: OANetBatch) -> Terms:
        stamps.append(perf_counter())
        return loss_3d(network, batch, recipe)

    def batch(generator: Generator) -> OANetBatch:
        return build_batch(draw(generator), recipe)

    optimisation = Optimisation(steps=count + 1, warm_up_steps=1, save_every=count + 1, precision="32-true")
    with tempfile.TemporaryDirectory() as folder:
        train(network, batch, loss, optimisation, Path(folder), progress=False)
    return [after - before for before, after in pairwise(stamps)]


def main(mocap: Path, output: Path = Path(__file__).parent / "results" / "training.csv", turns: int = 3) -> None:
    """Measures the overhead of training.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        output: table to write.
        turns: alternations of bare passes and steps.
    """
    rows = []
    for name, (recipe, count) in SIZES.items():
        network = AdversarialOANet(recipe.network())
        first = build_batch(recipe.sampler(split_clips(load_clips(mocap))[0])(Generator().manual_seed(0)), recipe)
        bare(network, first, recipe, 2)
        bare_seconds = []
        step_seconds = []
        for _ in range(turns):
            bare_seconds += bare(network, first, recipe, count)
            step_seconds += steps(network, recipe, mocap, count)
        seconds = (median(bare_seconds), median(step_seconds))
        frames = recipe.batch * recipe.window
        rates = [frames / second for second in seconds]
        rows.append(
            (
                name,
                recipe.width,
                recipe.window,
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
