"""MoveNet MultiPose with other maps: HUPOR's detector for small computers. Ours.

The features of MultiPose (`networks.movenet`), which has learnt from several people in real images, up to the hidden
layers before its maps, beside those of a second and wider feature pyramid; one layer turns both, normalised, into
maps.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.networks.movenet import HEAD_WIDTH, MULTI_HEADS, SCALE, FeaturePyramid, MobileNetV2, MultiPose, head
from occlupose.networks.mspn import Heads, initialise_maps

CONTEXT = (64, 64, 64)
"""Channels of the second pyramid at strides 4, 8 and 16."""

FROZEN_BLOCKS = 6
"""Blocks of the backbone whose weights remain MultiPose's: those up to stride 8."""


class MoveNetDetector(nn.Module):
    """Images in, maps at a quarter of their size out. It starts as MultiPose; see `start_from`.

    Arguments:
        heads: channels of each head, by name.
    """

    def __init__(self, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.backbone = MobileNetV2(1.5)
        self.pyramid = FeaturePyramid(self.backbone.channels)
        self.hidden = nn.ModuleDict({name: head(1)[:-1] for name in MULTI_HEADS})
        self.context = FeaturePyramid(self.backbone.channels, CONTEXT)
        channels = len(MULTI_HEADS) * HEAD_WIDTH + CONTEXT[0]
        self.normalise = nn.BatchNorm2d(channels)
        self.heads = nn.ModuleDict({name: map_layer(channels, count) for name, count in heads.items()})

    def start_from(self, multipose: MultiPose) -> None:
        """Copies MultiPose's weights."""
        self.backbone.load_state_dict(multipose.backbone.state_dict())
        self.pyramid.load_state_dict(multipose.pyramid.state_dict())
        for name, layers in multipose.heads.items():
            assert isinstance(layers, nn.Sequential)
            self.hidden[name].load_state_dict(layers[:-1].state_dict())

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[list[Heads]]:
        """Maps of the one stage and its one level, as `MSPN` returns them.

        Arguments:
            images: as `scale_images` returns them, with sides that are multiples of 32.
        """
        features = self.backbone(images)
        fine = self.pyramid(features)
        hidden = [layers(fine) for layers in self.hidden.values()]
        everything = self.normalise(torch.cat([*hidden, self.context(features)], 1))
        return [[{name: layer(everything) for name, layer in self.heads.items()}]]

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """What is MultiPose's, without the first blocks, which are not trained."""
        for part in (self.backbone.stem, *self.backbone.blocks[:FROZEN_BLOCKS]):
            part.requires_grad_(False)
        late = (self.backbone.blocks[FROZEN_BLOCKS:], self.backbone.last, self.pyramid, self.hidden)
        return [parameter for part in late for parameter in part.parameters()]

    def new_parameters(self) -> list[nn.Parameter]:
        """What is not MultiPose's."""
        return [*self.context.parameters(), *self.normalise.parameters(), *self.heads.parameters()]


def map_layer(inputs: int, outputs: int) -> nn.Conv2d:
    """From features to maps, small before training."""
    layer = nn.Conv2d(inputs, outputs, 1)
    initialise_maps(layer)
    return layer


def scale_images(images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB images as MoveNet's input, channels last in memory."""
    return (images * SCALE - 1).movedim(-1, 1)
