"""2D joints over time to 3D with the lifter's networks, for any frame rate and any number of people."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.oanet.lifter.inputs import prepare_inputs
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.networks.tcn import STRIDE

FPS = 30.0
"""Frames per second of the training data."""

WINDOW = 256
"""Length of a window, in strides of the networks. Longer tracks are lifted in windows that overlap by the receptive
field, with the same result.
"""

MIN_FPS = 20.0
"""Video with fewer frames per second is upsampled with unobserved frames."""

MAX_UPSAMPLING = 15
"""Largest upsampling factor; slower video has too few frames to be lifted as a motion."""


@dataclass(frozen=True)
class Lifted:
    """Output of the lifter for each frame and person."""

    xyz: Float[np.ndarray, "time person 17 3"]
    """Metres, relative to the pelvis, axes of the camera frame; H36M-17."""
    rays: Float[np.ndarray, "time person 22 2"]
    """Completed 2D joints (BODY22) on the plane z = 1 of the camera frame; inaccurate for joints that the 2D skeleton
    lacks.
    """


def lift_rays(
    lifter: Lifter,
    rays: Float[np.ndarray, "time person 22 2"],
    observed: Bool[np.ndarray, "time person 22"],
    fps: float,
) -> Lifted:
    """Lifts people on the camera's plane z = 1. OANet's 2D and 3D TCN; frame rates other than about 30/s are ours.

    Fast video is lifted as several interleaved sequences, slow video with unobserved frames in between, so that the
    networks get the frame rate that they were trained with.

    Arguments:
        rays: BODY22 joints as (x/z, y/z); ignored where not observed.
        observed: which joints are reliable. A person without any observation gets an average pose.
        fps: frames per second.
    """
    if not len(rays):
        return Lifted(np.zeros((*rays.shape[:2], 17, 3), np.float32), np.zeros((*rays.shape[:2], 22, 2), np.float32))
    interleaving = interleave_factor(fps)
    upsampling = upsample_factor(fps)
    step = STRIDE * interleaving
    context = ceil(lifter.look_ahead * interleaving / upsampling / step) * step
    xyz = []
    completed = []
    for first in range(0, len(rays), WINDOW * step):
        start = max(0, first - context)
        stop = first + WINDOW * step
        part = slice(start, stop + context)
        window_xyz, window_rays = _lift_window(lifter, rays[part], observed[part], interleaving, upsampling)
        xyz.append(window_xyz[first - start : stop - start])
        completed.append(window_rays[first - start : stop - start])
    return Lifted(np.concatenate(xyz), np.concatenate(completed))


def _lift_window(
    lifter: Lifter,
    rays: Float[np.ndarray, "time person 22 2"],
    observed: Bool[np.ndarray, "time person 22"],
    interleaving: int,
    upsampling: int,
) -> tuple[Float[np.ndarray, "time person 17 3"], Float[np.ndarray, "time person 22 2"]]:
    """3D joints and completed 2D joints of a window that fits into memory."""
    points = torch.from_numpy(np.where(observed[..., None], rays, 0.0).astype(np.float32)).transpose(0, 1)
    mask = torch.from_numpy(np.array(observed)).transpose(0, 1)
    if upsampling > 1:
        points = _upsample(points, upsampling)
        mask = _upsample(mask, upsampling)
    inputs = prepare_inputs(_interleave(points, interleaving), _interleave(mask, interleaving))
    device = next(lifter.parameters()).device
    with torch.inference_mode():
        completed, xyz = lifter(inputs.channels.to(device))
    xyz, completed = to_camera_frame(xyz.cpu(), completed.cpu(), inputs.scale, inputs.rotation)

    def in_time(values: Tensor) -> np.ndarray:
        return _deinterleave(values, interleaving)[:, ::upsampling][:, : len(rays)].transpose(0, 1).numpy()

    return in_time(xyz), in_time(completed)


def interleave_factor(fps: float) -> int:
    """Number of interleaved sequences that video of this frame rate is split into."""
    return max(1, round(fps / FPS))


def upsample_factor(fps: float) -> int:
    """Network frames per frame of video of this frame rate; all but the first are unobserved."""
    return 1 if fps >= MIN_FPS else min(MAX_UPSAMPLING, round(FPS / fps))


def to_camera_frame(
    xyz: Float[Tensor, "batch time 17 3"],
    completed: Float[Tensor, "batch time 22 2"],
    scale: Float[Tensor, "batch time 1"],
    rotation: Float[Tensor, "batch time 3 3"],
) -> tuple[Float[Tensor, "batch time 17 3"], Float[Tensor, "batch time 22 2"]]:
    """3D joints in the camera's axes, and completed 2D joints on its plane z = 1, from the rotated, scaled camera."""
    rays = torch.cat([completed * scale.unsqueeze(-1), torch.ones_like(completed[..., :1])], -1) @ rotation
    return xyz @ rotation, rays[..., :2] / rays[..., 2:].clamp_min(0.05)


def _upsample(values: Tensor, factor: int) -> Tensor:
    """Zeros (unobserved frames) between the frames."""
    upsampled = values.new_zeros(values.shape[0], values.shape[1] * factor, *values.shape[2:])
    upsampled[:, ::factor] = values
    return upsampled


def _interleave(values: Tensor, factor: int) -> Tensor:
    """(person, time, ...) to (person * factor, time / factor, ...), padded to a multiple of the networks' stride by
    repeating the last frame.
    """
    length = ceil(values.shape[1] / (factor * STRIDE)) * factor * STRIDE
    padding = values[:, -1:].expand(-1, length - values.shape[1], *values.shape[2:])
    return torch.cat([values, padding], 1).unflatten(1, (-1, factor)).transpose(1, 2).flatten(0, 1)


def _deinterleave(values: Tensor, factor: int) -> Tensor:
    return values.unflatten(0, (-1, factor)).transpose(1, 2).flatten(1, 2)
