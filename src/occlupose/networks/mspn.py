"""The multi-stage network of HUPOR (arXiv 2208.00090): MSPN (Li et al. 2019, "Rethinking on Multi-Stage Networks for
Human Pose Estimation") on whole images.

A stage is an encoder, which is the four levels of a ResNet, and an upsampler, which goes back from the coarsest level
to the finest and predicts maps at each. Each level of the next encoder receives features of the same level of the
previous encoder and upsampler; its input is the finest level of the previous upsampler.

The paper calls the network a three-stacked hourglass. That it is MSPN's, its widths and its heads follow the code that
the authors published before the paper was final.

The names of submodules are those in weight files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from occlupose.bounds import Bounded, Count
from occlupose.networks.resnet import RESNET50, Bottleneck

STRIDE = 4
"""Pixels of the image in a cell of the maps."""

INITIAL_HEIGHT = 0.05
"""Approximate height of the maps before training, small because most cells are empty; peaks are 1 (ours)."""

LEVELS = 4
"""Levels of an encoder; each has half the resolution of the one before."""

Levels = list[Tensor]
"""(batch, channel, y, x) of each level, the finest first."""

Heads = dict[str, Tensor]
"""(batch, channel, y, x) by name."""


def conv_block(inputs: int, outputs: int, size: int = 1, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """A convolution with batch normalisation and, by default, a ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class StageSize(Bounded):
    """The size of a stage.

    Attributes:
        blocks: bottlenecks of each level of the encoder.
        widths: their inner channels; their outputs have four times as many.
        width: channels of the upsampler.
    """

    blocks: tuple[Count, Count, Count, Count] = RESNET50
    widths: tuple[Count, Count, Count, Count] = (64, 128, 256, 512)
    width: Count = 256

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level of the encoder."""
        return tuple(width * Bottleneck.expansion for width in self.widths)

    def to_text(self) -> str:
        """The numbers, for the header of a weights file."""
        return " ".join(map(str, (*self.blocks, *self.widths, self.width)))

    @classmethod
    def from_text(cls, text: str) -> "StageSize":
        """The inverse of `to_text`.

        Raises:
            ValueError, OccluposeError: not such a text; an impossible number.
        """
        numbers = list(map(int, text.split()))
        if len(numbers) != 2 * LEVELS + 1:
            raise ValueError("size")
        return cls((*numbers[:LEVELS],), (*numbers[LEVELS:-1],), numbers[-1])  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Four levels of features from an input that already has the stride of the maps.

    Arguments:
        inputs: channels of the input.
    """

    def __init__(self, inputs: int, size: StageSize) -> None:
        super().__init__()
        levels = []
        channels = pairwise((inputs, *size.channels))
        for level, ((before, after), count) in enumerate(zip(channels, size.blocks, strict=True)):
            first = Bottleneck(before, after, 2 if level else 1)
            levels.append(nn.Sequential(first, *(Bottleneck(after, after) for _ in range(count - 1))))
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Float[Tensor, "batch inputs y x"], previous: Sequence[Tensor] | None = None) -> Levels:
        """Features of each level.

        Arguments:
            previous: features of the previous stage, added to each level (`UpsamplerOutput.features`).
        """
        features = []
        for number, level in enumerate(self.levels):
            x = level(x)
            if previous is not None:
                x = x + previous[number]
            features.append(x)
        return features


@dataclass
class UpsamplerOutput:
    """The output of an upsampler.

    Attributes:
        heads: maps of each level, the finest first, all in the resolution of the finest.
        features: for each level of the next encoder; None in the last stage.
        next_input: the input of the next encoder; None in the last stage.
    """

    heads: list[Heads]
    features: Levels | None = None
    next_input: Tensor | None = None


