import pytest
import torch
from torch import nn

from occlupose.methods.oanet.network import OANet
from occlupose.methods.oanet.picture import frame
from occlupose.methods.oanet.predict import predict


@pytest.fixture(scope="module")
def oanet():
    torch.manual_seed(0)
    network = OANet(8).eval()
    nn.init.normal_(network.tcn_3d.out.weight)
    return network


def sequence(time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, 17, 2, generator=generator), torch.rand(time, 17, generator=generator) < 0.8


def test_a_window_is_answered_as_the_networks_do(oanet):
    xy, believed = sequence(32)
    with torch.inference_mode():
        torch.testing.assert_close(predict(oanet, xy, believed, 32), oanet(frame(xy[None], believed[None])).xyz[0])


@pytest.mark.parametrize("time", [1, 3, 8, 31, 33, 64, 100])
def test_any_length(oanet, time):
    answer = predict(oanet, *sequence(time), length=32)
    assert answer.shape == (time, 17, 3)
    assert answer.isfinite().all()


def test_overlapping_windows_are_averaged(oanet):
    xy, believed = sequence(48)
    whole = predict(oanet, xy, believed, 32)
    first, second = (predict(oanet, xy[part], believed[part], 32) for part in (slice(0, 32), slice(16, 48)))
    torch.testing.assert_close(whole[:16], first[:16])
    torch.testing.assert_close(whole[16:32], (first[16:] + second[:16]) / 2)
    torch.testing.assert_close(whole[32:], second[16:])


def test_units_do_not_matter(oanet):
    xy, believed = sequence(40)
    torch.testing.assert_close(
        predict(oanet, 300 * xy + 500, believed, 32), predict(oanet, xy, believed, 32), atol=1e-4, rtol=1e-4
    )


def test_nothing_gives_nothing_and_long_sequences_go_in_parts(oanet, monkeypatch):
    assert predict(oanet, torch.zeros(0, 17, 2), torch.zeros(0, 17, dtype=torch.bool)).shape == (0, 17, 3)
    xy, believed = sequence(200)
    whole = predict(oanet, xy, believed, 16)
    monkeypatch.setattr("occlupose.methods.oanet.predict.AT_ONCE", 3)
    torch.testing.assert_close(predict(oanet, xy, believed, 16), whole)
