"""The lifter's input: the joints of people in 2D, centred and scaled, and what is remembered and expected of those that
are hidden.

A hidden joint is where it was last seen, moved as the joints that are still seen (`Memory`); where it will be seen
next, if that is within the horizon (`look_ahead`); and where the front end guesses it, as far as the guess is certain.
The camera is turned towards the person, so that perspective depends on the pose alone (the idea of Yu et al., "PCLs",
CVPR 2021). All else is ours.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.networks.temporal_transformer import FUTURE, MARGIN
from occlupose.skeletons import BODY22

JOINTS = len(BODY22)

TORSO = list(BODY22.index("left_shoulder", "right_shoulder", "left_hip", "right_hip"))

RMS_DISTANCE = (
    torch.tensor([37, 40, 40, 41, 41, 28, 28, 23, 23, 31, 31, 25, 25, 63, 63, 100, 100, 25, 5, 19, 37, 46]) / 100
)
"""Root mean square distance of each joint from the torso's centre (metres, across the line of sight), measured on the
training motion capture.
"""

MEMORY = (0.15, 1.0)
"""Seconds in which what is known of a joint falls to 1/e, of two channels."""

SCALE_TIME = 0.25
"""Seconds over which the person's scale is averaged."""

FAR = 7.0
"""Metres beyond which perspective hardly shows how far away people are. The network is told the scale of people at
most this far away, since few were farther in training; distances beyond follow from sizes in the image. Ours, chosen on
training clips.
"""

SEEN_SIGMA = 0.012
GUESS_SIGMA = 0.15
"""Standard deviations of seen and of guessed joints whose front end states none, m at the person's distance."""

HALF_CERTAIN = 0.03
"""Standard deviation of a joint that is half certain, m."""

CHANNELS = 9 * JOINTS + 5
"""Of a frame: guessed or seen joints, whether they are seen, how certain, where they were last seen, how long ago, and
whether ever; scale and direction of the person, and the height that is given, if any.
"""

AHEAD_CHANNELS = 4 * JOINTS + 1
"""Of what lies ahead: joints between where they were and will be seen, how soon that is, and how far the horizon is."""


@dataclass(frozen=True)
class SeenKeypoints:
    """2D joints of people.

    Attributes:
        rays: on the camera's plane z = 1; ignored where neither seen nor guessed.
        seen: which joints are seen.
        guessed: which others are guessed.
        sigma: standard deviation of each, on the same plane; NaN where the front end states none.
    """

    rays: Float[Tensor, "*batch 22 2"]
    seen: Bool[Tensor, "*batch 22"]
    guessed: Bool[Tensor, "*batch 22"]
    sigma: Float[Tensor, "*batch 22"]

    def __getitem__(self, index: Any) -> Self:
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass
class View:
    """How people are looked at: what is centred and scaled by it has roughly the units of metres.

    Attributes:
        rotation: from the camera's axes to those of a camera that looks at the person.
        scale: units on the plane z = 1 of that camera, for a metre.
    """

    rotation: Float[Tensor, "*batch 3 3"]
    scale: Float[Tensor, "*batch"]

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.rotation[index], self.scale[index])

    def normalise(self, rays: Float[Tensor, "*batch joint 2"]) -> Float[Tensor, "*batch joint 2"]:
        """Joints on the plane z = 1, centred and scaled."""
        turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ self.rotation.mT
        return turned[..., :2] / turned[..., 2:].clamp_min(0.1) / self.scale[..., None, None]


