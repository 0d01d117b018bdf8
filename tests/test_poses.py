"""Poses: selection, conversion, tracks and frames; contradictory fields are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.body_parts import BONES
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.poses import PERSON_FIELDS, TRACK_FIELDS, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import BLAZEPOSE33, BODY22, COCO17, H36M17, SKELETONS
from occlupose.world import WorldFrame
from pose_records import FITTED, fitted, record, records, uncertain

UNCERTAINTY = ("spread", "covariance", "root_covariance")
BY_FRAME = [name for name in FITTED if name not in (*TRACK_FIELDS, "world")]


def test_equality_compares_everything():
    assert record() == record() and record() != record(seed=5) and record() != "poses"
    for name, value in {"fps": 30.0, "camera": None, "observed": None, "xyz": None}.items():
        assert Poses(**vars(record()) | {name: value}) != record()
    assert uncertain(record()) == uncertain(record()) != uncertain(record(), seed=1)
    for name in UNCERTAINTY:
        assert Poses(**vars(uncertain(record())) | {name: None}) != uncertain(record())
    assert fitted(record()) == fitted(record()) != fitted(record(), seed=1)
    for name in FITTED:
        assert Poses(**vars(fitted(record())) | {name: None}) != fitted(record())
        assert Poses(**vars(record()) | {name: getattr(fitted(record()), name)}) != record()


def test_worlds_are_compared_by_their_numbers():
    one = fitted(record())
    for name in ("rotation", "translation", "centre", "covariance"):
        world = WorldFrame(**vars(one.world) | {name: getattr(one.world, name) + 1e-9})
        assert Poses(**vars(one) | {"world": world}) != one
    assert Poses(**vars(one) | {"world": WorldFrame(**vars(one.world))}) == one


def test_observed_shares_frames_people_and_camera():
    poses = record()
    assert poses.observed.skeleton == COCO17 and poses.observed.camera is poses.camera
    np.testing.assert_array_equal(poses.observed.track_id, poses.track_id)


def test_another_skeleton():
    poses = record(skeleton=COCO17)
    body = poses.to(H36M17)
    left, right = COCO17.index("left_hip", "right_hip")
    pelvis, head = H36M17.index("pelvis", "head_top")
    np.testing.assert_allclose(body.xy[:, :, pelvis], poses.xy[:, :, [left, right]].mean(2), rtol=1e-6)
    np.testing.assert_allclose(body.xyz[:, :, pelvis], poses.xyz[:, :, [left, right]].mean(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(body.state[:, :, pelvis], poses.state[:, :, [left, right]].min(2))
    np.testing.assert_array_equal(body.score[:, :, pelvis], poses.score[:, :, [left, right]].min(2))
    assert np.isnan(body.xy[:, :, head]).all() and not body.state[:, :, head].any() and not body.score[:, :, head].any()
    assert body.observed == poses.observed
    assert poses.to(COCO17) == poses


def test_a_derived_joint_is_as_uncertain_as_it_can_be():
    poses = uncertain(record(skeleton=COCO17))
    body = poses.to(H36M17)
    hips = COCO17.index("left_hip", "right_hip")
    pelvis = H36M17.joints.index("pelvis")
    np.testing.assert_allclose(body.spread[:, :, pelvis], poses.spread[:, :, hips].mean(2), rtol=1e-6)
    np.testing.assert_allclose(body.covariance[:, :, pelvis], poses.covariance[:, :, hips].mean(2), rtol=1e-5)
    np.testing.assert_array_equal(body.root_covariance, poses.root_covariance)


@given(poses=records())
def test_a_record_in_2d(poses):
    flat = poses.to_2d()
    deep = ("xyz", "covariance", "root_covariance", *FITTED)
    assert all(getattr(flat, name) is None for name in deep)
    assert Poses(**vars(flat) | {name: getattr(poses, name) for name in deep}) == poses


@given(poses=records(), target=st.sampled_from(SKELETONS))
def test_any_record_converts_to_any_skeleton(poses, target):
    converted = poses.to(target)
    assert converted.skeleton == target
    np.testing.assert_array_equal(np.isnan(converted.xy).any(-1), converted.state == 0)


def test_selecting():
    poses = record(frames=6, people=3)
    some = poses.select(time=slice(1, 5, 2), person=[7, 1], joint=["left_wrist", "nose"])
    wrist, nose = BODY22.index("left_wrist", "nose")
    np.testing.assert_array_equal(some.xy, poses.xy[[1, 3]][:, [2, 0]][:, :, [wrist, nose]])
    np.testing.assert_array_equal(some.xyz, poses.xyz[[1, 3]][:, [2, 0]][:, :, [wrist, nose]])
    assert some.track_id.tolist() == [7, 1] and some.time.tolist() == [1 / 25, 3 / 25] and len(some) == 2
    assert some.skeleton.joints == ("left_wrist", "nose")
    np.testing.assert_array_equal(some.observed.xy, poses.observed.xy[[1, 3]][:, [2, 0]])
    late = fitted(uncertain(poses)).select(time=poses.time > 0.1)
    assert late.time.tolist() == poses.time[3:].tolist() and late.select() == late


def test_what_is_selected_is_as_uncertain_as_before():
    poses = uncertain(record(frames=6, people=3))
    some = poses.select(time=slice(1, 5, 2), person=[7, 1], joint=["left_wrist", "nose"])
    joints = BODY22.index("left_wrist", "nose")
    for name in ("spread", "covariance"):
        np.testing.assert_array_equal(getattr(some, name), getattr(poses, name)[[1, 3]][:, [2, 0]][:, :, joints])
    np.testing.assert_array_equal(some.root_covariance, poses.root_covariance[[1, 3]][:, [2, 0]])
    np.testing.assert_array_equal(some.observed.spread, poses.observed.spread[[1, 3]][:, [2, 0]])


def test_the_skeletons_of_what_is_selected_are_those_of_before():
    poses = fitted(record(frames=6, people=3))
    some = poses.select(time=slice(1, 5, 2), person=[7, 1], joint=["left_wrist", "nose"])
    joints = BODY22.index("left_wrist", "nose")
    np.testing.assert_array_equal(some.xyz_lifted, poses.xyz_lifted[[1, 3]][:, [2, 0]][:, :, joints])
    for name in ("rotation", "rotation_covariance", "contact"):
        np.testing.assert_array_equal(getattr(some, name), getattr(poses, name)[[1, 3]][:, [2, 0]])
    for name in TRACK_FIELDS:
        np.testing.assert_array_equal(getattr(some, name), getattr(poses, name)[[2, 0]])
    assert some.world is poses.world


def test_another_skeleton_has_the_same_bodies_and_its_own_lifted_joints():
    poses = fitted(record(skeleton=COCO17))
    body = poses.to(H36M17)
    hips = COCO17.index("left_hip", "right_hip")
    middle = poses.xyz_lifted[:, :, hips].mean(2)
    np.testing.assert_allclose(body.xyz_lifted[:, :, H36M17.joints.index("pelvis")], middle, rtol=1e-4, atol=1e-6)
    for name in FITTED[1:]:
        assert getattr(body, name) is getattr(poses, name)


def test_lengths_of_bones_are_those_of_their_offsets():
    poses = fitted(record())
    squared = (poses.bone_offsets**2).sum(-1)
    np.testing.assert_allclose(poses.bone_lengths**2, squared, rtol=1e-5)
    assert poses.bone_lengths.shape == (2, len(BONES)) and record().bone_lengths is None


def test_joints_in_the_world_are_above_the_floor_by_their_height():
    poses = fitted(record())
    heights = poses.xyz.astype(float) @ poses.world.up + poses.world.translation[2]
    np.testing.assert_allclose(poses.xyz_world[..., 2], heights, atol=1e-6)
    np.testing.assert_allclose(poses.world.to_camera(poses.xyz_world), poses.xyz, atol=1e-5)
    assert poses.xyz_world.dtype == np.float64
    assert record().xyz_world is fitted(record()).to_2d().xyz_world is None


def test_a_record_prints_as_one_line():
    poses = record(100, 2, H36M17)
    assert repr(poses) == "Poses(100 frames, 2 people, h36m17, 3D, 25 fps, 640x480)"
    assert repr(record(1, 1, COCO17, lifted=False)) == "Poses(1 frame, 1 person, coco17, 2D, 25 fps, 640x480)"
    assert repr(poses.track(1)) == "Track(1, 100 frames, 3D)"
    assert repr(next(iter(poses.frames()))) == "FramePoses(0 s, 2 people, 3D)"


def test_selecting_one_joint_and_one_person():
    poses = record()
    assert poses.select(joint="left_wrist") == poses.select(joint=["left_wrist"])
    assert poses.select(person=4) == poses.select(person=[4])


def test_one_person_over_time():
    poses = record(frames=6, people=2)
    for array in (poses.xy, poses.xyz):
        array[[0, 3, 5], 1] = np.nan
    poses.state[[0, 3, 5], 1] = 0
    poses.state[[1, 4], 1] = 2
    track = poses.track(4)
    assert (track.track_id, track.start, len(track), track.frames) == (4, 1, 4, slice(1, 5))
    assert track.present.tolist()[0] and not track.present[2]
    for name in ("xy", "xyz", "score", "state"):
        np.testing.assert_array_equal(getattr(track, name), getattr(poses, name)[1:5, 1])
    assert track.time.tolist() == poses.time[1:5].tolist()
    assert [track.track_id for track in poses.tracks()] == [1, 4]
    assert record(lifted=False).track(1).xyz is None
    with pytest.raises(OccluposeError, match=r"^track id 9: not in this record; it has 1, 4$"):
        poses.track(9)
    poses.xy[:, 1] = poses.xyz[:, 1] = np.nan
    poses.state[:, 1] = 0
    nobody = poses.track(4)
    assert (nobody.start, len(nobody)) == (0, 0)


def test_frame_by_frame():
    poses = record(frames=3, people=2)
    poses.xy[1, 0] = poses.xyz[1, 0] = np.nan
    poses.state[1, 0] = 0
    poses.state[[0, 2]] = np.maximum(poses.state[[0, 2]], 0)
    frames = list(poses.frames())
    assert [frame.track_id.tolist() for frame in frames] == [[1, 4], [4], [1, 4]]
    assert [frame.time for frame in frames] == poses.time.tolist() and [len(frame) for frame in frames] == [2, 1, 2]
    for name in ("xy", "xyz", "score", "state"):
        np.testing.assert_array_equal(getattr(frames[1], name), getattr(poses, name)[1, 1:])
    assert next(record(lifted=False).frames()).xyz is None


@pytest.mark.parametrize("name", [*UNCERTAINTY, *BY_FRAME])
def test_a_person_and_a_frame_have_what_the_record_has(name):
    poses = fitted(uncertain(record()))
    frames = list(poses.frames())
    assert [len(frame) for frame in frames] == [2] * 4
    np.testing.assert_array_equal(np.stack([getattr(frame, name) for frame in frames]), getattr(poses, name))
    np.testing.assert_array_equal(getattr(poses.track(4), name), getattr(poses, name)[:, 1])
    certain = record()
    assert getattr(certain.track(4), name) is getattr(next(certain.frames()), name) is None


def test_selecting_a_number_of_numpy():
    poses = record()
    assert poses.select(person=poses.track_id[1]) == poses.select(person=4)


def test_selecting_unknown_people_and_joints():
    with pytest.raises(OccluposeError, match=r"^track id 9: not in this record; it has 1, 4$"):
        record().select(person=[1, 9])
    with pytest.raises(OccluposeError, match=r"^tail: not a joint of body22"):
        record().select(joint=["tail"])


def test_contradictory_fields():
    poses = record()
    for change, message in [
        ({"state": np.zeros_like(poses.state)}, r"^state: .* is absent but has coordinates"),
        ({"fps": 0}, r"^fps: is 0.0"),
        ({"width": 641}, r"^camera: is for images of 640 x 480; it must be for these, 641 x 480"),
        ({"observed": record()}, r"^observed: holds more than 2D"),
        ({"observed": record(frames=3, lifted=False, observed=None)}, r"^observed: has shape \(3, 2, 22, 2\)"),
        ({"skeleton": BLAZEPOSE33}, r"^xy: has shape .* the 33 joints of blazepose33"),
    ]:
        with pytest.raises(OccluposeError, match=message):
            Poses(**vars(poses) | change)


def with_value(values, at, number):
    values = values.copy()
    values[at] = number
    return values


def test_impossible_uncertainty():
    poses = uncertain(record())
    absent = tuple(np.argwhere(poses.state == 0)[0])
    seen = tuple(np.argwhere((poses.state > 0) & np.isfinite(poses.spread))[0])
    for change, message in [
        ({"spread": poses.spread[..., None]}, r"^spread: has shape \(4, 2, 22, 1\); .* it must be \(4, 2, 22\)$"),
        ({"covariance": poses.covariance[..., :3]}, r"^covariance: has shape .* it must be \(4, 2, 22, 6\)$"),
        ({"root_covariance": poses.covariance}, r"^root_covariance: has shape .* it must be \(4, 2, 6\)$"),
        ({"spread": with_value(poses.spread, seen, -1)}, r"^spread: frame .* has a negative or infinite spread; give"),
        ({"spread": with_value(poses.spread, seen, np.inf)}, r"^spread: frame .* has a negative or infinite spread"),
        ({"spread": with_value(poses.spread, absent, 1)}, r"^spread: frame .* is absent but has a spread; a joint"),
        (
            {"covariance": with_value(poses.covariance, (*seen, 2), -1e-6)},
            r"^covariance: frame \d, person \d: \w+ has a negative or infinite variance; give xx, yy, zz, xy, xz, yz",
        ),
        (
            {"covariance": with_value(poses.covariance, (*seen, 5), np.inf)},
            r"^covariance: frame .* has a negative or infinite variance; give xx",
        ),
        (
            {"covariance": with_value(poses.covariance, (*seen, 4), np.nan)},
            r"^covariance: frame .* has some covariances and lacks others; give all six or NaN for all$",
        ),
        (
            {"covariance": with_value(poses.covariance, absent, 1)},
            r"^covariance: frame .* has a covariance but no xyz; where xyz is NaN, covariance is too$",
        ),
        (
            {"root_covariance": with_value(poses.root_covariance, (2, 1, 0), -1)},
            r"^root_covariance: frame 2, person 4 has a negative or infinite variance; give xx",
        ),
        ({"xyz": None}, r"^covariance: is there without xyz; leave it out in 2D$"),
        ({"xyz": None, "covariance": None}, r"^root_covariance: is there without xyz; leave it out in 2D$"),
    ]:
        with pytest.raises(OccluposeError, match=message):
            Poses(**vars(poses) | change)
    flipped = with_value(poses.covariance, (..., slice(3, 6)), -poses.covariance[..., 3:])
    assert Poses(**vars(poses) | {"covariance": flipped}) != poses  # covariances may be negative


def test_impossible_skeletons():
    poses = fitted(record())
    absent = tuple(np.argwhere(poses.state == 0)[0])
    lifted = tuple(np.argwhere(np.isfinite(poses.xyz_lifted).all(-1))[0])
    turned = tuple(np.argwhere(np.isfinite(poses.rotation).all((2, 3)))[0])
    who = rf"frame {turned[0]}, person {poses.track_id[turned[1]]}"
    segments = PERSON_FIELDS["rotation"].shape[0]
    for change, message in [
        ({"xyz_lifted": poses.xyz_lifted[..., :2]}, r"^xyz_lifted: has shape .* it must be \(4, 2, 22, 3\)$"),
        ({"rotation": poses.rotation[:, :, 1:]}, rf"^rotation: has shape .* it must be \(4, 2, {segments}, 4\)$"),
        ({"contact": poses.contact[..., None]}, r"^contact: has shape .* it must be \(4, 2, 20\)$"),
        ({"bone_offsets": poses.bone_offsets[:1]}, r"^bone_offsets: has shape \(1, 30, 3\); .* be \(2, 30, 3\)$"),
        ({"shape": poses.shape.T}, r"^shape: has shape \(11, 2\); .* it must be \(2, 11\)$"),
        (
            {"xyz_lifted": with_value(poses.xyz_lifted, absent, 1)},
            r"^xyz_lifted: frame .* is absent but has coordinates; a joint with state 0 has NaN$",
        ),
        (
            {"xyz_lifted": with_value(poses.xyz_lifted, (*lifted, 0), np.nan)},
            r"^xyz_lifted: frame .* has some coordinates and lacks others; give all or NaN for all$",
        ),
        ({"xyz_lifted": with_value(poses.xyz_lifted, lifted, np.inf)}, r"^xyz_lifted: frame .* is infinitely far"),
        (
            {"rotation": with_value(poses.rotation, (*turned, 3), 0)},
            rf"^rotation: {who} has no unit quaternion; give w, x, y, z of length 1, or NaN for all$",
        ),
        (
            {"rotation": with_value(poses.rotation, (*turned, 3, 0), np.nan)},
            rf"^rotation: {who} has no unit quaternion; ",
        ),
        (
            {"rotation_covariance": with_value(poses.rotation_covariance, (*turned, 3, 1), -1)},
            rf"^rotation_covariance: {who}: neck has a negative or infinite variance; give .* in rad\^2$",
        ),
        (
            {"contact": with_value(poses.contact, (*turned, 3), 1.5)},
            rf"^contact: {who} has a probability outside 0\.\.1; give probabilities, NaN where unknown$",
        ),
        (
            {"bone_offsets": with_value(poses.bone_offsets, (0, 4, 1), -np.inf)},
            r"^bone_offsets: holds an infinite number; give metres and shares, NaN where unknown$",
        ),
        ({"shape": with_value(poses.shape, (1, 3), np.inf)}, r"^shape: holds an infinite number; "),
        *(
            (vars(record().to_2d()) | {name: getattr(poses, name)}, rf"^{name}: is there without xyz; leave it out")
            for name in FITTED
        ),
    ]:
        with pytest.raises(OccluposeError, match=message) as caught:
            Poses(**vars(poses) | change)
        assert "\n" not in str(caught.value)
    nearly = with_value(poses.rotation, turned, 1.0005 * poses.rotation[turned])
    assert Poses(**vars(poses) | {"rotation": nearly}) != poses


@given(poses=records())
def test_frames_make_the_same_record(poses):
    """Of the people who are in them, without detections."""
    camera = poses.camera or Camera.from_fov(poses.width, poses.height)
    in_3d = poses.xyz is not None
    builder = PosesBuilder(poses.skeleton, poses.fps, camera, in_3d, list(poses.frames()))
    built = builder.poses(poses.track_id.tolist())
    present = (poses.state > 0).any(-1)
    for name, values in poses.arrays.items():
        there = getattr(built, name)
        if there is None:
            assert len(poses) == 0
        else:
            np.testing.assert_array_equal(there[present], values[present])
            assert not np.isfinite(there[~present]).any() or name in ("score", "state")
    assert built.track_id.tolist() == poses.track_id.tolist() and not built.state[~present].any()
    somebody = sorted(poses.track_id[present.any(0)].tolist())
    assert builder.poses().track_id.tolist() == somebody
    np.testing.assert_array_equal(builder.poses(somebody[:1]).xy, builder.poses().xy[:, :1])
