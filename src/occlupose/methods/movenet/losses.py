"""Targets and losses.

In photographs the heatmaps to learn are Thunder's own of the crop without occluders, darkened where something is in
front (OANet eq. 1: a heatmap is zero where its joint is occluded), with a peak at each joint on which the teacher's
views agree. A part of a photograph without a person has none, unless Thunder sees one. Synthetic people have a peak at
each visible joint. LJOF's structure loss (eq. 6) is added with a weight that grows (eq. 4). All else is ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from occlupose.methods.movenet.samples import BODY, CELLS, UNKNOWN, Sample
from occlupose.networks.movenet import STRIDE
from occlupose.networks.occlusion_movenet import MARGIN, PLACE_STRIDE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO21
from occlupose.training.distributed import batch_count

SIGMA = 1.3
"""Standard deviation of the peaks, cells; Thunder's own fall to 0.7 after one cell and to 0.3 after two."""

DARK = 2.5
"""Standard deviation of what is taken out of Thunder's heatmaps around a joint of the person, cells."""

OWN = 10.0
"""Cells around the feet of a person in a photograph where their heatmaps are known; those of others are not."""

NOBODY = 0.25
"""Presence below which Thunder sees nobody in a part of a photograph without a person; that of a new person."""

OFFSET_RADIUS = 2.5
"""Cells around a joint that learn its position."""

Maps = Float[Tensor, "batch 21 64 64"]


@dataclass
class Targets:
    """What the network is to answer.

    Attributes:
        heat: heatmaps, 0..1.
        heat_weight: of each cell.
        offset: positions of joints in the cells (y, x).
        offset_weight: of each cell.
    """

    heat: Maps
    heat_weight: Maps
    offset: Float[Tensor, "batch 21 2 64 64"]
    offset_weight: Maps


def make_targets(
    sample: Sample,
    heat: Float[Tensor, "batch 17 64 64"],
    offset: Float[Tensor, "batch 34 64 64"],
    *,
    dark: bool = True,
) -> Targets:
    """The targets of a batch.

    Arguments:
        heat, offset: Thunder's maps of `sample.photographs`, heatmaps from 0 to 1.
        dark: heatmaps have no peaks at hidden joints; otherwise they have the same as if the joint were visible.
    """
    real = sample.is_photograph[:, None, None, None]
    front = sample.covered[:, None]
    others = _bumps(sample.others.flatten(0, 1), SIGMA).unflatten(0, sample.others.shape[:2])
    known = (sample.weight > 0)[..., None, None]
    behind = (sample.state == OCCLUDED) | (sample.state == ABSENT)
    shown = (sample.state == VISIBLE) if dark else (sample.state == VISIBLE) | (sample.state == OCCLUDED)
    near = _bumps(sample.xy, DARK)
    changed = known & (behind | shown)[..., None, None]
    in_front = front if dark else front * sample.synthetic[:, None, None, None]
    base = functional.pad(heat * real * (1 - in_front), (0, 0, 0, 0, 0, len(COCO21) - BODY))
    base = torch.where(changed, base * (1 - near), base)
    base = base * _has_people(sample, heat)[:, None, None, None]
    peaks = _bumps(sample.xy, SIGMA) * (sample.score * shown)[..., None, None]
    target = torch.maximum(base, torch.where(known, peaks, 0.0))
    target = torch.maximum(target, others.amax(1) if others.shape[1] else torch.zeros_like(target))

    distance = _distances(sample.xy).square().sum(2).sqrt()
    feet = (distance < OWN) & known | (front > 0.5) | ~real
    weight = torch.ones_like(target)
    weight[:, BODY:] = (feet & (known | sample.synthetic[:, None, None, None]))[:, BODY:].float()

    distilled = functional.pad(offset.unflatten(1, (-1, 2)), (0, 0, 0, 0, 0, 0, 0, len(COCO21) - BODY))
    distilled_weight = base * (base > 0.1)
    exact = known & shown[..., None, None] & (distance < OFFSET_RADIUS)
    own_offset = -_distances(sample.xy).flip(2) + 0.5
    offsets = torch.where(exact[:, :, None], own_offset, distilled)
    return Targets(target, weight, offsets, torch.where(exact, target, distilled_weight))


