"""Training of the lifter from mocap to a weights file with its card."""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from occlupose import __version__
from occlupose.datasets.cmu import DATA, load_clips, split
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.recipe import Recipe, loss, make_batch
from occlupose.methods.oanet.lifter.weights import load, save
from occlupose.methods.oanet.sequences import Sequences
from occlupose.synth.noise import NoiseModel
from occlupose.training.card import command, commit
from occlupose.training.loop import train


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
        OccluposeError: no mocap there, or none of a subject that is not held out; starting weights of another size or not readable; what
            `training.loop.train` refuses.
    """
    clips, noise = split(load_clips(mocap))[0], NoiseModel.load()
    sequences = Sequences(clips, recipe.window, recipe.views.speed, recipe.views.still)
    torch.manual_seed(recipe.seed)
    lifter = Lifter(recipe.width, recipe.depth) if start is None else load(start)
    if (lifter.width, lifter.depth) != (recipe.width, recipe.depth):
        raise OccluposeError(f"{start}: width {lifter.width}, depth {lifter.depth}; give the same with --recipe.width and --recipe.depth")
    average = train(
        lifter, partial(make_batch, sequences, noise, recipe), partial(loss, hidden=recipe.hidden), recipe.optimisation, folder,
        seed=recipe.seed, resume=resume, device=device, progress=progress,
    )  # fmt: skip
    path = folder / f"{recipe.name}.safetensors"
    save(average, lifter, path)
    card = _card(lifter, recipe) | {"command": command({mocap: "MOCAP", folder: "FOLDER", start: "WEIGHTS"})}
    if start is not None:
        card["begun_with"] = {"name": start.name, "sha256": hashlib.sha256(start.read_bytes()).hexdigest()}
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return path


def _card(lifter: Lifter, recipe: Recipe) -> dict[str, object]:
    return {
        "name": recipe.name, "task": "2D joints over time (COCO-17 or H36M-17, any of them missing) to root-relative H36M-17 in metres",
        "parameters": sum(value.numel() for value in lifter.parameters()), "licence": "Apache-2.0", "data": DATA, "metrics": {},
        "version": __version__, "commit": commit(), "recipe": asdict(recipe),
    }  # fmt: skip
