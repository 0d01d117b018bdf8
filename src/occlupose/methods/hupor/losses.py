"""HUPOR's losses (arXiv 2208.00090, supplement 2.1).

The detector is trained on the maps of visible joints at every stage and level, and on the depths of torso joints; at
the finest level only the hardest channels count. The reasoner is trained on the maps of hidden and of all joints, and
on the distance between student and teacher.

Published weights are for heatmaps up to 255, fields up to 127 and centimetres, with limb depths weighted by 50. Ours
are up to 1 and in metres; the factors below make the losses equal. At the coarser levels heatmaps and the x and y of
fields have means of their own, as in the supplement; the authors' earlier code has one mean over both (so heatmaps
weigh 43 / 15 and fields 43 / 28 of what they do there).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.training.distributed import batch_count

WEIGHT = 0.1
"""Published weight of heatmaps and fields, visible, hidden and all."""

HEATMAPS = 255**2
VECTORS = 127**2
LIMB_DEPTHS = 50 * 100**2
TORSO_DEPTHS = 10.0

FINEST = 1.0
OTHERS = 0.25
"""Weight of the finest level of a stage, and of each other level."""

HARDEST = {"heatmaps": 8, "vectors": 16, "limb_depths": 8}
"""Number of channels of the finest level that count, those with the largest loss."""


@dataclass
class PoseMaps:
    """Predicted or target maps of one level, without depths of the torso.

    Attributes:
        heatmaps: one for each joint.
        fields: part affinity field of each limb: x, y and, except in 2D, depth.
    """

    heatmaps: Float[Tensor, "batch joint y x"]
    fields: Float[Tensor, "batch limb component y x"]


@dataclass
class AnnotationMask:
    """1 where a batch is annotated, 0 where it is not: COCO has neither head tops nor depths."""

    heatmaps: Float[Tensor, "batch joint"]
    vectors: Float[Tensor, "batch limb"]
    limb_depths: Float[Tensor, "batch limb"]


def maps_loss(
    output: PoseMaps,
    target: PoseMaps,
    annotated: AnnotationMask,
    *,
    finest: bool,
    weight: float = WEIGHT,
    foreground_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Weighted mean squared error of the maps of a level; of the finest level only the hardest channels count.

    Arguments:
        weight: of all maps, lambda of the paper.
        foreground_weight: weight of cells with a joint (times the height of its Gaussian) or a limb, relative to empty
            cells (ours; 1 is published).
    """
    heatmaps = (output.heatmaps - target.heatmaps) ** 2
    fields = (output.fields - target.fields) ** 2
    if foreground_weight != 1:
        heatmaps = heatmaps * (1 + (foreground_weight - 1) * target.heatmaps)
        fields = fields * (1 + (foreground_weight - 1) * (target.fields != 0).any(2, keepdim=True))
    vectors = annotated.vectors[:, :, None].expand(-1, -1, 2).flatten(1)
    parts = (
        (HEATMAPS, "heatmaps", heatmaps, annotated.heatmaps),
        (VECTORS, "vectors", fields[:, :, :2].flatten(1, 2), vectors),
        *((LIMB_DEPTHS, "limb_depths", depths, annotated.limb_depths) for depths in fields[:, :, 2:].unbind(2)),
    )
    terms = [
        weight * factor * channel_loss(squares, mask, HARDEST[name] if finest else None)
        for factor, name, squares, mask in parts
    ]
    return torch.stack(terms).sum()


def channel_loss(
    squares: Float[Tensor, "batch channel y x"], annotated: Float[Tensor, "batch channel"], hardest: int | None
) -> Float[Tensor, ""]:
    """Mean of squared errors over images and channels, or over this many hardest channels of each image."""
    each = annotated * squares.mean((-2, -1))
    return (each if hardest is None else each.topk(hardest, -1).values).mean()


def torso_loss(
    output: Float[Tensor, "batch 7 y x"], cells: Int[Tensor, "batch person 7"], depth: Float[Tensor, "batch person 7"]
) -> Float[Tensor, ""]:
    """Mean absolute error of the depths at their cells (`MultiPersonMaps.depths`); 0 where nothing is annotated."""
    predicted = output.flatten(2).gather(2, cells.transpose(1, 2)).transpose(1, 2)
    known = depth.isfinite()
    return TORSO_DEPTHS * ((predicted - torch.nan_to_num(depth)).abs() * known).sum() / batch_count(known.sum())


def level_weight(level: int) -> float:
    """The weight of a level; 0 is the finest."""
    return OTHERS if level else FINEST


def distillation_weight(progress: float, maximum: float = 1.0, warm_up: float = 0.25) -> float:
    """The weight of the distillation loss: grows linearly from 0 to `maximum` over the first part of the training.

    Arguments:
        progress: of the reasoner's training, 0 to 1.
        warm_up: fraction of it over which the weight grows.
    """
    return maximum * min(progress / warm_up, 1.0)
