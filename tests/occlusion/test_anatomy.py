import numpy as np
import pytest

from mocap_sequences import standing_pose
from occlupose.occlusion.anatomy import ARMS, END, HEAD, LEGS, MIDDLE, TRUNK, describe
from occlupose.skeletons import BLAZEPOSE33, BODY22, CMU31, COCO17, SKELETONS, WHOLEBODY133, Skeleton


def of(skeleton, values):
    return dict(zip(skeleton.joints, values.tolist(), strict=True))


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda it: it.name)
def test_every_skeleton_has_pairs_and_limbs(skeleton):
    anatomy = describe(skeleton)
    assert len(anatomy.pairs) in (6, 8) and len(anatomy.limbs) == 10
    np.testing.assert_array_equal(anatomy.mirror[anatomy.pairs[:, 0]], anatomy.pairs[:, 1])
    np.testing.assert_array_equal(anatomy.part[anatomy.mirror], anatomy.part)
    np.testing.assert_array_equal(anatomy.reach[anatomy.mirror], anatomy.reach)
    assert anatomy.moved.diagonal().all()


def test_parts_and_reach():
    anatomy = describe(COCO17)
    part = of(COCO17, anatomy.part)
    reach = of(COCO17, anatomy.reach)
    assert (part["left_eye"], part["right_wrist"], part["left_hip"], part["nose"]) == (HEAD, ARMS, LEGS, HEAD)
    assert [reach[f"left_{joint}"] for joint in ("hip", "knee", "ankle")] == [TRUNK, MIDDLE, END]
    assert reach["right_ear"] == TRUNK


def test_fingers_and_toes_belong_to_the_limbs_they_hang_on():
    anatomy = describe(WHOLEBODY133)
    part = of(WHOLEBODY133, anatomy.part)
    reach = of(WHOLEBODY133, anatomy.reach)
    for joint in WHOLEBODY133.joints:
        if "finger" in joint or "thumb" in joint:
            assert (part[joint], reach[joint]) == (ARMS, END), joint
        if "toe" in joint or "heel" in joint:
            assert (part[joint], reach[joint]) == (LEGS, END), joint
        if "jaw" in joint or "brow" in joint:
            assert part[joint] == HEAD, joint


def test_an_elbow_moves_the_hand_and_nothing_else():
    anatomy = describe(BLAZEPOSE33)
    moved = anatomy.moved[BLAZEPOSE33.index("left_elbow")[0]]
    hand = ("wrist", "pinky", "index", "thumb")
    assert {BLAZEPOSE33.joints[joint] for joint in np.flatnonzero(moved)} == {
        "left_elbow",
        *(f"left_{joint}" for joint in hand),
    }
    nose = anatomy.moved[BLAZEPOSE33.index("nose")[0]]
    assert np.flatnonzero(nose).tolist() == BLAZEPOSE33.index("nose")


def test_own_names_are_understood():
    anatomy = describe(CMU31)
    assert of(CMU31, anatomy.part)["lhumerus"] == ARMS and of(CMU31, anatomy.reach)["rtibia"] == END
    assert of(CMU31, anatomy.part)["ltoes"] == LEGS


def test_lengths_are_those_of_a_person():
    """The standing person of the tests is 1.7 m tall; bodies differ by a tenth."""
    anatomy = describe(BODY22)
    joints = standing_pose()
    lengths = np.linalg.norm(joints[anatomy.limbs[:, 1]] - joints[anatomy.limbs[:, 0]], axis=-1)
    np.testing.assert_allclose(lengths / anatomy.lengths, 1.7, rtol=0.1)
    assert sorted(np.bincount(anatomy.kinds).tolist()) == [2] * 5


def test_names_that_are_not_known_have_no_pairs():
    anatomy = describe(Skeleton("hand", ("left_tip", "right_tip", "palm"), (("palm", "left_tip"),)))
    assert len(anatomy.pairs) == len(anatomy.limbs) == 0
    assert anatomy.mirror.tolist() == [1, 0, 2] and (anatomy.part == HEAD).all()
