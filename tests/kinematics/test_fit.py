from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from moving_skeletons import TREE, moving_points, moving_poses, moving_rotation, own_bones, poses_of
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.kinematics import fit, fit_poses, fit_skeleton
from occlupose.poses import OCCLUDED
from occlupose.skeletons import BODY26, COCO17, COCO21, H36M17, convert
from occlupose.world.standing import to_record

UNIT = np.array([1.0, 1, 1, 0, 0, 0])


def covariance_of(xyz, sigma):
    return np.broadcast_to(UNIT * sigma**2, (*xyz.shape[:3], 6))


def person(frames=60, skeleton=H36M17, noise=0.0, seed=0):
    """Joints as given, and all points as they are."""
    random = np.random.default_rng(seed)
    points = moving_points(random, frames)
    xyz = convert(points, TREE.skeleton, skeleton)
    return xyz + noise * random.standard_normal(xyz.shape), points


def distance(one, other):
    return np.linalg.norm(one - other, axis=-1)


def test_a_skeleton_is_recovered_from_all_its_points():
    random = np.random.default_rng(4)
    bones = own_bones(random)
    rotation = moving_rotation(random, 60)
    points = (np.array([0, 0, 3.0]) + TREE.place(rotation, bones).numpy())[:, None]
    fitted = fit_skeleton(points, TREE.skeleton, 60.0, covariance=covariance_of(points, 0.001))
    assert distance(fitted.xyz, points).mean() < 0.003
    np.testing.assert_allclose(fitted.bone_lengths[0], bones.norm(dim=-1), atol=0.005)
    relative = Rotation.from_quat(fitted.rotation.reshape(-1, 4), scalar_first=True).as_matrix()
    found = TREE.compose(torch.from_numpy(relative).reshape(60, len(TREE.segments), 3, 3))
    error = np.degrees(Rotation.from_matrix((found @ rotation.mT).reshape(-1, 3, 3).numpy()).magnitude())
    errors = dict(zip(TREE.segments, error.reshape(60, -1).mean(0), strict=True))
    for segment in ("pelvis", "left_thigh", "right_thigh", "left_upper_arm", "right_upper_arm"):
        assert errors[segment] < 4, segment


@pytest.mark.parametrize("skeleton", [H36M17, COCO17, BODY26], ids=lambda skeleton: skeleton.name)
def test_joints_are_reproduced_with_constant_bones(skeleton):
    xyz, _ = person(skeleton=skeleton)
    fitted = fit_skeleton(xyz, skeleton, 60.0, covariance=covariance_of(xyz, 0.002))
    assert distance(fitted.joints(skeleton), xyz).mean() < 0.01
    bones = fitted.xyz[:, 0, 1:] - fitted.xyz[:, 0, list(TREE.start)]
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), fitted.bone_lengths[[0] * 60], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fitted.rotation, axis=-1), 1, atol=1e-6)


def test_points_are_those_of_the_quaternions_and_bones():
    xyz, _ = person(frames=4)
    fitted = fit_skeleton(xyz, H36M17, 30.0)
    relative = Rotation.from_quat(fitted.rotation.reshape(-1, 4), scalar_first=True).as_matrix()
    relative = torch.from_numpy(relative.reshape(4, len(TREE.segments), 3, 3))
    places = TREE.place(TREE.compose(relative), torch.from_numpy(fitted.bone_offsets[0]).double())
    np.testing.assert_allclose(fitted.xyz[:, 0], fitted.root + places.numpy(), atol=1e-5)


def test_noise_and_jitter_fall_and_the_truth_is_within_what_is_stated():
    noisy, points = person(frames=120, noise=0.03)
    true = convert(points, TREE.skeleton, H36M17)
    fitted = fit_skeleton(noisy, H36M17, 60.0, covariance=covariance_of(noisy, 0.03))
    joints = fitted.joints(H36M17)
    assert distance(joints, true).mean() < 0.5 * distance(noisy, true).mean()
    jitter = [np.abs(np.diff(values, 2, axis=0)).mean() for values in (joints, noisy)]
    assert jitter[0] < 0.1 * jitter[1]
    sigma = np.sqrt(convert(fitted.covariance[..., :3], fitted.skeleton, H36M17)[:, :, 1:])
    error = np.abs((joints - joints[:, :, :1]) - (true - true[:, :, :1]))[:, :, 1:]
    assert (error < 2 * sigma).mean() > 0.9


