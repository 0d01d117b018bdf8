"""Calm without lag: the lifter's answers for the frames around a moment, weighed by how certain they are. Ours.

A parabola is fitted to the answers near in time (weighted least squares). Its slope and curvature have a cost, so that
it is calm where no later frames are known: a symmetric window has no lag, the end of a record has one of about 20 ms at
60 frames/s. The widths and costs were chosen on held-out motion capture with the noise of the default front end.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.lifter.network import Lifted
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


def smooth_lifted(
    lifted: Lifted, there: Bool[Tensor, "person time"], time: Float[Tensor, "time"], wanted: slice
) -> Lifted:
    """The network's answers for some frames, with joints and root smoothed over time; arguments as of `smooth`."""
    values = torch.cat([lifted.xyz, lifted.root[:, :, None]], 2)
    factors = torch.cat([lifted.factor, lifted.root_factor[:, :, None]], 2)
    factors = torch.where(there[:, :, None, None, None], factors, torch.eye(3))
    calm = smooth(values, torch.linalg.inv(factors).square().sum((-1, -2)), there, time, wanted)
    return Lifted(calm[:, :, :-1], lifted.factor[:, wanted], calm[:, :, -1], lifted.root_factor[:, wanted])


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
        wanted: frames that are returned; all of them have values.
    """
    count = len(time)
    frames = torch.arange(count)[wanted]
    now = time[frames]
    first = int((frames - torch.searchsorted(time, now - BEFORE - MARGIN)).max())
    last = int((torch.searchsorted(time, now + AFTER + MARGIN, right=True) - 1 - frames).max())
    moments = torch.zeros(5, *values.shape[:1], len(frames), values.shape[2], 1, dtype=torch.float64)
    sums = torch.zeros(3, *values.shape[:1], len(frames), *values.shape[2:], dtype=torch.float64)
    for offset in range(-first, last + 1):
        others = (frames + offset).clamp(0, count - 1)
        apart = time[others] - now
        inside = (apart >= -BEFORE - MARGIN) & (apart <= AFTER + MARGIN) & (frames + offset == others)
        inside = inside & there[:, others]
        place = (apart / WIDTH)[:, None, None]
        weight = torch.where(inside[..., None], 1 / variance[:, others].double(), 0.0)[..., None]
        weight = weight * torch.exp(-0.5 * place**2)
        given = torch.where(inside[..., None, None], values[:, others], 0.0).double()
        for power in range(5):
            moments[power] += weight * place**power
        for power in range(3):
            sums[power] += weight * given * place**power
    return _solve(moments / moments[:1], sums / moments[:1]).to(values.dtype)


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
