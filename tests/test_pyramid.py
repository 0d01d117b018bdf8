import cv2
import numpy as np
import pytest

from occlupose.pyramid import Pyramid, square_crop_matrix


def through(matrix, points):
    """The points, moved by a 2x3 matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_a_window_maps_edges_to_edges():
    corners = np.array([[9.5, 19.5], [39.5, 49.5]])  # pixel edges 10 and 20, 40 and 50
    np.testing.assert_allclose(through(square_crop_matrix(10, 20, 30, 60), corners), [[-0.5, -0.5], [59.5, 59.5]])


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
    crop = Pyramid(image).crop(matrix, side, side)[..., 1].astype(float)
    y, x = np.mgrid[:side, :side]
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    np.testing.assert_allclose(found, through(matrix, centre[None])[0], atol=0.1)


def test_shrinking_does_not_alias():
    image = np.zeros((400, 400, 3), np.uint8)
    image[::2] = 255  # stripes that a plain bilinear shrink turns black, white or wavy
    crop = Pyramid(image).crop(np.array([[0.13, 0, 0], [0, 0.13, 0]]), 50, 50)
    assert abs(crop[2:-2, 2:-2].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 1000)])
def test_any_image_can_be_cropped(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    pyramid = Pyramid(image)
    whole = square_crop_matrix((shape[1] - max(shape)) / 2, (shape[0] - max(shape)) / 2, max(shape), 64)
    assert pyramid.crop(whole, 64, 64).shape == (64, 64, 3)
    assert pyramid.size == (shape[1], shape[0])
    assert (pyramid.crop(np.array([[1.0, 0, 0], [0, 1.0, 0]]), 1, 1) == 200).all()


def test_a_copy_at_scale_one_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Pyramid(image).crop(np.eye(3)[:2], 30, 20), image)
    turned = cv2.rotate(image, cv2.ROTATE_180)
    np.testing.assert_array_equal(Pyramid(image).crop(np.array([[-1.0, 0, 29], [0, -1.0, 19]]), 30, 20), turned)


@pytest.mark.parametrize("shrink", [0.5, 1.0, 5.0])
def test_the_border_has_the_grey_value_that_was_given(shrink):
    image = np.full((200, 300, 3), 90, np.uint8)
    matrix = np.array([[1 / shrink, 0, 10], [0, 1 / shrink, 10]])
    width = int(300 / shrink) + 20
    height = int(200 / shrink) + 20
    for beyond, options in ((0, {}), (128, {"border_value": 128}), (255, {"border_value": 255})):
        crop = Pyramid(image).crop(matrix, width, height, **options)
        for side in (crop[:8], crop[-8:], crop[:, :8], crop[:, -8:]):
            assert (side == beyond).all()
        assert (crop[14:-14, 14:-14] == 90).all()


def test_each_level_is_made_once_and_half_of_the_one_before():
    pyramid = Pyramid(np.zeros((100, 60, 3), np.uint8))
    assert [pyramid.level(number).shape[:2] for number in (0, 1, 2)] == [(100, 60), (50, 30), (25, 15)]
    assert pyramid.level(2) is pyramid.level(2)
    assert pyramid.level(50).shape[:2] == (1, 1)


def test_a_complete_pyramid_has_every_size():
    whole = Pyramid(np.zeros((20, 50, 3), np.uint8)).build_levels()
    assert [level.shape[:2] for level in whole._levels] == [(20, 50), (10, 25), (5, 12), (2, 6), (1, 3), (1, 1)]
    assert whole.level(9) is whole.level(5)
