"""Training of OANet's temporal networks, in stages, from mocap to a weights file with its card."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Generator, nn

from occlupose.datasets.cmu import DATA, Clip, load_clips, split
from occlupose.datasets.folder import takes
from occlupose.datasets.take import Take
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import Duel, OANet, Refinement
from occlupose.methods.oanet.recipe import Batch, Recipe, believe, fill_loss, lift_loss, look
from occlupose.methods.oanet.sequences import Footage, Sequences, Sight
from occlupose.methods.oanet.weights import Trained, save
from occlupose.synth.noise import NoiseModel
from occlupose.training import card
from occlupose.training.loop import Optimisation, Terms, fingerprint, train


def train_oanet(
    sights: Callable[[Generator], Sight],
    folder: Path,
    recipe: Recipe,
    *,
    data: str = "",
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> OANet:
    """The 2D TCN, then the 3D TCN on top of it, then both together; ready to use.

    Arguments:
        sights: draws the sequences of a step, as `film` does.
        folder: gets a folder for each stage, with its checkpoint and log.
        data: a fingerprint of what `sights` draws from; a run is resumed only with the same.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: what `training.loop.train` refuses.
    """
    torch.manual_seed(recipe.seed)
    oanet = OANet(
        recipe.width, recipe.depth, refine=recipe.refine, mask_channel=recipe.mask_channel, dropout=recipe.dropout
    )
    duel = Duel(oanet)
    lift = partial(lift_loss, recipe=recipe)
    stages: list[tuple[nn.Module, Callable[[nn.Module, Batch], Terms], Optimisation, str]]
    stages = [(duel, lift, recipe.lift, "lift"), (duel, partial(lift, joint=True), recipe.joint, "joint")]
    if recipe.refine:
        stages.insert(0, (Refinement(oanet), fill_loss, recipe.fill, "fill"))
    for number, (network, loss, optimisation, name) in enumerate(stages):
        if oanet.tcn_2d is not None:
            oanet.tcn_2d.requires_grad_(name != "lift")
        average = train(
            network,
            lambda generator: believe(sights(generator), recipe),
            loss,
            optimisation,
            folder / name,
            recipe=(recipe, data),
            seed=3 * recipe.seed + number,
            resume=resume,
            device=device,
            progress=progress,
        )
        network.load_state_dict(average)
    return oanet.cpu().eval()


def film(clips: list[Clip], recipe: Recipe, video: Sequence[Take] = ()) -> Callable[[Generator], Sight]:
    """What draws the sequences of a step: of the recipe's share of mocap clips the 3D is used, of the others, or of
    video, only the 2D.

    Arguments:
        video: people in real video, in 2D; they stand in for the clips whose 3D is not used.

    Raises:
        OccluposeError: there are no clips, or no room in a batch for what is without 3D.
    """
    solid, flat = divide(clips, recipe.labelled)
    without: Sequences | Footage | None = None
    if recipe.flat and (video or flat) and not recipe.without:
        raise OccluposeError(
            f"flat {recipe.flat}: leaves no sequence without 3D in a batch of {recipe.batch}; give more, or 0 for none"
        )
    if recipe.flat and video:
        without = Footage(list(video), recipe.length)
    elif recipe.flat and flat:
        without = Sequences(flat, recipe.length)
    return partial(look, Sequences(solid, recipe.length), without, NoiseModel.load(), recipe)


def divide(clips: list[Clip], labelled: float) -> tuple[list[Clip], list[Clip]]:
    """Clips whose 3D is used, and the others; a clip's name alone decides its place in the queue."""
    queue = sorted(clips, key=lambda clip: zlib.crc32(clip.name.encode()))
    count = min(len(queue), max(1, round(labelled * len(queue))))
    return queue[:count], queue[count:]


def train_to_file(
    data: Path,
    folder: Path,
    recipe: Recipe,
    *,
    video: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Trains on a folder of mocap and writes weights and card; returns the weights file.

    Arguments:
        data: folder with cmu/NN/NN_MM.amc (see `datasets.cmu.load_clips`).
        video: folder of poses files in 2D, as `occlupose run` writes them (see `datasets.folder.takes`).

    Raises:
        OccluposeError: no mocap there, or none of a subject that is not held out; what `train_oanet` refuses.
    """
    clips = split(load_clips(data))[0]
    filmed = [] if video is None else takes(video)
    same = fingerprint([*(clip.joints for clip in clips), *(take.poses.xy for take in filmed)])
    oanet = train_oanet(
        film(clips, recipe, filmed), folder, recipe, data=same, resume=resume, device=device, progress=progress
    )
    path = folder / f"{recipe.name}.safetensors"
    save(Trained(oanet, recipe.length, recipe.least), path)
    card.write(
        path,
        {data: "MOCAP", folder: "FOLDER", video: "VIDEO"},
        name=recipe.name,
        task="2D joints over time (H36M-17, unreliable ones dropped) to root-relative H36M-17 in metres",
        parameters=sum(value.numel() for value in oanet.parameters()),
        licence="Apache-2.0" if video is None else "as the video allows",
        data=DATA if video is None else f"{DATA}; 2D of people in video",
        metrics={},
        recipe=asdict(recipe),
    )
    return path
