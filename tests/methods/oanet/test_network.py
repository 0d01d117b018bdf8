from dataclasses import replace

import pytest
import torch
from torch import nn

from occlupose.methods.oanet.gap_filled_inputs import MAX_JOINT_GAP, SCALE_SMOOTHING, GapFilledEncoder
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import AdversarialOANet, Refinement2D, paper_network, shipped_network
from occlupose.networks.tcn import OUTPUT_SCALE, STRIDE
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17


def lifter(width=8, depth=2, seed=0):
    """A lifter with a non-zero output, as after training."""
    torch.manual_seed(seed)
    net = shipped_network(width, depth)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


def gap_filled(share=0.5, batch=2, frames=32, seed=0):
    """Inputs of people with this fraction of the joints observed, and which these are."""
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(batch, frames, len(BODY22), generator=generator) < share
    rays = 0.1 * torch.randn(batch, frames, len(BODY22), 2, generator=generator)
    return GapFilledEncoder()(rays, observed), observed


def has_gradient(network):
    """Whether any weight has a gradient."""
    return any(weight.grad is not None and bool((weight.grad != 0).any()) for weight in network.parameters())


@pytest.mark.parametrize("length", [STRIDE, 64])
def test_complete_2d_and_3d_about_the_pelvis(length):
    inputs, _ = gap_filled(batch=3, frames=length)
    output = lifter()(inputs)
    xyz = output.xyz
    assert output.xy.shape == (3, length, 22, 2)
    assert xyz.shape == (3, length, 17, 3)
    assert (xyz[..., H36M17.joints.index("pelvis"), :] == 0).all()
    assert xyz.abs().max() > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_observed_joints_are_unchanged_whatever_the_weights(seed, share):
    net = lifter(seed=seed)
    for weight in net.tcn_2d.parameters():
        torch.nn.init.normal_(weight, std=3.0)
    inputs, observed = gap_filled(share, seed=seed)
    completed = net(inputs).xy
    assert torch.equal(completed[observed], inputs.xy[observed])
    assert (completed != inputs.xy).any(-1)[~observed].all()


def test_the_correction_is_proportional_to_the_uncertainty():
    net = lifter()
    inputs, _ = gap_filled(0.1)
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    moved = net(inputs).xy - inputs.xy
    torch.testing.assert_close(moved, OUTPUT_SCALE * inputs.correctable.unsqueeze(-1).expand_as(moved))
    assert len(moved.unique()) > 5


def test_before_training_joints_are_interpolated():
    inputs, _ = gap_filled(0.1)
    assert torch.equal(shipped_network(8)(inputs).xy, inputs.xy)


def test_without_an_offset_3d_is_the_completed_joints_at_depth_0():
    net = lifter()
    inputs, _ = gap_filled()
    torch.nn.init.zeros_(net.tcn_3d.out.weight)
    output = net(inputs)
    xyz = output.xyz
    flat = output.xy[..., BODY22_TO_H36M17, :]
    torch.testing.assert_close(xyz[..., :2], flat - flat[..., :1, :])
    assert (xyz[..., 2] == 0).all()
    assert [BODY22.joints[joint] for joint in BODY22_TO_H36M17] == list(H36M17.joints)


def test_the_3d_network_gets_the_completed_joints_and_the_ages():
    net = lifter()
    inputs, _ = gap_filled()
    torch.nn.init.zeros_(net.tcn_2d.out.weight)
    depth = net(inputs).xyz[..., 2]  # 0 without an offset
    older = replace(inputs, extra=0.9 * inputs.extra)
    assert not torch.allclose(net(older).xyz[..., 2], depth, atol=1e-3)
    torch.nn.init.ones_(net.tcn_2d.out.bias)
    assert not torch.allclose(net(inputs).xyz[..., 2], depth, atol=1e-3)


