"""Joint sets are consistent, and so are the conversions between them."""

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.skeletons import (
    BODY22,
    CMU31,
    COCO17,
    CROWDPOSE14,
    H36M17,
    HUMANEVA15,
    MPI15,
    MUPOTS17,
    SKELETONS,
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


@every_skeleton
def test_names_are_unique_and_as_many_as_the_name_says(skeleton):
    assert len(set(skeleton.joints)) == len(skeleton) == int(skeleton.name[-2:])


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
        OccluposeError, match=r"^coco18: not a known skeleton; known are coco17, h36m17, .*body22, body26$"
    ):
        by_name("coco18")
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
