"""The training of a reasoner (HUPOR, arXiv 2208.00090, supplement 1.2, 1.3 and 2.1): behind HUPOR's own detector, and
behind other bottom-up networks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.bounds import Bounded, Fraction, NonNegative, Positive, PositiveFraction
from occlupose.codecs.multi_person import KERNELS, JointSubset, MultiPersonMaps, TargetMaps, limb_mask
from occlupose.datasets.augmentation import BottomUpBatch
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.losses import (
    WEIGHT,
    AnnotationMask,
    PoseMaps,
    distillation_weight,
    level_weight,
    maps_loss,
)
from occlupose.methods.hupor.network import add_maps, split_channels, stack_channels
from occlupose.networks.dsed import DSED, Reasoner
from occlupose.networks.mspn import LEVELS, StageSize
from occlupose.training.distributed import batch_rand
from occlupose.training.loop import Terms

TeacherInput = Literal["hidden", "all"]
TargetSet = Literal["both", "all"]
Level = Annotated[int, Interval(ge=1, le=LEVELS)]
Channels = Float[Tensor, "batch channel y x"]

SMALL_REASONER = StageSize((1, 1, 1, 1), (16, 32, 48, 64), 64)
"""Size for two cores. Ours."""

TEACHER_KERNEL = 3
"""Kernel of the teacher's input, as in the published code."""


@dataclass(frozen=True)
class ReasonerRecipe(Bounded):
    """How a reasoner learns.

    Attributes:
        predicted_input_fraction: fraction of the images for which the student's input is predicted maps of visible
            joints instead of true ones (ours; 0 in the paper).
        teacher_input: maps of hidden joints (paper), or of all joints (the authors' earlier code).
        reasoner_targets: both (paper), maps of hidden joints and, after adding those of visible joints, of all joints;
            or all, only the latter (the authors' earlier code).
        hidden_weight, all_weight: of the maps of hidden joints and of all joints in the loss.
        foreground_weight: weight of the cells of a map with a joint or limb (ours; 1 in the paper, with which small
            networks are slow to predict anything but 0).
        distilled_levels: levels of the encoders whose features are distilled, 1 to 4.
        distillation_weight: final weight of the distillation loss.
        distillation_warm_up: fraction of the reasoner's training over which that weight grows from 0.

    Raises:
        OccluposeError: an impossible value.
    """

    predicted_input_fraction: Fraction = 0.0
    teacher_input: TeacherInput = "hidden"
    reasoner_targets: TargetSet = "both"
    hidden_weight: NonNegative = WEIGHT
    all_weight: NonNegative = WEIGHT
    foreground_weight: Positive = 1.0
    distilled_levels: tuple[Level, ...] = (1, 2, 3, 4)
    distillation_weight: NonNegative = 1.0
    distillation_warm_up: PositiveFraction = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < len(set(self.distilled_levels)) == len(self.distilled_levels):
            raise OccluposeError(f"distilled_levels {self.distilled_levels}: must be one or more levels, each once")


@torch.no_grad()
def draw_reasoner_input(
    targets: TargetMaps, recipe: ReasonerRecipe, predict: Callable[[Bool[Tensor, " batch"]], Channels] | None
) -> Channels:
    """The reasoner's input for each image: true maps of visible joints with a random kernel, or predicted ones.

    Arguments:
        predict: returns the predicted maps of some of the images; None without images.
    """
    channels = stack_channels(target_maps(targets, "visible", int(torch.randint(len(KERNELS), ()))))
    predicted = (batch_rand(len(channels)) < recipe.predicted_input_fraction).to(channels.device)
    if predict is not None and predicted.any():
        channels[predicted] = predict(predicted)
    return channels


def reasoner_terms(
    reasoner: Reasoner,
    visible: Channels,
    batch: BottomUpBatch,
    targets: TargetMaps,
    recipe: ReasonerRecipe,
    progress: float,
) -> Terms:
    """L_reason of a batch: maps of hidden and of all joints, and distillation; 0 for a reasoner without a teacher.

    Arguments:
        visible: the reasoner's input.
        progress: of the reasoner's training, 0..1.
    """
    if isinstance(reasoner, DSED):
        teacher_input = target_maps(targets, recipe.teacher_input, TEACHER_KERNEL)
        output = reasoner.distil(visible, stack_channels(teacher_input), batch.images)
        hidden = output.hidden
        distance = output.distances[:, [level - 1 for level in recipe.distilled_levels]].sum()
        weight = distillation_weight(progress, recipe.distillation_weight, recipe.distillation_warm_up)
        distillation = weight * distance
    else:
        hidden = reasoner(visible, batch.images)
        distillation = torch.zeros((), device=visible.device)
    return reasoning_loss(hidden, batch, targets, recipe) | {"distillation": distillation}


def maps_losses(
    stages: list[list[PoseMaps]],
    batch: BottomUpBatch,
    targets: TargetMaps,
    subset: JointSubset,
    *,
    weight: float,
    foreground_weight: float,
) -> Float[Tensor, ""]:
    """The sum of `maps_loss` over every stage and level of a network; the arguments are those of `maps_loss`."""
    mask = annotation_mask(targets.codec, batch)
    terms = []
    for stage in stages:
        for level, (maps, kernel) in enumerate(zip(stage, level_kernels(stage is stages[-1]), strict=False)):
            target = target_maps(targets, subset, kernel)
            finest = level == 0
            loss = maps_loss(maps, target, mask, finest=finest, weight=weight, foreground_weight=foreground_weight)
            terms.append(level_weight(level) * loss)
    return torch.stack(terms).sum()


def reasoning_loss(
    hidden: list[list[Channels]], batch: BottomUpBatch, targets: TargetMaps, recipe: ReasonerRecipe
) -> Terms:
    """L_reason without distillation: maps of hidden joints, and of all joints after adding the true visible ones (with
    the Gaussians of that level; ours), at every stage and level.
    """
    codec = targets.codec
    mask = annotation_mask(codec, batch)
    hidden_terms = list[Tensor]()
    all_terms = list[Tensor]()
    for stage in hidden:
        for level, kernel in enumerate(level_kernels(stage is hidden[-1])):
            of_hidden = split_channels(stage[level].float(), codec)
            of_all = add_maps(target_maps(targets, "visible", kernel), of_hidden)
            weight = level_weight(level)
            subsets: tuple[tuple[JointSubset, PoseMaps, float, list[Tensor]], ...] = (
                ("hidden", of_hidden, recipe.hidden_weight, hidden_terms),
                ("all", of_all, recipe.all_weight, all_terms),
            )
            for subset, output, of_subset, terms in subsets:
                target = target_maps(targets, subset, kernel)
                loss = maps_loss(
                    output,
                    target,
                    mask,
                    finest=level == 0,
                    weight=of_subset,
                    foreground_weight=recipe.foreground_weight,
                )
                terms.append(weight * loss)
    both = float(recipe.reasoner_targets == "both")
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
