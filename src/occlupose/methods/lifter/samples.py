"""What the lifter learns from: people on random bodies before random cameras, as a front end sees them.

Joints are hidden by the body itself, by things and other people that pass or stand in front, and by the border of the
picture; and at random, as front ends lose them. All ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from occlupose.body_height import measure_height
from occlupose.bounds import Bounded, Count, Fraction, Positive
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.augmentation import (
    BodyAugmentation,
    augment_bodies,
    mirror_people,
    to_random_camera,
)
from occlupose.methods.lifter.features import Frames, SeenKeypoints, encode, find_horizon, look_ahead
from occlupose.methods.lifter.motions import FPS, LentMotion
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.occlusion import cylinders, gaps
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import MIN_CONFIDENCE, NoiseModel, box_side

SHARES = {
    "walking": 0.18,
    "sitting and lying": 0.18,
    "sports": 0.20,
    "dance": 0.16,
    "exercise": 0.12,
    "everyday": 0.16,
}
"""Shares of the kinds of motion."""

DANCERS = {"60": "61", "61": "60"}
"""Subjects who were captured together."""

APART = (0.3, 1.5)
"""Horizontal distance of somebody else, m."""


def mask_kinds(longest: int) -> list[tuple[float, gaps.MaskGenerator]]:
    """How joints go missing, with probabilities.

    Arguments:
        longest: frames of a gap.
    """
    return [
        (0.20, gaps.no_mask),
        (0.18, gaps.random_joints),
        (0.04, gaps.random_frames),
        (0.08, partial(gaps.person_gap, longest=max(1, longest * 3 // 4))),
        (0.04, gaps.whole_joints),
        (0.08, partial(gaps.limb_gaps, skeleton=BODY22)),
        (0.34, partial(gaps.random_segments, skeleton=BODY22, shortest=min(4, longest), longest=longest)),
        (0.04, gaps.every_nth_frame),
    ]


@dataclass(frozen=True)
class SequenceSettings(Bounded):
    """Range of what the lifter learns from; probabilities are per sequence."""

    frames: Count = 32
    """Of a sequence."""
    rate: tuple[Positive, Positive] = (8.0, 60.0)
    """Frames per second, log-uniform; the same for a batch."""
    aware: bool = True
    """Joints go missing. False is the baseline, which is trained without missing joints."""
    longest_gap: Count = 32
    """Frames in which the same joints are missing."""
    captured_probability: Fraction = 0.5
    """Probability of the captured body; else it is another adult's or a child's."""
    complete_probability: Fraction = 0.25
    self_occlusion_probability: Fraction = 0.4
    object_probability: Fraction = 0.3
    """Probability of a thing in front."""
    other_probability: Fraction = 0.2
    """Probability of somebody else nearby, beside those who dance together."""
    border_probability: Fraction = 0.15
    """Probability of a picture that ends within the person."""
    noise_probability: Fraction = 0.6
    guess_probability: Fraction = 0.6
    """Probability, given noise, that the front end guesses hidden joints."""
    sigma_probability: Fraction = 0.5
    """Probability that the front end states how certain it is."""
    h36m_probability: Fraction = 0.3
    """Probability of Human3.6M's 2D joints instead of COCO's."""
    height_probability: Fraction = 0.15
    """Probability that the height of the body is given."""
    delays: tuple[Fraction, Fraction] = (0.25, 0.4)
    """Probabilities of no look-ahead and of a random one; else it is the longest."""
    augmentation: BodyAugmentation = field(
        default_factory=lambda: BodyAugmentation(
            elevation=(-25.0, 60.0), roll=8.0, distance=(1.8, 10.0), speed=(0.8, 1.3)
        )
    )


@dataclass
class LifterBatch:
    """Network input and ground truth.

    Attributes:
        frames, ahead, joints, time, horizon: as of `LifterNetwork`.
        missing: joints that are not seen, of those that the 2D skeleton has.
        known: frames before which, or in which, a joint was seen.
        xyz: relative to the root, m, in the camera's axes.
        root: m.
    """

    frames: Frames
    ahead: Float[Tensor, "batch time channels"]
    joints: Float[Tensor, "batch time 22 2"]
    time: Float[Tensor, "batch time"]
    horizon: Float[Tensor, "batch time"]
    missing: Bool[Tensor, "batch time 17"]
    known: Bool[Tensor, "batch time"]
    xyz: Float[Tensor, "batch time 17 3"]
    root: Float[Tensor, "batch time 3"]


class LifterSamples:
    """Draws batches from motions that are not held out.

    Raises:
        OccluposeError: there are none.
    """

    def __init__(
        self, motions: Sequence[LentMotion], noises: Sequence[NoiseModel], settings: SequenceSettings, batch: int
    ) -> None:
        motions = [motion for motion in motions if not motion.held_out and motion.kind in SHARES]
        if not motions:
            raise OccluposeError("no motion to train on; give motion capture of people who are not held out")
        self.noises = noises
        self.settings = settings
        self.batch = batch
        self._length = torch.tensor([motion.joints.shape[1] for motion in motions])
        self._bodies = torch.tensor([len(motion.joints) for motion in motions])
        sizes = self._length * self._bodies
        self._first = sizes.cumsum(0) - sizes
        self._joints = torch.from_numpy(
            np.concatenate([motion.joints.reshape(-1, len(BODY22), 3) for motion in motions])
        )
        self._partner = torch.tensor(find_partners(motions))
        self._weight = torch.zeros(len(motions), dtype=torch.float64)
        for kind, share in SHARES.items():
            own = torch.tensor([motion.kind == kind for motion in motions])
            self._weight[own] = share * self._length[own].double() / max(1, int(self._length[own].sum()))

    def __call__(self, generator: Generator) -> LifterBatch:
        """A batch."""
        settings = self.settings
        low, high = torch.tensor(settings.rate).log()
        rate = float((low + (high - low) * torch.rand((), generator=generator)).exp())
        people, together = self._draw(rate, generator)
        people = mirror_people(people, settings.augmentation.mirror_probability, generator)
        bodies = augment_bodies(people[:, 0], settings.augmentation, generator)
        nearby = put_beside(bodies.roll(1, 0), bodies, generator)
        others = torch.where(together[:, None, None, None], people[:, 1], nearby)
        there = together | _choose(self.batch, settings.other_probability, generator)
        others = torch.where(there[:, None, None, None], others, bodies)
        scene = to_random_camera(torch.cat([bodies, others], 2), settings.augmentation, generator)
        xyz, others = scene.split(len(BODY22), 2)
        others = torch.where(there[:, None, None, None], others, torch.nan)
        time = (torch.arange(settings.frames, dtype=torch.float64) / rate).expand(self.batch, -1)
        keypoints, in_skeleton = self._see(xyz, others, generator)
        body = xyz[:, :, BODY22_TO_H36M17]
        height = torch.from_numpy(measure_height(body[:, :1].numpy()))
        height = torch.where(_choose(self.batch, settings.height_probability, generator), height, torch.nan)
        frames = encode(keypoints, time, height.float())
        delay = torch.rand(self.batch, generator=generator) * FUTURE
        kind = torch.rand(self.batch, generator=generator)
        none, some = settings.delays
        delay = torch.where(kind < none, 0.0, torch.where(kind < none + some, delay, FUTURE))
        horizon = find_horizon(time, delay.double())
        ahead, joints = look_ahead(frames, time, horizon)
        missing = (in_skeleton & ~keypoints.seen)[..., BODY22_TO_H36M17]
        known = keypoints.seen.any(2).cummax(1).values
        root = body[:, :, 0]
        return LifterBatch(frames, ahead, joints, time, horizon, missing, known, body - root[:, :, None], root)

    def _draw(
        self, rate: float, generator: Generator
    ) -> tuple[Float[Tensor, "batch 2 time 22 3"], Bool[Tensor, "batch"]]:
        """Motions on one of their bodies, at a random speed, by cubic interpolation; then those of their partners, and
        whether there is one.
        """
        settings = self.settings
        augmentation = settings.augmentation
        clip = torch.multinomial(self._weight, self.batch, replacement=True, generator=generator)
        other = 1 + (torch.rand(self.batch, generator=generator) * (self._bodies[clip] - 1)).long()
        captured = torch.rand(self.batch, generator=generator) < settings.captured_probability
        body = torch.where(captured, 0, other.minimum(self._bodies[clip] - 1))
        speed = torch.empty(self.batch).uniform_(*augmentation.speed, generator=generator)
        speed = torch.where(_choose(self.batch, augmentation.still_probability, generator), 0.0, speed)
        stride = speed * FPS / rate
        slack = (self._length[clip] - 1 - stride * (settings.frames - 1)).clamp_min(0)
        start = torch.rand(self.batch, generator=generator) * slack
        place = start[:, None] + stride[:, None] * torch.arange(settings.frames)
        together = captured & (self._partner[clip] >= 0)
        partner = torch.where(together, self._partner[clip], clip)
        last = (self._length[clip] - 1)[:, None, None]
        place = place[:, None].minimum(last.float())
        first = torch.stack([self._first[clip] + body * self._length[clip], self._first[partner]], 1)[..., None]
        below = place.long()
        points = [self._joints[first + (below + offset).clamp_min(0).minimum(last)] for offset in (-1, 0, 1, 2)]
        return interpolate_cubic(points, (place - below)[..., None, None]), together

    def _see(
        self,
        xyz: Float[Tensor, "batch time 22 3"],
        others: Float[Tensor, "batch time 22 3"],
        generator: Generator,
    ) -> tuple[SeenKeypoints, Bool[Tensor, "batch 1 22"]]:
        """What a front end tells of these people, each with somebody else or NaN, and which joints it knows."""
        settings = self.settings
        batch = len(xyz)
        rays = xyz[..., :2] / xyz[..., 2:]
        in_skeleton = self._skeletons(generator)
        inside = self._inside(rays, generator)
        visible = self._visible(xyz, others, rays, generator) & inside if settings.aware else torch.ones_like(inside)
        noise = self.noises[int(torch.randint(len(self.noises), (), generator=generator))]
        noisy, score = noise.sample(rays, generator)
        with_noise = _choose(batch, settings.noise_probability, generator)[:, None, None]
        points = torch.where(with_noise[..., None], noisy, rays)
        detected = (score >= MIN_CONFIDENCE) | ~with_noise
        if not settings.aware:
            detected = torch.ones_like(detected)
        guesses, guess_score = noise.sample_occluded(rays, generator)
        spread = torch.exp(0.5 * torch.randn(visible.shape, generator=generator))
        guesses = rays + (guesses - rays) * spread[..., None]
        guessing = with_noise & _choose(batch, settings.guess_probability, generator)[:, None, None] & inside
        believed = guessing & ~visible & (guess_score >= MIN_CONFIDENCE)
        seen = in_skeleton & ((visible & detected) | believed)
        guessed = in_skeleton & guessing & ~seen
        use_guess = guessed | (believed & in_skeleton)
        points = torch.where(use_guess[..., None], guesses, points)
        side = box_side(rays)[..., 0]
        jitter = (torch.tensor(noise.jitter) ** 2 + noise.offset**2).sqrt()
        sigma = side * torch.where(use_guess, noise.occluded_distance / 2**0.5 * spread, jitter)
        sigma = sigma * torch.exp(0.3 * torch.randn(visible.shape, generator=generator))
        stated = _choose(batch, settings.sigma_probability, generator)[:, None, None]
        sigma = torch.where(stated, sigma, torch.nan)
        focal = torch.exp(0.12 * torch.randn(batch, generator=generator).clamp(-2, 2))
        wrong = _choose(batch, settings.augmentation.wrong_focal_probability, generator)
        focal = torch.where(wrong, focal, 1.0)[:, None, None]
        return SeenKeypoints(points * focal[..., None], seen, guessed, sigma * focal), in_skeleton

    def _skeletons(self, generator: Generator) -> Bool[Tensor, "batch 1 22"]:
        """Which joints the 2D skeleton of each sequence has."""
        sets = torch.tensor([[name in skeleton.joints for name in BODY22.joints] for skeleton in (COCO17, H36M17)])
        return sets[_choose(self.batch, self.settings.h36m_probability, generator).long()].unsqueeze(1)

    def _inside(self, rays: Float[Tensor, "batch time 22 2"], generator: Generator) -> Bool[Tensor, "batch time 22"]:
        """Which joints are in the picture. Its border passes through the person in some sequences."""
        low = rays.amin((1, 2))
        size = rays.amax((1, 2)) - low
        cut = torch.rand(self.batch, 4, generator=generator) * 0.5
        sides = torch.rand(self.batch, 4, generator=generator) < 0.4
        cut = torch.where(sides & _choose(self.batch, self.settings.border_probability, generator)[:, None], cut, -0.1)
        first = (low + cut[:, :2] * size)[:, None, None]
        last = (low + (1 - cut[:, 2:]) * size)[:, None, None]
        return ((rays >= first) & (rays <= last)).all(-1)

    def _visible(
        self,
        xyz: Float[Tensor, "batch time 22 3"],
        others: Float[Tensor, "batch time 22 3"],
        rays: Float[Tensor, "batch time 22 2"],
        generator: Generator,
    ) -> Bool[Tensor, "batch time 22"]:
        """Which joints nothing hides."""
        settings = self.settings
        batch, time, joints = xyz.shape[:3]
        hidden = torch.zeros(batch, time, joints, dtype=torch.bool)
        itself = _choose(batch, settings.self_occlusion_probability, generator)
        hidden[itself] = cylinders.self_occluded(xyz[itself], BODY22)
        there = ~others.isnan().flatten(1).any(1)
        hidden[there] |= cylinders.occluded_by(xyz[there], others[there], BODY22)
        hidden |= ~gaps.choose_mask((batch, time, joints), generator, mask_kinds(settings.longest_gap))
        hidden |= _behind_things(rays, _choose(batch, settings.object_probability, generator), generator)
        return ~hidden | _choose(batch, settings.complete_probability, generator)[:, None, None]


def find_partners(motions: Sequence[LentMotion]) -> list[int]:
    """Who dances with whom, by number, or -1: CMU's 60 and 61 share one world frame in trials of the same number."""
    numbers = {(motion.subject, motion.name): number for number, motion in enumerate(motions)}
    partners = []
    for motion in motions:
        other = DANCERS.get(motion.subject, "")
        partner = numbers.get((other, motion.name.replace(f"{motion.subject}_", f"{other}_", 1)), -1)
        is_whole = partner >= 0 and motions[partner].joints.shape[1] == motion.joints.shape[1]
        partners.append(partner if is_whole else -1)
    return partners


