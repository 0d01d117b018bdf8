"""Making joints go missing: the masks that teach a temporal network to live with occlusion.

The four modes are those of the authors' later training code; the long gaps of whole limbs are ours.
Every function returns True where a joint is still seen.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from occlupose.skeletons import Skeleton

Mask = Bool[Tensor, "batch time joint"]
Shape = tuple[int, int, int]
Mode = Callable[[Shape, Generator], Mask]

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
"""What tables, doorframes, cars and picture borders hide together."""


def scattered(shape: Shape, generator: Generator, rate: tuple[float, float] = (0.05, 0.6)) -> Mask:
    """Each joint of each frame missing by itself, at a rate drawn per sequence (paper's later code: 0.2 always)."""
    missing = torch.empty(shape[0], 1, 1).uniform_(*rate, generator=generator)
    return torch.rand(shape, generator=generator) >= missing


def frames(shape: Shape, generator: Generator, rate: tuple[float, float] = (0.05, 0.5)) -> Mask:
    """Whole frames missing at a rate drawn per sequence."""
    return scattered((*shape[:2], 1), generator, rate).expand(shape)


def gap(shape: Shape, generator: Generator, longest: int = 30) -> Mask:
    """One stretch of up to `longest` frames without any joint (D1: 20)."""
    return ~_span(shape, generator, 1, longest).unsqueeze(-1).expand(shape)


def joints(shape: Shape, generator: Generator, rate: float = 0.1) -> Mask:
    """Some joints missing in the whole sequence."""
    return (torch.rand(shape[0], 1, shape[2], generator=generator) >= rate).expand(shape)


def limb(
    shape: Shape, generator: Generator, skeleton: Skeleton, shortest: int = 10, longest: int = 60, always: float = 0.25
) -> Mask:
    """One or two limbs missing for a long stretch, or, in the share `always`, for the whole sequence."""
    missing = torch.zeros(shape, dtype=torch.bool)
    for repeat in range(2):
        chosen = _limb(shape[0], generator, skeleton)
        wanted = (
            torch.ones(shape[0], 1) if repeat == 0 else (torch.rand(shape[0], 1, generator=generator) < 0.25).float()
        )
        stretch = _span(shape, generator, shortest, longest) | (torch.rand(shape[0], 1, generator=generator) < always)
        missing |= (chosen & wanted.bool()).unsqueeze(1) & stretch.unsqueeze(-1)
    return ~missing


def several(
    shape: Shape,
    generator: Generator,
    skeleton: Skeleton,
    count: int = 4,
    shortest: int = 10,
    longest: int = 36,
    whole: float = 0.25,
) -> Mask:
    """One stretch after another in which a limb is missing, or, in the share `whole`, the person; they may overlap."""
    missing = torch.zeros(shape, dtype=torch.bool)
    for _ in range(count):
        chosen = _limb(shape[0], generator, skeleton)
        chosen = chosen | (torch.rand(shape[0], 1, generator=generator) < whole)
        missing |= chosen.unsqueeze(1) & _span(shape, generator, shortest, longest).unsqueeze(-1)
    return ~missing


def sampled(shape: Shape, generator: Generator, most: int = 4) -> Mask:
    """Only every n-th frame seen, as in video sampled sparsely."""
    step = torch.randint(2, most + 1, (shape[0], 1), generator=generator)
    seen = (torch.arange(shape[1]) % step) == 0
    return seen.unsqueeze(-1).expand(shape)


def choose(shape: Shape, generator: Generator, modes: Sequence[tuple[float, Mode]]) -> Mask:
    """For each sequence one of `modes`, drawn with the given weights."""
    weights = torch.tensor([weight for weight, _ in modes])
    which = torch.multinomial(weights, shape[0], replacement=True, generator=generator)
    masks = torch.stack([mode(shape, generator) for _, mode in modes])
    return masks[which, torch.arange(shape[0])]


def nothing(shape: Shape, generator: Generator) -> Mask:
    """Nothing missing."""
    return torch.ones(shape, dtype=torch.bool)


def _limb(batch: int, generator: Generator, skeleton: Skeleton) -> Bool[Tensor, "batch joint"]:
    """The joints of one of LIMBS for each sequence."""
    table = torch.tensor([[name in group for name in skeleton.joints] for group in LIMBS])
    return table[torch.randint(len(LIMBS), (batch,), generator=generator)]


def _span(shape: Shape, generator: Generator, shortest: int, longest: int) -> Bool[Tensor, "batch time"]:
    """A stretch of frames per sequence; it may begin before the sequence or end after it."""
    length = torch.randint(shortest, longest + 1, (shape[0], 1), generator=generator)
    start = torch.floor(torch.rand(shape[0], 1, generator=generator) * (shape[1] + length)) - length
    time = torch.arange(shape[1])
    return (time >= start) & (time < start + length)
