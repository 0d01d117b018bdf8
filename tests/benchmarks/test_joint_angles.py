import os
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from mocap_files import amc, asf
from occlupose.skeletons import BODY26, H36M17
from occlupose.synth.noise import NoiseModel


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("joint_angles")


def test_a_knee_that_bends_in_a_capture_bends_as_much_in_the_angles(benchmark, tmp_path):
    (tmp_path / "07.asf").write_text(asf())
    file = tmp_path / "07_01.amc"
    bend = np.linspace(20, 90, 60)[:, None]
    file.write_text(amc(60, root=np.tile((0, 17, 0, 0, 0, 0), (60, 1)), ltibia=bend, rtibia=bend[::-1]))
    errors = benchmark.flexion_errors(file, partial(benchmark.as_captured, skeleton=H36M17), slice(None), "knee")
    assert errors.shape == (2, 60) and np.abs(errors).max() < 3


def test_a_knee_that_is_seen_bends_about_as_much(benchmark, tmp_path):
    (tmp_path / "07.asf").write_text(asf())
    file = tmp_path / "07_01.amc"
    bend = np.linspace(20, 90, 60)[:, None]
    file.write_text(amc(60, root=np.tile((0, 17, 0, 0, 0, 0), (60, 1)), ltibia=bend, rtibia=bend[::-1]))
    errors = benchmark.flexion_errors(file, partial(benchmark.as_seen, noise=NoiseModel.load()), slice(None), "knee")
    assert errors.shape == (2, 60) and np.abs(errors).mean() < 35


@pytest.mark.skipif("OCCLUPOSE_MOCAP" not in os.environ, reason="OCCLUPOSE_MOCAP names no folder with cmu/")
@pytest.mark.parametrize("skeleton", [BODY26, H36M17], ids=lambda skeleton: skeleton.name)
def test_angles_of_real_captures_are_the_captures(benchmark, skeleton):
    for clip in ("02_04", "08_03"):
        file = Path(os.environ["OCCLUPOSE_MOCAP"]) / "cmu" / clip[:2] / f"{clip}.amc"
        for joint in ("knee", "elbow"):
            given = partial(benchmark.as_captured, skeleton=skeleton)
            assert np.abs(benchmark.flexion_errors(file, given, slice(0, 120, 2), joint)).mean() < 3