def test_outliers_count_little():
    noisy, points = person(frames=120, noise=0.01)
    true = convert(points, TREE.skeleton, H36M17)
    random = np.random.default_rng(7)
    wrong = random.random(noisy.shape[:3]) < 0.05
    noisy[wrong] += random.standard_normal((wrong.sum(), 3))
    fitted = fit_skeleton(noisy, H36M17, 60.0, covariance=covariance_of(noisy, 0.01))
    assert distance(fitted.joints(H36M17), true).mean() < 0.015


def test_a_hidden_shin_is_inferred_and_said_to_be_uncertain():
    xyz, points = person(frames=60)
    shin = H36M17.index("left_knee", "left_ankle")
    xyz[20:30, :, shin] = np.nan
    fitted = fit_skeleton(xyz, H36M17, 60.0)
    assert distance(fitted.joints(H36M17), convert(points, TREE.skeleton, H36M17))[:, :, shin].max() < 0.1
    sigma = np.sqrt(fitted.covariance[:, 0, TREE.points.index("left_ankle"), :3].sum(-1))
    assert sigma[25] > 3 * sigma[5]


def test_a_twist_that_nothing_shows_is_said_to_be_uncertain():
    xyz, _ = person(frames=30)
    sigma = fit_skeleton(xyz, H36M17, 60.0).angle_sigma[:, 0].mean(0)
    of = dict(zip(TREE.segments, sigma, strict=True))
    assert of["left_forearm"][2] > 5 * of["left_forearm"][0]
    assert of["left_hand"].max() > 0.5


def test_a_mirrored_person_is_fitted_by_the_mirrored_skeleton():
    xyz, _ = person(frames=20)
    mirrored = xyz[:, :, list(H36M17.mirror)] * (-1, 1, 1)
    one = fit_skeleton(xyz, H36M17, 60.0)
    other = fit_skeleton(mirrored, H36M17, 60.0)
    np.testing.assert_allclose(other.xyz[:, :, list(TREE.skeleton.mirror)] * (-1, 1, 1), one.xyz, atol=0.01)


def test_keypoints_improve_joints_that_were_measured_relative_to_the_root():
    random = np.random.default_rng(2)
    camera = Camera.from_fov(1280, 960)
    true, _ = person(frames=60)
    root = true[:, :, :1] + random.normal(0, (0.02, 0.02, 0.1), (60, 1, 1, 3))
    given = true - true[:, :, :1] + random.normal(0, 0.04, true.shape)
    given[:, :, 0] = 0
    known = {
        "covariance": covariance_of(true, 0.04),
        "root_covariance": np.broadcast_to([4e-4, 4e-4, 1e-2, 0, 0, 0], (60, 1, 6)),
    }
    xy = camera.project(true) + random.normal(0, 2, (*true.shape[:3], 2))
    with_keypoints = fit_skeleton(given + root, H36M17, 60.0, **known, xy=xy, camera=camera)
    without = fit_skeleton(given + root, H36M17, 60.0, **known)

    def error(fitted):
        joints = fitted.joints(H36M17)
        return distance(joints - joints[:, :, :1], true - true[:, :, :1]).mean()

    assert error(with_keypoints) < 0.9 * error(without) < 0.5 * distance(given, true - true[:, :, :1]).mean()
    pixels = distance(camera.project(with_keypoints.joints(H36M17)), camera.project(true))
    assert pixels.mean() < 3


def test_people_are_fitted_apart_and_absent_ones_are_nan():
    xyz, _ = person(frames=12)
    both = np.concatenate([xyz, np.full_like(xyz, np.nan), 0.5 * xyz], 1)
    both[:4, 2] = np.nan
    fitted = fit_skeleton(both, H36M17, 30.0)
    assert np.isnan(fitted.xyz[:, 1]).all() and np.isnan(fitted.bone_lengths[1]).all()
    assert np.isnan(fitted.xyz[:4, 2]).all() and np.isfinite(fitted.xyz[4:, 2]).all()
    assert 0.4 < fitted.bone_lengths[2].sum() / fitted.bone_lengths[0].sum() < 0.6
    np.testing.assert_array_equal(fitted.xyz[:, 0], fit_skeleton(xyz, H36M17, 30.0).xyz[:, 0])