@pytest.mark.parametrize("output", ["xy", "xyz"])
def test_each_network_is_trained_by_its_own_output_only(output):
    net = lifter()
    inputs, _ = gap_filled()
    getattr(net(inputs), output).square().sum().backward()
    assert has_gradient(net.tcn_2d) == (output == "xy")
    assert has_gradient(net.tcn_3d) == (output == "xyz")


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_no_frame_beyond_the_look_ahead_matters(depth):
    net = lifter(depth=depth)
    frame = 40
    generator = torch.Generator().manual_seed(1)
    frames = STRIDE * ((frame + net.look_ahead) // STRIDE + 5)
    rays = 0.1 * torch.randn(1, frames, 22, 2, generator=generator)
    # some joints are rarely observed, so that gaps are long; the torso always in part, so that its centre is known
    observed = torch.rand(1, frames, 22, generator=generator) < torch.tensor([0.3, 0.02]).repeat(11)
    output = net(GapFilledEncoder()(rays, observed))
    for ahead, counts in ((net.look_ahead + 1, False), (10, True)):
        changed = rays.clone()
        other_seen = observed.clone()
        changed[:, frame + ahead :] += 0.2
        other_seen[:, frame + ahead :] ^= True
        other = net(GapFilledEncoder()(changed, other_seen))
        difference = max(
            (one[:, : frame + 1] - two[:, : frame + 1]).abs().max().item()
            for one, two in ((output.xy, other.xy), (output.xyz, other.xyz))
        )
        assert (difference > 1e-6) == counts
    assert net.look_ahead > MAX_JOINT_GAP + SCALE_SMOOTHING


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_deeper_networks_look_further_ahead(depth):
    assert lifter(depth=depth + 1).look_ahead == lifter(depth=depth).look_ahead + 2 * STRIDE * 2**depth


def test_the_look_ahead_is_four_seconds():
    """As the documentation says, at 30 frames per second."""
    assert shipped_network(8).look_ahead / 30 == pytest.approx(4, abs=0.1)


def oanet(seed=0, mask_channel=False, **options):
    """OANet with a non-zero output, as after training."""
    torch.manual_seed(seed)
    network = paper_network(8, encoder=MaskedEncoder(mask_channel=mask_channel), **options)
    for tcn in (network.tcn_2d, network.tcn_3d):
        if tcn is not None:
            nn.init.normal_(tcn.out.weight)
    return network


def masked(seed=0, reliable=0.7, **options):
    generator = torch.Generator().manual_seed(seed)
    xy = torch.randn(3, 16, 17, 2, generator=generator)
    return MaskedEncoder(**options)(xy, torch.rand(3, 16, 17, generator=generator) < reliable)


@pytest.mark.parametrize("options", [{}, {"refine": False}, {"mask_channel": True}, {"depth": 2}])
def test_incomplete_2d_and_complete_root_relative_3d(options):
    inputs = masked(mask_channel="mask_channel" in options)
    output = oanet(**options)(inputs)
    assert output.xy.shape == (3, 16, 17, 2)
    assert (output.xy[inputs.correctable == 0] == 0).all()
    assert (output.xyz[:, :, 0] == 0).all()
    assert (output.xyz[:, :, 1:].norm(dim=-1) > 0).all()


def test_without_the_2d_network_the_2d_joints_stay_as_they_are():
    inputs = masked()
    assert torch.equal(oanet(refine=False)(inputs).xy, inputs.xy)
    assert not torch.equal(oanet()(inputs).xy, inputs.xy)


def test_unreliable_joints_do_not_reach_the_3d_network():
    generator = torch.Generator().manual_seed(0)
    xy = torch.randn(3, 16, 17, 2, generator=generator)
    reliable = torch.rand(3, 16, 17, generator=generator) < 0.7
    network = oanet().eval()
    moved = torch.where(reliable.unsqueeze(-1), xy, 7.0)
    assert torch.equal(network(MaskedEncoder()(moved, reliable)).xyz, network(MaskedEncoder()(xy, reliable)).xyz)


def test_the_mask_channel_distinguishes_a_missing_joint_from_one_at_the_root():
    for mask_channel in (False, True):
        inputs = masked(reliable=2.0, mask_channel=mask_channel)
        inputs.xy[:, :, 5] = 0
        missing = replace(inputs, correctable=inputs.correctable.clone(), extra=inputs.extra.clone())
        missing.correctable[:, :, 5] = 0
        missing.extra[:, :, 5:6] = 0
        network = oanet(refine=False, mask_channel=mask_channel).eval()
        assert torch.equal(network(inputs).xyz, network(missing).xyz) != mask_channel


def test_the_3d_loss_reaches_the_2d_network():
    network = oanet()
    network(masked()).xyz.square().sum().backward()
    for name, weight in network.tcn_2d.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def test_frozen_networks_stay_in_evaluation_mode():
    network = oanet()
    network.tcn_2d.requires_grad_(False)
    network.train()
    before = {name: value.clone() for name, value in network.tcn_2d.state_dict().items()}
    inputs = masked()
    assert torch.equal(network(inputs).xy, network(inputs).xy)  # no dropout
    assert all(torch.equal(before[name], value) for name, value in network.tcn_2d.state_dict().items())
    network.requires_grad_(True).train()
    assert not torch.equal(network(inputs).xy, network(inputs).xy)


def test_the_2d_stage_gives_the_2d_of_the_whole_network():
    network = oanet().eval()
    inputs = masked()
    assert torch.equal(Refinement2D(network).eval()(inputs), network(inputs).xy)


def test_each_logit_has_gradients_for_one_network_only():
    adversarial = AdversarialOANet(oanet())
    inputs = masked()
    real = torch.randn(2, 16, 17, 3)
    for name, trained, fixed in (
        ("fake", adversarial.oanet, adversarial.discriminator),
        ("fake_detached", adversarial.discriminator, adversarial.oanet),
    ):
        adversarial.zero_grad()
        _, logits = adversarial(inputs, real)
        getattr(logits, name).sum().backward()
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in trained.parameters())
        assert all(weight.grad is None or (weight.grad == 0).all() for weight in fixed.parameters())
    _, logits = adversarial.eval()(inputs, real)
    assert torch.equal(logits.fake, logits.fake_detached)
    assert torch.equal(logits.real, adversarial.discriminator(real))
    assert adversarial(inputs)[1] is None
