import math

import pytest
import torch

from occlupose.networks import temporal_transformer
from occlupose.networks.temporal_transformer import (
    FUTURE,
    HEADS,
    MARGIN,
    PAST,
    REACH,
    TemporalTransformer,
    TransformerStream,
    find_turns,
    prefer,
    rotate,
)

FPS = 20.0
FRAMES = 60
INPUTS = 7
AHEAD = 3


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = TemporalTransformer(INPUTS, AHEAD, (2, 3), width=32, depth=2).eval()
    for parameter in network.parameters():  # so that everything matters
        parameter.data = parameter.data + 0.05 * torch.randn_like(parameter)
    return network


def sequence(frames=FRAMES, batch=1, fps=FPS, seed=0):
    """Frames, what lies ahead of each, and their times."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, frames, INPUTS, generator=generator)
    ahead = torch.randn(batch, frames, AHEAD, generator=generator)
    return x, ahead, (torch.arange(frames).double() / fps).expand(batch, -1)


def reach(network, frame, frames, delay):
    """Which frames the output of one depends on."""
    x, ahead, time = sequence(frames)
    x.requires_grad_()
    network(x, ahead, time, time + delay)[0, frame].sum().backward()
    return x.grad[0].abs().sum(1) > 0


# ------------------------------------------------------------------------------------------------------------ delays


@torch.inference_mode()
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 1.0, FUTURE])
def test_a_horizon_is_the_end_of_the_record(network, delay):
    x, ahead, time = sequence()
    limited = network(x, ahead, time, time + delay)
    for frame in (0, 11, 25):
        end = frame + round(delay * FPS) + 1
        own = time[:, :end]
        cut = network(x[:, :end], ahead[:, :end], own, torch.full_like(own, math.inf))
        torch.testing.assert_close(cut[:, frame], limited[:, frame], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_every_frame_has_its_own_horizon(network):
    x, ahead, time = sequence()
    delay = torch.tensor([0.0, 0.2, 1.0]).double()[torch.arange(FRAMES) % 3]
    mixed = network(x, ahead, time, time + delay)
    for value in (0.0, 0.2, 1.0):
        rows = (delay - value).abs() < 1e-6
        one = network(x, ahead, time, time + value)
        torch.testing.assert_close(mixed[:, rows], one[:, rows], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_look_ahead_is_limited(network):
    x, ahead, time = sequence()
    longest = network(x, ahead, time, time + FUTURE)
    torch.testing.assert_close(network(x, ahead, time, time + 10), longest, atol=1e-6, rtol=0)


def test_no_frame_beyond_the_horizon_matters(network):
    seen = reach(network, 30, FRAMES, 0.3)
    assert seen[31:37].all() and not seen[37:].any()
    assert not reach(network, 30, FRAMES, 0.0)[31:].any()
    seen = reach(network, 20, FRAMES, 10.0)
    last = 20 + round(FUTURE * FPS)
    assert seen[21 : last + 1].all() and not seen[last + 1 :].any()


def test_the_past_that_matters_is_bounded(network):
    """By that of the encoder's two layers and of one of the decoder, whose layers all attend to the encoder."""
    frame = round(3 * PAST * FPS) + 10
    seen = reach(network, frame, frame + 3, 0.0)
    assert not seen[:9].any() and seen[10 : frame + 1].all()


@torch.inference_mode()
def test_what_lies_ahead_matters_to_its_own_frame_alone(network):
    x, ahead, time = sequence()
    other = ahead.clone()
    other[:, 20] += 1
    moved = (network(x, other, time, time + 1) - network(x, ahead, time, time + 1)).abs().amax(2)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [20]


@torch.inference_mode()
def test_rounded_times_do_not_cut_a_frame_off(network):
    """A frame just beyond the horizon by rounding counts."""
    x, ahead, time = sequence()
    horizon = network(x, ahead, time, time + 0.3)
    for error in (-MARGIN / 3, MARGIN / 3):
        torch.testing.assert_close(network(x, ahead, time, time + 0.3 + error), horizon, atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------------------------------------- times


@torch.inference_mode()
def test_only_differences_of_time_matter(network):
    x, ahead, time = sequence()
    late = time + 3600
    torch.testing.assert_close(
        network(x, ahead, time, time + 0.5), network(x, ahead, late, late + 0.5), atol=1e-4, rtol=1e-4
    )


@torch.inference_mode()
def test_frames_at_another_rate_are_at_other_times(network):
    x, ahead, time = sequence()
    half = time / 2
    assert (network(x, ahead, time, time) - network(x, ahead, half, half)).abs().max() > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [1, 17, FRAMES])
