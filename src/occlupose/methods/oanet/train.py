"""Training of OANet's temporal networks, in stages."""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Generator, nn

from occlupose.datasets.cmu import Clip
from occlupose.methods.oanet.network import Duel, OANet, Refinement
from occlupose.methods.oanet.recipe import Batch, Recipe, Sight, believe, fill_loss, lift_loss, look
from occlupose.methods.oanet.sequences import Sequences
from occlupose.synth.noise import NoiseModel
from occlupose.training.loop import Optimisation, Terms, train


def train_oanet(
    sights: Callable[[Generator], Sight],
    folder: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> OANet:
    """The 2D TCN, then the 3D TCN on top of it, then both together; ready to use.

    Arguments:
        sights: draws the sequences of a step, as `film` does.
        folder: gets a folder for each stage, with its checkpoint and log.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: what `training.loop.train` refuses.
    """
    torch.manual_seed(recipe.seed)
    oanet = OANet(recipe.width, recipe.depth, refine=recipe.refine, mask_channel=recipe.mask_channel, dropout=recipe.dropout)
    duel, lift = Duel(oanet), partial(lift_loss, recipe=recipe)
    stages: list[tuple[nn.Module, Callable[[nn.Module, Batch], Terms], Optimisation, str]]
    stages = [(duel, lift, recipe.lift, "lift"), (duel, partial(lift, joint=True), recipe.joint, "joint")]
    if recipe.refine:
        stages.insert(0, (Refinement(oanet), fill_loss, recipe.fill, "fill"))
    for number, (network, loss, optimisation, name) in enumerate(stages):
        if oanet.tcn_2d is not None:
            oanet.tcn_2d.requires_grad_(name != "lift")
        average = train(
            network, lambda generator: believe(sights(generator), recipe), loss, optimisation, folder / name,
            seed=3 * recipe.seed + number, resume=resume, device=device, progress=progress,
        )  # fmt: skip
        network.load_state_dict(average)
    return oanet.cpu().eval()


def film(clips: list[Clip], recipe: Recipe) -> Callable[[Generator], Sight]:
    """What draws the sequences of a step from mocap: the 3D of the recipe's share of clips is used, of the others only the 2D.

    Raises:
        OccluposeError: there are no clips.
    """
    solid, flat = divide(clips, recipe.labelled)
    without = Sequences(flat, recipe.length) if flat and recipe.flat else None
    return partial(look, Sequences(solid, recipe.length), without, NoiseModel.load(), recipe)


def divide(clips: list[Clip], labelled: float) -> tuple[list[Clip], list[Clip]]:
    """Clips whose 3D is used, and the others; a clip's name alone decides its place in the queue."""
    queue = sorted(clips, key=lambda clip: zlib.crc32(clip.name.encode()))
    count = max(1, round(labelled * len(queue))) if queue else 0
    return queue[:count], queue[count:]
