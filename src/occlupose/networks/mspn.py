"""The multi-stage network of HUPOR (arXiv 2208.00090): MSPN (Li et al. 2019, "Rethinking on Multi-Stage Networks for
Human Pose Estimation") with maps of whole pictures.

A stage is an encoder, the four levels of a ResNet, and an upsampler that goes back from the coarsest level to the
finest and gives maps at each. Every level of the next encoder is told what the same level of the encoder and of the
upsampler before it had; its input is the finest level of the upsampler.

The paper calls it a three-stacked hourglass; that it is MSPN's, its widths and its heads are those of the code that its
authors published before the paper was final.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from occlupose.networks.resnet import RESNET50, Bottleneck

STRIDE = 4
"""Pixels of the picture in a cell of the maps."""

INITIAL_HEIGHT = 0.05
"""How high maps are before training, about. Most of a map is nothing, and peaks are 1 here (ours)."""

LEVELS = 4
"""Of an encoder, each half as fine as the one before."""

Levels = list[Tensor]
"""(batch, channel, y, x) of each level, the finest first."""

Heads = dict[str, Tensor]
"""(batch, channel, y, x) by name."""


def conv_block(inputs: int, outputs: int, size: int = 1, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """A convolution with normalisation, and a ReLU where there is to be one."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


@dataclass(frozen=True)
class StageSize:
    """How large the stages are.

    Attributes:
        blocks: bottlenecks of each level of an encoder.
        widths: their inner channels; outside they have four times as many.
        width: channels of the upsampler.
    """

    blocks: tuple[int, int, int, int] = RESNET50
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    width: int = 256

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level of an encoder."""
        return tuple(width * Bottleneck.narrowing for width in self.widths)


class Encoder(nn.Module):
    """Four levels of features of something that is at the stride of the maps already.

    Arguments:
        inputs: channels.
    """

    def __init__(self, inputs: int, size: StageSize) -> None:
        super().__init__()
        levels = []
        for level, ((before, after), count) in enumerate(
            zip(pairwise((inputs, *size.channels)), size.blocks, strict=True)
        ):
            first = Bottleneck(before, after, 2 if level else 1)
            levels.append(nn.Sequential(first, *(Bottleneck(after, after) for _ in range(count - 1))))
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Float[Tensor, "batch inputs y x"], told: Sequence[Tensor] | None = None) -> Levels:
        """Features of each level.

        Arguments:
            told: what is added to each level, of an upsampler before this.
        """
        found = []
        for number, level in enumerate(self.levels):
            x = level(x)
            if told is not None:
                x = x + told[number]
            found.append(x)
        return found


@dataclass
class UpsamplerOutput:
    """What an upsampler gives.

    Attributes:
        heads: at every level, the finest first, all as large as the finest.
        told: what the next encoder is told at every level, and its input; None of the last stage.
    """

    heads: list[Heads]
    told: Levels | None = None
    onward: Tensor | None = None


class MapConvolution(nn.Conv2d):
    """The last convolution of a head, whose maps begin faint. The published code normalises these too, and learns
    depths slowly (ours).

    Arguments:
        outputs: channels of the maps.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


def build_head(inputs: int, outputs: int) -> nn.Sequential:
    """From features to maps."""
    return nn.Sequential(conv_block(inputs, inputs), MapConvolution(inputs, outputs))


class UpsamplerLevel(nn.Module):
    """One level of an upsampler: what the encoder has here, and what came from the coarser level."""

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
        heads: channels of each, by name.
        onward: channels of the next stage's input; None is the last stage.
    """

    def __init__(self, size: StageSize, heads: Mapping[str, int], onward: int | None = None) -> None:
        super().__init__()
        last = onward is None
        self.levels = nn.ModuleList(
            UpsamplerLevel(inputs, size, heads, coarsest=number == LEVELS - 1, last=last)
            for number, inputs in enumerate(size.channels)
        )
        self.onward = None if onward is None else conv_block(size.width, onward)

    def forward(self, features: Levels) -> UpsamplerOutput:
        """The maps of every level and what the next stage is given."""
        said: list[Heads] = []
        told: Levels = []
        x: Tensor | None = None
        for level, here in zip(reversed(self.levels), reversed(features), strict=True):
            assert isinstance(level, UpsamplerLevel)
            x = level(here, x)
            said.insert(0, {name: resize_like(each(x), features[0]) for name, each in level.heads.items()})
            if level.tell is not None:
                of_encoder, of_upsampler = level.tell
                told.insert(0, of_encoder(here) + of_upsampler(x))
        assert x is not None
        return UpsamplerOutput(said) if self.onward is None else UpsamplerOutput(said, told, self.onward(x))


def resize_like(x: Float[Tensor, "batch channel y x"], like: Float[Tensor, "batch other height width"]) -> Tensor:
    """As large as another; bilinear, the corner cells staying at the corners."""
    return (
        x if x.shape[-2:] == like.shape[-2:] else interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
    )


class MSPN(nn.Module):
    """Pictures in, maps of every stage and level out.

    Arguments:
        heads: channels of each, by name.
        stages: 3 in the paper; 2 with two stages of reasoning in its fastest variant.
    """

    def __init__(self, heads: Mapping[str, int], *, stages: int = 3, size: StageSize = StageSize()) -> None:
        super().__init__()
        stem = size.widths[0]
        self.stem = nn.Sequential(conv_block(3, stem, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.encoders = nn.ModuleList(Encoder(stem, size) for _ in range(stages))
        self.upsamplers = nn.ModuleList(
            Upsampler(size, heads, None if stage == stages - 1 else stem) for stage in range(stages)
        )
        initialise(self)

    def forward(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[list[Heads]]:
        """Maps of ImageNet-normalised pictures whose sides are multiples of 32: of every stage, and in it of every
        level, the finest first; all at a quarter of the pictures' size."""
        x = self.stem(pictures)
        told = None
        said = []
        for encoder, upsampler in zip(self.encoders, self.upsamplers, strict=True):
            stage = upsampler(encoder(x, told))
            x = stage.onward
            told = stage.told
            said.append(stage.heads)
        return said


def initialise(network: nn.Module) -> None:
    """Convolutions as He et al. (2015) begin, but for the last of the heads."""
    for part in network.modules():
        if isinstance(part, MapConvolution):
            nn.init.normal_(part.weight, std=INITIAL_HEIGHT * (2 / part.weight[0].numel()) ** 0.5)
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]
        elif isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
