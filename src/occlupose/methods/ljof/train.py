"""LJOF's training (arXiv 2410.09885): augmented crops of people, blocks on their limb joints (LJA), and a structure
loss whose weight grows (DSL).

Inference costs nothing more: the trained network is the estimator itself.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor, nn

from occlupose.codecs.maps import pool_maps
from occlupose.datasets.annotations import Annotations, PersonAnnotation
from occlupose.datasets.augmentation import TopDownAugmentation, make_topdown_batch
from occlupose.datasets.images import CACHE_BYTES, ImageCache
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.losses import DynamicStructureLoss, heatmap_loss
from occlupose.methods.ljof.recipe import LJOFRecipe
from occlupose.networks.estimators import EstimatorDesign, load_initial_weights, normalise_images, save
from occlupose.networks.vitpose import ViTPose, layer_index
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton
from occlupose.threads import opencv_on_one_thread
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, all_parameters
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, UnreadableImages, forward

THREADS = 4
"""Threads that read images."""


@dataclass
class LJOFBatch:
    """Crops of people and their joints."""

    images: UInt8[Tensor, "batch height width 3"]
    xy: Float[Tensor, "batch joint 2"]
    weight: Float[Tensor, "batch joint"]
    """1 where a joint is annotated, visible or occluded; 0 elsewhere."""


class LJOFSampler:
    """Draws batches of people uniformly, augments them, and puts blocks on their limb joints.

    The random numbers of a person depend neither on the others in the batch nor on the number of processes. Images that
    cannot be read are replaced by others.

    Arguments:
        share: this process's part of every batch.
        images: receives those that cannot be read.
        cache_bytes: size of the cache of decoded images, in bytes.
    """

    def __init__(
        self,
        data: Annotations,
        recipe: LJOFRecipe,
        *,
        share: slice = slice(None),
        images: UnreadableImages | None = None,
        cache_bytes: int = CACHE_BYTES,
        threads: int = THREADS,
    ) -> None:
        self.data = data
        self.recipe = recipe
        self.share = share
        self.images = images or UnreadableImages()
        self._cache = ImageCache(cache_bytes)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="images")

    def draw(self, generator: Generator) -> LJOFBatch:
        """This process's share of the batch of a step."""
        recipe = self.recipe
        skeleton = self.data.skeleton
        blocks = recipe.blocks
        indices = torch.randint(len(self.data.people), (recipe.batch,), generator=generator)[self.share].tolist()
        augmentation_numbers = self._uniform(TopDownAugmentation.random_numbers, generator)
        seed = int(torch.randint(2**62, (), generator=generator))  # drawn also without blocks: the same people follow
        of_blocks = Generator().manual_seed(seed)
        block_numbers = self._uniform(0 if blocks is None else blocks.random_count(skeleton), of_blocks)
        people, pyramids = zip(*self._readable(indices), strict=True)
        crops = make_topdown_batch(people, pyramids, recipe.crop, skeleton, recipe.augmentation, augmentation_numbers)
        images = crops.images
        if blocks is not None:
            images, _ = blocks.cover_images(images, crops.xy, crops.state, skeleton, block_numbers, crops.boxes)
        weight = torch.from_numpy(crops.state != ABSENT).float()
        return LJOFBatch(torch.from_numpy(images), torch.from_numpy(crops.xy).float(), weight)

    def _uniform(self, count: int, generator: Generator) -> Float[np.ndarray, "person count"]:
        """Uniform random numbers for the people of this process."""
        numbers = torch.rand(self.recipe.batch, count, dtype=torch.float64, generator=generator)
        return numbers[self.share].numpy()

    def _readable(self, indices: Sequence[int]) -> list[tuple[PersonAnnotation, Pyramid]]:
        """These people and their images; those that are not cached are read in parallel.

        Raises:
            OccluposeError: as `_first_readable`.
        """
        people = [self.data.people[index] for index in indices]
        cached = [self._cache.get(person.image) for person in people]
        missing = [index for index, image in zip(indices, cached, strict=True) if image is None]
        read = self._workers.map(self._first_readable, missing) if missing else iter(())
        return [next(read) if image is None else (person, image) for person, image in zip(people, cached, strict=True)]

    def _first_readable(self, index: int) -> tuple[PersonAnnotation, Pyramid]:
        """This person, or the next one whose image can be read.

        Raises:
            OccluposeError: no image can be read; or not this one, and images must be readable.
        """
        people = self.data.people
        for step in range(len(people)):
            person = people[(index + step) % len(people)]
            image = self.images.read(person.image, partial(self._cache.read, person.image, person.size))
            if image is not None:
                return person, image
        raise OccluposeError(
            f"{people[index].image}: cannot be read, nor can any other image; give the dataset's own images"
        )


