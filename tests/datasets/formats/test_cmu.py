import numpy as np
import pytest

from mocap_files import UNIT, amc, asf, make_clip, swinging, write_mocap
from occlupose.datasets.formats.cmu import (
    BODY22_FROM_CLIPS,
    VALIDATION_COPIES,
    clip_distance,
    load_clips,
    read_amc,
    read_asf,
    read_clips,
    read_motion,
    split_clips,
)
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY22

CLIP_JOINTS = sorted({*BODY22_FROM_CLIPS.values(), "root"})
PLACES = np.random.default_rng(0).normal(0, 1, (len(CLIP_JOINTS), 3)).astype(np.float32)


def posed(tmp_path, axis=None, frames=1, **values):
    """BODY22 joints (by name, in the files' unit of length) of the first frame of a motion of the test's skeleton."""
    (tmp_path / "01.asf").write_text(asf(axis=axis))
    (tmp_path / "01_01.amc").write_text(amc(frames, **values))
    joints, _ = read_motion(tmp_path / "01.asf", tmp_path / "01_01.amc")
    assert joints.shape == (frames, 22, 3)
    return dict(zip(BODY22.joints, joints[0] / UNIT, strict=True))


def test_at_rest_a_person_looks_along_z_with_the_left_at_plus_x(tmp_path):
    at = posed(tmp_path)
    for name in BODY22.joints:
        if name.startswith("left_"):
            assert at[name][0] > 0
            np.testing.assert_allclose(at[name] * (-1, 1, 1), at[name.replace("left_", "right_")], atol=1e-9)
    np.testing.assert_allclose(at["pelvis"], (0, -1.6, 0), atol=1e-9)  # between the hips, not the root
    np.testing.assert_allclose(at["thorax"], (0, 6, 0), atol=1e-9)
    np.testing.assert_allclose(at["neck_nose"], (0, 9, 0), atol=1e-9)
    np.testing.assert_allclose(at["head_top"], (0, 11, 0), atol=1e-9)
    np.testing.assert_allclose(at["left_wrist"], (12, 6, 0), atol=1e-9)
    np.testing.assert_allclose(at["left_ankle"], (1.2, -15.6, 0), atol=1e-9)
    assert at["nose"][2] > at["left_eye"][2] > at["left_ear"][2] > 0
    assert at["nose"][1] < at["left_eye"][1]


def test_the_root_moves_and_turns_about_x_then_y_then_z(tmp_path):
    at = posed(tmp_path, root=(1, 2, 3, 90, 90, 0))
    # up is turned about x onto z, and then about y from z onto x; left stays about x, then goes to -z
    np.testing.assert_allclose(at["thorax"], (1 + 6, 2, 3), atol=1e-9)
    np.testing.assert_allclose(at["left_shoulder"] - at["thorax"], (0, 0, -3), atol=1e-9)
    at = posed(tmp_path, root=(0, 0, 0, 0, 90, 90))
    # left is turned about y onto -z, which z leaves; forward goes about y onto x, and then about z onto y
    np.testing.assert_allclose(at["left_shoulder"] - at["thorax"], (0, 0, -3), atol=1e-9)
    assert at["nose"][1] - at["neck_nose"][1] > 1


def test_a_bone_turns_with_those_above_it_and_carries_those_below(tmp_path):
    at = posed(tmp_path, lhumerus=(0, 0, -90), lradius=(90,))
    np.testing.assert_allclose(at["left_elbow"] - at["left_shoulder"], (0, -5, 0), atol=1e-9)
    # the forearm turns about x before the upper arm turns about z: along x it does not move, so it hangs down with the
    # arm
    np.testing.assert_allclose(at["left_wrist"] - at["left_elbow"], (0, -4, 0), atol=1e-9)
    np.testing.assert_allclose(at["right_wrist"], (-12, 6, 0), atol=1e-9)
    at = posed(tmp_path, lfemur=(-90, 0, 0), ltibia=(90,))  # sitting
    np.testing.assert_allclose(at["left_knee"] - at["left_hip"], (0, 0, 7), atol=1e-9)
    np.testing.assert_allclose(at["left_ankle"] - at["left_knee"], (0, -7, 0), atol=1e-9)


def test_angles_turn_about_the_axes_of_the_bone(tmp_path):
    at = posed(tmp_path, axis={"lradius": (0, 0, 90)}, lradius=(90,))
    # the bone's x axis is turned about z onto y: the forearm turns about y, from x to -z
    np.testing.assert_allclose(at["left_wrist"] - at["left_elbow"], (0, 0, -4), atol=1e-9)
    at = posed(tmp_path, axis={"lradius": (90, 90, 0)}, lradius=(-90,))
    # x, about x, then about y: x goes to -z; a quarter turn back about -z takes x to y
    np.testing.assert_allclose(at["left_wrist"] - at["left_elbow"], (0, 4, 0), atol=1e-9)


