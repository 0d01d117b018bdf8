import pytest
import torch

from occlupose.methods.oanet.inputs import CHANNELS, HORIZON, SMOOTH, positions, prepare
from occlupose.methods.oanet.lifter import Lifter
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import BODY22, H36M17


def lifter(width=8, depth=1, seed=0):
    """One that says something, as after training."""
    torch.manual_seed(seed)
    net = Lifter(width, depth)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


@pytest.mark.parametrize("length", [STRIDE, 64])
def test_complete_2d_and_3d_about_the_pelvis(length):
    complete, xyz = lifter()(torch.randn(3, length, CHANNELS))
    assert complete.shape == (3, length, 22, 2)
    assert xyz.shape == (3, length, 17, 3)
    assert (xyz[..., H36M17.joints.index("pelvis"), :] == 0).all()
    assert xyz.abs().max() > 0


def test_the_2d_network_corrects_what_was_bridged():
    net, seen = lifter(), torch.randn(2, 16, CHANNELS)
    assert not torch.allclose(net(seen)[0], positions(seen), atol=0.01)
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    assert torch.equal(net(seen)[0], positions(seen))


def test_before_training_people_are_flat():
    seen = torch.randn(2, 16, CHANNELS)
    complete, xyz = Lifter(8)(seen)
    flat = complete[..., BODY22.index(*H36M17.joints), :]
    torch.testing.assert_close(xyz[..., :2], flat - flat[..., :1, :])
    assert (xyz[..., 2] == 0).all()


def test_3d_teaches_the_2d_network_too_where_they_learn_together():
    net, seen = lifter(), torch.randn(2, 16, CHANNELS)
    together, apart = net(seen, together=True), net(seen)
    assert all(torch.equal(one, other) for one, other in zip(together, apart, strict=True))
    apart[1].sum().backward()
    assert net.tcn_2d.c1a[0].weight.grad is None
    together[1].sum().backward()
    assert net.tcn_2d.c1a[0].weight.grad.abs().sum() > 0


def test_future_further_away_than_the_delay_changes_nothing():
    net, frame = lifter(), 40
    generator = torch.Generator().manual_seed(1)
    rays = 0.1 * torch.randn(1, frame + 160, 22, 2, generator=generator)
    seen = torch.rand(1, frame + 160, 22, generator=generator) < 0.3
    answer = net(prepare(rays, seen).channels)
    for ahead, counts in ((net.delay + 1, False), (10, True)):
        changed = rays.clone()
        changed[:, frame + ahead :] += 0.2
        other = net(prepare(changed, seen).channels)
        difference = max((one[:, : frame + 1] - two[:, : frame + 1]).abs().max().item() for one, two in zip(answer, other, strict=True))
        assert (difference > 1e-7) == counts
    assert net.delay > HORIZON + SMOOTH


def test_deeper_networks_wait_longer():
    assert lifter(depth=2).delay == lifter(depth=1).delay + 2 * (STRIDE + 1)
