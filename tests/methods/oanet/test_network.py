import pytest
import torch
from torch import nn

from occlupose.methods.oanet.network import Duel, OANet, Refinement
from occlupose.methods.oanet.picture import frame


def oanet(seed=0, **options):
    """One that says something, as after training."""
    torch.manual_seed(seed)
    network = OANet(8, **options)
    for tcn in (network.tcn_2d, network.tcn_3d):
        if tcn is not None:
            nn.init.normal_(tcn.out.weight)
    return network


def picture(seed=0, believed=0.7):
    generator = torch.Generator().manual_seed(seed)
    xy = torch.randn(3, 16, 17, 2, generator=generator)
    return frame(xy, torch.rand(3, 16, 17, generator=generator) < believed)


@pytest.mark.parametrize("options", [{}, {"refine": False}, {"mask_channel": True}, {"depth": 2}])
def test_incomplete_2d_and_complete_root_relative_3d(options):
    seen = picture()
    answer = oanet(**options)(seen)
    assert answer.xy.shape == (3, 16, 17, 2)
    assert (answer.xy[~seen.believed] == 0).all()
    assert (answer.xyz[:, :, 0] == 0).all()
    assert (answer.xyz[:, :, 1:].norm(dim=-1) > 0).all()


def test_without_the_2d_network_the_2d_joints_stay_as_they_are():
    seen = picture()
    assert torch.equal(oanet(refine=False)(seen).xy, seen.xy)
    assert not torch.equal(oanet()(seen).xy, seen.xy)


def test_the_3d_network_sees_nothing_of_what_is_not_believed():
    seen = picture()
    network = oanet().eval()
    hidden = torch.where(seen.believed.unsqueeze(-1), seen.xy, 7.0)
    other = type(seen)(hidden, seen.believed, seen.root, seen.size)
    assert torch.equal(network(other).xyz, network(seen).xyz)


def test_the_mask_channel_tells_a_missing_joint_from_one_at_the_root():
    seen = picture(believed=2.0)
    seen.xy[:, :, 5] = 0
    missing = type(seen)(seen.xy, seen.believed.clone(), seen.root, seen.size)
    missing.believed[:, :, 5] = False
    plain = oanet(refine=False).eval()
    told = oanet(refine=False, mask_channel=True).eval()
    assert torch.equal(plain(seen).xyz, plain(missing).xyz)
    assert not torch.equal(told(seen).xyz, told(missing).xyz)


def test_the_3d_loss_reaches_the_2d_network():
    network = oanet()
    network(picture()).xyz.square().sum().backward()
    for name, weight in network.tcn_2d.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def test_what_does_not_learn_is_as_in_use():
    network = oanet()
    network.tcn_2d.requires_grad_(False)
    network.train()
    before = {name: value.clone() for name, value in network.tcn_2d.state_dict().items()}
    seen = picture()
    assert torch.equal(network(seen).xy, network(seen).xy)  # no dropout
    assert all(torch.equal(before[name], value) for name, value in network.tcn_2d.state_dict().items())
    network.requires_grad_(True).train()
    assert not torch.equal(network(seen).xy, network(seen).xy)


def test_the_2d_network_alone_gives_what_it_gives_within():
    network = oanet().eval()
    seen = picture()
    assert torch.equal(Refinement(network).eval()(seen), network(seen).xy)


def test_each_side_of_the_duel_learns_from_its_own_verdict_only():
    duel = Duel(oanet())
    seen = picture()
    real = torch.randn(2, 16, 17, 3)
    for verdict, learns, stays in (
        ("answer", duel.oanet, duel.discriminator),
        ("caught", duel.discriminator, duel.oanet),
    ):
        duel.zero_grad()
        _, said = duel(seen, real)
        getattr(said, verdict).sum().backward()
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learns.parameters())
        assert all(weight.grad is None or (weight.grad == 0).all() for weight in stays.parameters())
    _, said = duel.eval()(seen, real)
    assert torch.equal(said.answer, said.caught)
    assert torch.equal(said.real, duel.discriminator(real))
    assert duel(seen)[1] is None
