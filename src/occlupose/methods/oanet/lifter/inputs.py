"""What the temporal networks see: joints of one person, centred, sized, and with the age of what is missing.

OANet multiplies root-relative coordinates by a 0/1 mask, which makes a hidden joint look like one at the root. Ours
holds a missing joint on the straight line between its neighbours in time and says beside it how old they are. With all
joints there the input is that of a network that knows nothing of occlusion, so completeness costs no accuracy.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from occlupose.skeletons import BODY22

CHANNELS = 4 * len(BODY22) + 1
"""Input channels a frame: x, y, age of the last and of the next sight of each joint, and the logarithm of the size."""

HORIZON = 32
"""Frames over which a missing joint is bridged; this bounds the delay of live lifting."""

AGE = 6.0
"""Frames after which the age channel has fallen to 1/e."""

SMOOTH = 8
"""Frames to either side over which the person's size is averaged."""

CARRY = 62
"""Frames over which the place of a person of whom nothing is known is carried: as far as the least networks look, so
that it adds nothing to the delay."""

ANCHORS = [BODY22.joints.index(name) for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]

SPREAD = torch.tensor(
    [
        0.37,
        0.40,
        0.40,
        0.41,
        0.41,
        0.28,
        0.28,
        0.23,
        0.23,
        0.31,
        0.31,
        0.25,
        0.25,
        0.63,
        0.63,
        1.00,
        1.00,
        0.25,
        0.05,
        0.19,
        0.37,
        0.46,
    ]
)
"""Root mean square distance (metres, across the line of sight) of each joint from the torso's middle; measured on the
training mocap.
"""


@dataclass
class Inputs:
    """One batch as the networks see it, and the way back."""

    channels: Float[Tensor, "batch time channels"]
    rotation: Float[Tensor, "batch time 3 3"]
    """Turns a direction of the camera frame into the frame whose z axis meets the person."""
    anchor: Float[Tensor, "batch time 2"]
    """The torso's middle on the plane z = 1 of the camera frame."""
    size: Float[Tensor, "batch time 1"]
    """Unit of the centred coordinates: about 1 m divided by the person's distance."""


def bridge(
    values: Float[Tensor, "batch time joint d"], seen: Bool[Tensor, "batch time joint"], horizon: int = HORIZON
) -> tuple[Float[Tensor, "batch time joint d"], Float[Tensor, "batch time joint 2"], Bool[Tensor, "batch time joint"]]:
    """Missing values on the line between the sights before and after them, or held at the only one within `horizon`
    frames.

    Returns:
        The values (0 where nothing was seen within the horizon), exp(-frames / AGE) since the last and until the next
        sight (1 where seen, 0 beyond the horizon), and where there is a value at all.
    """
    time = torch.arange(values.shape[1]).view(1, -1, 1)
    last = torch.where(seen, time, -(10**6)).cummax(1).values
    following = torch.where(seen, time, 10**6).flip(1).cummin(1).values.flip(1)
    before = time - last
    after = following - time
    has_before = before <= horizon
    has_after = after <= horizon
    weight = torch.where(has_before & has_after, before / (before + after).clamp_min(1), (~has_before).float())
    clean = torch.where(seen.unsqueeze(-1), values, 0.0)
    filled = torch.lerp(_at(clean, last), _at(clean, following), weight.unsqueeze(-1))
    known = has_before | has_after
    ages = torch.stack([torch.exp(-before / AGE) * has_before, torch.exp(-after / AGE) * has_after], -1)
    return torch.where(known.unsqueeze(-1), filled, 0.0), ages, known


def _at(
    values: Float[Tensor, "batch time joint d"], index: Int[Tensor, "batch time joint"]
) -> Float[Tensor, "batch time joint d"]:
    index = index.clamp(0, values.shape[1] - 1)
    return values.gather(1, index.unsqueeze(-1).expand_as(values))


