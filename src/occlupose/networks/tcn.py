"""The temporal network of OANet: a U-shaped stack of 1D convolutions over time.

Two convolution blocks shrink time by four, two transposed blocks restore it, and short connections join equal lengths (paper
section 3.2, figure 6: kernel 5). Channels, strides and dilations of the figure are not legible in public; those here are ours, as
are the transposed kernels of 4 (a multiple of the stride leaves no comb in time) and the 3 of the residual blocks.
"""

from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 4
"""Frames in, and so the length of a sequence, come in multiples of this."""


class Block(nn.Sequential):
    """Convolution over time, batch normalisation, leaky ReLU, dropout. Length out = length in / stride; ends are repeated."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 5, *, stride: int = 1, dilation: int = 1, dropout: float = 0.1) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, bias=False, padding_mode="replicate")
        super().__init__(convolution, nn.BatchNorm1d(outputs), nn.LeakyReLU(0.1), nn.Dropout(dropout))


class Rise(nn.Sequential):
    """Transposed convolution that doubles the length, batch normalisation, leaky ReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float = 0.1) -> None:
        convolution = nn.ConvTranspose1d(inputs, outputs, 4, 2, 1, bias=False)
        super().__init__(convolution, nn.BatchNorm1d(outputs), nn.LeakyReLU(0.1), nn.Dropout(dropout))


class TCN(nn.Module):
    """Sequence in, sequence of the same length out.

    OANet section 3.2: C1, C2, T1, T2 with short connections. Used twice, with other ends: 2D to 2D and 2D to 3D.

    Arguments:
        inputs: channels a frame in.
        outputs: channels a frame out.
        width: channels of the full and half length; the quarter length has twice as many.
        depth: residual blocks at the quarter length (ours; 0 is the plain two plus two blocks).
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 256, depth: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.c1a = Block(inputs, width, dropout=dropout)
        self.c1b = Block(width, width, stride=2, dropout=dropout)
        self.c2a = Block(width, width, dilation=2, dropout=dropout)
        self.c2b = Block(width, 2 * width, stride=2, dropout=dropout)
        self.middle = nn.ModuleList(Block(2 * width, 2 * width, 3, dropout=dropout) for _ in range(depth))
        self.t1 = Rise(2 * width, width, dropout=dropout)
        self.t2 = Rise(width, width, dropout=dropout)
        self.out = nn.Conv1d(width, outputs, 1)

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch time outputs"]:
        full = self.c1a(x.mT)
        half = self.c1b(full)
        half = half + self.c2a(half)
        quarter = self.c2b(half)
        for block in self.middle:
            quarter = quarter + block(quarter)
        half = half + self.t1(quarter)
        full = full + self.t2(half)
        return self.out(full).mT


def reach(network: TCN) -> int:
    """Frames to either side on which an output can depend (found by following the kernels)."""
    c1a, c1b, c2a, c2b = 2, 2, 2 * 4, 2 * 2
    return c1a + c1b + c2a + c2b + 4 * len(network.middle) + 4 * 1 + 2 * 1 + STRIDE
