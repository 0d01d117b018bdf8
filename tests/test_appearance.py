from dataclasses import replace

import numpy as np
import pytest

from clothed_people import BLACK, BODY, GREEN, HEIGHT, RED, WHITE, WIDTH, people, picture
from occlupose.appearance import BINS, PARTS, compare_appearances, describe_people
from occlupose.detections import Detections
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, MPI15

SIDE = 100


def describe(*clothes, noise=None, grey=False):
    """Descriptors of people in these clothes, side by side."""
    row = people(*[(50 + 60 * person, 90) for person in range(len(clothes))], side=SIDE)
    return describe_people(picture(row, clothes, noise=noise, grey=grey), row)


def test_a_descriptor_has_a_histogram_for_trunk_and_thighs():
    found = describe(RED, GREEN)
    assert found.shape == (2, PARTS, BINS)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert np.isfinite(found).all()


def test_the_same_clothes_are_alike_and_others_are_not():
    noise = np.random.default_rng(0)
    first = describe(RED, GREEN, BLACK, WHITE, noise=noise)
    second = describe(RED, GREEN, BLACK, WHITE, noise=noise)
    likeness = compare_appearances(first[:, None], second)
    assert (likeness[np.eye(4, dtype=bool)] > 0.9).all()
    assert (likeness[~np.eye(4, dtype=bool)] < 0.4).all()
    assert (compare_appearances(first, first) > 1 - 1e-5).all()


def test_in_grey_video_brightness_tells_people_apart():
    first = describe(RED, WHITE, BLACK, grey=True)
    likeness = compare_appearances(first[:, None], first)
    assert (likeness[~np.eye(3, dtype=bool)] < 0.5).all()


def test_the_parts_are_those_of_their_names():
    found = describe((RED[0], GREEN[1]), RED, GREEN)
    alike = np.sqrt(found[0] * found).sum(-1)
    np.testing.assert_allclose(alike[1:], [[1, 0], [0, 1]], atol=0.05)


@pytest.mark.parametrize("scale", [2, 5])
def test_the_resolution_hardly_matters(scale):
    small = people((100, 90), side=SIDE)
    image = picture(small, [RED], noise=np.random.default_rng(0)).level(0)
    large = replace(small, xy=small.xy * scale + (scale - 1) / 2, boxes=small.boxes * scale)
    enlarged = Pyramid(image.repeat(scale, 0).repeat(scale, 1))
    both = describe_people(Pyramid(image), small), describe_people(enlarged, large)
    assert compare_appearances(*both) > 0.97


def test_people_do_not_depend_on_their_order_or_on_others_further_away():
    row = people((50, 90), (130, 90), (210, 90), side=SIDE)
    image = picture(row, [RED, GREEN, BLACK])
    found = describe_people(image, row)
    np.testing.assert_array_equal(describe_people(image, row.select([2, 0])), found[[2, 0]])


def test_a_part_with_a_doubtful_joint_is_unknown_and_one_thigh_is_enough():
    person = people((100, 90), side=SIDE)
    image = picture(person, [RED])
    whole = describe_people(image, person)[0]
    doubted = {
        ("left_shoulder",): [False, True],
        ("left_knee",): [True, True],
        ("left_knee", "right_knee"): [True, False],
        ("left_hip",): [False, True],
    }
    for joints, known in doubted.items():
        score = np.ones((1, len(MPI15)), np.float32)
        score[:, MPI15.index(*joints)] = 0.29
        found = describe_people(image, replace(person, score=score))[0]
        assert np.isfinite(found).all(-1).tolist() == known
        assert np.isnan(found).all(-1).tolist() == [not part for part in known]
        assert compare_appearances(found, whole) > 0.95


def test_what_is_inside_the_box_of_another_does_not_count():
    apart = people((100, 90), (141, 90), side=SIDE)  # the boxes overlap, the trunks do not
    image = picture(apart, [RED, GREEN])
    alone = [describe_people(image, apart.select([person]))[0] for person in (0, 1)]
    np.testing.assert_allclose(compare_appearances(describe_people(image, apart), np.stack(alone)), 1, atol=0.05)
    together = people((100, 90), (108, 90), side=SIDE)
    assert np.isnan(describe_people(picture(together, [RED, GREEN]), together)).all()


@pytest.mark.parametrize("centre", [(-40, 90), (WIDTH + 40, 90), (100, HEIGHT + 60), (1e6, 1e6)])
def test_a_person_outside_of_the_image_is_unknown(centre):
    person = people(centre, side=SIDE)
    image = Pyramid(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert np.isnan(describe_people(image, person)).all()


def test_unknown_parts_are_left_out_of_the_comparison():
    found = describe((RED[0], GREEN[1]), RED)
    found[0, 1] = np.nan
    assert compare_appearances(found[0], found[1]) > 0.95
    found[1, 0] = np.nan
    assert np.isnan(compare_appearances(found[0], found[1]))


def test_nobody_and_absent_joints_are_no_error():
    image = Pyramid(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert describe_people(image, Detections.none(COCO17)).shape == (0, PARTS, BINS)
    nowhere = Detections(skeleton=MPI15, xy=np.full((1, *BODY.shape), np.nan), score=np.full((1, len(BODY)), np.nan))
    assert np.isnan(describe_people(image, nowhere)).all()


def test_a_crowd_is_described():
    crowd = people(*[(10 + 20 * column, 12 + 20 * row) for column in range(14) for row in range(8)], side=18)
    assert np.isfinite(describe_people(picture(crowd, [RED] * len(crowd)), crowd)).all()
