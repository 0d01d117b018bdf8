"""OANet's 2D keypoint network: a stacked hourglass whose heatmap of an occluded joint is zero (section 3.1, eq. 1).

The network, its sigmoid heatmaps, the zero heatmap of an occluded joint and the loss are the paper's. The paper starts
from a network trained on COCO (initial weights) and does not state the augmentation; that, the schedule and the
optimiser are ours.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float, UInt8
from torch import Generator, Tensor, nn

from occlupose.bounds import Bounded, Count, Fraction, Rotation, Seed
from occlupose.codecs.crops import Crop, radius
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.datasets.annotations import Annotations, PersonAnnotation
from occlupose.datasets.augmentation import crop_people
from occlupose.datasets.formats.coco import load
from occlupose.errors import OccluposeError
from occlupose.networks.hourglass import STRIDE, StackedHourglass, save
from occlupose.networks.hourglass import load as load_network
from occlupose.skeletons import Skeleton
from occlupose.training.distributed import Process, batch_count
from occlupose.training.loop import Optimisation, Terms
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask


@dataclass(frozen=True)
class KeypointRecipe(Bounded):
    """Configuration of a training run of the 2D keypoint network.

    Raises:
        OccluposeError: a network that cannot be built or does not fit the crop; augmentation out of its range.
    """

    name: str = "oanet_keypoints"
    stacks: Count = 2
    width: Annotated[int, Interval(ge=4)] = 256
    depth: Count = 4
    crop: Crop = field(default_factory=Crop)
    batch: Count = 16
    flip_probability: Fraction = 0.5
    """Probability of a horizontal flip."""
    scale: Annotated[float, Interval(ge=0, le=0.9)] = 0.25
    """Largest relative change of a person's size (as Newell et al.)."""
    rotation: Rotation = 30.0
    """Largest rotation of a person, degrees (as Newell et al.)."""
    optimisation: Optimisation = field(
        default_factory=lambda: Optimisation(steps=100_000, learning_rate=5e-4, warm_up_steps=1000, max_grad_norm=0.1)
    )
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        unit = STRIDE * 2**self.depth
        if self.crop.width % unit or self.crop.height % unit:
            size = f"crop {self.crop.width} x {self.crop.height}"
            raise OccluposeError(f"{size}: at depth {self.depth} its sides must be multiples of {unit}")

    @property
    def codec(self) -> Heatmaps:
        """Encoder and decoder of the heatmaps."""
        return Heatmaps(self.crop, STRIDE)


RECIPES = {"default": KeypointRecipe()}


@dataclass
class KeypointBatch:
    """Network input and target heatmaps."""

    images: UInt8[Tensor, "batch height width 3"]
    maps: Float[Tensor, "batch joint y x"]
    weight: Float[Tensor, "batch joint"]
    """1 where a joint is annotated, visible or occluded; 0 elsewhere."""


@dataclass(frozen=True)
class CropTransform:
    """Augmentation of one person's crop.

    Attributes:
        flip: left and right exchanged.
        scale: factor of the person's size in the crop.
        rotation: radians.
    """

    flip: bool = False
    scale: float = 1.0
    rotation: float = 0.0


class KeypointSampler:
    """Draws batches of people uniformly; augments, crops and encodes them.

    Arguments:
        share: this process's part of every batch.
        threads: threads that read images; they do not affect what is drawn.
    """

    def __init__(
        self, data: Annotations, recipe: KeypointRecipe, *, share: slice = slice(None), threads: int = 4
    ) -> None:
        self.data = data
        self.recipe = recipe
        self.share = share
        self.threads = threads

    def draw(self, generator: Generator) -> KeypointBatch:
        """This process's share of the batch of a step."""
        recipe = self.recipe
        chosen = torch.randint(len(self.data.people), (recipe.batch,), generator=generator)[self.share].tolist()
        random = torch.rand(3, recipe.batch, dtype=torch.float64, generator=generator)
        flip, scale, rotation = random[:, self.share]
        transforms = map(
            CropTransform,
            (flip < recipe.flip_probability).tolist(),
            (1 + recipe.scale * (2 * scale - 1)).tolist(),
            torch.deg2rad(recipe.rotation * (2 * rotation - 1)).tolist(),
        )
        people = [self.data.people[index] for index in chosen]
        make = partial(make_sample, skeleton=self.data.skeleton, codec=recipe.codec)
        with ThreadPoolExecutor(self.threads) as workers:
            samples = list(workers.map(make, people, transforms))
        return KeypointBatch(*(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)))