def put_beside(
    others: Float[Tensor, "batch time 22 3"], bodies: Float[Tensor, "batch time 22 3"], generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """Others on the floor of each body (y up), somewhere near it."""
    batch = len(bodies)
    angle = torch.empty(batch, 1, 1).uniform_(-torch.pi, torch.pi, generator=generator)
    apart = torch.empty(batch, 1, 1).uniform_(*APART, generator=generator)
    away = torch.cat([apart * angle.cos(), torch.zeros_like(angle), apart * angle.sin()], -1)
    feet = [joints.mean((1, 2)) for joints in (bodies, others)]
    for place, joints in zip(feet, (bodies, others), strict=True):
        place[:, 1] = joints[..., 1].amin((1, 2))
    return others + (feet[0] - feet[1])[:, None, None] + away[:, None]


def _behind_things(
    rays: Float[Tensor, "batch time 22 2"], there: Bool[Tensor, "batch"], generator: Generator
) -> Bool[Tensor, "batch time 22"]:
    """Which joints are behind a rectangle that stands or passes, as a table or a post."""
    batch, time = rays.shape[:2]
    low = rays.amin((1, 2))
    size = rays.amax((1, 2)) - low
    extent = size[:, None] * torch.empty(batch, 1, 2).uniform_(0.1, 0.8, generator=generator)
    ends = [
        low[:, None] + size[:, None] * torch.empty(batch, 1, 2).uniform_(-0.3, 1.3, generator=generator)
        for _ in range(2)
    ]
    moving = _choose(batch, 0.5, generator)[:, None, None]
    share = torch.linspace(0, 1, time).view(1, -1, 1)
    centre = torch.where(moving, torch.lerp(ends[0], ends[1], share), ends[0])
    inside = ((rays - centre[:, :, None]).abs() <= extent[:, :, None] / 2).all(-1)
    return inside & there[:, None, None]


def interpolate_cubic(
    points: Sequence[Float[Tensor, "*batch joint 3"]], share: Float[Tensor, "*batch 1 1"]
) -> Float[Tensor, "*batch joint 3"]:
    """Between the second and the third of four points, by a Catmull-Rom spline."""
    before, first, second, after = points
    a = second - before
    b = 2 * before - 5 * first + 4 * second - after
    c = 3 * (first - second) + after - before
    return first + 0.5 * share * (a + share * (b + share * c))


def _choose(batch: int, probability: float, generator: Generator) -> Bool[Tensor, "batch"]:
    return torch.rand(batch, generator=generator) < probability
