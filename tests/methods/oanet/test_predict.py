import pytest
import torch
from torch import nn

from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.normalise import normalise_2d
from occlupose.methods.oanet.predict import predict_3d


@pytest.fixture(scope="module")
def oanet():
    torch.manual_seed(0)
    network = OANetNetwork(8).eval()
    nn.init.normal_(network.tcn_3d.out.weight)
    return network


def sequence(time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, 17, 2, generator=generator), torch.rand(time, 17, generator=generator) < 0.8


def test_one_window_gives_the_output_of_the_networks(oanet):
    xy, reliable = sequence(32)
    with torch.inference_mode():
        torch.testing.assert_close(
            predict_3d(oanet, xy, reliable, 32), oanet(normalise_2d(xy[None], reliable[None])).xyz[0]
        )


@pytest.mark.parametrize("time", [1, 3, 8, 31, 33, 64, 100])
def test_any_length(oanet, time):
    output = predict_3d(oanet, *sequence(time), window=32)
    assert output.shape == (time, 17, 3)
    assert output.isfinite().all()


def test_overlapping_windows_are_averaged(oanet):
    xy, reliable = sequence(48)
    whole = predict_3d(oanet, xy, reliable, 32)
    first = predict_3d(oanet, xy[:32], reliable[:32], 32)
    second = predict_3d(oanet, xy[16:], reliable[16:], 32)
    torch.testing.assert_close(whole[:16], first[:16])
    torch.testing.assert_close(whole[16:32], (first[16:] + second[:16]) / 2)
    torch.testing.assert_close(whole[32:], second[16:])


def test_units_do_not_matter(oanet):
    xy, reliable = sequence(40)
    torch.testing.assert_close(
        predict_3d(oanet, 300 * xy + 500, reliable, 32), predict_3d(oanet, xy, reliable, 32), atol=1e-4, rtol=1e-4
    )


def test_nothing_gives_nothing_and_long_sequences_go_in_parts(oanet, monkeypatch):
    assert predict_3d(oanet, torch.zeros(0, 17, 2), torch.zeros(0, 17, dtype=torch.bool)).shape == (0, 17, 3)
    xy, reliable = sequence(200)
    whole = predict_3d(oanet, xy, reliable, 16)
    monkeypatch.setattr("occlupose.methods.oanet.predict.WINDOWS_AT_ONCE", 3)
    torch.testing.assert_close(predict_3d(oanet, xy, reliable, 16), whole)
