"""The temporal network of OANet: a U-shaped stack of 1D convolutions over time.

Two convolution blocks downsample time by four, two transposed blocks upsample it again, and shortcuts connect equal
lengths (paper section 3.2, figure 6: kernel 5). The channels, strides and dilations of the figure are not legible in
public copies; those here are ours. A `Style` has what else the paper leaves open. Also ours: residual blocks at a
quarter of the length, and outputs that start at zero and are small relative to the features (poses are a fraction of a
metre).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 4
"""The length of a sequence is a multiple of this."""

OUTPUT_SCALE = 0.1
"""Factor of the outputs, with which optimiser steps are small relative to poses."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each frame, so that frames do not depend on each other."""

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return super().forward(x.mT).mT


@dataclass(frozen=True)
class Style:
    """What the paper does not specify."""

    bottleneck: int
    """Channels at a quarter of the length, as a multiple of the width."""
    upsample_kernel: int
    """Kernel of the transposed convolutions."""
    norm: type[nn.BatchNorm1d] | type[ChannelNorm]
    activation: type[nn.Module]
    dropout: float
    output_block: bool
    """A residual block at full length before the output."""


PAPER = Style(
    bottleneck=2, upsample_kernel=5, norm=nn.BatchNorm1d, activation=nn.LeakyReLU, dropout=0.25, output_block=False
)
"""With the batch normalisation and dropout that were common at the time; ours."""

OURS = Style(bottleneck=1, upsample_kernel=4, norm=ChannelNorm, activation=nn.GELU, dropout=0.0, output_block=True)
"""Of the shipped lifter: batches of a few long sequences make batch statistics noisy. Ours."""


class TemporalBlock(nn.Sequential):
    """Convolution over time, normalisation, activation, dropout. Output length = input length / stride; the ends are
    padded by repetition (paper section 5.3).
    """

    def __init__(
        self, inputs: int, outputs: int, style: Style, kernel: int = 5, *, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = nn.Conv1d(
            inputs, outputs, kernel, stride, padding, dilation, bias=False, padding_mode="replicate"
        )
        super().__init__(convolution, style.norm(outputs), style.activation(), nn.Dropout(style.dropout))


class UpsampleBlock(nn.Sequential):
    """Transposed convolution that doubles the length, normalisation, activation, dropout."""

    def __init__(self, inputs: int, outputs: int, style: Style) -> None:
        kernel = style.upsample_kernel
        convolution = nn.ConvTranspose1d(
            inputs, outputs, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=False
        )
        super().__init__(convolution, style.norm(outputs), style.activation(), nn.Dropout(style.dropout))


class TemporalResidual(nn.Module):
    """Residual block: a convolution of kernel 3 and one of kernel 1."""

    def __init__(self, width: int, style: Style, dilation: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            TemporalBlock(width, width, style, 3, dilation=dilation), TemporalBlock(width, width, style, 1)
        )

    def forward(self, x: Float[Tensor, "batch width time"]) -> Float[Tensor, "batch width time"]:
        return x + self.blocks(x)


class TCN(nn.Module):
    """From a sequence to one of the same length; the output is zero before training.

    OANet section 3.2: C1, C2, T1, T2 with shortcuts. Used twice with different channels: 2D to 2D and 2D to 3D. The
    names of attributes are those in weights files.

    Arguments:
        inputs: input channels.
        outputs: output channels.
        width: channels inside.
        depth: residual blocks at a quarter of the length, each with twice the dilation of the one before (paper: none).
        style: what the paper does not specify.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 512, depth: int = 0, style: Style = PAPER) -> None:
        super().__init__()
        bottleneck = style.bottleneck * width
        self.c1a = TemporalBlock(inputs, width, style)
        self.c1b = TemporalBlock(width, width, style, stride=2)
        self.c2a = TemporalBlock(width, width, style, dilation=2)
        self.c2b = TemporalBlock(width, bottleneck, style, stride=2)
        self.middle = nn.Sequential(*(TemporalResidual(bottleneck, style, 2**number) for number in range(depth)))
        self.t1 = UpsampleBlock(bottleneck, width, style)
        self.t2 = UpsampleBlock(width, width, style)
        self.finish = TemporalResidual(width, style) if style.output_block else nn.Identity()
        self.out = nn.Conv1d(width, outputs, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch time outputs"]:
        full = self.c1a(x.mT)
        half = self.c1b(full)
        half = half + self.c2a(half)
        quarter = self.middle(self.c2b(half))
        half = half + self.t1(quarter)
        full = self.finish(full + self.t2(half))
        return OUTPUT_SCALE * self.out(full).mT


def half_receptive_field(network: TCN) -> int:
    """Frames before, and as many after, that an output can depend on: the sum over the kernels, in input frames."""
    c1a = 2
    c1b = 2
    c2a = 2 * 4
    c2b = 2 * 2
    t1 = 4
    t2 = 2
    middle = 4 * (2 ** len(network.middle) - 1)
    finish = int(isinstance(network.finish, TemporalResidual))
    return c1a + c1b + c2a + c2b + middle + t1 + t2 + finish + STRIDE
