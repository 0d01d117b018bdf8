import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlupose.occlusion.anatomy import ARMS, HEAD, LEGS, PARTS, describe
from occlupose.occlusion.sides import (
    PARTIAL,
    RETURN_COST,
    SWAP_COST,
    choose_sides,
    compare_sides,
    measure_pairs,
    order_joints,
)
from occlupose.skeletons import BLAZEPOSE33, COCO17

parts = arrays(bool, (3, PARTS))
distances = arrays(np.float64, (2, 4), elements=st.floats(0, 4))
variances = arrays(np.float64, (2, 4), elements=st.floats(1e-3, 1))


@given(parts)
def test_the_order_applied_twice_changes_nothing(swapped):
    order = order_joints(swapped, describe(BLAZEPOSE33))
    np.testing.assert_array_equal(np.take_along_axis(order, order, axis=1), np.tile(np.arange(33), (3, 1)))


def test_only_swapped_parts_change_places():
    order = order_joints(np.array([[False, False, True]]), describe(COCO17))[0]
    moved = {COCO17.joints[joint] for joint in np.flatnonzero(order != np.arange(17))}
    assert moved == {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")}
    assert order[COCO17.index("left_knee")[0]] == COCO17.index("right_knee")[0]


def test_distances_of_pairs_as_they_are_and_swapped():
    expected = np.zeros((1, 17, 2))
    expected[0, COCO17.index("left_hip")] = (3, 4)
    observed = expected[:, list(COCO17.mirror)]
    same, other = measure_pairs(expected, observed, describe(COCO17))
    hips = 5
    assert same[0, hips] == 50 and other[0, hips] == 0
    assert same.sum() == 50 and other.sum() == 0


@given(distances, distances, variances)
def test_evidence_is_opposite_for_the_opposite_question(same, other, variance):
    np.testing.assert_allclose(compare_sides(same, other, variance), -compare_sides(other, same, variance), atol=1e-9)


@given(distances, variances)
def test_pairs_that_are_as_near_swapped_say_nothing(distance, variance):
    np.testing.assert_array_equal(compare_sides(distance, distance, variance), 0)


def test_pairs_in_neither_place_say_nothing_and_none_says_much():
    variance = np.array([[0.003]])
    assert abs(compare_sides(np.array([[2.0]]), np.array([[1.5]]), variance)[0, 0]) < 1e-6
    near = compare_sides(np.array([[0.0]]), np.array([[0.1]]), variance)[0, 0]
    far = compare_sides(np.array([[0.0]]), np.array([[10.0]]), variance)[0, 0]
    assert 5 < near <= far < 10


def test_without_frame_rate_there_is_no_evidence():
    """The larger the motion that is possible since, the less a swap differs from motion."""
    same = np.full((1, 1), 0.08)
    evidence = [compare_sides(same, 0 * same, np.full((1, 1), variance))[0, 0] for variance in (0.003, 0.01, 0.05, 0.5)]
    assert evidence == sorted(evidence) and evidence[0] < -5 and evidence[-1] > -0.1


def test_unknown_joints_say_nothing():
    unknown = np.array([[np.nan]])
    assert compare_sides(unknown, unknown, np.array([[0.01]])) == compare_sides(0 * unknown, unknown, unknown) == 0


@pytest.mark.parametrize(
    ("evidence", "before", "expected"),
    [
        ((0, 0, 0), (), ()),
        ((0, 0, 0), (HEAD, ARMS, LEGS), (HEAD, ARMS, LEGS)),
        ((-1, -SWAP_COST / 2, -SWAP_COST / 2), (), (HEAD, ARMS, LEGS)),
        ((0, -SWAP_COST / 2, 1 - SWAP_COST / 2), (), ()),
        ((5, 5, -SWAP_COST - PARTIAL - 0.1), (), (LEGS,)),
        ((5, 5, -SWAP_COST - PARTIAL + 0.1), (), ()),
        ((0.1, -SWAP_COST, -3), (), (HEAD, ARMS, LEGS)),
        ((1, 1, RETURN_COST - 1.9), (HEAD, ARMS, LEGS), ()),
        ((1, 1, RETURN_COST - 2.1), (HEAD, ARMS, LEGS), (HEAD, ARMS, LEGS)),
        ((-5, -5, 8), (HEAD, ARMS, LEGS), (HEAD, ARMS)),
    ],
)
def test_the_most_probable_sides(evidence, before, expected):
    """Beginning a swap takes more than ending one, and a part alone more than all; parts that say little go along."""
    chosen = choose_sides(np.array([evidence], float), np.isin(np.arange(PARTS), before)[None])
    assert np.flatnonzero(chosen[0]).tolist() == list(expected)


@given(arrays(np.float64, (3, PARTS), elements=st.floats(-20, 20)), parts)
def test_more_evidence_for_a_choice_never_reverts_it(evidence, before):
    chosen = choose_sides(evidence, before)
    again = choose_sides(evidence + np.where(chosen, -3, 3), before)
    np.testing.assert_array_equal(chosen, again)
