"""Masks of missing joints, with which temporal networks learn to handle occlusion.

The modes without limbs follow the authors' later training code; `limb_gaps` and `random_segments` are ours. A mask is
True where a joint is given to the network.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from occlupose.skeletons import Skeleton

Mask = Bool[Tensor, "batch time joint"]
Shape = tuple[int, int, int]
MaskGenerator = Callable[[Shape, Generator], Mask]

LIMBS = (
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow", "right_wrist"),
    ("left_knee", "left_ankle"),
    ("right_knee", "right_ankle"),
    ("left_hip", "left_knee", "left_ankle"),
    ("right_hip", "right_knee", "right_ankle"),
    ("left_knee", "left_ankle", "right_knee", "right_ankle"),
    ("left_knee", "left_ankle", "right_knee", "right_ankle"),
    ("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    ("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    ("left_shoulder", "left_elbow", "left_wrist", "left_hip", "left_knee", "left_ankle"),
    ("right_shoulder", "right_elbow", "right_wrist", "right_hip", "right_knee", "right_ankle"),
    ("left_ankle", "right_ankle"),
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "neck_nose", "head_top"),
)
"""Joints that tables, door frames, cars and image borders hide together. Groups listed twice are twice as likely."""


def random_joints(shape: Shape, generator: Generator, rate: tuple[float, float] = (0.05, 0.6)) -> Mask:
    """Joints missing independently in each frame, at a rate drawn per sequence (the authors' later code: 0.2)."""
    missing = torch.empty(shape[0], 1, 1).uniform_(*rate, generator=generator)
    return torch.rand(shape, generator=generator) >= missing


def random_frames(shape: Shape, generator: Generator, rate: tuple[float, float] = (0.05, 0.5)) -> Mask:
    """Whole frames missing, at a rate drawn per sequence."""
    return random_joints((*shape[:2], 1), generator, rate).expand(shape)


def person_gap(shape: Shape, generator: Generator, longest: int = 30) -> Mask:
    """One gap of up to `longest` frames without any joint (the authors' later code: 20)."""
    return ~_random_segment(shape, generator, 1, longest).unsqueeze(-1).expand(shape)


def whole_joints(shape: Shape, generator: Generator, rate: float = 0.1) -> Mask:
    """Some joints missing in the whole sequence."""
    return (torch.rand(shape[0], 1, shape[2], generator=generator) >= rate).expand(shape)


def limb_gaps(
    shape: Shape, generator: Generator, skeleton: Skeleton, shortest: int = 10, longest: int = 60, always: float = 0.25
) -> Mask:
    """One or two limbs missing in a long segment or, with probability `always`, in the whole sequence."""
    missing = torch.zeros(shape, dtype=torch.bool)
    for repeat in range(2):
        limb = _random_limb(shape[0], generator, skeleton)
        if repeat == 0:
            used = torch.ones(shape[0], 1, dtype=torch.bool)
        else:
            used = torch.rand(shape[0], 1, generator=generator) < 0.25
        segment = _random_segment(shape, generator, shortest, longest)
        segment = segment | (torch.rand(shape[0], 1, generator=generator) < always)
        missing |= (limb & used).unsqueeze(1) & segment.unsqueeze(-1)
    return ~missing


def random_segments(
    shape: Shape,
    generator: Generator,
    skeleton: Skeleton,
    count: int = 4,
    shortest: int = 10,
    longest: int = 36,
    whole: float = 0.25,
) -> Mask:
    """`count` segments, possibly overlapping, each without a limb or, with probability `whole`, without the person."""
    missing = torch.zeros(shape, dtype=torch.bool)
    for _ in range(count):
        limb = _random_limb(shape[0], generator, skeleton)
        limb = limb | (torch.rand(shape[0], 1, generator=generator) < whole)
        missing |= limb.unsqueeze(1) & _random_segment(shape, generator, shortest, longest).unsqueeze(-1)
    return ~missing


def every_nth_frame(shape: Shape, generator: Generator, max_step: int = 4) -> Mask:
    """Only every n-th frame given, as in video with a low frame rate; n from 2 to `max_step`."""
    step = torch.randint(2, max_step + 1, (shape[0], 1), generator=generator)
    given = (torch.arange(shape[1]) % step) == 0
    return given.unsqueeze(-1).expand(shape)


def no_mask(shape: Shape, generator: Generator) -> Mask:
    """Nothing missing."""
    return torch.ones(shape, dtype=torch.bool)


def choose_mask(shape: Shape, generator: Generator, modes: Sequence[tuple[float, MaskGenerator]]) -> Mask:
    """The mask of one of `modes` for each sequence, chosen with the given weights."""
    weights = torch.tensor([weight for weight, _ in modes])
    chosen = torch.multinomial(weights, shape[0], replacement=True, generator=generator)
    masks = torch.stack([mode(shape, generator) for _, mode in modes])
    return masks[chosen, torch.arange(shape[0])]


def _random_limb(batch: int, generator: Generator, skeleton: Skeleton) -> Bool[Tensor, "batch joint"]:
    """The joints of one of LIMBS for each sequence."""
    table = torch.tensor([[name in group for name in skeleton.joints] for group in LIMBS])
    return table[torch.randint(len(LIMBS), (batch,), generator=generator)]


def _random_segment(shape: Shape, generator: Generator, shortest: int, longest: int) -> Bool[Tensor, "batch time"]:
    """One run of frames per sequence, which may begin before the sequence or end after it."""
    length = torch.randint(shortest, longest + 1, (shape[0], 1), generator=generator)
    start = torch.floor(torch.rand(shape[0], 1, generator=generator) * (shape[1] + length)) - length
    time = torch.arange(shape[1])
    return (time >= start) & (time < start + length)
