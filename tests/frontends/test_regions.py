import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.frontends.regions import Pyramid, apply, inverse, similarity, suppress, to_crop, window

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


def test_a_window_maps_edges_to_edges():
    corners = np.array([[9.5, 19.5], [39.5, 49.5]])  # pixel edges 10 and 20, 40 and 50
    np.testing.assert_allclose(apply(window(10, 20, 30, 60), corners), [[-0.5, -0.5], [59.5, 59.5]])


@pytest.mark.parametrize("size", [(641, 479), (640, 480), (301, 999)])
@pytest.mark.parametrize("shrink", [1.0, 3.0, 7.5])
def test_a_dot_stays_where_it_is_through_the_pyramid(size, shrink):
    width, height = size
    y, x = np.mgrid[:height, :width]
    centre = np.array([0.4 * width, 0.6 * height])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (2 * shrink) ** 2))
    image = np.repeat((255 * blob)[..., None], 3, -1).astype(np.uint8)
    matrix = np.array([[1 / shrink, 0, 0], [0, 1 / shrink, 0]])
    side = int(max(size) / shrink) + 2
    picture = Pyramid(image).cut(matrix, side, side)[..., 1].astype(float)
    y, x = np.mgrid[:side, :side]
    found = np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()
    np.testing.assert_allclose(found, apply(matrix, centre[None])[0], atol=0.1)


def test_shrinking_does_not_alias():
    image = np.zeros((400, 400, 3), np.uint8)
    image[::2] = 255  # stripes that a plain bilinear shrink turns black, white or wavy
    picture = Pyramid(image).cut(np.array([[0.13, 0, 0], [0, 0.13, 0]]), 50, 50)
    assert abs(picture[2:-2, 2:-2].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 1000)])
def test_any_picture_can_be_cut(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    picture = Pyramid(image)
    whole = window((shape[1] - max(shape)) / 2, (shape[0] - max(shape)) / 2, max(shape), 64)
    assert picture.cut(whole, 64, 64).shape == (64, 64, 3)
    assert picture.size == (shape[1], shape[0])
    assert (picture.cut(np.array([[1.0, 0, 0], [0, 1.0, 0]]), 1, 1) == 200).all()


def test_a_copy_at_scale_one_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Pyramid(image).cut(np.eye(3)[:2], 30, 20), image)
    turned = cv2.rotate(image, cv2.ROTATE_180)
    np.testing.assert_array_equal(Pyramid(image).cut(np.array([[-1.0, 0, 29], [0, -1.0, 19]]), 30, 20), turned)


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
