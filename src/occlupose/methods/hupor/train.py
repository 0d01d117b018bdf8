"""HUPOR's training (arXiv 2208.00090): first the detector of visible joints, then detector and reasoner together.

No gradient flows from the reasoner to the detector: the reasoner's input is true maps of visible joints, or the
detector's maps without gradient.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from occlupose.codecs.multi_person import KERNELS, JointSubset, MultiPersonMaps, TargetMaps, limb_mask
from occlupose.datasets.augmentation import BottomUpAugmentation, BottomUpBatch, make_bottomup_batch
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import CACHE_BYTES, ImageCache
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.labels import relabel
from occlupose.methods.hupor.losses import (
    AnnotationMask,
    PoseMaps,
    distillation_weight,
    level_weight,
    maps_loss,
    torso_loss,
)
from occlupose.methods.hupor.network import TORSO_DEPTH_HEAD, HUPORNetwork, add_maps
from occlupose.methods.hupor.recipe import HUPORRecipe, TargetSet
from occlupose.networks.dsed import DSED
from occlupose.networks.mspn import LEVELS, Heads
from occlupose.pyramid import Pyramid
from occlupose.threads import opencv_on_one_thread
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, UnreadableImages, forward

THREADS = 4
"""Threads that read images."""

TEACHER_KERNEL = 3
"""Kernel of the teacher's input, as in the published code."""

TASK = "image to the people in it, MPI15 joints, metres"
"""Entry of the cards."""


class HUPORSampler:
    """Draws batches of augmented images, uniformly among those with depth and those without, in a fixed ratio.

    Images that cannot be read are replaced by others of the same kind.

    Arguments:
        with_images: False makes batches of labels only, also from samples without images.
        images: receives those that cannot be read.
        cache_bytes: size of the cache of decoded images, in bytes.
    """

    def __init__(
        self,
        samples: Sequence[ImageSample],
        recipe: HUPORRecipe,
        *,
        with_images: bool = True,
        images: UnreadableImages | None = None,
        cache_bytes: int = CACHE_BYTES,
        threads: int = THREADS,
    ) -> None:
        self.samples = samples
        self.recipe = recipe
        self.with_images = with_images
        self.images = images or UnreadableImages()
        has_depth = np.array([sample.has_depth for sample in samples], bool)
        if has_depth.any():
            has_depth |= np.array([not len(sample) for sample in samples], bool)  # no people, no unknown depths
        self._with_depth = np.flatnonzero(has_depth)
        self._without_depth = np.flatnonzero(~has_depth)
        self._cache = ImageCache(cache_bytes)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="images")

    def draw(self, generator: Generator) -> BottomUpBatch:
        """The batch of a step."""
        recipe = self.recipe
        count = BottomUpAugmentation.random_numbers
        random = torch.rand(recipe.batch, count, dtype=torch.float64, generator=generator).numpy()
        rows = self._draw_rows(generator)
        if self.with_images:
            pairs = list(self._workers.map(self._read, rows))
            samples = [sample for sample, _ in pairs]
            images = [image for _, image in pairs]
        else:
            samples = [self.samples[row] for row in rows]
            images = None
        return make_bottomup_batch(samples, images, recipe.design.letterbox, recipe.augmentation, random)

    def _draw_rows(self, generator: Generator) -> list[int]:
        """Indices of a batch's samples, those with depth first."""
        count = self.recipe.batch
        if len(self._with_depth) and len(self._without_depth):
            without_depth = round(self.recipe.no_depth_fraction * count)
        else:
            without_depth = count if len(self._without_depth) else 0
        rows = []
        for kind, size in ((self._with_depth, count - without_depth), (self._without_depth, without_depth)):
            index = torch.randint(max(len(kind), 1), (size,), generator=generator).numpy()
            rows += kind[index].tolist()
        return rows

    def _read(self, row: int) -> tuple[ImageSample, Pyramid]:
        """This sample and its image, or the next sample of its kind whose image can be read.

        Raises:
            OccluposeError: no image of its kind can be read; or not this one, and images must be readable.
        """
        kind = self._with_depth if row in self._with_depth else self._without_depth
        first = int(np.searchsorted(kind, row))
        for step in range(len(kind)):
            sample = self.samples[kind[(first + step) % len(kind)]]
            assert sample.image is not None
            image = self.images.read(sample.image, partial(self._cache.read, sample.image, sample.size))
            if image is not None:
                return sample, image
        depth = "with" if kind is self._with_depth else "without"
        wrong = f"cannot be read, nor can any other image {depth} depth"
        raise OccluposeError(f"{self.samples[row].image}: {wrong}; give the dataset's own images")


