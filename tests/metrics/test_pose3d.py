import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from occlupose.metrics.pose3d import (
    METRICS,
    WORST,
    MPJPEReport,
    align_scale,
    all_errors,
    joint_errors,
    procrustes,
    root_relative,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import H36M17

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
    truth = poses()
    predicted = poses(1)
    truth[3] = np.nan
    predicted[5, 1] = np.nan
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
    truth = poses(seed, (joints, 3))
    predicted = poses(seed + 1, (joints, 3))
    fitted = procrustes(predicted, truth)
    mean_p = predicted.mean(0)
    mean_t = truth.mean(0)
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
    truth = poses(seed)
    predicted = poses(seed + 1)
    best = procrustes(predicted, truth)
    squared = (joint_errors(best, truth) ** 2).sum()
    random = np.random.default_rng(seed)
    for size in (1e-3, 0.1):
        turn = Rotation.from_rotvec(random.normal(0, size, 3))
        other = (
            turn.apply(best - best.mean(0)) * (1 + random.normal(0, size)) + best.mean(0) + random.normal(0, size, 3)
        )
        assert (joint_errors(other, truth) ** 2).sum() >= squared


def test_each_pose_is_fitted_by_itself():
    truth = poses(shape=(3, 2, 17, 3))
    predicted = poses(1, shape=(3, 2, 17, 3))
    fitted = procrustes(predicted, truth)
    assert fitted.shape == truth.shape
    for index in np.ndindex(3, 2):
        np.testing.assert_allclose(fitted[index], procrustes(predicted[index], truth[index]), atol=1e-12)
    assert procrustes(predicted[:0], truth[:0]).shape == (0, 2, 17, 3)


@given(SEEDS)
def test_joints_that_are_missing_do_not_count(seed):
    truth = poses(seed)
    predicted = poses(seed + 1)
    known = np.arange(17) > 5
    expected = procrustes(predicted[known], truth[known])
    truth[:3] = np.nan
    predicted[2:6] = np.nan
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


def by_hand(predicted, truth, fps):
    """The measures' means of a motion without gaps, written independently: loops, and scipy for the rotation."""
    errors = {name: [] for name in METRICS}
    p = predicted - predicted[:, :1]
    t = truth - truth[:, :1]
    for frame in range(len(t)):
        errors["mpjpe"] += [np.sqrt(((a - b) ** 2).sum()) for a, b in zip(p[frame], t[frame], strict=True)]
        scale = np.vdot(p[frame], t[frame]) / np.vdot(p[frame], p[frame])
        errors["n_mpjpe"] += [np.sqrt(((scale * a - b) ** 2).sum()) for a, b in zip(p[frame], t[frame], strict=True)]
        a = p[frame] - p[frame].mean(0)
        b = t[frame] - t[frame].mean(0)
        turn, size = orthogonal_procrustes(a, b)
        if np.linalg.det(turn) < 0:  # scipy mirrors; the best rotation turns the weakest direction back
            u, s, vt = np.linalg.svd(a.T @ b)
            turn = u @ np.diag([1, 1, -1]) @ vt
            size = s[0] + s[1] - s[2]
        fitted = size / (a**2).sum() * a @ turn
        errors["p_mpjpe"] += [np.sqrt(((x - y) ** 2).sum()) for x, y in zip(fitted, b, strict=True)]
        if frame:
            moved = (p[frame] - p[frame - 1]) - (t[frame] - t[frame - 1])
            errors["mpjve"] += [np.sqrt((joint**2).sum()) for joint in moved]
    errors["mpjve_per_second"] = [fps * error for error in errors["mpjve"]]
    return [np.mean(errors[name]) for name in METRICS]


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 6))
def test_the_measures_are_those_of_a_second_computation(seed, frames):
    truth = poses(seed, (frames, 17, 3))
    predicted = poses(seed + 1, (frames, 17, 3))
    np.testing.assert_allclose(
        np.nanmean(all_errors(predicted, truth, 50), (1, 2)), by_hand(predicted, truth, 50), atol=1e-6
    )


def test_known_predictions_have_known_errors():
    truth = poses(shape=(5, 17, 3))
    radius = joint_errors(root_relative(truth), 0).mean()
    speed = joint_errors(np.diff(root_relative(truth), axis=0), 0).mean()
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()

    def means(predicted):
        return np.nanmean(all_errors(predicted, truth, 50), (1, 2))

    np.testing.assert_allclose(means(truth), 0, atol=1e-9)
    np.testing.assert_allclose(means(truth + np.array([1, 2, 3])), 0, atol=1e-9)  # wherever the person stands
    np.testing.assert_allclose(means(1.5 * truth), [radius / 2, 0, 0, speed / 2, 25 * speed], atol=1e-9)
    turned = means(truth @ turn)
    assert turned[1] == pytest.approx(0, abs=1e-9) and turned[0] > turned[2] > 0.1
    mirrored = means(truth * (-1, 1, 1))
    assert mirrored[0] == pytest.approx(2 * np.abs(root_relative(truth)[..., 0]).mean()) and mirrored[1] > 0.05
    shifted = truth.copy()
    shifted[:, 3] += (0.03, 0, 0.04)  # one joint of seventeen, 5 cm off in every frame
    np.testing.assert_allclose(means(shifted)[[0, 3, 4]], [0.05 / 17, 0, 0], atol=1e-9)


