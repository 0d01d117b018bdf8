import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from occlupose.metrics.pose3d import joint_errors, procrustes, root_relative

SEEDS = st.integers(0, 2**32 - 1)


def poses(seed=0, shape=(17, 3)):
    return np.random.default_rng(seed).normal(0, 0.4, shape)


def moved(xyz, seed):
    """Turned, scaled and shifted as one body."""
    random = np.random.default_rng(seed)
    return random.uniform(0.5, 2) * xyz @ Rotation.random(rng=random).as_matrix().T + random.normal(0, 3, 3)


def test_errors_are_distances():
    truth = poses(shape=(4, 2, 17, 3))
    np.testing.assert_allclose(joint_errors(truth + np.array([2, 3, 6]), truth), np.full((4, 2, 17), 7))
    assert (joint_errors(truth, truth) == 0).all()


def test_missing_joints_have_no_error():
    truth, predicted = poses(), poses(1)
    truth[3], predicted[5, 1] = np.nan, np.nan
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(joint_errors(predicted, truth))), [3, 5])


@pytest.mark.parametrize("root", [0, 4])
def test_poses_are_taken_about_their_root(root):
    xyz = poses(shape=(5, 17, 3))
    relative = root_relative(xyz, root)
    assert (relative[:, root] == 0).all()
    np.testing.assert_allclose(relative, root_relative(xyz + np.array([1, 2, 3]), root))


@given(SEEDS)
def test_a_body_moved_turned_and_scaled_fits_the_truth(seed):
    truth = poses(seed)
    np.testing.assert_allclose(procrustes(moved(truth, seed), truth), truth, atol=1e-9)


@given(SEEDS)
def test_a_mirror_image_does_not_fit(seed):
    truth = poses(seed)
    assert joint_errors(procrustes(truth * (-1, 1, 1), truth), truth).mean() > 0.05


@settings(max_examples=60)
@given(SEEDS, st.integers(3, 20))
def test_the_fit_is_that_of_scipy(seed, joints):
    truth, predicted = poses(seed, (joints, 3)), poses(seed + 1, (joints, 3))
    fitted = procrustes(predicted, truth)
    mean_p, mean_t = predicted.mean(0), truth.mean(0)
    rotation, _ = Rotation.align_vectors(truth - mean_t, predicted - mean_p)
    turned = rotation.apply(predicted - mean_p)
    scale = (turned * (truth - mean_t)).sum() / (turned**2).sum()
    np.testing.assert_allclose(fitted, scale * turned + mean_t, atol=1e-6)


@settings(max_examples=60)
@given(SEEDS)
def test_where_scipy_needs_no_mirror_the_error_is_its_disparity(seed):
    truth = poses(seed)
    predicted = moved(truth, seed) + 0.3 * poses(seed + 1)
    _, _, disparity = scipy_procrustes(truth, predicted)
    error = (joint_errors(procrustes(predicted, truth), truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()
    assert error == pytest.approx(disparity, abs=1e-6)


@settings(max_examples=60)
@given(SEEDS)
def test_no_other_motion_fits_better(seed):
    truth, predicted = poses(seed), poses(seed + 1)
    best = procrustes(predicted, truth)
    squared = (joint_errors(best, truth) ** 2).sum()
    random = np.random.default_rng(seed)
    for size in (1e-3, 0.1):
        turn = Rotation.from_rotvec(random.normal(0, size, 3))
        other = turn.apply(best - best.mean(0)) * (1 + random.normal(0, size)) + best.mean(0) + random.normal(0, size, 3)
        assert (joint_errors(other, truth) ** 2).sum() >= squared


def test_each_pose_is_fitted_by_itself():
    truth, predicted = poses(shape=(3, 2, 17, 3)), poses(1, shape=(3, 2, 17, 3))
    fitted = procrustes(predicted, truth)
    assert fitted.shape == truth.shape
    for index in np.ndindex(3, 2):
        np.testing.assert_allclose(fitted[index], procrustes(predicted[index], truth[index]), atol=1e-12)
    assert procrustes(predicted[:0], truth[:0]).shape == (0, 2, 17, 3)


@given(SEEDS)
def test_joints_that_are_missing_do_not_count(seed):
    truth, predicted = poses(seed), poses(seed + 1)
    known = np.arange(17) > 5
    expected = procrustes(predicted[known], truth[known])
    truth[:3], predicted[2:6] = np.nan, np.nan
    fitted = procrustes(predicted, truth)
    np.testing.assert_allclose(fitted[known], expected, atol=1e-9)
    assert np.isfinite(fitted[:2]).all()  # predicted, though nobody knows the truth
    assert np.isnan(fitted[2:6]).all()


def test_poses_without_joints_or_of_a_single_point():
    truth = poses()
    assert np.isnan(procrustes(np.full_like(truth, np.nan), truth)).all()
    np.testing.assert_allclose(procrustes(np.ones_like(truth), truth), np.broadcast_to(truth.mean(0), truth.shape))
    np.testing.assert_allclose(procrustes(truth, np.ones_like(truth)), np.ones_like(truth))


def test_single_precision_far_from_the_origin_is_enough():
    truth = (poses() + 8).astype(np.float32)
    np.testing.assert_allclose(procrustes(moved(truth, 1).astype(np.float32), truth), truth, atol=1e-5)