class LJOFTraining(nn.Module):
    """The training module: an estimator and its loss, which depends on the progress of the training.

    Arguments:
        steps: length of the training.
    """

    step: Tensor
    """Batches so far; saved in the checkpoint like the weights."""

    def __init__(self, estimator: nn.Module, recipe: LJOFRecipe, skeleton: Skeleton, steps: int) -> None:
        super().__init__()
        self.estimator = estimator
        self.recipe = recipe
        self.steps = steps
        self.maps = recipe.maps()
        term = recipe.structure
        self.structure = None if term is None else DynamicStructureLoss(skeleton, term.schedule, term.kind)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, batch: LJOFBatch) -> Terms:
        """The terms of the loss: LJOF eq. 4 on the finest heatmaps; for a network with several heads (SRPose) also the
        heatmap loss of each coarser one, on targets pooled to its size.
        """
        *coarse, finest = self.estimator(normalise_images(batch.images))
        truth, weight = self.maps.encode(batch.xy, batch.weight)
        *coarse_weights, finest_weight = self.recipe.head_weights or (1.0,)
        terms = {
            f"head {number}": factor * heatmap_loss(maps.float(), pool_maps(truth, *maps.shape[-2:]), weight)
            for number, (factor, maps) in enumerate(zip(coarse_weights, coarse, strict=True))
        }
        progress = self.step.item() / self.steps
        self.step += 1
        if self.structure is None:
            return terms | {"heatmap": finest_weight * heatmap_loss(finest.float(), truth, weight)}
        finest_terms = self.structure.terms(finest.float(), truth, weight, progress)
        return terms | {name: finest_weight * term for name, term in finest_terms.items()}


def parameter_groups(network: nn.Module, recipe: LJOFRecipe) -> list[dict[str, Any]]:
    """Parameter groups with layer-wise learning rate decay for transformers, and no weight decay for biases, norms and
    position embeddings.

    BEiT's scheme (Bao et al. 2022), as in ViTPose's recipes.
    """
    if recipe.layer_decay == 1:
        return all_parameters(network)
    assert isinstance(network, LJOFTraining)
    assert isinstance(network.estimator, ViTPose), "only transformers have layer-wise decay"
    depth = len(network.estimator.backbone.blocks)
    members: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.estimator.named_parameters():
        undecayed = parameter.ndim < 2 or name.endswith("pos_embed")
        members.setdefault((layer_index(name, depth), undecayed), []).append(parameter)
    groups = []
    for (index, undecayed), parameters in sorted(members.items(), key=lambda item: item[0]):
        group: dict[str, Any] = {"params": parameters, "scale": recipe.layer_decay ** (depth + 1 - index)}
        groups.append(group | ({"weight_decay": 0.0} if undecayed else {}))
    return groups


@dataclass(frozen=True)
class LJOFTask(TrainingTask):
    """Training of an estimator on annotated people, whose joints become those of the network."""

    annotations: Annotations
    recipe: LJOFRecipe
    sampler: LJOFSampler

    @property
    def name(self) -> str:
        return self.recipe.model

    @property
    def design(self) -> EstimatorDesign:
        """The design of the network."""
        return self.recipe.design(self.annotations.skeleton)

    def about(self) -> str:
        people = self.annotations.people
        truth = self.annotations.ground_truth
        source = f"{truth.path.name} ({truth.dataset}), {self.annotations.skeleton.name}"
        return f"{self.recipe.model}: training on {len(people)} people of {source}"

    def data(self) -> dict[str, object]:
        return self.annotations.describe()

    def build(self) -> nn.Module:
        return self.design.build()

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        return load_initial_weights(network, self.design, path)

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        recipe = self.recipe
        plan = recipe.optimisation(len(self.annotations.people))
        training = LJOFTraining(network, recipe, self.annotations.skeleton, plan.steps)
        training = training.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = partial(parameter_groups, recipe=recipe)
        return [TrainingStage(training, self.sampler.draw, forward, plan, parameter_groups=groups)]

    def save(self, network: nn.Module, path: Path) -> None:
        save(network.state_dict(), self.design, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": f"crop of one person to heatmaps of {self.annotations.skeleton.name}",
            "licence": "that of its images and annotations",
            "data": self.data(),
        }


def train_estimator(
    annotations: Annotations, recipe: LJOFRecipe, run: TrainingRun, *, cache_bytes: int = CACHE_BYTES
) -> Path:
    """Trains an estimator on annotated people; returns the weights file.

    Arguments:
        annotations: as `formats.coco.load` gives them.
        cache_bytes: size of this process's cache of decoded images, in bytes.

    Raises:
        OccluposeError: a batch that the processes cannot share evenly; as `TrainingRun.fit`.
    """
    share = Process.current().share(recipe.batch)
    sampler = LJOFSampler(annotations, recipe, share=share, images=run.images, cache_bytes=cache_bytes)
    with opencv_on_one_thread():
        return run.fit(LJOFTask(annotations, recipe, sampler))