@settings(max_examples=30)
@given(SEEDS)
def test_no_other_scale_fits_better(seed):
    truth = poses(seed)
    predicted = poses(seed + 1)
    squared = (joint_errors(align_scale(predicted, truth), truth) ** 2).sum()
    for scale in np.linspace(-2, 2, 41):
        assert (joint_errors(scale * predicted, truth) ** 2).sum() >= squared - 1e-12
    np.testing.assert_array_equal(align_scale(np.zeros((17, 3)), truth), 0)


def test_what_is_missing_is_not_measured_and_does_not_count():
    truth = poses(shape=(4, 17, 3))
    predicted = poses(1, (4, 17, 3))
    predicted[2, 5] = np.nan
    errors = all_errors(predicted, truth, 50)
    missing = np.isnan(errors)
    assert (missing[:3, 2, 5]).all() and missing[:3].sum() == 3
    assert missing[3:, 0].all() and missing[3:, 2:4, 5].all() and missing[3:].sum() == 2 * (17 + 2)
    known = np.delete(np.arange(17), 5)
    np.testing.assert_allclose(errors[:, 2, known], all_errors(predicted[:, known], truth[:, known], 50)[:, 2])
    assert all_errors(truth[:1], truth[:1], 50).shape == (5, 1, 17) and all_errors(truth[:0], truth[:0], 50).shape == (
        5,
        0,
        17,
    )


def test_a_report_has_both_means_and_keeps_the_occluded_apart():
    report = MPJPEReport(H36M17)
    wrist, knee = H36M17.index("left_wrist", "left_knee")
    long = np.full((5, 30, 17), 2.0)
    short = np.full((5, 10, 17), 6.0)
    states = np.full((30, 17), VISIBLE, np.uint8)
    states[:15, wrist] = OCCLUDED
    long[:, :15, wrist] = 10
    report.add("Walking", long[:, :10], states[:10])
    report.add("Walking", long[:, 10:], states[10:])
    report.add("Sitting", short, np.full((10, 17), VISIBLE, np.uint8))
    short[:, :, knee] = np.nan
    report.add("Eating", short, np.full((10, 17), VISIBLE, np.uint8))
    walking = (2 * (17 * 30 - 15) + 10 * 15) / (17 * 30)
    assert report.actions == ["Eating", "Sitting", "Walking"]
    np.testing.assert_allclose(report.mean("Walking"), walking)
    np.testing.assert_allclose(report.over_actions(), (6 + 6 + walking) / 3)
    np.testing.assert_allclose(report.mean(), (walking * 510 + 6 * 170 + 6 * 160) / (510 + 170 + 160))
    np.testing.assert_allclose(report.mean(state=OCCLUDED), 10)
    np.testing.assert_allclose(report.over_actions(state=OCCLUDED), 10)  # the others have none
    np.testing.assert_allclose(report.mean("Walking", state=VISIBLE), 2)
    np.testing.assert_allclose(report.mean(joint="left_wrist"), (15 * 10 + 15 * 2 + 20 * 6) / 50)
    np.testing.assert_allclose(report.mean(joint="left_knee"), (30 * 2 + 10 * 6) / 40)
    assert (
        np.isnan(report.mean("Eating", joint="left_knee")).all()
        and np.isnan(report.mean("Sitting", state=OCCLUDED)).all()
    )
    assert report.share(OCCLUDED) == pytest.approx(15 / 840) and report.share(VISIBLE) == pytest.approx(825 / 840)
    assert report.scored("left_knee") and not MPJPEReport(H36M17).scored("left_knee")


def test_joints_of_unknown_state_are_in_neither_group():
    report = MPJPEReport(H36M17)
    state = np.full((4, 17), ABSENT, np.uint8)
    state[:, 3] = OCCLUDED
    report.add("", np.ones((5, 4, 17)), state)
    assert report.share(OCCLUDED) == pytest.approx(1 / 17) and report.share(VISIBLE) == 0
    np.testing.assert_allclose(report.mean(), 1)


def test_the_worst_joints_are_the_largest_errors_of_all_sequences():
    random = np.random.default_rng(0)
    report = MPJPEReport(H36M17)
    errors = [random.random((len(METRICS), frames, 17)) for frames in (400, 300, 200)]
    errors[1][0, 5, 3] = np.nan
    assert np.isnan(report.mean_of_worst())
    for each in errors:
        report.add("Walk", each, np.full(each.shape[1:], VISIBLE, np.uint8))
    together = np.concatenate([each[0].ravel() for each in errors])
    expected = np.sort(together[np.isfinite(together)])[-WORST:]
    assert len(report.largest) == WORST
    assert report.mean_of_worst() == pytest.approx(expected.mean())
