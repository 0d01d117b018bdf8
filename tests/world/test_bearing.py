import numpy as np
import pytest

from moving_skeletons import TREE
from occlupose.skeletons import COCO21, H36M17
from occlupose.world.bearing import bearing_joints, bearing_points, speed


def test_soles_are_those_of_heels_and_toes_or_else_of_ankles():
    assert "left_ankle" in bearing_joints(H36M17)
    assert "left_heel" not in bearing_joints(H36M17)
    for skeleton in (COCO21, TREE.skeleton):
        assert {"left_heel", "right_big_toe"} <= set(bearing_joints(skeleton))
        assert "left_ankle" not in bearing_joints(skeleton)


def test_the_points_of_each_foot():
    points = bearing_points(np.zeros((1, 1, len(TREE.points), 3)), TREE.skeleton, 30.0)
    assert [[points.names[point] for point in foot] for foot in points.feet] == [
        ["left_heel", "left_big_toe"],
        ["right_heel", "right_big_toe"],
    ]


def test_speed_is_that_of_an_even_motion():
    places = np.arange(30)[:, None] * np.array([0.01, 0, 0.02])
    np.testing.assert_allclose(speed(places, 30.0), np.hypot(0.3, 0.6))


def test_whoever_is_at_the_top_of_a_jump_is_not_still():
    time = np.arange(-15, 16) / 60
    places = np.stack([np.zeros(31), -4.9 * time**2, np.zeros(31)], -1)
    assert speed(places, 60.0)[15] == pytest.approx(0.49, abs=0.05)


def test_gaps_and_single_frames_are_bridged_or_still():
    places = np.arange(30.0)[:, None] * np.array([0.1, 0, 0])
    places[10] = np.nan
    assert np.isfinite(speed(places, 30.0)).all()
    assert speed(places[:1], 30.0) == 0
