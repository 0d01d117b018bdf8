import pytest
import torch
from torch import nn

from occlupose.methods.oanet.network import AdversarialOANet, OANetNetwork, Refinement2D
from occlupose.methods.oanet.normalise import normalise_2d


def oanet(seed=0, **options):
    """OANet with a non-zero output, as after training."""
    torch.manual_seed(seed)
    network = OANetNetwork(8, **options)
    for tcn in (network.tcn_2d, network.tcn_3d):
        if tcn is not None:
            nn.init.normal_(tcn.out.weight)
    return network


def normalised(seed=0, reliable=0.7):
    generator = torch.Generator().manual_seed(seed)
    xy = torch.randn(3, 16, 17, 2, generator=generator)
    return normalise_2d(xy, torch.rand(3, 16, 17, generator=generator) < reliable)


@pytest.mark.parametrize("options", [{}, {"refine": False}, {"mask_channel": True}, {"depth": 2}])
def test_incomplete_2d_and_complete_root_relative_3d(options):
    inputs = normalised()
    output = oanet(**options)(inputs)
    assert output.xy.shape == (3, 16, 17, 2)
    assert (output.xy[~inputs.reliable] == 0).all()
    assert (output.xyz[:, :, 0] == 0).all()
    assert (output.xyz[:, :, 1:].norm(dim=-1) > 0).all()


def test_without_the_2d_network_the_2d_joints_stay_as_they_are():
    inputs = normalised()
    assert torch.equal(oanet(refine=False)(inputs).xy, inputs.xy)
    assert not torch.equal(oanet()(inputs).xy, inputs.xy)


def test_unreliable_joints_do_not_reach_the_3d_network():
    inputs = normalised()
    network = oanet().eval()
    moved = torch.where(inputs.reliable.unsqueeze(-1), inputs.xy, 7.0)
    other = type(inputs)(moved, inputs.reliable, inputs.root, inputs.scale)
    assert torch.equal(network(other).xyz, network(inputs).xyz)


def test_the_mask_channel_distinguishes_a_missing_joint_from_one_at_the_root():
    inputs = normalised(reliable=2.0)
    inputs.xy[:, :, 5] = 0
    missing = type(inputs)(inputs.xy, inputs.reliable.clone(), inputs.root, inputs.scale)
    missing.reliable[:, :, 5] = False
    plain = oanet(refine=False).eval()
    aware = oanet(refine=False, mask_channel=True).eval()
    assert torch.equal(plain(inputs).xyz, plain(missing).xyz)
    assert not torch.equal(aware(inputs).xyz, aware(missing).xyz)


def test_the_3d_loss_reaches_the_2d_network():
    network = oanet()
    network(normalised()).xyz.square().sum().backward()
    for name, weight in network.tcn_2d.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def test_frozen_networks_stay_in_evaluation_mode():
    network = oanet()
    network.tcn_2d.requires_grad_(False)
    network.train()
    before = {name: value.clone() for name, value in network.tcn_2d.state_dict().items()}
    inputs = normalised()
    assert torch.equal(network(inputs).xy, network(inputs).xy)  # no dropout
    assert all(torch.equal(before[name], value) for name, value in network.tcn_2d.state_dict().items())
    network.requires_grad_(True).train()
    assert not torch.equal(network(inputs).xy, network(inputs).xy)


def test_the_2d_stage_gives_the_2d_of_the_whole_network():
    network = oanet().eval()
    inputs = normalised()
    assert torch.equal(Refinement2D(network).eval()(inputs), network(inputs).xy)


def test_each_logit_has_gradients_for_one_network_only():
    adversarial = AdversarialOANet(oanet())
    inputs = normalised()
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
