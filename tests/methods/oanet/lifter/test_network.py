import pytest
import torch

from occlupose.methods.oanet.lifter.inputs import CHANNELS, HORIZON, SMOOTH, doubt, positions, prepare
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.networks.tcn import OUTPUT_SCALE, STRIDE
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17


def lifter(width=8, depth=2, seed=0):
    """One that says something, as after training."""
    torch.manual_seed(seed)
    net = Lifter(width, depth)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


def channels(share=0.5, batch=2, frames=32, seed=0):
    """What the networks are given of people of whom this share of the joints is seen, and which these are."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.rand(batch, frames, len(BODY22), generator=generator) < share
    return prepare(0.1 * torch.randn(batch, frames, len(BODY22), 2, generator=generator), seen).channels, seen


def taught(network):
    """Whether any of its weights has a gradient."""
    return any(weight.grad is not None and bool((weight.grad != 0).any()) for weight in network.parameters())


@pytest.mark.parametrize("length", [STRIDE, 64])
def test_complete_2d_and_3d_about_the_pelvis(length):
    complete, xyz = lifter()(torch.randn(3, length, CHANNELS))
    assert complete.shape == (3, length, 22, 2)
    assert xyz.shape == (3, length, 17, 3)
    assert (xyz[..., H36M17.joints.index("pelvis"), :] == 0).all()
    assert xyz.abs().max() > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_what_is_seen_is_passed_on_unchanged_whatever_the_weights(seed, share):
    net = lifter(seed=seed)
    for weight in net.tcn_2d.parameters():
        torch.nn.init.normal_(weight, std=3.0)
    given, seen = channels(share, seed=seed)
    complete = net(given)[0]
    assert torch.equal(complete[seen], positions(given)[seen])
    assert (complete != positions(given)).any(-1)[~seen].all()


def test_what_is_bridged_is_corrected_the_more_the_older_it_is():
    net = lifter()
    (given, _) = channels(0.1)
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    moved = net(given)[0] - positions(given)
    torch.testing.assert_close(moved, OUTPUT_SCALE * doubt(given).unsqueeze(-1).expand_as(moved))
    assert len(moved.unique()) > 5


def test_before_training_joints_are_where_they_were_bridged():
    given, _ = channels(0.1)
    assert torch.equal(Lifter(8)(given)[0], positions(given))


def test_3d_begins_at_the_completed_joints_laid_flat():
    net = lifter()
    (given, _) = channels()
    torch.nn.init.zeros_(net.tcn_3d.out.weight)
    complete, xyz = net(given)
    flat = complete[..., BODY22_TO_H36M17, :]
    torch.testing.assert_close(xyz[..., :2], flat - flat[..., :1, :])
    assert (xyz[..., 2] == 0).all()
    assert [BODY22.joints[joint] for joint in BODY22_TO_H36M17] == list(H36M17.joints)


def test_the_3d_network_sees_the_completed_joints_and_what_was_seen_when():
    net = lifter()
    (given, _) = channels()
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    depth = net(given)[1][..., 2]  # of which the flat beginning is no part
    older = given.clone()
    older[..., 2 * len(BODY22) : -1] *= 0.9
    assert not torch.allclose(net(older)[1][..., 2], depth, atol=1e-3)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    assert not torch.allclose(net(given)[1][..., 2], depth, atol=1e-3)


@pytest.mark.parametrize("answer", [0, 1])
def test_each_network_learns_from_its_own_answer_alone(answer):
    net = lifter()
    (given, _) = channels()
    net(given)[answer].square().sum().backward()
    assert taught(net.tcn_2d) == (answer == 0)
    assert taught(net.tcn_3d) == (answer == 1)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_future_further_away_than_the_delay_changes_nothing(depth):
    net = lifter(depth=depth)
    frame = 40
    generator = torch.Generator().manual_seed(1)
    frames = STRIDE * ((frame + net.delay) // STRIDE + 5)
    rays = 0.1 * torch.randn(1, frames, 22, 2, generator=generator)
    # some joints hardly ever seen, so that the horizon counts, the torso always in part, so that its middle is known
    seen = torch.rand(1, frames, 22, generator=generator) < torch.tensor([0.3, 0.02]).repeat(11)
    answer = net(prepare(rays, seen).channels)
    for ahead, counts in ((net.delay + 1, False), (10, True)):
        changed = rays.clone()
        other_seen = seen.clone()
        changed[:, frame + ahead :] += 0.2
        other_seen[:, frame + ahead :] ^= True
        other = net(prepare(changed, other_seen).channels)
        difference = max(
            (one[:, : frame + 1] - two[:, : frame + 1]).abs().max().item()
            for one, two in zip(answer, other, strict=True)
        )
        assert (difference > 1e-6) == counts
    assert net.delay > HORIZON + SMOOTH


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_deeper_networks_wait_longer(depth):
    assert lifter(depth=depth + 1).delay == lifter(depth=depth).delay + 2 * STRIDE * 2**depth


def test_live_answers_wait_for_four_seconds():
    """What the pages say: at 30 frames a second."""
    assert Lifter(8).delay / 30 == pytest.approx(4, abs=0.1)
