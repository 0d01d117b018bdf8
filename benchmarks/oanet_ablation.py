"""Ablation of OANet on open data: the rows of the paper's table 2, its table 1, and learning without 3D.

    python benchmarks/oanet_ablation.py --mocap FOLDER [--tables table2 tried table1 semi]

Trains on CMU motion capture seen by four studio cameras, and scores whole subjects that are held out (02, 08, 32). The
2D joints are simulated detections with the measured noise of `movenet`; joints occluded by the body itself
(the Cylinder Man) or by an object are guessed, mostly with a low confidence. Half of the training clips keep their 3D,
the others are 2D only, so that eq. 5 and 8 apply.

Reduced size, for two cores: width 96 (default 512), sequences of 64 frames (128), batches of 32 (128), 600 + 1000 + 400
steps in the three stages (130,000), no dropout (0.25, which underfits in so few steps), data drawn from 400 stored
steps. Each run uses one core.

Table 2 has the paper's loss weights. `tried` makes one change at a time to the row with symmetry, after which the parts
did harm here. Table 1 and `semi` start from that row too; it was chosen on the same subjects that they are scored on.

Writes results/oanet_table2.csv, oanet_tried.csv, oanet_table1.csv, oanet_semi.csv, one row per finished run; runs that
are already there are not repeated. Seeds change the networks and the order of the data, not the stored steps. Errors
are in millimetres, means over views of clips; `occluded` is the MPJPE of occluded joints.
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

from occlupose.datasets.formats.cmu import load_clips, split_clips
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.camera_views import AZIMUTHS, to_studio_camera
from occlupose.methods.oanet.inputs import FPS
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays
from occlupose.methods.oanet.recipe import OANetRecipe, simulate_detections
from occlupose.methods.oanet.train import OANetTask
from occlupose.methods.oanet.windows import Observations2D
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.synth.noise import NoiseModel
from occlupose.training.loop import Optimisation
from occlupose.training.run import TrainingRun

RESULTS = Path(__file__).parent / "results"
STORED = 400
"""Steps whose data are generated once and drawn from at random."""

Table = Literal["table2", "tried", "table1", "semi"]


def stage(steps: int, learning_rate: float) -> Optimisation:
    """One stage of training."""
    return Optimisation(
        steps=steps, learning_rate=learning_rate, warm_up_steps=50, save_every=steps, precision="32-true"
    )


WHOLE = OANetRecipe(
    width=96,
    window=64,
    batch=32,
    labelled_fraction=0.5,
    dropout=0.0,
    stage_2d=stage(600, 2e-3),
    stage_3d=stage(1000, 2e-3),
    end_to_end=stage(400, 2e-4),
)
PLAIN = replace(
    WHOLE,
    refine=False,
    occlusion_aware=False,
    symmetry_weight=0.0,
    adversarial_weight=0.0,
    regularisation_weight=0.0,
    virtual_view_fraction=0.0,
)

PARTS: dict[str, dict[str, object]] = {
    "3D TCN": {},
    "+ 2D TCN": {"refine": True},
    "+ occlusion-aware": {"occlusion_aware": True},
    "+ symmetry": {"symmetry_weight": WHOLE.symmetry_weight},
    "+ adversarial": {"adversarial_weight": WHOLE.adversarial_weight},
    "+ pose regularisation": {"regularisation_weight": WHOLE.regularisation_weight},
    "+ augmentation": {"virtual_view_fraction": WHOLE.virtual_view_fraction},
}
"""The rows of the paper's table 2: each adds to the one before."""


BASE = replace(WHOLE, adversarial_weight=0.0, regularisation_weight=0.0, virtual_view_fraction=0.0)
"""The row with symmetry: the last one before the parts that do harm in table 2 as measured here."""

TRIED: dict[str, dict[str, object]] = {
    "adversarial 0.01": {"adversarial_weight": 0.01},
    "pose regularisation 0.01": {"regularisation_weight": 0.01},
    "augmentation of a quarter": {"virtual_view_fraction": 0.25},
    "no objects": {"objects": False},
    "no objects, pose regularisation 0.1": {"objects": False, "regularisation_weight": 0.1},
    "no objects, every joint reliable": {"objects": False, "occlusion_aware": False},
    "mask channel": {"mask_channel": True},
    "twice the steps": {"stage_3d": stage(2000, 2e-3)},
}
"""Changes to BASE. Those without objects are trained and scored with self-occlusion only: compare them with each other.
"""


