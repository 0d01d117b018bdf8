import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.networks.live import UNKNOWN_LENGTH, DelayLine, HistoryBuffer, LiveTCN, StreamPosition, reorder_batch
from occlupose.networks.tcn import OURS, STRIDE, TCN, half_receptive_field


def network(depth=2):
    """One with outputs other than zero, as after training."""
    torch.manual_seed(depth)
    net = TCN(5, 3, width=8, depth=depth, style=OURS)
    torch.nn.init.normal_(net.out.weight)
    return net.eval()


class Reader:
    """Feeds sequences to a live network; the length of each is known `notice` steps before its end."""

    def __init__(self, net, delay=0):
        self.net = net
        self.live = LiveTCN(net, delay)
        self.delay = delay

    def read(self, sequences, begins, notice):
        outputs = [[] for _ in sequences]
        here = []
        for time in range(
            max(begin + len(x) // STRIDE for x, begin in zip(sequences, begins, strict=True))
            + self.live.delay // STRIDE
            + 1
        ):
            now = [
                number
                for number, begin in enumerate(begins)
                if 0 <= time - begin <= len(sequences[number]) // STRIDE + self.live.delay // STRIDE
            ]
            reorder_batch(
                self.live,
                torch.tensor([here.index(number) if number in here else -1 for number in now], dtype=torch.long),
            )
            here = now
            if not here:
                continue
            step = torch.tensor([time - begins[number] for number in here])
            steps = torch.tensor([len(sequences[number]) // STRIDE for number in here])
            lengths = torch.where(steps <= step + notice, steps, UNKNOWN_LENGTH)
            chunks = []
            for number, first in zip(here, (STRIDE * step - self.delay).tolist(), strict=True):
                frames = torch.arange(first, first + STRIDE)
                inside = (frames >= 0) & (frames < len(sequences[number]))
                chunk = sequences[number][frames.clamp(0, len(sequences[number]) - 1)]
                chunks.append(
                    torch.where(inside[:, None], chunk, torch.randn(STRIDE, 5))
                )  # outside anything is allowed
            for number, output in zip(here, self.live(torch.stack(chunks), StreamPosition(step, lengths)), strict=True):
                outputs[number].append(output)
        return [torch.cat(parts)[self.live.delay :][: len(x)] for parts, x in zip(outputs, sequences, strict=True)]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("delay", [0, 1, 6])
@torch.inference_mode()
def test_the_outputs_are_those_of_the_whole_sequence(depth, delay):
    net = network(depth)
    x = torch.randn(100, 5)
    (output,) = Reader(net, delay).read([x], [0], notice=1)
    torch.testing.assert_close(output, net(x[None])[0], atol=1e-5, rtol=0)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=1, max_size=5), st.integers(1, 50))
@torch.inference_mode()
def test_sequences_come_and_go_in_one_batch(spans, notice):
    net = network()
    sequences = [torch.randn(STRIDE * steps, 5) for steps, _ in spans]
    for output, x in zip(Reader(net).read(sequences, [begin for _, begin in spans], notice), sequences, strict=True):
        torch.testing.assert_close(output, net(x[None])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_the_delay_is_at_most_half_the_receptive_field(depth):
    net = network(depth)
    assert 0 < LiveTCN(net).delay <= half_receptive_field(net)
    assert LiveTCN(net, 8).delay == LiveTCN(net).delay + 8


def test_it_shares_the_weights_and_leaves_them_alone():
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        Reader(net).read([torch.randn(40, 5)], [0], 1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_memory_does_not_grow():
    live = LiveTCN(network())
    reorder_batch(live, torch.tensor([-1, -1]))

    def kept():
        return [part.frames.shape for part in live.modules() if isinstance(part, HistoryBuffer)]

    before = kept()
    with torch.inference_mode():
        for step in range(5):
            live(
                torch.randn(2, STRIDE, 5),
                StreamPosition(torch.tensor([step, step]), torch.tensor([UNKNOWN_LENGTH, UNKNOWN_LENGTH])),
            )
    assert kept() == before and all(shape[0] == 2 for shape in before)
    reorder_batch(live, torch.tensor([], dtype=torch.long))
    assert all(shape[0] == 0 for shape in kept())


def test_a_delay_line():
    line = DelayLine(1, 3)
    reorder_batch(line, torch.tensor([-1]))
    given = torch.arange(1.0, 13).view(1, 1, 3, 4)
    outputs = torch.cat([line(given[:, :, step]) for step in range(3)], -1)
    assert outputs.flatten().tolist() == [0, 0, 0, *range(1, 10)]
