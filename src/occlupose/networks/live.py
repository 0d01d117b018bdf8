"""`tcn.TCN` on streams: a few frames of each sequence at a time, with the same outputs and nothing computed twice.

Each layer keeps the frames that its kernel still needs and appends the new ones; its look-ahead adds to the delay of
the output. At the two ends of a sequence `TCN` pads, so each layer overwrites the frames outside the sequence first.
All ours.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from occlupose.networks.tcn import OUTPUT_SCALE, STRIDE, TCN, TemporalBlock, TemporalResidual, UpsampleBlock

UNKNOWN_LENGTH = 2**40
"""Steps of a sequence whose end is not known yet."""


@dataclass(frozen=True)
class StreamPosition:
    """Position of each sequence of a batch, in steps of STRIDE frames.

    A layer with `rate` frames per step and a delay of `delay` frames gets frames from rate * step - delay on.
    """

    step: Int[Tensor, "batch"]
    """Steps before this one."""
    steps: Int[Tensor, "batch"]
    """Length of the sequence; UNKNOWN_LENGTH until it is known."""

    def repeat_ends(
        self, x: Float[Tensor, "batch channels time"], rate: int, delay: int
    ) -> Float[Tensor, "batch channels time"]:
        """`x` with the first and last frame of each sequence repeated outside it."""
        if self._all_inside(x, rate, delay):
            return x
        frame = self._frames(x, rate, delay)
        inside = frame.clamp_min(0).minimum(rate * self.steps.unsqueeze(1) - 1)
        index = (inside - frame[:, :1]).clamp(0, x.shape[-1] - 1)
        return x.gather(2, index.unsqueeze(1).expand_as(x).to(x.device))

    def zero_outside(
        self, x: Float[Tensor, "batch channels time"], rate: int, delay: int
    ) -> Float[Tensor, "batch channels time"]:
        """`x` with zeros outside each sequence."""
        if self._all_inside(x, rate, delay):
            return x
        frame = self._frames(x, rate, delay)
        return x * ((frame >= 0) & (frame < rate * self.steps.unsqueeze(1))).unsqueeze(1).to(x.device)

    def _frames(self, x: Tensor, rate: int, delay: int) -> Int[Tensor, "batch time"]:
        return (rate * self.step - delay).unsqueeze(1) + torch.arange(x.shape[-1])

    def _all_inside(self, x: Tensor, rate: int, delay: int) -> bool:
        return rate * self._fewest_done >= delay and rate * self._fewest_left >= x.shape[-1] - delay

    @cached_property
    def _fewest_done(self) -> int:
        return int(self.step.min())

    @cached_property
    def _fewest_left(self) -> int:
        return int((self.steps - self.step).min())


class HistoryBuffer(nn.Module):
    """Prepends the last frames of earlier calls.

    Arguments:
        frames: number of frames to keep.
    """

    def __init__(self, channels: int, frames: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.frames = torch.zeros(0, channels, frames, device=device)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels longer"]:
        if not self.frames.shape[-1]:
            return x
        extended = torch.cat([self.frames, x], -1)
        self.frames = extended[..., x.shape[-1] :]
        return extended


class DelayLine(HistoryBuffer):
    """Delays its input by a number of frames."""

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return super().forward(x)[..., : x.shape[-1]]


def reorder_batch(module: nn.Module, order: Int[Tensor, "batch"]) -> None:
    """Changes the sequences of the batch in all buffers of a module.

    Arguments:
        order: previous row of each sequence, -1 for a new one.
    """
    for part in module.modules():
        if isinstance(part, HistoryBuffer):
            part.frames = functional.pad(part.frames, (0, 0, 0, 0, 0, 1))[order.to(part.frames.device)]


class _LiveBlock(nn.Module):
    """A block on a stream.

    Arguments:
        rate: frames per step of its input.
        delay: of its input, frames.

    Attributes:
        delay: of its output, frames.
    """

    delay: int

    def __init__(self, block: TemporalBlock, rate: int, delay: int) -> None:
        super().__init__()
        convolution, self.norm, self.activation, _ = block  # no dropout at inference
        assert isinstance(convolution, nn.Conv1d)
        (kernel,) = convolution.kernel_size
        (self.stride,) = convolution.stride
        (self.dilation,) = convolution.dilation
        self.weight = convolution.weight.detach().flatten(1)
        self.window = self.dilation * (kernel - 1) + 1
        lengths = range(self.window - self.stride, self.window)
        history = next(length for length in lengths if (delay + length - self.window // 2) % self.stride == 0)
        self.history = HistoryBuffer(convolution.in_channels, history, convolution.weight.device)
        self.rate = rate
        self.input_delay = delay + history
        self.delay = (self.input_delay - self.window // 2) // self.stride

    def forward(
        self, x: Float[Tensor, "batch channels time"], position: StreamPosition
    ) -> Float[Tensor, "batch width shorter"]:
        extended = position.repeat_ends(self.history(x), self.rate, self.input_delay)
        windows = extended.unfold(2, self.window, self.stride)[..., :: self.dilation]
        x = functional.linear(windows.transpose(1, 2).flatten(2), self.weight)
        return self.activation(self.norm(x.mT))


class _LiveResidual(nn.Module):
    delay: int

    def __init__(self, residual: TemporalResidual, rate: int, delay: int) -> None:
        super().__init__()
        wide, single = residual.blocks
        assert isinstance(wide, TemporalBlock) and isinstance(single, TemporalBlock)
        self.wide = _LiveBlock(wide, rate, delay)
        self.single = _LiveBlock(single, rate, self.wide.delay)
        self.delay = self.single.delay
        self.shortcut = DelayLine(len(self.single.weight), self.delay - delay, self.single.weight.device)

    def forward(
        self, x: Float[Tensor, "batch width time"], position: StreamPosition
    ) -> Float[Tensor, "batch width time"]:
        return self.shortcut(x) + self.single(self.wide(x, position), position)


class _LiveUpsample(nn.Module):
    """An upsampling block on a stream: for each pair of neighbouring frames, the second frame that comes from the first
    and the first frame that comes from the second.
    """

    delay: int

    def __init__(self, block: UpsampleBlock, rate: int, delay: int) -> None:
        super().__init__()
        convolution, self.norm, self.activation, _ = block
        assert isinstance(convolution, nn.ConvTranspose1d)
        # (inputs, outputs, which of the two frames, which of the neighbours)
        pairs = convolution.weight.detach()[..., [[2, 0], [3, 1]]]
        self.weight = pairs.permute(2, 1, 0, 3).flatten(2).flatten(0, 1)
        self.history = HistoryBuffer(convolution.in_channels, 1, convolution.weight.device)
        self.rate = rate
        self.input_delay = delay + 1
        self.delay = 2 * self.input_delay - 1

    def forward(
        self, x: Float[Tensor, "batch width time"], position: StreamPosition
    ) -> Float[Tensor, "batch width twice"]:
        pairs = position.zero_outside(self.history(x), self.rate, self.input_delay).unfold(2, 2, 1)
        x = functional.linear(pairs.transpose(1, 2).flatten(2), self.weight).unflatten(2, (2, -1)).flatten(1, 2)
        return self.activation(self.norm(x.mT))


class LiveTCN(nn.Module):
    """A `TCN` of style OURS that takes STRIDE frames of each sequence at a time. Its layers are named as there, and it
    shares the weights.

    Arguments:
        delay: of the input, frames.

    Attributes:
        delay: of the output, frames: a step returns frames from STRIDE * step - delay on. Those outside a sequence are
            meaningless.
    """

    def __init__(self, network: TCN, delay: int = 0) -> None:
        super().__init__()
        width = network.out.in_channels
        device = network.out.weight.device
        full = STRIDE
        half = STRIDE // 2
        quarter = STRIDE // 4
        self.c1a = _LiveBlock(network.c1a, full, delay)
        self.c1b = _LiveBlock(network.c1b, full, self.c1a.delay)
        self.c2a = _LiveBlock(network.c2a, half, self.c1b.delay)
        self.shortcut_c2a = DelayLine(width, self.c2a.delay - self.c1b.delay, device)
        self.c2b = _LiveBlock(network.c2b, half, self.c2a.delay)
        self.middle = nn.ModuleList()
        delay = self.c2b.delay
        for residual in network.middle:
            assert isinstance(residual, TemporalResidual)
            live = _LiveResidual(residual, quarter, delay)
            self.middle.append(live)
            delay = live.delay
        self.t1 = _LiveUpsample(network.t1, quarter, delay)
        self.shortcut_t1 = DelayLine(width, self.t1.delay - self.c2a.delay, device)
        self.t2 = _LiveUpsample(network.t2, half, self.t1.delay)
        self.shortcut_t2 = DelayLine(width, self.t2.delay - self.c1a.delay, device)
        assert isinstance(network.finish, TemporalResidual), "LiveTCN takes networks of style OURS"
        self.finish = _LiveResidual(network.finish, full, self.t2.delay)
        self.out = network.out
        self.delay = self.finish.delay

    def forward(self, x: Float[Tensor, "batch 4 inputs"], position: StreamPosition) -> Float[Tensor, "batch 4 outputs"]:
        full = self.c1a(x.mT, position)
        half = self.c1b(full, position)
        half = self.shortcut_c2a(half) + self.c2a(half, position)
        quarter = self.c2b(half, position)
        for residual in self.middle:
            quarter = residual(quarter, position)
        half = self.shortcut_t1(half) + self.t1(quarter, position)
        full = self.finish(self.shortcut_t2(full) + self.t2(half, position), position)
        return OUTPUT_SCALE * self.out(full).mT
