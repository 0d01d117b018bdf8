import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from occlupose.errors import OccluposeError
from occlupose.world import WorldFrame
from occlupose.world_frame import y_up_axes

LEVEL = WorldFrame.from_floor(np.array([0.0, -1, 0]), -1.6)
COVARIANCE = np.diag([0.03, 0.02, 0.05]) ** 2
directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda up: np.linalg.norm(up) > 0.1)


def test_a_level_camera_looks_along_y_from_above_the_origin():
    points = np.array([[0, 0, 0], [0, 1.6, 5], [2, 1.6, 5], [0, 0.6, 5.0]])
    expected = np.array([[0, 0, 1.6], [0, 5, 0], [2, 5, 0], [0, 5, 1.0]])
    np.testing.assert_allclose(LEVEL.to_world(points), expected, atol=1e-12)


def test_a_camera_that_looks_down_has_the_top_of_the_image_as_y():
    world = WorldFrame.from_floor(np.array([0.0, 0, -1]), -3.0)
    np.testing.assert_allclose(world.to_world(np.array([0.0, -1, 3])), (0, 1, 0), atol=1e-12)


@given(up=directions, offset=st.floats(-3, 3))
def test_the_axes_are_a_rotation_and_there_is_a_way_back(up, offset):
    world = WorldFrame.from_floor(np.array(up), offset)
    points = np.random.default_rng(0).standard_normal((4, 3))
    assert np.linalg.det(world.rotation) == pytest.approx(1)
    np.testing.assert_allclose(world.to_camera(world.to_world(points)), points, atol=1e-9)
    heights = points @ np.array(up) / np.linalg.norm(up) - offset
    np.testing.assert_allclose(world.to_world(points)[:, 2], heights, atol=1e-9)
    np.testing.assert_allclose(world.to_world(np.zeros(3))[:2], 0, atol=1e-12)


@pytest.mark.parametrize("up", [(0, 0, 0), (np.nan, 1, 0)])
def test_up_without_a_direction_is_refused(up):
    with pytest.raises(OccluposeError, match="has no direction"):
        WorldFrame.from_floor(np.array(up, float), 0.0)


def uncertain():
    return WorldFrame(LEVEL.rotation, LEVEL.translation, np.array([0.0, 4, 0]), COVARIANCE)


def test_a_place_is_as_uncertain_as_many_draws_of_the_world_say():
    world = uncertain()
    point = np.array([0.5, 0.8, 6.0])
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(3), COVARIANCE, 4000)
    about = world.to_world(point) - world.centre
    turned = [Rotation.from_rotvec([a, b, 0]).apply(about) + np.array([0, 0, c]) for a, b, c in draws]
    stated = world.place_covariance(np.zeros(6), point)
    matrix = stated[[0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(3, 3)
    np.testing.assert_allclose(matrix, np.cov(np.transpose(turned)), atol=4e-4)


def test_covariances_are_turned():
    np.testing.assert_allclose(LEVEL.rotate_covariance(np.array([1.0, 2, 3, 0, 0, 0])), (1, 3, 2, 0, 0, 0), atol=1e-12)


def test_up_is_uncertain_across_itself():
    world = uncertain()
    np.testing.assert_allclose(world.up_covariance @ world.up, 0, atol=1e-12)
    assert world.up_sigma == pytest.approx(0.03)
    assert world.floor_sigma == pytest.approx(0.05)


def test_rotations_are_turned_as_points_are():
    own = Rotation.from_rotvec([0.1, 0.7, -0.3])
    turned = LEVEL.rotate(np.stack([own.as_quat(scalar_first=True), np.full(4, np.nan)]))
    vector = np.array([0.3, 0.2, 0.1])
    world = Rotation.from_quat(turned[0], scalar_first=True).apply(vector)
    np.testing.assert_allclose(world, LEVEL.rotation @ own.apply(vector), atol=1e-12)
    assert np.isnan(turned[1]).all()


def test_axes_with_y_up_are_those_of_the_world_or_else_of_the_image():
    axes, origin = y_up_axes(None)
    np.testing.assert_array_equal(axes @ (1, 2, 3) + origin, (1, -2, -3))
    world = WorldFrame.from_floor(np.array([0.1, -1, -0.3]), -1.6)
    axes, origin = y_up_axes(world)
    points = np.random.default_rng(0).standard_normal((5, 3))
    placed = points @ axes.T + origin
    expected = world.to_world(points)
    np.testing.assert_allclose(placed, expected[:, [0, 2, 1]] * (1, 1, -1), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert (axes @ (0, 0, 1))[2] < 0, "z is towards the camera"


def test_a_turn_changes_heights_as_its_equations_say():
    world = uncertain()
    change = np.array([0.002, -0.003, 0.01])
    turned = world.turn(change, COVARIANCE)
    points = world.to_camera(np.array([[1.0, 4, 0], [0, 6, 0], [0, 4, 0]]))
    np.testing.assert_allclose(turned.to_world(points)[:, 2], (0.01 + 0.003, 0.01 + 0.004, 0.01), atol=1e-4)
    np.testing.assert_allclose(turned.up_covariance, world.up_covariance, atol=1e-5)
    assert turned.centre[2] == 0
