import numpy as np
import pytest

from occlupose.skeletons import H36M17
from occlupose.viewer import ground
from walking_people import HEIGHT, circle, make_poses, stand, tilt


def errors(plane: ground.GroundPlane, pitch: float, roll: float) -> tuple[float, float]:
    """Angle to the true normal in degrees, and the error of the height of the point of the floor 5 m ahead, m."""
    turn = tilt(pitch, roll)
    angle = np.degrees(np.arccos(np.clip(plane.normal @ turn @ [0, -1, 0], -1, 1)))
    return angle, abs(plane.height(turn @ [0, HEIGHT, 5]))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 4), (-12, -3)])
def test_walking_feet_give_the_floor(pitch, roll):
    poses = make_poses(circle(), pitch=pitch, roll=roll)
    noisy = poses.xyz + np.random.default_rng(0).normal(0, 0.01, poses.xyz.shape)
    angle, height = errors(ground.fit_ground(noisy, H36M17), pitch, roll)
    assert angle < 2 and height < 0.03


def test_feet_outweigh_leaning_bodies():
    leaning = circle()
    leaning[..., 2] += 0.2 * (leaning[..., 1] - 0.08).clip(0)  # 11 degrees, with the feet where they were
    angle, height = errors(ground.fit_ground(make_poses(leaning, pitch=10).xyz, H36M17), 10, 0)
    assert angle < 2 and height < 0.03


def test_some_feet_through_the_floor_do_not_matter():
    poses = make_poses(circle(), pitch=10)
    poses.xyz[::20, :, H36M17.index("left_ankle")] += np.float32([0, 1, 0])
    angle, height = errors(ground.fit_ground(poses.xyz, H36M17), 10, 0)
    assert angle < 2 and height < 0.03


def test_a_person_standing_still_gives_the_tilt_of_the_camera():
    angle, _ = errors(ground.fit_ground(make_poses(stand(0, 4), pitch=20).xyz, H36M17), 20, 0)
    assert angle < 6


def test_feet_alone_that_stand_still_give_a_level_floor():
    poses = make_poses(stand(0, 4), pitch=8).select(joint=("left_ankle", "right_ankle"))
    plane = ground.fit_ground(poses.xyz, poses.skeleton)
    assert np.degrees(np.arccos(-plane.normal[1])) < 1
    assert plane.height(poses.xyz).mean() == pytest.approx(0.08, abs=0.01)


def test_without_legs_the_shoulders_carry_it():
    poses = make_poses(stand(0, 2)).select(joint=("thorax", "left_shoulder", "right_shoulder", "head_top"))
    assert errors(ground.fit_ground(poses.xyz, poses.skeleton), 0, 0)[1] < 0.05


def test_nobody_gives_a_level_floor_below_the_camera():
    plane = ground.fit_ground(np.full((3, 1, 17, 3), np.nan), H36M17)
    np.testing.assert_allclose(plane.height(np.array([[0, 0, 4], [0, 1.5, 2]])), [1.5, 0])


def test_below_is_on_the_plane():
    plane = ground.fit_ground(make_poses(stand(0, 4), pitch=20).xyz, H36M17)
    point = np.array([1.0, -2.0, 3.0])
    assert plane.height(plane.below(point)) == pytest.approx(0)
    np.testing.assert_allclose(point - plane.below(point), plane.height(point) * plane.normal, atol=1e-9)
