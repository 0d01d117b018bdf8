"""Training of the lifter, from motion capture to a weights file with its card."""

import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from occlupose.datasets.formats.cmu import CARD_DATA, load_clips, split_clips
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.recipe import LifterRecipe, lifter_loss, make_batch
from occlupose.methods.oanet.lifter.weights import load, save
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.synth.noise import SHIPPED, NoiseModel
from occlupose.training import card
from occlupose.training.loop import fingerprint, train


def train_lifter(
    mocap: Path,
    folder: Path,
    recipe: LifterRecipe,
    *,
    init_from: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Trains the 2D and the 3D TCN together on virtual views of motion capture; returns the weights file.

    Arguments:
        mocap: folder with cmu/NN/NN_MM.amc (see `formats.cmu.load_clips`).
        folder: gets last.pt, log.csv, NAME.safetensors and its card NAME.json.
        init_from: initial weights, as `train_lifter` writes them; by default random.
        resume: continue the run in the folder; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: no motion capture there, or only of held-out subjects; initial weights of another size or not
            readable; as `training.loop.train`.
    """
    clips = split_clips(load_clips(mocap))[0]
    noise = NoiseModel.load()
    windows = MocapWindows(clips, recipe.window, recipe.augmentation.speed, recipe.augmentation.still_probability)
    torch.manual_seed(recipe.seed)
    lifter = Lifter(recipe.width, recipe.depth) if init_from is None else load(init_from)
    if (lifter.width, lifter.depth) != (recipe.width, recipe.depth):
        raise OccluposeError(
            f"{init_from}: width {lifter.width}, depth {lifter.depth};"
            " give the same with --recipe.width and --recipe.depth"
        )
    origin = {}
    if init_from is not None:
        origin["begun_with"] = {"name": init_from.name, "sha256": hashlib.sha256(init_from.read_bytes()).hexdigest()}
    identity = fingerprint(clip.joints for clip in clips)
    average = train(
        lifter,
        partial(make_batch, windows, noise, recipe),
        partial(lifter_loss, missing_joint_weight=recipe.missing_joint_weight),
        recipe.optimisation,
        folder,
        recipe=(recipe, origin, identity),
        seed=recipe.seed,
        resume=resume,
        device=device,
        progress=progress,
    )
    path = folder / f"{recipe.name}.safetensors"
    save(average, lifter, path)
    card.write(
        path,
        {mocap: "MOCAP", folder: "FOLDER", init_from: "WEIGHTS"},
        name=recipe.name,
        task="2D joints over time (COCO-17 or H36M-17, any of them missing) to root-relative H36M-17 in metres",
        parameters=sum(value.numel() for value in lifter.parameters()),
        licence="Apache-2.0",
        data=CARD_DATA,
        metrics={},
        recipe=asdict(recipe),
        noise=SHIPPED.name,
        **origin,
    )
    return path
