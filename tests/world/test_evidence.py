import numpy as np
import pytest

from floor_people import cross, lie, seen
from occlupose.skeletons import H36M17
from occlupose.world import WorldFrame
from occlupose.world.evidence import (
    LEAN,
    PITCH,
    ROLL,
    Evidence,
    NormalEquations,
    of_camera,
    of_standing,
    of_touched_places,
)
from walking_people import FPS, HEIGHT, stand

CENTRE = np.array([0.0, 4, 0])


def world(roll=0.0, raised=0.0):
    up = np.array([np.sin(roll), -np.cos(roll), 0])
    frame = WorldFrame.from_floor(up, -HEIGHT + raised)
    return WorldFrame(frame.rotation, frame.translation, CENTRE, np.diag([0.1, 0.1, 0.1]) ** 2)


def evidence(*people):
    return Evidence.of(seen(*people), H36M17, FPS, None, None)


def solve(normal):
    return np.linalg.lstsq(normal.matrix, normal.right, rcond=None)[0]


def test_a_level_camera_is_expected():
    normal = of_camera(world(roll=0.1))
    np.testing.assert_allclose(np.diag(normal.matrix)[:2], (PITCH**-2, ROLL**-2 * np.cos(0.1) ** 2), rtol=1e-6)
    np.testing.assert_allclose(of_camera(world()).right, 0, atol=1e-12)
    assert abs(solve(normal)[1]) == pytest.approx(np.tan(0.1))


def test_somebody_who_stands_turns_the_world_upright():
    normal = of_standing(world(roll=0.1), evidence(stand(0, 4)))
    turned = world(roll=0.1).turn(solve(normal), np.eye(3))
    np.testing.assert_allclose(turned.up, (0, -1, 0), atol=0.05)
    assert normal.matrix[0, 0] < LEAN**-2
    assert not of_standing(world(), evidence(lie(10))).matrix.any()


def test_touched_places_move_the_floor_to_them():
    normal, places = of_touched_places(world(raised=0.05), evidence(cross(60)))
    assert places > 3
    assert solve(normal)[2] == pytest.approx(0.05, abs=0.03)


def test_eliminated_errors_are_those_of_more_unknowns():
    random = np.random.default_rng(0)
    jacobian = random.standard_normal((20, 3))
    residual = random.standard_normal(20)
    few = NormalEquations.of(jacobian, residual, np.ones(20)).with_errors(0.5, 0.2)
    covariance = np.eye(20) + jacobian @ np.diag([0.25, 0.25, 0.04]) @ jacobian.T
    whitened = np.linalg.solve(covariance, jacobian)
    np.testing.assert_allclose(few.matrix, whitened.T @ jacobian)
    np.testing.assert_allclose(few.right, -whitened.T @ residual)
