"""Names of joints as others spell them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.formats.names import match, to_skeleton
from occlupose.skeletons import BODY25, CMU31, COCO17, HALPE26, SKELETONS

OURS = sorted({joint for skeleton in SKELETONS if skeleton != CMU31 for joint in skeleton.joints})


def spellings(joint):
    """Ways to write a joint's name."""
    words = joint.split("_")
    yield joint
    yield " ".join(words)
    yield "-".join(words).upper()
    yield "".join(word.title() for word in words)
    yield words[0] + "".join(word.title() for word in words[1:])
    if words[0] in ("left", "right"):
        rest = words[1:]
        yield "_".join([words[0][0], *rest])
        yield words[0][0].upper() + "".join(word.title() for word in rest)
        yield "_".join([*rest, words[0]])
        yield f"{'_'.join(rest).title()}.{words[0][0].upper()}"


@pytest.mark.parametrize("joint", OURS)
def test_every_joint_in_every_spelling(joint):
    assert {match(spelling) for spelling in spellings(joint)} == {joint}


@pytest.mark.parametrize(
    ("name", "joint"),
    [
        ("MidHip", "pelvis"),
        ("Hip", "pelvis"),
        ("CHip", "pelvis"),
        ("root", "pelvis"),
        ("lhip", "left_hip"),
        ("leftelbow", "left_elbow"),
        ("RAnkle", "right_ankle"),
        ("LBigToe", "left_big_toe"),
        ("mouth_left", "left_mouth"),
        ("left hallux", "left_big_toe"),
        ("HeadTop", "head_top"),
        ("top_head", "head_top"),
        ("Head", "head"),
        ("snout", None),
        ("tail_base", None),
        ("left", None),
        ("leg", None),
        ("", None),
        ("hip1", None),
        ("\u0434\u0436", None),
    ],
)
def test_other_words(name, joint):
    assert match(name) == joint


@given(st.text(max_size=12))
def test_any_text_is_a_joint_of_ours_or_none(text):
    assert match(text) in (None, *OURS)


def test_known_skeletons_and_their_parts():
    assert to_skeleton(COCO17.joints, "X") is COCO17
    assert to_skeleton(BODY25.joints, "X") is BODY25
    assert to_skeleton(["LHip", "RHip"], "X").joints == ("left_hip", "right_hip")
    assert to_skeleton(["LHip", "RHip"], "X").name.startswith("coco17:")
    assert to_skeleton([*COCO17.joints, "head_top"], "X").joints == (*COCO17.joints, "head_top")


def test_own_joints_beside_ours():
    skeleton = to_skeleton(["LHip", "LKnee", "racket", "left_hip_marker"], "Tool")
    assert (skeleton.name, skeleton.joints) == ("tool", ("left_hip", "left_knee", "racket", "left_hip_marker"))
    assert skeleton.limbs == (("left_hip", "left_knee"),)
    assert not any(skeleton.name == known.name for known in SKELETONS)


def test_two_names_of_one_joint():
    assert to_skeleton(["pelvis", "hip", "left_hip"], "Tool").joints == ("pelvis", "hip", "left_hip")
    assert to_skeleton(["hip", "midhip", "left_hip"], "Tool").joints == ("pelvis", "midhip", "left_hip")


@given(st.lists(st.sampled_from([*OURS, "hip", "MidHip", "tail", "LHip", "left hip", "x"]), unique=True, min_size=1))
def test_names_stay_apart(names):
    try:
        joints = to_skeleton(names, "Tool").joints
    except OccluposeError:
        return
    assert len(set(joints)) == len(joints) == len(names)


@pytest.mark.parametrize("names", [["tail", "paw"], ["nose", "left_ear", "right_eye"], ["elbow"]])
def test_no_body(names):
    with pytest.raises(
        OccluposeError, match=rf"^no joint of a person's body in it, only {', '.join(names)}; name them"
    ):
        to_skeleton(names, "Tool")


def test_a_name_twice():
    with pytest.raises(OccluposeError, match=r"^has joint 'nose' twice; every joint needs a name of its own$"):
        to_skeleton(["nose", "left_hip", "nose"], "Tool")


def test_halpe26_as_its_authors_name_it():
    names = (
        "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee Rknee LAnkle RAnkle"
    )
    names += " HeadTop Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
    assert to_skeleton(names.split(), "X") is HALPE26
