import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps, find_peaks
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

USUAL = Heatmaps()


def visible(*xy):
    return np.array(xy, float), np.full(len(xy), VISIBLE, np.uint8)


def test_a_visible_joint_is_a_gaussian_of_two_cells_in_a_map_of_64():
    maps, weight = USUAL.encode(*visible((41.5, 81.5)))  # the middle of cell (10, 20)
    assert maps.shape == (1, 64, 64) and maps.dtype == weight.dtype == np.float32
    y, x = np.mgrid[:64, :64]
    np.testing.assert_allclose(maps[0], np.exp(-((x - 10) ** 2 + (y - 20) ** 2) / (2 * 2.0**2)), atol=1e-6)
    assert maps[0, 20, 10] == maps.max() == 1
    np.testing.assert_array_equal(weight, [1])


def test_equation_1_hidden_joints_are_zero_and_absent_ones_have_no_weight():
    maps, weight = USUAL.encode(
        np.array([[100.0, 100], [100, 100], [np.nan, np.nan]]), np.array([VISIBLE, OCCLUDED, ABSENT], np.uint8)
    )
    assert maps[0].max() > 0.9
    assert not maps[1:].any()
    np.testing.assert_array_equal(weight, [1, 1, 0])


def test_a_joint_outside_of_the_crop_leaves_the_rest_of_its_gaussian():
    maps, weight = USUAL.encode(*visible((-2.5 - 8, 101.5), (4000.0, 4000.0)))  # cell (-3, 25), and far away
    np.testing.assert_allclose(maps[0, 25, :3], np.exp(-(np.array([3, 4, 5]) ** 2) / 8), rtol=1e-5)
    assert not maps[1].any()
    np.testing.assert_array_equal(weight, [1, 1])


shapes = st.tuples(st.integers(8, 80), st.integers(16, 80))


@given(shapes, st.floats(0, 1), st.floats(0, 1))
def test_there_and_back(cells, across, down):
    """Within a thousandth of a cell, wherever the highest cell is not at the edge."""
    codec = Heatmaps(Crop(4 * cells[0], 4 * cells[1]))
    # px: the borders of the cells within
    first = np.array([5.6, 5.6])
    last = 4 * np.array(cells) - 6.6
    xy = first + (last - first) * [across, down]
    decoded, confidence = codec.decode(codec.encode(*visible(xy))[0])
    np.testing.assert_allclose(decoded[0], xy, atol=0.004)
    assert np.exp(-1 / (4 * codec.sigma**2)) - 1e-4 <= confidence[0] <= 1
    if codec.sigma == 2:
        assert confidence[0] > 0.93


def test_at_the_edge_a_joint_is_in_the_middle_of_its_cell():
    decoded, _ = USUAL.decode(USUAL.encode(*visible((0.3, 101.5)))[0])
    np.testing.assert_allclose(decoded, [[1.5, 101.5]], atol=1e-3)


@given(st.floats(0, 255), st.floats(0, 255))
def test_mirrored_joints_have_mirrored_maps(x, y):
    maps, _ = USUAL.encode(*visible((x, y)))
    mirrored, _ = USUAL.encode(*visible((255 - x, y)))
    np.testing.assert_allclose(mirrored, maps[..., ::-1], atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_the_peak_lies_within_half_a_cell_of_the_highest(seed):
    # as raw networks give them, below 0 too
    maps = np.random.default_rng(seed).normal(size=(3, 2, 5, 7)).astype(np.float32)
    xy, height = find_peaks(maps)
    for place in np.ndindex(3, 2):
        y, x = np.unravel_index(maps[place].argmax(), (5, 7))
        assert height[place] == maps[place][y, x]
        assert (np.abs(xy[place] - [x, y]) <= 0.5).all()


def test_a_zero_map_has_a_position_and_no_confidence():
    xy, confidence = USUAL.decode(np.zeros((2, 64, 64), np.float32))
    assert np.isfinite(xy).all()
    np.testing.assert_array_equal(confidence, 0)


def test_nobody():
    xy, confidence = USUAL.decode(np.zeros((0, 17, 64, 64), np.float32))
    assert xy.shape == (0, 17, 2) and confidence.shape == (0, 17)


@pytest.mark.parametrize(("width", "height", "stride"), [(254, 256, 4), (256, 30, 4), (256, 256, 0)])
def test_crops_without_whole_cells_are_refused(width, height, stride):
    with pytest.raises(OccluposeError, match=r"its sides must be multiples of the stride"):
        Heatmaps(Crop(width, height), stride)


@pytest.mark.parametrize("grid", ["stride", "corners"])
def test_other_grids_are_refused(grid):
    with pytest.raises(
        OccluposeError, match=rf"^grid {grid}: heatmaps need the grid centres; give a crop with that grid$"
    ):
        Heatmaps(Crop(grid=grid))
