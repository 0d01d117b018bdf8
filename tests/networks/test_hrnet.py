import pytest
import torch

from occlupose.networks.hrnet import Exchange, HRNet, hrnet_small, hrnet_w32, hrnet_w48


def small(**options):
    torch.manual_seed(0)
    return HRNet(**{"width": 4, "modules": (1, 1, 1), "blocks": 1, "stem": 4, "bottlenecks": 1} | options)


@pytest.mark.parametrize("all_branches", [False, True])
def test_branches_halve_and_double(all_branches):
    features = small(all_branches=all_branches)(torch.randn(2, 3, 64, 96))
    expected = [(2, 4 << branch, 16 >> branch, 24 >> branch) for branch in range(4)]
    assert [tuple(each.shape) for each in features] == (expected if all_branches else expected[:1])


@pytest.mark.parametrize(("build", "width"), [(hrnet_w32, 32), (hrnet_w48, 48)])
def test_it_has_the_exchanges_of_the_paper(build, width):
    """Sun section 3: stages 2, 3 and 4 have 1, 4 and 3 exchanges, each branch 4 blocks in each."""
    with torch.device("meta"):
        backbone = build().backbone
    assert [len(getattr(backbone, f"stage{stage}")) for stage in (2, 3, 4)] == [1, 4, 3]
    for stage in (2, 3, 4):
        for exchange in getattr(backbone, f"stage{stage}"):
            assert [len(branch) for branch in exchange.branches] == [4] * stage
            assert [branch[0].conv1.in_channels for branch in exchange.branches] == [
                width << number for number in range(stage)
            ]
    assert [len(exchange.fuse_layers) for exchange in backbone.stage4] == [4, 4, 1]


def test_every_branch_gets_input_from_every_other():
    torch.manual_seed(0)
    exchange = Exchange((4, 8, 16), 1, 3).eval()
    branches = [torch.randn(1, 4 << number, 8 >> number, 8 >> number) for number in range(3)]
    before = exchange([each.clone() for each in branches])
    for target in range(3):
        changed = [each + (number == target) for number, each in enumerate(branches)]
        after = exchange([each.clone() for each in changed])
        assert all((a - b).abs().max() > 1e-3 for a, b in zip(after, before, strict=True)), target


def test_fusing_leaves_its_inputs_alone():
    """What a branch passes to the others is the same for all of them, whatever is computed first."""
    exchange = Exchange((4, 8), 1, 2).eval()
    torch.nn.init.zeros_(exchange.fuse_layers[0][1][0].weight)
    torch.nn.init.zeros_(exchange.fuse_layers[1][0][0][0].weight)
    branches = [torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)]
    own = [branch(each.clone()) for branch, each in zip(exchange.branches, branches, strict=True)]
    for fused, alone in zip(exchange([each.clone() for each in branches]), own, strict=True):
        torch.testing.assert_close(fused, alone.relu())


def test_the_finest_branch_alone_is_the_same_as_among_all():
    one = small()
    all_ = small(all_branches=True)
    all_.load_state_dict(one.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(one.eval()(image)[0], all_.eval()(image)[0])


def test_every_weight_of_all_branches_learns():
    network = small(all_branches=True)
    sum(each.square().sum() for each in network(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_small_one_is_small():
    network = hrnet_small()
    assert sum(value.numel() for value in network.parameters()) < 1_000_000
    assert network.head.final_layer.in_channels >= 17  # maps of fewer features than joints cannot be told apart
