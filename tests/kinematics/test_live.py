import numpy as np

from moving_skeletons import TREE, moving_points
from occlupose.kinematics import LiveSkeleton, fit_skeleton
from occlupose.kinematics.live import WINDOW
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


def test_bones_are_constant_after_two_seconds():
    live = LiveSkeleton(H36M17, 10.0)
    lengths = np.concatenate([live.update(frame[0]).bone_lengths for frame in joints(40)])
    np.testing.assert_array_equal(lengths[20:], lengths[[20] * 20])


def test_before_a_joint_is_known_nobody_is_there_and_gaps_are_gone_through():
    xyz = joints(3 * WINDOW)
    xyz[:2] = np.nan
    xyz[12:14] = np.nan
    live = LiveSkeleton(H36M17, 60.0)
    fits = [live.update(frame[0]) for frame in xyz]
    assert all(np.isnan(fitted.xyz).all() for fitted in fits[:2])
    assert all(np.isfinite(fitted.xyz).all() for fitted in fits[2:])
    assert fits[13].covariance[..., :3].max() > fits[11].covariance[..., :3].max()


def test_the_future_changes_nothing():
    xyz = joints(20)
    other = xyz.copy()
    other[12:] += 0.3
    results = []
    for each in (xyz, other):
        live = LiveSkeleton(H36M17, 60.0)
        results.append(np.concatenate([live.update(frame[0]).xyz for frame in each]))
    np.testing.assert_array_equal(results[0][:12], results[1][:12])