class HUPORTraining(nn.Module):
    """The training module: from a batch to the terms of its loss.

    Arguments:
        steps: of the whole training.
    """

    step: Tensor
    """Batches so far; in the checkpoint like the weights."""

    def __init__(self, networks: HUPORNetwork, recipe: HUPORRecipe, steps: int) -> None:
        super().__init__()
        self.networks = networks
        self.recipe = recipe
        self.steps = steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        if not recipe.train_detector:
            networks.detector.requires_grad_(False)

    def train(self, mode: bool = True) -> "HUPORTraining":
        """Training mode; a detector that is not trained stays in evaluation mode."""
        super().train(mode)
        if not self.recipe.train_detector:
            self.networks.detector.eval()
        return self

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: L_det, and L_reason once the reasoner is trained (supplement 2.1)."""
        progress = self.recipe.reasoner_progress(self.step.item() / self.steps)
        self.step += 1
        terms: Terms = {}
        targets = TargetMaps(self.networks.codec, batch.people)
        detected: PoseMaps | None = None
        if self.recipe.train_detector:
            assert batch.images is not None, "a detector needs images"
            heads = self.networks.detect(batch.images)
            terms |= detection_loss(self.networks, heads, batch, targets, self.recipe.foreground_weight)
            with torch.no_grad():
                detected = self.networks.visible_maps(heads)
        if self.networks.reasoner is not None:
            terms |= self._reasoning(batch, targets, detected, progress)
        return terms

    def _reasoning(
        self, batch: BottomUpBatch, targets: TargetMaps, detected: PoseMaps | None, progress: float | None
    ) -> Terms:
        """L_reason; 0 before the reasoner is trained."""
        if progress is None:
            zero = torch.zeros((), device=batch.people.xy.device)
            return {"hidden": zero, "all": zero, "distillation": zero}
        reasoner = self.networks.reasoner
        assert reasoner is not None
        recipe = self.recipe
        visible = self._reasoner_input(batch, targets, detected)
        if isinstance(reasoner, DSED):
            teacher_input = target_maps(targets, recipe.teacher_input, TEACHER_KERNEL)
            output = reasoner.distil(visible, self.networks.stack_channels(teacher_input))
            hidden = output.hidden
            distance = output.distances[:, [level - 1 for level in recipe.distilled_levels]].sum()
            weight = distillation_weight(progress, recipe.distillation_weight, recipe.distillation_warm_up)
            distillation = weight * distance
        else:
            hidden = reasoner(visible)
            distillation = torch.zeros((), device=visible.device)
        terms = reasoning_loss(
            self.networks,
            hidden,
            batch,
            targets,
            target_set=recipe.reasoner_targets,
            foreground_weight=recipe.foreground_weight,
        )
        return terms | {"distillation": distillation}

    @torch.no_grad()
    def _reasoner_input(
        self, batch: BottomUpBatch, targets: TargetMaps, detected: PoseMaps | None
    ) -> Float[Tensor, "batch 57 y x"]:
        """The reasoner's input for each image: true maps of visible joints with a random kernel, or the detector's."""
        channels = self.networks.stack_channels(target_maps(targets, "visible", int(torch.randint(len(KERNELS), ()))))
        predicted = (torch.rand(len(channels)) < self.recipe.predicted_input_fraction).to(channels.device)
        if batch.images is None or not predicted.any():
            return channels
        if detected is None:
            maps = self.networks.visible_maps(self.networks.detect(batch.images[predicted]))
            channels[predicted] = self.networks.stack_channels(maps)
        else:
            channels[predicted] = self.networks.stack_channels(detected)[predicted]
        return channels


def detection_loss(
    networks: HUPORNetwork,
    heads: list[list[Heads]],
    batch: BottomUpBatch,
    targets: TargetMaps,
    foreground_weight: float = 1.0,
) -> Terms:
    """L_det: maps of visible joints and depths of torso joints, at every stage and level; `foreground_weight` as for
    `maps_loss`.
    """
    cells, depth = networks.codec.depths(batch.people, "visible")
    mask = annotation_mask(networks.codec, batch)
    maps_terms = []
    torso_terms = []
    for stage in heads:
        for level, kernel in enumerate(level_kernels(stage is heads[-1])):
            output = networks.maps_of_level(stage[level])
            target = target_maps(targets, "visible", kernel)
            loss = maps_loss(output, target, mask, finest=level == 0, foreground_weight=foreground_weight)
            weight = level_weight(level)
            maps_terms.append(weight * loss)
            torso_terms.append(weight * torso_loss(stage[level][TORSO_DEPTH_HEAD].float(), cells, depth))
    return {"visible": torch.stack(maps_terms).sum(), "torso": torch.stack(torso_terms).sum()}


def reasoning_loss(
    networks: HUPORNetwork,
    hidden: list[list[Tensor]],
    batch: BottomUpBatch,
    targets: TargetMaps,
    *,
    target_set: TargetSet = "both",
    foreground_weight: float = 1.0,
) -> Terms:
    """L_reason without distillation: maps of hidden joints, and of all joints after adding the true visible ones (with
    the Gaussians of that level; ours), at every stage and level.
    """
    mask = annotation_mask(networks.codec, batch)
    hidden_terms = list[Tensor]()
    all_terms = list[Tensor]()
    for stage in hidden:
        for level, kernel in enumerate(level_kernels(stage is hidden[-1])):
            of_hidden = networks.split_channels(stage[level].float())
            of_all = add_maps(target_maps(targets, "visible", kernel), of_hidden)
            weight = level_weight(level)
            subsets: tuple[tuple[JointSubset, PoseMaps, list[Tensor]], ...] = (
                ("hidden", of_hidden, hidden_terms),
                ("all", of_all, all_terms),
            )
            for subset, output, terms in subsets:
                target = target_maps(targets, subset, kernel)
                loss = maps_loss(output, target, mask, finest=level == 0, foreground_weight=foreground_weight)
                terms.append(weight * loss)
    both = float(target_set == "both")
    return {"hidden": both * torch.stack(hidden_terms).sum(), "all": torch.stack(all_terms).sum()}


def level_kernels(last: bool) -> list[int]:
    """The kernel of each level's targets, the finest level first: finer levels have smaller kernels, and the last stage
    has smaller ones than the others.
    """
    return [LEVELS - 1 - level + last for level in range(LEVELS)]


def target_maps(targets: TargetMaps, subset: JointSubset, kernel: int) -> PoseMaps:
    """The target of a level."""
    return PoseMaps(targets.heatmaps(subset, kernel), targets.fields(subset, kernel))


def annotation_mask(codec: MultiPersonMaps, batch: BottomUpBatch) -> AnnotationMask:
    """What is annotated in a batch. Depths of a limb are annotated in an image if everybody's are known."""
    sources, targets = codec.limbs
    limbs = batch.annotated[:, sources] & batch.annotated[:, targets]
    known = batch.people.z[..., sources].isfinite() & batch.people.z[..., targets].isfinite()
    unknown = limb_mask(batch.people.state, sources, targets, "all") & ~known
    limb_depths = limbs & batch.has_depth[:, None] & ~unknown.any(1)
    return AnnotationMask(batch.annotated.float(), limbs.float(), limb_depths.float())


