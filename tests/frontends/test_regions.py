import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from occlupose.frontends.regions import overlap, similarity, suppress_similar


def test_similarity_of_regions():
    here = np.array([[0.0, 0, 0, -100]])
    others = np.array([[0.0, 0, 0, -100], [35.0, 0, 35.0, -100], [0.0, 0, 0, 100]])
    np.testing.assert_allclose(similarity(here[:, None], others), [[1, np.exp(-1), 0]], atol=1e-4)


def test_overlap_of_boxes():
    """Half of each, a quarter of the larger, a corner, none, and boxes without an area."""
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[5.0, 0, 15, 10], [0, 0, 5, 5], [8, 8, 18, 18], [10, 0, 20, 10], [3, 3, 3, 9], [9, 9, 1, 1]])
    np.testing.assert_allclose(overlap(box, others), [50 / 150, 25 / 100, 4 / 196, 0, 0, 0])
    assert overlap(box, box) == 1 and overlap(others[4], others[4]) == 0
    assert overlap(others[:, None], others).shape == (6, 6)


def brute_force(similar, order, threshold):
    """Take the best that is left, strike out all that resemble it, repeat."""
    left = set(range(len(order)))
    kept = []
    while left:
        best = min(left, key=lambda row: (-order[row], row))
        kept.append(best)
        left = {row for row in left if row != best and similar[row][best] <= threshold}
    return kept


@given(st.integers(0, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_suppression_agrees_with_brute_force(count, seed, threshold):
    generator = np.random.default_rng(seed)
    similar = generator.random((count, count))
    similar = (similar + similar.T) / 2
    order = generator.integers(0, 5, count) / 4  # with ties
    assert suppress_similar(similar, order, threshold) == brute_force(similar, order, threshold)
