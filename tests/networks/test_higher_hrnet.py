import pytest
import torch
from torch import nn

from occlupose.networks.higher_hrnet import HigherHRNet, higher_hrnet_small, higher_hrnet_w32, higher_hrnet_w48
from occlupose.networks.hrnet import HRNet


def tiny(joints=5, limbs=0, **options):
    torch.manual_seed(0)
    backbone = HRNet(4, modules=(1, 1, 1), blocks=1, stem=4, bottlenecks=1)
    return HigherHRNet(backbone, joints, limbs, blocks=1, **options)


def parameters(network):
    return sum(value.numel() for value in network.parameters())


def multiply_adds(network, side):
    """As the paper counts them: weights of each convolution times cells of its output. That is four times too many for
    the transposed convolution, whose output has four times the cells of its input.
    """
    counts = []

    def count(layer, _, output):
        counts.append(layer.weight.numel() * output.shape[-2] * output.shape[-1])

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.empty(1, 3, side, side, device="meta"))
    return sum(counts)


@pytest.mark.parametrize(
    ("build", "side", "millions", "billions"),
    [(higher_hrnet_w32, 512, 28.6, 47.9), (higher_hrnet_w48, 640, 63.8, 154.3)],
)
def test_sizes_of_the_paper(build, side, millions, billions):
    """Parameters and multiply-adds of HigherHRNet, Cheng et al., CVPR 2020, table 1 (COCO test-dev)."""
    with torch.device("meta"):
        network = build()
    assert parameters(network) == pytest.approx(millions * 1e6, rel=0.01)
    assert multiply_adds(network, side) == pytest.approx(billions * 1e9, rel=0.01)


def test_maps_at_a_quarter_and_at_half_of_the_resolution():
    maps = tiny(limbs=4)(torch.randn(2, 3, 64, 96))
    assert [tuple(each.shape) for each in maps.heatmaps] == [(2, 5, 16, 24), (2, 5, 32, 48)]
    assert tuple(maps.tags.shape) == (2, 5, 16, 24)
    assert [tuple(each.shape) for each in maps.fields] == [(2, 8, 16, 24)]


def test_fields_are_optional_and_may_be_fine_as_well():
    images = torch.randn(1, 3, 64, 64)
    assert tiny()(images).fields == ()
    assert [tuple(each.shape) for each in tiny(limbs=3, fine_fields=True)(images).fields] == [
        (1, 6, 16, 16),
        (1, 6, 32, 32),
    ]


def test_fields_change_nothing_else():
    """The published network is the one without them."""
    plain = tiny().eval()
    other = tiny(limbs=4).eval()
    other.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[0] for name in other.state_dict().keys() - plain.state_dict().keys()} == {"fields"}
    images = torch.randn(1, 3, 64, 64)
    for one, two in zip(plain(images).heatmaps, other(images).heatmaps, strict=True):
        assert torch.equal(one, two)


def test_fine_heatmaps_see_the_coarse_ones_and_the_tags():
    """The transposed convolution takes the features together with both."""
    network = tiny().eval()
    images = torch.randn(1, 3, 64, 64)
    before = network(images)
    network.head.final_layers[0].bias.data[-1] += 1  # a tag
    after = network(images)
    assert torch.equal(before.heatmaps[0], after.heatmaps[0])
    assert not torch.equal(before.heatmaps[1], after.heatmaps[1])


def test_every_weight_learns():
    network = tiny(limbs=4, fine_fields=True)
    maps = network(torch.randn(2, 3, 64, 64))
    sum(each.square().sum() for each in (*maps.heatmaps, maps.tags, *maps.fields)).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_small_one_is_small():
    assert parameters(higher_hrnet_small(17, 16)) < 1_000_000