def heat_loss(logits: Maps, targets: Targets) -> Float[Tensor, ""]:
    """Divergence of the heatmaps from their targets, summed over the cells."""
    cross = functional.binary_cross_entropy_with_logits(logits, targets.heat, reduction="none")
    least = functional.binary_cross_entropy(targets.heat, targets.heat, reduction="none")
    return ((cross - least) * targets.heat_weight).sum((2, 3)).mean()


def offset_loss(offsets: Float[Tensor, "batch 42 64 64"], targets: Targets) -> Float[Tensor, ""]:
    """Absolute error of the positions, cells, summed over the cells."""
    error = (offsets.unflatten(1, (-1, 2)) - targets.offset).abs().sum(2)
    return (error * targets.offset_weight).sum((2, 3)).mean()


def place_loss(places: Float[Tensor, "batch 21 64 64"], sample: Sample) -> Float[Tensor, ""]:
    """Mean negative logarithm of the probability of the true places, between the four cells around each. Those outside
    of the grid do not count.
    """
    count = places.shape[3]
    position = sample.xy / PLACE_STRIDE + MARGIN - 0.5
    inside = ((position >= 0) & (position <= count - 1)).all(2)
    weight = sample.weight * inside
    position = position.clamp(0, count - 1.001)
    cell = position.floor().long()
    part = position - cell
    total = torch.zeros_like(weight)
    for right in (0, 1):
        for down in (0, 1):
            share = (part[..., 0] if right else 1 - part[..., 0]) * (part[..., 1] if down else 1 - part[..., 1])
            index = (cell[..., 1] + down) * count + cell[..., 0] + right
            total = total - share * places.flatten(2).gather(2, index[..., None])[..., 0]
    return (total * weight).sum() / batch_count(weight.sum())


def visible_loss(logits: Float[Tensor, "batch 21"], sample: Sample) -> Float[Tensor, ""]:
    """Mean cross entropy of whether joints are visible, of those whose state is known."""
    known = (sample.state != UNKNOWN) & (sample.weight > 0)
    visible = (sample.state == VISIBLE).float()
    loss = functional.binary_cross_entropy_with_logits(logits, visible, reduction="none")
    return (loss * known).sum() / batch_count(known.sum())


def _has_people(sample: Sample, heat: Float[Tensor, "batch 17 64 64"]) -> Bool[Tensor, " batch"]:
    """Whether there is a person, or Thunder sees one."""
    best = heat.amax((2, 3)).sort(1).values[:, BODY // 2 :]  # as `frontends.crops.presence`
    return (sample.weight > 0).any(1) | (best.mean(1) >= NOBODY)


def _distances(xy: Float[Tensor, "batch 21 2"]) -> Float[Tensor, "batch 21 2 64 64"]:
    """From each joint to the middle of each cell (x, y), cells."""
    steps = torch.arange(CELLS, device=xy.device) + 0.5
    joint = xy / STRIDE
    x = (steps - joint[..., :1])[:, :, None, :].expand(-1, -1, CELLS, -1)
    y = (steps - joint[..., 1:])[:, :, :, None].expand(-1, -1, -1, CELLS)
    return torch.stack([x, y], 2)


def _bumps(xy: Float[Tensor, "batch 21 2"], sigma: float) -> Maps:
    """A Gaussian of height 1 at each joint; nothing where it is NaN."""
    steps = torch.arange(CELLS, device=xy.device) + 0.5
    along = torch.exp(-((steps - xy[..., None] / STRIDE) ** 2) / (2 * sigma**2)).nan_to_num(0)
    return along[:, :, 1, :, None] * along[:, :, 0, None, :]
