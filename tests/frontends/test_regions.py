import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from occlupose.frontends.regions import apply, inverse, similarity, suppress, to_crop

coordinate = st.floats(-2000, 2000)
region = st.tuples(coordinate, coordinate, st.floats(2, 900), st.floats(-np.pi, np.pi)).map(
    lambda c: [c[0], c[1], c[0] + c[2] * np.sin(c[3]), c[1] - c[2] * np.cos(c[3])]
)


def test_the_crop_of_a_tilted_circle_is_upright():
    regions = np.array([[50.0, 40.0, 50.0, 20.0], [50.0, 40.0, 70.0, 40.0], [50.0, 40.0, 50.0, 60.0]])  # upright, on the side, head down
    points = regions.reshape(-1, 2, 2)
    np.testing.assert_allclose(apply(to_crop(regions, 101, 61, diameter=50), points), [[[50, 30], [50, 5]]] * 3, atol=1e-9)


@given(st.lists(region, min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 400), st.floats(1, 300))
def test_there_and_back(regions, width, height, diameter):
    matrices = to_crop(np.array(regions), width, height, diameter=diameter)
    points = np.array(regions).reshape(-1, 2, 2)
    crop = apply(matrices, points)
    np.testing.assert_allclose(crop[:, 0], [[(width - 1) / 2, (height - 1) / 2]] * len(regions), atol=1e-6)
    np.testing.assert_allclose(crop[:, 0] - crop[:, 1], [[0, diameter / 2]] * len(regions), atol=1e-6)
    np.testing.assert_allclose(apply(inverse(matrices), crop), points, atol=1e-5)


def test_similarity_of_regions():
    here = np.array([[0.0, 0, 0, -100]])
    others = np.array([[0.0, 0, 0, -100], [35.0, 0, 35.0, -100], [0.0, 0, 0, 100]])
    np.testing.assert_allclose(similarity(here[:, None], others), [[1, np.exp(-1), 0]], atol=1e-4)


def brute_force(similar, order, threshold):
    """Take the best that is left, strike out all that resemble it, repeat."""
    left, kept = set(range(len(order))), []
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
    assert suppress(similar, order, threshold) == brute_force(similar, order, threshold)
