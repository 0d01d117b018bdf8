"""Composite fields of PifPaf (Kreiss et al., CVPR 2019): targets of the network, and their accumulation into maps.

The intensity field of a joint has in every cell a confidence, an offset to the joint, the spread of the offset's error,
and a scale; the association field of a limb has a confidence, and an offset, a spread and a scale for either of its
joints. Offsets are cells from the cell's centre; cells are `stride` px wide, as in `multi_person`.

Ours, where the paper is silent or needs what our batches lack: a joint's scale is its sigma in object keypoint
similarity times the square root of the area of the box around all labelled joints; widths are those below.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.codecs.multi_person import JointSubset, MultiPersonMaps, PeopleBatch, joint_mask, limb_mask

REACH = 2.0
"""Cells with an offset to a joint are nearer than this along either axis: a square of 4 x 4, as published."""

LIMB_REACH = 1.5
"""Cells with offsets to the joints of a limb are nearer than this to the line between them (ours)."""

MIN_SCALE = 0.25
"""Minimum scale, cells (ours)."""

VOTES = 16
"""Cells that vote for a joint: those of REACH."""

MIN_CONFIDENCE = 0.1
"""Cells with less confidence do not vote, as published."""

VOTE_SIGMA = (1.0, 2.6)
"""Minimum and maximum standard deviation of a vote, cells of the accumulated map (ours): about those of the kernels
that the reasoner learns from.
"""

PATCH = 6
"""Votes are counted up to this many cells away along either axis."""


@dataclass
class IntensityField:
    """Of every joint; targets, or the output of a network.

    Attributes:
        confidence: 0..1; logits for the output of a network.
        offset: to the joint, cells; x, y.
        scale: cells; logarithms for the output of a network.
        spread: of the offset's error, cells, as a logarithm; None for targets.
    """

    confidence: Float[Tensor, "batch joint y x"]
    offset: Float[Tensor, "batch joint 2 y x"]
    scale: Float[Tensor, "batch joint y x"]
    spread: Float[Tensor, "batch joint y x"] | None = None


@dataclass
class AssociationField:
    """Of every limb; targets, or the output of a network.

    Attributes:
        confidence: 0..1; logits for the output of a network.
        offset: to the first and to the second joint, cells; x, y of each.
        scale: of either joint, cells; logarithms for the output of a network.
        spread: of the offsets' errors, cells, as logarithms; None for targets.
    """

    confidence: Float[Tensor, "batch limb y x"]
    offset: Float[Tensor, "batch limb 2 2 y x"]
    scale: Float[Tensor, "batch limb 2 y x"]
    spread: Float[Tensor, "batch limb 2 y x"] | None = None


def encode_joints(people: PeopleBatch, codec: MultiPersonMaps, subset: JointSubset) -> IntensityField:
    """Targets of the intensity fields. Where several people's joints reach a cell, the nearest counts.

    Arguments:
        codec: of the fields' stride; gives joints and limbs.
    """
    joints = _joint_cells(people, codec)
    scale = joint_scales(people, codec)
    chosen = joint_mask(people.state, subset) & joints.isfinite().all(-1)
    cells = _cells(codec, joints)
    shape = (*people.state.shape[::2], *codec.shape)
    nearest = cells.new_full(shape, torch.inf)
    offset = cells.new_zeros(*shape[:2], 2, *codec.shape)
    scales = cells.new_zeros(shape)
    for person in range(people.state.shape[1]):
        way = torch.nan_to_num(joints[:, person])[..., None, None] - cells
        distance = way.square().sum(2)
        inside = (way.abs() <= REACH).all(2) & chosen[:, person, :, None, None] & (distance < nearest)
        nearest = torch.where(inside, distance, nearest)
        offset = torch.where(inside[:, :, None], way, offset)
        scales = torch.where(inside, scale[:, person, :, None, None], scales)
    return IntensityField(nearest.isfinite().float(), offset, scales)


def encode_limbs(people: PeopleBatch, codec: MultiPersonMaps, subset: JointSubset) -> AssociationField:
    """Targets of the association fields. Where several people's limbs reach a cell, the nearest counts."""
    sources, targets = codec.limbs
    joints = _joint_cells(people, codec)
    scale = joint_scales(people, codec)
    known = joints.isfinite().all(-1)
    chosen = limb_mask(people.state, sources, targets, subset) & known[..., sources] & known[..., targets]
    joints = torch.nan_to_num(joints)
    cells = _cells(codec, joints)
    shape = (len(joints), len(sources), *codec.shape)
    nearest = cells.new_full(shape, torch.inf)
    offset = cells.new_zeros(*shape[:2], 2, 2, *codec.shape)
    scales = cells.new_zeros(*shape[:2], 2, *codec.shape)
    for person in range(people.state.shape[1]):
        ends = torch.stack([joints[:, person, sources], joints[:, person, targets]], 2)  # batch, limb, end, 2
        distance = _distance_to_line(cells, ends[:, :, 0], ends[:, :, 1])
        inside = (distance <= LIMB_REACH) & chosen[:, person, :, None, None] & (distance < nearest)
        nearest = torch.where(inside, distance, nearest)
        offset = torch.where(inside[:, :, None, None], ends[..., None, None] - cells, offset)
        both = torch.stack([scale[:, person, sources], scale[:, person, targets]], 2)
        scales = torch.where(inside[:, :, None], both[..., None, None], scales)
    return AssociationField(nearest.isfinite().float(), offset, scales)


