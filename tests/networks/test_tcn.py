import pytest
import torch

from occlupose.networks.tcn import STRIDE, TCN, receptive_field


def network(depth=1, seed=0):
    """A network with a non-zero output, as after training, in evaluation mode."""
    torch.manual_seed(seed)
    net = TCN(5, 3, width=8, depth=depth)
    torch.nn.init.normal_(net.out.weight)
    return net.eval()


def test_it_has_the_kernels_of_the_paper_and_our_strides_and_dilations():
    layers = [layer for layer in TCN(34, 51).modules() if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d)]
    assert [layer.kernel_size for layer in layers] == [(5,)] * 6 + [(1,)]
    assert [layer.stride for layer in layers] == [(1,), (2,), (1,), (2,), (2,), (2,), (1,)]
    assert [layer.dilation for layer in layers] == [(1,), (1,), (2,), (1,), (1,), (1,), (1,)]
    assert [layer.out_channels for layer in layers] == [512, 512, 512, 1024, 512, 512, 51]


def test_before_training_the_output_is_zero_and_has_a_gradient():
    net = TCN(5, 3, width=8)
    x = torch.randn(2, 16, 5)
    assert (net(x) == 0).all()
    net(x).sum().backward()
    assert net.out.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize("length", [STRIDE, 2 * STRIDE, 64, 100])
def test_the_length_is_kept(length, depth):
    assert network(depth)(torch.randn(2, length, 5)).shape == (2, length, 3)


def test_any_number_of_sequences():
    x = torch.randn(3, 16, 5)
    together = network()(x)
    for one, alone in zip(together, x, strict=True):
        torch.testing.assert_close(network()(alone[None])[0], one)
    assert network()(x[:0]).shape == (0, 16, 3)


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_an_output_depends_on_the_frames_of_the_receptive_field(depth):
    net = network(depth)
    farthest = 0
    middle = 100
    for output in range(middle, middle + STRIDE):  # all phases of the stride
        x = torch.randn(1, 2 * middle, 5, requires_grad=True)
        net(x)[0, output].sum().backward()
        frames = x.grad[0].abs().sum(-1).nonzero().flatten()
        farthest = max(farthest, int(frames.max()) - output, output - int(frames.min()))
    assert receptive_field(depth) == 2 * farthest + 1
    assert (receptive_field(depth) >= 128) == (depth == 4)


@pytest.mark.parametrize("depth", [0, 2])
def test_every_weight_has_a_gradient(depth):
    net = network(depth)
    (net(torch.randn(2, 64, 5)) * torch.randn(2, 64, 3)).sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def test_the_output_shifts_with_the_input_by_multiples_of_the_stride():
    net = network(2)
    x = torch.randn(1, 160, 5)
    margin = receptive_field(2) // 2 + STRIDE
    answer = net(x)
    shifted = net(x.roll(STRIDE, 1))
    torch.testing.assert_close(answer[:, margin:-margin], shifted.roll(-STRIDE, 1)[:, margin:-margin])


def test_sequences_of_a_batch_are_independent_in_evaluation():
    net = network()
    x = torch.randn(2, 32, 5)
    changed = torch.stack([x[0], torch.randn(32, 5)])
    torch.testing.assert_close(net(changed)[0], net(x)[0])


def test_dropout_is_for_training_only():
    net = network()
    x = torch.randn(2, 32, 5)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(net.train()(x), net(x))
