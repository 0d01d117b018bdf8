from dataclasses import replace

import numpy as np
import pytest

from occlupose.poses import Poses
from occlupose.viewer.ground import find_world
from occlupose.world_frame import WorldFrame
from walking_people import HEIGHT, circle, make_poses, stand, tilt


def errors(poses: Poses, pitch: float, roll: float) -> tuple[float, float]:
    """Angle to the true up in degrees, and the error of the height of the point of the floor 5 m ahead, m."""
    world = find_world(poses)
    turn = tilt(pitch, roll)
    angle = np.degrees(np.arccos(np.clip(world.up @ turn @ [0, -1, 0], -1, 1)))
    return angle, abs(world.to_world(turn @ [0, HEIGHT, 5])[2])


def test_the_world_of_the_poses_is_taken_as_it_is():
    world = WorldFrame.from_floor(np.array([0.3, -1, 0.2]), -2.5)
    assert find_world(replace(make_poses(circle()), world=world)) is world


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 4), (-12, -3)])
def test_else_walking_people_tell_it(pitch, roll):
    poses = make_poses(circle(), pitch=pitch, roll=roll)
    poses.xyz += np.random.default_rng(0).normal(0, 0.01, poses.xyz.shape).astype(np.float32)
    angle, height = errors(poses, pitch, roll)
    assert angle < 3 and height < 0.1


def test_a_person_standing_still_tells_the_tilt_of_the_camera():
    assert errors(make_poses(stand(0, 4), pitch=20), 20, 0)[0] < 6


def test_up_that_the_camera_knows_is_kept():
    poses = make_poses(stand(0, 4), pitch=30)
    up = tuple(tilt(30, 0) @ [0, -1, 0])
    poses.camera = replace(poses.camera, up=up)
    np.testing.assert_allclose(find_world(poses).up, up, atol=1e-4)


def test_people_who_touch_nothing_are_above_a_level_floor_at_their_lowest():
    fast = stand(0, 4)
    fast[..., 0] += 0.5 * np.arange(len(fast))[:, None]
    poses = make_poses(fast)
    world = find_world(poses)
    np.testing.assert_allclose(world.up, (0, -1, 0), atol=1e-9)
    assert world.to_world(poses.xyz)[..., 2].min() == pytest.approx(0, abs=1e-3)


def test_one_frame_is_enough():
    assert errors(make_poses(stand(0, 4, 1)), 0, 0)[1] < 0.1


@pytest.mark.parametrize("frames", [0, 3])
def test_nobody_gives_a_level_floor_below_the_camera(frames):
    poses = make_poses(stand(0, 4, frames)).select(person=[])
    np.testing.assert_allclose(find_world(poses).to_world(np.array([[0, 0, 4], [0, 1.5, 2]]))[:, 2], [1.5, 0])
