"""Tiny trainings of every trainer, alone or under torchrun.

As a program that torchrun starts, `torchrun_trainers.py FOLDER` makes each run in FOLDER/together, stops one in
FOLDER/alone_later, and resumes the one that was stopped in FOLDER/together_later.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch

import hupor_samples
import keypoint_samples
from mocap_sequences import moving_clip, striding_joints
from occlupose.codecs.crops import Crop
from occlupose.methods.hupor.bases.train import train_dsed
from occlupose.methods.hupor.predict import SHIPPED
from occlupose.methods.hupor.refine import RefinePairs, RefineRecipe
from occlupose.methods.hupor.ssf.recipe import SSFRecipe
from occlupose.methods.hupor.ssf.train import train_ssf
from occlupose.methods.hupor.train import train_hupor
from occlupose.methods.hupor.train_refine import RefineTask
from occlupose.methods.lifter.motions import LentMotion
from occlupose.methods.lifter.samples import SequenceSettings
from occlupose.methods.lifter.train import LifterRecipe, LifterTask
from occlupose.methods.ljof.recipe import published
from occlupose.methods.ljof.train import train_estimator
from occlupose.methods.movenet.recipe import RECIPES
from occlupose.methods.movenet.train import MoveNetTask
from occlupose.methods.oanet.keypoints import KeypointRecipe, train_keypoints
from occlupose.methods.oanet.recipe import OANetRecipe
from occlupose.methods.oanet.train import OANetTask
from occlupose.training import loop
from occlupose.training import run as runs
from occlupose.training.loop import Optimisation
from occlupose.training.run import TrainingRun
from photographed_people import write_data
from stick_figures import write_figures

STEPS = Optimisation(steps=4, learning_rate=1e-3, warm_up_steps=2)
STOP = 3
"""Batches before a run is stopped; a checkpoint is written after two."""


class Stopped(Exception):
    """A run was stopped."""


def lifter(run: TrainingRun, data: Path) -> None:
    stride = striding_joints(30)[:, :22]
    motions = [
        LentMotion(name, name[:2], kind, False, np.stack([stride, size * stride]).astype(np.float32))
        for name, kind, size in (("07_01", "walking", 1.1), ("05_01", "dance", 0.9))
    ]
    settings = SequenceSettings(frames=6)
    run.fit(LifterTask(LifterRecipe(width=32, depth=2, batch=4, samples=settings, optimisation=STEPS), motions))


def oanet(run: TrainingRun, data: Path) -> None:
    """With dropout; the processes have different numbers of sequences, and of those with 3D."""
    stages = dict.fromkeys(("stage_2d", "stage_3d", "end_to_end"), STEPS)
    shape = {"width": 8, "window": 8, "verdict_frames": (1, 4)}
    recipe = OANetRecipe(**shape, batch=4, labelled_fraction=0.5, unlabelled_fraction=0.25, **stages)
    assert recipe.dropout > 0 and recipe.unlabelled == 1
    clips = [moving_clip(seed=number, name=f"07_{number:02}") for number in range(6)]
    run.fit(OANetTask(recipe, recipe.sampler(clips)))


def keypoints(run: TrainingRun, data: Path) -> None:
    recipe = KeypointRecipe(stacks=2, width=8, depth=1, crop=Crop(16, 24), batch=4, optimisation=STEPS)
    train_keypoints(*write_figures(data, 6), recipe, run)


def ljof(run: TrainingRun, data: Path) -> None:
    recipe = replace(published("hrnet_small"), crop=Crop(32, 32, grid="corners"), batch=4, epochs=3, ema_decay=0.9)
    train_estimator(keypoint_samples.load_people(data), recipe, run)


def movenet_occlusion(run: TrainingRun, data: Path) -> None:
    """Without the calibration, which takes minutes; only the main process does it."""
    recipe = replace(RECIPES["shipped"], batch=4, optimisation=STEPS)
    run.train(MoveNetTask(recipe, write_data(data), "noise"))


def ssf(run: TrainingRun, data: Path) -> None:
    size = {"input_type": "mask", "size": 32, "blocks": (1, 1, 1, 1), "width": 2, "cnn_width": 2, "hidden": (8, 8)}
    train_ssf(SSFRecipe(**size, scenes=3, people=(2, 3), batch=4, epochs=3, milestones=(2,)), run)


def hupor(run: TrainingRun, data: Path) -> None:
    """The reasoner begins to learn after the detector, in part from the detector's maps."""
    recipe = replace(
        hupor_samples.TINY, design=hupor_samples.SHORT, epochs=4, detector_only_fraction=0.5, learning_rate=1e-3
    )
    train_hupor(hupor_samples.write_samples(data), replace(recipe, predicted_input_fraction=0.5), run)


def dsed(run: TrainingRun, data: Path, recipe: object = keypoint_samples.TINY) -> None:
    train_dsed(keypoint_samples.load_people(data), recipe, run)


def refine(run: TrainingRun, data: Path) -> None:
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(10, 15, 5, generator=random)
    known = torch.rand(10, 15, generator=random) < 0.7
    pairs = RefinePairs(inputs, torch.randn(10, 15, 3, generator=random), known)
    run.train(RefineTask(SHIPPED, pairs, RefineRecipe(epochs=4, batch=8, width=8, depth=1)))


TRAINERS: dict[str, Callable[[TrainingRun, Path], None]] = {
    "lifter": lifter,
    "oanet": oanet,
    "keypoints": keypoints,
    "ljof": ljof,
    "movenet": movenet_occlusion,
    "ssf": ssf,
    "hupor": hupor,
    "dsed behind higherhrnet": dsed,
    "dsed behind pifpaf": partial(dsed, recipe=keypoint_samples.PIFPAF),
    "refine": refine,
}


def train(name: str, folder: Path, *, stop: int | None = None, resume: bool = False) -> None:
    """A run that logs every step, and writes a checkpoint after every second one.

    Arguments:
        stop: number of batches before it is stopped.
    """

    def short(*given: object, **options: object) -> object:
        """`loop.train` with other settings, which do not change the result."""
        module, draw, loss, plan, stage_folder = given
        plan = replace(plan, save_every=2, log_every=1, precision="32-true")
        return loop.train(module, draw, loss, plan, stage_folder, **options)

    def batches(*given: object) -> object:
        yield from islice(compute_ahead(*given), stop)
        if stop is not None:
            raise Stopped

    compute_ahead = loop.compute_ahead
    with (
        TemporaryDirectory() as data,
        patch.object(runs, "train", short),
        patch.object(loop, "compute_ahead", batches),
        suppress(Stopped),
    ):
        TRAINERS[name](TrainingRun(folder, resume=resume, progress=False), Path(data))


if __name__ == "__main__":
    parent = Path(sys.argv[1])
    for each in sys.argv[2:] or TRAINERS:
        train(each, parent / "together" / each)
        train(each, parent / "alone_later" / each, stop=STOP)
        train(each, parent / "together_later" / each, resume=True)
