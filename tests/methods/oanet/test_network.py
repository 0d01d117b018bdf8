from dataclasses import replace

import pytest
import torch
from torch import nn

from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import AdversarialOANet, OANetNetwork, Refinement2D


def oanet(seed=0, mask_channel=False, **options):
    """OANet with a non-zero output, as after training."""
    torch.manual_seed(seed)
    network = OANetNetwork(8, encoder=MaskedEncoder(mask_channel=mask_channel), **options)
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
    assert (output.xy[inputs.reliable == 0] == 0).all()
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
        missing = replace(inputs, reliable=inputs.reliable.clone(), extra=inputs.extra.clone())
        missing.reliable[:, :, 5] = 0
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
        ("fake", adversarial.oanet, adversarial.discriminators),
        ("fake_detached", adversarial.discriminators, adversarial.oanet),
    ):
        adversarial.zero_grad()
        _, logits = adversarial(inputs, real)
        torch.stack([getattr(each, name).sum() for each in logits]).sum().backward()
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in trained.parameters())
        assert all(weight.grad is None or (weight.grad == 0).all() for weight in fixed.parameters())
    _, logits = adversarial.eval()(inputs, real)
    assert [each.fake.shape for each in logits] == [(len(inputs.xy), 16), (len(inputs.xy), 1)]
    for each, discriminator in zip(logits, adversarial.discriminators, strict=True):
        assert torch.equal(each.fake, each.fake_detached)
        assert torch.equal(each.real, discriminator(real))
    assert adversarial(inputs)[1] == []