def make_sample(
    person: PersonAnnotation, transform: CropTransform, *, skeleton: Skeleton, codec: Heatmaps
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "joint y x"], Float[np.ndarray, "joint"]]:
    """The augmented crop of one person, the target heatmaps, and the weight of each.

    Raises:
        OccluposeError: the image cannot be read.
    """
    crop = codec.crop
    region = crop.regions(person.box[None])
    top = radius(region) / transform.scale * np.array([np.sin(transform.rotation), -np.cos(transform.rotation)])
    rotated = np.concatenate([region[0, :2], region[0, :2] + top])
    sample = crop_people([person], [person.read()], crop, skeleton, rotated[None], np.array([transform.flip]))
    return sample.images[0], *codec.encode(sample.xy[0], sample.state[0])


def keypoint_loss(network: nn.Module, batch: KeypointBatch) -> Terms:
    """OANet eq. 1, a term per stack: squared difference from the target heatmaps, which are zero for occluded joints.

    The paper sums over joints; this is the mean over the cells of annotated joints, which has the same optimum.
    """
    stacks = enumerate(network(batch.images), start=1)
    return {f"stack {number}": heatmap_loss(maps, batch.maps, batch.weight) for number, maps in stacks}


def heatmap_loss(
    maps: Float[Tensor, "batch joint y x"],
    target: Float[Tensor, "batch joint y x"],
    weight: Float[Tensor, "batch joint"],
) -> Float[Tensor, ""]:
    """Mean squared difference of heatmaps over the cells of weighted joints."""
    return (weight * ((maps - target) ** 2).mean((-2, -1))).sum() / batch_count(weight.sum())


@dataclass(frozen=True)
class KeypointTask(TrainingTask):
    """Training of the 2D keypoint network on annotated people, whose joints become those of the network."""

    annotations: Annotations
    recipe: KeypointRecipe

    def data(self) -> dict[str, object]:
        return self.annotations.describe()

    def build(self) -> StackedHourglass:
        recipe = self.recipe
        joints = len(self.annotations.skeleton)
        return StackedHourglass(joints, stacks=recipe.stacks, width=recipe.width, depth=recipe.depth)

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, StackedHourglass)
        initial, skeleton, _ = load_network(path)
        sizes = [f"{len(each.stacks)} stacks, width {each.width}, depth {each.depth}" for each in (initial, network)]
        if sizes[0] != sizes[1]:
            raise OccluposeError(f"{path}: {sizes[0]} instead of {sizes[1]}; give weights that fit the recipe")
        own = self.annotations.skeleton
        shared = [joint for joint in own.joints if joint in skeleton.joints]
        network.start_from(initial, own.index(*shared), skeleton.index(*shared))
        return path.name

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        share = Process.current().share(self.recipe.batch)
        sampler = KeypointSampler(self.annotations, self.recipe, share=share)
        return [TrainingStage(network, sampler.draw, keypoint_loss, self.recipe.optimisation)]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, StackedHourglass)
        save(network.state_dict(), network, self.annotations.skeleton, self.recipe.crop, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        joints = self.annotations.skeleton.name
        return {
            "task": f"crop of one person to heatmaps of {joints}, zero where a joint is occluded",
            "licence": "that of its images and annotations",
            "data": self.data(),
        }


def train_keypoints(annotations: Path, images: Path, recipe: KeypointRecipe, run: TrainingRun) -> Path:
    """Trains the 2D keypoint network on annotated images; returns the weights file.

    Arguments:
        annotations: in COCO's keypoint format, with v of each joint (`formats.coco.load`).
        images: folder of the images.

    Raises:
        OccluposeError: annotations or images that cannot be used; as `TrainingRun.fit`.
    """
    return run.fit(KeypointTask(load(annotations, images, all_images=True), recipe))
