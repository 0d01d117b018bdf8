from dataclasses import replace

import numpy as np
import pytest

from occlupose.viewer.uncertainty import image_spread, joint_deviation
from walking_people import make_poses, stand


def with_covariance(poses, sigma):
    covariance = np.zeros((*poses.state.shape, 6))
    covariance[..., :3] = np.square(sigma)
    return replace(poses, covariance=covariance)


def test_nothing_is_known():
    assert image_spread(make_poses(stand(0, 4, 2))) is None and joint_deviation(None) is None


def test_the_deviation_is_the_root_mean_square_of_three_axes():
    assert joint_deviation(np.array([[0.01, 0.04, 0.04, 0, 0, 0.03]])) == pytest.approx([0.03**0.5])


def test_spread_of_the_keypoints_comes_first_and_absent_joints_have_none():
    poses = with_covariance(make_poses(stand(0, 4, 2)), 0.05)
    poses = replace(poses, spread=np.full(poses.state.shape, 3.0))
    poses.state[0, 0, 0] = 0
    spread = image_spread(poses)
    assert np.isnan(spread[0, 0, 0]) and np.nansum(spread) == 3.0 * (spread.size - 1)


def test_covariance_is_seen_by_the_camera():
    poses = with_covariance(make_poses(stand(0, 4, 1)), 0.05)
    pelvis = poses.skeleton.index("pelvis")[0]
    depth = poses.xyz[0, 0, pelvis, 2]
    assert image_spread(poses)[0, 0, pelvis] == pytest.approx(poses.camera.fx * 0.05 / depth, rel=1e-5)


def test_else_the_spread_of_the_detections_counts():
    poses = make_poses(stand(0, 4, 1))
    observed = replace(poses.to_2d(), spread=np.full(poses.state.shape, 2.0))
    assert (image_spread(replace(poses, observed=observed)) == 2.0).all()
