import numpy as np
import pytest
import torch

from estimator_networks import design, network
from occlupose.codecs.crops import Crop
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend, estimator, load_crop_network
from occlupose.frontends.crops import BoxFrontend
from occlupose.frontends.estimator import BATCH, EstimatorNetwork
from occlupose.frontends.hourglass import HourglassNetwork
from occlupose.media import Frame
from occlupose.networks.estimators import CODECS, load, save
from occlupose.networks.hourglass import StackedHourglass
from occlupose.networks.hourglass import save as save_hourglass
from occlupose.skeletons import COCO17


@pytest.fixture
def saved(tmp_path):
    save(network(design()).state_dict(), design(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def crops(count=3, size=(32, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


def test_joints_are_what_the_codec_reads_from_the_last_maps(saved, monkeypatch):
    """In float32, also where the processor has bf16."""
    monkeypatch.setattr(estimator, "bf16_is_native", lambda kind: False)
    loaded = EstimatorNetwork(saved)
    images = crops(BATCH + 3)
    xy, score = loaded(images)
    assert xy.shape == (BATCH + 3, 17, 2) and score.shape == (BATCH + 3, 17)
    net, about = load(saved)
    mean = np.array([0.485, 0.456, 0.406])
    deviation = np.array([0.229, 0.224, 0.225])
    normal = torch.from_numpy(((images / 255 - mean) / deviation).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        place, height = about.maps.decode(net(normal)[-1])
    np.testing.assert_allclose(xy, place.numpy(), atol=0.05)
    np.testing.assert_allclose(score, height.numpy().clip(0, 1), atol=1e-4)


def test_nobody_to_estimate(saved):
    xy, score = EstimatorNetwork(saved)(crops(0))
    assert xy.shape == (0, 17, 2) and score.shape == (0, 17)


@pytest.mark.parametrize("codec", CODECS)
def test_with_flip_a_mirrored_crop_has_mirrored_joints(tmp_path, codec):
    """The mean of an image's maps and its mirror image's is the same for both, but for the way; MSRA's grid is off by
    part of a cell.
    """
    about = design(codec=codec)
    save(network(about).state_dict(), about, tmp_path / "net.safetensors")
    loaded = EstimatorNetwork(tmp_path / "net.safetensors", flip=True)
    images = crops(4)
    xy, score = loaded(images)
    mirrored, other = loaded(np.ascontiguousarray(images[:, :, ::-1]))
    partners = list(COCO17.mirror)
    if codec == "udp":
        np.testing.assert_allclose(other[:, partners], score, atol=1e-4)
        np.testing.assert_allclose(31 - mirrored[:, partners, 0], xy[..., 0], atol=0.1)
        np.testing.assert_allclose(mirrored[:, partners, 1], xy[..., 1], atol=0.1)
    plain = EstimatorNetwork(tmp_path / "net.safetensors")(images)[1]
    assert not np.allclose(plain, score, atol=1e-3)


def test_files_become_front_ends_by_what_they_say(saved, tmp_path):
    assert isinstance(load_crop_network(saved), EstimatorNetwork)
    hourglass = StackedHourglass(17, stacks=1, width=8, depth=1)
    save_hourglass(hourglass.state_dict(), hourglass, COCO17, Crop(32, 64), tmp_path / "glass.safetensors")
    assert isinstance(load_crop_network(tmp_path / "glass.safetensors"), HourglassNetwork)
    boxes = {0: FrameBoxes(np.array([[10.0, 10, 50, 90], [30, 5, 80, 95]]), np.array([0.9, 0.6]))}
    frontend = build_frontend(saved, boxes=boxes, flip=True)
    assert isinstance(frontend, BoxFrontend) and frontend.skeleton == COCO17
    people = frontend(Frame(0, 0.0, np.zeros((100, 120, 3), np.uint8)))
    assert len(people) == 2 and np.isfinite(people.xy).all()
    with pytest.raises(OccluposeError, match=r"not a keypoint network; give a \.safetensors or an \.onnx file"):
        load_crop_network(tmp_path / "blazepose")
