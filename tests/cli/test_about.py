"""What `occlupose doctor` prints for a bug report, and what it finds wrong."""

import hashlib
import json
import re
import shutil
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import occlupose
from commands import caller
from occlupose.cli import checks
from occlupose.errors import OccluposeError


@pytest.fixture
def doctor(monkeypatch, capsys):
    call = caller(monkeypatch, lambda: tuple(capsys.readouterr()))

    def flat(code=0):
        outcome = call("doctor")
        assert (outcome.code, outcome.err) == (code, "")
        return re.sub(r"[│\s]+", " ", outcome.out)

    return flat


def test_it_needs_neither_network_nor_cache(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    text = doctor()
    assert not (tmp_path / "cache").exists()
    for words in (
        f"occlupose {occlupose.__version__}",
        f"torch {version('torch')}",
        "torchvision",
        "onnxruntime",
        "moderngl",
        "FFmpeg libavformat",
        "Apache-2.0; not fetched",
        "cache not there yet",
        "cpu (",
    ):
        assert words in text
    assert text.count(" ok ") == len(checks.CHECKS) + len(checks.EXTRAS) and "FAILED" not in text


def test_all_shipped_weights_are_listed_and_nothing_is_cut(doctor):
    text = doctor()
    cards = sorted((Path(occlupose.__file__).parent / "weights").glob("*.safetensors"))
    assert len(cards) >= 4
    for path in cards:
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["name"] in text and card["licence"] in text
    assert "…" not in text


def make_file(folder):
    folder.write_text("a file")
    return "not a directory"


def make_loop(folder):
    folder.symlink_to(folder)
    return "too many levels of symbolic links"


@pytest.mark.parametrize("make", [make_file, make_loop])
def test_a_cache_that_cannot_be_read_is_a_line(doctor, monkeypatch, tmp_path, make):
    reason = make(tmp_path / "cache")
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    text = doctor(1)
    assert f"cache cannot be read ({reason})" in text
    assert "set OCCLUPOSE_CACHE to a folder that can" in text


def test_a_check_that_fails_is_a_line_with_its_cure(doctor, monkeypatch):
    def fail():
        raise RuntimeError("no encoder\nof that name")

    monkeypatch.setitem(checks.CHECKS, "a video can be written and read", fail)
    assert "FAILED RuntimeError: no encoder of that name; pip install --force-reinstall" in doctor(1)


# ------------------------------------------------------------------------------------------ the checks


def test_the_sums_are_those_of_all_weights():
    files = sorted(path.name for path in checks.WEIGHTS.iterdir() if path.suffix in (".safetensors", ".onnx"))
    lines = [f"{hashlib.sha256((checks.WEIGHTS / name).read_bytes()).hexdigest()}  {name}" for name in files]
    assert checks.SUMS.read_text().splitlines() == lines, "sha256sum *.onnx *.safetensors > SHA256SUMS, by name"


@pytest.mark.parametrize("break_file", [lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), Path.unlink])
def test_weights_that_are_not_the_shipped_ones_are_named(tmp_path, monkeypatch, break_file):
    for path in (checks.SUMS, *checks.WEIGHTS.glob("*.onnx")):
        shutil.copy(path, tmp_path)
    lines = [line for line in checks.SUMS.read_text().splitlines() if line.endswith(".onnx")]
    (tmp_path / "SHA256SUMS").write_text("\n".join(lines))
    monkeypatch.setattr(checks, "WEIGHTS", tmp_path)
    monkeypatch.setattr(checks, "SUMS", tmp_path / "SHA256SUMS")
    assert checks.check_weights() == f"{len(lines)} files"
    break_file(tmp_path / "nanodet_g.onnx")
    with pytest.raises(OccluposeError, match=r"nanodet_g\.onnx: .*; pip install --force-reinstall"):
        checks.check_weights()


def test_networks_load_and_a_video_is_read_as_it_was_written():
    assert "movenet_occlusion" in checks.check_networks()
    assert checks.check_video() == "3 frames"


def test_a_lift_that_is_wrong_is_told(monkeypatch):
    assert re.fullmatch(r"joints within \d+ mm of where they are", checks.check_lift())
    monkeypatch.setattr(checks, "STANDING", checks.STANDING | {"wrist": (0.24, 0.08, -2.5)})  # as seen from the front
    with pytest.raises(OccluposeError, match=r"joints are \d+ mm off"):
        checks.check_lift()


def test_more_threads_than_processors_are_told(monkeypatch):
    assert " processors" in checks.check_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 999)
    with pytest.raises(
        OccluposeError, match=r"999 threads on \d+ processors wait for each other; set OMP_NUM_THREADS=\d+"
    ):
        checks.check_threads()


def test_the_command_that_installs_an_extra_is_shown_whole(doctor, monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", {})
    monkeypatch.setattr(checks, "EXTRAS", {"gltf": "no_module_of_that_name"})
    assert "pip install '.[gltf]' in a clone" in doctor()


def test_extras_are_those_of_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert list(checks.EXTRAS) == [name for name in project["optional-dependencies"] if name != "dev"]


def test_an_extra_works_or_is_broken_or_comes_with_its_command(tmp_path, monkeypatch):
    assert checks.check_extra("hdf5") == "h5py can be imported"
    monkeypatch.setitem(checks.EXTRAS, "gltf", "no_module_of_that_name")
    assert checks.check_extra("gltf") == "not installed; pip install '.[gltf]' in a clone of occlupose"
    (tmp_path / "broken_extra.py").write_text("import no_module_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(checks.EXTRAS, "gltf", "broken_extra")
    with pytest.raises(OccluposeError, match=r"no_module_of_that_name.*; pip install --force-reinstall broken_extra"):
        checks.check_extra("gltf")
