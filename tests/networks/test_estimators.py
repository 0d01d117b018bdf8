import csv
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from estimator_networks import design, network
from occlupose.errors import OccluposeError
from occlupose.networks import weights
from occlupose.networks.estimators import (
    CODECS,
    ESTIMATORS,
    build,
    load,
    load_initial_weights,
    normalise_images,
    save,
)
from occlupose.skeletons import CROWDPOSE14, H36M17

ROOT = Path(__file__).parents[2]
SMALL = ("simple_baseline_small", "hrnet_small")


def test_models_go_by_the_names_of_their_functions():
    assert all(function.__name__ == name for name, function in ESTIMATORS.items())
    with pytest.raises(
        OccluposeError,
        match=r"^model hrnet: not known; known are simple_baseline_r50, .*, srpose_w32",
    ):
        build("hrnet")


@pytest.mark.parametrize("model", ESTIMATORS)
def test_maps_are_a_quarter_of_the_image(model):
    """And those of SRPose as large as the image, after coarser ones."""
    crop = (96, 160)
    width, height = crop
    with torch.device("meta"):
        maps = build(model, 14, crop=crop)(torch.empty(2, 3, height, width))
    assert isinstance(maps, tuple)
    quarter = (2, 14, height // 4, width // 4)
    expected = (
        [(2, 14, height // 32, width // 32), quarter, quarter, quarter, (2, 14, height, width)]
        if model == "srpose_w32"
        else [quarter]
    )
    assert [tuple(each.shape) for each in maps] == expected


@pytest.mark.parametrize("model", SMALL)
def test_every_weight_of_the_small_ones_learns(model):
    torch.manual_seed(0)
    network = build(model)
    (maps,) = network(torch.randn(4, 3, 128, 96))
    (maps - 1).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("model", SMALL)
def test_the_small_ones_can_learn_where_a_spot_is(model):
    """A few steps on one batch take the maps from nothing to most of what they should be."""
    torch.manual_seed(0)
    network = build(model, 1)
    place = torch.stack([torch.randint(2, 14, (4,)), torch.randint(2, 14, (4,))], -1)
    images = torch.zeros(4, 3, 64, 64)
    truth = torch.zeros(4, 1, 16, 16)
    for number, (x, y) in enumerate(place):
        images[number, :, 4 * y - 4 : 4 * y + 8, 4 * x - 4 : 4 * x + 8] = 1
        truth[number, 0, y - 1 : y + 2, x - 1 : x + 2] = 1
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = (network(images)[-1] - truth).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("model", [*SMALL, "srpose_w32", "vitpose_s"])
def test_channels_last_changes_nothing(model):
    torch.manual_seed(0)
    network = build(model, crop=(64, 64)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        one = network(images)
        other = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * a.abs().max().item(), rtol=1e-3)


def test_images_are_normalised_as_imagenet_is():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 6, 4, 3), dtype=torch.uint8, generator=generator)
    ready = normalise_images(images)
    assert ready.shape == (2, 3, 6, 4) and ready.dtype == torch.float32
    assert ready.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        torch.testing.assert_close(
            ready[:, channel], (images[..., channel] / 255 - mean) / deviation, atol=1e-5, rtol=1e-5
        )


@pytest.fixture
def saved(tmp_path):
    save(network(design()).state_dict(), design(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


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
        match=r"net\.safetensors: weights of hrnet_small; give --recipe hrnet_small, or weights of simple",
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
    weights.save(
        network(design()).state_dict(), design().header() | {"part": "whole"} | wrong, tmp_path / "net.safetensors"
    )
    with pytest.raises(OccluposeError, match="not readable as weights of an estimator"):
        load(tmp_path / "net.safetensors")


def test_no_such_model():
    with pytest.raises(OccluposeError, match=r"model hrnet_w99: not known; known are .*hrnet_w32"):
        replace(design(), model="hrnet_w99")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # where its own neighbour `results` is
    return import_module("estimators")


def table(benchmark, models):
    return [dict(zip(benchmark.COLUMNS, row, strict=True)) for row in benchmark.rows(models)]


def test_they_are_as_large_as_published(benchmark):
    models = ("simple_baseline_r152", "hrnet_w32", "hrnet_w48", "vitpose_b", "srpose_w32")
    counted = {(row["model"], row["convention"]): row for row in table(benchmark, models)}
    for model, convention, parameters, work in (
        ("simple_baseline_r152", "authors", 68.6, 15.7),
        ("hrnet_w32", "authors", 28.5, 7.1),
        ("hrnet_w32", "mmpose", 28.54, 7.7),
        ("hrnet_w48", "authors", 63.6, 14.6),
        ("vitpose_b", "transformer", 86, None),
        ("vitpose_b", "layers", 89.99, 17.85),
        ("srpose_w32", "mmpose", 29.95, 8.28),
    ):
        row = counted[model, convention]
        assert float(row["parameters_counted_m"]) == pytest.approx(parameters, rel=0.01)
        assert work is None or float(row["multiply_adds_counted_g"]) == pytest.approx(work, rel=0.01)


def test_work_is_counted_right(benchmark):
    """By hand: an ordinary and a transposed convolution, and the latter as the authors' code counts it."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, 2, 1), torch.nn.ConvTranspose2d(5, 7, 4, 2, 1)).to("meta")
    cells = 128 * 96
    counted = benchmark.multiply_adds(network)
    assert counted["Global"] == 3 * 5 * 9 * cells + 5 * 7 * 16 * cells
    _, work = benchmark.authors(network, counted)
    assert work * 2**30 == 3 * 5 * 9 * cells + 5 * 7 * 16 * 4 * cells


@pytest.mark.slow
def test_the_committed_table_is_of_these_networks(benchmark):
    with (ROOT / "benchmarks" / "results" / "estimators.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == table(benchmark, ESTIMATORS), "run: python benchmarks/estimators.py"
