import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.weights import shipped
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import predict_3d
from occlupose.methods.oanet.weights import TrainedOANet, is_oanet, load, save


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"refine": False}, {"mask_channel": True}])
def test_what_was_saved_answers_as_before(tmp_path, options):
    torch.manual_seed(0)
    oanet = OANetNetwork(8, **options).eval()
    nn.init.normal_(oanet.tcn_3d.out.weight)
    save(TrainedOANet(oanet, 32, 0.3), path := tmp_path / "oanet.safetensors")
    assert is_oanet(path)
    again = load(path)
    assert (again.window, again.min_confidence) == (32, 0.3)
    xy = torch.randn(40, 17, 2)
    reliable = torch.rand(40, 17) < 0.8
    torch.testing.assert_close(
        predict_3d(again.oanet, xy, reliable, 32), predict_3d(oanet, xy, reliable, 32), atol=2e-2, rtol=1e-2
    )
    assert not again.oanet.training


def test_other_files_are_refused(tmp_path):
    (text := tmp_path / "text.safetensors").write_text("hello")
    for path, reason in (
        (tmp_path / "none.safetensors", "no such file"),
        (text, "not readable"),
        (shipped(), "not the weights of OANet"),
    ):
        assert not is_oanet(path)
        with pytest.raises(
            OccluposeError, match=rf"{path.name}: {reason}.*; give a file that `occlupose train oanet` wrote"
        ):
            load(path)