class Memory:
    """Where the joints of people were last seen, frame by frame."""

    def __init__(self, people: int) -> None:
        self.rays = torch.zeros(people, JOINTS, 2)
        """Last seen joints, moved with those that are seen now."""
        self.known = torch.zeros(people, JOINTS, dtype=torch.bool)
        """Which joints were ever seen, or guessed."""
        self.age = torch.zeros(people, JOINTS)
        """Seconds since they were seen; more than any horizon where they never were."""
        self.scale = torch.ones(people)
        self.centre = torch.zeros(people, 2)
        self._begun = torch.zeros(people, dtype=torch.bool)

    def update(self, keypoints: SeenKeypoints, passed: Float[Tensor, "person"]) -> View:
        """Adds a frame.

        Arguments:
            passed: seconds since the frame before.
        """
        both = (keypoints.seen & self.known)[..., None]
        moved = torch.where(both, keypoints.rays - self.rays, 0.0).sum(1, keepdim=True) / both.sum(
            1, keepdim=True
        ).clamp_min(1)
        new = keypoints.seen | (keypoints.guessed & ~self.known)
        self.rays = torch.where(new[..., None], keypoints.rays, self.rays + moved)
        self.age = torch.where(keypoints.seen, 0.0, torch.where(self.known, self.age + passed[:, None], 1e3))
        self.known = self.known | new
        torso = self.known[:, TORSO]
        counted = torch.zeros_like(self.known)
        counted[:, TORSO] = torso
        counted = torch.where(torso.any(1, keepdim=True), counted, self.known)[..., None]
        self.centre = torch.where(counted, self.rays, 0.0).sum(1) / counted.sum(1).clamp_min(1)
        rotation = rotation_to_axis(self.centre)
        extent = View(rotation, torch.ones_like(self.scale)).normalise(self.rays).square().sum(-1)
        expected = torch.where(self.known, RMS_DISTANCE**2, 0.0).sum(1)
        size = ((torch.where(self.known, extent, 0.0).sum(1) + 1e-8) / (expected + 1e-4)).sqrt().clamp_min(1e-3)
        share = torch.where(self._begun, 1 - torch.exp(-passed / SCALE_TIME), 1.0)
        self.scale = torch.where(
            self.known.any(1), torch.exp(torch.lerp(self.scale.log(), size.log(), share)), self.scale
        )
        self._begun = self._begun | self.known.any(1)
        return View(rotation, self.scale)

    def reorder(self, order: Tensor) -> None:
        """Other people.

        Arguments:
            order: previous row of each, -1 for a new one.
        """
        fresh = vars(Memory(len(order)))
        for name, value in vars(self).items():
            is_old = (order >= 0).view(-1, *[1] * (value.ndim - 1))
            setattr(self, name, torch.where(is_old, pick_rows(value, order), fresh[name]))


@dataclass
class Frames:
    """Encoded frames.

    Attributes:
        channels: input of the encoder.
        joints: centred and scaled: seen ones where they are, others where they were, in the frame's own view.
        seen: which joints are seen.
        known: which joints were ever seen, or guessed.
        age: seconds since they were seen.
        view: of the frames.
    """

    channels: Float[Tensor, "*batch channels"]
    joints: Float[Tensor, "*batch 22 2"]
    seen: Bool[Tensor, "*batch 22"]
    known: Bool[Tensor, "*batch 22"]
    age: Float[Tensor, "*batch 22"]
    view: View

    def reorder(self, order: Tensor) -> Self:
        """Other people, by their previous rows; meaningless for new ones (-1)."""
        return type(self)(
            pick_rows(self.channels, order),
            pick_rows(self.joints, order),
            pick_rows(self.seen, order),
            pick_rows(self.known, order),
            pick_rows(self.age, order),
            View(pick_rows(self.view.rotation, order), pick_rows(self.view.scale, order)),
        )


def encode_frame(
    memory: Memory, keypoints: SeenKeypoints, passed: Float[Tensor, "person"], height: Float[Tensor, "person"]
) -> Frames:
    """The next frame of people, who are remembered.

    Arguments:
        passed: seconds since the frame before.
        height: of the body, m, if it is given; else NaN.
    """
    view = memory.update(keypoints, passed)
    here = keypoints.seen | keypoints.guessed
    joints = torch.where(memory.known[..., None], view.normalise(memory.rays), 0.0)
    now = torch.where(here[..., None], view.normalise(keypoints.rays), 0.0)
    sigma = keypoints.sigma / view.scale[:, None]
    sigma = torch.where(sigma.isnan(), torch.where(keypoints.seen, SEEN_SIGMA, GUESS_SIGMA), sigma)
    certainty = torch.where(here, 1 / (1 + sigma / HALF_CERTAIN), 0.0)
    ages = [torch.exp(-memory.age / length) for length in MEMORY]
    relative = (height / 1.7).log()
    scale = view.scale.clamp_min(1 / FAR).log()
    whole = [scale[:, None], memory.centre, relative.nan_to_num()[:, None], relative.isfinite()[:, None]]
    parts = [now.flatten(1), keypoints.seen, certainty, joints.flatten(1), *ages, memory.known, *whole]
    return Frames(
        torch.cat([part.float() for part in parts], -1), joints, keypoints.seen, memory.known, memory.age, view
    )


