"""What `occlupose doctor` prints for a bug report."""

import json
import re
from pathlib import Path

import pytest
import torch

import occlupose
from commands import caller
from occlupose.cli import about


@pytest.fixture
def doctor(monkeypatch, capsys):
    call = caller(monkeypatch, lambda: tuple(capsys.readouterr()))

    def flat():
        outcome = call("doctor")
        assert (outcome.code, outcome.err) == (0, "")
        return re.sub(r"[│\s]+", " ", outcome.out)

    return flat


def test_it_needs_neither_network_nor_cache(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    text = doctor()
    assert not (tmp_path / "cache").exists()
    for words in (
        f"occlupose {occlupose.__version__}",
        f"torch {torch.__version__}",
        "torchvision",
        "onnxruntime",
        "moderngl",
        "FFmpeg libavformat",
        "Apache-2.0; not fetched",
        "cache not there yet",
        "cpu (",
    ):
        assert words in text
    assert text.count(" ok ") == len(about.CHECKS) and "FAILED" not in text


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
    assert f"cache cannot be read ({reason})" in doctor()


def test_a_check_that_fails_is_a_line(doctor, monkeypatch):
    def fail():
        raise RuntimeError("no encoder\nof that name")

    monkeypatch.setitem(about.CHECKS, "a video can be written and read", fail)
    assert "FAILED: RuntimeError: no encoder of that name" in doctor()
