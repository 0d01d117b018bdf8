"""The runs of LJOF's claims (docs/evidence.md, claim B): blocks, random erasing of equal area, and the structure loss.

    occlupose synth --scenes 20000 --seed 51 --people 1 6 --size 384 288 --shard 200 -o TRAIN
    occlupose synth --scenes 3000 --seed 52 --people 1 1 --occluders 0 --size 384 288 --shard 200 -o ALONE
    occlupose synth --scenes 1000 --seed 53 --people 2 6 --size 384 288 --shard 200 -o CROWD

Two networks. `movenet_head`: feature pyramid and head of MoveNet Thunder, trained further on its frozen backbone, so
that many runs are possible; the pyramid sees the whole crop. `hrnet_small`: a whole network, trained from random
weights; the arms "none, a quarter" and "none, half" are its learning curve. People to train on hide each other and
stand behind objects, as in COCO.

Scored in the true boxes: the share, in percent, of the visible and of the hidden joints that are found, within a
tenth of the height of the box, and the mean similarity (OKS) of all.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps
from occlupose.datasets.annotations import Annotations, PersonAnnotation
from occlupose.datasets.augmentation import TopDownAugmentation, make_topdown_batch
from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats.coco import load
from occlupose.methods.ljof.recipe import LJOFRecipe, StructureTerm, published
from occlupose.methods.ljof.schedules import Step
from occlupose.methods.ljof.train import LJOFSampler, LJOFTask
from occlupose.methods.movenet.train import thunder
from occlupose.networks.estimators import MEAN, STD, normalise_images
from occlupose.networks.movenet import SCALE
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17
from occlupose.threads import opencv_on_one_thread
from occlupose.training.run import TrainingRun

Size = Literal["small", "tiny", "published"]
Network = Literal["movenet_head", "hrnet_small"]
Row = tuple[str, int, str, str, str, float, float]
Parts = tuple[LimbBlocks | None, StructureTerm | None, float]
"""Blocks, structure loss, and the share of the training's length."""

NEAR = 0.1
"""Heights of the box within which a joint is found."""
UNITS = 100
"""Groups of images."""
CACHE_BYTES = 2 * 2**30
SCORED_AT_ONCE = 32

BOX = LimbBlocks(relative_to="box")
ERASING = LimbBlocks(relative_to="box", placement="anywhere")


def dsl(weight: float, at: float = 0.5) -> StructureTerm:
    """The structure loss with a step at a fraction of the training."""
    return StructureTerm("limbs", Step(at, weight))


HEAD_ARMS: dict[str, Parts] = {
    "none": (None, None, 1.0),
    "LJA": (BOX, None, 1.0),
    "random erasing": (ERASING, None, 1.0),
    "LJA + DSL 0.1": (BOX, dsl(0.1), 1.0),
}
ARMS: dict[str, Parts] = {
    **HEAD_ARMS,
    "none, a quarter": (None, None, 0.25),
    "none, half": (None, None, 0.5),
}
FURTHER: dict[str, Parts] = {
    "LJA, blocks of the crop": (LimbBlocks(), None, 1.0),
    "LJA + DSL 0.01": (BOX, dsl(0.01), 1.0),
    "LJA + DSL 0.03": (BOX, dsl(0.03), 1.0),
    "LJA + DSL 0.3": (BOX, dsl(0.3), 1.0),
    "LJA + DSL 0.5": (BOX, dsl(0.5), 1.0),
    "LJA + DSL 0.1, late": (BOX, dsl(0.1, 170 / 210), 1.0),
}
"""The other reading of the frame of blocks, and a sweep of the weight of the structure loss."""

TABLE_7: dict[str, Parts] = {
    f"LJA, number {number:.2f}, size {size:.2f}": (LimbBlocks(number, size, relative_to="box"), None, 1.0)
    for number in (0.15, 0.20, 0.25, 0.30)
    for size in (0.10, 0.20)
    if (number, size) != (BOX.joint_share, BOX.size)  # that is LJA
}
"""The paper's own grid."""

PEOPLE: dict[Size, dict[Network, int]] = {
    "small": {"movenet_head": 16_000, "hrnet_small": 200_000},
    "tiny": {"movenet_head": 32, "hrnet_small": 64},
    "published": {"movenet_head": 210 * 149_813, "hrnet_small": 210 * 149_813},
}
"""People that a run draws, one after the other. Small: 20 minutes on one core for a head, an hour for an HRNet, which
is continued where it was stopped.
"""


