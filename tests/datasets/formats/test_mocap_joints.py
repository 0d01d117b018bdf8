import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mocap_files import STANDING, standing, write_joints
from occlupose.datasets.formats.mocap_joints import (
    CMU,
    LIMBS,
    MISSING,
    REST_FRAMES,
    TRUNKS,
    find_subject,
    load_joints,
    load_pairs,
    read_joints,
)
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY22

BACK_AND_HEAD = {"spine", "thorax", "neck_nose", "head_top"}
NAMES = list(STANDING)


def known(clip):
    """The joints that are known in all frames; the others are unknown in all."""
    finite = np.isfinite(clip.joints).all(-1)
    assert (finite == finite[:1]).all()
    return {joint for joint, here in zip(BODY22.joints, finite[0], strict=True) if here}


def at(clip, joint):
    return clip.joints[0, BODY22.joints.index(joint)]


def test_limbs_are_read_by_name_in_metres_on_the_person_s_own_side(tmp_path):
    (clip,) = read_joints(write_joints(tmp_path / "accad_30fps.npz", fps=30, Male2_A9_Lie=standing(40)))
    assert (clip.name, clip.subject, clip.fps, clip.joints.shape) == ("Male2_A9_Lie", "Male2", 30.0, (40, 22, 3))
    assert clip.joints.dtype == np.float32
    for ours, theirs in LIMBS.items():
        assert ours.startswith({"L": "left", "R": "right", "p": "pelvis"}[theirs[0]])
        np.testing.assert_allclose(at(clip, ours), STANDING[theirs], atol=1e-6)
    np.testing.assert_allclose(at(clip, "left_wrist"), (0.2, 0.85, 0.1), atol=1e-6)
    np.testing.assert_allclose(at(clip, "right_wrist"), (-0.2, 0.85, 0.2), atol=1e-6)


@pytest.mark.parametrize(
    ("stem", "neck", "expected"),
    [
        (CMU, 0.30, {"spine": "spine", "thorax": "neckbase", "head_top": "head"}),  # a trial of its own skeleton
        (CMU, 0.13, {"neck_nose": "neckbase", "head_top": "head"}),
        (CMU, 0.09, {"neck_nose": "head"}),
        (CMU, 0.07, {"neck_nose": "head"}),
        ("accad_30fps", 0.09, {"neck_nose": "head"}),
        ("uiprmd_50fps", 0.20, {"head_top": "head"}),
        ("opencap_100fps", 0.20, {}),
    ],
)
def test_back_and_head_are_those_that_the_skeleton_has_and_nothing_is_made_up(tmp_path, stem, neck, expected):
    name = {"uiprmd_50fps": "m05_s09_e01"}.get(stem, "01_02")
    (clip,) = read_joints(write_joints(tmp_path / f"{stem}.npz", **{name: standing(60, neck=neck)}))
    assert known(clip) == {*LIMBS, *expected}
    for ours, theirs in expected.items():
        place = (0, 1.4 + neck, 0) if theirs == "head" else STANDING[theirs]
        np.testing.assert_allclose(at(clip, ours), place, atol=1e-6)
    assert clip.extremities is None


def test_the_rest_pose_before_a_generic_skeleton_s_motion_is_left_out(tmp_path):
    moving = standing(60, neck=0.07)
    moving[:REST_FRAMES] += 500
    own = standing(60)
    own[:REST_FRAMES] += 20
    generic, trial = read_joints(write_joints(tmp_path / f"{CMU}.npz", **{"indian_04": moving, "13_29": own}))
    assert len(generic.joints) == 60 - REST_FRAMES
    np.testing.assert_allclose(generic.joints[0, BODY22.index("pelvis")[0]], (0, 0.9, 0), atol=1e-6)
    assert len(trial.joints) == 60


def test_a_joint_with_a_missing_coordinate_is_unknown_in_that_frame(tmp_path):
    joints = standing(60)
    joints[10:20, NAMES.index("LWrist"), 1] = MISSING
    joints[:, NAMES.index("RKnee")] = MISSING
    (clip,) = read_joints(write_joints(tmp_path / "opencap_100fps.npz", Subject4_STS1=joints))
    unknown = np.isnan(clip.joints)
    assert (unknown.any(-1) == unknown.all(-1)).all()
    assert unknown[:, BODY22.joints.index("right_knee")].all()
    assert np.flatnonzero(unknown[:, BODY22.joints.index("left_wrist"), 0]).tolist() == list(range(10, 20))
    assert not unknown[:, BODY22.joints.index("left_knee")].any()


def test_cmu_s_skeletons_are_told_apart_where_head_and_neck_are_known(tmp_path):
    seldom = standing(60)
    seldom[:50, NAMES.index("head")] = MISSING
    never = standing(60)
    never[:, NAMES.index("neckbase")] = MISSING
    first, second = read_joints(write_joints(tmp_path / f"{CMU}.npz", **{"13_29": seldom, "13_30": never}))
    assert np.isfinite(first.joints[50:, BODY22.joints.index("head_top")]).all()
    assert known(second) == set(LIMBS)


@pytest.mark.parametrize(
    ("stem", "name", "subject"),
    [
        (CMU, "60_01", "60"),
        (CMU, "indian_07", "indian"),
        ("accad_30fps", "Female1_B21_S2_PutDownBoxToWalk", "Female1"),
        ("uiprmd_50fps", "m03_s10_e01_inc", "s10"),
        ("opencap_100fps", "osim_DetectMarkerFlip_DJ1", "osim_DetectMarkerFlip"),
        ("opencap_100fps", "Subject4_walking1", "Subject4"),
    ],
)
def test_the_subject_is_the_person_in_the_name(stem, name, subject):
    assert find_subject(stem, name) == subject


