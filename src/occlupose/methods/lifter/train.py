"""Training of the lifter, from motion capture to a weights file with its card."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import nn

from occlupose.bounds import Bounded, Count, Positive, Seed
from occlupose.datasets.formats import mocap_clips
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.augmentation import BodyAugmentation
from occlupose.methods.lifter.losses import LifterTraining
from occlupose.methods.lifter.motions import FPS, LentMotion, identify, load_motions
from occlupose.methods.lifter.network import LifterNetwork, load, save
from occlupose.methods.lifter.samples import LifterSamples, SequenceSettings
from occlupose.synth import noise
from occlupose.synth.noise import NoiseModel
from occlupose.training.distributed import main_first, share_batches
from occlupose.training.loop import Optimisation, all_parameters
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, forward

NOISES = (noise.SHIPPED, noise.SHIPPED.with_name("movenet_occlusion_noise.json"))
"""Noise of the front ends that the lifter gets to know."""


@dataclass(frozen=True)
class LifterRecipe(Bounded):
    """Configuration of a training run of the lifter."""

    name: str = "lifter"
    width: Count = 320
    """Channels of the transformer."""
    depth: Count = 3
    """Layers of its encoder."""
    batch: Count = 40
    samples: SequenceSettings = field(default_factory=SequenceSettings)
    optimisation: Optimisation = field(
        default_factory=lambda: Optimisation(steps=14_000, learning_rate=8e-4, weight_decay=0.01, warm_up_steps=500)
    )
    muon: Positive | None = None
    """Factor of the learning rate of the transformer's matrices, which are trained with Muon; None: with AdamW."""
    sized_until: Count = 9_000
    """Step from which errors are measured without that of the person's size."""
    only_covariances: bool = False
    """Train only how certain the answers are; the answers stay."""
    seed: Seed = 0


LONG = LifterRecipe(
    batch=18,
    samples=SequenceSettings(frames=72, rate=(10.0, 60.0), longest_gap=48, self_occlusion_probability=0.5),
    optimisation=Optimisation(steps=5_000, learning_rate=5e-4, weight_decay=0.01, warm_up_steps=200),
    muon=3.0,
    sized_until=1,
    seed=2,
)

CERTAINTY = LifterRecipe(
    batch=20,
    samples=SequenceSettings(
        frames=96,
        rate=(12.0, 60.0),
        longest_gap=48,
        captured_probability=0.85,
        self_occlusion_probability=0.5,
        border_probability=0.1,
        augmentation=BodyAugmentation(
            bone_scale=0.03,
            distance=(1.8, 10.0),
            elevation=(-20.0, 50.0),
            roll=6.0,
            speed=(0.9, 1.15),
            arm_exchange_probability=0.05,
            bend_probability=0.1,
            tumble_probability=0.02,
            wrong_focal_probability=0.0,
        ),
    ),
    optimisation=Optimisation(steps=2_000, learning_rate=1e-3, weight_decay=0.0, warm_up_steps=100),
    only_covariances=True,
    seed=3,
)
"""People as they mostly are, adults before known cameras, so that covariances fit them."""

RECIPES = {
    "shipped": LifterRecipe(),
    "continued": LifterRecipe(
        samples=SequenceSettings(self_occlusion_probability=0.5),
        optimisation=Optimisation(steps=6_000, learning_rate=4e-4, weight_decay=0.01),
        sized_until=1,
        seed=1,
    ),
    "long": LONG,
    "certainty": CERTAINTY,
    "unaware": replace(LONG, name="lifter_unaware", samples=replace(LONG.samples, aware=False)),
}
"""Recipes of a training from the start, of a second one that continues it, of a third one with longer sequences and
gaps, and of the covariances alone, as the shipped weights were trained one after the other; and of a baseline of the
third one, without missing joints.
"""


def parameter_groups(training: nn.Module, muon: float | None) -> list[dict[str, Any]]:
    """All parameters; with Muon, the matrices of the layers and of what joins encoder and decoder by themselves."""
    if muon is None:
        return all_parameters(training)
    inner = ("encoder.", "decoder.", "join.")
    named = {
        name: parameter.ndim == 2 and any(f"transformer.{part}" in name for part in inner)
        for name, parameter in training.named_parameters()
    }
    parameters = dict(training.named_parameters())
    return [
        {"params": [parameters[name] for name, is_inner in named.items() if not is_inner]},
        {"params": [parameters[name] for name, is_inner in named.items() if is_inner], "muon": True, "scale": muon},
    ]


@dataclass(frozen=True)
class LifterTask(TrainingTask):
    """Training of the lifter on motions."""

    recipe: LifterRecipe
    motions: Sequence[LentMotion]

    @cached_property
    def used(self) -> list[LentMotion]:
        """The motions that are not held out."""
        return [motion for motion in self.motions if not motion.held_out]

    def about(self) -> str:
        seconds = sum(motion.joints.shape[1] for motion in self.used) / FPS
        return f"{len(self.used)} clips, {seconds:.0f} s; held out: {len(self.motions) - len(self.used)} clips"

    def data(self) -> object:
        return {"clips": len(self.used), "motions": identify(self.used)}

    def build(self) -> LifterNetwork:
        return LifterNetwork(self.recipe.width, self.recipe.depth)

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, LifterNetwork)
        initial = load(path)
        if (initial.width, initial.depth) != (network.width, network.depth):
            raise OccluposeError(
                f"{path}: width {initial.width} and depth {initial.depth} instead of {network.width} and"
                f" {network.depth}; give weights that fit the recipe"
            )
        network.load_state_dict(initial.state_dict())
        return path.name

    def stages(self, network: nn.Module) -> Iterable[TrainingStage]:
        noises = [NoiseModel.load(path) for path in NOISES]
        batch = self.recipe.batch
        sample = share_batches(LifterSamples(self.motions, noises, self.recipe.samples, batch), batch)
        assert isinstance(network, LifterNetwork)
        options = {"only_covariances": self.recipe.only_covariances}
        training = LifterTraining(network, self.recipe.sized_until, **options)
        groups = partial(parameter_groups, muon=self.recipe.muon)
        return [TrainingStage(training, sample, forward, self.recipe.optimisation, parameter_groups=groups)]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, LifterNetwork)
        save(network.state_dict(), network, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": "2D joints over time, any of them missing or guessed, to H36M-17 in metres with covariances",
            "licence": "Apache-2.0",
            "data": mocap_clips.CREDIT,
            "training_data": self.data(),
            "noise": [path.name for path in NOISES],
        }


def train_lifter(mocap: Path, recipe: LifterRecipe, run: TrainingRun, *, data: Path) -> Path:
    """Trains on a folder of motion capture and writes weights and card; returns the weights file.

    Arguments:
        mocap: folder as for `mocap_clips.load_labelled_clips`.
        data: folder for the motions that are made from it, so that runs may share them.

    Raises:
        OccluposeError: no motion capture there; as `TrainingRun.fit`.
    """
    with main_first():
        motions = load_motions(mocap, data)
    return run.fit(LifterTask(recipe, motions))