class MoveNetHead(nn.Module):
    """Heatmaps of MoveNet Thunder, 0 to 1; the feature pyramid and the head of heatmaps are trained."""

    def __init__(self) -> None:
        super().__init__()
        network = thunder()
        self.backbone = network.backbone.requires_grad_(False)
        self.pyramid = network.pyramid
        self.head = network.heads["heatmap"]
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heatmaps of images as `normalise_images` makes them."""
        with torch.no_grad():
            features = self.backbone(255 * SCALE * (images * self.std + self.mean) - 1)
        return [self.head(self.pyramid(features)).sigmoid()]


@dataclass(frozen=True)
class HeadTask(LJOFTask):
    """Training of the head."""

    def build(self) -> nn.Module:
        return MoveNetHead()


MILD = TopDownAugmentation(half_body_probability=0.0, scale=(0.75, 1.25), rotation=30.0)


def recipe_of(network: Network) -> LJOFRecipe:
    """What all arms share."""
    recipe = published("hrnet_small").without_ljof()
    if network == "hrnet_small":
        return replace(recipe, augmentation=MILD, milestones=(170 / 210, 200 / 210))
    return replace(
        recipe,
        crop=Crop(256, 256, grid="corners"),
        sigma=2.0,
        augmentation=MILD,
        batch=16,
        learning_rate=1e-3,
        scale_rate=False,
        milestones=(170 / 210, 200 / 210),
    )


@dataclass(frozen=True)
class Bench:
    """Where the data and the runs are, and how large they are.

    Attributes:
        train, isolated, crowded: folders of synthetic people.
        runs: folder of the training runs.
        device: torch device.
    """

    network: Network
    train: Path
    isolated: Path
    crowded: Path
    runs: Path
    size: Size = "small"
    device: str = "cpu"

    @cached_property
    def people(self) -> Annotations:
        """The people to train on."""
        return annotations(self.train)

    def recipe(self, arm: str, seed: int) -> LJOFRecipe:
        """The recipe of a run."""
        blocks, structure, length = (ARMS | FURTHER | TABLE_7)[arm]
        draws = length * PEOPLE[self.size][self.network]
        epochs = draws / len(self.people.people)
        return replace(recipe_of(self.network), blocks=blocks, structure=structure, epochs=epochs, seed=seed)

    def run(self, arm: str, seed: int) -> list[Row]:
        """Trains and scores an arm; a stopped run is continued."""
        recipe = self.recipe(arm, seed)
        folder = self.runs / f"{self.network} {arm} {self.size} {seed}"
        run = TrainingRun(folder, resume=True, progress=False, device=self.device, say=lambda line: None)
        sampler = LJOFSampler(self.people, recipe, images=run.images, cache_bytes=CACHE_BYTES)
        kind = HeadTask if self.network == "movenet_head" else LJOFTask
        with opencv_on_one_thread():
            network = run.train(kind(self.people, recipe, sampler))
        conditions = {"isolated": self.isolated, "crowded": self.crowded}
        return [
            (arm, seed, condition, *scores)
            for condition, place in conditions.items()
            for scores in score(network, recipe.maps(), annotations(place).people)
        ]


def annotations(folder: Path) -> Annotations:
    """The people of a dataset."""
    paths = find_dataset(folder)
    return load(paths.annotations, paths.images)


@torch.inference_mode()
def score(
    network: nn.Module, maps: GaussianMaps, people: list[PersonAnnotation] | tuple[PersonAnnotation, ...]
) -> list[tuple[str, str, float, float]]:
    """Metric, unit, sum and count over the people of each group of images."""
    sums: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(2))
    network.eval()
    for first in range(0, len(people), SCORED_AT_ONCE):
        part = people[first : first + SCORED_AT_ONCE]
        batch = make_topdown_batch(part, [Pyramid(person.read()) for person in part], maps.crop, COCO17)
        xy, _ = maps.decode(network(normalise_images(torch.from_numpy(batch.images)))[-1].float())
        height = batch.boxes[:, 3] - batch.boxes[:, 1]
        off = np.linalg.norm(np.asarray(xy) - batch.xy, axis=-1) / height[:, None]
        for person, (distance, state) in enumerate(zip(off, batch.state, strict=True)):
            for metric, values in _metrics(part[person], distance, state, height[person]).items():
                unit = f"{int(part[person].image_id or 0) % UNITS:02}"
                sums[metric, unit] += (values.sum(), values.size)
    return [(metric, unit, *total.tolist()) for (metric, unit), total in sorted(sums.items())]


def _metrics(person: PersonAnnotation, distance: np.ndarray, state: np.ndarray, height: float) -> dict[str, Any]:
    """Percentages, one a joint; the similarity, one a person."""
    scale = (person.box[3] - person.box[1]) / height
    area = person.area or float(np.prod(person.box[2:] - person.box[:2]))
    variance = 2 * (2 * np.array(COCO17.sigmas)) ** 2 * area
    similarity = np.exp(-((distance * height * scale) ** 2) / variance)[state > 0]
    return {
        "visible": 100.0 * (distance[state == VISIBLE] < NEAR),
        "hidden": 100.0 * (distance[state == OCCLUDED] < NEAR),
        "oks": 100 * similarity.mean(keepdims=True) if similarity.size else similarity,
    }
