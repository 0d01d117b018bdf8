from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.codecs.crops import Crop
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend, estimator, load_crop_network
from occlupose.frontends.crops import BoxFrontend
from occlupose.frontends.estimator import (
    BATCH,
    CODECS,
    EstimatorDesign,
    EstimatorNetwork,
    load,
    load_initial_weights,
    save,
)
from occlupose.frontends.hourglass import HourglassNetwork
from occlupose.frontends.hourglass import save as save_hourglass
from occlupose.media import Frame
from occlupose.networks.hourglass import StackedHourglass
from occlupose.skeletons import COCO17, CROWDPOSE14, H36M17


def design(model="hrnet_small", skeleton=COCO17, codec="udp", size=(32, 64)):
    grid = {"udp": "corners", "msra": "stride"}[codec]
    return EstimatorDesign(model, skeleton, CODECS[codec](Crop(*size, grid=grid), 4, 1.5))


def network(about, seed=0):
    """Random, and by no means dark."""
    torch.manual_seed(seed)
    net = about.build()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
    torch.nn.init.normal_(net.head.final_layer.weight)
    return net.eval()


@pytest.fixture
def saved(tmp_path):
    save(network(design()).state_dict(), design(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def crops(count=3, size=(32, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("model", ["hrnet_small", "simple_baseline_small", "vitpose_s"])
def test_a_network_comes_back_with_what_is_needed_to_use_it(tmp_path, model, codec):
    about = design(model, CROWDPOSE14, codec)
    torch.manual_seed(0)
    original = about.build().state_dict()
    save(original, about, tmp_path / "net.safetensors")
    net, read = load(tmp_path / "net.safetensors")
    assert read == about and not net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, original[name].half().float() if value.ndim > 1 else original[name]), name


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


def test_a_backbone_alone_finds_no_joints_but_begins_a_training(tmp_path):
    full = network(design())
    backbone = {name: value for name, value in full.state_dict().items() if name.startswith("backbone.")}
    save(backbone, design(), tmp_path / "backbone.safetensors")
    with pytest.raises(
        OccluposeError, match=r"backbone\.safetensors: a backbone alone.*; train it: occlupose train ljof --init-from"
    ):
        load(tmp_path / "backbone.safetensors")
    fresh = network(design(skeleton=CROWDPOSE14), seed=1)
    before = fresh.head.final_layer.weight.clone()
    summary = load_initial_weights(fresh, design(skeleton=CROWDPOSE14), tmp_path / "backbone.safetensors")
    assert summary == f"{len(backbone)} of {len(full.state_dict())} tensors of backbone.safetensors"
    assert torch.equal(fresh.head.final_layer.weight, before)
    assert torch.equal(fresh.backbone.conv1.weight, full.backbone.conv1.weight.half().float())


def test_weights_for_other_joints_begin_all_but_the_last_layer(saved):
    fresh = network(design(skeleton=CROWDPOSE14), seed=1)
    full = network(design())
    before = fresh.head.final_layer.weight.clone()
    load_initial_weights(fresh, design(skeleton=CROWDPOSE14), saved)
    assert torch.equal(fresh.head.final_layer.weight, before)
    assert torch.equal(fresh.backbone.conv1.weight, full.backbone.conv1.weight.half().float())


def test_other_joints_are_other_joints_even_if_they_are_as_many(tmp_path):
    about = design(skeleton=H36M17)
    save(network(about).state_dict(), about, tmp_path / "net.safetensors")
    fresh = network(design(), seed=1)
    before = fresh.head.final_layer.weight.clone()
    assert "tensors of net.safetensors" in load_initial_weights(fresh, design(), tmp_path / "net.safetensors")
    assert torch.equal(fresh.head.final_layer.weight, before)


def test_weights_of_another_model_or_for_another_crop_are_refused(saved, tmp_path):
    other = design("simple_baseline_small")
    with pytest.raises(
        OccluposeError,
        match=r"net\.safetensors: weights of hrnet_small; give --model hrnet_small, or weights of simple",
    ):
        load_initial_weights(other.build(), other, saved)
    vit = design("vitpose_s")
    larger = design("vitpose_s", size=(64, 64))
    save(vit.build().state_dict(), vit, tmp_path / "vit.safetensors")
    with pytest.raises(
        OccluposeError, match=r"vit\.safetensors: backbone\.pos_embed is .*; give weights for crops of this size"
    ):
        load_initial_weights(larger.build(), larger, tmp_path / "vit.safetensors")


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_other_files_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(OccluposeError, match=r"net\.safetensors: .*; give a file that `occlupose train ljof` wrote"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    "wrong", [{"model": "hrnet_w99"}, {"codec": "simcc"}, {"stride": "0"}, {"grid": "hexagons"}, {"skeleton": "cat20"}]
)
def test_a_header_that_cannot_be_is_refused(tmp_path, wrong):
    from occlupose.networks import weights

    weights.save(
        network(design()).state_dict(), design().header() | {"part": "whole"} | wrong, tmp_path / "net.safetensors"
    )
    with pytest.raises(OccluposeError, match="not readable as weights of an estimator"):
        load(tmp_path / "net.safetensors")


def test_no_such_model():
    with pytest.raises(OccluposeError, match=r"model hrnet_w99: not known; known are .*hrnet_w32"):
        replace(design(), model="hrnet_w99")
