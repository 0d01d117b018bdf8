import hashlib
import json
import shutil
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

import tensorflow_outputs as tensorflow
import tfjs_files as files
from occlupose.networks import pretrained


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("networks_oracle")


def compared(oracle, network, ours, theirs):
    return dict(zip(oracle.COLUMNS[3:], oracle.compare(network, ours, theirs), strict=True))


def ours_of(theirs, names):
    return {name: theirs[name].copy() for name in names}


@pytest.mark.parametrize("network", pretrained.PUBLISHED)
@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_networks_are_compared(oracle, network, runtime):
    """With outputs that TensorFlow gave."""
    theirs = tensorflow.outputs(network)
    found = compared(oracle, network, oracle.run_here(network, runtime, tensorflow.pictures()[network]), theirs)
    assert float(found["largest_px"]) < 0.01 and float(found["largest_px_without_ties"]) < 0.01
    assert float(found["largest_confidence"]) < 1e-4
    assert [found[name] for name in ("over_0.1_px", "ties", "confidences_over_0.001")] == [0, 0, 0]


def test_the_same_has_no_differences(oracle):
    theirs = tensorflow.outputs("movenet_multipose")
    found = compared(oracle, "movenet_multipose", ours_of(theirs, oracle.OUTPUTS["movenet_multipose"]), theirs)
    assert found["positions"] == 2 * 18 and found["confidences"] == 2 * 17 + 6
    assert float(found["largest_px"]) == float(found["largest_confidence"]) == 0


def test_joints_in_another_cell_are_ties_or_not(oracle):
    theirs = tensorflow.outputs("movenet_thunder")
    ours = ours_of(theirs, ("xy", "score"))
    distance = np.abs(theirs["runner_up"] - theirs["xy"]).max(-1)[0]
    joint = distance.argmax()
    ours["xy"][0, joint] = theirs["runner_up"][0, joint] + 0.01
    ours["xy"][1, 5] += 2
    ours["score"][1, 6] += 0.01
    moved = np.abs(ours["xy"][0, joint] - theirs["xy"][0, joint]).max()
    assert moved > 2
    found = compared(oracle, "movenet_thunder", ours, theirs)
    assert found["positions"] == found["confidences"] == 34
    assert float(found["largest_px"]) == pytest.approx(moved, abs=1e-5)
    assert float(found["largest_px_without_ties"]) == pytest.approx(2, abs=1e-5)
    assert (found["over_0.1_px"], found["ties"], found["confidences_over_0.001"]) == (2, 1, 1)
    assert float(found["smallest_margin"]) == pytest.approx(theirs["margin"].min(), abs=1e-7)


def test_boxes_without_a_person_do_not_count(oracle):
    theirs = tensorflow.outputs("nanodet_g")
    ours = ours_of(theirs, ("boxes", "score"))
    nobody = theirs["score"][0] < 0.2
    ours["boxes"][0, nobody] += 100
    found = compared(oracle, "nanodet_g", ours, theirs)
    assert found["confidences"] == 3549 and found["positions"] == (theirs["score"] > 0.3).sum() > 5
    assert float(found["largest_px"]) == 0
    assert (found["ties"], found["smallest_margin"]) == (0, "")


def test_photographs_are_read_and_people_cropped(oracle, tmp_path):
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:200, 150:190] = (10, 20, 200)  # blue, green, red
    cv2.imwrite(str(tmp_path / "a.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    cv2.imwrite(str(tmp_path / "b.jpg"), image)
    (tmp_path / "a.txt").write_text(f"0 {170 / 400} 0.5 0.1 {100 / 300}\n0 0.1 0.1 0.1 0.1\n")
    pictures = oracle.read(tmp_path, 1)
    assert {name: batch.shape for name, batch in pictures.items()} == {
        name: (1, side, side, 3) for name, side in oracle.SIDES.items()
    }
    (crop,) = pictures["movenet_thunder"]
    red = np.argwhere(crop[..., 0] > 100)
    scale = 256 / 125
    middle = [128, 128]
    size = [100 * scale, 40 * scale]
    np.testing.assert_allclose(red.min(0), np.subtract(middle, np.multiply(size, 0.5)), atol=2)
    np.testing.assert_allclose(red.max(0), np.add(middle, np.multiply(size, 0.5)), atol=2)


def test_files_that_are_not_the_source_are_refused(oracle, tmp_path, monkeypatch):
    for network, name in oracle.FILES.items():
        files.write(tmp_path / f"{name}.json", files.to_tensorflow(files.shipped(network), network))
    with pytest.raises(SystemExit, match=r"movenet-thunder\.bin: SHA-256 is [0-9a-f]{64}; the card of movenet_thunder"):
        oracle.check_files(tmp_path)
    cards = tmp_path / "cards"
    cards.mkdir()
    for network, name in oracle.FILES.items():
        digest = hashlib.sha256((tmp_path / f"{name}.bin").read_bytes()).hexdigest()
        (cards / f"{network}.json").write_text(json.dumps({"source": {f"{name}.bin": digest}}))
    monkeypatch.setattr(pretrained, "WEIGHTS", cards)
    oracle.check_files(tmp_path)
    shutil.copy(tmp_path / "nanodet.json", tmp_path / "nanodet.bin")
    with pytest.raises(SystemExit, match="nanodet"):
        oracle.check_files(tmp_path)
