"""MoveNet (Google, 2021, Apache-2.0): MobileNetV2 (Sandler et al. 2018) with a feature pyramid at stride 4 and one
head for each map, after CenterNet (Zhou et al. 2019, "Objects as Points").

Rebuilt from the published graphs of MoveNet Thunder 4 and MoveNet MultiPose Lightning 1, whose numbers are stored in
half precision; batch normalisation is part of the kernels. Maps have one cell for 4 x 4 pixels. A position in cells
times 4 is one in pixels, measured from the edge of the image.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

JOINTS = 17
"""COCO-17."""

STRIDE = 4
"""Pixels between the cells of a map."""

SINGLE_HEADS = {"center": 1, "regression": 2 * JOINTS, "heatmap": JOINTS, "offset": 2 * JOINTS}
"""Channels of Thunder's maps: centre of a person; joints from there, in cells; joints; their offsets in the cell."""

MULTI_HEADS = {**SINGLE_HEADS, "box_scale": 2, "box_offset": 2}
"""Channels of MultiPose's maps: those of Thunder; height and width of the box and offset of its centre, in cells."""

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""MobileNetV2's table 2: expansion, channels, blocks, stride of the first."""

TAPS = (2, 5, 9)
"""Blocks whose outputs, at strides 4, 8 and 16, join the feature pyramid."""

PYRAMID = (24, 32, 64)
"""Channels of the feature pyramid at these strides; it is as wide at stride 32 as at 16."""

FROZEN_BLOCKS = 6
"""Blocks of the backbone, those up to stride 8, that are not trained in networks that begin with it (ours)."""

HEAD_WIDTH = 96
"""Channels of the hidden layer before each map."""

SCALE = 0.007843017578125
"""Inputs are SCALE * value - 1; 2 / 255 in half precision."""

PERSON_SCORE = 0.126953125
"""Keypoints with a higher score count in the score of a person (MultiPose)."""

NEAR_CENTRE = 1.8
"""Cells; the weight of a cell of Thunder's map of centres is 1 / (distance from the middle + NEAR_CENTRE)."""

NEAR_JOINT = 1.7998046875
"""The same for its heatmaps and the distance from the regressed position."""

SPREAD = 0.300048828125
"""Of MultiPose's Gaussian: exp(-distance^2 / (SPREAD * the shorter side of the maps))."""

SAME = 1.0132789611816406e-06
"""A cell that is less than this below the largest around it is a maximum (MultiPose)."""

PEAKS = 4
"""Peaks of each heatmap that `find_peaks` returns."""

Maps = Mapping[str, Float[Tensor, "batch channel y x"]]


