import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from known_fits import known_fit
from moving_skeletons import TREE, moving_points
from occlupose.errors import OccluposeError
from occlupose.kinematics import LiveSkeleton, fit_skeleton
from occlupose.kinematics.live import add_last, eliminate
from occlupose.skeletons import H36M17, convert


def joints(frames=40, seed=0):
    return convert(moving_points(np.random.default_rng(seed), frames), TREE.skeleton, H36M17)


def test_it_follows_a_person_as_well_as_the_whole_video_does():
    xyz = joints()
    live = LiveSkeleton(H36M17, 60.0)
    followed = np.concatenate([live.update(frame[0]).xyz for frame in xyz])
    whole = fit_skeleton(xyz, H36M17, 60.0).xyz
    shown = [TREE.points.index(joint) for joint in H36M17.joints]
    assert np.linalg.norm(followed - whole, axis=-1)[:, :, shown].mean() < 0.01


@pytest.mark.parametrize("fps", [3.0, 10.0, 16.0])
def test_bones_are_constant_after_two_seconds(fps):
    noise = 0.02 * np.random.default_rng(1).standard_normal((40, 1, 17, 3))
    live = LiveSkeleton(H36M17, fps)
    measured = []
    lengths = []
    for frame in joints(40) + noise:
        lengths.append(live.update(frame[0]).bone_lengths[0])
        measured.append(live.is_measured)
    last = int(2 * fps) - 1
    assert measured == [number >= last for number in range(40)]
    assert np.ptp(lengths[:last], axis=0).max() > 1e-3
    np.testing.assert_array_equal(lengths[last:], [lengths[last]] * (40 - last))


def test_bones_change_little_from_frame_to_frame_once_the_motion_has_begun():
    noise = 0.05 * np.random.default_rng(1).standard_normal((60, 1, 17, 3))
    live = LiveSkeleton(H36M17, 60.0)
    lengths = np.concatenate([live.update(frame[0]).bone_lengths for frame in joints(60) + noise])
    steps = np.abs(np.diff(lengths, axis=0)).max(1)
    assert steps[:16].max() > 4 * steps[16:].max() > 0


def test_after_a_time_out_of_sight_the_motion_begins_anew_with_the_same_bones():
    xyz = joints(300)[::2]
    noisy = xyz + 0.02 * np.random.default_rng(1).standard_normal(xyz.shape)
    covariance = np.broadcast_to(4e-4 * np.array([1, 1, 1, 0, 0, 0]), (17, 6))
    live = LiveSkeleton(H36M17, 30.0)
    before = [live.update(frame[0], covariance=covariance) for frame in noisy[:70]]
    live.lose()
    assert np.isnan(live.update(np.full((17, 3), np.nan), covariance=np.full((17, 6), np.nan)).xyz).all()
    after = [live.update(frame[0], covariance=covariance) for frame in noisy[100:120]]
    found = np.concatenate([one.joints(H36M17)[0] for one in after])
    assert np.linalg.norm(found - xyz[100:120, 0], axis=-1).mean(1).max() < 0.05
    for one in after:
        np.testing.assert_array_equal(one.bone_offsets, before[-1].bone_offsets)


def test_who_was_out_of_sight_at_first_is_measured_on():
    xyz = joints(80)
    live = LiveSkeleton(H36M17, 60.0)
    for frame in xyz[:5]:
        live.update(frame[0])
    live.lose()
    fits = [live.update(frame[0]) for frame in xyz[40:80]]
    shown = [TREE.points.index(joint) for joint in H36M17.joints]
    true = fit_skeleton(xyz, H36M17, 60.0)
    assert np.linalg.norm(fits[-1].xyz[0, 0] - true.xyz[79, 0], axis=-1)[shown].max() < 0.03
    assert not np.array_equal(fits[0].bone_offsets, fits[-1].bone_offsets)


