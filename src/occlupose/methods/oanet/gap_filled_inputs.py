"""The shipped preset's input of OANet's temporal networks: joints of one person, centred and scaled, with gaps
interpolated, and the time to the nearest observations.

The paper multiplies coordinates by a 0/1 mask, which makes a missing joint look as if it were at the root. Ours
interpolates a missing joint linearly over time and adds two channels with the time since the last and until the
next observation. Without missing joints the coordinates are those of a network without occlusion awareness, so complete
input costs no accuracy.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from occlupose.cameras import Camera
from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.methods.lifter.features import RMS_DISTANCE, TORSO, rotation_to_axis
from occlupose.methods.lifter.joints import LifterJoints
from occlupose.poses import Poses
from occlupose.skeletons import BODY22

CHANNELS = 4 * len(BODY22) + 1
"""Input channels: x, y, age of the last and of the next observation of each joint, and the logarithm of the scale."""

MAX_JOINT_GAP = 32
"""Maximum number of frames to the nearest observation for a missing joint to be filled; bounds the live latency."""

AGE_DECAY = 6.0
"""Frames in which the age channel falls to 1/e."""

SCALE_SMOOTHING = 8
"""Frames before and after over which the person's scale is averaged."""

MAX_POSITION_GAP = 62
"""The same for the position of a person, in frames to the nearest known joint: the receptive field of the smallest
networks, so that it adds no latency.
"""


@dataclass(frozen=True)
class GapFilledEncoder:
    """Missing joints are interpolated over time, and the time to their nearest observations is an input. Later frames
    matter only up to MAX_JOINT_GAP and SCALE_SMOOTHING.
    """

    skeleton = BODY22
    channels = CHANNELS
    window = None

    def observe(self, poses: Poses) -> tuple[Float[np.ndarray, "time 22 2"], Bool[np.ndarray, "time 22"]]:
        joints = LifterJoints.from_detections(poses.xy[:, 0], poses.score[:, 0], poses.state[:, 0], poses.skeleton)
        return joints.rays(poses.camera or Camera.from_fov(poses.width, poses.height)), joints.observed

    def __call__(self, rays: Float[Tensor, "batch time 22 2"], observed: Bool[Tensor, "batch time 22"]) -> OANetInputs:
        """The network input.

        The camera is rotated to point at the person, so that perspective effects depend on the pose alone (the idea of
        Yu et al., "PCLs", CVPR 2021). Joints are relative to the torso's centre and scaled by the person's size.
        """
        filled, ages, known = interpolate_gaps(rays, observed)
        rotation = rotation_to_axis(interpolate_position(*torso_centre(filled, known)))
        centred = centre_joints(filled, known, rotation)
        padding = (SCALE_SMOOTHING, SCALE_SMOOTHING)
        scale = smooth_scale(torch.nn.functional.pad(squared_extent(centred, known), padding, mode="replicate"))
        return gap_filled_inputs(stack_channels(centred, ages, scale), rotation, scale)


def gap_filled_inputs(
    channels: Float[Tensor, "batch time channels"],
    rotation: Float[Tensor, "batch time 3 3"],
    scale: Float[Tensor, "batch time 1"],
) -> OANetInputs:
    """The network input of these channels. The farther the nearest observation of a joint is in time, the less certain
    the joint is, and the more the 2D network corrects it. Ours.
    """
    xy = channels[..., : 2 * len(BODY22)].unflatten(-1, (len(BODY22), 2))
    extra = channels[..., 2 * len(BODY22) :]
    uncertainty = 1 - extra[..., :-1].unflatten(-1, (len(BODY22), 2)).amax(-1)
    return OANetInputs(xy, uncertainty, extra, rotation, scale.new_zeros(1, 1, 1, 2), scale.unsqueeze(-1))


