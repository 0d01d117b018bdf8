import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import (
    Crop,
    cells,
    crop_matrices,
    invert,
    radius,
    similarity,
    transform_points,
    upright_regions,
)
from occlupose.errors import OccluposeError

coordinate = st.floats(-2000, 2000)
region = st.tuples(coordinate, coordinate, st.floats(2, 900), st.floats(-np.pi, np.pi)).map(
    lambda c: [c[0], c[1], c[0] + c[2] * np.sin(c[3]), c[1] - c[2] * np.cos(c[3])]
)


def test_the_crop_of_a_tilted_circle_is_upright():
    # upright, on the side, head down
    regions = np.array([[50.0, 40.0, 50.0, 20.0], [50.0, 40.0, 70.0, 40.0], [50.0, 40.0, 50.0, 60.0]])
    points = regions.reshape(-1, 2, 2)
    np.testing.assert_allclose(
        transform_points(crop_matrices(regions, 101, 61, diameter=50), points), [[[50, 30], [50, 5]]] * 3, atol=1e-9
    )


@given(st.lists(region, min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 400), st.floats(1, 300))
def test_there_and_back(regions, width, height, diameter):
    matrices = crop_matrices(np.array(regions), width, height, diameter=diameter)
    points = np.array(regions).reshape(-1, 2, 2)
    crop = transform_points(matrices, points)
    np.testing.assert_allclose(crop[:, 0], [[(width - 1) / 2, (height - 1) / 2]] * len(regions), atol=1e-6)
    np.testing.assert_allclose(crop[:, 0] - crop[:, 1], [[0, diameter / 2]] * len(regions), atol=1e-6)
    np.testing.assert_allclose(transform_points(invert(matrices), crop), points, atol=1e-5)


side = st.floats(2, 900)
box = st.tuples(coordinate, coordinate, side, side).map(lambda c: [c[0], c[1], c[0] + c[2], c[1] + c[3]])
crops = st.builds(Crop, st.integers(8, 512), st.integers(8, 512), st.floats(1, 2))


def corners(boxes):
    return np.array(boxes)[:, [[0, 1], [2, 3]]]


def test_a_box_lies_padded_in_the_middle_of_its_crop():
    # 80 x 160 px in a crop of 128 x 256: 1.25 times as high makes 200 px, which become 256
    matrix = Crop(128, 256).matrices(Crop(128, 256).regions(np.array([[99.5, 49.5, 179.5, 209.5]])))
    np.testing.assert_allclose(
        transform_points(matrix, corners([[99.5, 49.5, 179.5, 209.5]])), [[[12.3, 25.1], [114.7, 229.9]]]
    )


def test_a_wide_box_fits_as_well():
    matrix = Crop(100, 200, padding=1).matrices(
        Crop(100, 200, padding=1).regions(np.array([[-0.5, 39.5, 199.5, 59.5]]))
    )
    np.testing.assert_allclose(
        transform_points(matrix, corners([[-0.5, 39.5, 199.5, 59.5]])), [[[-0.5, 94.5], [99.5, 104.5]]], atol=1e-9
    )


def test_without_padding_the_image_is_its_own_crop():
    """Edges meet edges, so that pixel centres meet pixel centres."""
    crop = Crop(64, 48, padding=1)
    np.testing.assert_allclose(
        crop.matrices(crop.regions(np.array([[-0.5, -0.5, 63.5, 47.5]]))), [[[1, 0, 0], [0, 1, 0]]], atol=1e-12
    )


@given(st.lists(box, min_size=1, max_size=4), crops)
def test_boxes_touch_the_padding_and_keep_their_shape(boxes, crop):
    seen = transform_points(crop.matrices(crop.regions(np.array(boxes))), corners(boxes))
    np.testing.assert_allclose(seen.mean(1), [[(crop.width - 1) / 2, (crop.height - 1) / 2]] * len(boxes), atol=1e-6)
    share = (seen[:, 1] - seen[:, 0]) * crop.padding / [crop.width, crop.height]
    np.testing.assert_allclose(share.max(-1), 1, atol=1e-6)
    aspect = [(right - left) / (bottom - top) for left, top, right, bottom in boxes]
    np.testing.assert_allclose((seen[:, 1] - seen[:, 0])[:, 0] / (seen[:, 1] - seen[:, 0])[:, 1], aspect, rtol=1e-6)


def test_upright_regions():
    regions = upright_regions(np.array([[3.0, 4.0]]), np.array([2.0]))
    np.testing.assert_array_equal(regions, [[3, 4, 3, 2]])
    np.testing.assert_array_equal(radius(regions), [2])


@pytest.mark.parametrize("sides", [(0, 256, 1.25), (256, -1, 1.25), (256, 256, 0.9)])
def test_crops_that_are_none_are_refused(sides):
    with pytest.raises(OccluposeError, match=r"^(width|height|padding) .*: must be 1 or more$"):
        Crop(*sides)


