import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.letterbox import GREY, Letterbox, fit
from occlupose.pyramid import Pyramid

BOX = Letterbox()
SIZES = st.integers(1, 20_000)
TURNS = st.floats(-180, 180)


def through(matrix, points):
    return np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]


def edges(width, height):
    """Corners of an image: edges of its pixels, whose centres are at integers."""
    return np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])


def test_the_input_is_the_published_one():
    assert (BOX.width, BOX.height, GREY) == (832, 512, 128)


def test_an_image_of_640_by_480_fills_the_height_and_is_centred():
    """512 / 480 as large: 682 2/3 px wide, 74 2/3 px of grey on either side."""
    matrix = BOX.matrix(640, 480)
    assert BOX.scale(640, 480) == pytest.approx(512 / 480)
    left = 74 + 2 / 3 - 0.5
    right = 832 - (74 + 2 / 3) - 0.5
    np.testing.assert_allclose(
        through(matrix, edges(640, 480)), [[left, -0.5], [right, -0.5], [right, 511.5], [left, 511.5]]
    )


def test_a_wide_image_fills_the_width():
    low, high = through(BOX.matrix(1664, 512), edges(1664, 512))[[0, 2]]
    np.testing.assert_allclose([*low, *high], [-0.5, 127.5, 831.5, 383.5])


@given(SIZES, SIZES, TURNS)
def test_a_rotated_image_fits_and_touches_two_opposite_sides(width, height, turn):
    corners = through(BOX.matrix(width, height, turn=turn), edges(width, height))
    low = corners.min(0)
    high = corners.max(0)
    np.testing.assert_allclose(low + high, [831, 511], atol=1e-6)
    free = np.array([832, 512]) - (high - low)
    assert free.min() == pytest.approx(0, abs=1e-6) and free.max() > -1e-6


@given(SIZES, SIZES, TURNS, st.floats(0.5, 2), st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
def test_points_there_and_back(width, height, turn, zoom, shift):
    """By a matrix that turns and scales, and does not mirror or shear."""
    matrix = BOX.matrix(width, height, turn=turn, zoom=zoom, shift=shift)
    linear = matrix[:, :2]
    size = np.hypot(*linear[:, 0])
    np.testing.assert_allclose(linear @ linear.T, size**2 * np.eye(2), atol=1e-9 * size**2)
    assert np.linalg.det(linear) > 0
    points = np.random.default_rng(0).uniform(0, [width, height], (5, 2))
    back = (through(matrix, points) - matrix[:, 2]) @ np.linalg.inv(linear).T
    np.testing.assert_allclose(back, points, atol=1e-6 * max(width, height))


@given(st.floats(-180, 180), st.floats(0.5, 2), st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
def test_it_turns_and_zooms_about_the_middle_and_then_moves(turn, zoom, shift):
    plain = BOX.matrix(640, 480, turn=turn)
    varied = BOX.matrix(640, 480, turn=turn, zoom=zoom, shift=shift)
    np.testing.assert_allclose(through(varied, [319.5, 239.5]), np.array([415.5, 255.5]) + shift, atol=1e-9)
    np.testing.assert_allclose(varied[:, :2], zoom * plain[:, :2])
    way = through(varied, [320.5, 239.5]) - through(varied, [319.5, 239.5])
    np.testing.assert_allclose(way / np.hypot(*way), [np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))], atol=1e-9)


def test_padding_is_grey_and_the_image_unchanged():
    """An image of half the size of the input: each pixel lies in the middle of four."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (256, 320, 3), dtype=np.uint8)
    warped = BOX.warp(Pyramid(image), BOX.matrix(320, 256))
    assert warped.shape == (512, 832, 3) and warped.dtype == np.uint8
    assert (warped[:, : (832 - 640) // 2 - 1] == GREY).all() and (warped[:, (832 + 640) // 2 + 1 :] == GREY).all()
    inside = warped[:, 96:-96].astype(float)
    means = np.stack([inside[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]).mean(0)
    near = image.astype(float)
    blurred = sum(
        weight * near[1 + dy : 255 + dy, 1 + dx : 319 + dx]
        for dy, of_dy in ((-1, 0.125), (0, 0.75), (1, 0.125))
        for dx, of_dx in ((-1, 0.125), (0, 0.75), (1, 0.125))
        for weight in (of_dy * of_dx,)
    )
    np.testing.assert_allclose(means[1:-1, 1:-1], blurred, atol=2)


def test_an_image_of_the_input_s_size_is_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    box = Letterbox(96, 64)
    np.testing.assert_array_equal(box.warp(Pyramid(image), box.matrix(96, 64)), image)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000), (3, 5)])
def test_images_of_any_size_are_warped(size):
    """In the middle, no larger than they are to be, grey around."""
    width, height = size
    warped = BOX.warp(Pyramid(np.zeros((height, width, 3), np.uint8)), BOX.matrix(width, height))
    assert warped.shape == (512, 832, 3)
    scale = BOX.scale(width, height)
    rows, columns = np.nonzero((warped < GREY).any(-1))
    for places, side, whole in ((columns, width, 832), (rows, height, 512)):
        assert (np.abs(places - (whole - 1) / 2) <= scale * (side + 1) / 2).all()
    if scale * min(size) >= 2:
        assert warped[255, 415].max() < 64


def test_rotated_images_are_completely_inside():
    """No part of a bright image is cut off: its total brightness is preserved."""
    image = np.full((300, 500, 3), 255, np.uint8)
    for turn in (-10.0, 7.0, 45.0):
        matrix = BOX.matrix(500, 300, turn=turn)
        bright = (BOX.warp(Pyramid(image), matrix).astype(float) - GREY).clip(0)[..., 0].sum() / (255 - GREY)
        assert bright == pytest.approx(500 * 300 * np.linalg.det(matrix[:, :2]), rel=0.01)


def test_an_image_in_the_corner_fills_one_side_and_leaves_grey_beside_the_other():
    """1024 x 1024 px in 640 x 320: 320 px of grey on the right; rotated or enlarged it stays round the same middle."""
    box = Letterbox(640, 320, "corner", 114)
    matrix = box.matrix(1024, 1024)
    np.testing.assert_allclose(through(matrix, edges(1024, 1024))[[0, 2]], [[-0.5, -0.5], [319.5, 319.5]])
    warped = box.warp(Pyramid(np.full((1024, 1024, 3), 200, np.uint8)), matrix)
    assert (warped[:, 1:319] == 200).all() and (warped[:, 321:] == 114).all()
    np.testing.assert_allclose(through(box.matrix(1024, 1024, zoom=2.0), [[511.5, 511.5]]), [[159.5, 159.5]])


def test_the_longer_side_becomes_that_of_the_input():
    assert fit(1920, 1080, 416) == (416, 234)
    assert fit(10, 5000, 416) == (1, 416)
    assert fit(200.0, 100.0, 200.0) == (200, 100)