def test_long_sequences_are_computed_in_parts(network, monkeypatch, chunk):
    x, ahead, time = sequence(batch=2)
    time = torch.stack([time[0], 0.7 * time[1]])  # of different rates
    whole = network(x, ahead, time, time + 0.5)
    monkeypatch.setattr(temporal_transformer, "CHUNK", chunk)
    torch.testing.assert_close(network(x, ahead, time, time + 0.5), whole, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_sequences_of_a_batch_do_not_mix(network):
    x, ahead, time = sequence(batch=3)
    time = time * torch.tensor([[1.0], [0.5], [1.3]])
    together = network(x, ahead, time, time + 0.4)
    for row in range(3):
        own = slice(row, row + 1)
        alone = network(x[own], ahead[own], time[own], time[own] + 0.4)
        torch.testing.assert_close(together[own], alone, atol=1e-5, rtol=0)


def test_a_product_of_rotated_channels_depends_on_the_time_between_them():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(1, HEADS, 1, 4, generator=generator)
    other = torch.randn(1, HEADS, 1, 4, generator=generator)
    time = torch.tensor([[0.3]]).double()

    def product(start, end):
        return (rotate(one, find_turns(start, 4)) * rotate(other, find_turns(end, 4))).sum(3)

    torch.testing.assert_close(product(time, time + 0.7), product(time + 100, time + 100.7), atol=1e-5, rtol=0)
    assert (product(time, time + 0.7) - product(time, time + 0.8)).abs().max() > 0.05
    torch.testing.assert_close(rotate(one, find_turns(time, 4)).norm(dim=3), one.norm(dim=3))
    torch.testing.assert_close(rotate(one, find_turns(0 * time, 4)), one)


def test_heads_prefer_frames_that_are_near():
    time = torch.tensor([[5.0]]).double()
    others = torch.tensor([[5 - PAST - 0.01, 5 - PAST, 4.7, 5.0, 5.3, 5.31]]).double()
    found = prefer(time, time + 0.3, others)[0, :, 0]
    assert found.shape == (HEADS, 6)
    assert found[:, [0, 5]].isinf().all()
    assert (found[:, 3] == 0).all()
    torch.testing.assert_close(found[0, 1:5], -torch.tensor([PAST, 0.3, 0, 0.3]) / REACH[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[-1, 1:5], -torch.tensor([PAST, 0.3, 0, 0.3]) / REACH[1], rtol=1e-4, atol=1e-4)
    assert (found[:, 2].diff() > 0).all()


# ------------------------------------------------------------------------------------------------------------ stream


def output(stream, time, ahead, horizon):
    """The output of the frame of this time, of each stream; frames that matter for none that follows are forgotten."""
    row = stream.times.index(time)
    found = stream.outputs(slice(row, row + 1), ahead[:, None], torch.tensor([horizon]).double())[:, 0]
    stream.forget(stream.times[min(row + 1, len(stream.times) - 1)])
    return found


def streamed(network, latency, lives, frames=FRAMES):
    """The outputs of streams that are there from one frame to before another, by frame; frames wait for the latency,
    and an output counts if the stream is still there then.
    """
    x, ahead, time = sequence(frames, batch=len(lives))
    stream = TransformerStream(network)
    rows = []
    found = [{} for _ in lives]
    wait = min(round(latency * FPS), frames)
    for frame in range(frames + wait):
        if frame < frames:
            new = [number for number, (start, _) in enumerate(lives) if start == frame]
            kept = [place for place, number in enumerate(rows) if frame < lives[number][1]]
            if new or len(kept) < len(rows):
                stream.reorder(torch.tensor([*kept, *[-1] * len(new)], dtype=torch.long))
            rows = [rows[place] for place in kept] + new
            stream.push(x[rows, frame][:, None], [time[0, frame].item()])
        if frame >= wait:
            due = frame - wait
            last = time[0, min(frame, frames - 1)].item()
            outputs = output(stream, time[0, due].item(), ahead[rows, due], last)
            for place, number in enumerate(rows):
                found[number][due] = outputs[place]
    return x, ahead, time, found


@torch.inference_mode()
@pytest.mark.parametrize("latency", [0.0, 0.1, 1.0, FUTURE, 10.0])
def test_a_stream_gives_what_the_network_gives(network, latency):
    lives = [(0, FRAMES), (0, 33), (21, FRAMES)]
    x, ahead, time, found = streamed(network, latency, lives)
    for number, (start, stop) in enumerate(lives):
        own = time[number : number + 1, start:stop]
        parts = (values[number : number + 1, start:stop] for values in (x, ahead))
        expected = network(*parts, own, own + latency)[0]
        last = stop if stop == FRAMES else max(stop - round(latency * FPS), start)
        for frame in range(start, last):
            torch.testing.assert_close(found[number][frame], expected[frame - start], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_streams_change_places(network):
    x, ahead, time = sequence(batch=2)
    stream = TransformerStream(network)
    expected = network(x, ahead, time, time)
    for frame in range(40):
        order = [0, 1] if frame % 14 < 7 else [1, 0]
        if frame and frame % 7 == 0:
            stream.reorder(torch.tensor([1, 0]))
        stream.push(x[order, frame][:, None], [time[0, frame].item()])
        now = time[0, frame].item()
        outputs = output(stream, now, ahead[order, frame], now)
        torch.testing.assert_close(outputs, expected[order, frame], atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_a_stream_keeps_no_more_than_it_needs(network, latency):
    frames = 120
    x, ahead, time = sequence(frames)
    stream = TransformerStream(network)
    wait = round(latency * FPS)
    for frame in range(frames):
        stream.push(x[:, frame][:, None], [time[0, frame].item()])
        if frame >= wait:
            output(stream, time[0, frame - wait].item(), ahead[:, frame - wait], time[0, frame].item())
        assert len(stream.times) <= (PAST + latency) * FPS + 2
    kept = [stream._features, *stream._keys, *stream._values]
    assert {part.shape[-2] for part in kept} == {len(stream.times)}


@torch.inference_mode()
def test_nobody_may_be_there_for_a_while(network):
    x, ahead, time = sequence()
    stream = TransformerStream(network)
    expected = network(x[:, 30:], ahead[:, 30:], time[:, 30:], time[:, 30:])[0]
    changes = {10: [-1], 20: [], 30: [-1]}
    for frame in range(FRAMES):
        there = int(10 <= frame < 20 or frame >= 30)
        if frame in changes:
            stream.reorder(torch.tensor(changes[frame], dtype=torch.long))
        stream.push(x[:there, frame][:, None], [time[0, frame].item()])
        now = time[0, frame].item()
        outputs = output(stream, now, ahead[:there, frame], now)
        assert len(outputs) == there
        if frame >= 30:
            torch.testing.assert_close(outputs[0], expected[frame - 30], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_stream_may_be_asked_for_several_frames_at_once_and_again(network):
    """Also for those of a stream that was not there, which does no harm."""
    x, ahead, time = sequence(20, batch=2)
    stream = TransformerStream(network)
    for frame in range(20):
        if frame == 10:
            stream.reorder(torch.tensor([0, -1]))
        rows = [0] if frame < 10 else [0, 1]
        stream.push(x[rows, frame][:, None], [time[0, frame].item()])
    horizon = torch.full((20,), math.inf).double()
    outputs = stream.outputs(slice(0, 20), ahead, horizon)
    assert outputs.isfinite().all()
    whole = network(x[:1], ahead[:1], time[:1], time[:1] + FUTURE)
    late = network(x[1:, 10:], ahead[1:, 10:], time[1:, 10:], time[1:, 10:] + FUTURE)
    torch.testing.assert_close(outputs[:1], whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[1:, 10:], late, atol=1e-5, rtol=0)
    again = stream.outputs(slice(12, 17), ahead[:, 12:17], horizon[12:17])
    torch.testing.assert_close(again, outputs[:, 12:17], atol=1e-5, rtol=0)
    soon = stream.outputs(slice(12, 17), ahead[:, 12:17], time[0, 12:17] + 0.1)
    limited = network(x[:1], ahead[:1], time[:1], time[:1] + 0.1)
    torch.testing.assert_close(soon[:1], limited[:, 12:17], atol=1e-5, rtol=0)
