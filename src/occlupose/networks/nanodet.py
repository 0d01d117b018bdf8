"""NanoDet-g (RangiLyu, 2021, Apache-2.0): a person detector of plain convolutions, on a CSP backbone (Wang et al. 2020,
"CSPNet") and a path aggregation network (Liu et al. 2018, "PANet"). Box sides are distributions over whole numbers, as
in Generalized Focal Loss (Li et al. 2020).

Rebuilt from the published graph. It knows COCO's 80 classes.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 80
"""Of COCO."""

PERSON = 0
"""Class of people."""

BINS = 11
"""Distances from a cell to a side of the box: 0 to 10 strides."""

STRIDES = (8, 16, 32)
"""Pixels between the cells of each level."""

SIDE = 416
"""Pixels, side of the published input; the long side of ours."""

MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.12, 58.395)
"""Of ImageNet's blue, green and red, 0 to 255."""

STAGES = ((32, 16, 1, 1), (64, 32, 2, 2), (128, 64, 2, 2), (256, 128, 3, 2))
"""Channels, channels of a half block, blocks, stride."""

NECK = 128
"""Channels of the path aggregation network and the heads."""


class NanoDet(nn.Module):
    """The network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, STAGES[0][0], stride=2)
        channels = STAGES[0][0]
        stages = []
        for stage in STAGES:
            stages.append(Stage(channels, *stage))
            channels = 2 * stage[0]
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(nn.Conv2d(2 * stage[0], NECK, 1) for stage in STAGES[1:])
        self.heads = nn.ModuleList(_head() for _ in STRIDES)

    def forward(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[Float[Tensor, "batch cell 4"], Float[Tensor, "batch cell"]]:
        """People in RGB images with sides that are multiples of 32: boxes (left, top, right, bottom), px with pixel
        centres at integers, and confidence, 0..1, for each cell of each level, row by row.
        """
        outputs = self.cells(images)
        height, width = images.shape[1:3]
        centres, strides = cell_centres(width, height)
        boxes = decode_boxes(outputs[..., CLASSES:], centres.to(outputs), strides.to(outputs))
        return boxes, outputs[..., PERSON].sigmoid()

    def cells(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch cell 124"]:
        """Logits of each class, and of the distances to the left, upper, right and lower side of the box."""
        bgr = images.flip(-1).permute(0, 3, 1, 2).float()
        mean = torch.tensor(MEAN, device=bgr.device)[:, None, None]
        std = torch.tensor(STD, device=bgr.device)[:, None, None]
        x = functional.max_pool2d(_leaky(self.stem((bgr - mean) / std)), 3, 2, 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        fine = self.lateral[0](features[1])
        middle = self.lateral[1](features[2])
        coarse = self.lateral[2](features[3])
        middle = middle + _resize(coarse, middle)
        fine = fine + _resize(middle, fine)
        middle = middle + _resize(fine, middle)
        coarse = coarse + _resize(middle, coarse)
        levels = (fine, middle, coarse)
        return torch.cat([head(x).flatten(2) for head, x in zip(self.heads, levels, strict=True)], 2).transpose(1, 2)


class Stage(nn.Module):
    """Stage of the backbone: its first convolution passes by the blocks and is appended to their output."""

    def __init__(self, inputs: int, channels: int, half: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.start = _convolution(inputs, channels, stride=stride)
        self.blocks = nn.ModuleList(HalfBlock(channels, half) for _ in range(blocks))
        self.end = _convolution(channels, channels)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        start = _leaky(self.start(x))
        x = start
        for block in self.blocks:
            x = block(x)
        return torch.cat([_leaky(self.end(x)), start], 1)


class HalfBlock(nn.Module):
    """Two convolutions of half the channels, side by side in the output."""

    def __init__(self, channels: int, half: int) -> None:
        super().__init__()
        self.first = _convolution(channels, half)
        self.second = _convolution(half, half)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        first = _leaky(self.first(x))
        return torch.cat([_leaky(self.second(first)), first], 1)


def cell_centres(width: int, height: int) -> tuple[Float[Tensor, "cell 2"], Float[Tensor, " cell"]]:
    """Centres of the cells of all levels and their strides, px, in the order of the outputs.

    Arguments:
        width, height: of the image, multiples of 32.
    """
    centres = []
    strides = []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2) * stride + (stride - 1) / 2)
        strides.append(torch.full((centres[-1].shape[0],), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode_boxes(
    logits: Float[Tensor, "*batch 44"], centres: Float[Tensor, "*batch 2"], strides: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 4"]:
    """Left, top, right and bottom of each box, px: the means of the distributions (Generalized Focal Loss, eq. 3)."""
    bins = torch.arange(BINS, dtype=logits.dtype, device=logits.device)
    distances = (logits.unflatten(-1, (4, BINS)).softmax(-1) * bins).sum(-1) * strides[..., None]
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.1)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _head() -> nn.Sequential:
    return nn.Sequential(_convolution(NECK, NECK), nn.LeakyReLU(0.1), nn.Conv2d(NECK, CLASSES + 4 * BINS, 1))
