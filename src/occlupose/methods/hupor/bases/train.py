"""The training of DSED behind PifPaf and behind HigherHRNet (HUPOR, arXiv 2208.00090, supplement 1.2 and 1.3), and of
HUPOR in 2D.

The base learns first, heatmaps and fields of visible joints and limbs. HigherHRNet also learns the tags of all labelled
joints, as a tag at a hidden joint would be undefined otherwise (ours; the paper is silent). Then the base is frozen,
and the reasoner learns the maps of hidden and of all joints from those of visible ones.

People whom the dataset does not annotate are background, where the authors of the bases mask them (ours).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from occlupose.codecs.composite_fields import encode_joints, encode_limbs
from occlupose.codecs.multi_person import KERNELS, TargetMaps
from occlupose.datasets.annotations import Annotations
from occlupose.datasets.augmentation import BottomUpBatch
from occlupose.datasets.formats.coco import make_keypoint_samples
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import CACHE_BYTES
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.bases.losses import composite_loss, field_loss, heatmap_loss, tag_losses
from occlupose.methods.hupor.bases.recipe import DetectorRecipe, DSEDRecipe, HigherHRNetRecipe, PifPafRecipe
from occlupose.methods.hupor.epochs import EpochRecipe
from occlupose.methods.hupor.network import split_channels
from occlupose.methods.hupor.pretraining import describe_start, parameter_groups, start_from_movenet
from occlupose.methods.hupor.reasoning import draw_reasoner_input, maps_losses, reasoner_terms
from occlupose.methods.hupor.sampler import BottomUpSampler
from occlupose.networks import bottom_up
from occlupose.networks.bottom_up import MAPS_HEAD, BottomUpNetwork
from occlupose.networks.higher_hrnet import HigherHRNetMaps
from occlupose.networks.pifpaf import PifPafFields
from occlupose.threads import opencv_on_one_thread
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, forward

HEATMAP_KERNEL = 1
"""Kernel of the base's heatmaps: sigma is 2 cells at both resolutions, as published."""

FIELD_KERNEL = len(KERNELS) - 1
"""Width of the base's fields: the finest that HUPOR has (ours; the paper is silent)."""

BASE = "base"
REASONER = "reasoner"
"""Subfolders of a run, and the names of its stages."""


