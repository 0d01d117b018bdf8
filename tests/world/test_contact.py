import numpy as np
import pytest

from floor_people import climb, cross, jump, lie, seen
from known_fits import known_fit
from moving_skeletons import TREE
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17
from occlupose.world import WorldFrame, find_contacts
from occlupose.world.contact import floor_share
from walking_people import FPS, HEIGHT, stand

WORLD = WorldFrame.from_floor(np.array([0.0, -1, 0]), -HEIGHT)


def contacts(body):
    found = find_contacts(seen(body), H36M17, FPS, WORLD)
    feet = [found.points.index(f"{side}_ankle") for side in ("left", "right")]
    return found, found.touching[:, 0, feet], found.on_floor[:, 0, feet]


def test_feet_of_somebody_who_stands_are_on_the_floor_and_nothing_else_is():
    found, touching, on_floor = contacts(stand(0, 4, 10))
    assert touching.min() > 0.85
    assert on_floor.min() > 0.8
    others = [point for point, name in enumerate(found.points) if "ankle" not in name]
    assert found.touching[:, 0, others].max() < 0.1


def test_feet_of_a_walker_take_turns():
    _, touching, _ = contacts(cross(60))
    held = touching > 0.5
    assert 0.4 < held.mean() < 0.7
    assert (held.sum(1) >= 1).mean() > 0.75


def test_nobody_touches_anything_in_the_air():
    _, touching, _ = contacts(jump(20, 8))
    assert touching[:6].min() > 0.8
    assert touching[9:13].max() < 0.1


def test_stairs_bear_and_are_not_the_floor():
    _, touching, on_floor = contacts(climb(60, flat=2.0))
    held = touching > 0.5
    assert held[40:].any(1).mean() > 0.6
    assert on_floor[50:].max() < 0.1
    assert on_floor[:15].max() > 0.8


def test_whoever_lies_touches_the_floor_with_their_back():
    found, _, _ = contacts(lie(10))
    on_floor = dict(zip(found.points, found.on_floor[5, 0], strict=True))
    for part in ("left_hip", "right_shoulder"):
        assert on_floor[part] > 0.5, part


def test_whoever_floats_all_the_time_is_of_a_wrong_size_and_on_the_floor():
    raised = stand(0, 4, 10) + np.array([0, 0.1, 0])
    assert contacts(raised)[2].min() > 0.5
    assert contacts(raised + np.array([0, 0.5, 0]))[2].max() < 0.01


def test_what_is_unknown_is_nan():
    body = stand(0, 4, 10)
    body[:, H36M17.index("left_ankle")] = np.nan
    _, touching, on_floor = contacts(body)
    assert np.isnan(touching[:, 0]).all()
    assert np.isnan(on_floor[:, 0]).all()
    assert touching[:, 1].min() > 0.8


def test_a_toe_that_is_unknown_is_nan_and_its_heel_is_not():
    points = known_fit([{}] * 10).turn_y_up().xyz
    toe = TREE.points.index("left_big_toe")
    floor = points[..., 1].max() + 0.02
    points[:, :, toe] = np.nan
    found = find_contacts(points, TREE.skeleton, FPS, WorldFrame.from_floor(np.array([0.0, -1, 0]), -floor))
    touching = dict(zip(found.points, found.touching[:, 0].T, strict=True))
    assert np.isnan(touching["left_big_toe"]).all()
    assert min(touching["left_heel"].min(), touching["right_big_toe"].min()) > 0.8


@pytest.mark.parametrize(("height", "low", "high"), [(0.0, 0.95, 1), (0.17, 0, 0.1), (0.5, 0, 1e-6), (-0.5, 0, 1e-6)])
def test_the_share_of_the_floor_falls_with_the_height(height, low, high):
    assert low <= floor_share(np.array(height), 0.04**2) <= high


def test_no_frame_rate_and_joints_of_another_skeleton_are_refused():
    with pytest.raises(OccluposeError, match="fps 0: must be positive"):
        find_contacts(np.zeros((2, 1, 17, 3)), H36M17, 0, WORLD)
    with pytest.raises(OccluposeError, match=r"xyz: has shape \(2, 1, 16, 3\); h36m17 needs"):
        find_contacts(np.zeros((2, 1, 16, 3)), H36M17, FPS, WORLD)