def pick_rows(values: Tensor, order: Tensor) -> Tensor:
    """Rows of people, by their previous number; any for a new one (-1)."""
    return values[order.clamp_min(0)] if len(values) else values.new_ones(len(order), *values.shape[1:])


def encode(keypoints: SeenKeypoints, time: Float[Tensor, "person time"], height: Float[Tensor, "person"]) -> Frames:
    """Whole sequences of people.

    Arguments:
        keypoints: (person, time, ...).
        time: of each frame, seconds.
        height: of the body, m, if it is given; else NaN.
    """
    memory = Memory(len(time))
    passed = time.diff(dim=1, prepend=time[:, :1]).float()
    frames = [encode_frame(memory, keypoints[:, number], passed[:, number], height) for number in range(time.shape[1])]
    return stack(frames)


def stack(frames: list[Frames]) -> Frames:
    """Frames of the same people in one record (person, time, ...)."""
    return Frames(
        torch.stack([one.channels for one in frames], 1),
        torch.stack([one.joints for one in frames], 1),
        torch.stack([one.seen for one in frames], 1),
        torch.stack([one.known for one in frames], 1),
        torch.stack([one.age for one in frames], 1),
        View(torch.stack([one.view.rotation for one in frames], 1), torch.stack([one.view.scale for one in frames], 1)),
    )


def find_horizon(time: Float[Tensor, "batch time"], delay: Float[Tensor, "batch"]) -> Float[Tensor, "batch time"]:
    """The time of the last frame that each frame may depend on."""
    limit = time + delay.clamp_max(FUTURE)[:, None] + MARGIN
    last = torch.searchsorted(time.contiguous(), limit.contiguous(), right=True) - 1
    return time.gather(1, last)


def look_ahead(
    frames: Frames, time: Float[Tensor, "person time"], horizon: Float[Tensor, "person wanted"]
) -> tuple[Float[Tensor, "person wanted channels"], Float[Tensor, "person wanted 22 2"]]:
    """What lies ahead of the first frames: AHEAD_CHANNELS, and each joint between where it was and will be seen.

    Arguments:
        time: of all frames, seconds.
        horizon: of the first frames, seconds.
    """
    wanted = horizon.shape[1]
    count = time.shape[1]
    number = torch.arange(count).view(1, -1, 1)
    following = torch.where(frames.seen, number, count).flip(1).cummin(1).values.flip(1)[:, :wanted]
    place = following.clamp_max(count - 1)
    next_time = time[:, :, None].expand(-1, -1, JOINTS).gather(1, place)
    soon = (following < count) & (next_time <= horizon[..., None] + MARGIN)
    wait = torch.where(soon, next_time - time[:, :wanted, None], 1e3).float()
    there = frames.joints.gather(1, place[..., None].expand(-1, -1, -1, 2))
    age = frames.age[:, :wanted]
    share = torch.where(soon, age / (age + wait).clamp_min(1e-6), 0.0)[..., None]
    joints = torch.lerp(frames.joints[:, :wanted], there, share)
    left = (horizon - time[:, :wanted]).float()[..., None]
    parts = [joints.flatten(2), *(torch.exp(-wait / length) for length in MEMORY), left]
    return torch.cat(parts, -1), joints


def rotation_to_axis(point: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation of the direction (x, y, 1) onto the z axis."""
    x, y = point.unbind(-1)
    norm = (1 + x * x + y * y).sqrt()
    a = x / norm
    b = y / norm
    c = 1 / norm
    k = 1 / (1 + c)
    entries = (1 - k * a * a, -k * a * b, -a, -k * a * b, 1 - k * b * b, -b, a, b, c)
    return torch.stack(entries, -1).unflatten(-1, (3, 3))
