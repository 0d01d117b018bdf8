import json
from importlib import import_module
from pathlib import Path

import pytest

import coco_files as files
from occlupose.skeletons import COCO17


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("hupor_photographs")


def test_joints_of_the_face_are_left_out(benchmark, tmp_path):
    """Twelve of COCO's joints are those of limbs; nothing else of a file changes."""
    data = files.write_synth(tmp_path / "data")
    before = json.loads((data / "annotations.json").read_text())
    (tmp_path / "out").mkdir()
    after = json.loads(benchmark.limbs_only(data / "annotations.json", tmp_path / "out").read_text())
    assert before["images"] == after["images"]
    for one, other in zip(before["annotations"], after["annotations"], strict=True):
        kept = [joint for joint in range(17) if other["keypoints"][3 * joint : 3 * joint + 3] != [0, 0, 0]]
        seen = [
            joint
            for joint in range(17)
            if one["keypoints"][3 * joint + 2] and joint >= COCO17.index("left_shoulder")[0]
        ]
        assert kept == seen and other["num_keypoints"] == len(seen) <= 12
