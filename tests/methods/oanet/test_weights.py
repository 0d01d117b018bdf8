import pickle
import resource
import stat

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from occlupose.errors import OccluposeError
from occlupose.methods.oanet import weights
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays


def lifter(width=8, depth=2, seed=0):
    torch.manual_seed(seed)
    net = OANetNetwork(width, depth, encoder=MaskedEncoder(16))
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net


@pytest.fixture
def saved(tmp_path):
    weights.save(lifter().state_dict(), lifter(), tmp_path / "lifter.safetensors")
    return tmp_path / "lifter.safetensors"


def refused(path):
    with pytest.raises(OccluposeError) as refusal:
        weights.load(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith("give a file that `occlupose train oanet` wrote")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_weights_come_back_as_they_went_to_half_precision(tmp_path, depth):
    original = lifter(depth=depth)
    path = tmp_path / "lifter.safetensors"
    weights.save(original.state_dict(), original, path)
    net = weights.load(path)
    assert (net.width, net.depth) == (8, depth)
    assert not net.training
    assert net.state_dict().keys() == original.state_dict().keys()
    for name, value in original.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(net.state_dict()[name], expected), name
        assert net.state_dict()[name].dtype == expected.dtype
    rays = 0.1 * torch.randn(1, 16, 17, 2)
    inputs = net.encoder(rays, torch.rand(1, 16, 17) < 0.7)
    ours = net(inputs)
    theirs = original.eval()(inputs)
    for name in ("xy", "xyz"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=0.01, rtol=0.01)


@pytest.mark.parametrize(
    "options", [{}, {"depth": 1}, {"refine": False}, {"encoder": MaskedEncoder(32, 0.5, mask_channel=True)}]
)
def test_networks_answer_as_before(tmp_path, options):
    torch.manual_seed(0)
    oanet = OANetNetwork(8, **{"encoder": MaskedEncoder(32)} | options).eval()
    torch.nn.init.normal_(oanet.tcn_3d.out.weight)
    weights.save(oanet.state_dict(), oanet, path := tmp_path / "oanet.safetensors")
    again = weights.load(path)
    assert again.encoder == oanet.encoder
    rays = torch.randn(40, 1, 17, 2).numpy()
    reliable = (torch.rand(40, 1, 17) < 0.8).numpy()
    outputs = [lift_rays(network, rays, reliable, 30.0) for network in (again, oanet)]
    np.testing.assert_allclose(*outputs, atol=2e-2, rtol=1e-2)
    assert not again.training


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    for _ in range(5):
        weights.save(lifter().state_dict(), lifter(), tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_whoever_may_read_new_files_may_read_weights(saved):
    (other := saved.with_name("other")).touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_missing_files_and_folders_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "none.safetensors")
    assert "not readable" in refused(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_files_cut_short_are_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    assert "not readable" in refused(saved)


def test_pickles_are_refused_and_not_run(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(lifter().state_dict(), path)
    assert "not readable" in refused(path)

    class Trap:
        def __reduce__(self):
            return (path.with_name("sprung").write_text, ("",))

    path.write_bytes(pickle.dumps(Trap()))
    assert "not readable" in refused(path)
    assert not path.with_name("sprung").exists()


def test_other_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    for header in (None, {"format": "pt"}, {"format": "occlupose lifter 1", "width": "8", "depth": "1"}):
        save_file({"weight": torch.zeros(3)}, path, header)
        assert "not the weights of OANet" in refused(path)


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"width": None},
        {"width": "eight"},
        {"width": "16"},
        {"width": "-8"},
        {"depth": "1"},
        {"refine": "0"},
        {"mask_channel": "17"},
        {"mask_channel": "3"},
        {"length": "15"},
        {"least": "1.5"},
    ],
)
def test_headers_that_do_not_fit_the_weights_are_refused(tmp_path, change):
    path = tmp_path / "odd.safetensors"
    header = {"format": weights.FORMAT}
    if change is not None:
        header = {name: value for name, value in (weights.header(lifter()) | change).items() if value is not None}
    save_file({name: value.half() for name, value in lifter().state_dict().items()}, path, header)
    assert "not readable" in refused(path)


@pytest.mark.parametrize("change", ["less", "more", "another name", "another shape"])
def test_tensors_of_another_network_are_refused(tmp_path, change):
    path = tmp_path / "odd.safetensors"
    name = "tcn_2d.middle.0.blocks.0.0.weight"
    tensors = {key: value.half() for key, value in lifter().state_dict().items()}
    value = tensors.pop(name)
    more = {
        "less": {},
        "more": {name: value, "extra": value.clone()},
        "another name": {name.replace("middle", "middle.0"): value},
    }
    more["another shape"] = {name: value[:, :-1].contiguous()}
    save_file(tensors | more[change], path, weights.header(lifter()))
    assert "not readable" in refused(path)


def test_a_full_disk_leaves_no_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OccluposeError, match=r"full\.safetensors: could not be written"):
            weights.save(lifter().state_dict(), lifter(), tmp_path / "full.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
