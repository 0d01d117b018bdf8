import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from occlupose.methods.oanet import predict
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays

WINDOW = 128
"""Frames that the networks of these tests take at once."""

SEEDS = st.integers(0, 2**32 - 1)


def lifter(seed=0):
    """A lifter with a non-zero output, as after training."""
    torch.manual_seed(seed)
    net = OANetNetwork(8, encoder=MaskedEncoder(window=WINDOW))
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


LIFTER = lifter()


def people(count=1, seconds=2.0, fps=30.0, seed=0):
    """(time, person, 17, 2) rays of people who move smoothly."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps))[:, None, None, None] / fps
    rest = random.normal(0, (0.05, 0.1), (count, 17, 2)) + random.uniform(-0.4, 0.4, (count, 1, 2))
    swing = 0.02 * np.sin(random.uniform(1, 4, (count, 17, 2)) * time + random.uniform(0, 6, (count, 17, 2)))
    return (rest + swing + 0.1 * np.sin(0.5 * time)).astype(np.float32)


def random_mask(rays, share=1.0, seed=0):
    return np.random.default_rng(seed).random(rays.shape[:3]) < share


def test_lifting_does_not_change_the_network():
    before = {name: value.clone() for name, value in LIFTER.state_dict().items()}
    rays = people()
    first = lift_rays(LIFTER, rays, random_mask(rays, 0.5), 30)
    second = lift_rays(LIFTER, rays, random_mask(rays, 0.5), 30)
    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in LIFTER.state_dict().items())
    assert all(parameter.grad is None for parameter in LIFTER.parameters())


@pytest.fixture(scope="module")
def oanet():
    torch.manual_seed(0)
    network = OANetNetwork(8, encoder=MaskedEncoder(window=32)).eval()
    nn.init.normal_(network.tcn_3d.out.weight)
    return network


def predict_3d(oanet, xy, reliable):
    """Root-relative joints of one person at 30 frames per second."""
    return torch.from_numpy(lift_rays(oanet, xy[:, None].numpy(), reliable[:, None].numpy(), 30.0)[:, 0])


def sequence(time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, 17, 2, generator=generator), torch.rand(time, 17, generator=generator) < 0.8


def test_one_window_gives_the_output_of_the_networks(oanet):
    xy, reliable = sequence(32)
    with torch.inference_mode():
        torch.testing.assert_close(
            predict_3d(oanet, xy, reliable), oanet(oanet.encoder(xy[None], reliable[None])).xyz[0]
        )


@pytest.mark.parametrize("time", [1, 3, 8, 31, 33, 64, 100])
def test_any_length_in_windows(oanet, time):
    output = predict_3d(oanet, *sequence(time))
    assert output.shape == (time, 17, 3)
    assert output.isfinite().all()


def test_overlapping_windows_are_averaged(oanet):
    xy, reliable = sequence(48)
    whole = predict_3d(oanet, xy, reliable)
    first = predict_3d(oanet, xy[:32], reliable[:32])
    second = predict_3d(oanet, xy[16:], reliable[16:])
    torch.testing.assert_close(whole[:16], first[:16])
    torch.testing.assert_close(whole[16:32], (first[16:] + second[:16]) / 2)
    torch.testing.assert_close(whole[32:], second[16:])


def test_units_do_not_matter(oanet):
    xy, reliable = sequence(40)
    torch.testing.assert_close(
        predict_3d(oanet, 300 * xy + 500, reliable), predict_3d(oanet, xy, reliable), atol=1e-4, rtol=1e-4
    )


def test_nothing_gives_nothing_and_long_sequences_go_in_parts(oanet, monkeypatch):
    assert predict_3d(oanet, torch.zeros(0, 17, 2), torch.zeros(0, 17, dtype=torch.bool)).shape == (0, 17, 3)
    xy, reliable = sequence(200)
    whole = predict_3d(oanet, xy, reliable)
    monkeypatch.setattr(predict, "WINDOWS_AT_ONCE", 3)
    torch.testing.assert_close(predict_3d(oanet, xy, reliable), whole)