def test_a_person_of_whom_only_the_arms_are_in_the_picture_has_legs_of_great_uncertainty():
    xyz, points = person(frames=20)
    xyz[:, :, H36M17.index(*(f"{side}_{end}" for side in ("left", "right") for end in ("knee", "ankle")))] = np.nan
    fitted = fit_skeleton(xyz, H36M17, 60.0)
    wrist = TREE.points.index("left_wrist")
    assert distance(fitted.xyz, points)[:, :, wrist].mean() < 0.01
    ankle = TREE.points.index("left_ankle")
    assert np.sqrt(fitted.covariance[:, 0, ankle, :3].sum(-1)).min() > 0.3
    assert 0.3 < fitted.bone_lengths[0, ankle - 1] < 0.5


def test_one_joint_in_one_frame_is_a_person_of_whom_little_is_known():
    xyz = np.full((1, 1, 17, 3), np.nan)
    xyz[0, 0, 3] = (0, 0, 3)
    fitted = fit_skeleton(xyz, H36M17, 30.0)
    ankle = TREE.points.index("right_ankle")
    np.testing.assert_allclose(fitted.xyz[0, 0, ankle], (0, 0, 3), atol=0.02)
    assert np.sqrt(fitted.covariance[0, 0, TREE.points.index("head_top"), :3]).min() > 0.3
    assert fitted.angle_sigma[0, 0, 0].min() > 1
    head = fitted.xyz[0, 0, TREE.points.index("head_top")]
    assert head[1] < fitted.xyz[0, 0, 0][1]  # upright in the camera's axes


@pytest.mark.parametrize("shape", [(0, 1), (3, 0), (0, 0)])
def test_no_frames_or_nobody_is_nothing(shape):
    fitted = fit_skeleton(np.zeros((*shape, 17, 3)), H36M17, 30.0)
    assert fitted.xyz.shape == (*shape, len(TREE.points), 3)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 50.0, 5000.0])
def test_wild_numbers_get_finite_answers(scale):
    xyz = scale * np.random.default_rng(0).uniform(-1, 1, (10, 1, 17, 3))
    fitted = fit_skeleton(xyz, H36M17, 30.0)
    for values in (fitted.xyz, fitted.rotation, fitted.covariance, fitted.root_covariance, fitted.angle_sigma):
        assert np.isfinite(values).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.sampled_from([1.0, 30.0, 120.0]), st.floats(0, 0.9), st.floats(-4, 2), st.integers(0, 99))