@dataclass(frozen=True)
class HUPORTask(TrainingTask):
    """Training of detector and reasoner."""

    samples: Sequence[ImageSample]
    recipe: HUPORRecipe
    sampler: HUPORSampler
    described: Mapping[str, object]
    """Further entries of the card."""

    @property
    def people(self) -> int:
        """Number of people."""
        return sum(len(sample) for sample in self.samples)

    def about(self) -> str:
        with_depth = sum(sample.has_depth for sample in self.samples)
        images = f"{len(self.samples)} images, {with_depth} with depth"
        return f"{self.name}: trains on {self.people} people in {images}"

    def data(self) -> str:
        return fingerprint(part for sample in self.samples for part in _fingerprint_parts(sample))

    def build(self) -> HUPORNetwork:
        return HUPORNetwork(self.recipe.design)

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, HUPORNetwork)
        return weights.load_initial_weights(network, path)

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        assert isinstance(network, HUPORNetwork)
        plan = self.recipe.optimisation(len(self.samples))
        training = HUPORTraining(network, self.recipe, plan.steps)
        training = training.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return [TrainingStage(training, self.sampler.draw, forward, plan)]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, HUPORNetwork)
        weights.save(weights.TrainedHUPOR(network), path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {"task": TASK, **self.described, "pictures": len(self.samples), "people": self.people}


def train_hupor(
    samples: Sequence[ImageSample],
    recipe: HUPORRecipe,
    run: TrainingRun,
    *,
    cache_bytes: int = CACHE_BYTES,
    **described: object,
) -> Path:
    """Trains detector and reasoner; returns the weights file.

    Where fitted bodies make the occlusion labels, the run's folder gets them too, as labels.safetensors.

    Arguments:
        samples: of all datasets together.
        cache_bytes: size of the cache of decoded images, in bytes.
        described: further entries of the card; `data` and `licence` of the images.

    Raises:
        OccluposeError: no people or images to train on; several processes; as `TrainingRun.fit`.
    """
    processes = Process.current().world_size
    if processes > 1:  # they would wait for gradients of a reasoner that is not trained yet
        raise OccluposeError(f"hupor: trains in one process, not in {processes}; start it without torchrun")
    needs_images = recipe.train_detector or recipe.predicted_input_fraction > 0
    samples = [sample for sample in samples if sample.image is not None or not needs_images]
    if not samples:
        raise OccluposeError("data: no images; give a dataset with images, or train the reasoner alone from labels")
    if not recipe.train_detector and run.init_from is None and recipe.predicted_input_fraction > 0:
        raise OccluposeError("train_detector: an untrained detector would stay untrained; give initial weights")
    if recipe.occlusion_labels != "dataset":
        cache = run.folder / "labels.safetensors"
        samples = relabel(samples, recipe.occlusion_labels, cache=cache, progress=run.progress)
    sampler = HUPORSampler(samples, recipe, with_images=needs_images, images=run.images, cache_bytes=cache_bytes)
    with opencv_on_one_thread():
        return run.fit(HUPORTask(samples, recipe, sampler, described))


def _fingerprint_parts(sample: ImageSample) -> Iterator[np.ndarray]:
    """Everything in a sample that the training uses, except the content of its image."""
    camera = sample.camera
    intrinsics = () if camera is None else (camera.fx, camera.fy, camera.cx, camera.cy)
    yield from (sample.xy, sample.z, sample.state, sample.annotated)
    yield np.array([*sample.size, *intrinsics], np.float64)
    yield np.frombuffer(("" if sample.image is None else sample.image.name).encode(), np.uint8)
