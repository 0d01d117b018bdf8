"""Poses: selection, conversion, tracks and frames; contradictory fields are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.poses import Poses
from occlupose.skeletons import BLAZEPOSE33, BODY22, COCO17, H36M17, SKELETONS
from pose_records import record, records


def test_equality_compares_everything():
    assert record() == record() and record() != record(seed=5) and record() != "poses"
    for name, value in {"fps": 30.0, "camera": None, "observed": None, "xyz": None}.items():
        assert Poses(**vars(record()) | {name: value}) != record()


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
    late = poses.select(time=poses.time > 0.1)
    assert late.time.tolist() == poses.time[3:].tolist() and late.select() == late


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