def test_angles_are_those_of_the_freedoms_that_the_bone_has(tmp_path):
    at = posed(tmp_path, lclavicle=(0, 90))  # ry and rz
    np.testing.assert_allclose(at["left_shoulder"] - at["thorax"], (0, 3, 0), atol=1e-9)


def test_the_head_carries_the_face(tmp_path):
    upright = posed(tmp_path)
    nodding = posed(tmp_path, head=(90, 0, 0))
    np.testing.assert_allclose(nodding["neck_nose"], upright["neck_nose"], atol=1e-9)
    x, y, z = upright["nose"] - upright["neck_nose"]
    np.testing.assert_allclose(nodding["nose"] - nodding["neck_nose"], (x, -z, y), atol=1e-9)


def refused(tmp_path, skeleton, motion):
    (tmp_path / "01.asf").write_text(skeleton)
    (tmp_path / "01_01.amc").write_text(motion)
    with pytest.raises(OccluposeError) as refusal:
        read_motion(tmp_path / "01.asf", tmp_path / "01_01.amc")
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "no bones or no hierarchy"),
        (lambda text: "MThd\0\1 this is music", "no bones or no hierarchy"),
        (lambda text: text.partition(":hierarchy")[0], "no bones or no hierarchy"),
        (lambda text: asf(without="ltibia"), "bone ltibia is missing or damaged"),
        (lambda text: text.replace("direction 0 1 0", "direction 0 one 0"), "bone lowerback is missing or damaged"),
        (lambda text: text.replace("direction 0 1 0", "direction 0 1"), "bone lowerback is missing or damaged"),
        (lambda text: text.replace("length 5", "length nan"), "bone lhumerus is missing or damaged"),
        (lambda text: text.replace("dof rx ry rz", "dof rx ry l"), "bone lowerback is missing or damaged"),
        (
            lambda text: text.replace("    lfemur ltibia\n", "    lthigh ltibia\n"),
            "bone ltibia: its parent lthigh is not defined",
        ),
        (lambda text: text.replace("lhumerus lradius\n", "lhumerus\n"), "no bone lradius"),
        (lambda text: text.replace("name ltibia", "name"), "bone ltibia is missing or damaged"),
    ],
)
def test_damaged_skeletons_are_refused(tmp_path, damage, words):
    message = refused(tmp_path, damage(asf()), amc())
    assert message.startswith(f"{tmp_path / '01.asf'}: ") and words in message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "not every bone"),
        (lambda text: "a letter to a friend", "line 1 has values that are not numbers"),
        (lambda text: text.replace("ltibia 0", "ltibia zero", 1), "values that are not numbers"),
        (lambda text: text.replace("ltibia 0", "ltibia nan", 1), "not finite"),
        (lambda text: text.rpartition("rhumerus")[0], "cut short"),
        (lambda text: text[: text.rindex("\n3\n")] + "\n3\n", "cut short"),
        (lambda text: text[: text.rindex("rhumerus") + 11], "cut short|changes between frames"),
        (lambda text: text.replace("root 0 0 0 0 0 0", "root 0 0 0"), "root has 3 values"),
        (lambda text: text.replace("lfemur 0 0 0", "lfemur 0"), "lfemur has 1 values"),
        (lambda text: text.replace("ltibia 0\n", ""), "ltibia has 0 values"),
    ],
)
def test_damaged_motions_are_refused(tmp_path, damage, words):
    message = refused(tmp_path, asf(), damage(amc(3)))
    assert message.startswith(f"{tmp_path / '01_01.amc'}: ") and any(part in message for part in words.split("|")), (
        message
    )


def test_joints_that_are_far_away_are_refused(tmp_path):
    (tmp_path / "07.asf").write_text(asf())
    (tmp_path / "07_01.amc").write_text(amc(2, root=[1e300, 0, 0, 0, 0, 0]))
    with pytest.raises(OccluposeError, match=r"07_01\.amc: joints more than 1e\+06 m away; fetch both files again"):
        read_motion(tmp_path / "07.asf", tmp_path / "07_01.amc")


def test_files_that_are_not_there_are_refused(tmp_path):
    for read, name in ((read_asf, "01.asf"), (read_amc, "01_01.amc"), (read_clips, "joints.npz")):
        with pytest.raises(OccluposeError, match=f"{name}: no such file"):
            read(tmp_path / name)
    write_mocap(tmp_path, {"01": 1})
    (tmp_path / "cmu" / "01" / "01.asf").unlink()
    with pytest.raises(OccluposeError, match=r"01\.asf: no such file"):
        load_clips(tmp_path)


def test_a_folder_without_motions_is_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        load_clips(tmp_path)
    write_mocap(tmp_path, {"01": 1})
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        load_clips(tmp_path, ("02",))


