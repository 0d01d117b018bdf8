"""A person's bones: lengths from joints, and the shape of head and feet."""

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.kinematics.body_tree import BodyTree
from occlupose.kinematics.observations import Observations

DEVIATION = 0.1
"""Standard deviation of a bone's length relative to a body of this person's size. Ours."""

SIZE_SIGMA = 0.3
"""Standard deviation of a person's size, relative to an average adult's. Ours."""

RIGID_SIGMA = 0.02
"""Standard deviation of a place on head or foot from an average person's, metres. Ours."""

INDEPENDENT = 10.0
"""Per second: independent observations of a length, since errors last. Ours."""

FARTHEST = 5.0
"""Standard deviations from the median beyond which a length is an outlier."""

SHORTEST = 0.01
"""Metres of a bone."""


def measure_bones(tree: BodyTree, observations: Observations, fps: float) -> Float[Tensor, "bone 3"]:
    """The bones at rest of an average adult, with this person's lengths.

    A squared length is the mean over frames of |end - start|^2 minus what errors add to it, the traces of their
    covariances: noise makes every distance longer. Errors that last are those of an estimate, which is as likely to be
    too short: then a length is the mean distance, weighed by the inverse variance. Bones between which no joint is
    known, as in the back, are measured together, as if straight. Combined with an average adult of this person's size,
    by the variances.
    """
    rows = {point: row for row, point in enumerate(observations.points.tolist())}
    scale = torch.ones(len(tree.rest), dtype=torch.float64)
    variance = torch.full_like(scale, torch.inf)
    for bone in range(len(tree.rest)):
        chain = _chain(tree, bone, rows)
        if chain:
            straight = float(tree.rest[chain].sum(0).norm())
            length, error = _mean_length(observations, rows[tree.start[chain[-1]]], rows[bone + 1], fps)
            scale[chain] = length / straight
            variance[chain] = error / straight**2
    weight = 1 / (variance + DEVIATION**2)
    size = (SIZE_SIGMA**-2 + (weight * scale).sum()) / (SIZE_SIGMA**-2 + weight.sum())
    share = 1 / (1 + variance / (DEVIATION * size) ** 2)
    return tree.rest * (size + share * (scale - size))[:, None]


def _chain(tree: BodyTree, bone: int, rows: dict[int, int]) -> list[int]:
    """The bones from a known point back to the nearest known one before it; none if there is none."""
    chain = [bone]
    while bone + 1 in rows and tree.start[chain[-1]] not in rows and tree.start[chain[-1]] > 0:
        chain.append(tree.start[chain[-1]] - 1)
    return chain if bone + 1 in rows and tree.start[chain[-1]] in rows else []


def _mean_length(observations: Observations, start: int, end: int, fps: float) -> tuple[float, float]:
    """Mean distance of two joints and its variance; (1, infinity) if unknown.

    A mean cannot be more certain than the errors of the joints or the spread of the lengths let it be.
    """
    both = observations.known[:, start] & observations.known[:, end]
    if not both.any():
        return 1.0, torch.inf
    distance = (observations.xyz[both, end] - observations.xyz[both, start]).norm(dim=-1)
    added = _trace(observations.precision[both, start]) + _trace(observations.precision[both, end])
    count = max(1.0, INDEPENDENT * len(distance) / fps)
    if observations.lasting:
        length = float((distance / added).sum() / (1 / added).sum())
        spread = 1.48 * float((distance - distance.median()).abs().median())
        return length, max(spread**2, float(added.median()) / 3 / max(1.0, observations.lasting)) / count
    length, spread = _without_noise(distance.square() - added)
    return length, max(spread**2, float(added.median()) / 3) / count


def _without_noise(squared: Float[Tensor, "time"]) -> tuple[float, float]:
    """Square root of the mean without outliers, and the spread of the roots."""
    median = squared.median()
    spread = 1.48 * (squared - median).abs().median()
    mean = squared[(squared - median).abs() <= FARTHEST * spread].mean()
    length = mean.clamp_min(SHORTEST**2).sqrt()
    return float(length), float(spread / (2 * length))


def _noise(observations: Observations, row: int) -> Float[Tensor, ""]:
    """Median variance along an axis of a joint."""
    return _trace(observations.precision[observations.known[:, row], row]).median() / 3


def _trace(precision: Float[Tensor, "time 3 3"]) -> Float[Tensor, "time"]:
    return precision.inverse().diagonal(dim1=-2, dim2=-1).sum(-1)


def shape_rigid_parts(
    tree: BodyTree,
    offsets: Float[Tensor, "bone 3"],
    rotation: Float[Tensor, "time segment 3 3"],
    observations: Observations,
) -> Float[Tensor, "bone 3"]:
    """The same bones, with those of head and feet where this person has them in the axes of the segment.

    Only where two or more bones of a segment are known: one alone turns the segment instead.
    """
    rows = {point: row for row, point in enumerate(observations.points.tolist())}
    shaped = offsets.clone()
    bones = [bone for bone in tree.rigid.nonzero().flatten().tolist() if bone + 1 in rows and tree.start[bone] in rows]
    carriers = [int(tree.carrier[bone]) for bone in bones]
    for bone, carrier in zip(bones, carriers, strict=True):
        both = observations.known[:, rows[bone + 1]] & observations.known[:, rows[tree.start[bone]]]
        if carriers.count(carrier) < 2 or not both.any():
            continue
        vector = observations.xyz[both, rows[bone + 1]] - observations.xyz[both, rows[tree.start[bone]]]
        own = (rotation[both, carrier].mT @ vector[..., None]).squeeze(-1).median(0).values
        variance = _noise(observations, rows[bone + 1]) / both.sum()
        shaped[bone] += (own - offsets[bone]) / (1 + variance / RIGID_SIGMA**2)
    return shaped
