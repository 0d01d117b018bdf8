"""What does each part of OANet buy? The rows of the paper's table 2, its table 1, and learning from video without 3D,
on open data.

    python benchmarks/oanet_ablation.py --mocap FOLDER [--tables table2 tried table1 semi]

Trains on the CMU mocap before four studio cameras, and scores on whole subjects that no training saw (02, 08, 32). The
2D is that of a network with the measured noise of the default front end; what the body itself (the Cylinder Man) or an
object hides is guessed, mostly with little evidence. Half of the training clips keep their 3D, the others are 2D only,
so that eq. 5 and 8 have something to act on.

Reduced size, for two cores: width 96 (512 by default), sequences of 64 frames (128), 32 of them a step (128), 600 +
1000 + 400 steps in the three stages (130,000), no dropout (0.25; so few steps underfit with it), data drawn from 400
stored steps. Runs go side by side on one core each.

Table 2 has the paper's weights of the losses; `tried` has others, one change at a time from the row with symmetry,
after which the parts did harm here. Table 1 and `semi` begin with that row too: it was chosen on the subjects that they
are scored on.

Writes results/oanet_table2.csv, oanet_tried.csv, oanet_table1.csv, oanet_semi.csv, a row for each finished run; runs
that are there already are not repeated. Seeds vary the networks and the order of the data, not the stored steps. Errors
are millimetres: means over views of clips; `occluded` is the MPJPE of hidden joints.
"""

import csv
import os
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from results import describe
from rich.console import Console
from torch import Generator

from occlupose.datasets.cmu import Clip, load_clips, split
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import OANet
from occlupose.methods.oanet.predict import predict
from occlupose.methods.oanet.recipe import Recipe, Sight, see
from occlupose.methods.oanet.sequences import RATE
from occlupose.methods.oanet.train import film, train_oanet
from occlupose.methods.oanet.views import DIRECTIONS, studio
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.synth.noise import NoiseModel
from occlupose.training.loop import Optimisation

RESULTS = Path(__file__).parent / "results"
STORED = 400
"""Steps whose data are made once and drawn from at random."""

Table = Literal["table2", "tried", "table1", "semi"]


def stage(steps: int, rate: float) -> Optimisation:
    """One stage of training."""
    return Optimisation(steps=steps, learning_rate=rate, warm_up=50, save_every=steps, precision="32-true")


WHOLE = Recipe(
    width=96,
    length=64,
    batch=32,
    labelled=0.5,
    dropout=0.0,
    fill=stage(600, 2e-3),
    lift=stage(1000, 2e-3),
    joint=stage(400, 2e-4),
)
PLAIN = replace(
    WHOLE, refine=False, occlusion=False, symmetry=0.0, adversarial=0.0, regularisation=0.0, augmentation=0.0
)

PARTS: dict[str, dict[str, object]] = {
    "3D TCN": {},
    "+ 2D TCN": {"refine": True},
    "+ occlusion-aware": {"occlusion": True},
    "+ symmetry": {"symmetry": WHOLE.symmetry},
    "+ adversarial": {"adversarial": WHOLE.adversarial},
    "+ pose regularisation": {"regularisation": WHOLE.regularisation},
    "+ augmentation": {"augmentation": WHOLE.augmentation},
}
"""The rows of the paper's table 2: each adds to the one before."""


BASE = replace(WHOLE, adversarial=0.0, regularisation=0.0, augmentation=0.0)
"""The row with symmetry: that before the parts that do harm in table 2 as it is measured here."""

TRIED: dict[str, dict[str, object]] = {
    "adversarial 0.01": {"adversarial": 0.01},
    "pose regularisation 0.01": {"regularisation": 0.01},
    "augmentation of a quarter": {"augmentation": 0.25},
    "no objects": {"objects": False},
    "no objects, pose regularisation 0.1": {"objects": False, "regularisation": 0.1},
    "no objects, everything believed": {"objects": False, "occlusion": False},
    "mask channel": {"mask_channel": True},
    "twice the steps": {"lift": stage(2000, 2e-3)},
}
"""Changes to BASE. Those without objects are trained and scored where only the body hides joints: compare them with one
another.
"""


@dataclass(frozen=True)
class Run:
    """One training: where its row stands, what the row begins with, and how it is trained."""

    table: Table
    key: tuple[str, ...]
    recipe: Recipe


def table2() -> list[Run]:
    """The seven rows, three seeds each."""
    runs = []
    recipe = PLAIN
    for row, part in PARTS.items():
        recipe = replace(recipe, **part)  # type: ignore[arg-type]
        runs += [Run("table2", (row, str(seed)), replace(recipe, seed=seed)) for seed in range(3)]
    return runs


def tried() -> list[Run]:
    """One change each, one seed."""
    return [Run("tried", (change, "0"), replace(BASE, **fields)) for change, fields in TRIED.items()]  # type: ignore[arg-type]


