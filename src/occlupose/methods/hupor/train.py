"""HUPOR's training (arXiv 2208.00090): first the detector of visible joints, then detector and reasoner together.

No gradient flows from the reasoner to the detector: the reasoner's input is true maps of visible joints, or the
detector's maps without gradient.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
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
from occlupose.methods.hupor.predict import HUPORPredictor
from occlupose.methods.hupor.recipe import HUPORRecipe, TargetSet
from occlupose.methods.hupor.refine import RefinePairs, RefineRecipe, match_people, train_refine
from occlupose.networks.dsed import DSED
from occlupose.networks.mspn import LEVELS, Heads
from occlupose.pyramid import Pyramid
from occlupose.threads import opencv_on_one_thread
from occlupose.training import card
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, claim_run_folder, fingerprint, train

THREADS = 4
"""Threads that read images."""

TEACHER_KERNEL = 3
"""Kernel of the teacher's input, as in the published code."""

TASK = "image to the people in it, MPI15 joints, metres"
"""Entry of the cards."""


class HUPORSampler:
    """Draws batches of augmented images, uniformly among those with depth and those without, in a fixed ratio.

    Images that cannot be read are replaced by others of the same kind; `unreadable` names them.

    Arguments:
        with_images: False makes batches of labels only, also from samples without images.
        strict: an unreadable image is an error.
        cache_bytes: size of the cache of decoded images, in bytes.
    """

    def __init__(
        self,
        samples: Sequence[ImageSample],
        recipe: HUPORRecipe,
        *,
        with_images: bool = True,
        strict: bool = False,
        cache_bytes: int = CACHE_BYTES,
        threads: int = THREADS,
    ) -> None:
        self.samples = samples
        self.recipe = recipe
        self.with_images = with_images
        self.strict = strict
        self.unreadable: dict[str, str] = {}
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
            OccluposeError: no image of its kind can be read; or this one, if `strict`.
        """
        kind = self._with_depth if row in self._with_depth else self._without_depth
        first = int(np.searchsorted(kind, row))
        for step in range(len(kind)):
            sample = self.samples[kind[(first + step) % len(kind)]]
            assert sample.image is not None
            name = str(sample.image)
            if name in self.unreadable:
                continue
            try:
                return sample, self._cache.read(sample.image, sample.size)
            except OccluposeError as error:
                if self.strict:
                    raise
                self.unreadable[name] = str(error)
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


def train_hupor(
    samples: Sequence[ImageSample],
    folder: Path,
    recipe: HUPORRecipe,
    *,
    init_from: Path | None = None,
    strict: bool = False,
    cache_bytes: int = CACHE_BYTES,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    say: Callable[[str], None] = print,
    places: Mapping[Path | None, str] | None = None,
    **described: object,
) -> Path:
    """Trains detector and reasoner; returns the weights file.

    Arguments:
        samples: of all datasets together.
        folder: where last.pt, log.csv, NAME.safetensors and its card NAME.json are written; also labels.safetensors if
            fitted bodies make the occlusion labels.
        init_from: initial weights of the same networks, or of a detector alone.
        strict: an unreadable image is an error; otherwise it is skipped and named at the end.
        cache_bytes: size of the cache of decoded images, in bytes.
        resume: continue an interrupted run in the folder; the result is that of an uninterrupted run.
        say: receives lines about the data and skipped images.
        places: names for further paths in the command line on the card.
        described: further entries of the card; `data` and `licence` of the images.

    Raises:
        OccluposeError: no people or images to train on; initial weights of other networks; as `training.loop.train`.
    """
    processes = Process.current().world_size
    if processes > 1:  # they would wait for gradients of a reasoner that is not trained yet
        raise OccluposeError(f"hupor: trains in one process, not in {processes}; start it without torchrun")
    needs_images = recipe.train_detector or recipe.predicted_input_fraction > 0
    samples = [sample for sample in samples if sample.image is not None or not needs_images]
    if not samples:
        raise OccluposeError("data: no images; give a dataset with images, or train the reasoner alone from labels")
    if not recipe.train_detector and init_from is None and recipe.predicted_input_fraction > 0:
        raise OccluposeError("train_detector: an untrained detector would stay untrained; give initial weights")
    claim_run_folder(folder, resume=resume)
    if recipe.occlusion_labels != "dataset":
        cache = folder / "labels.safetensors"
        samples = relabel(samples, recipe.occlusion_labels, cache=cache, progress=progress)
    torch.manual_seed(recipe.seed)
    networks = HUPORNetwork(recipe.design)
    initial = {} if init_from is None else _load_initial(networks, init_from)
    plan = recipe.optimisation(len(samples))
    people = sum(len(sample) for sample in samples)
    with_depth = sum(sample.has_depth for sample in samples)
    say(f"{recipe.name}: trains on {people} people in {len(samples)} images, {with_depth} with depth")
    training = HUPORTraining(networks, recipe, plan.steps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = HUPORSampler(samples, recipe, with_images=needs_images, strict=strict, cache_bytes=cache_bytes)
    data = fingerprint(part for sample in samples for part in _fingerprint_parts(sample))
    with opencv_on_one_thread():
        average = train(
            training,
            sampler.draw,
            lambda training, batch: training(batch),
            plan,
            folder,
            parameter_groups=_trainable,
            recipe=(recipe, initial, data),
            seed=recipe.seed,
            resume=resume,
            device=device,
            progress=progress,
        )
    path = folder / f"{recipe.name}.safetensors"
    training.load_state_dict(average)
    weights.save(weights.TrainedHUPOR(networks), path)
    card.write(
        path,
        {**(places or {}), folder: "FOLDER", init_from: "WEIGHTS"},
        name=recipe.name,
        task=TASK,
        parameters=_count_parameters(networks),
        **({"metrics": {}} | described),
        pictures=len(samples),
        people=people,
        recipe=asdict(recipe) | {"max_grad_norm": recipe.max_grad_norm if isfinite(recipe.max_grad_norm) else None},
        **initial,
    )
    _report_skipped(list(sampler.unreadable.values()), say)
    return path


def _load_initial(networks: HUPORNetwork, path: Path) -> dict[str, str]:
    """Loads initial weights; returns their entries of the card."""
    loaded = weights.load_initial_weights(networks, path)
    return {"begun_with": loaded, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _report_skipped(reasons: Sequence[str], say: Callable[[str], None]) -> None:
    """Says which images could not be read."""
    for reason in reasons[:3]:
        say(reason)
    if reasons:
        say(f"images that could not be read, skipped: {len(reasons)}")


def collect_pairs(
    predictor: HUPORPredictor,
    samples: Iterable[ImageSample],
    *,
    published: bool = False,
    unreadable: list[str] | None = None,
) -> RefinePairs:
    """Detected people with their ground truth: the training data of a RefineNet.

    Arguments:
        samples: those without an image or a camera are skipped.
        published: as for `refine.encode_inputs`.
        unreadable: gets a message for each image that cannot be read, and is skipped; None makes that an error.

    Raises:
        OccluposeError: an image cannot be read; nobody was detected.
    """
    parts = []
    for sample in samples:
        if sample.image is None or sample.camera is None:
            continue
        try:
            image = sample.image.read(sample.size)
        except OccluposeError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
            continue
        parts.append(match_people(predictor(image, sample.camera), sample, published=published))
    if not sum(map(len, parts)):
        raise OccluposeError(
            f"{predictor.name}: detects nobody of the data, so that there is nothing to refine; train it longer"
        )
    return RefinePairs.concatenate(parts)


def train_refiner(
    path: Path,
    samples: Sequence[ImageSample],
    folder: Path,
    recipe: RefineRecipe,
    *,
    seed: int = 0,
    strict: bool = False,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    say: Callable[[str], None] = print,
    places: Mapping[Path | None, str] | None = None,
    **described: object,
) -> Path:
    """Trains a RefineNet for the networks of a weights file; returns a new weights file of the same name, with the
    RefineNet in place of an earlier one.

    Arguments:
        path: weights of `train_hupor`.
        samples: with depth; those that the networks were trained on.
        folder: where last.pt, log.csv, the weights file and its card are written.
        strict: an unreadable image is an error; otherwise it is skipped and named at the end.
        say: receives lines about skipped images.
        described: further entries of the card.

    Raises:
        OccluposeError: as `weights.load`, `collect_pairs` and `refine.train_refine`.
    """
    trained = replace(weights.load(path), refiner=None, refiner_recipe=None)
    claim_run_folder(folder, resume=resume)
    samples_shown = track(samples, "running the networks", disable=not progress)
    unreadable = list[str]()
    predictor = HUPORPredictor(trained, device=device, name=path.name)
    reasons = None if strict else unreadable
    pairs = collect_pairs(predictor, samples_shown, published=recipe.published, unreadable=reasons)
    refiner = train_refine(pairs, folder, recipe, resume=resume, seed=seed, device=device, progress=progress)
    output = folder / path.name
    trained = replace(trained, networks=trained.networks.cpu(), refiner=refiner.cpu(), refiner_recipe=recipe)
    weights.save(trained, output)
    card.write(
        output,
        {**(places or {}), folder: "FOLDER", path: "WEIGHTS"},
        name=path.stem,
        task=TASK,
        parameters=_count_parameters(trained.networks) + _count_parameters(refiner),
        **({"metrics": {}} | described),
        pairs=len(pairs),
        refinement=asdict(recipe),
        seed=seed,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    _report_skipped(unreadable, say)
    return output


def _fingerprint_parts(sample: ImageSample) -> Iterator[np.ndarray]:
    """Everything in a sample that the training uses, except the content of its image."""
    camera = sample.camera
    intrinsics = () if camera is None else (camera.fx, camera.fy, camera.cx, camera.cy)
    yield from (sample.xy, sample.z, sample.state, sample.annotated)
    yield np.array([*sample.size, *intrinsics], np.float64)
    yield np.frombuffer(("" if sample.image is None else sample.image.name).encode(), np.uint8)


def _trainable(network: nn.Module) -> list[dict[str, Any]]:
    """The parameters that are trained."""
    return [{"params": [parameter for parameter in network.parameters() if parameter.requires_grad]}]


def _count_parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())
