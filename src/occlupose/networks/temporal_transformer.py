"""A temporal network for any frame rate and any delay. Ours.

Causal layers read a sequence in order: a frame attends to those of the last `PAST` seconds. A last layer also attends
to later frames, as many as are there: up to a horizon that may differ for every frame. So one set of weights gives
outputs at once, with any delay, or when the sequence is complete; and since nothing but the last layer depends on the
later frames, a stream (`TransformerStream`) computes nothing twice.

Time enters by rotations of queries and keys whose angles grow with the seconds, so that attention depends on
differences of time (RoPE, Su et al. 2021, "RoFormer", with times in place of positions): frames may come at any rate.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

PAST = 2.0
"""Seconds that a layer looks back."""

FUTURE = 1.5
"""Seconds that the last layer looks ahead, at most."""

HEADS = 8
SHORTEST = 0.1
LONGEST = 8.0
"""Periods of the rotations, seconds."""

CHUNK = 256
"""Frames whose queries are computed at once."""

MARGIN = 1e-4
"""Seconds; a frame so little beyond a limit counts, since times are rounded."""


class TemporalTransformer(nn.Module):
    """From a sequence of frames to outputs for each frame.

    Arguments:
        inputs, outputs: channels.
        width: channels inside.
        depth: causal layers.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(AttentionLayer(width) for _ in range(depth))
        self.last = AttentionLayer(width)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(
        self,
        x: Float[Tensor, "batch time inputs"],
        time: Float[Tensor, "batch time"],
        horizon: Float[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time outputs"]:
        """The outputs of a batch of sequences.

        Arguments:
            time: of each frame, seconds, ascending; double precision.
            horizon: the latest time that the output of each frame may depend on; None: FUTURE seconds later.
        """
        x = self.embed(x)
        turns = rotations(time, x.shape[2] // HEADS)
        for layer in self.layers:
            x = layer(x, turns, time, time)
        ahead = time + FUTURE
        limit = ahead if horizon is None else horizon.minimum(ahead)
        return self.out(self.last(x, turns, time, limit))


class AttentionLayer(nn.Module):
    """Attention over the frames from `PAST` seconds before to a limit, then two mixtures of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.join = nn.Linear(width, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        turns: Float[Tensor, "2 batch time half"],
        time: Float[Tensor, "batch time"],
        limit: Float[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time width"]:
        """The output of each frame.

        Arguments:
            turns: of the frames, see `rotations`.
            time: of the frames, seconds.
            limit: the latest time that each frame attends to.
        """
        keys, values = self.keys_and_values(x, turns)
        parts = []
        for start in range(0, x.shape[1], CHUNK):
            rows = slice(start, start + CHUNK)
            seen = (time[:, None] >= time[:, rows, None] - PAST - MARGIN) & (
                time[:, None] <= limit[:, rows, None] + MARGIN
            )
            needed = seen.any(1).any(0).nonzero()[:, 0]
            span = slice(int(needed[0]), int(needed[-1]) + 1)
            parts.append(
                self.attend(x[:, rows], turns[:, :, rows], keys[:, :, span], values[:, :, span], seen[:, :, span])
            )
        return torch.cat(parts, 1)

    def keys_and_values(
        self, x: Float[Tensor, "batch time width"], turns: Float[Tensor, "2 batch time half"]
    ) -> tuple[Float[Tensor, "batch head time channel"], Float[Tensor, "batch head time channel"]]:
        """What frames offer to others."""
        keys, values = self.key_value(self.norm(x)).unflatten(2, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return rotate(keys, turns), values

    def attend(
        self,
        x: Float[Tensor, "batch query width"],
        turns: Float[Tensor, "2 batch query half"],
        keys: Float[Tensor, "batch head key channel"],
        values: Float[Tensor, "batch head key channel"],
        seen: Bool[Tensor, "batch query key"],
    ) -> Float[Tensor, "batch query width"]:
        """The output of some frames."""
        queries = self.query(self.norm(x)).unflatten(2, (HEADS, -1)).transpose(1, 2)
        found = functional.scaled_dot_product_attention(rotate(queries, turns), keys, values, attn_mask=seen[:, None])
        x = x + self.join(found.transpose(1, 2).flatten(2))
        return x + self.mix(x)


def rotations(time: Float[Tensor, "batch time"], channels: int) -> Float[Tensor, "2 batch time half"]:
    """Cosines and sines of the angles at these times, seconds, for heads of so many channels."""
    half = channels // 2
    logarithms = torch.linspace(math.log(SHORTEST), math.log(LONGEST), half, dtype=torch.float64, device=time.device)
    periods = logarithms.exp()
    angles = 2 * math.pi * time.double()[..., None] / periods
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(
    x: Float[Tensor, "batch head time channel"], turns: Float[Tensor, "2 batch time half"]
) -> Float[Tensor, "batch head time channel"]:
    """Pairs of channels, turned by the angles of each frame."""
    cosine, sine = turns[:, :, None]
    one, other = x.unflatten(3, (2, -1)).unbind(3)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], 3)


class TransformerStream:
    """A network on streams that share their frames: one frame of each at a time, with the outputs of a delay.

    The output of a frame is that of `TemporalTransformer` with a horizon `latency` seconds later.

    Arguments:
        latency: seconds between a frame and its output; up to FUTURE.
    """

    def __init__(self, network: TemporalTransformer, latency: float) -> None:
        self.network = network
        self.latency = min(latency, FUTURE)
        self.times: list[float] = []
        """Of the frames that are kept, seconds."""
        self.pending = 0
        """How many of them wait for their output: the last ones."""
        self._there = torch.zeros(0, 0, dtype=torch.bool)
        self._features: Tensor | None = None
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    @torch.inference_mode()
    def update(
        self, x: Float[Tensor, "stream inputs"], time: float, order: Tensor | None = None
    ) -> list[tuple[float, Float[Tensor, "stream outputs"]]]:
        """Adds a frame; returns the time and the outputs of earlier frames that are due now.

        Arguments:
            time: of the frame, seconds, later than that of the one before.
            order: previous row of each stream, -1 for a new one; None: the same as before. The outputs of a stream
                before its first frame are meaningless.
        """
        if order is not None:
            self._reorder(order)
        network = self.network
        x = network.embed(x[:, None])
        moment = torch.tensor([[time]], dtype=torch.float64)
        turns = rotations(moment, x.shape[2] // HEADS)
        first = not self.times
        self.times.append(time)
        self.pending += 1
        new = torch.ones(len(x), 1, dtype=torch.bool)
        self._there = new if first else torch.cat([self._there, new], 1)
        seen = self._seen(time, time)
        for number, layer in enumerate(network.layers):
            assert isinstance(layer, AttentionLayer)
            keys, values = self._append(number, *layer.keys_and_values(x, turns))
            x = layer.attend(x, turns, keys, values, seen)
        self._append(len(network.layers), *network.last.keys_and_values(x, turns))
        self._features = x if self._features is None else torch.cat([self._features, x], 1)
        due = self._emit(time - self.latency + MARGIN)
        self._forget(time)
        return due

    @torch.inference_mode()
    def finish(self) -> list[tuple[float, Float[Tensor, "stream outputs"]]]:
        """The frames that wait for their output, when no frame follows."""
        return self._emit(math.inf)

    def _emit(self, until: float) -> list[tuple[float, Float[Tensor, "stream outputs"]]]:
        """The outputs of the frames up to a time that wait."""
        found = []
        while self.pending and self.times[-self.pending] <= until:
            row = len(self.times) - self.pending
            time = self.times[row]
            assert self._features is not None
            x = self._features[:, row : row + 1]
            turns = rotations(torch.tensor([[time]], dtype=torch.float64), x.shape[2] // HEADS)
            seen = self._seen(time, time + self.latency)
            output = self.network.last.attend(x, turns, self._keys[-1], self._values[-1], seen)
            found.append((time, self.network.out(output)[:, 0]))
            self.pending -= 1
        return found

    def _seen(self, time: float, limit: float) -> Bool[Tensor, "stream 1 frame"]:
        """The frames that one at a time attends to; of a stream that has not begun any, which is meaningless."""
        times = torch.tensor(self.times, dtype=torch.float64)
        near = (times >= time - PAST - MARGIN) & (times <= limit + MARGIN)
        seen = near & self._there
        return torch.where(seen.any(1, keepdim=True), seen, near)[:, None]

    def _append(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of a layer with those of a frame."""
        if number == len(self._keys):
            self._keys.append(keys)
            self._values.append(values)
        else:
            self._keys[number] = torch.cat([self._keys[number], keys], 2)
            self._values[number] = torch.cat([self._values[number], values], 2)
        return self._keys[number], self._values[number]

    def _reorder(self, order: Tensor) -> None:
        """Other rows."""
        if not self.times:
            return
        rows = order.clamp_min(0)
        old = order >= 0
        self._there = _rows(self._there, rows) & old[:, None]
        assert self._features is not None
        self._features = _rows(self._features, rows)
        self._keys = [_rows(keys, rows) for keys in self._keys]
        self._values = [_rows(values, rows) for values in self._values]

    def _forget(self, time: float) -> None:
        """Frames that no later one attends to."""
        waiting = self.times[-self.pending] if self.pending else time
        count = sum(one < min(waiting, time) - PAST - MARGIN for one in self.times)
        if count:
            self.times = self.times[count:]
            self._there = self._there[:, count:]
            assert self._features is not None
            self._features = self._features[:, count:]
            self._keys = [keys[:, :, count:] for keys in self._keys]
            self._values = [values[:, :, count:] for values in self._values]


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Some rows; zeros where there is none at all."""
    return values[rows] if len(values) else values.new_zeros(len(rows), *values.shape[1:])
