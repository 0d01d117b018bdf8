"""The temporal network of OANet: a U-shaped stack of 1D convolutions over time.

Two convolution blocks downsample time by four, two transposed blocks upsample it again, and shortcuts connect equal
lengths (paper section 3.2, figure 6: kernel 5). The channels, strides and dilations of the figure are not legible in
public copies; those here are ours. Also ours: batch normalisation, activation and dropout, as they were common at the
time, residual blocks at a quarter of the length, and outputs that start at zero and are small relative to the features
(poses are a fraction of a metre).
"""

from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 4
"""The length of a sequence is a multiple of this."""

OUTPUT_SCALE = 0.1
"""Factor of the outputs, with which optimiser steps are small relative to poses."""


def receptive_field(depth: int) -> int:
    """Frames that one output of a `TCN` depends on: 45 without residual blocks, more than 128 with four.

    The network of figure 6 by itself sees 22 frames before and after, so that with it a longer sequence tells a frame
    nothing more.
    """
    return 2 * (22 + STRIDE * (2**depth - 1)) + 1


class TemporalBlock(nn.Sequential):
    """Convolution over time, normalisation, activation, dropout. Output length = input length / stride; the ends are
    padded by repetition (paper section 5.3).
    """

    def __init__(
        self, inputs: int, outputs: int, dropout: float, kernel: int = 5, *, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = nn.Conv1d(
            inputs, outputs, kernel, stride, padding, dilation, bias=False, padding_mode="replicate"
        )
        super().__init__(convolution, nn.BatchNorm1d(outputs), nn.LeakyReLU(), nn.Dropout(dropout))


class UpsampleBlock(nn.Sequential):
    """Transposed convolution that doubles the length, normalisation, activation, dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        convolution = nn.ConvTranspose1d(inputs, outputs, 5, 2, 2, output_padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm1d(outputs), nn.LeakyReLU(), nn.Dropout(dropout))


class TemporalResidual(nn.Module):
    """Residual block: a convolution of kernel 3 and one of kernel 1."""

    def __init__(self, width: int, dropout: float, dilation: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            TemporalBlock(width, width, dropout, 3, dilation=dilation), TemporalBlock(width, width, dropout, 1)
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
        dropout: probability in training.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 512, depth: int = 0, dropout: float = 0.25) -> None:
        super().__init__()
        bottleneck = 2 * width
        self.c1a = TemporalBlock(inputs, width, dropout)
        self.c1b = TemporalBlock(width, width, dropout, stride=2)
        self.c2a = TemporalBlock(width, width, dropout, dilation=2)
        self.c2b = TemporalBlock(width, bottleneck, dropout, stride=2)
        self.middle = nn.Sequential(*(TemporalResidual(bottleneck, dropout, 2**number) for number in range(depth)))
        self.t1 = UpsampleBlock(bottleneck, width, dropout)
        self.t2 = UpsampleBlock(width, width, dropout)
        self.out = nn.Conv1d(width, outputs, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch time outputs"]:
        full = self.c1a(x.mT)
        half = self.c1b(full)
        half = half + self.c2a(half)
        quarter = self.middle(self.c2b(half))
        half = half + self.t1(quarter)
        full = full + self.t2(half)
        return OUTPUT_SCALE * self.out(full).mT
