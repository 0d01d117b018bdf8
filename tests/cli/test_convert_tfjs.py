"""`occlupose convert tfjs`, as a user runs it."""

import hashlib
import json

import numpy as np
import pytest

import tfjs_files as files
from commands import assert_refused, names
from occlupose import files as writing
from occlupose.networks import pretrained

WRITTEN = ["out.json", "out.onnx", "out.safetensors"]


@pytest.fixture
def nanodet(tmp_path):
    """NanoDet as a graph model."""
    return files.write_network(tmp_path, "nanodet_g")


def convert(command, model, *, network="nanodet_g", output="out.safetensors"):
    return command("convert", "tfjs", model, "--model", network, "-o", output)


def test_the_network_of_the_package_is_made_again(command, tmp_path, nanodet, monkeypatch):
    outcome = convert(command, nanodet)
    assert outcome == (0, "out.safetensors: nanodet_g, its graph and card written\n", "")
    here = tmp_path / "here"
    assert names(here) == WRITTEN
    shipped = pretrained.WEIGHTS / "nanodet_g.safetensors"
    assert (here / "out.safetensors").read_bytes() == shipped.read_bytes()
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    expected = pretrained.load("nanodet_g")(picture)
    for path in list(here.iterdir()):
        path.rename(here / path.name.replace("out", "nanodet_g"))
    monkeypatch.setattr(pretrained, "WEIGHTS", here)
    for found, value in zip(pretrained.load("nanodet_g")(picture), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-3)


def test_the_card_says_where_the_weights_are_from(command, tmp_path, nanodet):
    convert(command, nanodet)
    card = json.loads((tmp_path / "here" / "out.json").read_text())
    theirs = json.loads((pretrained.WEIGHTS / "nanodet_g.json").read_text())
    assert card.keys() == theirs.keys()
    for field in ("name", "task", "parameters", "licence", "data"):
        assert card[field] == theirs[field]
    numbers = (tmp_path / "nanodet_g.bin").read_bytes()
    assert card["source"] == {"nanodet_g.bin": hashlib.sha256(numbers).hexdigest()}
    assert card["command"] == f"occlupose convert tfjs {nanodet} --model nanodet_g -o <out.safetensors>"


def no_numbers(model):
    model.with_suffix(".bin").unlink()


def short(model):
    numbers = model.with_suffix(".bin")
    numbers.write_bytes(numbers.read_bytes()[:-2])


def not_json(model):
    model.write_text("# NanoDet\n")


def elsewhere(model):
    model.write_text(model.read_text().replace('"nanodet_g.bin"', '"../nanodet_g.bin"'))


def huge(model):
    text = model.read_text()
    assert text.count('"shape": [3, 3, 3, 32]') == 1
    model.write_text(text.replace('"shape": [3, 3, 3, 32]', '"shape": [2000000000, 2000000000, 3, 32]'))


def negative(model):
    model.write_text(model.read_text().replace('"shape": [3, 3, 3, 32]', '"shape": [-3, -3, 3, 32]'))


def not_finite(model):
    tensors = files.to_tensorflow(files.shipped("nanodet_g"), "nanodet_g")
    tensors["unknown_0"] = np.full(32, np.nan, np.float16)
    files.write(model, tensors)


def another(model):
    files.write(model, {"a": np.zeros(3, np.float32)})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_numbers, ["nanodet_g.bin", "no such file"]),
        (short, ["nanodet_g.bin", "bytes"]),
        (not_json, ["nanodet_g.json", "not a TensorFlow.js graph model"]),
        (elsewhere, ["nanodet_g.json", "'../nanodet_g.bin'", "not a file beside it"]),
        (huge, ["nanodet_g.bin", "bytes"]),
        (negative, ["nanodet_g.json", "not a TensorFlow.js graph model"]),
        (not_finite, ["nanodet_g.json", "unknown_0", "not finite"]),
        (another, ["nanodet_g.json", "not nanodet_g"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_file_that_is_not_the_network_is_refused_and_nothing_is_written(command, tmp_path, nanodet, spoil, words):
    spoil(nanodet)
    assert_refused(convert(command, nanodet), *words)
    assert names(tmp_path / "here") == []


def test_the_output_is_checked_before_anything_is_written(command, tmp_path, nanodet):
    before = {path: path.read_bytes() for path in tmp_path.glob("nanodet_g.*")}
    assert_refused(convert(command, nanodet, output="out.onnx"), "out.onnx", "give a .safetensors file with -o")
    over = tmp_path / "nanodet_g.safetensors"
    assert_refused(convert(command, nanodet, output=over), "nanodet_g.json", "is the input, which is not overwritten")
    assert before == {path: path.read_bytes() for path in tmp_path.glob("nanodet_g.*")}
    assert names(tmp_path / "here") == []


def test_a_folder_that_cannot_be_written(command, tmp_path, nanodet):
    (tmp_path / "here" / "file").write_text("")
    assert_refused(convert(command, nanodet, output="file/out.safetensors"), "cannot be written to")
    assert names(tmp_path / "here") == ["file"]


def test_nothing_half_written_is_left(command, tmp_path, nanodet, monkeypatch):
    """The disk is full when the graph is exported."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "replace", full)
    assert_refused(convert(command, nanodet), "out.onnx", "could not be written")
    assert names(tmp_path / "here") == []
