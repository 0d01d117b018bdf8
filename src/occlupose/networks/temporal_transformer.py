"""A temporal network for any frame rate and any delay. Ours.

An encoder reads a sequence in order: a frame attends to those of the last `PAST` seconds. A decoder gives the output of
a frame from all that is known up to a horizon, which may differ for every frame: from what lies ahead, as an input of
its own, and by attention to what the encoder made of earlier and later frames. So one set of weights gives outputs at
once, with any delay, or when the sequence is complete; and since the encoder never depends on later frames, a stream
(`TransformerStream`) computes nothing twice.

Time enters in two ways, so that frames may come at any rate. Rotations of queries and keys have angles that grow with
the seconds (RoPE, Su et al. 2021, "RoFormer", with times in place of positions). And each head prefers frames that are
near in time, some heads a few frames, some seconds (Press et al. 2022, "ALiBi", with times in place of positions).
"""

import math
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

PAST = 2.0
"""Seconds that a layer looks back."""

FUTURE = 1.5
"""Seconds that the decoder looks ahead, at most."""

HEADS = 8
SHORTEST = 0.1
LONGEST = 8.0
"""Periods of the rotations, seconds."""

REACH = (0.03, 3.0)
"""Seconds in which the weight of a frame falls to 1/e, of the first and the last head."""

CHUNK = 256
"""Frames whose queries are computed at once."""

MARGIN = 1e-4
"""Seconds; a frame so little beyond a limit counts, since times are rounded."""