def test_all_motions_of_a_folder_are_read(tmp_path):
    write_mocap(tmp_path, {"07": 2, "02": 1}, frames=130)
    clips = load_clips(tmp_path)
    assert [(clip.name, clip.subject, clip.fps, clip.joints.shape) for clip in clips] == [
        ("02_01", "02", 120.0, (130, 22, 3)),
        ("07_01", "07", 120.0, (130, 22, 3)),
        ("07_02", "07", 120.0, (130, 22, 3)),
    ]
    assert all(clip.joints.dtype == np.float32 for clip in clips)
    assert [clip.name for clip in load_clips(tmp_path, ("02",))] == ["02_01"]


def clip_file(path, **change):
    """A file of joint positions with one clip in which each joint stands at its own place."""
    path.parent.mkdir(exist_ok=True)
    np.savez(
        path,
        **(
            {"joint_names": np.array(CLIP_JOINTS), "fps": np.float32(60), "walking__1": np.repeat(PLACES[None], 60, 0)}
            | change
        ),
    )


def test_clips_of_joint_positions_are_read_by_name(tmp_path):
    write_mocap(tmp_path, {"07": 1}, frames=130)
    clip_file(tmp_path / "cmu_expmap" / "joints_60fps.npz")
    (read,) = load_clips(tmp_path, ("clips",))
    assert [clip.name for clip in load_clips(tmp_path)] == ["07_01", "walking__1"]
    assert (read.name, read.subject, read.fps, read.joints.shape) == ("walking__1", "clips", 60.0, (60, 22, 3))
    for ours, theirs in BODY22_FROM_CLIPS.items():
        np.testing.assert_allclose(read.joints[5, BODY22.joints.index(ours)], PLACES[CLIP_JOINTS.index(theirs)])


def test_without_rotations_neck_and_shoulders_say_where_the_face_is(tmp_path):
    (tmp_path / "01.asf").write_text(asf())
    (tmp_path / "01_01.amc").write_text(amc(60, root=(0, 0, 0, 20, 50, -30)))
    motion, _ = read_motion(tmp_path / "01.asf", tmp_path / "01_01.amc")
    names = [{value: key for key, value in BODY22_FROM_CLIPS.items()}.get(name, "pelvis") for name in CLIP_JOINTS]
    clip_file(tmp_path / "joints.npz", walking__1=motion[:, BODY22.index(*names)])
    (read,) = read_clips(tmp_path / "joints.npz")
    np.testing.assert_allclose(read.joints, motion, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"joint_names": np.array(CLIP_JOINTS[1:])},
        {"walking__1": np.zeros((60, 3, 3))},
        {"walking__1": np.full((60, len(CLIP_JOINTS), 3), np.nan)},
        {"fps": np.array("fast")},
        {"fps": np.float64(0)},
        {"fps": np.float64(-1)},
        {"fps": np.float64(np.inf)},
        {"fps": np.zeros(2)},
        {"walking__1": np.ones((60, len(CLIP_JOINTS), 3))},
        {"walking__1": np.full((60, len(CLIP_JOINTS), 3), "a")},
        {"walking__1": np.array([{}])},
    ],
)
def test_damaged_clips_are_refused(tmp_path, change):
    clip_file(tmp_path / "joints.npz", **change)
    with pytest.raises(OccluposeError, match=r"joints\.npz: not a whole file of joint positions"):
        read_clips(tmp_path / "joints.npz")


def test_clips_that_are_no_archive_are_refused(tmp_path):
    (tmp_path / "joints.npz").write_bytes(b"PK\3\4 nothing else")
    with pytest.raises(OccluposeError, match=r"joints\.npz: not a whole file of joint positions"):
        read_clips(tmp_path / "joints.npz")


def test_training_sees_no_held_out_subject_and_no_copy_of_their_sequences():
    clips = [make_clip(name=f"{subject}_01", subject=subject) for subject in ("01", "02", "07", "08", "32", "35")]
    clips += [
        make_clip(name=name, subject="clips")
        for name in (VALIDATION_COPIES[0], f"{VALIDATION_COPIES[3]}.1", "soccer__1")
    ]
    training, validation = split_clips(clips)
    assert [part.name for part in training] == ["01_01", "07_01", "35_01", "soccer__1"]
    assert [part.name for part in validation] == ["02_01", "08_01", "32_01"]


def test_a_copy_is_found_whatever_its_place_turn_size_and_rate(tmp_path):
    (tmp_path / "01.asf").write_text(asf())
    for number in (1, 2):
        (tmp_path / f"{number}.amc").write_text(swinging(400, seed=number))
    one = MotionClip("1", "07", 120.0, read_motion(tmp_path / "01.asf", tmp_path / "1.amc")[0])
    other = MotionClip("2", "07", 120.0, read_motion(tmp_path / "01.asf", tmp_path / "2.amc")[0])
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    copy = MotionClip("copy", "clips", 60.0, (1.1 * one.joints @ turn + (3, 0, 1))[100:340:2])
    assert clip_distance(one, one) == pytest.approx(0, abs=1e-4)
    assert clip_distance(one, copy) == pytest.approx(0, abs=1e-4)
    assert clip_distance(copy, one) == pytest.approx(0, abs=1e-4)
    assert clip_distance(one, other) > 6
