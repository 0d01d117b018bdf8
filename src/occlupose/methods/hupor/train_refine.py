"""Training of a RefineNet on the output of detector and reasoner for their own training images."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rich.progress import track
from torch import nn

from occlupose.datasets.image_samples import ImageSample
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.predict import HUPORPredictor
from occlupose.methods.hupor.refine import RefinePairs, RefineRecipe, match_people, refine_loss
from occlupose.methods.hupor.train import TASK
from occlupose.training.distributed import share_batches
from occlupose.training.loop import fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, UnreadableImages


@dataclass(frozen=True)
class RefineTask(TrainingTask):
    """Training of a RefineNet for the networks of a weights file.

    Attributes:
        weights: of `train_hupor`; the new file has the same name, and the RefineNet in place of an earlier one.
        pairs: of these networks, with inputs as the recipe's `published` requires.
        described: further entries of the card.

    Raises:
        OccluposeError: fewer than two pairs.
    """

    weights: Path
    pairs: RefinePairs
    recipe: RefineRecipe
    described: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.pairs) < 2:
            raise OccluposeError(
                f"pairs: {len(self.pairs)} detected people match the ground truth; at least 2 are needed"
            )

    @property
    def name(self) -> str:
        return self.weights.stem

    def data(self) -> str:
        return fingerprint([self.pairs.inputs.numpy(), self.pairs.xyz.numpy(), self.pairs.known.numpy()])

    def build(self) -> nn.Module:
        return self.recipe.build()

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        batch = min(self.recipe.batch, len(self.pairs))
        draw = share_batches(partial(self.pairs.draw, batch), batch)
        return [TrainingStage(network, draw, refine_loss, self.recipe.schedule(len(self.pairs)))]

    def save(self, network: nn.Module, path: Path) -> None:
        weights.save(replace(weights.load(self.weights), refiner=network, refiner_recipe=self.recipe), path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        modules = (weights.load(self.weights).networks, network)
        return {
            "task": TASK,
            "parameters": sum(value.numel() for module in modules for value in module.parameters()),
            **self.described,
            "pairs": len(self.pairs),
            "sha256": hashlib.sha256(self.weights.read_bytes()).hexdigest(),
        }


def collect_pairs(
    predictor: HUPORPredictor,
    samples: Iterable[ImageSample],
    *,
    published: bool = False,
    images: UnreadableImages | None = None,
) -> RefinePairs:
    """Detected people with their ground truth: the training data of a RefineNet.

    Arguments:
        samples: those without an image or a camera are skipped.
        published: as for `refine.encode_inputs`.
        images: receives those that cannot be read; by default that is an error.

    Raises:
        OccluposeError: an image cannot be read; nobody was detected.
    """
    images = images or UnreadableImages(strict=True)
    parts = []
    for sample in samples:
        if sample.image is None or sample.camera is None:
            continue
        image = images.read(sample.image, partial(sample.image.read, sample.size))
        if image is not None:
            parts.append(match_people(predictor(image, sample.camera), sample, published=published))
    if not sum(map(len, parts)):
        raise OccluposeError(
            f"{predictor.name}: detects nobody of the data, so that there is nothing to refine; train it longer"
        )
    return RefinePairs.concatenate(parts)


def train_refiner(
    path: Path, samples: Sequence[ImageSample], recipe: RefineRecipe, run: TrainingRun, **described: object
) -> Path:
    """Trains a RefineNet for the networks of a weights file; returns a new weights file of the same name, with the
    RefineNet in place of an earlier one.

    Arguments:
        path: weights of `train_hupor`.
        samples: with depth; those that the networks were trained on.
        described: further entries of the card; `data` and `licence` of the images.

    Raises:
        OccluposeError: as `weights.load`, `collect_pairs` and `TrainingRun.fit`.
    """
    trained = replace(weights.load(path), refiner=None, refiner_recipe=None)
    predictor = HUPORPredictor(trained, device=run.device, name=path.name)
    shown = track(samples, "running the networks", disable=not run.progress)
    pairs = collect_pairs(predictor, shown, published=recipe.published, images=run.images)
    return run.fit(RefineTask(path, pairs, recipe, described))
