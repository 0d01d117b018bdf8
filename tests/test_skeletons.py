"""Joint sets are consistent, and so are the conversions between them."""

import re

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.skeletons import (
    AIC14,
    BODY22,
    BODY25,
    BODY25B,
    CMU31,
    COCO17,
    COCO18,
    CROWDPOSE14,
    H36M17,
    HALPE26,
    HUMANEVA15,
    MPI15,
    MPII16,
    MUPOTS17,
    SKELETONS,
    WHOLEBODY133,
    build_skeleton,
    by_name,
    convert,
    convert_weakest,
)

every_skeleton = pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)


def named(skeleton):
    """A distinct point for every joint name, in two dimensions."""
    return np.array([[hash_of(joint), len(joint)] for joint in skeleton.joints], np.float32)


def hash_of(joint):
    return sum((place + 1) * ord(letter) for place, letter in enumerate(joint))


def edges(skeleton):
    return {frozenset(skeleton.index(*limb)) for limb in skeleton.limbs}


def pairs(text):
    """Pairs of numbers: "1-8 1-2"."""
    return {frozenset(map(int, pair.split("-"))) for pair in text.split()}


@every_skeleton
def test_names_are_unique_and_as_many_as_the_name_says(skeleton):
    number = re.search(r"\d+(?=b?$)", skeleton.name)
    assert len(set(skeleton.joints)) == len(skeleton) == int(number[0])


@every_skeleton
def test_limbs_join_its_own_joints_and_leave_none_out(skeleton):
    ends = {end for limb in skeleton.limbs for end in limb}
    assert ends == set(skeleton.joints)
    assert len({frozenset(limb) for limb in skeleton.limbs}) == len(skeleton.limbs)


@every_skeleton
def test_mirror_swaps_sides(skeleton):
    mirror = np.array(skeleton.mirror)
    assert (mirror[mirror] == np.arange(len(skeleton))).all()
    for joint, partner in zip(skeleton.joints, mirror, strict=True):
        if joint.startswith("left_"):
            assert skeleton.joints[partner] == joint.replace("left_", "right_")
    assert {frozenset(limb) for limb in skeleton.limbs} == {
        frozenset(skeleton.joints[mirror[index]] for index in skeleton.index(*limb)) for limb in skeleton.limbs
    }


def test_mirror_of_bone_names():
    pairs = dict(zip(CMU31.joints, (CMU31.joints[partner] for partner in CMU31.mirror), strict=True))
    assert pairs["lfemur"] == "rfemur" and pairs["rthumb"] == "lthumb"
    assert pairs["lowerback"] == "lowerback" and pairs["root"] == "root" and pairs["lowerneck"] == "lowerneck"


def test_published_parents():
    assert H36M17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert HUMANEVA15.parents == (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)
    assert MUPOTS17.parents == (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1)


def test_published_limbs_of_mpi15():
    assert [tuple(MPI15.index(*limb)) for limb in MPI15.limbs] == [
        *[(0, 1), (0, 2), (0, 9), (9, 10), (10, 11), (0, 3), (3, 4)],
        *[(4, 5), (2, 12), (12, 13), (13, 14), (2, 6), (6, 7), (7, 8)],
    ]
    assert MPI15.parents == (2, 0, -1, 0, 3, 4, 2, 6, 7, 0, 9, 10, 2, 12, 13)


def test_published_edges_of_coco():
    published = [
        (16, 14),
        (14, 12),
        (17, 15),
        (15, 13),
        (12, 13),
        (6, 12),
        (7, 13),
        (6, 7),
        (6, 8),
        (7, 9),
        (8, 10),
        (9, 11),
    ]
    published += [(2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)]
    assert {frozenset(COCO17.index(*limb)) for limb in COCO17.limbs} == {
        frozenset((a - 1, b - 1)) for a, b in published
    }


