import pytest
import torch

from occlupose.methods.oanet.lifter.inputs import (
    CHANNELS,
    MAX_GAP,
    SCALE_SMOOTHING,
    joints_2d,
    prepare_inputs,
    uncertainty,
)
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.networks.tcn import OUTPUT_SCALE, STRIDE
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17


def lifter(width=8, depth=2, seed=0):
    """A lifter with a non-zero output, as after training."""
    torch.manual_seed(seed)
    net = Lifter(width, depth)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


def make_channels(share=0.5, batch=2, frames=32, seed=0):
    """Channels of people with this fraction of the joints observed, and which these are."""
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(batch, frames, len(BODY22), generator=generator) < share
    return prepare_inputs(
        0.1 * torch.randn(batch, frames, len(BODY22), 2, generator=generator), observed
    ).channels, observed


def has_gradient(network):
    """Whether any weight has a gradient."""
    return any(weight.grad is not None and bool((weight.grad != 0).any()) for weight in network.parameters())


@pytest.mark.parametrize("length", [STRIDE, 64])
def test_complete_2d_and_3d_about_the_pelvis(length):
    completed, xyz = lifter()(torch.randn(3, length, CHANNELS))
    assert completed.shape == (3, length, 22, 2)
    assert xyz.shape == (3, length, 17, 3)
    assert (xyz[..., H36M17.joints.index("pelvis"), :] == 0).all()
    assert xyz.abs().max() > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_observed_joints_are_unchanged_whatever_the_weights(seed, share):
    net = lifter(seed=seed)
    for weight in net.tcn_2d.parameters():
        torch.nn.init.normal_(weight, std=3.0)
    channels, observed = make_channels(share, seed=seed)
    completed = net(channels)[0]
    assert torch.equal(completed[observed], joints_2d(channels)[observed])
    assert (completed != joints_2d(channels)).any(-1)[~observed].all()


def test_the_correction_is_proportional_to_the_uncertainty():
    net = lifter()
    (channels, _) = make_channels(0.1)
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    moved = net(channels)[0] - joints_2d(channels)
    torch.testing.assert_close(moved, OUTPUT_SCALE * uncertainty(channels).unsqueeze(-1).expand_as(moved))
    assert len(moved.unique()) > 5


def test_before_training_joints_are_interpolated():
    channels, _ = make_channels(0.1)
    assert torch.equal(Lifter(8)(channels)[0], joints_2d(channels))


def test_without_an_offset_3d_is_the_completed_joints_at_depth_0():
    net = lifter()
    (channels, _) = make_channels()
    torch.nn.init.zeros_(net.tcn_3d.out.weight)
    completed, xyz = net(channels)
    flat = completed[..., BODY22_TO_H36M17, :]
    torch.testing.assert_close(xyz[..., :2], flat - flat[..., :1, :])
    assert (xyz[..., 2] == 0).all()
    assert [BODY22.joints[joint] for joint in BODY22_TO_H36M17] == list(H36M17.joints)


def test_the_3d_network_gets_the_completed_joints_and_the_ages():
    net = lifter()
    (channels, _) = make_channels()
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    depth = net(channels)[1][..., 2]  # 0 without an offset
    older = channels.clone()
    older[..., 2 * len(BODY22) : -1] *= 0.9
    assert not torch.allclose(net(older)[1][..., 2], depth, atol=1e-3)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    assert not torch.allclose(net(channels)[1][..., 2], depth, atol=1e-3)


@pytest.mark.parametrize("output", [0, 1])
def test_each_network_is_trained_by_its_own_output_only(output):
    net = lifter()
    (channels, _) = make_channels()
    net(channels)[output].square().sum().backward()
    assert has_gradient(net.tcn_2d) == (output == 0)
    assert has_gradient(net.tcn_3d) == (output == 1)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_no_frame_beyond_the_look_ahead_matters(depth):
    net = lifter(depth=depth)
    frame = 40
    generator = torch.Generator().manual_seed(1)
    frames = STRIDE * ((frame + net.look_ahead) // STRIDE + 5)
    rays = 0.1 * torch.randn(1, frames, 22, 2, generator=generator)
    # some joints are rarely observed, so that gaps are long; the torso always in part, so that its centre is known
    observed = torch.rand(1, frames, 22, generator=generator) < torch.tensor([0.3, 0.02]).repeat(11)
    output = net(prepare_inputs(rays, observed).channels)
    for ahead, counts in ((net.look_ahead + 1, False), (10, True)):
        changed = rays.clone()
        other_seen = observed.clone()
        changed[:, frame + ahead :] += 0.2
        other_seen[:, frame + ahead :] ^= True
        other = net(prepare_inputs(changed, other_seen).channels)
        difference = max(
            (one[:, : frame + 1] - two[:, : frame + 1]).abs().max().item()
            for one, two in zip(output, other, strict=True)
        )
        assert (difference > 1e-6) == counts
    assert net.look_ahead > MAX_GAP + SCALE_SMOOTHING


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_deeper_networks_look_further_ahead(depth):
    assert lifter(depth=depth + 1).look_ahead == lifter(depth=depth).look_ahead + 2 * STRIDE * 2**depth


def test_the_look_ahead_is_four_seconds():
    """As the documentation says, at 30 frames per second."""
    assert Lifter(8).look_ahead / 30 == pytest.approx(4, abs=0.1)
