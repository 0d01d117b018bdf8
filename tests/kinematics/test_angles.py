import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from occlupose.bodies.fitting import from_rotation_vector
from occlupose.kinematics.angles import angles_with_jacobian, from_angles, to_angles, to_quaternion
from occlupose.kinematics.body_tree import body_tree

AXES = body_tree().axes


def random_rotations(count, seed=0):
    return torch.from_numpy(Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix())


def test_quaternions_are_scipys():
    rotation = random_rotations(200)
    theirs = Rotation.from_matrix(rotation.numpy()).as_quat(canonical=True, scalar_first=True)
    np.testing.assert_allclose(to_quaternion(rotation), theirs, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-3, 3), st.integers(0, len(AXES) - 1))
def test_angles_describe_a_rotation(flexion, side, twist, joint):
    angles = torch.tensor([flexion, side, twist], dtype=torch.float64)
    found = to_angles(from_angles(angles, AXES[joint]), AXES[joint])
    np.testing.assert_allclose(found, angles, atol=1e-7)


def test_a_rotation_is_that_of_its_angles():
    rotation = random_rotations(len(AXES))
    np.testing.assert_allclose(from_angles(to_angles(rotation, AXES), AXES), rotation, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-5, 0.01, 1.0])
def test_the_jacobian_is_that_of_small_turns(size):
    random = np.random.default_rng(0)
    rotation = from_angles(size * torch.from_numpy(random.standard_normal((len(AXES), 3))), AXES)
    _, jacobian = angles_with_jacobian(rotation, AXES)
    for axis in range(3):
        turn = from_rotation_vector(1e-6 * torch.eye(3, dtype=torch.float64)[axis])
        difference = to_angles(rotation @ turn, AXES) - to_angles(rotation @ turn.mT, AXES)
        np.testing.assert_allclose(jacobian[..., axis], difference / 2e-6, atol=1e-6)


def test_a_swing_across_is_no_twist_and_a_twist_no_swing():
    for joint, axes in enumerate(AXES):
        across = to_angles(from_rotation_vector(0.7 * axes[:, 0]), axes)
        np.testing.assert_allclose(across, [0.7, 0, 0], atol=1e-12, err_msg=str(joint))
        along = to_angles(from_rotation_vector(-0.4 * axes[:, 2]), axes)
        np.testing.assert_allclose(along, [0, 0, -0.4], atol=1e-12, err_msg=str(joint))
