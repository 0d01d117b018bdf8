import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import BoxFrontend
from occlupose.frontends.hourglass import BATCH, HourglassNetwork, load, save
from occlupose.media import Frame
from occlupose.networks.hourglass import StackedHourglass
from occlupose.skeletons import COCO17

SHOWN = Crop(32, 48, padding=1.5)
ARMS = COCO17.subset(("nose", "left_wrist", "right_wrist"))


def network(skeleton=ARMS, stacks=2):
    """Random, and by no means dark."""
    torch.manual_seed(0)
    net = StackedHourglass(len(skeleton), stacks=stacks, width=8, depth=2)
    with torch.no_grad():
        net(torch.randint(0, 256, (8, 48, 32, 3), dtype=torch.uint8))  # its normalisation has seen something
        for stack in net.stacks:
            torch.nn.init.normal_(stack.maps.weight)
            torch.nn.init.zeros_(stack.maps.bias)
    return net.eval()


@pytest.fixture
def saved(tmp_path):
    save(network().state_dict(), network(), ARMS, SHOWN, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def crops(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 32, 3), dtype=np.uint8)


def test_a_network_comes_back_with_what_is_needed_to_use_it(saved):
    net, skeleton, crop = load(saved)
    assert (skeleton, crop) == (ARMS, SHOWN)
    assert (len(net.stacks), net.width, net.depth, net.joints, net.training) == (2, 8, 2, 3, False)
    original = network().state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, original[name].half().float() if value.ndim > 1 else original[name]), name


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    save(network().state_dict(), network(), ARMS, SHOWN, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_joints_are_the_peaks_of_the_last_stack(saved):
    loaded = HourglassNetwork(saved)
    xy, score = loaded(crops())
    with torch.inference_mode():
        maps = load(saved)[0](torch.from_numpy(crops()))[-1]
    expected = Heatmaps(SHOWN).decode(maps.numpy())
    np.testing.assert_array_equal(xy, expected[0])
    np.testing.assert_array_equal(score, expected[1])


def test_any_number_of_people_is_estimated_in_batches(saved):
    loaded = HourglassNetwork(saved)
    many = crops(2 * BATCH + 1)
    xy, score = loaded(many)
    assert xy.shape == (2 * BATCH + 1, 3, 2)
    one_by_one = [loaded(many[row : row + 1]) for row in (0, BATCH, 2 * BATCH)]
    np.testing.assert_allclose(
        score[[0, BATCH, 2 * BATCH]], np.concatenate([score for _, score in one_by_one]), atol=1e-5
    )
    xy, score = loaded(many[:0])
    assert xy.shape == (0, 3, 2) and score.shape == (0, 3)


def test_with_mirror_images_the_mirrored_person_has_the_mirrored_joints(saved):
    """Left and right change sides and names."""
    xy, score = HourglassNetwork(saved, flip=True)(crops())
    mirrored, mirrored_score = HourglassNetwork(saved, flip=True)(crops()[:, :, ::-1].copy())
    np.testing.assert_allclose(mirrored_score[:, [0, 2, 1]], score, atol=1e-5)
    np.testing.assert_allclose(mirrored[:, [0, 2, 1]] * [-1, 1] + [31, 0], xy, atol=0.01)
    plain, _ = HourglassNetwork(saved)(crops())
    assert np.abs(plain - xy).max() > 1


def test_build_runs_it_in_boxes(saved):
    box = np.array([[20.0, 30, 60, 90]])
    loaded = build_frontend(saved, boxes={0: FrameBoxes(box, np.array([0.8]))}, flip=True)
    assert isinstance(loaded, BoxFrontend) and loaded.skeleton == ARMS and loaded.name == str(saved)
    people = loaded(Frame(0, 0.0, np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)))
    assert people.xy.shape == (1, 3, 2)
    margin = 0.5 * (box[:, 2:] - box[:, :2])
    assert ((people.xy[0] >= box[:, :2] - margin) & (people.xy[0] <= box[:, 2:] + margin)).all()


def refused(path):
    with pytest.raises(OccluposeError) as refusal:
        HourglassNetwork(path)
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


def test_a_device_that_is_not_there_is_refused(saved):
    with pytest.raises(OccluposeError, match=r"^device nosuch: torch cannot use it here"):
        HourglassNetwork(saved, device="nosuch")