def test_whatever_is_missing_and_however_uncertain_answers_are_finite(frames, fps, missing, log_sigma, seed):
    random = np.random.default_rng(seed)
    xyz, _ = person(frames, seed=seed, noise=10 ** min(log_sigma, 0))
    xyz[random.random(xyz.shape[:3]) < missing] = np.nan
    xyz[0, 0, 0] = (0, 0, 4)
    sigma = 10 ** (log_sigma + random.uniform(-1, 1, (*xyz.shape[:3], 1)))
    camera = Camera.from_fov(640, 480)
    fitted = fit_skeleton(
        xyz,
        H36M17,
        fps,
        covariance=UNIT * sigma**2,
        root_covariance=np.full((frames, 1, 6), UNIT * 0.04) if seed % 2 else None,
        xy=camera.project(xyz) + random.normal(0, 20, (*xyz.shape[:3], 2)),
        spread=random.uniform(0, 50, xyz.shape[:3]),
        camera=camera,
    )
    assert np.isfinite(fitted.xyz[0]).all() and np.isfinite(fitted.angle_sigma[0]).all()
    assert (fitted.covariance[0, :, :, :3] >= 0).all() and (fitted.bone_lengths < 3).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xyz": np.zeros((2, 17, 3))}, "xyz: has shape (2, 17, 3); h36m17 needs (time, person, 17, 3), in metres"),
        ({"fps": 0.0}, "fps 0.0: must be positive"),
        ({"fps": np.nan}, "fps nan: must be positive"),
        ({"covariance": np.zeros((2, 1, 17, 3))}, "covariance: has shape (2, 1, 17, 3); this xyz needs (2, 1, 17, 6)"),
        ({"spread": np.zeros((2, 17))}, "spread: has shape (2, 17); this xyz needs (2, 1, 17)"),
        ({"up": (0.0, 0.0, 0.0)}, "up (0.0, 0.0, 0.0): has no direction"),
        ({"xy": np.zeros((2, 1, 17, 2))}, "xy: keypoints need a camera; give one, or no xy"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    given = {"xyz": np.zeros((2, 1, 17, 3)), "fps": 30.0} | arguments
    with pytest.raises(OccluposeError) as error:
        fit_skeleton(given.pop("xyz"), H36M17, given.pop("fps"), **given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize("frames", [1, 40, 500, 512, 513, 1000, 2345])
def test_windows_cover_every_frame_once(frames):
    covered = [
        window.start + kept.start + offset
        for window, kept in fit.windows(frames)
        for offset in range(kept.stop - kept.start)
    ]
    assert covered == list(range(frames))
    assert all(window.stop - window.start <= fit.WINDOW for window, _ in fit.windows(frames))


def test_windows_give_what_all_frames_together_give(monkeypatch):
    xyz, _ = person(frames=150, noise=0.02)
    whole = fit_skeleton(xyz, H36M17, 60.0)
    monkeypatch.setattr(fit, "WINDOW", 100)
    assert distance(fit_skeleton(xyz, H36M17, 60.0).xyz, whole.xyz).max() < 0.005


def test_poses_are_fitted_with_all_that_is_in_them():
    poses = moving_poses(np.random.default_rng(0), 8, people=1)
    sure = np.broadcast_to(np.array([1, 1, 1, 0, 0, 0]) * 1e-4, (*poses.state.shape, 6)).copy()
    loose = sure.copy()
    wrist = poses.skeleton.index("left_wrist")[0]
    loose[:, :, wrist] *= 100
    deviations = []
    for covariance in (sure, loose):
        fitted = fit_poses(replace(poses, covariance=covariance, camera=None))
        deviations.append(fitted.covariance[4, 0, fitted.skeleton.index("left_wrist")[0], :3].sum())
    assert deviations[1] > 4 * deviations[0]
    loose[2, 0, wrist] = np.nan
    assert np.isfinite(fit_poses(replace(poses, covariance=loose)).xyz).all()


def test_keypoints_count_where_they_were_seen():
    poses = moving_poses(np.random.default_rng(0), 8, people=1)
    moved = replace(poses, xy=poses.xy + 20)
    hidden = replace(moved, state=np.full_like(poses.state, 1))
    exact = fit_poses(poses).xyz
    assert np.abs(fit_poses(moved).xyz - exact).max() > 0.002
    apart = np.abs(fit_poses(hidden).xyz - fit_poses(replace(poses, state=hidden.state)).xyz)
    np.testing.assert_allclose(apart, 0, atol=1e-6)


def test_errors_last_of_joints_that_state_covariances_only():
    poses = moving_poses(np.random.default_rng(0), 12, people=1, skeleton=H36M17)
    bare = replace(poses, camera=None)
    points = np.full((12, 1, len(TREE.points), 3), np.nan)
    points[:, :, TREE.skeleton.index(*H36M17.joints)] = poses.xyz
    stated = replace(bare, covariance=covariance_of(poses.xyz, 0.02))
    for lifted, sigma, lasting in ((bare, fit.SIGMA, 0.0), (stated, 0.02, fit.LASTING)):
        known = {"covariance": covariance_of(points, sigma), "lasting": lasting}
        expected = fit_skeleton(points, TREE.skeleton, poses.fps, **known)
        np.testing.assert_allclose(fit_poses(lifted).xyz, expected.xyz, atol=1e-5)
        np.testing.assert_allclose(fit_poses(lifted).covariance, expected.covariance, rtol=1e-3, atol=1e-8)


def test_feet_and_face_are_where_only_the_detections_have_them():
    points = moving_points(np.random.default_rng(0), 12)
    poses = poses_of(points, H36M17)
    seen = replace(poses, observed=poses_of(points, COCO21).to_2d())
    ends = [TREE.points.index(point) for point in ("left_big_toe", "right_heel", "nose", "left_ear")]
    errors = [distance(fit_poses(each).xyz, points)[:, :, ends].mean() for each in (seen, poses)]
    assert errors[0] < 0.04 and errors[0] < 0.6 * errors[1]


def test_keypoints_are_those_that_were_seen_by_the_detector():
    points = moving_points(np.random.default_rng(0), 4)
    poses = poses_of(points, H36M17)
    poses = replace(poses, covariance=covariance_of(poses.xyz, 0.05))
    observed = poses_of(points, COCO21).to_2d()
    toes = COCO21.index("left_big_toe", "right_big_toe")
    state = observed.state.copy()
    state[..., toes] = OCCLUDED
    observed = replace(observed, state=state)

    def fitted(own, detected, joints):
        moved = observed.xy.copy()
        moved[..., joints, :] += detected
        return fit_poses(replace(poses, xy=poses.xy + own, observed=replace(observed, xy=moved))).xyz

    exact = fitted(0, 0, toes)
    np.testing.assert_array_equal(fitted(40, 0, toes), exact)  # what follows from detections tells nothing more
    np.testing.assert_array_equal(fitted(0, 40, toes), exact)  # guesses of hidden joints
    assert np.abs(fitted(0, 40, COCO21.index("left_wrist")) - exact).max() > 0.02


def test_without_a_pelvis_joints_are_as_uncertain_as_the_root_and_they():
    poses = moving_poses(np.random.default_rng(0), 2, people=1, skeleton=COCO17)
    poses = replace(
        poses, covariance=covariance_of(poses.xyz, 0.1), root_covariance=covariance_of(poses.xyz, 0.2)[..., 0, :]
    )
    known = fit.known_of(poses)
    wrist = TREE.points.index("left_wrist")
    np.testing.assert_allclose(known["covariance"][:, :, wrist, :3], 0.05, rtol=1e-5)
    assert "root_covariance" not in known and np.isnan(known["xyz"][:, :, 0]).all()
    body = fit.known_of(poses.to(H36M17))
    np.testing.assert_allclose(body["covariance"][:, :, wrist, :3], 0.01, rtol=1e-5)
    np.testing.assert_allclose(body["root_covariance"][..., :3], 0.04, rtol=1e-5)


def test_up_decides_how_somebody_of_whom_little_is_known_stands():
    poses = moving_poses(np.random.default_rng(0), 1, people=1, skeleton=H36M17)
    known = np.arange(17) == 3
    one = replace(
        poses,
        xy=np.where(known[:, None], poses.xy, np.nan),
        xyz=np.where(known[:, None], poses.xyz, np.nan),
        state=np.where(known, poses.state, 0),
    )
    pelvis = TREE.points.index("pelvis")
    head = TREE.points.index("head_top")
    for up in ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        fitted = fit_poses(one, up)
        assert (fitted.xyz[0, 0, head] - fitted.xyz[0, 0, pelvis]) @ up > 0.4


def test_skeletons_in_a_record_are_not_fitted_again():
    poses = moving_poses(np.random.default_rng(0), 6, people=2, skeleton=H36M17)
    fitted = fit_poses(poses)
    np.testing.assert_array_equal(fit.skeletons_of(poses).xyz, fitted.xyz)
    moved = replace(to_record(poses, fitted, None, None), xy=poses.xy + 30)
    np.testing.assert_allclose(fit.skeletons_of(moved).xyz, fitted.xyz, atol=1e-5)


def test_poses_in_2d_are_refused():
    with pytest.raises(
        OccluposeError, match="the poses are in 2D, a skeleton is fitted in 3D; lift them with occlupose"
    ):
        fit_poses(moving_poses(np.random.default_rng(0), 3).to_2d())
