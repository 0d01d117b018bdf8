"""Training of OANet's temporal networks, from motion capture to a weights file with its card."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Generator, nn

from occlupose.datasets.formats.cmu import CARD_DATA, load_clips, split_clips
from occlupose.datasets.formats.pose_folder import load_sequences
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.recipe import OANetRecipe
from occlupose.methods.oanet.weights import header, load, save
from occlupose.synth.noise import SHIPPED
from occlupose.training.loop import fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask

RECIPES = {"paper": OANetRecipe()}
"""The recipes by name."""


@dataclass(frozen=True)
class OANetTask(TrainingTask):
    """Training of OANet's temporal networks.

    Attributes:
        sample: draws the sequences of a step; `recipe.sampler` builds one.
        identity: fingerprint of the data of `sample`.
        video: whether people in video are among the data.
    """

    recipe: OANetRecipe
    sample: Callable[[Generator], Any]
    identity: str = ""
    video: bool = False

    def data(self) -> str:
        return self.identity

    def build(self) -> OANetNetwork:
        return self.recipe.network()

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, OANetNetwork)
        initial = load(path)
        given = header(initial)
        wanted = header(network)
        names = [name for name in wanted if name not in ("length", "least") and given[name] != wanted[name]]
        if names:
            wrong = ", ".join(f"{name} {given[name]} instead of {wanted[name]}" for name in names)
            raise OccluposeError(f"{path}: {wrong}; give weights that fit the recipe")
        network.load_state_dict(initial.state_dict())
        return path.name

    def stages(self, network: nn.Module) -> Iterable[TrainingStage]:
        assert isinstance(network, OANetNetwork)
        return self.recipe.stages(network, self.sample)

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, OANetNetwork)
        save(network.state_dict(), network, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": "2D joints over time, any of them missing, to root-relative H36M-17 in metres",
            "licence": "as the video allows" if self.video else "Apache-2.0",
            "data": f"{CARD_DATA}; 2D of people in video" if self.video else CARD_DATA,
            "noise": SHIPPED.name,
        }


def train_oanet(mocap: Path, recipe: OANetRecipe, run: TrainingRun, *, video: Path | None = None) -> Path:
    """Trains on a folder of motion capture and writes weights and card; returns the weights file.

    Arguments:
        mocap: folder with cmu/NN/NN_MM.amc (see `datasets.formats.cmu.load_clips`).
        video: folder of poses files in 2D, as `occlupose run` writes them (see
            `datasets.formats.pose_folder.load_sequences`).

    Raises:
        OccluposeError: no motion capture there, or only of held-out subjects; as `TrainingRun.fit`.
    """
    clips = split_clips(load_clips(mocap))[0]
    sequences = [] if video is None else load_sequences(video)
    identity = fingerprint([*(clip.joints for clip in clips), *(sequence.poses.xy for sequence in sequences)])
    return run.fit(OANetTask(recipe, recipe.sampler(clips, sequences), identity, bool(sequences)))
