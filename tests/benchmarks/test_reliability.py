import csv
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.detections import Detections
from occlupose.frontends.movenet import MoveNetMultiPose, MoveNetOcclusion, MoveNetThunder
from occlupose.occlusion import plausibility
from occlupose.occlusion.surfaces import OcclusionCause
from occlupose.skeletons import COCO17

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NONE = OcclusionCause.NONE
SELF = OcclusionCause.SELF
OBJECT = OcclusionCause.OBJECT


@pytest.fixture
def reliability(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("reliability")


@pytest.fixture
def planted(reliability):
    """100 visible joints with the confidences 0.005, 0.015, ..., and ten hidden ones."""
    score = np.concatenate([np.arange(100) / 100 + 0.005, np.linspace(0, 0.18, 10)])
    cause = np.array([NONE] * 100 + [SELF] * 4 + [OBJECT] * 6)
    return reliability.Joints(score, cause, 12, 11)


def test_the_share_of_visible_joints_by_confidence(reliability, planted):
    rows = reliability.reliability(planted)
    assert [low for low, _, _ in rows] == pytest.approx(np.arange(10) / 10)
    assert [count for _, count, _ in rows] == [15, 15] + [10] * 8
    assert [share for _, _, share in rows] == pytest.approx([10 / 15, 10 / 15] + [1] * 8)
    certain = reliability.reliability(reliability.Joints(np.ones(2), np.array([NONE, SELF]), 1, 1))
    assert certain[-1] == (pytest.approx(0.9), 2, 0.5) and np.isnan(certain[0][2])


def test_the_threshold_gives_the_wanted_share_of_false_alarms(reliability, planted):
    least = reliability.threshold([planted], 0.03)
    assert least == pytest.approx(0.035)
    shares = reliability.shares_below([planted], least)
    assert shares["false_alarms"] == pytest.approx(0.03)
    assert shares["self"] == pytest.approx(2 / 4) and shares["object"] == 0
    assert np.isnan(shares["person"])
    assert reliability.shares_below([planted], least + 0.01)["false_alarms"] > 0.03


def test_a_large_set_weighs_no_more_than_a_small_one(reliability, planted):
    certain = reliability.Joints(np.full(5000, 0.9), np.full(5000, NONE), 1, 1)
    least = reliability.threshold([planted, certain], 0.03)
    assert least == pytest.approx(0.065)  # 6 % of the first, none of the second
    assert reliability.shares_below([planted, certain], least)["false_alarms"] == pytest.approx(0.03)


def test_people_are_matched_by_their_visible_joints(reliability):
    one = np.random.default_rng(0).uniform(0, 100, (17, 2))
    two = one + np.array([150, 0])
    found = np.stack([two + 2, one + 3])
    found[0, 0] = 1e4  # a hidden joint, wherever it was guessed
    visible = np.ones((2, 17), bool)
    visible[1, 0] = False
    assert reliability.match(found, np.stack([one, two]), visible).tolist() == [1, 0]
    assert reliability.match(found[:1], np.stack([one, two]), visible).tolist() == [-1, 0]
    visible[1, 2:] = False
    assert reliability.match(found, np.stack([one, two]), visible).tolist() == [1, -1]
    assert reliability.match(found[:0], np.stack([one, two]), visible).tolist() == [-1, -1]


def test_joints_of_people_who_are_not_found_do_not_count(reliability):
    xy = np.random.default_rng(0).uniform(0, 100, (2, 17, 2)) + np.array([0, 500])[:, None, None]
    score = np.linspace(0, 1, 17)[None]
    cause = np.full((2, 17), NONE)
    cause[:, 3] = SELF
    known = np.ones((2, 17), bool)
    known[:, 5] = False
    collector = reliability.Collector()
    collector.add(Detections(skeleton=COCO17, xy=xy[:1], score=score), xy, cause, known)
    joints = collector.joints()
    np.testing.assert_array_equal(joints.score, np.delete(score[0], 5))
    assert (joints.people, joints.found, (~joints.visible).sum()) == (2, 1, 1)


def test_a_cover_hides_its_joint(reliability):
    random = np.random.default_rng(0)
    image = np.full((80, 120, 3), 7, np.uint8)
    other = random.integers(100, 256, (50, 50, 3), dtype=np.uint8)
    for xy in ([60.0, 40.0], [1.0, 78.0], [119.0, 0.0]):
        for _ in range(6):
            cover = reliability.place_cover(image, np.array(xy), 70.0, other, random)
            covered = cover.draw(image)
            changed = (covered != image).any(-1)
            assert cover.contains(np.array([xy]), 0).all() and (image == 7).all()
            assert not changed[: cover.low[1]].any() and not changed[:, : cover.low[0]].any()
            assert not changed[cover.high[1] :].any() and not changed[:, cover.high[0] :].any()
            width, height = cover.high - cover.low
            assert cover.pixels.shape == (height, width, 3)
            outside = np.array([[cover.low[0] - 2.0, xy[1]], [cover.high[0] + 1.0, xy[1]]])
            assert not cover.contains(outside, 0).any() and cover.contains(outside, -3).all()


@pytest.mark.parametrize("frontend", [MoveNetOcclusion, MoveNetThunder, MoveNetMultiPose])
def test_the_shipped_thresholds_are_the_measured_ones(frontend):
    names = {
        MoveNetOcclusion: "movenet-occlusion",
        MoveNetThunder: "movenet",
        MoveNetMultiPose: "movenet-multipose",
    }
    with (BENCHMARKS / "results" / "reliability_thresholds.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["frontend"], row["data"]) == (names[frontend], "both")]
    measured = [float(row["min_confidence"]) for row in rows]
    assert measured[1] == frontend.min_joint_confidence == max(round(measured[0], 1), plausibility.DOUBT)