class MapConvolution(nn.Conv2d):
    """The last convolution of a head; its maps are small before training (ours). The published code normalises them and
    learns depths slowly.

    Arguments:
        outputs: channels of the maps.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


def build_stem(width: int) -> nn.Sequential:
    """Images to features with the stride of the maps."""
    return nn.Sequential(conv_block(3, width, 7, 2), nn.MaxPool2d(3, 2, 1))


def build_head(inputs: int, outputs: int) -> nn.Sequential:
    """A head: features to maps."""
    return nn.Sequential(conv_block(inputs, inputs), MapConvolution(inputs, outputs))


class UpsamplerLevel(nn.Module):
    """One level of an upsampler: joins the features of the encoder with those of the coarser level."""

    def __init__(self, inputs: int, size: StageSize, heads: Mapping[str, int], *, coarsest: bool, last: bool) -> None:
        super().__init__()
        self.lateral = conv_block(inputs, size.width, relu=False)
        self.up = None if coarsest else conv_block(size.width, size.width, relu=False)
        self.relu = nn.ReLU(inplace=True)
        self.heads = nn.ModuleDict({name: build_head(size.width, count) for name, count in heads.items()})
        self.tell = None if last else nn.ModuleList([conv_block(inputs, inputs), conv_block(size.width, inputs)])

    def forward(self, x: Tensor, coarser: Tensor | None) -> Tensor:
        features = self.lateral(x)
        if self.up is not None:
            assert coarser is not None
            features = features + self.up(resize_like(coarser, features))
        return self.relu(features)


class Upsampler(nn.Module):
    """From the coarsest level back to the finest, with maps at each.

    Arguments:
        heads: channels of each head, by name.
        onward: channels of the input of the next stage; None in the last stage.
    """

    def __init__(self, size: StageSize, heads: Mapping[str, int], onward: int | None = None) -> None:
        super().__init__()
        last = onward is None
        self.levels = nn.ModuleList(
            UpsamplerLevel(inputs, size, heads, coarsest=number == LEVELS - 1, last=last)
            for number, inputs in enumerate(size.channels)
        )
        self.onward = None if onward is None else conv_block(size.width, onward)

    def forward(self, encoded: Levels) -> UpsamplerOutput:
        """Maps of every level and the inputs of the next stage."""
        heads: list[Heads] = []
        features: Levels = []
        x: Tensor | None = None
        for level, of_encoder in zip(reversed(self.levels), reversed(encoded), strict=True):
            assert isinstance(level, UpsamplerLevel)
            x = level(of_encoder, x)
            heads.insert(0, {name: resize_like(head(x), encoded[0]) for name, head in level.heads.items()})
            if level.tell is not None:
                from_encoder, from_upsampler = level.tell
                features.insert(0, from_encoder(of_encoder) + from_upsampler(x))
        assert x is not None
        if self.onward is None:
            return UpsamplerOutput(heads)
        return UpsamplerOutput(heads, features, self.onward(x))


def resize_like(x: Float[Tensor, "batch channel y x"], like: Float[Tensor, "batch other height width"]) -> Tensor:
    """`x` in the size of another tensor: bilinear, corner cells stay at the corners."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


class MSPN(nn.Module):
    """Images in, maps of every stage and level out.

    Arguments:
        heads: channels of each head, by name.
        stages: 3 in the paper; 2, with two stages of reasoning, in its fastest variant.
    """

    def __init__(self, heads: Mapping[str, int], *, stages: int = 3, size: StageSize = StageSize()) -> None:
        super().__init__()
        stem = size.widths[0]
        self.stem = build_stem(stem)
        self.encoders = nn.ModuleList(Encoder(stem, size) for _ in range(stages))
        self.upsamplers = nn.ModuleList(
            Upsampler(size, heads, None if stage == stages - 1 else stem) for stage in range(stages)
        )
        initialise(self)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[list[Heads]]:
        """Maps of every stage and, within it, of every level, the finest first; all at a quarter of the image size.

        Arguments:
            images: ImageNet-normalised, with sides that are multiples of 32.
        """
        x = self.stem(images)
        previous = None
        heads = []
        for encoder, upsampler in zip(self.encoders, self.upsamplers, strict=True):
            stage = upsampler(encoder(x, previous))
            x = stage.next_input
            previous = stage.features
            heads.append(stage.heads)
        return heads


def initialise(network: nn.Module) -> None:
    """Initialises convolutions as He et al. (2015), except the last one of each head."""
    for part in network.modules():
        if isinstance(part, MapConvolution):
            initialise_maps(part)
        elif isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def initialise_maps(layer: nn.Conv2d) -> None:
    """Initialises the last convolution of a head: its maps are small before training."""
    nn.init.normal_(layer.weight, std=INITIAL_HEIGHT * (2 / layer.weight[0].numel()) ** 0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