def joint_scales(people: PeopleBatch, codec: MultiPersonMaps) -> Float[Tensor, "batch person joint"]:
    """Scale of every joint, cells."""
    known = (people.state > 0) & people.xy.isfinite().all(-1)
    xy = torch.nan_to_num(people.xy)
    low = torch.where(known[..., None], xy, torch.inf).amin(2)
    high = torch.where(known[..., None], xy, -torch.inf).amax(2)
    area = (high - low).clamp_min(0).nan_to_num(0, 0, 0).prod(-1)
    sigmas = torch.tensor(codec.skeleton.sigmas or (0.08,) * len(codec.skeleton), device=xy.device)
    return (sigmas * area.sqrt()[..., None] / codec.stride).clamp_min(MIN_SCALE)


def accumulate(field: IntensityField, ratio: int) -> Float[Tensor, "batch joint y x"]:
    """Maps of joints in a finer resolution: every cell votes for the place where it believes the joint to be, by its
    confidence, with a Gaussian as wide as the joint's scale (Kreiss eq. 1). The sum of the votes of all cells of a
    joint is 1 at most.

    Arguments:
        field: the output of a network.
        ratio: cells of the map per cell of the field, along either axis.
    """
    confidence = field.confidence.float().sigmoid()
    batch, joints, rows, columns = confidence.shape
    height = rows * ratio
    width = columns * ratio
    row = torch.arange(rows, device=confidence.device).float()
    column = torch.arange(columns, device=confidence.device).float()
    x = ratio * (field.offset[:, :, 0].float() + column + 0.5) - 0.5
    y = ratio * (field.offset[:, :, 1].float() + row[:, None] + 0.5) - 0.5
    voters = (confidence > MIN_CONFIDENCE).nonzero(as_tuple=True)
    sigma = (ratio * field.scale.float().exp()[voters]).clamp(*VOTE_SIGMA)
    x = x[voters]
    y = y[voters]
    steps = torch.arange(-PATCH, PATCH + 1, device=x.device)
    at_x = x.round().long()[:, None] + steps
    at_y = y.round().long()[:, None] + steps
    across = torch.exp(-((at_x - x[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
    down = torch.exp(-((at_y - y[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
    votes = (confidence[voters] / VOTES)[:, None, None] * down[:, :, None] * across[:, None]
    inside = ((at_y >= 0) & (at_y < height))[:, :, None] & ((at_x >= 0) & (at_x < width))[:, None]
    of_map = voters[0] * joints + voters[1]
    index = (of_map[:, None, None] * height + at_y[:, :, None]) * width + at_x[:, None]
    total = x.new_zeros(batch * joints * height * width)
    total.index_add_(0, index[inside], votes[inside])
    return total.reshape(batch, joints, height, width).clamp_max(1)


def directions(field: AssociationField) -> Float[Tensor, "batch limb 2 y x"]:
    """Part affinity fields from association fields: the direction from the first to the second joint, as long as the
    cell is confident (ours).

    Arguments:
        field: the output of a network.
    """
    way = (field.offset[:, :, 1] - field.offset[:, :, 0]).float()
    unit = way / way.norm(dim=2, keepdim=True).clamp_min(1e-6)
    return field.confidence.float().sigmoid()[:, :, None] * unit


def _joint_cells(people: PeopleBatch, codec: MultiPersonMaps) -> Float[Tensor, "batch person joint 2"]:
    return (people.xy + 0.5) / codec.stride - 0.5


def _cells(codec: MultiPersonMaps, like: Tensor) -> Float[Tensor, "2 y x"]:
    """Coordinates (x, y) of the cells."""
    rows, columns = codec.shape
    y = torch.arange(rows, dtype=like.dtype, device=like.device)[:, None].expand(rows, columns)
    x = torch.arange(columns, dtype=like.dtype, device=like.device).expand(rows, columns)
    return torch.stack([x, y])


def _distance_to_line(
    cells: Float[Tensor, "2 y x"], start: Float[Tensor, "batch limb 2"], end: Float[Tensor, "batch limb 2"]
) -> Float[Tensor, "batch limb y x"]:
    """Distance of cells to the line between two points."""
    way = (end - start)[..., None, None]
    from_start = cells - start[..., None, None]
    along = (from_start * way).sum(2) / way.square().sum(2).clamp_min(1e-6)
    return (from_start - along.clamp(0, 1)[:, :, None] * way).norm(dim=2)
