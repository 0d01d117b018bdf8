import numpy as np
import pytest
import torch

from hourglass_networks import ARMS, CROP, network
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import BoxFrontend
from occlupose.frontends.hourglass import BATCH, HourglassNetwork
from occlupose.media import Frame
from occlupose.networks.hourglass import load, save


@pytest.fixture
def saved(tmp_path):
    save(network().state_dict(), network(), ARMS, CROP, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def crops(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 32, 3), dtype=np.uint8)


def test_joints_are_the_peaks_of_the_last_stack(saved):
    loaded = HourglassNetwork(saved)
    xy, score = loaded(crops())
    with torch.inference_mode():
        maps = load(saved)[0](torch.from_numpy(crops()))[-1]
    expected = Heatmaps(CROP).decode(maps.numpy())
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


def test_a_device_that_is_not_there_is_refused(saved):
    with pytest.raises(OccluposeError, match=r"^device nosuch: torch cannot use it here"):
        HourglassNetwork(saved, device="nosuch")
