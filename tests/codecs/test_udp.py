"""Against SciPy's filters and solver, and against loops, from what the papers of UDP and DARK say."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from occlupose.codecs.crops import Crop
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError


def by_loops(x, y, *, width=48, height=64, crop=(192, 256), sigma=2.0):
    """A Gaussian at the joint's own place; the outermost cells lie on the outermost pixels (UDP, section 3)."""
    column = x * (width - 1) / (crop[0] - 1)
    row = y * (height - 1) / (crop[1] - 1)
    heatmap = np.zeros((height, width))
    for v in range(height):
        for u in range(width):
            if abs(u - math.floor(column + 0.5)) <= 3 * sigma and abs(v - math.floor(row + 0.5)) <= 3 * sigma:
                heatmap[v, u] = math.exp(-((u - column) ** 2 + (v - row) ** 2) / (2 * sigma**2))
    return heatmap


def dark(heatmap, blur=11):
    """The highest cell, and the derivatives of DARK there, in float64: the whole map smoothed with OpenCV's kernel,
    then its logarithm.
    """
    kernel = cv2.getGaussianKernel(blur, 0)[:, 0]
    smooth = correlate1d(
        correlate1d(heatmap.astype(np.float64), kernel, 0, mode="constant"), kernel, 1, mode="constant"
    )
    log = np.log(np.maximum(np.pad(smooth, 1, mode="edge"), 1e-6))
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    at = log[row : row + 3, column : column + 3]
    slope = np.array([at[1, 2] - at[1, 0], at[2, 1] - at[0, 1]]) / 2
    across = (at[2, 2] - at[2, 0] - at[0, 2] + at[0, 0]) / 4
    curve = np.array([[at[1, 2] - 2 * at[1, 1] + at[1, 0], across], [across, at[2, 1] - 2 * at[1, 1] + at[0, 1]]])
    return np.array([column, row]), slope, curve


anywhere = st.tuples(st.floats(-30, 220, width=32), st.floats(-30, 280, width=32))


@given(st.lists(anywhere, min_size=1, max_size=3))
def test_maps_are_those_of_the_paper(xy):
    maps, weight = UDP().encode(torch.tensor([xy]), torch.ones(1, len(xy)))
    for joint, place in enumerate(xy):
        wanted = by_loops(*place)
        np.testing.assert_allclose(maps[0, joint], wanted, atol=2e-5)
        assert bool(weight[0, joint]) == bool(wanted.any())


@given(st.integers(0, 2**32 - 1), st.sampled_from([11, 13, 17]))
def test_decoding_is_dark(seed, blur):
    """Of a blob of any shape, with noise, as networks make them."""
    random = np.random.default_rng(seed)
    height = 20
    width = 24
    y, x = np.mgrid[:height, :width]
    (u, v) = random.uniform(1, [width - 2, height - 2])
    (a, b) = random.uniform(1, 4, 2)
    blob = np.exp(-(((x - u) / a) ** 2 + ((y - v) / b) ** 2 + random.uniform(-1, 1) * (x - u) * (y - v) / (a * b)) / 2)
    heatmap = (blob + random.normal(0, 0.01, blob.shape)).astype(np.float32)
    cell, slope, curve = dark(heatmap, blur)
    codec = UDP(Crop(4 * width, 4 * height, grid="corners"), blur=blur)
    found, score = codec.decode(torch.tensor(heatmap)[None])
    step, _ = codec.crop.cells(width, height)
    moved = found[0].double().numpy() / step - cell
    assert score[0] == heatmap.max()
    if (np.linalg.eigvalsh(curve) < -0.02).all():  # it has a top
        np.testing.assert_allclose(moved, np.clip(np.linalg.solve(curve, -slope), -2, 2), atol=2e-3)
    else:
        assert (np.abs(moved) <= 2.001).all()


def test_without_a_top_each_side_goes_by_itself():
    """A bright cell between two blobs, one above the other: across them the top is found, along them the cell stays."""
    y, x = np.mgrid[:21, :21]
    blobs = sum(0.9 * np.exp(-((x - 10.3) ** 2 + (y - middle) ** 2) / 8) for middle in (6, 14))
    blobs[10, 10] = 1
    cell, slope, curve = dark(blobs)
    assert cell.tolist() == [10, 10] and curve[1, 1] > 0.01 and curve[0, 0] < -0.01
    codec = UDP(Crop(84, 84, grid="corners"))
    found = codec.decode(torch.tensor(blobs, dtype=torch.float32)[None])[0][0].numpy() / codec.crop.cells(21, 21)[0]
    np.testing.assert_allclose(found, [10 - slope[0] / curve[0, 0], 10], atol=1e-3)
    assert found[0] > 10.1


@given(
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([(5, 0.001), (3, 0.06), (0, 0.9)]),
    st.sampled_from(["corners", "centres"]),
)
def test_there_and_back_within_the_stated_errors(share, margin, grid):
    cells, error = margin
    codec = UDP(Crop(192, 256, grid=grid))
    step, first = torch.tensor(codec.crop.cells(48, 64))
    at = cells + torch.tensor(share) * (torch.tensor([47, 63]) - 2 * cells)
    wanted = (at * step + first).float()
    back, score = codec.decode(codec.encode(wanted[None], torch.ones(1))[0])
    assert ((back[0] - wanted).abs() <= error * step + 1e-4).all()
    assert 0.939 < score[0] <= 1


@given(st.integers(0, 2**32 - 1))
def test_mirrored_maps_have_mirrored_joints(seed):
    maps = torch.rand(2, 12, 16, generator=torch.Generator().manual_seed(seed))
    codec = UDP(Crop(64, 48, grid="corners"))
    found = codec.decode(maps)[0]
    mirrored = codec.decode(maps.flip(-1))[0]
    torch.testing.assert_close(mirrored, torch.stack([63 - found[:, 0], found[:, 1]], -1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("blur", [0, 10, -3])
def test_a_kernel_without_a_middle_is_refused(blur):
    with pytest.raises(OccluposeError, match=rf"^blur {blur}: must be an odd number of cells$"):
        UDP(blur=blur)
