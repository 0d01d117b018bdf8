"""The stacked hourglass (Newell et al. 2016, "Stacked Hourglass Networks for Human Pose Estimation"), which OANet
section 3.1 uses.

A picture is shrunk to a quarter. Each hourglass then shrinks the features step by step to see the whole body, and
restores them, every size passing on its own details; after each stands a map of every joint, which goes into the next
one. The paper leaves the widths of the stem open; these, a quarter and half of the width and then all of it, are those
of the implementations whose size is published. Maps end in a sigmoid, as OANet has it, and begin dark; the latter is
ours, for a map of zeros is what is mostly right.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

STRIDE = 4
"""Pixels of the picture in a cell of the maps."""

INITIAL_VALUE = 0.01
"""Value of the maps before training."""


class Residual(nn.Module):
    """A bottleneck of 1x1, 3x3 and 1x1, normalised before each (He et al. 2016), added to its input. Newell section
    3.2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.blocks = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, outputs, 1)),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y x"]:
        return self.skip(x) + self.blocks(x)


class Hourglass(nn.Module):
    """Features in, features of the same size out, that have seen `depth` times halved ones. Newell section 3.1, figure
    3.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.aside = Residual(width, width)
        self.before = Residual(width, width)
        self.inner = Hourglass(width, depth - 1) if depth > 1 else Residual(width, width)
        self.after = Residual(width, width)

    def forward(self, x: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        small = self.after(self.inner(self.before(max_pool2d(x, 2))))
        return self.aside(x) + interpolate(small, scale_factor=2)


class Stack(nn.Module):
    """One hourglass with its maps, and the features for the next one: those before, its own, and what the maps say."""

    def __init__(self, joints: int, width: int, depth: int, *, last: bool) -> None:
        super().__init__()
        self.hourglass = Hourglass(width, depth)
        self.features = nn.Sequential(
            Residual(width, width), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.maps = nn.Conv2d(width, joints, 1)
        nn.init.constant_(self.maps.bias, math.log(INITIAL_VALUE / (1 - INITIAL_VALUE)))  # type: ignore[arg-type]
        self.onward = None if last else nn.ModuleList([nn.Conv2d(width, width, 1), nn.Conv2d(joints, width, 1)])

    def forward(
        self, x: Float[Tensor, "batch width y x"]
    ) -> tuple[Float[Tensor, "batch joint y x"], Float[Tensor, "batch width y x"]]:
        features = self.features(self.hourglass(x))
        maps = self.maps(features).sigmoid()
        if self.onward is None:
            return maps, x
        own, said = self.onward
        return maps, x + own(features) + said(maps)


class StackedHourglass(nn.Module):
    """Pictures of one person in, after each stack a map of every joint out, 0..1.

    Arguments:
        joints: maps.
        stacks: hourglasses; the paper has 8, many use 2.
        width: channels; 256 in the paper.
        depth: halvings in an hourglass; 4 in the paper. The sides of the pictures must be multiples of STRIDE *
            2^depth.
    """

    def __init__(self, joints: int, *, stacks: int = 2, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.joints = joints
        self.width = width
        self.depth = depth
        quarter = width // 4
        half = width // 2
        self.stem = nn.Sequential(
            *(nn.Conv2d(3, quarter, 7, stride=2, padding=3), nn.BatchNorm2d(quarter), nn.ReLU()),
            *(Residual(quarter, half), nn.MaxPool2d(2), Residual(half, width), Residual(width, width)),
        )
        self.stacks = nn.ModuleList(Stack(joints, width, depth, last=number == stacks - 1) for number in range(stacks))

    def forward(self, pictures: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "stack batch joint y x"]:
        """Maps of RGB pictures; those of the last stack are the best."""
        x = self.stem(pictures.movedim(-1, 1).to(next(self.parameters()).dtype) / 255 - 0.5)
        said = []
        for stack in self.stacks:
            maps, x = stack(x)
            said.append(maps)
        return torch.stack(said)
