"""L = l_theta L_theta + l_beta L_beta + l_pos L_pos + l_sil L_sil (HUPOR's supplement, section 2.2)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.errors import OccluposeError


@dataclass(frozen=True)
class SSFLossWeights:
    """How much each loss counts.

    Raises:
        OccluposeError: one is below 0.
    """

    theta: float = 1.0
    beta: float = 0.5
    pos: float = 10.0
    sil: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise OccluposeError(f"{name} {value}: a weight is 0 or more")


TRAINING = SSFLossWeights()
"""As published for training."""

LABELLING = SSFLossWeights(theta=0.0, beta=0.0)
"""As published for the generation of labels, where nobody knows the true pose and shape."""


def pose_loss(
    answer: Float[Tensor, "batch segment 3 3"], truth: Float[Tensor, "batch segment 3 3"]
) -> Float[Tensor, ""]:
    """L_theta: mean squared difference of the rotations' matrices. That they are compared as matrices is ours."""
    return ((answer - truth) ** 2).mean()


def shape_loss(
    answer: Float[Tensor, "batch shape"], truth: Float[Tensor, "batch shape"], span: Float[Tensor, "shape"]
) -> Float[Tensor, ""]:
    """L_beta: mean squared difference of the shapes, as shares of their span (ours: HUPOR's are SMPL's, in standard
    deviations).
    """
    return (((answer - truth) / span) ** 2).mean()


def position_loss(
    answer: Float[Tensor, "batch joint 3"],
    joints: Float[Tensor, "batch joint 3"],
    believed: Bool[Tensor, "joint"] | None = None,
) -> Float[Tensor, ""]:
    """L_pos: mean distance of the joints that are known, metres."""
    known = joints.isfinite().all(-1)
    if believed is not None:
        known = known & believed
    away = torch.where(known[..., None], answer - joints, 0.0)
    return ((away.square().sum(-1) + 1e-12).sqrt() * known).sum() / known.sum().clamp_min(1)


def silhouette_loss(
    answer: Float[Tensor, "batch size size"],
    seen: Float[Tensor, "batch size size"],
    open: Float[Tensor, "batch size size"],
) -> Float[Tensor, ""]:
    """L_sil: 1 - IoU of the silhouettes, 0 where they are the same, over the pixels that are not covered by people who
    are nearer.

    Means over the people of whom something is seen; 0 where there is nobody. That it is the IoU is ours; the paper does
    not say.
    """
    both = (answer * seen * open).sum((1, 2))
    either = ((answer + seen - answer * seen) * open).sum((1, 2))
    there = (seen * open).sum((1, 2)) >= MIN_CELLS
    return torch.where(there, 1 - both / either.clamp_min(1e-6), 0.0).sum() / there.sum().clamp_min(1)


MIN_CELLS = 1.0
"""Cells that must be seen of somebody before the outline counts; ours."""
