"""People of formulas before a tilted camera become skeletons on the floor, as a whole and frame by frame."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.interpolate import interp1d

from floor_people import angle_to, cross, true_up
from moving_skeletons import moving_poses
from occlupose.bodies.anny import anny
from occlupose.body_parts import BEARING, SHAPE
from occlupose.covariances import UNIT, to_matrix, to_six
from occlupose.errors import OccluposeError
from occlupose.kinematics import SkeletonFit, body_tree, fit_poses
from occlupose.kinematics.surface import measure_shape
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import H36M17, MPI15
from occlupose.world import LiveStanding, stand
from occlupose.world.bearing import bearing_joints
from occlupose.world.standing import to_record
from walking_people import FPS, HEIGHT, make_poses
from walking_people import stand as still

PITCH = 12
ROLL = 5
WRIST = H36M17.joints.index("left_wrist")
TREE = body_tree()
FEET = [point for point, name in enumerate(BEARING) if "heel" in name or "toe" in name]


def people(*bodies, noise=0.0, **view):
    """Their poses as a camera that looks down and is rolled sees them."""
    poses = make_poses(*bodies, **{"pitch": PITCH, "roll": ROLL} | view)
    return replace(poses, xyz=poses.xyz + noise * np.random.default_rng(0).standard_normal(poses.xyz.shape))


def without(poses, gone):
    """The poses without the joints that are gone, (time, person, joint)."""
    gone = np.broadcast_to(gone, poses.state.shape)
    return replace(
        poses,
        xy=np.where(gone[..., None], np.nan, poses.xy),
        xyz=np.where(gone[..., None], np.nan, poses.xyz),
        state=np.where(gone, ABSENT, poses.state),
    )


def away(poses, frames, person=0):
    """The poses without a person in some frames."""
    gone = np.zeros(poses.state.shape, bool)
    gone[frames, person] = True
    return without(poses, gone)


@cache
def walked():
    """Somebody who walks, whose left wrist is hidden for a second, where its keypoint is wrong, and somebody who stands
    and is away in the first and last frames; and what becomes of them.
    """
    poses = people(cross(40), still(1.2, 6, 40), noise=0.01)
    state = poses.state.copy()
    state[10:20, 0, WRIST] = OCCLUDED
    xy = poses.xy.copy()
    xy[state == OCCLUDED] = 3.0
    given = away(replace(poses, state=state, xy=xy), [0, 1, 38, 39], 1)
    given = replace(given, covariance=np.where(np.isfinite(given.xyz[..., :1]), 0.05**2 * UNIT, np.nan))
    standing, why = stand(given, keep_lifted=True)
    assert why == ""
    return given, standing


# ------------------------------------------------------------------------------------------- the whole


def test_bones_are_constant_and_rotations_place_the_joints():
    _, standing = walked()
    fit = SkeletonFit.of(standing)
    lengths = np.linalg.norm(fit.xyz[:, :, 1:] - fit.xyz[:, :, list(TREE.start)], axis=-1)
    there = fit.known
    np.testing.assert_allclose(lengths[there], np.broadcast_to(standing.bone_lengths, lengths.shape)[there], atol=1e-4)
    np.testing.assert_allclose(fit.joints(H36M17), standing.xyz, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(standing.rotation[there], axis=-1), 1, atol=1e-5)
    assert (standing.rotation_covariance[there][..., :3] > 0).all()


def test_what_is_visible_keeps_its_pixels_and_what_is_hidden_gets_those_of_its_joint():
    given, standing = walked()
    np.testing.assert_array_equal(standing.state, given.state)
    np.testing.assert_array_equal(standing.score, given.score)
    seen = given.state == VISIBLE
    np.testing.assert_array_equal(standing.xy[seen], given.xy[seen])
    hidden = given.state == OCCLUDED
    np.testing.assert_allclose(standing.xy[hidden], given.camera.project(standing.xyz)[hidden], atol=1e-3)
    truth = people(cross(40), still(1.2, 6, 40))
    assert np.linalg.norm((standing.xy - truth.xy)[hidden], axis=-1).max() < 12


def test_who_is_absent_remains_so():
    given, standing = walked()
    gone = (given.state == ABSENT).all(-1)
    assert gone.sum() == 4
    for name in ("xy", "xyz", "covariance", "root_covariance", "rotation", "rotation_covariance", "contact"):
        values = getattr(standing, name)
        assert np.isnan(values[gone]).all(), name
        assert np.isfinite(values[~gone]).all(), name
    assert np.isfinite(standing.bone_offsets).all()


def test_up_and_the_floor_are_those_before_the_camera():
    _, standing = walked()
    assert angle_to(standing.world.up, true_up(PITCH, ROLL)) < 3
    assert standing.world.translation[2] == pytest.approx(HEIGHT, abs=0.1)
    heights = standing.xyz_world[..., 2]
    ankles = H36M17.index("left_ankle", "right_ankle")
    assert np.nanmin(heights) > 0 and np.nanmedian(heights[:, :, ankles]) == pytest.approx(0.1, abs=0.04)


def test_joints_are_nearer_to_the_truth_than_before():
    truth = moving_poses(np.random.default_rng(0), 40, people=1, skeleton=H36M17)
    noise = 0.04 * np.random.default_rng(1).standard_normal(truth.xyz.shape)
    covariance = np.broadcast_to(0.04**2 * UNIT, (*truth.state.shape, 6))
    given = replace(truth, xyz=truth.xyz + noise, covariance=covariance)
    standing, _ = stand(given, keep_lifted=True)
    errors = [np.linalg.norm(one - truth.xyz, axis=-1).mean() for one in (standing.xyz, standing.xyz_lifted)]
    assert errors[0] < 0.6 * errors[1]
    np.testing.assert_array_equal(standing.xyz_lifted, given.xyz)
    sigma = np.sqrt(standing.covariance[..., :3] + standing.root_covariance[:, :, None, :3])
    assert (np.abs(standing.xyz - truth.xyz) < 2 * sigma).mean() > 0.9


def test_feet_in_contact_neither_slide_nor_float():
    given, standing = walked()
    points = TREE.skeleton.index(*BEARING)
    held = (standing.contact > 0.6)[..., FEET]
    both = held[1:] & held[:-1]
    assert held[:, 0].any(-1).mean() > 0.5 and both.sum() > 50
    steps = []
    for fit in (fit_poses(given), SkeletonFit.of(standing)):
        places = fit.xyz[:, :, points][:, :, FEET]
        steps.append(np.linalg.norm(np.diff(places, axis=0), axis=-1)[both].mean())
    assert steps[1] < 0.003 and steps[1] < 0.4 * steps[0]
    radius = np.array(list(bearing_joints(TREE.skeleton).values()))[FEET]
    heights = standing.world.to_world(places.astype(float))[..., 2] - radius
    assert np.abs(heights[held]).mean() < 0.01


def test_who_is_away_for_long_and_comes_back_elsewhere_is_not_held_in_between():
    body = np.concatenate([still(0, 5, 20), still(0, 5, 100), still(2, 5, 20)])
    poses = away(people(body, noise=0.01), slice(20, 120))
    standing, _ = stand(poses)
    assert standing.world is not None
    there = [*range(20), *range(120, 140)]
    assert np.linalg.norm(standing.xyz - poses.xyz, axis=-1)[there].max() < 0.1


def test_where_people_are_along_the_line_of_sight_is_as_uncertain_as_the_lifter_says():
    """The bones of a skeleton are constant, but how long they are is not known."""
    poses = people(still(0.5, 5, 12))
    ray = poses.xyz[:, :, 0] / np.linalg.norm(poses.xyz[:, :, 0], axis=-1, keepdims=True)
    given = to_six(0.3**2 * ray[..., :, None] * ray[..., None, :] + 1e-4 * np.eye(3))
    standing, _ = stand(replace(poses, root_covariance=given, covariance=np.tile(1e-3 * UNIT, (*ray.shape[:2], 17, 1))))
    stated = to_matrix(standing.root_covariance)
    along = np.sqrt(np.einsum("tpi,tpij,tpj->tp", ray, stated, ray))
    np.testing.assert_allclose(along, 0.3, rtol=0.05)
    assert (np.sqrt(np.trace(stated, axis1=-2, axis2=-1) - along**2) < 0.1).all()


def test_the_shape_is_that_of_a_body_with_these_bones():
    _, standing = walked()
    assert standing.shape.shape == (2, len(SHAPE))
    np.testing.assert_allclose(standing.shape[1], measure_shape(standing.bone_offsets[1], anny(captured=True)))


def test_lifted_joints_are_only_kept_if_that_is_asked_for():
    poses = people(still(0, 4, 3))
    assert stand(poses)[0].xyz_lifted is None
    np.testing.assert_array_equal(stand(poses, keep_lifted=True)[0].xyz_lifted, poses.xyz)


@pytest.mark.parametrize("up", [(0.2, -1, 0.1), (0.0, -3.0, 0.0)])
def test_up_that_is_known_is_taken(up):
    poses = people(still(0, 4, 5))
    of_camera = replace(poses, camera=replace(poses.camera, up=up))
    other = replace(poses, camera=replace(poses.camera, up=(1.0, 0, 0)))
    for given, options in ((poses, {"up": up}), (of_camera, {}), (other, {"up": up})):
        world = stand(given, **options)[0].world
        np.testing.assert_allclose(world.up, up / np.linalg.norm(up), atol=1e-5)
        assert world.up_sigma < 1e-4
    with pytest.raises(OccluposeError, match="has no direction"):
        stand(poses, up=(0.0, 0.0, 0.0))


def test_who_touches_nothing_is_a_skeleton_without_a_floor():
    fast = still(0, 4, 12) + 0.5 * np.arange(12)[:, None, None] * (0.5, 0, 0.5)
    standing, why = stand(people(fast))
    assert why == "up and the floor are unknown: nobody touches the floor"
    assert standing.world is None and standing.contact is None and np.isfinite(standing.rotation).all()


def test_one_frame_is_enough():
    standing, why = stand(people(still(0, 4, 1)))
    assert why == "" and angle_to(standing.world.up, true_up(PITCH, ROLL)) < 15
    assert (standing.contact[0, 0, FEET] > 0.5).all()
    assert np.linalg.norm(standing.xyz - people(still(0, 4, 1)).xyz, axis=-1).mean() < 0.06


def test_of_one_foot_a_whole_body_is_made_that_is_uncertain():
    seen = np.array(["left_ankle" in name for name in H36M17.joints])
    given = without(people(still(0, 4, 4), pitch=0, roll=0), ~seen)
    standing, why = stand(given)
    assert standing.world is None or standing.world.up_sigma > np.radians(3)
    assert (standing.world is None) == bool(why) and "\n" not in why
    assert np.isnan(standing.xyz[:, :, ~seen]).all() and np.isfinite(standing.xyz[:, :, seen]).all()
    assert np.isfinite(standing.rotation).all()
    head = TREE.skeleton.index("head_top")
    assert np.linalg.norm((SkeletonFit.of(standing).xyz[:, :, head] - standing.xyz[:, :, seen])[..., 1]) > 1


@pytest.mark.parametrize(("frames", "count"), [(0, 0), (4, 0), (0, 2), (4, 2)])
def test_nobody(frames, count):
    poses = without(people(*[still(0, 4, 4)] * 2), True).select(slice(frames), [0, 1][:count])
    standing, why = stand(poses, keep_lifted=True)
    assert why == "up and the floor are unknown: nobody is seen" and standing.world is None
    assert standing.rotation.shape == (frames, count, len(TREE.segments), 4)
    assert standing.shape.shape == (count, len(SHAPE)) and np.isnan(standing.shape).all()
    assert np.isnan(standing.xyz).all() and np.isnan(standing.bone_offsets).all()


def test_who_is_nowhere_in_3d_stays_where_they_were_seen():
    poses = people(still(0, 4, 3), still(1, 5, 3))
    nowhere = poses.xyz.copy()
    nowhere[:, 1] = np.nan
    standing, _ = stand(replace(poses, xyz=nowhere))
    assert np.isnan(standing.xyz[:, 1]).all() and np.isnan(standing.rotation[:, 1]).all()
    assert np.isnan(standing.shape[1]).all() and np.isfinite(standing.shape[0]).all()
    np.testing.assert_array_equal(standing.xy, poses.xy)


def test_joints_that_were_never_lifted_are_those_of_the_skeleton():
    poses = people(still(0, 4, 4))
    lost = poses.xyz.copy()
    lost[:, :, WRIST] = np.nan
    standing, _ = stand(replace(poses, xyz=lost), keep_lifted=True)
    assert np.linalg.norm(standing.xyz[:, :, WRIST] - poses.xyz[:, :, WRIST], axis=-1).max() < 0.25
    assert np.isnan(standing.xyz_lifted[:, :, WRIST]).all() and np.isfinite(standing.covariance).all()


def test_a_hidden_joint_that_would_be_behind_the_camera_keeps_its_keypoint():
    poses = people(still(0, 4, 3))
    hidden = np.arange(len(H36M17)) == WRIST
    poses = replace(poses, xy=np.where(hidden[:, None], 7.0, poses.xy), state=np.where(hidden, OCCLUDED, poses.state))
    fit = fit_poses(poses)
    fit.xyz[1, 0, TREE.points.index("left_wrist"), 2] = -0.5
    standing = to_record(poses, fit, None, None)
    assert standing.xyz[1, 0, WRIST, 2] == -0.5
    np.testing.assert_array_equal(standing.xy[1, 0, WRIST], 7.0)
    assert np.abs(standing.xy[[0, 2], 0, WRIST] - 7).min() > 20


def test_joints_of_another_skeleton_and_absent_ones():
    whole = people(cross(20))
    poses = whole.to(MPI15.subset([name for name in MPI15.joints if name in H36M17.joints]))
    pelvis = [name == "pelvis" for name in poses.skeleton.joints]
    gone = np.zeros(poses.state.shape, bool)
    gone[5:9, 0] = pelvis
    standing, _ = stand(without(poses, gone))
    assert standing.skeleton == poses.skeleton and (standing.state == ABSENT).sum() == 4
    assert np.isnan(standing.xyz[gone]).all() and np.isfinite(standing.xyz[~gone]).all()
    fit = SkeletonFit.of(standing)
    true = fit.joints(H36M17) - whole.xyz
    assert np.linalg.norm(true[:, :, H36M17.index("pelvis", "left_knee", "right_elbow")], axis=-1).max() < 0.12


def test_poses_in_2d_are_refused():
    with pytest.raises(OccluposeError, match=r"^the poses are in 2D, a skeleton is fitted in 3D; lift them"):
        stand(people(still(0, 4, 2)).to_2d())


def test_children_of_80_cm_are_as_small_as_they_are():
    child = cross(30) * np.array([0.5, 0.47, 0.5])
    poses = people(child)
    standing, why = stand(poses)
    assert why == "" and angle_to(standing.world.up, true_up(PITCH, ROLL)) < 5
    assert standing.world.translation[2] == pytest.approx(HEIGHT, abs=0.12)
    assert 0.65 < np.ptp(standing.xyz_world[..., 2], axis=-1).mean() < 0.95
    assert np.linalg.norm(standing.xyz - poses.xyz, axis=-1).mean() < 0.04
    assert standing.shape[0, SHAPE.index("age")] < 0.5


def test_the_frame_rate_does_not_matter():
    slow = people(cross(16))
    time = np.arange(0, 1.5, 1 / 120)
    before, share = np.divmod(time * FPS, 1)
    body = cross(17)
    between = (
        body[before.astype(int)] * (1 - share[:, None, None]) + body[before.astype(int) + 1] * share[:, None, None]
    )
    fast = replace(people(between), time=time, fps=120.0)
    worlds = []
    for poses in (slow, fast):
        standing, _ = stand(poses)
        worlds.append(standing.world)
        assert 0.1 < (standing.contact[..., FEET] > 0.5).mean() < 0.8
        assert np.linalg.norm(standing.xyz - poses.xyz, axis=-1).mean() < 0.06
    assert angle_to(worlds[0].up, worlds[1].up) < 2
    assert worlds[0].translation[2] == pytest.approx(worlds[1].translation[2], abs=0.05)


@pytest.mark.parametrize("fps", [0.5, 5.0, 30.0])
def test_people_do_not_shrink_where_frames_are_rare(fps):
    """The errors of lifted joints are no noise, which would make bones longer, however few frames there are."""
    poses = people(still(0, 4, 2))
    rare = replace(poses, fps=fps, time=np.arange(2) / fps)
    standing, _ = stand(rare)
    shin = H36M17.index("left_knee", "left_ankle")
    lengths = [np.linalg.norm(np.diff(one[:, :, shin], axis=2), axis=-1).mean() for one in (standing.xyz, poses.xyz)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.04)
    size = np.ptp(standing.xyz_world[..., 2])
    assert size == pytest.approx(np.ptp(standing.world.to_world(poses.xyz.astype(float))[..., 2]), rel=0.03)


# -------------------------------------------------------------------------------------- frame by frame


def live(poses, standing=None, **options):
    """What becomes of the frames one after the other, those who are absent left out."""
    standing = LiveStanding(poses.fps, **options) if standing is None else standing
    results = []
    for frame in range(len(poses)):
        present = poses.track_id[(poses.state[frame] != ABSENT).any(-1)]
        results.append(standing.update(poses.select(slice(frame, frame + 1), present)))
    return results


@cache
def followed():
    """Somebody who walks for three seconds, frame by frame from 100 s on."""
    poses = people(cross(32), noise=0.01)
    return poses, live(replace(poses, time=poses.time + 100), keep_lifted=True)


def test_a_person_is_followed_nearly_as_well_as_the_whole_is_fitted():
    poses, results = followed()
    whole, _ = stand(poses)
    joints = np.concatenate([one.xyz for one in results])
    assert np.linalg.norm(joints - whole.xyz, axis=-1)[5:].mean() < 0.05
    np.testing.assert_array_equal(np.concatenate([one.xyz_lifted for one in results]), poses.xyz)
    np.testing.assert_array_equal(np.concatenate([one.xy for one in results]), poses.xy)
    for frame, one in enumerate(results):
        assert (len(one), one.time[0], one.track_id.tolist()) == (1, poses.time[frame] + 100, [0])
        np.testing.assert_allclose(SkeletonFit.of(one).joints(H36M17), one.xyz, atol=1e-4)


def test_the_world_appears_after_a_second_and_what_touches_it_with_it():
    _, results = followed()
    assert all(one.world is None and one.contact is None for one in results[:10])
    assert all(one.world is not None and one.contact is not None for one in results[10:])
    assert angle_to(results[-1].world.up, true_up(PITCH, ROLL)) < 6
    assert results[-1].world.translation[2] == pytest.approx(HEIGHT, abs=0.15)
    assert len({id(one.world) for one in results[10:]}) == 3
    held = np.concatenate([one.contact for one in results[10:]])[:, 0, FEET] > 0.5
    assert 0.15 < held.mean() < 0.8


def test_bones_and_shape_are_constant_after_two_seconds():
    _, results = followed()
    lengths = np.concatenate([one.bone_lengths for one in results])
    shapes = np.concatenate([one.shape for one in results])
    assert np.ptp(lengths[:20], axis=0).max() > 1e-3
    np.testing.assert_array_equal(lengths[19:], lengths[[19] * 13])
    assert np.isnan(shapes[:19]).all()
    expected = measure_shape(results[-1].bone_offsets[0], anny(captured=True))
    np.testing.assert_allclose(shapes[19:], np.tile(expected, (13, 1)))


def test_up_that_is_known_is_taken_live():
    up = (0.2, -1, 0.1)
    poses = people(still(0, 4, 12))
    known = replace(poses, camera=replace(poses.camera, up=up))
    for results in (live(poses, up=up), live(known), live(known, up=None)):
        np.testing.assert_allclose(results[-1].world.up, up / np.linalg.norm(up), atol=1e-5)


def test_who_is_out_of_sight_for_a_second_is_the_same_person_elsewhere():
    poses = people(cross(40), noise=0.01)
    results = live(away(poses, slice(22, 32)))
    assert [len(one.track_id) for one in results[20:34]] == [1] * 2 + [0] * 10 + [1] * 2
    back = np.concatenate([one.xyz for one in results[32:]])
    assert np.linalg.norm(back - poses.xyz[32:], axis=-1).mean(-1).max() < 0.08
    np.testing.assert_array_equal(results[32].bone_offsets, results[21].bone_offsets)
    np.testing.assert_array_equal(results[32].shape, results[21].shape)
    assert all(one.world is not None for one in results[22:]), "the floor is where it was"


def test_somebody_who_is_not_seen_in_a_few_frames_goes_on_as_before():
    body = cross(26)
    body = interp1d(np.arange(26), body, axis=0)(np.arange(76) / 3)
    poses = people(body, noise=0.01)
    poses = replace(poses, time=poses.time / 3, fps=3 * FPS)
    whole = np.concatenate([one.xyz for one in live(poses)])[69:, 0]
    back = np.concatenate([one.xyz for one in live(away(poses, slice(66, 69)))[69:]])[:, 0]
    assert np.linalg.norm(back - whole, axis=-1).mean(-1).max() < 0.04


def test_whose_depth_is_unknown_for_long_is_nowhere():
    poses = people(cross(30), noise=0.01)
    xyz = poses.xyz.copy()
    xyz[22:] = np.nan
    results = live(replace(poses, xyz=xyz))
    assert np.isnan(results[-1].xyz).all() and np.isnan(results[-1].rotation).all()


def test_a_camera_of_which_frames_are_dropped_loses_nobody():
    """It may deliver a quarter of the frames that it promises; then no motion begins anew with each of them."""
    poses = people(cross(20), noise=0.02)
    promised = [one.xyz for one in live(replace(poses, fps=4 * FPS))]
    late = replace(poses, fps=4 * FPS, time=poses.time * 4)
    np.testing.assert_array_equal([one.xyz for one in live(late)], promised)


@pytest.mark.parametrize(("gone", "forgotten"), [(15, False), (25, True)])
def test_who_leaves_is_forgotten(gone, forgotten):
    """Somebody who is half as large when they come back, which only a new person can be."""
    large = still(0, 4, 22)
    small = still(0, 4, 8) * (0.5, 0.5, 1)
    body = np.concatenate([large, np.repeat(large[:1], gone, 0), small])
    results = live(away(people(body), slice(22, 22 + gone)))
    sizes = [one.bone_lengths[0].sum() for one in (results[20], results[-1])]
    assert (sizes[1] < 0.7 * sizes[0]) == forgotten
    assert np.isnan(results[-1].shape).all() == forgotten


def test_people_come_and_go_each_with_their_own_bones():
    poses = people(still(0, 4, 20), still(1, 5, 20) * (1, 0.7, 1))
    results = live(away(away(poses, slice(0, 5), 1), slice(15, 20), 0))
    assert [one.track_id.tolist() for one in results] == [[0]] * 5 + [[0, 1]] * 10 + [[1]] * 5
    alone = live(poses.select(person=0))
    np.testing.assert_allclose(results[10].bone_lengths[0], alone[10].bone_lengths[0], atol=1e-6)
    assert results[14].bone_lengths[1].sum() < 0.85 * results[14].bone_lengths[0].sum()


def test_frames_without_anybody_and_people_who_are_nowhere():
    poses = people(still(0, 4, 3), still(1, 5, 3))
    nowhere = replace(poses, xyz=np.full_like(poses.xyz, np.nan))
    standing = LiveStanding(FPS)
    for one in live(without(poses, True), standing):
        assert one.rotation.shape == (1, 0, len(TREE.segments), 4) and one.world is None
    for one in live(nowhere, standing):
        assert one.shape.shape == (2, len(SHAPE)) and np.isnan(one.rotation).all() and np.isnan(one.shape).all()
    later = replace(poses, time=poses.time + 1.5)
    assert np.isfinite(live(later, standing)[-1].rotation).all()


def test_rows_of_absent_people_stay_absent():
    poses = away(people(still(0, 4, 14), still(1, 5, 14)), slice(6, 14), 1)
    standing = LiveStanding(FPS)
    results = [standing.update(poses.select(slice(frame, frame + 1))) for frame in range(14)]
    last = results[-1]
    assert last.track_id.tolist() == [0, 1] and last.world is not None
    for name in ("xy", "xyz", "covariance", "rotation", "contact"):
        assert np.isnan(getattr(last, name)[0, 1]).all(), name
    assert np.isnan(last.bone_offsets[1]).all() and np.isnan(last.shape[1]).all()
    assert np.isfinite(last.rotation[0, 0]).all() and np.isfinite(last.contact[0, 0]).all()


@pytest.mark.parametrize(("options", "message"), [({"fps": 0.0}, "fps 0.0: must be"), ({"up": (0, 0, 0)}, "no direct")])
def test_what_cannot_be_is_refused_before_the_first_frame(options, message):
    with pytest.raises(OccluposeError, match=message):
        LiveStanding(**{"fps": 30.0} | options)