def interpolate_gaps(
    values: Float[Tensor, "batch time joint d"],
    observed: Bool[Tensor, "batch time joint"],
    max_gap: int = MAX_JOINT_GAP,
) -> tuple[Float[Tensor, "batch time joint d"], Float[Tensor, "batch time joint 2"], Bool[Tensor, "batch time joint"]]:
    """Fills missing values: linearly between the observations before and after, or with the only one within `max_gap`
    frames.

    Returns:
        The values (0 without an observation within `max_gap`), exp(-frames / AGE_DECAY) since the last and until the
        next observation (1 where observed, 0 beyond `max_gap`), and where there is a value.
    """
    time = torch.arange(values.shape[1]).view(1, -1, 1)
    previous = torch.where(observed, time, -(10**6)).cummax(1).values
    following = torch.where(observed, time, 10**6).flip(1).cummin(1).values.flip(1)
    before = time - previous
    after = following - time
    has_before = before <= max_gap
    has_after = after <= max_gap
    weight = torch.where(has_before & has_after, before / (before + after).clamp_min(1), (~has_before).float())
    clean = torch.where(observed.unsqueeze(-1), values, 0.0)
    filled = torch.lerp(_at(clean, previous), _at(clean, following), weight.unsqueeze(-1))
    known = has_before | has_after
    ages = torch.stack([torch.exp(-before / AGE_DECAY) * has_before, torch.exp(-after / AGE_DECAY) * has_after], -1)
    return torch.where(known.unsqueeze(-1), filled, 0.0), ages, known


def _at(
    values: Float[Tensor, "batch time joint d"], index: Int[Tensor, "batch time joint"]
) -> Float[Tensor, "batch time joint d"]:
    index = index.clamp(0, values.shape[1] - 1)
    return values.gather(1, index.unsqueeze(-1).expand_as(values))


def torso_centre(
    filled: Float[Tensor, "batch time joint 2"], known: Bool[Tensor, "batch time joint"]
) -> tuple[Float[Tensor, "batch time 2"], Bool[Tensor, "batch time"]]:
    """Mean of the known torso joints, or of all known joints where there are none, and whether any joint is known."""
    torso = known[:, :, TORSO].float().unsqueeze(-1)
    weight = known.float().unsqueeze(-1)
    centre = torch.where(
        torso.sum(2) > 0,
        (filled[:, :, TORSO] * torso).sum(2) / torso.sum(2).clamp_min(1),
        (filled * weight).sum(2) / weight.sum(2).clamp_min(1),
    )
    return centre, known.any(2)


def interpolate_position(
    centre: Float[Tensor, "batch time 2"], known: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch time 2"]:
    """The person's position in every frame: interpolated over MAX_POSITION_GAP frames, and straight ahead where nothing
    is known for longer.
    """
    return interpolate_gaps(centre.unsqueeze(2), known.unsqueeze(2), MAX_POSITION_GAP)[0].squeeze(2)


def centre_joints(
    filled: Float[Tensor, "batch time joint 2"],
    known: Bool[Tensor, "batch time joint"],
    rotation: Float[Tensor, "batch time 3 3"],
) -> Float[Tensor, "batch time joint 2"]:
    """The known joints on the plane z = 1 of the rotated camera; 0 for the others."""
    rotated = torch.cat([filled, torch.ones_like(filled[..., :1])], -1) @ rotation.mT
    return torch.where(known.unsqueeze(-1), rotated[..., :2] / rotated[..., 2:].clamp_min(0.1), 0.0)


def squared_extent(
    centred: Float[Tensor, "batch time joint 2"], known: Bool[Tensor, "batch time joint"]
) -> Float[Tensor, "batch 2 time"]:
    """Sums over the known joints of their squared distance from the centre, and of that of an average person (m²)."""
    weight = known.float()
    return torch.stack([((centred**2).sum(-1) * weight).sum(-1), (RMS_DISTANCE**2 * weight).sum(-1)], 1)


def smooth_scale(extents: Float[Tensor, "batch 2 padded"]) -> Float[Tensor, "batch time 1"]:
    """Root mean square distance of the known joints relative to that of an average person, averaged over
    SCALE_SMOOTHING frames before and after.

    Arguments:
        extents: `squared_extent`, longer by SCALE_SMOOTHING frames at either end.
    """
    mean = torch.nn.functional.avg_pool1d(extents, 2 * SCALE_SMOOTHING + 1, 1)
    ratio = (mean[:, 0] + 1e-8) / (mean[:, 1] + 1e-4)
    return ratio.sqrt().clamp_min(1e-3).unsqueeze(-1)


def stack_channels(
    centred: Float[Tensor, "batch time joint 2"],
    ages: Float[Tensor, "batch time joint 2"],
    scale: Float[Tensor, "batch time 1"],
) -> Float[Tensor, "batch time channels"]:
    """The input channels of each frame."""
    scaled = centred / scale.unsqueeze(-1)
    return torch.cat([scaled.flatten(2), ages.flatten(2), scale.log()], -1)