def table1() -> list[Run]:
    """Sequence length against threshold; a step has as many frames whatever the length."""
    frames = WHOLE.length * WHOLE.batch
    return [
        Run(
            "table1",
            (str(length), str(threshold)),
            replace(BASE, length=length, batch=frames // length, threshold=threshold),
        )
        for length in (128, 64, 32, 16, 256)
        for threshold in (0.1, 0.3, 0.5)
    ]


def semi() -> list[Run]:
    """A share of the clips with 3D, with and without learning from the others' 2D."""
    return [
        Run("semi", (str(share), two_d, str(seed)), replace(BASE, labelled=share, flat=flat, seed=seed))
        for seed in range(3)
        for share in (0.1, 0.3, 1.0)
        for two_d, flat in (("no", 0.0), ("yes", WHOLE.flat))
        if share < 1 or not flat
    ]


TABLES: dict[Table, Callable[[], list[Run]]] = {"table2": table2, "tried": tried, "table1": table1, "semi": semi}
KEYS: dict[Table, tuple[str, ...]] = {
    "table2": ("row", "seed"),
    "tried": ("change", "seed"),
    "table1": ("length", "threshold"),
    "semi": ("labelled", "two_d_only", "seed"),
}
ERRORS = ("mpjpe_mm", "p_mpjpe_mm", "occluded_mpjpe_mm")


@lru_cache
def halves(mocap: Path) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and those of subjects that are held out."""
    return split(load_clips(mocap))


@lru_cache(maxsize=8)
def stored(mocap: Path, data: Recipe) -> list[Sight]:
    """STORED steps of data; `data` is a recipe whose other fields are those of WHOLE."""
    draw = film(halves(mocap)[0], data)
    generator = torch.Generator().manual_seed(0)
    return [draw(generator) for _ in range(STORED)]


def sights(mocap: Path, recipe: Recipe) -> Callable[[Generator], Sight]:
    """What draws a stored step at random."""
    own = {name: getattr(recipe, name) for name in ("length", "batch", "labelled", "flat", "augmentation", "objects")}
    steps = stored(mocap, replace(WHOLE, **own))
    return lambda generator: steps[int(torch.randint(len(steps), (), generator=generator))]


@lru_cache(maxsize=2)
def validation(mocap: Path, objects: bool) -> list[Sight]:
    """Each validation clip before each studio camera; the name of a clip decides what happens to it."""
    views = []
    for clip in halves(mocap)[1]:
        joints = torch.from_numpy(clip.joints[:: round(clip.fps / RATE)])
        cameras = torch.arange(len(DIRECTIONS))
        generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()))
        seen = see(studio(joints.repeat(len(cameras), 1, 1, 1), cameras), NoiseModel.load(), generator, objects=objects)
        views += [
            Sight(*(values[camera : camera + 1] for values in vars(seen).values())) for camera in cameras.tolist()
        ]
    return views


def score(oanet: OANet, recipe: Recipe, views: list[Sight]) -> list[float]:
    """MPJPE, P-MPJPE and the MPJPE of hidden joints: means over views, mm."""
    errors = []
    for view in views:
        predicted = predict(oanet, view.xy[0], view.evidence[0] >= recipe.least, recipe.length).numpy()
        truth = view.truth_3d[0].numpy()
        distance = joint_errors(predicted, truth)
        hidden = distance[view.hidden[0].numpy()]
        errors.append(
            [
                distance.mean(),
                joint_errors(procrustes(predicted, truth), truth).mean(),
                hidden.mean() if hidden.size else np.nan,
            ]
        )
    return (1000 * np.nanmean(errors, 0)).tolist()


def execute(mocap: Path, run: Run) -> list[float]:
    """Trains and scores, on one core."""
    torch.set_num_threads(1)
    recipe = run.recipe
    with tempfile.TemporaryDirectory(prefix="oanet_") as folder:
        oanet = train_oanet(sights(mocap, recipe), Path(folder), recipe, progress=False)
    return score(oanet, recipe, validation(mocap, recipe.objects))


def done(table: Table) -> set[tuple[str, ...]]:
    """Keys of the runs that a table holds."""
    path = RESULTS / f"oanet_{table}.csv"
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEYS[table]) for row in csv.DictReader(file)}


def append(run: Run, errors: list[float]) -> None:
    """Adds the row of a finished run to its table, and this commit to those that the table comes from."""
    path = RESULTS / f"oanet_{run.table}.csv"
    begun = path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not begun:
            writer.writerow((*KEYS[run.table], *ERRORS))
        writer.writerow((*run.key, *(f"{error:.2f}" for error in errors)))
    describe(path, seed="the column; of table 1 seed 0", grows=True)


def main(
    mocap: Path, tables: tuple[Table, ...] = ("table2", "tried", "table1", "semi"), workers: int = os.cpu_count() or 1
) -> None:
    """Trains and scores what the tables still lack.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        tables: which to make.
        workers: trainings side by side.
    """
    runs = [run for table in tables for run in TABLES[table]() if run.key not in done(table)]
    runs.sort(key=lambda run: run.recipe.seed)  # whole tables of one seed before the next one
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(execute, mocap, run): run for run in runs}
        for future in as_completed(pending):
            run = pending[future]
            try:
                append(run, errors := future.result())
            except OccluposeError as error:
                Console().print(run.table, *run.key, error)  # the others go on
                continue
            Console().print(run.table, *run.key, *(f"{error:.1f}" for error in errors))


if __name__ == "__main__":
    tyro.cli(main)
