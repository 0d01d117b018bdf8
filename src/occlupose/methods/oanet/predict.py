"""2D joints over time to 3D with OANet's temporal networks, for any frame rate and any number of people."""

from math import ceil

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.oanet.inputs import FPS
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import H36M17

WINDOWS_AT_ONCE = 32
"""Windows of the networks' own length per forward pass, so that memory does not grow with the length."""

MIN_FPS = 20.0
"""Video with fewer frames per second is upsampled with unobserved frames."""

MAX_UPSAMPLING = 15
"""Largest upsampling factor; slower video has too few frames to be lifted as a motion."""


def lift_rays(
    oanet: OANetNetwork,
    rays: Float[np.ndarray, "time person joint 2"],
    observed: Bool[np.ndarray, "time person joint"],
    fps: float,
) -> Float[np.ndarray, "time person 17 3"]:
    """Lifts people on the camera's plane z = 1, to metres relative to the pelvis, in the axes of the camera. OANet's 2D
    and 3D TCN; frame rates other than about 30/s are ours.

    Fast video is lifted as several interleaved sequences, slow video with unobserved frames in between, so that the
    networks get the frame rate that they were trained with.

    Arguments:
        rays: joints of the encoder's skeleton as (x/z, y/z); ignored where not observed.
        observed: which joints are reliable. A person without any observation gets an average pose.
        fps: frames per second.
    """
    if not rays[:, :, 0].size:
        return np.zeros((*rays.shape[:2], len(H36M17), 3), np.float32)
    points = torch.from_numpy(np.where(observed[..., None], rays, 0.0).astype(np.float32)).transpose(0, 1)
    mask = torch.from_numpy(np.array(observed)).transpose(0, 1)
    upsampling = upsample_factor(fps)
    if upsampling > 1:
        points = _upsample(points, upsampling)
        mask = _upsample(mask, upsampling)
    interleaving = interleave_factor(fps)
    has_windows = points.shape[1] >= oanet.encoder.window * interleaving
    multiple = interleaving * (1 if has_windows else STRIDE)  # the length of a window is a multiple of the stride
    sequences = [_interleave(values, interleaving, multiple) for values in (points, mask)]
    lifted = _deinterleave(_lift_windows(oanet, *sequences), interleaving)
    return lifted[:, ::upsampling][:, : len(rays)].transpose(0, 1).numpy()


@torch.inference_mode()
def _lift_windows(
    oanet: OANetNetwork, rays: Float[Tensor, "sequence time joint 2"], observed: Bool[Tensor, "sequence time joint"]
) -> Float[Tensor, "sequence time 17 3"]:
    """3D joints of sequences at FPS; windows are averaged where they overlap (ours)."""
    device = next(oanet.parameters()).device
    windows = _windows(oanet, rays.shape[1])
    total = rays.new_zeros(*rays.shape[:2], len(H36M17), 3)
    count = rays.new_zeros(rays.shape[1], 1, 1)
    for part in (windows[first : first + WINDOWS_AT_ONCE] for first in range(0, len(windows), WINDOWS_AT_ONCE)):
        inputs = oanet.encoder(*(torch.cat([values[:, given] for given, _ in part]) for values in (rays, observed)))
        xyz = oanet(inputs.to(device)).xyz.cpu()
        for (given, kept), lifted in zip(part, xyz.split(len(rays)), strict=True):
            total[:, kept] += lifted[:, kept.start - given.start :][:, : kept.stop - kept.start]
            count[kept] += 1
    return total / count


def _windows(oanet: OANetNetwork, length: int) -> list[tuple[slice, slice]]:
    """The frames of each window, and those of them whose output is kept."""
    window = min(oanet.encoder.window, length)
    starts = [*range(0, length - window, window // 2), length - window]
    return [(slice(start, start + window), slice(start, start + window)) for start in starts]


def interleave_factor(fps: float) -> int:
    """Number of interleaved sequences that video of this frame rate is split into."""
    return max(1, round(fps / FPS))


def upsample_factor(fps: float) -> int:
    """Network frames per frame of video of this frame rate; all but the first are unobserved."""
    return 1 if fps >= MIN_FPS else min(MAX_UPSAMPLING, round(FPS / fps))


def _upsample(values: Tensor, factor: int) -> Tensor:
    """Zeros (unobserved frames) between the frames."""
    upsampled = values.new_zeros(values.shape[0], values.shape[1] * factor, *values.shape[2:])
    upsampled[:, ::factor] = values
    return upsampled


def _interleave(values: Tensor, factor: int, multiple: int) -> Tensor:
    """(person, time, ...) to (person * factor, time / factor, ...), after padding the time to a multiple by repeating
    the last frame.
    """
    length = ceil(values.shape[1] / multiple) * multiple
    padding = values[:, -1:].expand(-1, length - values.shape[1], *values.shape[2:])
    return torch.cat([values, padding], 1).unflatten(1, (-1, factor)).transpose(1, 2).flatten(0, 1)


def _deinterleave(values: Tensor, factor: int) -> Tensor:
    return values.unflatten(0, (-1, factor)).transpose(1, 2).flatten(1, 2)
