from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.methods.movenet.calibration import Answers
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("occluded_keypoints")


def joints(benchmark, error, confidence, state):
    return benchmark.Joints(np.array(error, float), np.array(confidence, float), np.array(state))


def test_the_calibration_error(benchmark):
    error = benchmark.expected_calibration_error
    assert error(np.array([1.0, 1.0, 0.0]), np.array([True, True, False])) == 0
    assert error(np.full(4, 0.5), np.array([True, True, False, False])) == pytest.approx(0)
    assert error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, True, False])) == pytest.approx(0.4)


def test_the_threshold_has_the_false_alarms_asked_for(benchmark):
    random = np.random.default_rng(0)
    sets = [joints(benchmark, np.zeros(1000), random.random(1000), [VISIBLE] * 1000) for _ in range(2)]
    assert benchmark.find_threshold(sets) == pytest.approx(benchmark.FALSE_ALARMS, abs=0.01)


def test_scores_of_known_joints(benchmark):
    some = joints(
        benchmark,
        error=[0.01, 0.1, 0.2, 0.4, 0.9],
        confidence=[0.9, 0.3, 0.2, 0.8, 0.1],
        state=[VISIBLE, VISIBLE, OCCLUDED, OCCLUDED, ABSENT],
    )
    scores = benchmark.score(some, threshold=0.25)
    assert scores["visible, joints"] == 2 and scores["occluded, joints"] == 2
    assert scores["visible, median error"] == pytest.approx(0.055) and scores["visible, near"] == 0.5
    assert scores["occluded, median error"] == pytest.approx(0.3)
    assert scores["outside, median error"] == pytest.approx(0.9)
    assert scores["auc"] == pytest.approx(0.75)
    assert scores["false alarms"] == 0 and scores["recall"] == 0.5
    assert scores["f1"] == pytest.approx(2 / 3)


def test_a_joint_taken_for_hidden_is_where_it_is_inferred(benchmark):
    shape = (1, 21)
    zero = np.zeros(shape)
    visible = zero + 0.9
    visible[0, 0] = 0.1
    answers = Answers(
        xy=np.zeros((*shape, 2)) + 10,
        score=zero,
        visible=visible,
        place=np.zeros((*shape, 2)) + 13,
        distance=zero,
        features=np.zeros((*shape, 4)),
        truth=np.tile([13.0, 10.0], (*shape, 1)),
        state=np.full(shape, VISIBLE, np.uint8),
        side=np.array([30.0]),
        known=np.ones(shape, bool),
        synthetic=np.array([True]),
    )
    found = benchmark.joints_of(answers, answers.synthetic, slice(0, 17))
    np.testing.assert_allclose(found.error, 0.1)
    assert len(found.error) == 17 and len(benchmark.joints_of(answers, ~answers.synthetic, slice(0, 17)).error) == 0
