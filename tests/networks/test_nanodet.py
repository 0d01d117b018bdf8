"""The decoder is compared with plain loops. What the network gives is compared with TensorFlow in
`test_pretrained.py`.
"""

import math

import numpy as np
import pytest
import torch

from occlupose.networks.nanodet import MEAN, STD, NanoDet, cell_centres, decode_boxes
from occlupose.networks.pretrained import build


def centres_by_loops(width, height):
    """Centre x and y of each cell, and its stride; pixel centres are at integers."""
    return [
        (column * stride + (stride - 1) / 2, row * stride + (stride - 1) / 2, stride)
        for stride in (8, 16, 32)
        for row in range(height // stride)
        for column in range(width // stride)
    ]


@pytest.mark.parametrize("size", [(416, 416), (96, 64), (32, 128)])
def test_cells_are_in_the_order_of_rows_from_fine_to_coarse(size):
    centres, strides = cell_centres(*size)
    np.testing.assert_array_equal(torch.cat([centres, strides[:, None]], 1), centres_by_loops(*size))


def box_by_loops(logits, x, y, stride):
    """The mean of each distribution is the distance to a side."""
    distances = []
    for side in range(4):
        weights = [math.exp(value) for value in logits[11 * side : 11 * side + 11]]
        distances.append(stride * sum(number * weight for number, weight in enumerate(weights)) / sum(weights))
    left, top, right, bottom = distances
    return [x - left, y - top, x + right, y + bottom]


@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_decoded_as_by_loops(seed):
    logits = np.random.default_rng(seed).normal(0, 3, (2, 42, 44))
    cells = centres_by_loops(64, 32)
    assert len(cells) == 42
    centres, strides = cell_centres(64, 32)
    boxes = decode_boxes(torch.from_numpy(logits).float(), centres, strides)
    expected = [[box_by_loops(row, *cell) for row, cell in zip(image, cells, strict=True)] for image in logits]
    np.testing.assert_allclose(boxes, expected, atol=1e-3)


def test_a_certain_distance_is_a_number_of_strides():
    logits = torch.full((1, 44), -40.0)
    for side, distance in enumerate((0, 3, 10, 1)):
        logits[0, 11 * side + distance] = 40
    box = decode_boxes(logits, torch.tensor([[100.0, 50.0]]), torch.tensor([16.0]))
    torch.testing.assert_close(box, torch.tensor([[100.0, 2.0, 260.0, 66.0]]))


def test_confidence_is_that_of_people():
    network = build("nanodet_g")
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cells = network.cells(images)
        boxes, score = network(images)
    assert cells.shape == (2, 126, 124) and boxes.shape == (2, 126, 4) and score.shape == (2, 126)
    torch.testing.assert_close(score, cells[..., 0].sigmoid())
    assert (boxes[..., :2] <= boxes[..., 2:]).all()


def test_the_network_gets_blue_green_and_red_normalised():
    network = build("nanodet_g")
    colours = torch.tensor([[[[10, 120, 250]]]], dtype=torch.uint8).expand(1, 32, 32, 3)
    seen = []
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(colours)
    expected = (np.array([250, 120, 10]) - MEAN) / STD
    np.testing.assert_allclose(seen[0][0, :, 5, 7], expected, rtol=1e-5)


def test_it_is_as_large_as_published():
    with torch.device("meta"):
        assert sum(value.numel() for value in NanoDet().parameters()) == 3_786_068


def test_every_weight_learns():
    torch.manual_seed(0)
    network = NanoDet()
    network.cells(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
