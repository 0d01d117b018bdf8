"""The axes of files with y up."""

from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from known_fits import known_fit
from moving_skeletons import TREE
from occlupose.formats.axes import to_y_up
from occlupose.kinematics import SkeletonFit
from occlupose.skeletons import H36M17
from pose_records import record
from walking_people import HEIGHT


@pytest.fixture(scope="module")
def truth():
    return standing(people=2)


def test_joints_stand_on_the_floor_below_the_camera(truth):
    poses = record_of(truth)
    xyz = to_y_up(poses)
    np.testing.assert_allclose(xyz, truth.xyz, atol=1e-5)
    assert abs(xyz[..., 1].min()) < 1e-5
    head, pelvis = TREE.skeleton.index("head_top", "pelvis")
    assert (xyz[:, :, head] - xyz[:, :, pelvis])[..., 1].min() > 0.5
    assert xyz[..., 2].max() < 0  # before the camera


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-10, 0), (35, 0), (20, -30)])
def test_however_the_camera_is_tilted_the_file_is_the_same(truth, pitch, roll):
    poses = record_of(truth, pitch=pitch, roll=roll)
    np.testing.assert_allclose(to_y_up(poses), truth.xyz, atol=1e-5)
    fit = SkeletonFit.of(poses).turn_y_up(poses.world)
    np.testing.assert_allclose(fit.xyz, truth.xyz, atol=1e-5)


def test_distances_are_those_of_the_record(truth):
    poses = record_of(truth)
    flat = poses.xyz.reshape(-1, 3)
    placed = to_y_up(poses).reshape(-1, 3)
    np.testing.assert_allclose(
        np.linalg.norm(placed - placed[0], axis=1), np.linalg.norm(flat - flat[0], axis=1), atol=1e-4
    )
    np.testing.assert_allclose(np.linalg.norm(placed - (0, HEIGHT, 0), axis=1), np.linalg.norm(flat, axis=1), atol=1e-4)


def test_without_a_world_the_camera_is_the_origin():
    poses = record(5, 2, H36M17)
    xyz = to_y_up(poses)
    assert xyz.dtype == np.float32
    np.testing.assert_array_equal(xyz, poses.xyz * np.float32((1, -1, -1)))


def test_skeletons_stand_there_too(truth):
    poses = record_of(truth)
    fit = SkeletonFit.of(poses).turn_y_up(poses.world)
    for name in ("root", "xyz", "covariance", "root_covariance", "turn_covariance", "bone_offsets"):
        np.testing.assert_allclose(getattr(fit, name), getattr(truth, name), atol=1e-5, err_msg=name)
    np.testing.assert_allclose(np.abs((fit.rotation * truth.rotation).sum(-1)), 1, atol=1e-6)
    np.testing.assert_allclose(fit.orientation(), truth.orientation(), atol=1e-5)


def test_skeletons_without_a_world_keep_the_camera_as_the_origin():
    fit = known_fit([{"pelvis": (0.3, 0.2, 0.1)}, {}])
    turned = fit.turn_y_up()
    np.testing.assert_array_equal(turned.xyz, fit.xyz * np.float32((1, -1, -1)))
    np.testing.assert_allclose(turned.orientation(), np.diag([1, -1, -1]) @ fit.orientation(), atol=1e-6)
    np.testing.assert_array_equal(turned.covariance, fit.covariance)


def test_who_is_unknown_remains_so(truth):
    poses = record_of(truth)
    arrays = {name: values.copy() for name, values in poses.arrays.items()}
    for name, values in arrays.items():
        values[2, 1] = 0 if name in ("state", "score") else np.nan
    gone = replace(poses, **arrays)
    fit = SkeletonFit.of(gone).turn_y_up(poses.world)
    known = np.ones((5, 2), bool)
    known[2, 1] = False
    np.testing.assert_array_equal(fit.known, known)
    np.testing.assert_array_equal(np.isfinite(to_y_up(gone)).all((2, 3)), known)
    for name in ("rotation", "xyz", "covariance", "turn_covariance"):
        assert np.isnan(getattr(fit, name)[2, 1]).all(), name


def test_a_skeleton_of_which_only_some_joints_are_known_is_in_its_place(truth):
    poses = record_of(truth)
    hidden = poses.state.copy()
    hidden[3, 0, :-1] = 0
    lost = (hidden == 0)[..., None]
    arrays = {name: np.where(lost, np.nan, getattr(poses, name)) for name in ("xy", "xyz", "xyz_lifted", "covariance")}
    fit = SkeletonFit.of(replace(poses, state=hidden, **arrays)).turn_y_up(poses.world)
    np.testing.assert_allclose(fit.xyz, truth.xyz, atol=1e-5)
