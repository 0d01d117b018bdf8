"""HUPOR's losses (arXiv 2208.00090, supplement 2.1): maps of the detector at every stage and level, of the finest the
hardest channels, and depths of torso joints; maps of the reasoner of what is hidden and of everything, and the distance
of student and teacher.

Weights are published for heatmaps up to 255, fields up to 127 and centimetres, a limb's depth counting 50 times. Ours
are up to 1 and in metres; the factors below make the losses the same.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

HEATMAPS = 0.1 * 255**2
VECTORS = 0.1 * 127**2
LIMB_DEPTHS = 0.1 * 50 * 100**2
TORSO_DEPTHS = 10.0

FINEST = 1.0
OTHERS = 0.25
"""Weights of a stage's levels."""

HARDEST = {"heatmaps": 8, "ways": 16, "limb_depths": 8}
"""Channels of the finest level that count: those that are farthest off."""


@dataclass
class PoseMaps:
    """What a level says, or should say, without depths of the torso.

    Attributes:
        heatmaps: of each joint.
        fields: of each limb; x, y and depth.
    """

    heatmaps: Float[Tensor, "batch joint y x"]
    fields: Float[Tensor, "batch limb 3 y x"]


@dataclass
class AnnotationMask:
    """1 where a batch's annotations say something, 0 where they do not: COCO has neither heads nor depths."""

    heatmaps: Float[Tensor, "batch joint"]
    ways: Float[Tensor, "batch limb"]
    limb_depths: Float[Tensor, "batch limb"]


def maps_loss(
    said: PoseMaps, truth: PoseMaps, known: AnnotationMask, *, finest: bool, something: float = 1.0
) -> Float[Tensor, ""]:
    """The mean squared difference of a level's maps, as weighted as published; of the finest level only the hardest
    channels count.

    Arguments:
        something: how often cells count in which there is something, a joint (by the height of its Gaussian) or a limb
            (ours; 1 is published).
    """
    heatmaps, fields = (
        (one - other) ** 2 for one, other in ((said.heatmaps, truth.heatmaps), (said.fields, truth.fields))
    )
    if something != 1:
        heatmaps = heatmaps * (1 + (something - 1) * truth.heatmaps)
        fields = fields * (1 + (something - 1) * (truth.fields != 0).any(2, keepdim=True))
    ways = known.ways[:, :, None].expand(-1, -1, 2).flatten(1)
    parts = (
        (HEATMAPS, "heatmaps", heatmaps, known.heatmaps),
        (VECTORS, "ways", fields[:, :, :2].flatten(1, 2), ways),
        (LIMB_DEPTHS, "limb_depths", fields[:, :, 2], known.limb_depths),
    )
    total = [
        factor * channel_loss(squares, weight, HARDEST[name] if finest else None)
        for factor, name, squares, weight in parts
    ]
    return torch.stack(total).sum()


def channel_loss(
    squares: Float[Tensor, "batch channel y x"], known: Float[Tensor, "batch channel"], hardest: int | None
) -> Float[Tensor, ""]:
    """Mean of squared differences over pictures and channels; of so many channels of each picture that are farthest
    off, where that is said."""
    each = known * squares.mean((-2, -1))
    return (each if hardest is None else each.topk(hardest, -1).values).mean()


def torso_loss(
    said: Float[Tensor, "batch 7 y x"], cells: Int[Tensor, "batch person 7"], depth: Float[Tensor, "batch person 7"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of depths at their cells (`SceneMaps.depths`); 0 where nothing is annotated."""
    at = said.flatten(2).gather(2, cells.transpose(1, 2)).transpose(1, 2)
    known = depth.isfinite()
    return TORSO_DEPTHS * ((at - torch.nan_to_num(depth)).abs() * known).sum() / known.sum().clamp_min(1)


def level_weight(level: int) -> float:
    """Of a stage's levels, the finest being 0."""
    return OTHERS if level else FINEST


def distillation_weight(done: float, most: float = 1.0, rising: float = 0.25) -> float:
    """Weight of the distance between student and teacher: from 0 evenly to `most` over the first quarter of the
    training.
    """
    return most * min(done / rising, 1.0)
