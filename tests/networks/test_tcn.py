import pytest
import torch

from occlupose.networks.tcn import OURS, PAPER, STRIDE, TCN, reach

STYLES = pytest.mark.parametrize("style", [PAPER, OURS], ids=["paper", "ours"])


def network(depth=1, seed=0, style=OURS):
    """One that says something, as after training, in use."""
    torch.manual_seed(seed)
    net = TCN(5, 3, width=8, depth=depth, style=style)
    torch.nn.init.normal_(net.out.weight)
    return net.eval()


def test_the_papers_network_has_the_channels_strides_and_dilations_of_its_description():
    layers = [layer for layer in TCN(34, 51).modules() if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d)]
    kernel, stride, dilation, channels = (
        [getattr(layer, name) for layer in layers] for name in ("kernel_size", "stride", "dilation", "out_channels")
    )
    assert kernel == [(5,)] * 6 + [(1,)]
    assert stride == [(1,), (2,), (1,), (2,), (2,), (2,), (1,)]
    assert dilation == [(1,), (1,), (2,), (1,), (1,), (1,), (1,)]
    assert channels == [512, 512, 512, 1024, 512, 512, 51]


def test_before_training_the_answer_is_zero_and_can_be_learnt():
    net = TCN(5, 3, width=8)
    x = torch.randn(2, 16, 5)
    assert (net(x) == 0).all()
    net(x).sum().backward()
    assert net.out.weight.grad.abs().sum() > 0


@STYLES
@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize("length", [STRIDE, 2 * STRIDE, 64, 100])
def test_the_length_is_kept(length, depth, style):
    assert network(depth, style=style)(torch.randn(2, length, 5)).shape == (2, length, 3)


def test_any_number_of_sequences():
    x = torch.randn(3, 16, 5)
    together = network()(x)
    for one, alone in zip(together, x, strict=True):
        torch.testing.assert_close(network()(alone[None])[0], one)
    assert network()(x[:0]).shape == (0, 16, 3)


@STYLES
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_nothing_further_away_than_the_reach_counts(depth, style):
    net = network(depth, style=style)
    bound = reach(net)
    middle = 120
    assert bound < middle - STRIDE
    furthest = 0
    for output in range(middle, middle + STRIDE):  # all places relative to the strides
        x = torch.randn(1, 2 * middle, 5, requires_grad=True)
        net(x)[0, output].sum().backward()
        frames = x.grad[0].abs().sum(-1).nonzero().flatten()
        furthest = max(furthest, int(frames.max()) - output, output - int(frames.min()))
    assert furthest <= bound
    assert bound - furthest < 2 * STRIDE  # a bound that says something


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_each_further_block_looks_twice_as_far_as_the_one_before(depth):
    assert reach(network(depth + 1)) - reach(network(depth)) == STRIDE * 2**depth


@STYLES
@pytest.mark.parametrize("depth", [0, 2])
def test_every_weight_counts(depth, style):
    net = network(depth, style=style)
    (net(torch.randn(2, 64, 5)) * torch.randn(2, 64, 3)).sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad.abs().sum() > 0, name


@STYLES
def test_later_frames_give_later_answers_in_steps_of_the_stride(style):
    net = network(style=style)
    x = torch.randn(1, 160, 5)
    margin = reach(net) + STRIDE
    answer = net(x)
    shifted = net(x.roll(STRIDE, 1))
    torch.testing.assert_close(answer[:, margin:-margin], shifted.roll(-STRIDE, 1)[:, margin:-margin])


@STYLES
def test_sequences_do_not_mix_in_use(style):
    net = network(style=style)
    x = torch.randn(2, 32, 5)
    changed = torch.stack([x[0], torch.randn(32, 5)])
    torch.testing.assert_close(net(changed)[0], net(x)[0])


def test_ours_gives_the_same_in_training_and_in_use():
    net = network()
    x = torch.randn(2, 32, 5)
    assert torch.equal(net.train()(x), net.eval()(x))
