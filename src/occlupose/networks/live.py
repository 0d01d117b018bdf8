"""The temporal network on sequences that go on: a few frames at a time, nothing computed twice, the answers those of
`tcn.TCN`.

Each layer keeps the last frames that it will need again and puts the next ones behind them; what looks ahead answers
later by as much. The ends of a sequence are the only frames that differ from the others: there a layer meets its
neighbours outside, which `TCN` pads, and so every layer sets them right before it looks. All ours.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from occlupose.networks.tcn import OUTPUT_SCALE, STRIDE, TCN, TemporalBlock, TemporalResidual, UpsampleBlock

ENDLESS = 2**40
"""Steps of a sequence whose end nobody knows yet."""


@dataclass(frozen=True)
class Clock:
    """How far the sequences of a batch are, in steps of STRIDE frames.

    A layer that has `rate` frames in a step and is `late` by so many of them gets frames from rate * step - late on.
    """

    step: Int[Tensor, "batch"]
    """Steps that were taken before this one."""
    steps: Int[Tensor, "batch"]
    """Of the whole sequence; ENDLESS while that is not known."""

    def hold(
        self, x: Float[Tensor, "batch channels time"], rate: int, late: int
    ) -> Float[Tensor, "batch channels time"]:
        """The first and last frame of each sequence repeated outside it."""
        if self._all_inside(x, rate, late):
            return x
        frame = self._frames(x, rate, late)
        inside = frame.clamp_min(0).minimum(rate * self.steps.unsqueeze(1) - 1)
        at = (inside - frame[:, :1]).clamp(0, x.shape[-1] - 1)
        return x.gather(2, at.unsqueeze(1).expand_as(x).to(x.device))

    def clear(
        self, x: Float[Tensor, "batch channels time"], rate: int, late: int
    ) -> Float[Tensor, "batch channels time"]:
        """Zeros outside each sequence."""
        if self._all_inside(x, rate, late):
            return x
        frame = self._frames(x, rate, late)
        return x * ((frame >= 0) & (frame < rate * self.steps.unsqueeze(1))).unsqueeze(1).to(x.device)

    def _frames(self, x: Tensor, rate: int, late: int) -> Int[Tensor, "batch time"]:
        return (rate * self.step - late).unsqueeze(1) + torch.arange(x.shape[-1])

    def _all_inside(self, x: Tensor, rate: int, late: int) -> bool:
        return rate * self._gone >= late and rate * self._left >= x.shape[-1] - late

    @cached_property
    def _gone(self) -> int:
        """Steps of the youngest sequence."""
        return int(self.step.min())

    @cached_property
    def _left(self) -> int:
        """Steps of the sequence that ends first."""
        return int((self.steps - self.step).min())


class Past(nn.Module):
    """Puts the last frames that it was given before the new ones.

    Arguments:
        frames: so many of them.
    """

    def __init__(self, channels: int, frames: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.frames = torch.zeros(0, channels, frames, device=device)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels longer"]:
        if not self.frames.shape[-1]:
            return x
        whole = torch.cat([self.frames, x], -1)
        self.frames = whole[..., x.shape[-1] :]
        return whole


class Late(Past):
    """Gives what it was given so many frames before."""

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return super().forward(x)[..., : x.shape[-1]]


def arrange(module: nn.Module, order: Int[Tensor, "batch"]) -> None:
    """Other sequences in the batch from now on.

    Arguments:
        order: for each its place in the batch until now, -1 for one that begins.
    """
    for part in module.modules():
        if isinstance(part, Past):
            part.frames = functional.pad(part.frames, (0, 0, 0, 0, 0, 1))[order.to(part.frames.device)]


class _LiveBlock(nn.Module):
    """A block, on frames that come at this rate and are late by so many."""

    late: int
    """Of what comes out."""

    def __init__(self, block: TemporalBlock, rate: int, late: int) -> None:
        super().__init__()
        convolution, self.norm, self.curve, _ = block  # no dropout in use
        assert isinstance(convolution, nn.Conv1d)
        (kernel,) = convolution.kernel_size
        (self.stride,) = convolution.stride
        (self.dilation,) = convolution.dilation
        self.weight = convolution.weight.detach().flatten(1)
        self.window = self.dilation * (kernel - 1) + 1
        past = next(
            p for p in range(self.window - self.stride, self.window) if (late + p - self.window // 2) % self.stride == 0
        )
        self.past = Past(convolution.in_channels, past, convolution.weight.device)
        self.rate = rate
        self.begin = late + past
        self.late = (self.begin - self.window // 2) // self.stride

    def forward(self, x: Float[Tensor, "batch channels time"], clock: Clock) -> Float[Tensor, "batch width shorter"]:
        whole = clock.hold(self.past(x), self.rate, self.begin)
        windows = whole.unfold(2, self.window, self.stride)[..., :: self.dilation]
        x = functional.linear(windows.transpose(1, 2).flatten(2), self.weight)
        return self.curve(self.norm(x.mT))


class _LiveResidual(nn.Module):
    late: int

    def __init__(self, residual: TemporalResidual, rate: int, late: int) -> None:
        super().__init__()
        wide, single = residual.blocks
        assert isinstance(wide, TemporalBlock) and isinstance(single, TemporalBlock)
        self.wide = _LiveBlock(wide, rate, late)
        self.single = _LiveBlock(single, rate, self.wide.late)
        self.late = self.single.late
        self.meanwhile = Late(len(self.single.weight), self.late - late, self.single.weight.device)

    def forward(self, x: Float[Tensor, "batch width time"], clock: Clock) -> Float[Tensor, "batch width time"]:
        return self.meanwhile(x) + self.single(self.wide(x, clock), clock)


class _LiveRise(nn.Module):
    """Two frames for each pair of neighbours: the later of the first one's and the earlier of the second's."""

    late: int

    def __init__(self, rise: UpsampleBlock, rate: int, late: int) -> None:
        super().__init__()
        convolution, self.norm, self.curve, _ = rise
        assert isinstance(convolution, nn.ConvTranspose1d)
        # (inputs, outputs, which of the two frames, which of the neighbours)
        pairs = convolution.weight.detach()[..., [[2, 0], [3, 1]]]
        self.weight = pairs.permute(2, 1, 0, 3).flatten(2).flatten(0, 1)
        self.past = Past(convolution.in_channels, 1, convolution.weight.device)
        self.rate = rate
        self.begin = late + 1
        self.late = 2 * self.begin - 1

    def forward(self, x: Float[Tensor, "batch width time"], clock: Clock) -> Float[Tensor, "batch width twice"]:
        pairs = clock.clear(self.past(x), self.rate, self.begin).unfold(2, 2, 1)
        x = functional.linear(pairs.transpose(1, 2).flatten(2), self.weight).unflatten(2, (2, -1)).flatten(1, 2)
        return self.curve(self.norm(x.mT))


class LiveTCN(nn.Module):
    """A `TCN` of style OURS that is given STRIDE frames of each sequence at a time. Reads as that does; it shares its
    weights.

    Arguments:
        late: frames by which what it is given is late.

    Attributes:
        late: frames by which what comes out is late; at each step they are those from STRIDE * step - late on. What is
            said of frames outside a sequence means nothing.
    """

    def __init__(self, network: TCN, late: int = 0) -> None:
        super().__init__()
        width = network.out.in_channels
        device = network.out.weight.device
        full = STRIDE
        half = STRIDE // 2
        quarter = STRIDE // 4
        self.c1a = _LiveBlock(network.c1a, full, late)
        self.c1b = _LiveBlock(network.c1b, full, self.c1a.late)
        self.c2a = _LiveBlock(network.c2a, half, self.c1b.late)
        self.beside_c2a = Late(width, self.c2a.late - self.c1b.late, device)
        self.c2b = _LiveBlock(network.c2b, half, self.c2a.late)
        self.middle = nn.ModuleList()
        late = self.c2b.late
        for residual in network.middle:
            assert isinstance(residual, TemporalResidual)
            live = _LiveResidual(residual, quarter, late)
            self.middle.append(live)
            late = live.late
        self.t1 = _LiveRise(network.t1, quarter, late)
        self.beside_t1 = Late(width, self.t1.late - self.c2a.late, device)
        self.t2 = _LiveRise(network.t2, half, self.t1.late)
        self.beside_t2 = Late(width, self.t2.late - self.c1a.late, device)
        assert isinstance(network.finish, TemporalResidual), "live lifting is for networks of style OURS"
        self.finish = _LiveResidual(network.finish, full, self.t2.late)
        self.out = network.out
        self.late = self.finish.late

    def forward(self, x: Float[Tensor, "batch 4 inputs"], clock: Clock) -> Float[Tensor, "batch 4 outputs"]:
        full = self.c1a(x.mT, clock)
        half = self.c1b(full, clock)
        half = self.beside_c2a(half) + self.c2a(half, clock)
        quarter = self.c2b(half, clock)
        for residual in self.middle:
            quarter = residual(quarter, clock)
        half = self.beside_t1(half) + self.t1(quarter, clock)
        full = self.finish(self.beside_t2(full) + self.t2(half, clock), clock)
        return OUTPUT_SCALE * self.out(full).mT
