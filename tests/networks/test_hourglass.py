import pytest
import torch

from occlupose.networks.hourglass import INITIAL_VALUE, Hourglass, Residual, StackedHourglass


def small(**options):
    torch.manual_seed(0)
    return StackedHourglass(5, **{"stacks": 2, "width": 16, "depth": 2} | options)


def images(*shape, seed=0):
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("stacks", "millions"), [(2, 6.73), (8, 25.59)])
def test_the_size_is_the_published_one(stacks, millions):
    """For the 16 joints of MPII. 25.59 M is in the table of results of yuanyuanli85/Fast_Human_Pose_Estimation_Pytorch,
    for the 8 stacks of bearpaw/pytorch-pose; 6.73 M is what is quoted for 2 stacks of the same."""
    with torch.device("meta"):
        network = StackedHourglass(16, stacks=stacks)
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("stacks", "depth", "height", "width"), [(1, 1, 8, 16), (2, 2, 32, 16), (3, 4, 64, 128)])
def test_each_stack_has_maps_of_a_quarter_of_the_image_size(stacks, depth, height, width):
    maps = small(stacks=stacks, depth=depth)(images(2, height, width))
    assert maps.shape == (stacks, 2, 5, height // 4, width // 4)
    assert ((maps > 0) & (maps < 1)).all()


def test_maps_are_near_zero_before_training():
    maps = small().train()(images(4, 64, 64))
    assert maps.median().item() == pytest.approx(INITIAL_VALUE, rel=0.5)


def test_every_weight_learns_from_the_stacks_behind_it():
    network = small()
    network(images(2, 32, 32)).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
    network.zero_grad()
    network(images(2, 32, 32))[0].square().sum().backward()
    silent = {name.rsplit(".", 2)[0] for name, value in network.named_parameters() if not value.grad.any()}
    assert {"stacks.0.onward", "stacks.1"} <= silent and "stacks.0" not in silent and "stem" not in silent


def test_the_receptive_field_of_an_hourglass_grows_with_its_depth():
    """A change in one corner reaches the other only by way of the small end."""
    torch.manual_seed(0)
    x = torch.randn(1, 8, 64, 64)
    other = x.clone()
    other[..., :4, :4] += 1
    reached = []
    for depth in (1, 4):
        hourglass = Hourglass(8, depth).eval()
        changed = (hourglass(x) - hourglass(other)).abs().amax((0, 1)) > 1e-7
        reached.append(changed.nonzero().amax().item())
    assert reached[0] < 20 and reached[1] == 63


def test_a_residual_block_adds_to_its_input():
    block = Residual(4, 4)
    torch.nn.init.zeros_(block.blocks[-1].weight)
    torch.nn.init.zeros_(block.blocks[-1].bias)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert Residual(4, 6)(x).shape == (2, 6, 5, 5)