@pytest.mark.parametrize(
    "skeleton", [skeleton for skeleton in SKELETONS if skeleton.root], ids=lambda skeleton: skeleton.name
)
def test_every_joint_leads_to_the_root(skeleton):
    root = skeleton.joints.index(skeleton.root)
    parents = skeleton.parents
    for joint in range(len(skeleton)):
        steps = 0
        while joint != root:
            joint = parents[joint]
            steps = steps + 1
            assert steps <= len(skeleton)


def test_published_pairs_of_body25():
    """The pairs that OpenPose draws (POSE_BODY_25_PAIRS_RENDER)."""
    published = "1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 0-15 15-17 0-16 16-18"
    published += " 14-19 19-20 14-21 11-22 22-23 11-24"
    assert edges(BODY25) == pairs(published)
    assert BODY25.parents[BODY25.joints.index("left_small_toe")] == BODY25.joints.index("left_big_toe")


def test_published_pairs_of_coco18():
    """The pairs that OpenPose draws (POSE_COCO_PAIRS_RENDER)."""
    published = "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17"
    assert edges(COCO18) == pairs(published)


def test_order_of_body25b():
    """OpenPose's experimental models: COCO's joints, upper neck and top of the head, then the feet."""
    assert BODY25B.joints[:17] == COCO17.joints and BODY25B.joints[17:19] == ("upper_neck", "head_top")
    assert sorted(BODY25B.joints[19:]) == sorted(BODY25.joints[19:])
    assert BODY25B.joints[19:22] == ("left_big_toe", "left_small_toe", "left_heel")


def test_published_edges_of_halpe26_and_aic14():
    published = "15-13 13-11 11-19 16-14 14-12 12-19 17-18 18-19 18-5 5-7 7-9 18-6 6-8 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6"
    assert edges(HALPE26) == pairs(published + " 15-20 15-22 15-24 16-21 16-23 16-25")
    assert edges(AIC14) == pairs("2-1 1-0 0-13 13-3 3-4 4-5 8-7 7-6 6-9 9-10 10-11 12-13 0-6 3-9")


def test_the_face_of_wholebody133_is_mirrored_as_ibug_numbers_it():
    published = (
        "0-16 1-15 2-14 3-13 4-12 5-11 6-10 7-9 17-26 18-25 19-24 20-23 21-22 31-35 32-34 36-45 37-44 38-43 39-42"
    )
    published += " 40-47 41-46 48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67"
    mirror = np.array(WHOLEBODY133.mirror)[23:91] - 23
    assert {frozenset(pair) for pair in enumerate(mirror.tolist()) if pair[0] != pair[1]} == pairs(published)
    single = [WHOLEBODY133.joints[23 + point] for point, partner in enumerate(mirror) if point == partner]
    assert (
        single
        == (
            "chin nose_bridge1 nose_bridge2 nose_bridge3 nose_bridge4 nose_base upper_lip lower_lip"
            " upper_inner_lip lower_inner_lip"
        ).split()
    )


def test_published_places_in_wholebody133():
    places = {"nose": 0, "right_ankle": 16, "left_big_toe": 17, "right_heel": 22, "right_jaw1": 23, "chin": 31}
    places |= {"left_hand_root": 91, "left_thumb1": 92, "left_pinky_finger4": 111, "right_hand_root": 112}
    places |= {"right_forefinger1": 117, "right_pinky_finger4": 132, "right_eyelid1": 59, "left_lip1": 77}
    assert {name: WHOLEBODY133.joints.index(name) for name in places} == places
    sigmas = dict(zip(WHOLEBODY133.joints, WHOLEBODY133.sigmas, strict=True))
    assert (sigmas["left_heel"], sigmas["chin"], sigmas["nose_bridge4"]) == (0.066, 0.020, 0.007)
    assert sigmas["left_hand_root"] == sigmas["right_hand_root"] == 0.029
    assert WHOLEBODY133.sigmas[:17] == COCO17.sigmas


