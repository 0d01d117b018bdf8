"""Calm without lag: the lifter's answers for the frames around a moment, weighed by how certain they are. Ours.

A parabola is fitted to the answers near in time (weighted least squares). Its slope and curvature have a cost, so that
it is calm where no later frames are known: a symmetric window has no lag, the end of a record a small one. The widths
and costs were chosen on held-out motion capture with the noise of `movenet`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from occlupose.methods.lifter.network import LifterOutput
from occlupose.networks.temporal_transformer import FUTURE, MARGIN

BEFORE = 0.2
"""Seconds before a frame that count."""

AFTER = 0.1
"""Seconds after it."""

LOOK_AHEAD = FUTURE - AFTER
"""Seconds of later frames that an answer depends on before it is smoothed."""

WIDTH = 0.06
"""Seconds, standard deviation of the weight of a frame by its distance in time."""

SLOPE_COST = 0.3
CURVATURE_COST = 1.0
"""Costs of the slope and the curvature, in units of WIDTH."""

CHUNK = 8192
"""Frames and their neighbours that are smoothed at once."""


def smooth_lifted(
    lifted: LifterOutput, there: Bool[Tensor, "person time"], time: Float[Tensor, "time"], wanted: slice
) -> LifterOutput:
    """The network's answers for some frames, with joints and root smoothed over time. The root is NaN where there is no
    answer. Arguments as of `smooth`.
    """
    values = torch.cat([lifted.xyz, lifted.root[:, :, None]], 2)
    factors = torch.cat([lifted.factor, lifted.root_factor[:, :, None]], 2)
    factors = torch.where(there[:, :, None, None, None], factors, torch.eye(3))
    calm = smooth(values, torch.linalg.inv(factors).square().sum((-1, -2)), there, time, wanted)
    root = torch.where(there[:, wanted, None], calm[:, :, -1], torch.nan)
    return LifterOutput(calm[:, :, :-1], lifted.factor[:, wanted], root, lifted.root_factor[:, wanted])


def smooth(
    values: Float[Tensor, "person time point 3"],
    variance: Float[Tensor, "person time point"],
    there: Bool[Tensor, "person time"],
    time: Float[Tensor, "time"],
    wanted: slice,
) -> Float[Tensor, "person wanted point 3"]:
    """The values of some frames, smoothed over time.

    Arguments:
        variance: of each value.
        there: frames that have values.
        time: of each frame, seconds.
        wanted: frames that are returned; NaN where nothing is near in time.
    """
    frames = torch.arange(len(time))[wanted]
    neighbours = torch.searchsorted(time, time + BEFORE + AFTER, right=True) - torch.arange(len(time))
    rows = max(1, CHUNK // int(neighbours.max()))
    return torch.cat([_smooth_chunk(values, variance, there, time, part) for part in frames.split(rows)], 1)


def _smooth_chunk(
    values: Float[Tensor, "person time point 3"],
    variance: Float[Tensor, "person time point"],
    there: Bool[Tensor, "person time"],
    time: Float[Tensor, "time"],
    frames: Int[Tensor, "wanted"],
) -> Float[Tensor, "person wanted point 3"]:
    now = time[frames, None]
    first = torch.searchsorted(time, now - BEFORE - MARGIN)
    stop = torch.searchsorted(time, now + AFTER + MARGIN, right=True)
    others = first + torch.arange(int((stop - first).max()))
    inside = others < stop
    others = others.clamp_max(len(time) - 1)
    place = (time[others] - now) / WIDTH
    inside = inside & there[:, others]
    weight = torch.where(inside[..., None], 1 / variance[:, others].double(), 0.0)
    weight = weight * torch.exp(-0.5 * place**2)[..., None]
    weight = weight / weight.sum(2, keepdim=True)
    given = torch.where(inside[..., None, None], values[:, others], 0.0).double()
    powers = place[..., None] ** torch.arange(5)
    moments = torch.einsum("pwkj,wkn->npwj", weight, powers)[..., None]
    sums = torch.einsum("pwkj,wkn,pwkjc->npwjc", weight, powers[..., :3], given)
    return _solve(moments, sums).to(values.dtype)


def _solve(moments: Float[Tensor, "5 *batch 1"], sums: Float[Tensor, "3 *batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The constant of the parabola with these normal equations, by Cramer's rule."""
    _, one, two, three, four = moments
    slope = two + SLOPE_COST
    curvature = four + CURVATURE_COST
    across = slope * curvature - three**2
    mixed = one * curvature - two * three
    rest = one * three - slope * two
    determinant = across - one * mixed + two * rest
    return (across * sums[0] - mixed * sums[1] + rest * sums[2]) / determinant