def test_clips_are_cut_a_tenth_of_a_second_from_jumps_and_where_the_pelvis_is_lost(tmp_path):
    jumping = standing(120)
    jumping[60:, NAMES.index("RKnee")] += 400
    lost = standing(120)
    lost[40:50, NAMES.index("pelvis")] = MISSING
    clips = load_joints(write_joints(tmp_path / f"{CMU}.npz", **{"13_29": jumping, "13_30": lost}))
    assert [(clip.name, len(clip.joints)) for clip in clips] == [
        ("13_29.0", 54),
        ("13_29.1", 54),
        ("13_30.0", 40),
        ("13_30.1", 70),
    ]


def dances(**changes):
    """Two people who dance together twice, one who dances alone, and somebody else."""
    one = standing(200, neck=0.07)
    other = standing(200, neck=0.07, x=0.8)
    return {"60_01": one, "61_01": other, "60_02": one, "61_02": other, "60_03": one, "85_02": other} | changes


def test_those_who_dance_together_are_read_in_step(tmp_path):
    jumping = standing(200, neck=0.07)
    jumping[100:, NAMES.index("LAnkle")] += 400
    pairs = load_pairs(write_joints(tmp_path / f"{CMU}.npz", **dances(**{"60_02": jumping})))
    assert [(one.name, other.name) for one, other in pairs] == [
        ("60_01", "61_01"),
        ("60_02.0", "61_02.0"),
        ("60_02.1", "61_02.1"),
    ]
    for one, other in pairs:
        assert len(one.joints) == len(other.joints)
        np.testing.assert_allclose(at(other, "pelvis") - at(one, "pelvis"), (0.8, 0, 0), atol=1e-6)
    assert [len(one.joints) for one, _ in pairs] == [195, 94 - REST_FRAMES, 94]


def test_a_pair_of_two_lengths_is_refused(tmp_path):
    path = write_joints(tmp_path / f"{CMU}.npz", **dances(**{"61_01": standing(100, neck=0.07)}))
    with pytest.raises(OccluposeError, match=r"cmu_60fps\.npz: 60_01 and 61_01 differ in length; fetch it again$"):
        load_pairs(path)


@pytest.mark.parametrize(
    "change",
    [
        {"joint_names": np.array(NAMES[1:])},
        {"joint_names": np.array(["hip", *NAMES[1:]])},
        {"fps": np.array("fast")},
        {"fps": np.array([30, 60])},
        {"fps": 0},
        {"fps": np.nan},
        {"clip_1": np.zeros((60, 16, 2), np.int16)},
        {"clip_1": np.zeros((60, 16, 3))},
        {"clip_1": np.array([{}])},
        {"clip_1": np.array("music")},
        {"fps": np.array([])},
    ],
)
def test_damaged_files_are_refused(tmp_path, change):
    path = write_joints(tmp_path / "accad_30fps.npz", **({"clip_1": standing(60)} | change))
    with pytest.raises(OccluposeError, match=r"accad_30fps\.npz: not a whole file of captured joints .*; fetch it"):
        read_joints(path)


def test_files_that_are_absent_or_others_or_in_another_unit_are_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r"accad_30fps\.npz: no such file; a file of captured joints is expected"):
        read_joints(tmp_path / "accad_30fps.npz")
    with pytest.raises(OccluposeError, match=r"ours\.npz: which skeleton .*; give one of cmu_60fps\.npz, accad_30fps"):
        read_joints(write_joints(tmp_path / "ours.npz", clip_1=standing(60)))
    path = write_joints(tmp_path / "uiprmd_50fps.npz", unit="cm, z up", m01_s01_e01=standing(60))
    with pytest.raises(OccluposeError, match=r"uiprmd_50fps\.npz: its unit is 'cm, z up'; 'mm, y up' is expected"):
        read_joints(path)
    for content in (b"", b"PK\3\4 nothing else", b"\x93NUMPY", b"a letter"):
        path.write_bytes(content)
        with pytest.raises(OccluposeError, match=r"uiprmd_50fps\.npz: not a whole file"):
            read_joints(path)
    with pytest.raises(OccluposeError, match=r"uiprmd_50fps\.npz: not a whole file"):
        read_joints(write_joints(path))  # no clip
    np.save(tmp_path / "array.npy", standing(60))
    (tmp_path / "array.npy").rename(path)
    with pytest.raises(OccluposeError, match=r"uiprmd_50fps\.npz: not a whole file"):
        read_joints(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_file_cut_short_or_with_wrong_bytes_is_read_as_it_was_or_refused(tmp_path, data):
    path = write_joints(tmp_path / "accad_30fps.npz", Male2_A9_Lie=standing(40))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        clips = read_joints(path)
    except OccluposeError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    assert all(clip.joints.shape[1:] == (22, 3) for clip in clips)


def test_every_file_has_a_table_of_its_joints():
    for trunk in TRUNKS.values():
        assert set(trunk) <= BACK_AND_HEAD
        assert set(trunk.values()) <= set(NAMES)
    assert set(LIMBS) < set(BODY22.joints)
    assert len(set(LIMBS.values())) == 13