class TemporalTransformer(nn.Module):
    """From a sequence of frames to outputs for each frame.

    Arguments:
        inputs: channels of a frame.
        ahead: channels of what lies ahead of a frame.
        outputs: channels of each head; a frame's outputs are those of all heads.
        width: channels inside.
        depth: layers of the encoder.
        decoder_depth: layers of the decoder.
    """

    def __init__(
        self,
        inputs: int,
        ahead: int,
        outputs: Sequence[int],
        *,
        width: int = 256,
        depth: int = 3,
        decoder_depth: int = 2,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.encoder = nn.ModuleList(AttentionLayer(width) for _ in range(depth))
        self.join = nn.Sequential(nn.Linear(width + ahead, width), nn.GELU(), nn.Linear(width, width))
        self.decoder = nn.ModuleList(AttentionLayer(width) for _ in range(decoder_depth))
        self.out = Heads(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, count))
            for count in outputs
        )

    def forward(
        self,
        x: Float[Tensor, "batch time inputs"],
        ahead: Float[Tensor, "batch time ahead"],
        time: Float[Tensor, "batch time"],
        horizon: Float[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time outputs"]:
        """The outputs of a batch of sequences.

        Arguments:
            ahead: what is known of the frames after each one, up to its horizon.
            time: of each frame, seconds, ascending; double precision.
            horizon: the latest time that the output of each frame may depend on; it sees no farther than FUTURE.
        """
        return self.decode(self.encode(x, time), ahead, time, horizon)

    def encode(
        self, x: Float[Tensor, "batch time inputs"], time: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """What the encoder makes of the frames; arguments as of a call."""
        x = self.embed(x)
        turns = find_turns(time, x.shape[2] // HEADS).to(x.device)
        for layer in self.encoder:
            x = layer(x, x, turns, time, time)
        return x

    def decode(
        self,
        x: Float[Tensor, "batch time width"],
        ahead: Float[Tensor, "batch time ahead"],
        time: Float[Tensor, "batch time"],
        horizon: Float[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time outputs"]:
        """The outputs, of what the encoder made of the frames; arguments as of a call."""
        y = self.decoder_input(x, ahead)
        turns = find_turns(time, x.shape[2] // HEADS).to(x.device)
        limit = horizon.minimum(time + FUTURE)
        for layer in self.decoder:
            y = layer(y, x, turns, time, limit)
        return self.out(y)

    def decoder_input(
        self, x: Float[Tensor, "batch time width"], ahead: Float[Tensor, "batch time ahead"]
    ) -> Float[Tensor, "batch time width"]:
        """What the decoder begins with."""
        return x + self.join(torch.cat([x, ahead], -1))


class Heads(nn.ModuleList):
    """Networks side by side, whose outputs are joined."""

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch outputs"]:
        """The outputs of all heads, in their order."""
        return torch.cat([head(x) for head in self], -1)


class AttentionLayer(nn.Module):
    """Attention over the frames from `PAST` seconds before to a limit, then two mixtures of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.join = nn.Linear(width, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        memory: Float[Tensor, "batch time width"],
        turns: Float[Tensor, "2 batch time half"],
        time: Float[Tensor, "batch time"],
        limit: Float[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time width"]:
        """The output of each frame.

        Arguments:
            memory: what the frames attend to.
            turns: of the frames, see `find_turns`.
            time: of the frames, seconds.
            limit: the latest time that each frame attends to.
        """
        keys, values = self.keys_and_values(memory, turns)
        parts = []
        for start in range(0, x.shape[1], CHUNK):
            rows = slice(start, start + CHUNK)
            first = int((time < time[:, rows].amin(1, keepdim=True) - PAST - MARGIN).sum(1).min())
            stop = int((time <= limit[:, rows].amax(1, keepdim=True) + MARGIN).sum(1).max())
            preference = prefer(time[:, rows], limit[:, rows], time[:, first:stop])
            span = (slice(None), slice(None), slice(first, stop))
            parts.append(self.attend(x[:, rows], turns[:, :, rows], keys[span], values[span], preference))
        return torch.cat(parts, 1)

    def keys_and_values(
        self, memory: Float[Tensor, "batch time width"], turns: Float[Tensor, "2 batch time half"]
    ) -> tuple[Float[Tensor, "batch head time channel"], Float[Tensor, "batch head time channel"]]:
        """What frames offer to others."""
        keys, values = self.key_value(self.norm_memory(memory)).unflatten(2, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return rotate(keys, turns), values

    def attend(
        self,
        x: Float[Tensor, "batch query width"],
        turns: Float[Tensor, "2 batch query half"],
        keys: Float[Tensor, "batch head key channel"],
        values: Float[Tensor, "batch head key channel"],
        preference: Float[Tensor, "batch head query key"],
    ) -> Float[Tensor, "batch query width"]:
        """The output of some frames."""
        queries = rotate(self.query(self.norm(x)).unflatten(2, (HEADS, -1)).transpose(1, 2), turns)
        found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=preference.to(queries))
        x = x + self.join(found.transpose(1, 2).flatten(2))
        return x + self.mix(x)


@cache
def _reach(device: torch.device) -> Float[Tensor, "head"]:
    return torch.linspace(math.log(REACH[0]), math.log(REACH[1]), HEADS, device=device).exp()


def prefer(
    time: Float[Tensor, "batch query"], limit: Float[Tensor, "batch query"], others: Float[Tensor, "batch key"]
) -> Float[Tensor, "batch head query key"]:
    """How much each head prefers a frame by its time, as what is added to the logarithm of its weight."""
    apart = (others[:, None] - time[:, :, None]).abs().float()
    seen = (others[:, None] >= time[:, :, None] - PAST - MARGIN) & (others[:, None] <= limit[:, :, None] + MARGIN)
    return (-apart[:, None] / _reach(time.device)[:, None, None]).masked_fill(~seen[:, None], -math.inf)


@cache
def _periods(count: int, device: torch.device) -> Float[Tensor, "count"]:
    return torch.linspace(math.log(SHORTEST), math.log(LONGEST), count, dtype=torch.float64, device=device).exp()


def find_turns(time: Float[Tensor, "batch time"], channels: int) -> Float[Tensor, "2 batch time half"]:
    """Cosines and sines of the angles at these times, seconds, for heads of so many channels."""
    angles = 2 * math.pi * time.double()[..., None] / _periods(channels // 2, time.device)
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(
    x: Float[Tensor, "batch head time channel"], turns: Float[Tensor, "2 batch time half"]
) -> Float[Tensor, "batch head time channel"]:
    """Pairs of channels, turned by the angles of each frame."""
    cosine, sine = turns[:, :, None].to(x.dtype)
    one, other = x.chunk(2, 3)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], 3)


class TransformerStream:
    """A network on streams that share their frames: some frames of each at a time, and the outputs of earlier ones.

    The output of a frame is that of `TemporalTransformer` with the same horizon.
    """

    def __init__(self, network: TemporalTransformer) -> None:
        self.network = network
        self._device = next(network.parameters()).device
        self.times: list[float] = []
        """Of the frames that are kept, seconds."""
        self._there = torch.zeros(0, 0, dtype=torch.bool)
        self._features: Tensor | None = None
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    @torch.inference_mode()
    def push(self, x: Float[Tensor, "stream frame inputs"], times: list[float]) -> None:
        """Adds frames.

        Arguments:
            times: of the frames, seconds, ascending and later than those before.
        """
        x = self.network.embed(x.to(self._device))
        turns = self._turns(times, x)
        new = torch.ones(*x.shape[:2], dtype=torch.bool)
        self._there = torch.cat([self._there, new], 1) if self.times else new
        self.times = self.times + times
        preference = self._prefer(times, times)
        for number, layer in enumerate(self.network.encoder):
            assert isinstance(layer, AttentionLayer)
            keys, values = self._append(number, *layer.keys_and_values(x, turns))
            x = layer.attend(x, turns, keys, values, preference)
        for number, layer in enumerate(self.network.decoder, len(self.network.encoder)):
            assert isinstance(layer, AttentionLayer)
            self._append(number, *layer.keys_and_values(x, turns))
        self._features = x if self._features is None else torch.cat([self._features, x], 1)

    @torch.inference_mode()
    def outputs(
        self, frames: slice, ahead: Float[Tensor, "stream frame ahead"], horizon: Float[Tensor, "frame"]
    ) -> Float[Tensor, "stream frame outputs"]:
        """The outputs of some of the frames that are kept; those of a stream which began later are meaningless.

        Arguments:
            frames: as in `times`.
            ahead: as of `TemporalTransformer`.
            horizon: of each frame; no later than the last one, unless there are no more frames.
        """
        assert self._features is not None
        times = self.times[frames]
        limit = [min(float(one), time + FUTURE) for one, time in zip(horizon, times, strict=True)]
        preference = self._prefer(times, limit)
        y = self.network.decoder_input(self._features[:, frames], ahead.to(self._device))
        turns = self._turns(times, y)
        for number, layer in enumerate(self.network.decoder, len(self.network.encoder)):
            assert isinstance(layer, AttentionLayer)
            y = layer.attend(y, turns, self._keys[number], self._values[number], preference)
        return self.network.out(y).cpu()

    def forget(self, before: float) -> None:
        """Frames that matter for none at or after a time."""
        count = sum(one < before - PAST - MARGIN for one in self.times)
        if count:
            self.times = self.times[count:]
            self._there = self._there[:, count:]
            assert self._features is not None
            self._features = self._features[:, count:]
            self._keys = [keys[:, :, count:] for keys in self._keys]
            self._values = [values[:, :, count:] for values in self._values]

    def _turns(self, times: list[float], x: Float[Tensor, "stream frame width"]) -> Float[Tensor, "2 1 frame half"]:
        """The turns of frames at these times."""
        return find_turns(torch.tensor([times], dtype=torch.float64), x.shape[2] // HEADS).to(self._device)

    def _prefer(self, times: list[float], limit: list[float]) -> Float[Tensor, "stream head query frame"]:
        """As `prefer`, of the frames in which a stream is there; of one that has not begun, any."""
        lists = (times, limit, self.times)
        preference = prefer(*(torch.tensor([one], dtype=torch.float64) for one in lists))
        there = preference.masked_fill(~self._there[:, None, None], -math.inf)
        return torch.where(there.isinf().all(-1, keepdim=True), preference, there)

    def _append(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of a layer with those of new frames."""
        if number == len(self._keys):
            self._keys.append(keys)
            self._values.append(values)
        else:
            self._keys[number] = torch.cat([self._keys[number], keys], 2)
            self._values[number] = torch.cat([self._values[number], values], 2)
        return self._keys[number], self._values[number]

    def reorder(self, order: Tensor) -> None:
        """Other streams from the next frame on.

        Arguments:
            order: previous row of each stream, -1 for a new one.
        """
        if not self.times:
            return
        self._there = _rows(self._there, order.clamp_min(0)) & (order >= 0)[:, None]
        rows = order.clamp_min(0).to(self._device)
        assert self._features is not None
        self._features = _rows(self._features, rows)
        self._keys = [_rows(keys, rows) for keys in self._keys]
        self._values = [_rows(values, rows) for values in self._values]


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Some rows; zeros where there is none at all."""
    return values[rows] if len(values) else values.new_zeros(len(rows), *values.shape[1:])
