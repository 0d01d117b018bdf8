from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from known_fits import known_fit, without
from moving_skeletons import TREE, moving_poses
from occlupose.errors import OccluposeError
from occlupose.kinematics import SkeletonFit, fit_poses
from occlupose.kinematics.result import BY_FRAME, blank, join_people, keep_signs
from occlupose.poses import ABSENT, Poses
from occlupose.skeletons import COCO17, COCO21, H36M17
from occlupose.world.standing import to_record
from occlupose.world_frame import WorldFrame


@cache
def recorded():
    """Skeletons and the record that has them; the second person is absent in the first and the last frame."""
    poses = moving_poses(np.random.default_rng(0), 8, 2, H36M17)
    gone = np.zeros(poses.state.shape, bool)
    gone[[0, -1], 1:] = True
    poses = replace(
        poses,
        xy=np.where(gone[..., None], np.nan, poses.xy),
        xyz=np.where(gone[..., None], np.nan, poses.xyz),
        state=np.where(gone, ABSENT, poses.state),
    )
    fit = fit_poses(poses)
    return fit, to_record(poses, fit, None, None)


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


def test_in_the_axes_of_the_world_the_same_people_stand_on_the_floor():
    _, poses = recorded()
    fit = SkeletonFit.of(poses)
    world = WorldFrame.from_floor(np.array([0.1, -1, -0.3]), -1.6)
    turned = fit.turn_y_up(world)
    places = world.to_world(fit.xyz.astype(float))
    np.testing.assert_allclose(turned.xyz, places[..., [0, 2, 1]] * (1, 1, -1), atol=1e-5)
    for person in range(2):
        orientation = torch.from_numpy(turned.orientation()[:, person])
        own = TREE.place(orientation, torch.from_numpy(turned.bone_offsets[person]).double()).numpy()
        np.testing.assert_allclose(own + turned.root[:, person, None], turned.xyz[:, person], atol=1e-4)
    covariance = world.rotate_covariance(fit.root_covariance.astype(float))
    np.testing.assert_allclose(turned.root_covariance[..., :3], covariance[..., [0, 2, 1]], rtol=1e-3, atol=1e-9)
    np.testing.assert_array_equal(turned.angle_sigma, fit.angle_sigma)


def test_some_people_are_selected():
    one = known_fit([{}])
    twice = {name: np.repeat(values, 2, 1) for name, values in vars(one).items() if name in BY_FRAME}
    both = replace(one, **twice, bone_offsets=np.concatenate([one.bone_offsets, 2 * one.bone_offsets]))
    chosen = both.select([1])
    assert chosen.rotation.shape == one.rotation.shape and chosen.covariance.shape == one.covariance.shape
    np.testing.assert_array_equal(chosen.bone_lengths, 2 * one.bone_lengths)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_skeletons_are_those_that_were_saved(tmp_path, suffix):
    fit, poses = recorded()
    poses.save(tmp_path / f"a{suffix}")
    again = SkeletonFit.of(Poses.load(tmp_path / f"a{suffix}"))
    assert again.known.tolist() == fit.known.tolist() and again.known.sum() == 14
    for name in ("rotation", "turn_covariance", "root_covariance", "bone_offsets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fit, name))
    for name in ("root", "xyz"):
        np.testing.assert_allclose(getattr(again, name), getattr(fit, name), atol=1e-4)
    shared = fit.skeleton.index(*H36M17.joints)
    np.testing.assert_allclose(again.covariance[:, :, shared], fit.covariance[:, :, shared], rtol=1e-5)
    assert np.isnan(again.covariance[:, :, fit.skeleton.index("left_heel")]).all() and np.isnan(again.angle_sigma).all()
    np.testing.assert_allclose(again.joints(H36M17), poses.xyz, atol=1e-5)


def test_a_pelvis_that_is_absent_is_where_the_other_joints_say():
    fit, poses = recorded()
    gone = np.zeros(poses.state.shape, bool)
    gone[3, :, :5] = True
    part = replace(
        poses,
        xy=np.where(gone[..., None], np.nan, poses.xy),
        xyz=np.where(gone[..., None], np.nan, poses.xyz),
        covariance=np.where(gone[..., None], np.nan, poses.covariance),
        state=np.where(gone, ABSENT, poses.state),
    )
    np.testing.assert_allclose(SkeletonFit.of(part).xyz, fit.xyz, atol=1e-4)
    np.testing.assert_allclose(SkeletonFit.of(poses.to(COCO17)).xyz, fit.xyz, atol=1e-4)


def test_a_record_without_uncertainty_has_skeletons_without():
    fit, poses = recorded()
    bare = SkeletonFit.of(replace(poses, covariance=None, root_covariance=None, rotation_covariance=None))
    np.testing.assert_allclose(bare.xyz, fit.xyz, atol=1e-4)
    for name in ("covariance", "root_covariance", "turn_covariance"):
        assert np.isnan(getattr(bare, name)).all()


def test_a_record_without_skeletons_is_refused():
    _, poses = recorded()
    for missing in (replace(poses, rotation=None), replace(poses, bone_offsets=None), poses.to_2d()):
        with pytest.raises(OccluposeError, match=r"^no skeletons are in these poses; run or lift again, or use fit_p"):
            SkeletonFit.of(missing)


def test_people_of_one_frame_are_joined():
    fit, _ = recorded()
    rows = {name: getattr(fit, name)[3:4] for name in BY_FRAME}
    frame = replace(fit, **rows)
    joined = join_people([frame.select([1]), blank(TREE, 1, 1), frame.select([0])])
    for name in (*BY_FRAME, "bone_offsets"):
        people = 0 if name == "bone_offsets" else 1
        values = np.moveaxis(getattr(joined, name), people, 0)
        expected = np.moveaxis(getattr(frame, name), people, 0)
        np.testing.assert_array_equal(values[[0, 2]], expected[[1, 0]])
        assert np.isnan(values[1]).all()
    assert join_people([]).xyz.shape == (1, 0, len(TREE.points), 3)


def test_a_rotation_relative_to_the_chest_is_surer_than_the_sum_of_its_parts():
    poses = moving_poses(np.random.default_rng(0), 10, people=1)
    fit = fit_poses(poses)
    variance = dict(zip(fit.segments, fit.turn_covariance[5, 0, :, :3].sum(-1), strict=True))
    angles = dict(zip(fit.segments, (fit.angle_sigma[5, 0] ** 2).sum(-1), strict=True))
    assert variance["left_shank"] == pytest.approx(angles["left_shank"], rel=0.2)
    assert variance["chest"] < angles["abdomen"] + angles["chest"]
