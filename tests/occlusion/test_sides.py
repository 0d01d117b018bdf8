import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlupose.occlusion.anatomy import ARMS, HEAD, LEGS, PARTS, describe
from occlupose.occlusion.sides import CHOICES, PRIOR, compare_sides, measure_pairs, order_joints, update_belief
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


def believe(*frames, gap=1 / 30):
    """Belief after frames with this evidence for head, arms and legs, and for each frame the most probable choice and
    the one before it; joints are expected as they were chosen in the frame before.
    """
    belief = PRIOR[None]
    choices = [(0, 0)]
    for evidence in frames:
        assumed = np.array([choices[-1][0]])
        belief, before = update_belief(belief, assumed, np.array([evidence], float), np.array([gap]))
        choices.append((int(belief.argmax()), int(before[0, belief.argmax()])))
    return belief[0], choices[1:]


def number(*parts):
    """Number of the choice in which these parts are swapped."""
    return sum(1 << part for part in parts)


SAME = (3, 20, 15)
SWAPPED = (-3, -20, -15)
ALL = number(HEAD, ARMS, LEGS)


def test_choices_are_numbered_by_their_parts():
    assert CHOICES[number(ARMS, LEGS)].tolist() == [False, True, True]
    assert PRIOR.sum() == pytest.approx(1) and PRIOR[0] > 0.9 and PRIOR.argsort()[-2] == ALL


def test_without_evidence_belief_returns_to_the_prior():
    np.testing.assert_allclose(believe(*[(0, 0, 0)] * 200)[0], PRIOR, atol=1e-9)
    belief, _ = believe(*[SAME] * 60)
    belief, _ = update_belief(belief[None], np.array([0]), np.zeros((1, PARTS)), np.array([5.0]))
    np.testing.assert_allclose(belief[0], PRIOR, atol=1e-3)


@given(arrays(np.float64, (2, PARTS), elements=st.floats(-40, 40)), st.floats(0, 3), st.integers(0, 7))
def test_belief_is_a_distribution(evidence, gap, assumed):
    belief, before = update_belief(np.tile(PRIOR, (2, 1)), np.full(2, assumed), evidence, np.full(2, gap))
    np.testing.assert_allclose(belief.sum(-1), 1)
    assert (belief >= 0).all() and before.shape == (2, 8)


def test_a_swap_begins_and_ends():
    """Evidence is about where joints are expected, and these are put right already: it is against the sides as detected
    all the time.
    """
    _, choices = believe(*[SAME] * 30, SWAPPED, SWAPPED, SAME)
    assert choices[-4:] == [(0, 0), (ALL, 0), (ALL, ALL), (0, ALL)]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [((5, 5, -15), (LEGS,)), ((2, -15, 8), (ARMS,)), ((-2, -15, 0.5), (HEAD, ARMS, LEGS)), ((1, -4, -2), ())],
)
def test_parts_alone_take_more_than_all_and_those_that_say_little_go_along(evidence, expected):
    _, choices = believe(*[SAME] * 60, evidence)
    assert choices[-1][0] == number(*expected)


def test_what_lasts_longer_is_right():
    """After a second as detected and more than a second the other way round, the first was swapped."""
    _, choices = believe(*[SAME] * 30, *[SWAPPED] * 60)
    changed = 30 + [choice for choice, _ in choices[30:]].index(0)
    assert choices[30] == (ALL, 0) and 55 <= changed <= 65
    assert choices[changed] == (0, 0) or choices[changed][1] != ALL


def test_a_beginning_that_was_missed_is_noticed_at_the_end():
    """Evidence that is too little for a swap makes the end of one the likelier reason of the next change."""
    weak = (0, -5, -0.5)
    _, choices = believe(*[SAME] * 60, weak, SAME, SAME, weak)
    assert choices[60] == (0, 0)
    assert choices[-1] == (0, ALL)
