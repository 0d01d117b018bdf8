import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floor_people import angle_to, climb, cross, jump, lie, seen, true_up
from known_fits import known_fit
from moving_skeletons import TREE
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17
from occlupose.world import estimate_world
from walking_people import FPS, HEIGHT, stand, tilt

VIEWS = [(0, 0), (20, 8), (-5, -15)]


def estimate(*people, pitch=0.0, roll=0.0, **known):
    world, why = estimate_world(seen(*people, pitch=pitch, roll=roll), H36M17, FPS, **known)
    assert (world is None) == bool(why)
    return world, why


@pytest.mark.parametrize(("pitch", "roll"), VIEWS)
def test_a_person_who_stands_tells_up_and_the_floor(pitch, roll):
    up = true_up(pitch, roll)
    world, _ = estimate(stand(0, 4), pitch=pitch, roll=roll)
    assert angle_to(world.up, up) < 2 * np.degrees(world.up_sigma)
    assert angle_to(world.up, up) < 6
    feet = seen(stand(0, 4), pitch=pitch, roll=roll)[0, 0, H36M17.index("left_ankle", "right_ankle")]
    np.testing.assert_allclose(world.to_world(feet)[:, 2], 0.09, atol=0.03)


@pytest.mark.parametrize(("pitch", "roll"), VIEWS)
def test_walkers_tell_it_better(pitch, roll):
    one, _ = estimate(cross(60), pitch=pitch, roll=roll)
    assert angle_to(one.up, true_up(pitch, roll)) < 3
    assert one.translation[2] == pytest.approx(HEIGHT, abs=0.15)
    two, _ = estimate(cross(60), cross(60)[::-1] + np.array([1.0, 0, 2.0]), pitch=pitch, roll=roll)
    assert two.up_sigma < one.up_sigma
    assert two.floor_sigma < one.floor_sigma


@settings(max_examples=8, deadline=None)
@given(roll=st.floats(-12, 12), pitch=st.floats(-10, 25))
def test_a_rotated_camera_has_the_same_world(roll, pitch):
    level, _ = estimate(cross(60))
    world, _ = estimate(cross(60), pitch=pitch, roll=roll)
    assert angle_to(world.up, tilt(pitch, roll) @ level.up) < 2  # the prior of the camera does not rotate


def test_given_up_is_used_as_it_is():
    up = true_up(35, 40)
    world, _ = estimate(cross(30), pitch=35, roll=40, up=tuple(up))
    np.testing.assert_allclose(world.up, up, atol=1e-4)
    assert world.up_sigma < 1e-4
    assert world.translation[2] == pytest.approx(HEIGHT, abs=0.03)


def test_stairs_do_not_tilt_the_floor():
    world, _ = estimate(climb(80, flat=4.0), roll=5)
    assert angle_to(world.up, true_up(roll=5)) < 5
    assert world.translation[2] == pytest.approx(HEIGHT, abs=0.1)


def test_a_jump_does_not_raise_the_floor():
    still, _ = estimate(stand(0, 4, 40))
    world, _ = estimate(jump(40, 15))
    assert world.translation[2] == pytest.approx(still.translation[2], abs=0.02)


def test_whoever_lies_is_not_upright():
    world, _ = estimate(lie(30), stand(2, 4))
    assert angle_to(world.up, true_up()) < 6
    assert world.translation[2] == pytest.approx(HEIGHT, abs=0.1)


def test_everybody_lying_is_an_answer_within_its_uncertainty_or_none():
    world, why = estimate(lie(30), roll=10)
    if world is None:
        assert "up is only known within" in why
    else:
        assert angle_to(world.up, true_up(roll=10)) < 2.5 * np.degrees(world.up_sigma)


def test_nobody():
    for people in (np.zeros((5, 0, 17, 3)), np.full((5, 2, 17, 3), np.nan)):
        assert estimate_world(people, H36M17, FPS) == (None, "up and the floor are unknown: nobody is seen")


@pytest.mark.parametrize("up", [None, (0, -1, 0)])
def test_whoever_touches_nothing_tells_no_floor(up):
    fast = stand(0, 4, 20) + 5.0 / FPS * np.arange(20)[:, None, None] * (1, 0, 0)
    world, why = estimate(fast, up=up)
    assert world is None and why == "up and the floor are unknown: nobody touches the floor"


def test_a_toe_that_is_never_known_does_not_matter():
    points = known_fit([{}] * 12).turn_y_up().xyz
    points[:, :, TREE.points.index("left_big_toe")] = np.nan
    world, _ = estimate_world(points, TREE.skeleton, FPS)
    assert angle_to(world.up, true_up()) < 6


def test_one_frame_of_somebody_who_stands_is_enough_and_less_certain():
    one, _ = estimate(stand(0, 4, 1))
    longer, _ = estimate(stand(0, 4, 60))
    assert one.up_sigma > longer.up_sigma
    assert one.floor_sigma >= longer.floor_sigma


def test_one_foot_alone_is_not_enough():
    body = np.full_like(stand(0, 4), np.nan)
    body[:, H36M17.index("left_ankle")] = stand(0, 4)[:, H36M17.index("left_ankle")]
    world, why = estimate(body)
    assert world is None
    assert why.startswith("up is only known within")
    given, _ = estimate(body, up=(0, -1, 0))
    assert given.translation[2] == pytest.approx(HEIGHT, abs=0.03)


def test_joints_that_are_missing_do_not_matter():
    body = cross(60)
    body[np.random.default_rng(0).random(body.shape[:2]) < 0.2] = np.nan
    world, _ = estimate(body, roll=6)
    assert angle_to(world.up, true_up(roll=6)) < 4


def test_uncertain_joints_make_the_world_uncertain():
    body = cross(40)
    covariance = np.zeros((*seen(body).shape[:3], 6))
    exact, _ = estimate(body, covariance=covariance)
    covariance[..., :3] = 0.1**2
    loose, _ = estimate(body, covariance=covariance)
    root, _ = estimate(body, covariance=0 * covariance, root_covariance=covariance[:, :, 0])
    assert loose.up_sigma > exact.up_sigma
    assert root.up_sigma == pytest.approx(loose.up_sigma, rel=1e-3)


def test_up_without_a_direction_is_refused():
    with pytest.raises(OccluposeError, match="has no direction"):
        estimate(stand(0, 4), up=(0, 0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0.0}, "fps 0.0: must be positive"),
        ({"xyz": np.zeros((2, 17, 3))}, "xyz: has shape (2, 17, 3); h36m17 needs (time, person, 17, 3), in metres"),
        ({"covariance": np.zeros((2, 1, 17, 3))}, "covariance: has shape (2, 1, 17, 3); this xyz needs (2, 1, 17, 6)"),
        ({"root_covariance": np.zeros((2, 6))}, "root_covariance: has shape (2, 6); this xyz needs (2, 1, 6)"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    given = {"xyz": np.zeros((2, 1, 17, 3)), "fps": FPS} | arguments
    with pytest.raises(OccluposeError) as error:
        estimate_world(given.pop("xyz"), H36M17, given.pop("fps"), **given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
