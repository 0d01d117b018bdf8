import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.assets import blazepose_weights
from occlupose.frontends.blazepose_detector import SIZE, BlazePoseDetector, decode_regions, make_anchors
from occlupose.frontends.search import whole_image
from occlupose.pyramid import Pyramid


def test_anchors():
    centres = make_anchors()
    assert len(centres) == 2254 == 28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6
    # stride 8, two at each place, row by row
    np.testing.assert_array_equal(centres[:4], [[4, 4], [4, 4], [12, 4], [12, 4]])
    np.testing.assert_array_equal(centres[1568:1571], [[8, 8], [8, 8], [24, 8]])  # stride 16
    np.testing.assert_array_equal(centres[1960:1967], [[16, 16]] * 6 + [[48, 16]])  # three layers of stride 32
    np.testing.assert_array_equal(centres[-1], [208, 208])


@given(st.integers(0, 2**32 - 1))
def test_decoding_undoes_encoding(seed):
    points = np.random.default_rng(seed).uniform(-50, SIZE + 50, (2254, 4, 2))
    offsets = (points - make_anchors()[:, None]).reshape(-1, 8)
    box = np.full((2254, 4), np.nan)  # is not looked at
    np.testing.assert_allclose(decode_regions(np.concatenate([box, offsets], 1), make_anchors()), points, atol=1e-9)


@pytest.mark.assets
def test_nobody_in_darkness_or_noise():
    detector = BlazePoseDetector(blazepose_weights()["detector"], threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    for image in (np.zeros((100, 200, 3), np.uint8), noise):
        assert detector(Pyramid(image), [whole_image(200, len(image))]).shape == (0, 4)
