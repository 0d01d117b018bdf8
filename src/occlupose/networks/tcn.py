"""The temporal network of OANet: a U-shaped stack of 1D convolutions over time.

Two convolution blocks shrink time by four, two transposed blocks restore it, and short connections join equal lengths
(paper section 3.2, figure 6: kernel 5). Channels, strides and dilations of the figure are not legible in public; those
here are ours. What else the paper leaves open is a `Style`; residual blocks at the quarter length, and outputs that
begin at zero and are small beside the features (poses are a fraction of a metre), are ours.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 4
"""Frames in, and so the length of a sequence, come in multiples of this."""

OUTPUT = 0.1
"""Unit of the outputs: steps of the optimiser are then small beside what the outputs must tell apart."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each frame by itself, so that no frame depends on others."""

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return super().forward(x.mT).mT


@dataclass(frozen=True)
class Style:
    """What the paper does not fix."""

    deeper: int
    """Channels at the quarter length, in widths."""
    rise: int
    """Kernel of the transposed convolutions."""
    norm: type[nn.BatchNorm1d] | type[ChannelNorm]
    activation: type[nn.Module]
    dropout: float
    finish: bool
    """A residual block at full length before the output."""


PAPER = Style(deeper=2, rise=5, norm=nn.BatchNorm1d, activation=nn.LeakyReLU, dropout=0.25, finish=False)
"""With the batch normalisation and dropout that were usual then; ours."""

OURS = Style(deeper=1, rise=4, norm=ChannelNorm, activation=nn.GELU, dropout=0.0, finish=True)
"""Of the lifter that ships: batches of a few long sequences make batch statistics noisy. Ours."""


class Block(nn.Sequential):
    """Convolution over time, normalisation, activation, dropout. Length out = length in / stride; ends are repeated
    (paper section 5.3).
    """

    def __init__(
        self, inputs: int, outputs: int, style: Style, kernel: int = 5, *, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = nn.Conv1d(
            inputs, outputs, kernel, stride, padding, dilation, bias=False, padding_mode="replicate"
        )
        super().__init__(convolution, style.norm(outputs), style.activation(), nn.Dropout(style.dropout))


class Rise(nn.Sequential):
    """Transposed convolution that doubles the length, normalisation, activation, dropout."""

    def __init__(self, inputs: int, outputs: int, style: Style) -> None:
        padding = (style.rise - 1) // 2
        convolution = nn.ConvTranspose1d(
            inputs, outputs, style.rise, 2, padding, output_padding=style.rise % 2, bias=False
        )
        super().__init__(convolution, style.norm(outputs), style.activation(), nn.Dropout(style.dropout))


class Residual(nn.Module):
    """What a kernel of three frames and one of a single frame add to their input."""

    def __init__(self, width: int, style: Style, dilation: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(width, width, style, 3, dilation=dilation), Block(width, width, style, 1))

    def forward(self, x: Float[Tensor, "batch width time"]) -> Float[Tensor, "batch width time"]:
        return x + self.blocks(x)


class TCN(nn.Module):
    """Sequence in, sequence of the same length out; zero before training.

    OANet section 3.2: C1, C2, T1, T2 with short connections. Used twice, with other ends: 2D to 2D and 2D to 3D.

    Arguments:
        inputs: channels a frame in.
        outputs: channels a frame out.
        width: channels inside.
        depth: residual blocks at the quarter length, each of which looks twice as far as the one before (paper: none).
        style: what the paper does not fix.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 512, depth: int = 0, style: Style = PAPER) -> None:
        super().__init__()
        deep = style.deeper * width
        self.c1a = Block(inputs, width, style)
        self.c1b = Block(width, width, style, stride=2)
        self.c2a = Block(width, width, style, dilation=2)
        self.c2b = Block(width, deep, style, stride=2)
        self.middle = nn.Sequential(*(Residual(deep, style, 2**number) for number in range(depth)))
        self.t1 = Rise(deep, width, style)
        self.t2 = Rise(width, width, style)
        self.finish = Residual(width, style) if style.finish else nn.Identity()
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
        return OUTPUT * self.out(full).mT


def reach(network: TCN) -> int:
    """Frames to either side on which an output can depend (the sum of what each kernel adds, in frames of full
    length).
    """
    c1a = 2
    c1b = 2
    c2a = 2 * 4
    c2b = 2 * 2
    t1 = 4
    t2 = 2
    middle = 4 * (2 ** len(network.middle) - 1)
    finish = int(isinstance(network.finish, Residual))
    return c1a + c1b + c2a + c2b + middle + t1 + t2 + finish + STRIDE
