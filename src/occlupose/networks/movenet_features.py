"""The features of MoveNet MultiPose in other networks, for small computers. Ours.

MultiPose (`networks.movenet`) has learnt from several people in real images. Its layers up to the hidden ones before
its maps stand here beside a second and wider feature pyramid. They are HUPOR's detector, or the backbone of HigherHRNet
and PifPaf.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from occlupose.networks.estimators import MEAN, STD
from occlupose.networks.movenet import (
    FROZEN_BLOCKS,
    HEAD_WIDTH,
    MULTI_HEADS,
    SCALE,
    FeaturePyramid,
    MobileNetV2,
    MultiPose,
    head,
)
from occlupose.networks.mspn import Heads, conv_block, initialise_maps

CONTEXT = (64, 64, 64)
"""Channels of the second pyramid at strides 4, 8 and 16."""

CHANNELS = len(MULTI_HEADS) * HEAD_WIDTH + CONTEXT[0]
"""Of all features together."""

WIDTH = 32
"""Channels of a backbone at stride 4."""

CELLS = 4
"""Cells at stride 4, across and down, of one at stride 16."""


class MoveNetFeatures(nn.Module):
    """Images in, normalised features at a quarter of their size out. It starts as MultiPose; see `start_from`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2(1.5)
        self.pyramid = FeaturePyramid(self.backbone.channels)
        self.hidden = nn.ModuleDict({name: head(1)[:-1] for name in MULTI_HEADS})
        self.context = FeaturePyramid(self.backbone.channels, CONTEXT)
        self.normalise = nn.BatchNorm2d(CHANNELS)

    def start_from(self, multipose: MultiPose) -> None:
        """Copies MultiPose's weights."""
        self.backbone.load_state_dict(multipose.backbone.state_dict())
        self.pyramid.load_state_dict(multipose.pyramid.state_dict())
        for name, layers in multipose.heads.items():
            assert isinstance(layers, nn.Sequential)
            self.hidden[name].load_state_dict(layers[:-1].state_dict())

    def extract(self, images: Float[Tensor, "batch 3 4*y 4*x"]) -> Float[Tensor, "batch channel y x"]:
        """The features of images as `scale_images` returns them, with sides that are multiples of 32."""
        levels = self.backbone(images)
        fine = self.pyramid(levels)
        hidden = [layers(fine) for layers in self.hidden.values()]
        return self.normalise(torch.cat([*hidden, self.context(levels)], 1))

    def freeze_first_blocks(self) -> None:
        """Keeps the weights of the first blocks in training."""
        for part in (self.backbone.stem, *self.backbone.blocks[:FROZEN_BLOCKS]):
            part.requires_grad_(False)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """What is MultiPose's, without the first blocks."""
        late = (self.backbone.blocks[FROZEN_BLOCKS:], self.backbone.last, self.pyramid, self.hidden)
        return [parameter for part in late for parameter in part.parameters()]


class MoveNetDetector(MoveNetFeatures):
    """HUPOR's detector of one stage and one level, with the interface of `MSPN`.

    Arguments:
        heads: channels of each head, by name.
    """

    def __init__(self, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: map_layer(count) for name, count in heads.items()})

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[list[Heads]]:
        """Maps by stage and level, at a quarter of the images' size.

        Arguments:
            images: as `scale_images` returns them, with sides that are multiples of 32.
        """
        features = self.extract(images)
        return [[{name: layer(features) for name, layer in self.heads.items()}]]


class MoveNetBackbone(MoveNetFeatures):
    """The backbone of HigherHRNet or PifPaf, with the interfaces of `HRNet` and `ResNet`.

    Attributes:
        widths: channels of each output of `forward`.
        features: channels of `maps`.
    """

    widths = (WIDTH,)
    features = WIDTH * CELLS**2

    def __init__(self) -> None:
        super().__init__()
        self.narrow = conv_block(CHANNELS, WIDTH)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch 32 y x"]]:
        """Features of ImageNet-normalised images at a quarter of their size."""
        mean = torch.tensor(MEAN, device=x.device)[:, None, None]
        std = torch.tensor(STD, device=x.device)[:, None, None]
        return [self.narrow(self.extract(2 * (x * std + mean) - 1))]

    def maps(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 512 y x"]:
        """The same at a sixteenth of their size: those of 4 x 4 cells in one."""
        return pixel_unshuffle(self(x)[0], CELLS)


def map_layer(outputs: int) -> nn.Conv2d:
    """From features to maps, small before training."""
    layer = nn.Conv2d(CHANNELS, outputs, 1)
    initialise_maps(layer)
    return layer


def scale_images(images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB images as MoveNet's input, channels last in memory."""
    return (images * SCALE - 1).movedim(-1, 1)
