"""Losses of the base networks that DSED is placed behind."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from occlupose.codecs.composite_fields import AssociationField, IntensityField
from occlupose.training.distributed import batch_count

LOG_2 = math.log(2)


def heatmap_loss(
    output: Float[Tensor, "batch joint y x"],
    target: Float[Tensor, "batch joint y x"],
    annotated: Bool[Tensor, "batch joint"],
    foreground_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean squared error of heatmaps, 0 for joints that are not annotated.

    Arguments:
        foreground_weight: weight of cells with a joint, times the height of its Gaussian, relative to empty cells
            (ours; 1 is published).
    """
    squares = (output.float() - target) ** 2
    squares = squares * (1 + (foreground_weight - 1) * target)
    return (squares * annotated[:, :, None, None]).mean()


def field_loss(
    output: Float[Tensor, "batch limb*2 y x"],
    target: Float[Tensor, "batch limb 2 y x"],
    annotated: Bool[Tensor, "batch limb"],
    foreground_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean squared error of part affinity fields, 0 for limbs that are not annotated.

    Arguments:
        output: x and y limb by limb.
        foreground_weight: weight of cells with a limb, relative to empty cells (ours; 1 is published).
    """
    squares = (output.float().unflatten(1, target.shape[1:3]) - target) ** 2
    squares = squares * (1 + (foreground_weight - 1) * (target != 0).any(2, keepdim=True))
    return (squares * annotated[:, :, None, None, None]).mean()


def tag_losses(
    tags: Float[Tensor, "batch joint y x"],
    cells: Int[Tensor, "batch person joint"],
    known: Bool[Tensor, "batch person joint"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Pull and push of associative embedding (Newell et al. 2017, eq. 1), means over images.

    A person's joints are pulled to their mean tag: the mean square distance, over joints and people. The means of
    different people are pushed apart: exp(-d^2), summed over ordered pairs and divided by the square of the number of
    people. The paper leaves the width of this Gaussian open; this one is the published code's. A person paired with
    itself, which the paper counts too, would add a constant and is left out.

    Arguments:
        cells: index of each joint's cell, row by row.
        known: joints whose place is known.
    """
    values = tags.flatten(2).gather(2, cells.transpose(1, 2)).transpose(1, 2)
    joints = known.sum(-1).clamp_min(1)
    mean = (values * known).sum(-1) / joints
    spread = ((values - mean[..., None]) ** 2 * known).sum(-1) / joints
    person = known.any(-1)
    people = person.sum(-1).clamp_min(1)
    pairs = person[:, :, None] & person[:, None]
    pairs = pairs & ~torch.eye(person.shape[1], dtype=torch.bool, device=person.device)
    near = torch.exp(-((mean[:, :, None] - mean[:, None]) ** 2))
    pull = spread.sum(-1) / people
    push = (near * pairs).sum((1, 2)) / people**2
    return pull.mean(), push.mean()


@dataclass
class CompositeLoss:
    """Parts of the loss of a composite field."""

    confidence: Float[Tensor, ""]
    offset: Float[Tensor, ""]
    scale: Float[Tensor, ""]


def composite_loss(
    output: IntensityField | AssociationField,
    target: IntensityField | AssociationField,
    annotated: Bool[Tensor, "batch channel"],
) -> CompositeLoss:
    """PifPaf's losses of a composite field (Kreiss et al. 2019, section 3.4), for the channels that are annotated.

    Of the confidence the binary cross entropy over all cells; of the offsets that of a Laplace distribution, d / b +
    log(2 b), with the distance d and the predicted spread b; of the scales the absolute difference of their logarithms
    (ours; the paper is silent). Offsets and scales are those of cells with a joint or limb. All are sums, divided by
    the number of these cells (ours).
    """
    known = annotated[:, :, None, None]
    foreground = (target.confidence > 0) & known
    cells = batch_count(foreground.sum())
    entropy = binary_cross_entropy_with_logits(output.confidence.float(), target.confidence, reduction="none")
    assert output.spread is not None
    ends = target.offset.shape[2:-3]  # none of a joint, two of a limb
    mask = foreground if not ends else foreground[:, :, None]
    # the gradient of a distance of 0 is not a number
    distance = ((output.offset.float() - target.offset).square().sum(-3) + 1e-6).sqrt()
    spread = output.spread.float().clamp(-5, 5)
    laplace = distance * torch.exp(-spread) + spread + LOG_2
    scales = (output.scale.float() - target.scale.clamp_min(1e-3).log()).abs()
    return CompositeLoss((entropy * known).sum() / cells, (laplace * mask).sum() / cells, (scales * mask).sum() / cells)