class MoveNet(nn.Module):
    """The network of both models.

    Arguments:
        width: width multiplier of MobileNetV2.
        heads: channels of each map.
    """

    def __init__(self, width: float, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.backbone = MobileNetV2(width)
        self.pyramid = FeaturePyramid(self.backbone.channels)
        self.heads = nn.ModuleDict({name: head(channels) for name, channels in heads.items()})

    def maps(self, images: UInt8[Tensor, "batch height width 3"]) -> dict[str, Float[Tensor, "batch channel y x"]]:
        """The maps of RGB images with sides that are multiples of 32. Heatmaps and centres are logits."""
        x = images.permute(0, 3, 1, 2).float() * SCALE - 1
        features = self.pyramid(self.backbone(x))
        return {name: head(features) for name, head in self.heads.items()}


class Thunder(MoveNet):
    """MoveNet Thunder: one person, in a crop of 256 x 256 px."""

    def __init__(self) -> None:
        super().__init__(1.75, SINGLE_HEADS)

    def forward(
        self, images: UInt8[Tensor, "batch 256 256 3"]
    ) -> tuple[
        Float[Tensor, "batch 17 2"],
        Float[Tensor, "batch 17"],
        Float[Tensor, "batch 17 4 2"],
        Float[Tensor, "batch 17 4"],
    ]:
        """Keypoints of the person in the middle of each RGB crop, as `decode_single` returns them, and the peaks of all
        people's, as `find_peaks` does.
        """
        maps = self.maps(images)
        return (*decode_single(maps), *find_peaks(maps))


class MultiPose(MoveNet):
    """MoveNet MultiPose: several people in an image of any size."""

    def __init__(self) -> None:
        super().__init__(1.5, MULTI_HEADS)

    def forward(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[
        Float[Tensor, "batch 6 17 2"], Float[Tensor, "batch 6 17"], Float[Tensor, "batch 6 4"], Float[Tensor, "batch 6"]
    ]:
        """People in RGB images with sides that are multiples of 32, as `decode_multi` returns them."""
        return decode_multi(self.maps(images))


class MobileNetV2(nn.Module):
    """The features of the blocks in TAPS, and the last.

    Attributes:
        channels: of the features.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = _round(32 * width)
        self.stem = ConvolutionSame(3, channels, 3, stride=2)
        blocks = []
        for expansion, base, count, stride in STAGES:
            for number in range(count):
                out = _round(base * width)
                blocks.append(InvertedResidual(channels, out, expansion, stride if number == 0 else 1))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv2d(channels, 1280, 1)
        self.channels = (*(blocks[tap].channels for tap in TAPS), 1280)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel y x"]]:
        x = functional.relu6(self.stem(x))
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in TAPS:
                features.append(x)
        return [*features, functional.relu6(self.last(x))]


class InvertedResidual(nn.Module):
    """Block of MobileNetV2: expand, filter each channel, project."""

    def __init__(self, inputs: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.channels = channels
        self.residual = stride == 1 and inputs == channels
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = ConvolutionSame(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        hidden = x if self.expand is None else functional.relu6(self.expand(x))
        out = self.project(functional.relu6(self.depthwise(hidden)))
        return x + out if self.residual else out


class FeaturePyramid(nn.Module):
    """The features at stride 4, with those of the coarser ones added from coarse to fine.

    Arguments:
        channels: of the features.
        widths: channels of the pyramid at strides 4, 8 and 16.
    """

    def __init__(self, channels: tuple[int, ...], widths: tuple[int, int, int] = PYRAMID) -> None:
        super().__init__()
        outputs = (*widths, widths[-1])
        self.lateral = nn.ModuleList(nn.Conv2d(into, out, 1) for into, out in zip(channels, outputs, strict=True))
        steps = zip(widths, (widths[0], *widths), strict=False)
        self.merge = nn.ModuleList(separable(into, out) for into, out in steps)

    def forward(self, features: list[Float[Tensor, "batch channel y x"]]) -> Float[Tensor, "batch width y x"]:
        x = self.lateral[-1](features[-1])
        for number in reversed(range(len(self.merge))):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = functional.relu(self.merge[number](x + self.lateral[number](features[number])))
        return x


class ConvolutionSame(nn.Conv2d):
    """Convolution padded as TensorFlow does: with a stride of 2, the extra row and column are at the far end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(
            inputs, outputs, kernel, stride=stride, groups=groups, padding=kernel // 2 if stride == 1 else 0
        )

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        return super().forward(x if self.stride[0] == 1 else functional.pad(x, (0, 1, 0, 1)))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """A filter for each channel, then a mixture of channels."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1))


def head(channels: int) -> nn.Sequential:
    """Layers from the features of the pyramid to maps."""
    return nn.Sequential(separable(PYRAMID[0], HEAD_WIDTH), nn.ReLU(), nn.Conv2d(HEAD_WIDTH, channels, 1))


def _round(channels: float) -> int:
    """The nearest multiple of 8, but not less than nine tenths (MobileNetV2)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def decode_single(maps: Maps) -> tuple[Float[Tensor, "batch 17 2"], Float[Tensor, "batch 17"]]:
    """Keypoints of the person in the middle of each image, px from its edge, and their confidence, 0..1 (Thunder).

    The heatmaps are divided by the distance to the regressed position, plus NEAR_JOINT; the confidence is that of the
    heatmap alone.
    """
    height, width = maps["center"].shape[2:]
    y, x = _grid(maps["center"])
    # the graph stores this weight in half precision
    weight = (1 / (_length(y - height / 2, x - width / 2) + NEAR_CENTRE)).half().float()
    centre = (maps["center"][:, 0].sigmoid() * weight).flatten(1).argmax(1, keepdim=True)
    guess = _at(maps["regression"], centre).unflatten(2, (JOINTS, 2))[:, 0] + _row_column(centre, width)
    distance = _length(y - guess[:, :, 0, None, None], x - guess[:, :, 1, None, None])
    heatmap = maps["heatmap"].sigmoid()
    cell = (heatmap / (distance + NEAR_JOINT)).flatten(2).argmax(2)
    score = heatmap.flatten(2).gather(2, cell[..., None])[..., 0]
    return gather_positions(maps["offset"], cell[:, None], width)[:, 0], score


def find_peaks(
    maps: Maps, joints: int = JOINTS
) -> tuple[Float[Tensor, "batch joint 4 2"], Float[Tensor, "batch joint 4"]]:
    """The highest peaks of each heatmap, of whomever they are: positions, px from the edge of the image, and
    confidence, 0..1 (0: there are fewer). A peak is a maximum within 5 x 5 cells, as of MultiPose's centres. Ours.
    """
    heatmap = maps["heatmap"].sigmoid()
    highest = functional.max_pool2d(heatmap, 5, 1, 2)
    score, cell = (heatmap * (heatmap >= highest)).flatten(2).topk(PEAKS)
    positions = gather_positions(maps["offset"], cell.transpose(1, 2), heatmap.shape[3], joints)
    return positions.transpose(1, 2), score


def decode_multi(
    maps: Maps, people: int = 6
) -> tuple[
    Float[Tensor, "batch person 17 2"],
    Float[Tensor, "batch person 17"],
    Float[Tensor, "batch person 4"],
    Float[Tensor, "batch person"],
]:
    """The most likely people of each image, by descending confidence of their centres (MultiPose).

    A centre is a maximum within 5 x 5 cells. Heatmaps are weighted with a Gaussian around the regressed position and
    are 0 outside the person's box; the confidence of a joint is the largest weighted value that any person has there.
    That of a person is the centre's, times the mean of the joints above PERSON_SCORE.

    Arguments:
        people: number of people for each image.

    Returns:
        Keypoints, px from the edge of the image; their confidence, 0..1; left, top, right and bottom of the boxes, px;
        confidence of the people, 0..1.
    """
    heatmaps = maps["heatmap"].sigmoid()
    width = heatmaps.shape[3]
    y, x = _grid(heatmaps)
    limits = torch.cat([y[-1], x[:, -1]]) + 1  # a tensor, so that an exported graph takes images of any size
    centres = maps["center"].sigmoid()
    highest = functional.max_pool2d(centres, 5, 1, 2)
    scores, centre = (centres * ((highest - centres) < SAME)).flatten(1).topk(people)
    corner = _row_column(centre, width)
    guess = _at(maps["regression"], centre).unflatten(2, (JOINTS, 2)) + corner[:, :, None]
    middle = corner + _at(maps["box_offset"], centre)
    half = _at(maps["box_scale"], centre).clamp_min(0) / 2
    low = (middle - half).clamp_min(0).minimum(limits)
    high = (middle + half).clamp_min(0).minimum(limits)
    spread = SPREAD * limits.min()
    near = []
    for axis, cells in enumerate((y.flatten(), x.flatten())):
        inside = (cells >= low[:, :, axis, None]) & (cells < high[:, :, axis, None])
        near.append(torch.exp(-((cells - guess[..., axis, None]) ** 2) / spread) * inside[:, :, None])
    weight = near[0][..., None] * near[1][..., None, :]
    weighted = (heatmaps[:, None] * weight).flatten(3)
    cell = weighted.argmax(3)
    score = weighted.amax(1).gather(2, cell.transpose(1, 2)).transpose(1, 2)
    good = score > PERSON_SCORE
    mean = (score * good).sum(2) / good.sum(2).clamp_min(1)
    boxes = STRIDE * torch.cat([low.flip(2), high.flip(2)], 2)
    return gather_positions(maps["offset"], cell, width), score, boxes, scores * mean


def _grid(maps: Float[Tensor, "batch channel y x"]) -> tuple[Float[Tensor, "y 1"], Float[Tensor, "1 x"]]:
    """Row and column of each cell."""
    y = torch.arange(maps.shape[2], dtype=maps.dtype, device=maps.device)[:, None]
    x = torch.arange(maps.shape[3], dtype=maps.dtype, device=maps.device)[None]
    return y, x


def _length(y: Tensor, x: Tensor) -> Tensor:
    return (y**2 + x**2).sqrt()


def _row_column(cell: Int[Tensor, "*any"], width: int) -> Float[Tensor, "*any 2"]:
    """Row and column of a cell."""
    return torch.stack([cell // width, cell % width], -1).float()


def _at(
    maps: Float[Tensor, "batch channel y x"], cell: Int[Tensor, "batch person"]
) -> Float[Tensor, "batch person channel"]:
    """The values of some cells of each image."""
    values = maps.flatten(2).transpose(1, 2)
    return values.gather(1, cell[..., None].expand(-1, -1, values.shape[2]))


def gather_positions(
    offset: Float[Tensor, "batch axis y x"], cell: Int[Tensor, "batch person joint"], width: int, joints: int = JOINTS
) -> Float[Tensor, "batch person joint 2"]:
    """Positions (x, y) of joints in these cells, px from the edge of the image."""
    offsets = offset.flatten(2).unflatten(1, (joints, 2))
    cells = cell.transpose(1, 2)[:, :, None].expand(-1, -1, 2, -1)
    inside = offsets.gather(3, cells).permute(0, 3, 1, 2)
    return STRIDE * (_row_column(cell, width) + inside).flip(-1)
