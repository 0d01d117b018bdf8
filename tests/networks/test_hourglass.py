import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from hourglass_networks import ARMS, CROP, network
from occlupose.errors import OccluposeError
from occlupose.networks.hourglass import INITIAL_VALUE, Hourglass, Residual, StackedHourglass, load, save


def small(**options):
    torch.manual_seed(0)
    return StackedHourglass(5, **{"stacks": 2, "width": 16, "depth": 2} | options)


def images(*shape, seed=0):
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("stacks", "millions"), [(2, 6.73), (8, 25.59)])
def test_the_size_is_the_published_one(stacks, millions):
    """For the 16 joints of MPII. 25.59 M is in the table of results of yuanyuanli85/Fast_Human_Pose_Estimation_Pytorch,
    for the 8 stacks of bearpaw/pytorch-pose; 6.73 M is what is quoted for 2 stacks of the same."""
    with torch.device("meta"):
        network = StackedHourglass(16, stacks=stacks)
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("stacks", "depth", "height", "width"), [(1, 1, 8, 16), (2, 2, 32, 16), (3, 4, 64, 128)])
def test_each_stack_has_maps_of_a_quarter_of_the_image_size(stacks, depth, height, width):
    maps = small(stacks=stacks, depth=depth)(images(2, height, width))
    assert maps.shape == (stacks, 2, 5, height // 4, width // 4)
    assert ((maps > 0) & (maps < 1)).all()


def test_maps_are_near_zero_before_training():
    maps = small().train()(images(4, 64, 64))
    assert maps.median().item() == pytest.approx(INITIAL_VALUE, rel=0.5)


def test_every_weight_learns_from_the_stacks_behind_it():
    network = small()
    network(images(2, 32, 32)).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
    network.zero_grad()
    network(images(2, 32, 32))[0].square().sum().backward()
    silent = {name.rsplit(".", 2)[0] for name, value in network.named_parameters() if not value.grad.any()}
    assert {"stacks.0.onward", "stacks.1"} <= silent and "stacks.0" not in silent and "stem" not in silent


def test_the_receptive_field_of_an_hourglass_grows_with_its_depth():
    """A change in one corner reaches the other only by way of the small end."""
    torch.manual_seed(0)
    x = torch.randn(1, 8, 64, 64)
    other = x.clone()
    other[..., :4, :4] += 1
    reached = []
    for depth in (1, 4):
        hourglass = Hourglass(8, depth).eval()
        changed = (hourglass(x) - hourglass(other)).abs().amax((0, 1)) > 1e-7
        reached.append(changed.nonzero().amax().item())
    assert reached[0] < 20 and reached[1] == 63


def test_a_residual_block_adds_to_its_input():
    block = Residual(4, 4)
    torch.nn.init.zeros_(block.blocks[-1].weight)
    torch.nn.init.zeros_(block.blocks[-1].bias)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert Residual(4, 6)(x).shape == (2, 6, 5, 5)


@pytest.fixture
def saved(tmp_path):
    save(network().state_dict(), network(), ARMS, CROP, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_a_network_comes_back_with_what_is_needed_to_use_it(saved):
    net, skeleton, crop = load(saved)
    assert (skeleton, crop) == (ARMS, CROP)
    assert (len(net.stacks), net.width, net.depth, net.joints, net.training) == (2, 8, 2, 3, False)
    original = network().state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, original[name].half().float() if value.ndim > 1 else original[name]), name


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    save(network().state_dict(), network(), ARMS, CROP, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def refused(path):
    with pytest.raises(OccluposeError) as refusal:
        load(path)
    message = str(refusal.value)
    assert (
        message.startswith(f"{path}: ")
        and message.endswith("; give a file that `occlupose train keypoints` wrote")
        and "\n" not in message
    )
    return message


def test_other_files_are_refused(saved, tmp_path):
    assert "no such file" in refused(tmp_path / "none.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert "not the weights of a stacked hourglass" in refused(tmp_path / "other.safetensors")
    saved.write_bytes(saved.read_bytes()[:500])
    assert "not readable" in refused(saved)
    (tmp_path / "card.safetensors").write_text(json.dumps({}))
    assert "not readable" in refused(tmp_path / "card.safetensors")


HEADER = {
    "format": "occlupose hourglass 1",
    "skeleton": ARMS.name,
    "stacks": "2",
    "width": "8",
    "depth": "2",
    "crop_width": "32",
    "crop_height": "48",
    "crop_padding": "1.5",
}


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in HEADER if name != "format"),
        {"skeleton": "centaur"},
        {"skeleton": "coco17"},
        {"stacks": "3"},
        {"stacks": "two"},
        {"width": "16"},
        {"crop_width": "36"},
        {"crop_padding": "0"},
    ],
)
def test_headers_that_do_not_fit_are_refused(saved, change):
    tensors = load_file(saved)
    save_file(tensors, saved, HEADER)
    load(saved)
    save_file(tensors, saved, {name: value for name, value in (HEADER | change).items() if value is not None})
    assert re.search("not readable|do not match", refused(saved))
