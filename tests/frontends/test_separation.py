import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from occlupose.frontends.separation import DOUBT, separate

RADIUS = np.array([100.0, 100.0])
NOTHING = np.full((2, 1, 2), np.nan)


def one_joint(*rows):
    """Positions and scores of one joint of each person."""
    xy = np.array([[[x, y]] for x, y, _ in rows], float)
    return xy, np.array([[score] for *_, score in rows])


def test_a_shared_peak_stays_with_the_person_whose_joint_was_there():
    xy, score = one_joint((50, 50, 0.9), (51, 50, 0.8))
    peaks = np.array([[[[50, 50, 0.9], [90, 50, 0.4]]]] * 2, float)
    before = np.array([[[88, 50]], [[52, 50]]], float)
    found, confidence = separate(xy, score, peaks, before, RADIUS)
    np.testing.assert_array_equal(found, [[[90, 50]], [[51, 50]]])
    np.testing.assert_allclose(confidence, [[0.4], [0.8]])


def test_somebody_new_takes_what_is_left():
    xy, score = one_joint((50, 50, 0.3), (51, 50, 0.9))
    peaks = np.array([[[[50, 50, 0.9], [150, 50, 0.5], [20, 50, 0.6]]]] * 2, float)
    before = NOTHING.copy()
    before[0] = 45
    found, confidence = separate(xy, score, peaks, before, RADIUS)
    np.testing.assert_array_equal(found, [[[50, 50]], [[20, 50]]])
    np.testing.assert_allclose(confidence, [[0.3], [0.6]])


def test_two_who_are_new_keep_what_they_have():
    xy, score = one_joint((50, 50, 0.3), (51, 50, 0.9))
    peaks = np.array([[[[50, 50, 0.9], [90, 50, 0.4]]]] * 2, float)
    found, confidence = separate(xy, score, peaks, NOTHING, RADIUS)
    np.testing.assert_array_equal(found, xy)
    np.testing.assert_array_equal(confidence, score)


def test_without_another_peak_the_joint_is_doubted():
    xy, score = one_joint((50, 50, 0.3), (51, 50, 0.9))
    before = NOTHING.copy()
    before[0] = 45
    found, confidence = separate(xy, score, np.zeros((2, 1, 0, 3)), before, RADIUS)
    np.testing.assert_array_equal(found, xy)
    np.testing.assert_allclose(confidence, [[0.3], [0.9 * DOUBT]])


def test_the_nearer_of_two_free_peaks_is_taken_if_both_are_clear():
    xy, score = one_joint((50, 50, 0.9), (50, 50, 0.9))
    peaks = np.array([[[[50, 50, 0.9], [100, 50, 0.5], [300, 50, 0.6]]]] * 2, float)
    before = np.array([[[50, 50]], [[95, 50]]], float)
    found, _ = separate(xy, score, peaks, before, RADIUS)
    np.testing.assert_array_equal(found[1], [[100, 50]])


def test_joints_that_are_apart_or_hardly_seen_stay():
    for rows in (((50, 50, 0.9), (60, 50, 0.9)), ((50, 50, 0.9), (50, 50, 0.05))):
        xy, score = one_joint(*rows)
        found, confidence = separate(xy, score, np.zeros((2, 1, 0, 3)), NOTHING, RADIUS)
        np.testing.assert_array_equal(found, xy)
        np.testing.assert_array_equal(confidence, score)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_joint_is_kept_doubted_or_moved_to_a_peak(seed, people):
    draw = np.random.default_rng(seed)
    places = draw.uniform(0, 1000, (5, 17, 2))
    chosen = draw.integers(0, 5, (people, 17))
    xy = np.take_along_axis(places[None], chosen[:, None, :, None], 1)[:, 0]
    score = draw.uniform(0.2, 1, (people, 17))
    peaks = np.concatenate([places, draw.uniform(0, 1, (5, 17, 1))], -1).swapaxes(0, 1)[None].repeat(people, 0)
    found, confidence = separate(xy, score, peaks, draw.uniform(0, 1000, xy.shape), draw.uniform(50, 200, people))
    kept = (found == xy).all(-1) & (confidence == score)
    doubted = (found == xy).all(-1) & np.isclose(confidence, DOUBT * score)
    moved = (np.concatenate([found, confidence[..., None]], -1)[:, :, None] == peaks).all(-1).any(-1)
    assert (kept | doubted | moved).all()
    # whoever keeps a joint is the only one who does, there
    for joint in range(17):
        there = found[kept[:, joint], joint]
        assert len(np.unique(there, axis=0)) == len(there)


def test_one_person_and_nobody():
    for people in (0, 1):
        xy = np.zeros((people, 17, 2))
        score = np.ones((people, 17))
        found, confidence = separate(xy, score, np.zeros((people, 17, 0, 3)), xy, np.ones(people))
        np.testing.assert_array_equal(found, xy)
        np.testing.assert_array_equal(confidence, score)
