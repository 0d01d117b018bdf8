import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import Crop, apply, inverse, radius, to_crop, upright
from occlupose.errors import OccluposeError

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


side = st.floats(2, 900)
box = st.tuples(coordinate, coordinate, side, side).map(lambda c: [c[0], c[1], c[0] + c[2], c[1] + c[3]])
crops = st.builds(Crop, st.integers(8, 512), st.integers(8, 512), st.floats(1, 2))


def corners(boxes):
    return np.array(boxes)[:, [[0, 1], [2, 3]]]


def test_a_box_lies_padded_in_the_middle_of_its_crop():
    # 80 x 160 px in a crop of 128 x 256: 1.25 times as high makes 200 px, which become 256
    matrix = Crop(128, 256).matrices(Crop(128, 256).regions(np.array([[99.5, 49.5, 179.5, 209.5]])))
    np.testing.assert_allclose(apply(matrix, corners([[99.5, 49.5, 179.5, 209.5]])), [[[12.3, 25.1], [114.7, 229.9]]])


def test_a_wide_box_fits_as_well():
    matrix = Crop(100, 200, padding=1).matrices(Crop(100, 200, padding=1).regions(np.array([[-0.5, 39.5, 199.5, 59.5]])))
    np.testing.assert_allclose(apply(matrix, corners([[-0.5, 39.5, 199.5, 59.5]])), [[[-0.5, 94.5], [99.5, 104.5]]], atol=1e-9)


def test_without_padding_the_picture_itself_is_its_crop():
    """Edges meet edges, so that pixel centres meet pixel centres."""
    crop = Crop(64, 48, padding=1)
    np.testing.assert_allclose(crop.matrices(crop.regions(np.array([[-0.5, -0.5, 63.5, 47.5]]))), [[[1, 0, 0], [0, 1, 0]]], atol=1e-12)


@given(st.lists(box, min_size=1, max_size=4), crops)
def test_boxes_touch_the_padding_and_keep_their_shape(boxes, crop):
    seen = apply(crop.matrices(crop.regions(np.array(boxes))), corners(boxes))
    np.testing.assert_allclose(seen.mean(1), [[(crop.width - 1) / 2, (crop.height - 1) / 2]] * len(boxes), atol=1e-6)
    share = (seen[:, 1] - seen[:, 0]) * crop.padding / [crop.width, crop.height]
    np.testing.assert_allclose(share.max(-1), 1, atol=1e-6)
    aspect = [(right - left) / (bottom - top) for left, top, right, bottom in boxes]
    np.testing.assert_allclose((seen[:, 1] - seen[:, 0])[:, 0] / (seen[:, 1] - seen[:, 0])[:, 1], aspect, rtol=1e-6)


def test_upright_regions():
    regions = upright(np.array([[3.0, 4.0]]), np.array([2.0]))
    np.testing.assert_array_equal(regions, [[3, 4, 3, 2]])
    np.testing.assert_array_equal(radius(regions), [2])


@pytest.mark.parametrize("sides", [(0, 256, 1.25), (256, -1, 1.25), (256, 256, 0.9)])
def test_crops_that_are_none_are_refused(sides):
    with pytest.raises(OccluposeError, match=r"^crop .*: each must be 1 or more$"):
        Crop(*sides)
