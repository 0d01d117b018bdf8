from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from moving_skeletons import TREE
from occlupose.kinematics import SkeletonFit
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, H36M17
from occlupose.viewer.ends import ENDS, with_ends


def record(skeleton=H36M17):
    """A person on the floor, whose nose is seen and whose feet and hands the detector does not know."""
    poses = record_of(standing(), skeleton)
    seen = record_of(standing(), TREE.skeleton).to(COCO17).to_2d()
    return replace(poses, observed=seen)


def test_they_come_after_the_joints_and_are_where_the_skeleton_has_them():
    poses = record()
    shown = with_ends(poses)
    assert shown.skeleton.joints == (*H36M17.joints, *ENDS)
    np.testing.assert_array_equal(shown.xyz[:, :, :17], poses.xyz)
    np.testing.assert_allclose(shown.xyz[:, :, 17:], SkeletonFit.of(poses).joints(shown.skeleton)[:, :, 17:])
    np.testing.assert_allclose(shown.xyz, record_of(standing(), TREE.skeleton).to(shown.skeleton).xyz, atol=1e-5)
    assert set(shown.skeleton.limbs) - set(H36M17.limbs) >= {("left_heel", "left_big_toe"), ("neck_nose", "nose")}


def test_what_the_detector_saw_is_visible_and_the_rest_is_inferred():
    poses = record()
    poses.observed.state[2, :, COCO17.index("nose")] = OCCLUDED
    state = with_ends(poses).state[:, 0, 17:]
    assert (state[:, :-1] == OCCLUDED).all()
    assert state[:, -1].tolist() == [VISIBLE, VISIBLE, OCCLUDED, VISIBLE, VISIBLE]
    assert (with_ends(replace(poses, observed=None)).state[:, 0, 17:] == OCCLUDED).all()


def test_joints_that_are_there_already_stay():
    shown = with_ends(record(COCO17))
    assert shown.skeleton.joints == (*COCO17.joints, *ENDS[:-1]) and (shown.state[..., 0] == VISIBLE).all()


def test_they_are_absent_with_their_person():
    poses = record()
    for values in poses.arrays.values():
        values[1] = np.nan if values.dtype.kind == "f" else ABSENT
    poses.score[1] = 0
    shown = with_ends(poses)
    assert (shown.state[1] == ABSENT).all() and np.isnan(shown.xyz[1]).all() and (shown.state[2] > ABSENT).all()


@pytest.mark.parametrize("missing", ["rotation", "bone_offsets", "camera"])
def test_without_skeletons_or_a_camera_there_are_none(missing):
    poses = replace(record(), **{missing: None})
    assert with_ends(poses) is poses