def prepare(rays: Float[Tensor, "batch time joint 2"], seen: Bool[Tensor, "batch time joint"]) -> Inputs:
    """Channels for the networks from joints on the camera's plane z = 1.

    The camera is turned so that its axis meets the person (perspective effects then depend on the person alone; the
    idea is that of Yu et al., "PCLs", CVPR 2021), joints are measured from the torso's middle and in units of the
    person's size.

    Arguments:
        rays: BODY22 joints as (x/z, y/z) in the camera frame; ignored where not seen.
        seen: which of them to believe.
    """
    filled, ages, known = bridge(rays, seen)
    anchor = carry(*middle(filled, known))
    rotation = look_at(anchor)
    centred = centre(filled, known, rotation)
    repeated = torch.nn.functional.pad(extent(centred, known), (SMOOTH, SMOOTH), mode="replicate")
    size = average_size(repeated)
    return Inputs(channels(centred, ages, size), rotation, anchor, size)


def positions(channels: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time joint 2"]:
    """The centred, scaled coordinates among the channels."""
    return channels[..., : 2 * len(BODY22)].unflatten(-1, (len(BODY22), 2))


def doubt(channels: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time joint"]:
    """How far each joint's coordinates are a guess: 0 where it is seen, towards 1 the longer ago or ahead its nearest
    sight is. Ours.
    """
    ages = channels[..., 2 * len(BODY22) : -1].unflatten(-1, (len(BODY22), 2))
    return 1 - ages.amax(-1)


def middle(
    filled: Float[Tensor, "batch time joint 2"], known: Bool[Tensor, "batch time joint"]
) -> tuple[Float[Tensor, "batch time 2"], Bool[Tensor, "batch time"]]:
    """The middle of the torso joints that are known, of any joints where none of those is, and whether any is."""
    torso = known[:, :, ANCHORS].float().unsqueeze(-1)
    weight = known.float().unsqueeze(-1)
    place = torch.where(
        torso.sum(2) > 0,
        (filled[:, :, ANCHORS] * torso).sum(2) / torso.sum(2).clamp_min(1),
        (filled * weight).sum(2) / weight.sum(2).clamp_min(1),
    )
    return place, known.any(2)


def carry(place: Float[Tensor, "batch time 2"], there: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time 2"]:
    """The person's place in every frame: bridged over CARRY frames, and straight ahead where nothing is known for
    longer.
    """
    return bridge(place.unsqueeze(2), there.unsqueeze(2), CARRY)[0].squeeze(2)


def centre(
    filled: Float[Tensor, "batch time joint 2"],
    known: Bool[Tensor, "batch time joint"],
    rotation: Float[Tensor, "batch time 3 3"],
) -> Float[Tensor, "batch time joint 2"]:
    """The known joints as the turned camera sees them; 0 for the others."""
    turned = torch.cat([filled, torch.ones_like(filled[..., :1])], -1) @ rotation.mT
    return torch.where(known.unsqueeze(-1), turned[..., :2] / turned[..., 2:].clamp_min(0.1), 0.0)


def extent(
    centred: Float[Tensor, "batch time joint 2"], known: Bool[Tensor, "batch time joint"]
) -> Float[Tensor, "batch 2 time"]:
    """Sums over the known joints of their squared distance, and of that of the same joints of an average person
    (m²).
    """
    weight = known.float()
    return torch.stack([((centred**2).sum(-1) * weight).sum(-1), (SPREAD**2 * weight).sum(-1)], 1)


def average_size(extents: Float[Tensor, "batch 2 longer"]) -> Float[Tensor, "batch time 1"]:
    """Root mean square distance of the known joints against that of an average person, over SMOOTH frames more on
    either side.
    """
    mean = torch.nn.functional.avg_pool1d(extents, 2 * SMOOTH + 1, 1)
    ratio = (mean[:, 0] + 1e-8) / (mean[:, 1] + 1e-4)
    return ratio.sqrt().clamp_min(1e-3).unsqueeze(-1)


def channels(
    centred: Float[Tensor, "batch time joint 2"],
    ages: Float[Tensor, "batch time joint 2"],
    size: Float[Tensor, "batch time 1"],
) -> Float[Tensor, "batch time channels"]:
    """All that is known of each frame, side by side."""
    scaled = centred / size.unsqueeze(-1)
    return torch.cat([scaled.flatten(2), ages.flatten(2), size.log()], -1)


def look_at(point: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation that turns the direction (x, y, 1) onto the z axis."""
    x, y = point.unbind(-1)
    norm = (1 + x * x + y * y).sqrt()
    a = x / norm
    b = y / norm
    c = 1 / norm
    k = 1 / (1 + c)
    rows = (1 - k * a * a, -k * a * b, -a, -k * a * b, 1 - k * b * b, -b, a, b, c)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
