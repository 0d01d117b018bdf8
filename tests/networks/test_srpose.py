import pytest
import torch

from occlupose.networks.hrnet import HRNet
from occlupose.networks.srpose import SRPose, SRPoseHead, SuperResolution


def small():
    torch.manual_seed(0)
    return SRPose(HRNet(4, modules=(1, 1, 1), blocks=1, stem=4, bottlenecks=1, all_branches=True), 5)


@pytest.mark.parametrize("training", [False, True])
def test_maps_come_coarse_to_fine_in_both_modes(training):
    maps = small().train(training)(torch.randn(2, 3, 64, 96))
    assert [tuple(each.shape) for each in maps] == [(2, 5, 2, 3), *[(2, 5, 16, 24)] * 3, (2, 5, 64, 96)]


def test_every_weight_learns():
    network = small()
    maps = network(torch.randn(4, 3, 64, 64))
    sum((each - 1).square().sum() for each in maps).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_answer_alone_teaches_all_but_the_other_heads():
    network = small()
    network(torch.randn(4, 3, 64, 64))[-1].sub(1).square().sum().backward()
    silent = {
        name.rsplit(".", 2)[0]
        for name, value in network.named_parameters()
        if value.grad is None or not value.grad.any()
    }
    assert silent == {"head.maps.0", "head.maps.1", "head.maps.2"}


def test_a_joint_has_its_own_channels():
    """Maps of a joint are made of that joint's channels alone, and each cell of the features becomes ratio x ratio
    cells.
    """
    torch.manual_seed(0)
    head = SuperResolution(6, 3, 4, 3, 2)
    x = torch.rand(1, 6, 5, 5)
    before = head(x)
    assert before.shape == (1, 3, 10, 10)
    with torch.no_grad():
        head.embed.bias[4:8] += 1  # the second joint's
    changed = (head(x) - before).abs().amax((0, 2, 3))
    assert (changed > 0).tolist() == [False, True, False]
    with torch.no_grad():
        head.expand.weight.zero_()
        head.expand.bias.copy_(torch.arange(12.0))
    assert head(x)[0, 1, :2, :2].tolist() == [[4, 5], [6, 7]]


def test_the_coarse_maps_are_fed_back():
    torch.manual_seed(0)
    head = SRPoseHead((4, 8, 16, 32), 3).eval()
    branches = [torch.rand(1, 4 << number, 16 >> number, 16 >> number) for number in range(4)]
    before = head(branches)
    with torch.no_grad():
        head.coarse.bias += 1
    assert all((a - b).abs().max() > 1e-6 for a, b in zip(head(branches), before, strict=True))
