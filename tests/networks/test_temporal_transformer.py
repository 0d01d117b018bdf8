import pytest
import torch

from occlupose.networks.temporal_transformer import FUTURE, PAST, TemporalTransformer, TransformerStream

FPS = 20.0
FRAMES = 100
INPUTS = 7


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TemporalTransformer(INPUTS, 5, width=32, depth=2).eval()


def sequence(frames=FRAMES, batch=1, fps=FPS, seed=0):
    torch.manual_seed(seed)
    return torch.randn(batch, frames, INPUTS), (torch.arange(frames).double() / fps).expand(batch, -1)


def reach(network, frame, horizon=None):
    """Which frames the output of one depends on."""
    x, time = sequence()
    x.requires_grad_()
    network(x, time, horizon)[0, frame].sum().backward()
    return x.grad[0].abs().sum(1) > 0


# ------------------------------------------------------------------------------------------------------------ delays


@torch.inference_mode()
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 1.0])
def test_a_horizon_is_the_end_of_the_record(network, delay):
    """What the output of a frame is when the sequence ends so many seconds later."""
    x, time = sequence()
    limited = network(x, time, time + delay)
    for frame in (0, 30, 60):
        end = frame + round(delay * FPS) + 1
        cut = network(x[:, :end], time[:, :end])
        torch.testing.assert_close(cut[:, frame], limited[:, frame], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_without_a_horizon_the_look_ahead_is_the_longest(network):
    x, time = sequence()
    torch.testing.assert_close(network(x, time), network(x, time, time + FUTURE))


def test_no_frame_beyond_the_horizon_matters(network):
    _, time = sequence()
    seen = reach(network, 50, time + 0.3)
    assert seen[51:57].all() and not seen[57:].any()
    assert not reach(network, 50, time)[51:].any()


def test_the_past_that_matters_is_bounded(network):
    """By that of three layers."""
    _, time = sequence(200)
    x, time = sequence(200)
    x.requires_grad_()
    network(x, time)[0, 150].sum().backward()
    seen = x.grad[0].abs().sum(1) > 0
    first = int(150 - 3 * PAST * FPS)
    assert seen[first + 1 : 150].all() and not seen[: first - 1].any()


# ------------------------------------------------------------------------------------------------------------- times


@torch.inference_mode()
def test_only_differences_of_time_matter(network):
    x, time = sequence()
    torch.testing.assert_close(network(x, time), network(x, time + 3600), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_frames_at_another_rate_are_at_other_times(network):
    x, time = sequence()
    assert (network(x, time) - network(x, time / 2)).abs().max() > 1e-3


@torch.inference_mode()
def test_long_sequences_are_computed_in_parts(network, monkeypatch):
    x, time = sequence(300, batch=2)
    whole = network(x, time, time + 0.5)
    monkeypatch.setattr("occlupose.networks.temporal_transformer.CHUNK", 17)
    torch.testing.assert_close(network(x, time, time + 0.5), whole, atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ stream


def streamed(network, latency, starts, frames=FRAMES):
    """The outputs of streams that begin at these frames, each by frame."""
    x, time = sequence(frames, batch=len(starts))
    stream = TransformerStream(network, latency)
    rows = []
    found = [{} for _ in starts]
    for frame in range(frames):
        new = [number for number, start in enumerate(starts) if start == frame]
        order = torch.tensor([*range(len(rows)), *[-1] * len(new)]) if new else None
        rows += new
        due = stream.update(x[rows, frame], time[0, frame].item(), order)
        for moment, outputs in due:
            for row, number in enumerate(rows):
                found[number][round(moment * FPS)] = outputs[row]
    for moment, outputs in stream.finish():
        for row, number in enumerate(rows):
            found[number][round(moment * FPS)] = outputs[row]
    return x, time, found


@torch.inference_mode()
@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3, 1.0, FUTURE, 10.0])
def test_a_stream_gives_what_the_network_gives(network, latency):
    starts = [0, 0, 40]
    x, time, found = streamed(network, latency, starts)
    for number, start in enumerate(starts):
        own = time[number : number + 1, start:]
        expected = network(x[number : number + 1, start:], own, own + latency)[0]
        outputs = torch.stack([found[number][frame] for frame in range(start, FRAMES)])
        torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_stream_answers_after_its_latency(network):
    x, time = sequence()
    stream = TransformerStream(network, 0.3)
    for frame in range(FRAMES):
        due = [round(moment * FPS) for moment, _ in stream.update(x[:, frame], time[0, frame].item())]
        assert due == ([frame - 6] if frame >= 6 else [])


@torch.inference_mode()
def test_streams_may_end(network):
    x, time = sequence(batch=2)
    stream = TransformerStream(network, 0.0)
    alone = network(x[1:], time[1:], time[1:])[0]
    for frame in range(FRAMES):
        rows = [0, 1] if frame < 50 else [1]
        ((_, outputs),) = stream.update(
            x[rows, frame], time[0, frame].item(), torch.tensor([1]) if frame == 50 else None
        )
        torch.testing.assert_close(outputs[-1], alone[frame], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_stream_keeps_no_more_than_it_needs(network):
    x, time = sequence(400)
    stream = TransformerStream(network, 0.5)
    for frame in range(400):
        stream.update(x[:, frame], time[0, frame].item())
    assert len(stream.times) <= (PAST + 0.5) * FPS + 2


@torch.inference_mode()
def test_nobody_may_be_there_for_a_while(network):
    x, time = sequence()
    stream = TransformerStream(network, 0.0)
    expected = network(x[:, 30:], time[:, 30:], time[:, 30:])[0]
    for frame in range(FRAMES):
        there = 10 <= frame < 20 or frame >= 30
        order = {10: torch.tensor([-1]), 20: torch.zeros(0, dtype=torch.long), 30: torch.tensor([-1])}.get(frame)
        ((_, outputs),) = stream.update(x[: int(there), frame], time[0, frame].item(), order)
        assert len(outputs) == int(there)
        if frame >= 30:
            torch.testing.assert_close(outputs[0], expected[frame - 30], atol=1e-5, rtol=0)