def classic(box, width, height, padding, degrees):
    """Simple Baselines' matrix: three points of the padded box and of the crop, boxes and joints as COCO's files have
    them.
    """
    left, top, wide, high = box
    centre = np.array([left + wide / 2, top + high / 2])
    wide = padding * wide
    high = padding * high
    wide = max(wide, high * width / height)
    turn = np.deg2rad(degrees)
    up = np.array([np.sin(turn), -np.cos(turn)]) * wide / 2  # of the image, what is above in the crop
    right = np.array([np.cos(turn), np.sin(turn)]) * wide / 2
    middle = np.array([width / 2, height / 2])
    there = width / 2 * np.array([[0, 0], [0, -1], [1, 0]]) + middle
    return cv2.getAffineTransform(
        np.stack([centre, centre + up, centre + right]).astype(np.float32), there.astype(np.float32)
    )


def unbiased(box, width, height, padding, degrees):
    """UDP's matrix (Huang et al. 2020, section 3): lengths are one less than sides, so that corners meet corners."""
    left, top, wide, high = box
    x = left + wide / 2
    y = top + high / 2
    wide = padding * wide
    high = padding * high
    wide, high = (wide, wide * height / width) if wide > high * width / height else (high * width / height, high)
    cosine = np.cos(np.deg2rad(degrees))
    sine = np.sin(np.deg2rad(degrees))
    across = (width - 1) / wide
    down = (height - 1) / high
    return np.array(
        [
            [across * cosine, across * sine, across * (wide / 2 - x * cosine - y * sine)],
            [-down * sine, down * cosine, down * (high / 2 + x * sine - y * cosine)],
        ]
    )


raw_box = st.tuples(st.floats(-100, 900), st.floats(-100, 900), st.floats(8, 700), st.floats(8, 700))


@pytest.mark.parametrize(("grid", "published", "error"), [("stride", classic, 0.02), ("corners", unbiased, 1e-6)])
@given(
    raw_box, st.sampled_from([(192, 256), (288, 384), (256, 256), (256, 192)]), st.floats(1, 1.5), st.floats(-180, 180)
)
def test_published_networks_get_the_crops_that_they_were_trained_on(
    grid, published, error, raw, sides, padding, degrees
):
    """The classic matrix is found from three points in single precision."""
    crop = Crop(*sides, padding, grid)
    left, top, wide, high = raw
    # as our datasets have boxes
    region = crop.regions(np.array([[left - 0.5, top - 0.5, left + wide - 0.5, top + high - 0.5]]))
    turn = np.deg2rad(degrees)
    region[:, 2:] = region[:, :2] + radius(region) * np.array([np.sin(turn), -np.cos(turn)])
    points = np.array([[left, top], [left + wide, top], [left + wide / 3, top + high]])
    wanted = transform_points(published(raw, *sides, padding, degrees), points)
    np.testing.assert_allclose(transform_points(crop.matrices(region)[0], points), wanted, atol=error)


def test_where_the_edges_of_a_box_go():
    """A box of 100 x 200 px at (10, 20), of the crop's aspect, without padding: as the file has it, and as its pixels
    lie.
    """
    box = np.array([[9.5, 19.5, 109.5, 219.5]])
    for grid, raw, low, high in (("centres", 0, -0.5, 0.5), ("stride", 0.5, 0.0, 0.0), ("corners", 0.5, 0.0, 1.0)):
        crop = Crop(128, 256, 1, grid)
        seen = transform_points(crop.matrices(crop.regions(box)), corners(box) + raw)
        np.testing.assert_allclose(seen, [[[low, low], [128 - high, 256 - high]]], atol=1e-9)


@pytest.mark.parametrize(
    ("grid", "places"),
    [("centres", [1.5, 5.5, 9.5]), ("stride", [0, 4, 8]), ("corners", [0, 5.5, 11])],
)
def test_where_the_cells_of_a_map_lie(grid, places):
    step, first = cells(grid, 12, 3)
    np.testing.assert_allclose([step * cell + first for cell in range(3)], places)


def test_cells_down_and_across():
    steps, firsts = Crop(12, 20, grid="corners").cells(3, 5)
    np.testing.assert_allclose(steps, [5.5, 19 / 4])
    np.testing.assert_allclose(firsts, [0, 0])
    np.testing.assert_allclose(Crop(12, 20).cells(3, 10), [[4, 2], [1.5, 0.5]])
    np.testing.assert_allclose(Crop(12, 20, grid="corners").cells(1, 1)[0], [11, 19])  # one cell has no next


@given(st.lists(box, min_size=1, max_size=3), st.sampled_from(["centres", "stride", "corners"]), st.floats(-3, 3))
def test_there_and_back_on_every_grid(boxes, grid, turn):
    crop = Crop(96, 128, grid=grid)
    regions = crop.regions(np.array(boxes))
    regions[:, 2:] = regions[:, :2] + radius(regions)[:, None] * np.array([np.sin(turn), -np.cos(turn)])
    matrices = crop.matrices(regions)
    np.testing.assert_allclose(
        transform_points(invert(matrices), transform_points(matrices, corners(boxes))), corners(boxes), atol=1e-6
    )


def test_a_grid_that_is_none_is_refused():
    with pytest.raises(OccluposeError, match=r"^grid middles: not known; known are centres, stride, corners$"):
        Crop(grid="middles")


def test_similarity_of_regions():
    here = np.array([[0.0, 0, 0, -100]])
    others = np.array([[0.0, 0, 0, -100], [35.0, 0, 35.0, -100], [0.0, 0, 0, 100]])
    np.testing.assert_allclose(similarity(here[:, None], others), [[1, np.exp(-1), 0]], atol=1e-4)
