import pytest
import torch
from torch import nn

from occlupose.networks.resnet import RESNET18, Bottleneck, ResNet
from occlupose.networks.simple_baseline import (
    HEAD_STD,
    HeatmapHead,
    SimpleBaseline,
    simple_baseline_r50,
    simple_baseline_small,
)


def test_the_head_is_that_of_the_paper():
    with torch.device("meta"):
        head = simple_baseline_r50().head
    convolutions = [part for part in head.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    assert [(part.in_channels, part.out_channels, part.kernel_size[0]) for part in convolutions] == [
        *((2048, 256, 4), (256, 256, 4), (256, 256, 4)),
        (256, 17, 1),
    ]
    assert [part.bias is not None for part in convolutions] == [False, False, False, True]


@pytest.mark.parametrize("widths", [(), (8,), (8, 6), (8, 8, 8)])
def test_each_transposed_convolution_doubles_the_size(widths):
    head = HeatmapHead(12, 5, widths)
    assert head(torch.randn(2, 12, 3, 4)).shape == (2, 5, 3 << len(widths), 4 << len(widths))
    assert len([name for name in head.state_dict() if name.startswith("deconv_layers")]) == 6 * len(widths)


def test_heads_begin_narrow_and_dark():
    torch.manual_seed(0)
    network = simple_baseline_small()
    for part in network.head.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            assert part.weight.std().item() == pytest.approx(HEAD_STD, rel=0.1)
            assert part.bias is None or not part.bias.any()
    (maps,) = network(torch.randn(2, 3, 64, 64))
    assert maps.abs().max() < 0.1


def test_every_weight_learns_with_bottlenecks_too():
    torch.manual_seed(0)
    network = SimpleBaseline(ResNet(RESNET18, 8, block=Bottleneck), 5, (8, 8, 8))
    (maps,) = network(torch.randn(2, 3, 64, 64))
    assert maps.shape == (2, 5, 16, 16)
    (maps - 1).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
