"""From 2D joints over time to 3D: any frame rate, any number of people, with the networks of `lifter`."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.oanet.lifter.inputs import prepare
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.networks.tcn import STRIDE

RATE = 30.0
"""Frames a second that the networks have learnt."""

WINDOW = 256
"""Strides of the networks that are lifted at once; longer tracks go in windows that overlap by the networks' reach, to
the same result.
"""

SLOWEST = 20.0
"""Below this many frames a second, frames in between are put in as unseen."""

MOST_BETWEEN = 15
"""Frames of the networks for one of the video, at most: beyond, the video is too slow to be one motion to them."""


@dataclass(frozen=True)
class Lifted:
    """Answers of the lifter for each frame and person."""

    xyz: Float[np.ndarray, "time person 17 3"]
    """Metres, relative to the pelvis, axes of the camera frame; H36M-17."""
    rays: Float[np.ndarray, "time person 22 2"]
    """Completed 2D joints (BODY22) on the plane z = 1 of the camera frame; rough for joints that the 2D skeleton does
    not have.
    """


def lift_rays(
    lifter: Lifter, rays: Float[np.ndarray, "time person 22 2"], seen: Bool[np.ndarray, "time person 22"], fps: float
) -> Lifted:
    """Lifts people seen on the camera's plane z = 1. OANet's 2D and 3D TCN; frame rates other than about 30/s are ours.

    Fast video is lifted as several interleaved sequences, slow video with unseen frames in between, so that the
    networks always meet the speed that they know.

    Arguments:
        rays: BODY22 joints as (x/z, y/z); anything where not seen.
        seen: which joints to believe. A person of whom nothing is ever seen gets an average pose.
        fps: frames a second.
    """
    faster = phases(fps)
    slower = spacing(fps)
    step = STRIDE * faster
    context = ceil(lifter.delay * faster / slower / step) * step
    windows = []
    for first in range(0, len(rays), WINDOW * step):
        begin = max(0, first - context)
        stop = first + WINDOW * step
        part = slice(begin, stop + context)
        windows.append(
            [
                answer[first - begin : stop - begin]
                for answer in _lift_window(lifter, rays[part], seen[part], faster, slower)
            ]
        )
    if not windows:
        return Lifted(np.zeros((*rays.shape[:2], 17, 3), np.float32), np.zeros((*rays.shape[:2], 22, 2), np.float32))
    return Lifted(*(np.concatenate(parts) for parts in zip(*windows, strict=True)))


def _lift_window(
    lifter: Lifter,
    rays: Float[np.ndarray, "time person 22 2"],
    seen: Bool[np.ndarray, "time person 22"],
    faster: int,
    slower: int,
) -> tuple[Float[np.ndarray, "time person 17 3"], Float[np.ndarray, "time person 22 2"]]:
    """3D joints and completed 2D joints of a stretch short enough to be held in memory as a whole."""
    points = torch.from_numpy(np.where(seen[..., None], rays, 0.0).astype(np.float32)).transpose(0, 1)
    known = torch.from_numpy(np.array(seen)).transpose(0, 1)
    if slower > 1:
        points = _spread(points, slower)
        known = _spread(known, slower)
    inputs = prepare(_interleave(points, faster), _interleave(known, faster))
    device = next(lifter.parameters()).device
    with torch.inference_mode():
        complete, xyz = (answer.cpu() for answer in lifter(inputs.channels.to(device)))
    back = in_camera(xyz, complete, inputs.size, inputs.rotation)
    turned, plane = (
        _deinterleave(answer, faster)[:, ::slower][:, : len(rays)].transpose(0, 1).numpy() for answer in back
    )
    return turned, plane


def phases(fps: float) -> int:
    """Interleaved sequences that a video of this rate is lifted as."""
    return max(1, round(fps / RATE))


def spacing(fps: float) -> int:
    """Frames of the networks for each frame of a video of this rate; all but the first are unseen."""
    return 1 if fps >= SLOWEST else min(MOST_BETWEEN, round(RATE / fps))


def in_camera(
    xyz: Float[Tensor, "batch time 17 3"],
    complete: Float[Tensor, "batch time 22 2"],
    size: Float[Tensor, "batch time 1"],
    rotation: Float[Tensor, "batch time 3 3"],
) -> tuple[Float[Tensor, "batch time 17 3"], Float[Tensor, "batch time 22 2"]]:
    """3D joints in the camera's axes, and completed 2D joints on its plane z = 1, from those of the turned, scaled
    camera.
    """
    direction = torch.cat([complete * size.unsqueeze(-1), torch.ones_like(complete[..., :1])], -1) @ rotation
    return xyz @ rotation, direction[..., :2] / direction[..., 2:].clamp_min(0.05)


def _spread(values: Tensor, factor: int) -> Tensor:
    """Zeros (unseen frames) between the frames."""
    spread = values.new_zeros(values.shape[0], values.shape[1] * factor, *values.shape[2:])
    spread[:, ::factor] = values
    return spread


def _interleave(values: Tensor, phases: int) -> Tensor:
    """(person, time, ...) to (person * phase, time / phase, ...), the last frame held up to a multiple of the networks'
    stride.
    """
    length = ceil(values.shape[1] / (phases * STRIDE)) * phases * STRIDE
    hold = values[:, -1:].expand(-1, length - values.shape[1], *values.shape[2:])
    return torch.cat([values, hold], 1).unflatten(1, (-1, phases)).transpose(1, 2).flatten(0, 1)


def _deinterleave(values: Tensor, phases: int) -> Tensor:
    return values.unflatten(0, (-1, phases)).transpose(1, 2).flatten(1, 2)