def test_before_a_joint_is_known_nobody_is_there_and_gaps_are_gone_through():
    xyz = joints(24)
    xyz[:2] = np.nan
    xyz[12:14] = np.nan
    live = LiveSkeleton(H36M17, 60.0)
    fits = [live.update(frame[0]) for frame in xyz]
    assert all(np.isnan(fitted.xyz).all() for fitted in fits[:2])
    assert all(np.isfinite(fitted.xyz).all() for fitted in fits[2:])
    wrist = TREE.points.index("left_wrist")
    assert (fits[13].covariance[:, :, wrist, :3] > fits[11].covariance[:, :, wrist, :3]).all()


def test_the_future_changes_nothing():
    xyz = joints(20)
    other = xyz.copy()
    other[12:] += 0.3
    results = []
    for each in (xyz, other):
        live = LiveSkeleton(H36M17, 60.0)
        results.append(np.concatenate([live.update(frame[0]).xyz for frame in each]))
    np.testing.assert_array_equal(results[0][:12], results[1][:12])


def test_quaternions_keep_their_signs_while_somebody_who_faces_the_camera_leans_to_and_fro():
    xyz = np.repeat(known_fit([{}]).turn_y_up().joints(H36M17)[:, 0], 40, 0)
    angles = 0.3 * np.sin(0.6 * np.arange(len(xyz)))
    leaning = Rotation.from_euler("x", angles[:, None]).as_matrix()
    turned = (xyz - xyz[:, :1]) @ leaning.swapaxes(-1, -2) + xyz[:, :1]
    live = LiveSkeleton(H36M17, 30.0)
    quaternions = np.concatenate([live.update(frame).rotation[:, 0] for frame in turned])
    assert np.abs(quaternions[:, 0, 0]).min() < 0.1
    assert ((quaternions[1:] * quaternions[:-1]).sum(-1) > 0).all()


def test_noise_falls():
    xyz = joints(120)
    noisy = xyz + 0.03 * np.random.default_rng(1).standard_normal(xyz.shape)
    covariance = np.broadcast_to([9e-4, 9e-4, 9e-4, 0, 0, 0], (17, 6))
    live = LiveSkeleton(H36M17, 60.0)
    followed = np.concatenate([live.update(frame[0], covariance=covariance).joints(H36M17) for frame in noisy])
    error = [np.linalg.norm(values - xyz, axis=-1)[40:].mean() for values in (followed, noisy)]
    assert error[0] < 0.7 * error[1]


def test_what_is_left_of_an_inverse_covariance_is_that_of_the_rest():
    factor = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 9)))
    information = factor @ factor.mT
    np.testing.assert_allclose(eliminate(information, 3), information.inverse()[3:, 3:].inverse(), rtol=1e-6)
    added = add_last(information, torch.eye(3, dtype=torch.float64))
    np.testing.assert_allclose(added - information, np.diag([0.0] * 6 + [1.0] * 3), atol=1e-12)


def test_it_stays_with_a_person_of_whom_little_is_seen_for_long():
    xyz = np.tile(joints(200), (3, 1, 1, 1))[:, 0]
    hidden = np.random.default_rng(0).random(xyz.shape[:2]) < 0.5
    hidden[:, H36M17.index("left_wrist", "left_elbow")] = True
    xyz[hidden] = np.nan
    live = LiveSkeleton(H36M17, 60.0)
    fits = [live.update(frame) for frame in xyz]
    found = np.concatenate([fitted.joints(H36M17)[0] for fitted in fits])
    assert np.nanmedian(np.linalg.norm(found - xyz, axis=-1)) < 0.02
    assert fits[-1].angle_sigma[0, 0, fits[-1].segments.index("left_forearm"), 2] > 0.5


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(OccluposeError, match="xyz: has numbers beyond"):
        LiveSkeleton(H36M17, 30.0).update(np.full((17, 3), np.inf))
    with pytest.raises(OccluposeError, match=r"xyz: has shape \(1, 17, 3\); h36m17 needs \(17, 3\), in metres"):
        LiveSkeleton(H36M17, 30.0).update(np.zeros((1, 17, 3)))
    with pytest.raises(OccluposeError, match="xy: keypoints need a camera"):
        LiveSkeleton(H36M17, 30.0).update(np.zeros((17, 3)), xy=np.zeros((17, 2)))
    with pytest.raises(OccluposeError, match="fps 0"):
        LiveSkeleton(H36M17, 0)
