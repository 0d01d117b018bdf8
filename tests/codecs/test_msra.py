"""Against loops over cells, written from what the papers say (Xiao et al. 2018, section 3; Newell et al. 2016 for the
quarter).
"""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import Crop
from occlupose.codecs.msra import MSRA


def by_loops(x, y, *, width=48, height=64, stride=4, sigma=2.0):
    """A Gaussian of 6 sigma across round the nearest cell, cell by cell."""
    column = math.floor(x / stride + 0.5)
    row = math.floor(y / stride + 0.5)
    heatmap = np.zeros((height, width))
    for v in range(height):
        for u in range(width):
            if abs(u - column) <= 3 * sigma and abs(v - row) <= 3 * sigma:
                heatmap[v, u] = math.exp(-((u - column) ** 2 + (v - row) ** 2) / (2 * sigma**2))
    return heatmap


def decoded_by_loops(heatmap, stride=4):
    height, width = heatmap.shape
    row, column = max(np.ndindex(height, width), key=lambda cell: heatmap[cell])
    x = float(column)
    y = float(row)
    if 0 < column < width - 1 and heatmap[row, column + 1] != heatmap[row, column - 1]:
        x += 0.25 if heatmap[row, column + 1] > heatmap[row, column - 1] else -0.25
    if 0 < row < height - 1 and heatmap[row + 1, column] != heatmap[row - 1, column]:
        y += 0.25 if heatmap[row + 1, column] > heatmap[row - 1, column] else -0.25
    return [x * stride, y * stride]


anywhere = st.tuples(st.floats(-30, 220, width=32), st.floats(-30, 280, width=32))


@given(st.lists(anywhere, min_size=1, max_size=3))
def test_maps_are_those_of_the_papers(xy):
    maps, weight = MSRA().encode(torch.tensor([xy]), torch.ones(1, len(xy)))
    for joint, place in enumerate(xy):
        wanted = by_loops(*place)
        np.testing.assert_allclose(maps[0, joint], wanted, atol=1e-6)
        assert bool(weight[0, joint]) == bool(wanted.any())


def test_a_joint_between_two_cells_goes_to_the_right_one():
    maps, _ = MSRA().encode(torch.tensor([[[42.0, 78.0]]]), torch.ones(1, 1))  # cell 10.5, 19.5
    assert maps[0, 0, 20, 11] == 1


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_maps_are_decoded_by_quarters(seed, flat):
    random = np.random.default_rng(seed)
    # with ties and peaks at the border, or noise
    maps = random.integers(0, 3, (3, 5, 6)) if flat else random.normal(size=(3, 5, 6))
    xy, score = MSRA(Crop(24, 20, grid="stride")).decode(torch.tensor(maps, dtype=torch.float32))
    for joint in range(3):
        np.testing.assert_allclose(xy[joint], decoded_by_loops(maps[joint].astype(np.float32)))
        assert score[joint] == np.float32(maps[joint].max())


inside = st.tuples(st.floats(-2, 189.9), st.floats(-2, 253.9))


@given(inside, st.sampled_from(["stride", "centres", "corners"]))
def test_there_and_back_within_half_a_cell(xy, grid):
    codec = MSRA(Crop(192, 256, grid=grid))
    (step, step_down), first = codec.crop.cells(48, 64)
    wanted = (
        torch.tensor([[xy]])
        .clamp(torch.tensor(first), torch.tensor([47 * step, 63 * step_down]) + torch.tensor(first))
        .float()
    )
    back, score = codec.decode(codec.encode(wanted, torch.ones(1, 1))[0])
    assert (back - wanted).abs().max() <= max(step, step_down) / 2 + 1e-4
    assert score == 1


def test_maps_as_large_as_the_crop_are_exact_within_half_a_pixel():
    codec = MSRA(stride=1, sigma=8.0)
    assert codec.shape == (256, 192)
    wanted = torch.tensor([[[100.3, 80.7], [30.0, 50.49]]])
    maps, _ = codec.encode(wanted, torch.ones(1, 2))
    np.testing.assert_allclose(maps[0, 0], by_loops(100.3, 80.7, width=192, height=256, stride=1, sigma=8.0), atol=1e-6)
    assert codec.decode(maps)[0].tolist() == [[[100, 81], [30, 50]]]
