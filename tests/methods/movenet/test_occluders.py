import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.methods.movenet.occluders import Occluder, OccluderSettings, compose, draw_occluders, occluded_joints
from occlupose.methods.movenet.recipe import NO_OCCLUDERS
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import COCO21
from photographed_people import keypoints, make_scene

BOX = np.array([40.0, 10.0, 100.0, 110.0])


def square(x, y, side):
    """A white occluder of this many pixels; its first pixel is at (x, y)."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    return Occluder(pixels, np.full((side, side), 255, np.uint8), np.array([[1.0, 0, x], [0, 1.0, y]]))


def drawn(settings, seed=0, visible=None):
    photograph = np.random.default_rng(5).integers(0, 256, (416, 416, 3), np.uint8)
    seen = np.ones(len(COCO21), bool) if visible is None else visible
    random = np.random.default_rng(seed)
    return draw_occluders(settings, random, BOX, keypoints(*BOX), seen, lambda: photograph, make_scene)


# -------------------------------------------------------------------------------------------------------- one occluder


def test_what_is_behind_a_cover():
    occluder = square(10, 20, 5)
    points = np.array([[10, 20], [14, 24], [9, 20], [12, 25], [np.nan, 22]])
    np.testing.assert_array_equal(occluder.hides(points), [True, True, False, False, False])


def test_nothing_is_behind_its_transparent_pixels():
    occluder = square(10, 20, 5)
    occluder.opacity[2, 2] = 0
    np.testing.assert_array_equal(occluder.hides(np.array([[12.0, 22.0], [13.0, 22.0]])), [False, True])


def test_a_cover_is_drawn_where_it_hides():
    """In a crop that is twice as large and moved."""
    crop = np.zeros((60, 60, 3), np.uint8)
    covered = np.zeros((60, 60), np.float32)
    matrix = np.array([[2.0, 0, -10], [0, 2.0, -30]])
    occluder = square(10, 20, 5)
    occluder.draw(crop, covered, matrix)
    np.testing.assert_array_equal(covered > 0.5, (crop > 127).all(-1))
    inside = np.argwhere(covered > 0.99)[:, ::-1]
    np.testing.assert_array_equal(inside.min(0), [10, 10])
    np.testing.assert_array_equal(inside.max(0), [18, 18])
    assert occluder.hides((inside - matrix[:, 2]) / 2).all()


def test_the_last_cover_is_in_front():
    crop = np.zeros((20, 20, 3), np.uint8)
    covered = np.zeros((20, 20), np.float32)
    square(5, 5, 6).draw(crop, covered, np.eye(2, 3))
    black = square(5, 5, 3)
    black.pixels[:] = 0
    black.draw(crop, covered, np.eye(2, 3))
    assert crop[6, 6].max() == 0 and crop[10, 10].min() == 255 and covered[6, 6] == 1


def test_joints_of_a_cutout_move_with_it():
    joints = np.full((1, len(COCO21), 2), np.nan)
    joints[0, 3] = (2, 1)
    occluder = Occluder(*vars(square(0, 0, 5)).values())
    moved = Occluder(occluder.pixels, occluder.opacity, np.array([[3.0, 0, 10], [0, 3.0, 20]]), joints)
    np.testing.assert_array_equal(moved.joints_in_image()[0, 3], [16, 23])
    assert np.isnan(moved.joints_in_image()[0, 4]).all()


def test_maps_are_applied_one_after_the_other():
    first = np.array([[2.0, 0, 1], [0, 3.0, 2]])
    second = np.array([[0.0, -1, 5], [1, 0, 7]])
    point = np.array([4.0, 6.0, 1.0])
    np.testing.assert_allclose(compose(second, first) @ point, second @ [*(first @ point), 1])


def test_joints_behind_any_cover():
    xy = np.array([[11.0, 21.0], [51.0, 51.0], [80.0, 80.0]])
    np.testing.assert_array_equal(occluded_joints([square(10, 20, 5), square(50, 50, 5)], xy), [True, True, False])


# ----------------------------------------------------------------------------------------------------------- drawing


def test_without_covers_there_are_none():
    assert drawn(NO_OCCLUDERS) == []


@pytest.mark.parametrize("relative_to, sides", [("box", (12.0, 20.0)), ("crop", (25.0, 25.0))])
def test_blocks_are_those_of_ljof(relative_to, sides):
    """Eq. 1 to 3: of twelve visible limb joints two are covered, by squares of one grey."""
    blocks = LimbBlocks(joint_share=0.15, size=0.2, relative_to=relative_to)
    occluders = drawn(OccluderSettings(blocks=blocks, objects=0, cutouts=0, lower_body=0))
    xy = keypoints(*BOX)
    assert len(occluders) == 2
    for occluder in occluders:
        assert len(np.unique(occluder.pixels)) == 1
        height, width = occluder.opacity.shape
        np.testing.assert_allclose(np.diag(occluder.to_image[:, :2]) * (width, height), sides)
        middle = occluder.to_image @ [(width - 1) / 2, (height - 1) / 2, 1]
        assert (np.abs(xy[5:17] - middle).max(1) < 1e-4).sum() == 1


def test_only_visible_limb_joints_get_blocks():
    seen = np.zeros(len(COCO21), bool)
    seen[[0, 9]] = True
    blocks = LimbBlocks(joint_share=1.0, size=0.05, relative_to="box")
    (occluder,) = drawn(OccluderSettings(blocks=blocks, objects=0, cutouts=0, lower_body=0), visible=seen)
    assert occluder.hides(keypoints(*BOX))[9]


@given(st.integers(0, 10_000))
def test_a_desk_hides_the_lower_part(seed):
    (desk,) = drawn(OccluderSettings(blocks=None, objects=0, cutouts=0, lower_body=1), seed)
    top = (desk.to_image @ [0, 0, 1])[1]
    assert BOX[1] + 0.3 * (BOX[3] - BOX[1]) < top < BOX[3]
    assert desk.hides(np.array([[70.0, top + 5]]))


@given(st.integers(0, 10_000))
def test_a_cutout_is_in_front_of_a_joint(seed):
    occluders = drawn(OccluderSettings(blocks=None, objects=0, cutouts=1, lower_body=0), seed)
    assert len(occluders) <= 1
    if occluders:
        assert occluded_joints(occluders, keypoints(*BOX)).any()


def test_a_cutout_brings_the_visible_joints_of_its_person():
    settings = OccluderSettings(blocks=None, objects=0, cutouts=1, lower_body=0)
    counts = {
        int(np.isfinite(occluder.joints[..., 0]).sum()) for seed in range(30) for occluder in drawn(settings, seed)
    }
    assert counts == {0, 14, 19}  # of the object and of each person
