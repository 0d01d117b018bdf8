"""Training of OANet's temporal networks, in stages, from motion capture to a weights file with its card."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Generator, nn

from occlupose.datasets.formats.cmu import CARD_DATA, MotionClip, load_clips, split_clips
from occlupose.datasets.formats.pose_folder import load_sequences
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import AdversarialOANet, OANetNetwork, Refinement2D
from occlupose.methods.oanet.recipe import OANetBatch, OANetRecipe, build_batch, loss_2d, loss_3d, sample_observations
from occlupose.methods.oanet.weights import TrainedOANet, save
from occlupose.methods.oanet.windows import MocapWindows, Observations2D, VideoWindows
from occlupose.synth.noise import NoiseModel
from occlupose.training import card
from occlupose.training.loop import Optimisation, Terms, fingerprint, train


def train_stages(
    sample: Callable[[Generator], Observations2D],
    folder: Path,
    recipe: OANetRecipe,
    *,
    data: str = "",
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> OANetNetwork:
    """Trains the 2D TCN, then the 3D TCN on its output, then both together; returns them ready to use.

    Arguments:
        sample: draws the sequences of a step; `make_sampler` builds one.
        folder: gets a subfolder for each stage, with its checkpoint and log.
        data: fingerprint of the data of `sample`; a run is resumed only with the same.
        resume: continue the run in the folder; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: as `training.loop.train`.
    """
    torch.manual_seed(recipe.seed)
    oanet = OANetNetwork(
        recipe.width, recipe.depth, refine=recipe.refine, mask_channel=recipe.mask_channel, dropout=recipe.dropout
    )
    adversarial = AdversarialOANet(oanet)
    loss = partial(loss_3d, recipe=recipe)
    stages: list[tuple[str, nn.Module, Callable[[nn.Module, OANetBatch], Terms], Optimisation]]
    stages = [
        ("stage_3d", adversarial, loss, recipe.stage_3d),
        ("end_to_end", adversarial, partial(loss, end_to_end=True), recipe.end_to_end),
    ]
    if recipe.refine:
        stages.insert(0, ("stage_2d", Refinement2D(oanet), loss_2d, recipe.stage_2d))
    for index, (name, network, stage_loss, optimisation) in enumerate(stages):
        if oanet.tcn_2d is not None:
            oanet.tcn_2d.requires_grad_(name != "stage_3d")
        average = train(
            network,
            lambda generator: build_batch(sample(generator), recipe),
            stage_loss,
            optimisation,
            folder / name,
            recipe=(recipe, data),
            seed=3 * recipe.seed + index,
            resume=resume,
            device=device,
            progress=progress,
        )
        network.load_state_dict(average)
    return oanet.cpu().eval()


def make_sampler(
    clips: list[MotionClip], recipe: OANetRecipe, video: Sequence[PoseSequence] = ()
) -> Callable[[Generator], Observations2D]:
    """A function that draws the sequences of a step: with 3D from the recipe's labelled fraction of the clips, with 2D
    only from the other clips or from video.

    Arguments:
        video: people in real video, in 2D; used instead of the clips without 3D.

    Raises:
        OccluposeError: there are no clips, or a batch has no room for sequences without 3D.
    """
    labelled, unlabelled = split_labelled(clips, recipe.labelled_fraction)
    if recipe.unlabelled_fraction and (video or unlabelled) and not recipe.unlabelled:
        raise OccluposeError(
            f"unlabelled_fraction {recipe.unlabelled_fraction}: leaves no sequence without 3D in a batch of"
            f" {recipe.batch}; give more, or 0 for none"
        )
    without_3d: MocapWindows | VideoWindows | None = None
    if recipe.unlabelled_fraction and video:
        without_3d = VideoWindows(list(video), recipe.window)
    elif recipe.unlabelled_fraction and unlabelled:
        without_3d = MocapWindows(unlabelled, recipe.window)
    return partial(sample_observations, MocapWindows(labelled, recipe.window), without_3d, NoiseModel.load(), recipe)


def split_labelled(clips: list[MotionClip], fraction: float) -> tuple[list[MotionClip], list[MotionClip]]:
    """Clips whose 3D is used, and the others; the choice depends on the names of the clips only."""
    ranked = sorted(clips, key=lambda clip: zlib.crc32(clip.name.encode()))
    count = min(len(ranked), max(1, round(fraction * len(ranked))))
    return ranked[:count], ranked[count:]


def train_oanet(
    data: Path,
    folder: Path,
    recipe: OANetRecipe,
    *,
    video: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Trains on a folder of motion capture and writes weights and card; returns the weights file.

    Arguments:
        data: folder with cmu/NN/NN_MM.amc (see `formats.cmu.load_clips`).
        video: folder of poses files in 2D, as `occlupose run` writes them (see `datasets.pose_folder.load_sequences`).

    Raises:
        OccluposeError: no motion capture there, or only of held-out subjects; as `train_stages`.
    """
    clips = split_clips(load_clips(data))[0]
    video_sequences = [] if video is None else load_sequences(video)
    identity = fingerprint([*(clip.joints for clip in clips), *(sequence.poses.xy for sequence in video_sequences)])
    sampler = make_sampler(clips, recipe, video_sequences)
    oanet = train_stages(sampler, folder, recipe, data=identity, resume=resume, device=device, progress=progress)
    path = folder / f"{recipe.name}.safetensors"
    save(TrainedOANet(oanet, recipe.window, recipe.min_confidence), path)
    card.write(
        path,
        {data: "MOCAP", folder: "FOLDER", video: "VIDEO"},
        name=recipe.name,
        task="2D joints over time (H36M-17, unreliable ones dropped) to root-relative H36M-17 in metres",
        parameters=sum(value.numel() for value in oanet.parameters()),
        licence="Apache-2.0" if video is None else "as the video allows",
        data=CARD_DATA if video is None else f"{CARD_DATA}; 2D of people in video",
        metrics={},
        recipe=asdict(recipe),
    )
    return path
