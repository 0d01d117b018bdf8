"""Training of the lifter from mocap to a weights file with its card."""

import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from occlupose.datasets.cmu import DATA, load_clips, split
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.recipe import Recipe, loss, make_batch
from occlupose.methods.oanet.lifter.weights import load, save
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.synth.noise import NoiseModel
from occlupose.training import card
from occlupose.training.loop import fingerprint, train


def train_lifter(
    mocap: Path,
    folder: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Trains the 2D and the 3D TCN together on virtual views of the mocap; returns the weights file.

    Arguments:
        mocap: folder with cmu/NN/NN_MM.amc (see `datasets.cmu.load_clips`).
        folder: gets last.pt, log.csv, NAME.safetensors and its card NAME.json.
        start: weights to begin with, as `train_lifter` wrote them; by default the networks begin at random.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: no mocap there, or none of a subject that is not held out; starting weights of another size or
            not readable; what `training.loop.train` refuses.
    """
    clips = split(load_clips(mocap))[0]
    noise = NoiseModel.load()
    sequences = MocapWindows(clips, recipe.window, recipe.views.speed, recipe.views.still)
    torch.manual_seed(recipe.seed)
    lifter = Lifter(recipe.width, recipe.depth) if start is None else load(start)
    if (lifter.width, lifter.depth) != (recipe.width, recipe.depth):
        raise OccluposeError(
            f"{start}: width {lifter.width}, depth {lifter.depth}; give the same with --recipe.width and --recipe.depth"
        )
    begun = (
        {}
        if start is None
        else {"begun_with": {"name": start.name, "sha256": hashlib.sha256(start.read_bytes()).hexdigest()}}
    )
    same = fingerprint(clip.joints for clip in clips)
    average = train(
        lifter,
        partial(make_batch, sequences, noise, recipe),
        partial(loss, hidden=recipe.hidden),
        recipe.optimisation,
        folder,
        recipe=(recipe, begun, same),
        seed=recipe.seed,
        resume=resume,
        device=device,
        progress=progress,
    )
    path = folder / f"{recipe.name}.safetensors"
    save(average, lifter, path)
    card.write(
        path,
        {mocap: "MOCAP", folder: "FOLDER", start: "WEIGHTS"},
        name=recipe.name,
        task="2D joints over time (COCO-17 or H36M-17, any of them missing) to root-relative H36M-17 in metres",
        parameters=sum(value.numel() for value in lifter.parameters()),
        licence="Apache-2.0",
        data=DATA,
        metrics={},
        recipe=asdict(recipe),
        **begun,
    )
    return path
