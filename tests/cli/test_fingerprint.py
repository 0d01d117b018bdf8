"""What a run was made from is known again."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from occlupose.cli.estimation import EstimatorOptions, Files, OANetOptions, RunOptions
from occlupose.cli.fingerprint import InputContent, digest, settings
from occlupose.cli.options import CameraOptions
from occlupose.errors import OccluposeError


def test_only_what_is_not_the_default_is_a_setting():
    assert settings(RunOptions()) == {}
    assert settings(RunOptions(estimator=EstimatorOptions(device="cuda", threads=3))) == {}
    options = RunOptions(
        every=2,
        files=Files(video=False, export=("csv", "trc")),
        calibration=CameraOptions(up=(0, -1, 0)),
        estimator=EstimatorOptions(oanet=OANetOptions(frontend="movenet")),
    )
    assert settings(options) == {
        "every": 2,
        "files": {"video": False, "export": ["csv", "trc"]},
        "calibration": {"up": [0, -1, 0]},
        "estimator": {"oanet": {"frontend": "movenet"}},
    }


def test_a_file_is_known_by_its_name_and_content(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.onnx").write_text("network")

    def of(frontend):
        return settings(EstimatorOptions(weights=tmp_path / "w.safetensors", oanet=OANetOptions(frontend=frontend)))

    (tmp_path / "w.safetensors").write_text("one")
    first = of(f"rtmpose:{tmp_path}/a/net.onnx")
    assert first["oanet"]["frontend"].startswith("rtmpose:net.onnx sha256:")
    assert first == of(f"rtmpose:{tmp_path}/b/net.onnx")
    (tmp_path / "b" / "net.json").write_text("a card")
    assert first != of(f"rtmpose:{tmp_path}/b/net.onnx")
    (tmp_path / "w.safetensors").write_text("another")
    assert first != of(f"rtmpose:{tmp_path}/a/net.onnx")
    assert settings(replace(EstimatorOptions(), weights=Path("nope"))) == {"weights": "nope"}


def test_content(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("12345")
        os.utime(file, ns=(7, 7))
    content = InputContent("both", files)
    stamp = {"size": 10, "modified": [7, 7]}
    assert content.by_stamp() == {"content": stamp}
    assert content.whole() == {"content": stamp | {"sha256": digest(files)}}
    files[1].write_text("123456")
    with pytest.raises(OccluposeError, match="both: has changed while it was read; run it again"):
        content.whole()
    assert InputContent("camera 0", []).by_stamp() == {"content": None}
    with pytest.raises(OccluposeError, match=r"nope: cannot be read \(no such file"):
        InputContent("nope", [tmp_path / "nope"])
