from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

PREDICT = """
from collections import namedtuple

def lift_rays(lifter, rays, observed, fps):
    print("not an answer")
    xyz = rays.mean(-1)[:, :, :17, None] * observed[:, :, :17, None] * fps
    return namedtuple("Lifted", "xyz")(xyz.repeat(3, -1) + lifter)
"""


@pytest.fixture
def earlier_lifter(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("earlier_lifter")


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "src" / "occlupose" / "methods" / "oanet"
    folder.mkdir(parents=True)
    for name in (folder, folder.parent, folder.parents[1]):
        (name / "__init__.py").touch()
    (folder / "predict.py").write_text(PREDICT)
    (folder / "weights.py").write_text("def load():\n    return 7.0\n")
    return tmp_path


def test_the_code_of_the_checkout_answers(earlier_lifter, checkout):
    rays = np.arange(2 * 5 * 22 * 2, dtype=np.float32).reshape(2, 5, 22, 2)
    observed = np.random.default_rng(0).random((2, 5, 22)) < 0.5
    with earlier_lifter.EarlierLifter(checkout) as lifter:
        for fps in (30, 60):
            xyz = lifter.lift(rays, observed, fps)
            expected = 7 + fps * rays.mean(-1) * observed
            np.testing.assert_allclose(xyz, expected[:, :, :17, None].repeat(3, -1))


def test_a_lifter_that_ends_is_said(earlier_lifter, checkout, capfd):
    with earlier_lifter.EarlierLifter(checkout) as lifter, pytest.raises(RuntimeError, match="its lifter ended"):
        lifter.ask("dance")
    assert "KeyError: 'dance'" in capfd.readouterr().err


def test_other_code_is_refused(earlier_lifter, tmp_path, capfd):
    with earlier_lifter.EarlierLifter(tmp_path) as lifter, pytest.raises(RuntimeError, match="its lifter ended"):
        lifter.ask("lift")
    assert "is of another checkout" in capfd.readouterr().err