class HigherHRNetTraining(nn.Module):
    """The training module of HigherHRNet: from a batch to the terms of its loss."""

    def __init__(self, network: BottomUpNetwork, recipe: HigherHRNetRecipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: heatmaps at both resolutions, pull and push of the tags, and fields."""
        assert batch.images is not None
        recipe = self.recipe
        maps = self.network.detect(batch.images)
        assert isinstance(maps, HigherHRNetMaps)
        codecs = self.network.design.codecs
        targets = [TargetMaps(codec, batch.people) for codec in codecs]
        cells, known = codecs[0].joint_cells(batch.people, "all")
        pull, push = tag_losses(maps.tags.float(), cells, known)
        heatmaps = [
            heatmap_loss(output, target.heatmaps("visible", HEATMAP_KERNEL), batch.annotated, recipe.foreground_weight)
            for output, target in zip(maps.heatmaps, targets, strict=True)
        ]
        sources, ends = codecs[0].limbs
        limbs = batch.annotated[:, sources] & batch.annotated[:, ends]
        fields = [
            field_loss(output, target.fields("visible", FIELD_KERNEL), limbs, recipe.foreground_weight)
            for output, target in zip(maps.fields, targets, strict=False)
        ]
        terms = {
            "heatmaps": torch.stack(heatmaps).sum(),
            "pull": recipe.tag_weight * pull,
            "push": recipe.tag_weight * push,
        }
        return terms | ({"fields": recipe.field_weight * torch.stack(fields).sum()} if fields else {})


class PifPafTraining(nn.Module):
    """The training module of PifPaf: from a batch to the terms of its loss."""

    def __init__(self, network: BottomUpNetwork, recipe: PifPafRecipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: confidences, offsets and scales of intensity and association fields."""
        assert batch.images is not None
        recipe = self.recipe
        output = self.network.detect(batch.images)
        assert isinstance(output, PifPafFields)
        codec = self.network.design.codecs[1]
        sources, ends = codec.limbs
        parts = [
            composite_loss(output.joints, encode_joints(batch.people, codec, "visible"), batch.annotated),
            composite_loss(
                output.limbs,
                encode_limbs(batch.people, codec, "visible"),
                batch.annotated[:, sources] & batch.annotated[:, ends],
            ),
        ]
        return {
            "confidence": recipe.confidence_weight * torch.stack([part.confidence for part in parts]).sum(),
            "offset": recipe.offset_weight * torch.stack([part.offset for part in parts]).sum(),
            "scale": recipe.scale_weight * torch.stack([part.scale for part in parts]).sum(),
        }


class DetectorTraining(nn.Module):
    """The training module of HUPOR's detector in 2D: from a batch to the term of its loss."""

    def __init__(self, network: BottomUpNetwork, recipe: DetectorRecipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def forward(self, batch: BottomUpBatch) -> Terms:
        """L_det without depths: maps of visible joints, at every stage and level (supplement 2.1)."""
        assert batch.images is not None
        heads = self.network.detect(batch.images)
        assert isinstance(heads, list)
        codec = self.network.design.codecs[0]
        stages = [[split_channels(level[MAPS_HEAD].float(), codec) for level in stage] for stage in heads]
        loss = maps_losses(
            stages,
            batch,
            TargetMaps(codec, batch.people),
            "visible",
            weight=self.recipe.visible_weight,
            foreground_weight=self.recipe.foreground_weight,
        )
        return {"visible": loss}


class ReasonerTraining(nn.Module):
    """The training module of the reasoner behind a frozen base.

    Arguments:
        steps: of the training.
    """

    step: Tensor
    """Batches so far; in the checkpoint like the weights."""

    def __init__(self, network: BottomUpNetwork, recipe: DSEDRecipe, steps: int) -> None:
        super().__init__()
        assert network.reasoner is not None
        self.network = network
        self.recipe = recipe
        self.steps = steps
        self.codec = network.design.codecs[0]
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        network.base.requires_grad_(False)
        network.reasoner.requires_grad_(True)

    def train(self, mode: bool = True) -> "ReasonerTraining":
        """Training mode; the base stays in evaluation mode."""
        super().train(mode)
        self.network.base.eval()
        return self

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: L_reason."""
        progress = self.step.item() / self.steps
        self.step += 1
        targets = TargetMaps(self.codec, batch.people)
        images = batch.images
        network = self.network
        assert network.reasoner is not None

        def predict(rows: Bool[Tensor, " batch"]) -> Float[Tensor, "some channel y x"]:
            """The base's maps of these images."""
            assert images is not None
            return network.reasoner_input(network.detect(images[rows]))

        visible = draw_reasoner_input(targets, self.recipe, None if images is None else predict)
        return reasoner_terms(network.reasoner, visible, batch, targets, self.recipe, progress)


def base_training(network: BottomUpNetwork, recipe: EpochRecipe) -> nn.Module:
    """The training module of a base."""
    if isinstance(recipe, PifPafRecipe):
        return PifPafTraining(network, recipe)
    if isinstance(recipe, DetectorRecipe):
        return DetectorTraining(network, recipe)
    assert isinstance(recipe, HigherHRNetRecipe)
    return HigherHRNetTraining(network, recipe)


@dataclass(frozen=True)
class DSEDTask(TrainingTask):
    """Training of a base, and of the reasoner behind it."""

    annotations: Annotations
    samples: Sequence[ImageSample]
    recipe: DSEDRecipe
    sampler: Callable[..., BottomUpSampler]
    """Makes a sampler of batches of this size, `with_images` or without."""
    described: Mapping[str, object]
    """Further entries of the card."""

    def about(self) -> str:
        people = sum(len(sample) for sample in self.samples)
        truth = self.annotations.ground_truth
        source = f"{truth.path.name} ({truth.dataset}), {self.annotations.skeleton.name}"
        return f"{self.name}: trains on {people} people in {len(self.samples)} images of {source}"

    def data(self) -> dict[str, object]:
        return self.annotations.describe()

    def build(self) -> BottomUpNetwork:
        network = BottomUpNetwork(self.recipe.design)
        start_from_movenet(network)
        return network

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, BottomUpNetwork)
        return bottom_up.load_initial_weights(network, path)

    def stages(self, network: nn.Module) -> Iterator[TrainingStage]:
        assert isinstance(network, BottomUpNetwork)
        recipe = self.recipe
        images = len(self.samples)
        if network.reasoner is not None:
            network.reasoner.requires_grad_(False)
        if recipe.base_training.epochs:
            base = base_training(network, recipe.base_training)
            base = base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            batch = recipe.base_training.batch
            draw = self.sampler(batch, share=Process.current().share(batch), with_images=True).draw
            plan = recipe.base_training.optimisation(images)
            rate = getattr(recipe.base_training, "pretrained_rate", 1.0)  # HUPOR's detector in 2D has no such layers
            groups = partial(parameter_groups, pretrained_rate=rate)
            yield TrainingStage(base, draw, forward, plan, BASE, parameter_groups=groups)
        if network.reasoner is not None:
            plan = recipe.optimisation(images)
            reasoner = ReasonerTraining(network, recipe, plan.steps)
            reasoner = reasoner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            share = Process.current().share(recipe.batch)
            with_images = recipe.predicted_input_fraction > 0 or recipe.design.reasoner_image
            draw = self.sampler(recipe.batch, share=share, with_images=with_images).draw
            yield TrainingStage(reasoner, draw, forward, plan, REASONER)

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, BottomUpNetwork)
        bottom_up.save(network, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        task = f"image to the people in it, {self.annotations.skeleton.name}, pixels"
        return {"task": task, "data": self.data(), **self.described, **describe_start(network)}


def train_dsed(
    annotations: Annotations,
    recipe: DSEDRecipe,
    run: TrainingRun,
    *,
    cache_bytes: int = CACHE_BYTES,
    **described: object,
) -> Path:
    """Trains a base on visible joints, and a reasoner behind it; returns the weights file.

    The run's folder has a checkpoint and a log for each of the two, in subfolders. The joints are the dataset's.

    Arguments:
        annotations: as `formats.coco.load` gives them.
        cache_bytes: size of the cache of decoded images, in bytes.
        described: further entries of the card; `licence` of the images.

    Raises:
        OccluposeError: an untrained base would stay untrained; as `TrainingRun.fit`.
    """
    if not recipe.base_training.epochs and run.init_from is None:
        raise OccluposeError(f"{recipe.family}.epochs 0: an untrained base would stay untrained; give initial weights")
    recipe = replace(recipe, design=replace(recipe.design, skeleton=annotations.skeleton.name))
    samples = make_keypoint_samples(annotations)
    sampler = partial(
        BottomUpSampler,
        samples,
        recipe.design.letterbox,
        recipe.augmentation,
        images=run.images,
        cache_bytes=cache_bytes,
    )
    with opencv_on_one_thread():
        return run.fit(DSEDTask(annotations, samples, recipe, sampler, described))
