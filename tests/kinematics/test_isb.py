import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SIDES
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.isb import isb_axes, joint_rotation, turns, wrap

TREE = body_tree()


@pytest.mark.parametrize("segment", TREE.segments)
def test_axes_are_right_handed(segment):
    axes = isb_axes(segment)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) > 0


def test_arms_that_hang_have_y_upwards_along_them():
    for side in SIDES:
        along = TREE.lengthwise(f"{side}_upper_arm")
        np.testing.assert_allclose(isb_axes(f"{side}_upper_arm")[:, 1], -along, atol=1e-12)
        np.testing.assert_allclose(isb_axes(f"{side}_upper_arm")[:, 0], (0, 0, 1), atol=1e-12)  # forward
        np.testing.assert_allclose(isb_axes(f"{side}_forearm")[:, 0], (0, -1, 0), atol=1e-12)  # out of the palm


def test_turns_compose_to_the_rotation():
    rotation = Rotation.random(50, random_state=0).as_matrix().reshape(5, 10, 3, 3)
    for sequence in ("ZXY", "YXY"):
        angles = turns(rotation, sequence)
        again = Rotation.from_euler(sequence, angles.reshape(-1, 3)).as_matrix().reshape(rotation.shape)
        np.testing.assert_allclose(again, rotation, atol=1e-9)
    assert (angles[..., 1] <= 0).all() and np.abs(angles).max() <= np.pi


def test_unknown_rotations_have_no_turns():
    rotation = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    angles = turns(rotation, "ZXY")
    assert np.isnan(angles).tolist() == [[False] * 3, [True] * 3]
    assert np.isnan(turns(rotation[1:], "YXY")).all()


def test_left_joints_turn_as_right_ones():
    vector = np.array([0.3, -0.5, 0.2])
    still = {segment: np.eye(3) for segment in TREE.segments}
    for name in ("thigh", "shank", "foot", "upper_arm", "forearm"):
        left = still | {f"left_{name}": Rotation.from_rotvec(vector).as_matrix()}
        right = still | {f"right_{name}": Rotation.from_rotvec(vector * (1, -1, -1)).as_matrix()}
        rotation = joint_rotation(f"right_{name}", right)
        np.testing.assert_allclose(joint_rotation(f"left_{name}", left), rotation, atol=1e-12)


def test_angles_wrap():
    np.testing.assert_allclose(wrap(np.array([0.5, 3.5, -3.5])), [0.5, 3.5 - 2 * np.pi, 2 * np.pi - 3.5])
