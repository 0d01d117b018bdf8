"""L = l_theta L_theta + l_beta L_beta + l_pos L_pos + l_sil L_sil (HUPOR's supplement, section 2.2)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.bounds import Bounded, NonNegative
from occlupose.training.distributed import batch_count


@dataclass(frozen=True)
class SSFLossWeights(Bounded):
    """The weight of each loss.

    Raises:
        OccluposeError: a weight is negative.
    """

    theta: NonNegative = 1.0
    beta: NonNegative = 0.5
    pos: NonNegative = 10.0
    sil: NonNegative = 0.1


TRAINING = SSFLossWeights()
"""As published for training."""

LABELLING = SSFLossWeights(theta=0.0, beta=0.0)
"""As published for the generation of labels, where the true pose and shape are unknown."""

MIN_CELLS = 1.0
"""Minimum number of visible cells of a person for the silhouette to count; ours."""


def pose_loss(
    output: Float[Tensor, "batch segment 3 3"], truth: Float[Tensor, "batch segment 3 3"]
) -> Float[Tensor, ""]:
    """L_theta: mean squared error of the rotation matrices (ours; the paper does not name the representation)."""
    return ((output - truth) ** 2).mean()


def shape_loss(
    output: Float[Tensor, "batch shape"], truth: Float[Tensor, "batch shape"], span: Float[Tensor, "shape"]
) -> Float[Tensor, ""]:
    """L_beta: mean squared error of the shape parameters relative to their range (ours: HUPOR has SMPL's, in standard
    deviations).
    """
    return (((output - truth) / span) ** 2).mean()


def position_loss(
    output: Float[Tensor, "batch joint 3"],
    joints: Float[Tensor, "batch joint 3"],
    fit_mask: Bool[Tensor, "joint"] | None = None,
) -> Float[Tensor, ""]:
    """L_pos: mean distance of the known joints, metres."""
    known = joints.isfinite().all(-1)
    if fit_mask is not None:
        known = known & fit_mask
    difference = torch.where(known[..., None], output - joints, 0.0)
    return ((difference.square().sum(-1) + 1e-12).sqrt() * known).sum() / batch_count(known.sum())


def silhouette_loss(
    output: Float[Tensor, "batch size size"],
    mask: Float[Tensor, "batch size size"],
    valid: Float[Tensor, "batch size size"],
) -> Float[Tensor, ""]:
    """L_sil: 1 - IoU of the silhouettes over valid pixels, which no nearer person covers; the mean over visible people,
    0 if nobody is visible. The paper does not define the loss; the IoU is ours.
    """
    intersection = (output * mask * valid).sum((1, 2))
    union = ((output + mask - output * mask) * valid).sum((1, 2))
    visible = (mask * valid).sum((1, 2)) >= MIN_CELLS
    loss = torch.where(visible, 1 - intersection / union.clamp_min(1e-6), 0.0)
    return loss.sum() / batch_count(visible.sum())
