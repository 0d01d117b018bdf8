"""Losses of the base networks that DSED is placed behind."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