def test_published_order_of_mpii16():
    assert MPII16.joints[6:10] == ("pelvis", "thorax", "upper_neck", "head_top")
    assert MPII16.parents == (1, 2, 6, 6, 3, 4, -1, 6, 7, 8, 11, 12, 7, 7, 13, 14)


@pytest.mark.parametrize(
    ("skeleton", "missing"),
    [
        (COCO17, {"neck_nose", "head_top"}),
        (BODY25, {"neck_nose", "head_top"}),
        (HALPE26, {"neck_nose"}),
        (WHOLEBODY133, {"neck_nose", "head_top"}),
        (MPII16, {"neck_nose"}),
        (AIC14, {"neck_nose"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_joints_of_2d_networks_become_those_of_h36m17(skeleton, missing):
    joints = named(skeleton)
    place = dict(zip(skeleton.joints, joints, strict=True))
    body = dict(zip(H36M17.joints, convert(joints, skeleton, H36M17), strict=True))
    score = dict(zip(H36M17.joints, convert_weakest(np.full(len(skeleton), 0.7), skeleton, H36M17), strict=True))
    assert {name for name, point in body.items() if np.isnan(point).any()} == missing
    assert {name for name, value in score.items() if value == 0} == missing
    assert all(value == 0.7 for name, value in score.items() if name not in missing)
    neck = place.get("thorax", place.get("neck", (place["left_shoulder"] + place["right_shoulder"]) / 2))
    hips = place.get("pelvis", (place["left_hip"] + place["right_hip"]) / 2)
    np.testing.assert_allclose(body["thorax"], neck)
    np.testing.assert_allclose(body["pelvis"], hips)
    np.testing.assert_allclose(body["spine"], (neck + hips) / 2)
    np.testing.assert_array_equal(body["left_knee"], place["left_knee"])


def test_a_skeleton_of_your_own_has_its_own_joints_and_limbs():
    own = build_skeleton("rower", ["left_wrist", "right_wrist", "handle"], [("left_wrist", "handle")])
    assert own.joints == ("left_wrist", "right_wrist", "handle") and own.mirror == (1, 0, 2)
    assert own.limbs == (("left_wrist", "handle"),) and own.root is None
    assert build_skeleton("coco17") is COCO17
    with pytest.raises(OccluposeError, match=r"^rower: not a known skeleton; known are coco17.*; or give joint_names$"):
        build_skeleton("rower")
    with pytest.raises(OccluposeError, match=r"^joint_names: has a name twice"):
        build_skeleton("rower", ["a", "a"])
    with pytest.raises(OccluposeError, match=r"^limbs, root: b is not among the joint_names a$"):
        build_skeleton("rower", ["a"], [("a", "b")])


def test_loops_have_no_parents():
    with pytest.raises(ValueError, match="coco17: its limbs are not a tree"):
        _ = COCO17.parents


def test_sigmas_are_the_published_ones():
    assert dict(zip(COCO17.joints, COCO17.sigmas, strict=True))["left_hip"] == 0.107
    shared = set(COCO17.joints) & set(CROWDPOSE14.joints)
    coco = dict(zip(COCO17.joints, COCO17.sigmas, strict=True))
    crowdpose = dict(zip(CROWDPOSE14.joints, CROWDPOSE14.sigmas, strict=True))
    assert len(shared) == 12 and all(coco[joint] == crowdpose[joint] for joint in shared)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(
        OccluposeError,
        match=r"^coco19: not a known skeleton; known are coco17, h36m17, .*body26, coco21, body25, .*coco18$",
    ):
        by_name("coco19")
    with pytest.raises(OccluposeError, match=r"^tail: not a joint of coco17; it has nose, .*right_ankle$"):
        COCO17.index("nose", "tail")


@every_skeleton
def test_by_name_finds_it_and_its_subsets(skeleton):
    assert by_name(skeleton.name) is skeleton
    part = skeleton.subset(skeleton.joints[3:6])
    assert part.joints == skeleton.joints[3:6] and all(set(limb) <= set(part.joints) for limb in part.limbs)
    assert by_name(part.name) == part
    assert part.subset(part.joints[:2]) == skeleton.subset(part.joints[:2])


@pytest.mark.parametrize("target", SKELETONS, ids=lambda skeleton: skeleton.name)
@every_skeleton
def test_shared_joints_are_copied(skeleton, target):
    converted = convert(named(skeleton), skeleton, target)
    shared = [joint for joint in target.joints if joint in skeleton.joints]
    assert converted.dtype == np.float32 and converted.shape == (len(target), 2)
    np.testing.assert_array_equal(converted[target.index(*shared)], named(skeleton)[skeleton.index(*shared)])


def test_derived_joints_of_the_trunk():
    joints = named(COCO17)
    body = dict(zip(BODY22.joints, convert(joints, COCO17, BODY22), strict=True))
    hips = joints[COCO17.index("left_hip", "right_hip")].mean(0)
    shoulders = joints[COCO17.index("left_shoulder", "right_shoulder")].mean(0)
    np.testing.assert_allclose(body["pelvis"], hips)
    np.testing.assert_allclose(body["thorax"], shoulders)
    np.testing.assert_allclose(body["spine"], (hips + shoulders) / 2)
    assert np.isnan(body["head_top"]).all() and np.isnan(body["neck_nose"]).all()


def test_neck_and_thorax_are_one_place_before_the_shoulders_are_asked():
    h36m = named(H36M17)
    mpi = named(MPI15)
    np.testing.assert_array_equal(convert(h36m, H36M17, MPI15)[MPI15.index("neck")], h36m[H36M17.index("thorax")])
    np.testing.assert_array_equal(convert(mpi, MPI15, H36M17)[H36M17.index("thorax")], mpi[MPI15.index("neck")])


def test_bone_ends_are_joints():
    bones = named(CMU31)
    body = dict(zip(BODY22.joints, convert(bones, CMU31, BODY22), strict=True))
    for joint, bone in {
        "left_knee": "lfemur",
        "right_wrist": "rradius",
        "head_top": "head",
        "thorax": "thorax",
    }.items():
        np.testing.assert_array_equal(body[joint], bones[CMU31.joints.index(bone)])
    np.testing.assert_allclose(body["pelvis"], bones[CMU31.index("lhipjoint", "rhipjoint")].mean(0))
    assert np.isnan(body["nose"]).all()


def test_leading_axes_and_missing_joints():
    joints = np.tile(named(COCO17), (5, 2, 1, 1))
    joints[3, 1, COCO17.index("left_hip")] = np.nan
    converted = convert(joints, COCO17, H36M17)
    assert converted.shape == (5, 2, 17, 2)
    lost = np.isnan(converted[3, 1]).all(-1)
    assert {H36M17.joints[index] for index in np.flatnonzero(lost)} == {
        "pelvis",
        "left_hip",
        "spine",
        "neck_nose",
        "head_top",
    }


def test_a_derived_joint_has_the_lowest_score_of_its_parts():
    states = np.full((1, 17), 2, np.uint8)
    states[0, COCO17.index("left_hip")] = 1
    made = dict(zip(BODY22.joints, convert_weakest(states, COCO17, BODY22)[0], strict=True))
    assert (made["pelvis"], made["spine"], made["thorax"], made["head_top"]) == (1, 1, 2, 0)
    states[0, COCO17.index("right_hip")] = 0
    made = dict(zip(BODY22.joints, convert_weakest(states, COCO17, BODY22)[0], strict=True))
    assert (made["pelvis"], made["spine"], made["left_hip"]) == (0, 0, 1)


def test_the_same_skeleton_gives_a_copy():
    joints = named(COCO17)
    assert convert(joints, COCO17, COCO17) is not joints
    np.testing.assert_array_equal(convert(joints, COCO17, COCO17), joints)
