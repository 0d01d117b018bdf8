from importlib import import_module
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def area(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("ranking").area_under_curve


def test_known_areas(area):
    positive = np.array([True, True, False, False])
    assert area(np.array([0.9, 0.8, 0.2, 0.1]), positive) == 1
    assert area(np.array([0.9, 0.15, 0.2, 0.1]), positive) == pytest.approx(0.75)
    assert area(np.full(4, 0.5), positive) == pytest.approx(0.5)
    assert np.isnan(area(np.zeros(2), np.ones(2, bool)))


def test_it_is_the_share_of_pairs_in_the_right_order(area):
    random = np.random.default_rng(0)
    score = random.integers(0, 6, 60) / 5
    positive = random.random(60) < 0.4
    apart = score[positive][:, None] - score[~positive]
    right = (apart > 0) + 0.5 * (apart == 0)
    assert area(score, positive) == pytest.approx(right.mean())
    weight = random.integers(0, 3, 60).astype(float)
    pairs = weight[positive][:, None] * weight[~positive]
    assert area(score, positive, weight) == pytest.approx((pairs * right).sum() / pairs.sum())