@dataclass(frozen=True)
class Run:
    """One training run: its table, the key columns of its row, and its recipe."""

    table: Table
    key: tuple[str, ...]
    recipe: OANetRecipe


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
    frames = WHOLE.window * WHOLE.batch
    return [
        Run(
            "table1",
            (str(window), str(threshold)),
            replace(BASE, window=window, batch=frames // window, threshold=threshold),
        )
        for window in (128, 64, 32, 16, 256)
        for threshold in (0.1, 0.3, 0.5)
    ]


def semi() -> list[Run]:
    """A fraction of the clips with 3D, with and without learning from the others' 2D."""
    return [
        Run(
            "semi",
            (str(labelled), two_d, str(seed)),
            replace(BASE, labelled_fraction=labelled, unlabelled_fraction=unlabelled, seed=seed),
        )
        for seed in range(3)
        for labelled in (0.1, 0.3, 1.0)
        for two_d, unlabelled in (("no", 0.0), ("yes", WHOLE.unlabelled_fraction))
        if labelled < 1 or not unlabelled
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
def load_split(mocap: Path) -> tuple[list[MotionClip], list[MotionClip]]:
    """Clips to train on, and those of subjects that are held out."""
    return split_clips(load_clips(mocap))


DATA_FIELDS = (
    "window",
    "batch",
    "labelled_fraction",
    "unlabelled_fraction",
    "virtual_view_fraction",
    "objects",
)
"""Fields of a recipe that change the data."""


@lru_cache(maxsize=8)
def stored(mocap: Path, data: OANetRecipe) -> list[Observations2D]:
    """STORED steps of data; `data` is WHOLE but for its DATA_FIELDS."""
    draw = data.sampler(load_split(mocap)[0])
    generator = torch.Generator().manual_seed(0)
    return [draw(generator) for _ in range(STORED)]


def sampler(mocap: Path, recipe: OANetRecipe) -> Callable[[Generator], Observations2D]:
    """A function that draws a stored step at random."""
    steps = stored(mocap, replace(WHOLE, **{name: getattr(recipe, name) for name in DATA_FIELDS}))
    return lambda generator: steps[int(torch.randint(len(steps), (), generator=generator))]


@lru_cache(maxsize=2)
def validation(mocap: Path, objects: bool) -> list[Observations2D]:
    """Each validation clip from each studio camera; the noise and occlusions depend on the clip's name only."""
    views = []
    cameras = torch.arange(len(AZIMUTHS))
    for clip in load_split(mocap)[1]:
        joints = torch.from_numpy(clip.joints[:: round(clip.fps / FPS)])
        generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()))
        in_studio = to_studio_camera(joints.repeat(len(cameras), 1, 1, 1), cameras)
        observed = simulate_detections(in_studio, NoiseModel.load(), generator, objects=objects)
        for camera in cameras.tolist():
            views.append(Observations2D(*(values[camera : camera + 1] for values in vars(observed).values())))
    return views


def score(oanet: OANetNetwork, views: list[Observations2D]) -> list[float]:
    """MPJPE, P-MPJPE and the MPJPE of occluded joints: means over views, mm."""
    errors = []
    for view in views:
        rays = view.xy.transpose(0, 1).numpy()
        reliable = (view.score >= oanet.encoder.min_confidence).transpose(0, 1).numpy()
        predicted = lift_rays(oanet, rays, reliable, FPS)[:, 0]
        truth = view.truth_3d[0].numpy()
        distance = joint_errors(predicted, truth)
        occluded = distance[view.occluded[0].numpy()]
        errors.append(
            [
                distance.mean(),
                joint_errors(procrustes(predicted, truth), truth).mean(),
                occluded.mean() if occluded.size else np.nan,
            ]
        )
    return (1000 * np.nanmean(errors, 0)).tolist()


def execute(mocap: Path, run: Run) -> list[float]:
    """Trains and scores, on one core."""
    torch.set_num_threads(1)
    recipe = run.recipe
    with tempfile.TemporaryDirectory(prefix="oanet_") as folder:
        oanet = TrainingRun(Path(folder), progress=False).train(OANetTask(recipe, sampler(mocap, recipe)))
    return score(oanet, validation(mocap, recipe.objects))


def done(table: Table) -> set[tuple[str, ...]]:
    """Keys of the runs that a table holds."""
    path = RESULTS / f"oanet_{table}.csv"
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEYS[table]) for row in csv.DictReader(file)}


def append(run: Run, errors: list[float]) -> None:
    """Adds the row of a finished run to its table, and this commit to the table's description."""
    path = RESULTS / f"oanet_{run.table}.csv"
    exists = path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not exists:
            writer.writerow((*KEYS[run.table], *ERRORS))
        writer.writerow((*run.key, *(f"{error:.2f}" for error in errors)))
    describe(path, seed="the column; of table 1 seed 0", grows=True)


def main(
    mocap: Path, tables: tuple[Table, ...] = ("table2", "tried", "table1", "semi"), workers: int = os.cpu_count() or 1
) -> None:
    """Trains and scores the runs that are missing from the tables.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        tables: tables to complete.
        workers: training runs in parallel.
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
