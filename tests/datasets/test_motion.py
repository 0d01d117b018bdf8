from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocap_files import make_clip
from occlupose.datasets.motion import EXTREMITIES, PELVIS, MotionClip, cut_jumps, cut_together
from occlupose.skeletons import BODY22

LEFT_WRIST = BODY22.joints.index("left_wrist")


def changed(clip, frames, joint, value):
    """The clip with a joint (or all) of some frames set."""
    joints = clip.joints.copy()
    joints[frames, joint] = value
    return replace(clip, joints=joints)


@pytest.mark.parametrize("fps", [60.0, 120.0])
def test_clips_are_cut_where_the_capture_jumps(fps):
    whole = make_clip(round(4 * fps), fps=fps)
    (uncut,) = cut_jumps(whole)
    assert uncut.name == whole.name
    np.testing.assert_array_equal(uncut.joints, whole.joints)
    for jump, pieces in ((0.9, 1), (1.1, 2)):  # times 15 m/s
        joints = whole.joints.copy()
        joints[round(fps) :, 3] = joints[round(fps) - 1, 3]
        joints[round(fps) :, 3, 2] += jump * 15 / fps
        cut = cut_jumps(MotionClip(whole.name, whole.subject, fps, joints))
        assert len(cut) == pieces
        np.testing.assert_array_equal(np.concatenate([piece.joints for piece in cut]), joints)
    assert [piece.name for piece in cut] == ["07_01.0", "07_01.1"]
    assert [len(piece.joints) for piece in cut] == [fps, 3 * fps]


def test_pieces_shorter_than_half_a_second_are_dropped():
    whole = make_clip(240)
    whole.joints[59:, 3] += 10
    assert [(piece.name, len(piece.joints)) for piece in cut_jumps(whole)] == [("07_01.1", 181)]
    assert cut_jumps(make_clip(59)) == []
    assert len(cut_jumps(make_clip(60))) == 1
    assert cut_jumps(make_clip(0)) == []


def test_a_joint_that_is_missing_does_not_jump():
    whole = changed(make_clip(240), slice(100, 140), LEFT_WRIST, np.nan)
    (uncut,) = cut_jumps(whole)
    np.testing.assert_array_equal(uncut.joints, whole.joints)
    never = changed(whole, slice(None), LEFT_WRIST, np.nan)
    assert len(cut_jumps(never)) == 1


def test_a_jump_of_one_joint_cuts_though_others_are_missing():
    whole = changed(make_clip(240), slice(None), LEFT_WRIST, np.nan)
    whole.joints[120:, 3] += 10
    assert [len(piece.joints) for piece in cut_jumps(whole)] == [120, 120]


def test_where_the_person_is_lost_the_clip_is_cut_and_the_frames_left_out():
    whole = make_clip(480)
    for joint in (slice(None), PELVIS):  # all of the person, or what all else is relative to
        cut = cut_jumps(changed(whole, slice(200, 230), joint, np.nan))
        assert [(piece.name, len(piece.joints)) for piece in cut] == [("07_01.0", 200), ("07_01.1", 250)]
        np.testing.assert_array_equal(cut[1].joints, whole.joints[230:])
    (rest,) = cut_jumps(changed(whole, slice(0, 30), PELVIS, np.nan))
    np.testing.assert_array_equal(rest.joints, whole.joints[30:])
    assert cut_jumps(changed(whole, slice(None), PELVIS, np.nan)) == []


def test_frames_beside_a_jump_are_left_out_where_asked():
    whole = make_clip(480)
    whole.joints[200:, 3] += 10
    whole.joints[220:, 3] += 10
    cut = cut_jumps(whole, margin=0.1)  # 12 frames
    assert [len(piece.joints) for piece in cut] == [188, 480 - 232]
    np.testing.assert_array_equal(cut[0].joints, whole.joints[:188])
    np.testing.assert_array_equal(cut[1].joints, whole.joints[232:])
    whole = make_clip(480)
    whole.joints[3:, 3] += 10
    assert [len(piece.joints) for piece in cut_jumps(whole, margin=0.1)] == [480 - 15]


def test_two_people_are_cut_together():
    one = changed(make_clip(480, name="60_01"), slice(300, 480), slice(None), 5.0)
    other = changed(make_clip(480, seed=1, name="61_01"), slice(100, 110), slice(None), np.nan)
    cut = cut_together([one, other])
    assert [[piece.name for piece in pair] for pair in cut] == [[f"60_01.{n}", f"61_01.{n}"] for n in range(3)]
    for pair, frames in zip(cut, (slice(0, 100), slice(110, 300), slice(300, 480)), strict=True):
        for piece, clip in zip(pair, (one, other), strict=True):
            np.testing.assert_array_equal(piece.joints, clip.joints[frames])


def test_hands_and_feet_are_cut_with_the_body():
    ends = np.arange(480 * len(EXTREMITIES) * 3.0).reshape(480, -1, 3)
    whole = replace(make_clip(480), extremities=ends)
    whole.joints[200:, 3] += 10
    cut = cut_jumps(whole)
    np.testing.assert_array_equal(np.concatenate([piece.extremities for piece in cut]), ends)
    assert [len(piece.extremities) for piece in cut] == [200, 280]


@given(
    jumps=st.lists(st.integers(1, 299), max_size=4),
    lost=st.lists(st.tuples(st.integers(0, 299), st.integers(1, 40)), max_size=3),
    missing=st.lists(st.tuples(st.integers(0, 299), st.integers(1, 300), st.sampled_from([5, 9, 12])), max_size=3),
    margin=st.sampled_from([0.0, 0.05, 0.2]),
)
def test_pieces_are_runs_of_the_clip_without_jumps_and_gaps(jumps, lost, missing, margin):
    clip = make_clip(300, fps=60.0)
    clip.joints[:, 0, 0] = np.arange(300) / 100  # every frame is another
    for start, count, joint in missing:
        clip.joints[start : start + count, joint] = np.nan
    for jump in jumps:
        clip.joints[jump:, 3] += 1
    for start, count in lost:
        clip.joints[start : start + count] = np.nan
    used = []
    for piece in cut_jumps(clip, margin):
        first = int(np.flatnonzero(clip.joints[:, 0, 0] == piece.joints[0, 0, 0])[0])
        frames = range(first, first + len(piece.joints))
        np.testing.assert_array_equal(piece.joints, clip.joints[frames])
        assert len(frames) >= 30
        assert np.isfinite(piece.joints[:, PELVIS]).all()
        assert np.nan_to_num(np.linalg.norm(np.diff(piece.joints, axis=0), axis=-1)).max(initial=0) <= 0.25
        used += frames
    assert sorted(set(used)) == used
