"""Training of OANet's temporal networks, from motion capture to a weights file with its card."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Generator, nn

from occlupose.datasets.formats.cmu import CARD_DATA, load_clips, split_clips
from occlupose.datasets.formats.pose_folder import load_sequences
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import filmed
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.recipe import OANetRecipe
from occlupose.methods.oanet.weights import header, load, save
from occlupose.synth.noise import SHIPPED
from occlupose.training.loop import Optimisation, fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask

Dataset = Literal["mocap", "h36m", "humaneva"]

STEPS_AT_HIGHER_RATE = 50_000
"""Of each of the first two stages: together the paper's 100,000."""


def _adam(steps: int, learning_rate: float) -> Optimisation:
    """The paper's optimiser: Adam at a constant rate, nothing else."""
    return Optimisation(
        steps=steps,
        learning_rate=learning_rate,
        weight_decay=0.0,
        warm_up_steps=1,
        max_grad_norm=float("inf"),
        ema_decay=0.0,
        milestones=(1.0,),
    )


RECIPES = {
    "paper": OANetRecipe(),
    "published": OANetRecipe(
        depth=4,
        stage_2d=_adam(STEPS_AT_HIGHER_RATE, 1e-3),
        stage_3d=_adam(STEPS_AT_HIGHER_RATE, 1e-3),
        end_to_end=_adam(30_000, 1e-4),
    ),
}
"""The recipes by name. `paper` has our optimisation; `published` has the paper's, and networks that see a whole
window of 128 frames.
"""


@dataclass(frozen=True)
class OANetTask(TrainingTask):
    """Training of OANet's temporal networks.

    Attributes:
        sample: draws the sequences of a step; `recipe.sampler` builds one.
        identity: fingerprint of the data of `sample`.
        video: whether people in video are among the data.
        dataset: what the sequences are of.
    """

    recipe: OANetRecipe
    sample: Callable[[Generator], Any]
    identity: str = ""
    video: bool = False
    dataset: Dataset = "mocap"

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
        licence = "as the video allows" if self.video else "Apache-2.0"
        data = CARD_DATA
        if self.dataset != "mocap":
            licence = "that of the dataset, which is for research only"
            data = filmed.CARD_DATA[self.dataset]
        return {
            "task": "2D joints over time, any of them missing, to root-relative H36M-17 in metres",
            "licence": licence,
            "data": f"{data}; 2D of people in video" if self.video else data,
            "noise": SHIPPED.name,
        }


def train_oanet(
    folder: Path,
    recipe: OANetRecipe,
    run: TrainingRun,
    *,
    dataset: Dataset = "mocap",
    video: Path | None = None,
) -> Path:
    """Trains on a folder of motion capture or of a dataset, and writes weights and card; returns the weights file.

    Arguments:
        folder: cmu/NN/NN_MM.amc (see `datasets.formats.cmu.load_clips`), or the files of Human3.6M or HumanEva-I (see
            `datasets.formats.h36m` and `humaneva`). 2D detections are simulated in all cases.
        dataset: what the folder holds.
        video: folder of poses files in 2D, as `occlupose run` writes them (see
            `datasets.formats.pose_folder.load_sequences`).

    Raises:
        OccluposeError: no motion capture there, or only of held-out subjects; a dataset's file is missing or damaged;
            as `TrainingRun.fit`.
    """
    clips = split_clips(load_clips(folder))[0] if dataset == "mocap" else filmed.load_clips(dataset, folder)
    sequences = [] if video is None else load_sequences(video)
    identity = fingerprint([*(clip.joints for clip in clips), *(sequence.poses.xy for sequence in sequences)])
    sample = recipe.sampler(clips, sequences, own_cameras=dataset != "mocap")
    return run.fit(OANetTask(recipe, sample, identity, bool(sequences), dataset))
