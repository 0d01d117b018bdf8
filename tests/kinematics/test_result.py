from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from known_fits import known_fit, without
from moving_skeletons import TREE, moving_poses
from occlupose.kinematics import fit_poses
from occlupose.kinematics.result import BY_FRAME, blank, keep_signs
from occlupose.skeletons import COCO21, H36M17


def test_quaternions_of_a_whole_turn_do_not_jump():
    turns = Rotation.from_rotvec(np.linspace(0, 4 * np.pi, 80)[:, None] * [0, 1, 0])
    canonical = turns.as_quat(canonical=True, scalar_first=True)[:, None]
    kept = keep_signs(canonical)
    assert np.abs(np.diff(canonical, axis=0)).max() > 1 > 0.2 > np.abs(np.diff(kept, axis=0)).max()
    same = Rotation.from_quat(kept[:, 0], scalar_first=True) * turns.inv()
    np.testing.assert_allclose(same.magnitude(), 0, atol=1e-7)
    np.testing.assert_array_equal(keep_signs(canonical[:1]), canonical[:1])


def test_a_blank_record_has_nobody():
    fit = blank(TREE, 2, 3)
    assert np.isnan(fit.joints(H36M17)).all() and fit.joints(COCO21).shape == (2, 3, 21, 3)
    assert fit.bone_lengths.shape == (3, len(TREE.rest))


def test_orientations_are_those_of_the_tree_and_unknown_where_nobody_is():
    fit = without(known_fit([{"left_thigh": (0, 0, 0.3), "left_shank": (1, 0, 0)}] * 3), [2])
    relative = fit.by_segment(fit.relative())
    orientation = fit.by_segment(fit.orientation())
    np.testing.assert_allclose(orientation["left_shank"][:2], (relative["left_thigh"] @ relative["left_shank"])[:2])
    assert fit.known[:, 0].tolist() == [True, True, False]
    assert all(np.isnan(values[2]).all() and np.isfinite(values[:2]).all() for values in orientation.values())


def test_turned_axes_place_the_same_people():
    fit = known_fit([{"pelvis": (0.3, 0.2, 0.1), "left_shank": (1, 0, 0)}])
    turned = fit.turn_y_up()
    np.testing.assert_allclose(turned.xyz, fit.xyz * (1, -1, -1))
    places = TREE.place(torch.from_numpy(turned.orientation()[:, 0]), TREE.rest).numpy() + turned.root
    np.testing.assert_allclose(places, turned.xyz[:, 0], atol=1e-5)
    again = turned.turn_y_up()
    np.testing.assert_allclose(np.abs((again.rotation * fit.rotation).sum(-1)), 1, atol=1e-6)


def test_some_people_are_selected():
    one = known_fit([{}])
    twice = {name: np.repeat(values, 2, 1) for name, values in vars(one).items() if name in BY_FRAME}
    both = replace(one, **twice, bone_offsets=np.concatenate([one.bone_offsets, 2 * one.bone_offsets]))
    chosen = both.select([1])
    assert chosen.rotation.shape == one.rotation.shape and chosen.covariance.shape == one.covariance.shape
    np.testing.assert_array_equal(chosen.bone_lengths, 2 * one.bone_lengths)


def test_a_rotation_relative_to_the_chest_is_surer_than_the_sum_of_its_parts():
    poses = moving_poses(np.random.default_rng(0), 10, people=1)
    fit = fit_poses(poses)
    variance = dict(zip(fit.segments, fit.turn_covariance[5, 0, :, :3].sum(-1), strict=True))
    angles = dict(zip(fit.segments, (fit.angle_sigma[5, 0] ** 2).sum(-1), strict=True))
    assert variance["left_shank"] == pytest.approx(angles["left_shank"], rel=0.2)
    assert variance["chest"] < angles["abdomen"] + angles["chest"]
