"""Compared with loops over classes, after the SimCC paper (section 3)."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import Crop
from occlupose.codecs.simcc import SimCC
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17


def by_loops(place, classes, split=2, sigma=6.0):
    right = math.floor(place * split + 0.5)
    return [
        math.exp(-((label - right) ** 2) / (2 * sigma**2)) if abs(label - right) <= 3 * sigma else 0.0
        for label in range(classes)
    ]


@given(st.lists(st.tuples(st.floats(-30, 220, width=32), st.floats(-30, 280, width=32)), min_size=1, max_size=3))
def test_classes_are_smoothed_as_in_the_paper(xy):
    (across, down), weight = SimCC().encode(torch.tensor([xy]), torch.ones(1, len(xy)))
    assert across.shape == (1, len(xy), 384) and down.shape == (1, len(xy), 512)
    for joint, (x, y) in enumerate(xy):
        wanted = by_loops(x, 384), by_loops(y, 512)
        assert bool(weight[0, joint]) == (any(wanted[0]) and any(wanted[1]))
        if weight[0, joint]:
            np.testing.assert_allclose(across[0, joint], wanted[0], atol=1e-6)
            np.testing.assert_allclose(down[0, joint], wanted[1], atol=1e-6)
        else:
            assert not across[0, joint].any() and not down[0, joint].any()


# the last classes of either grid
@given(st.floats(0, 191.25), st.floats(0, 255.25), st.sampled_from(["stride", "centres"]))
def test_there_and_back_within_a_quarter_of_a_pixel(x, y, grid):
    codec = SimCC(Crop(192, 256, grid=grid))
    profiles, _ = codec.encode(torch.tensor([[[x, y]]]), torch.ones(1, 1))
    found, score = codec.decode(profiles)
    assert (found - torch.tensor([x, y])).abs().max() <= 0.2501
    assert score == 1


def test_the_score_is_the_lower_peak():
    (across, down), _ = SimCC().encode(torch.tensor([[[10.0, 20.0]]]), torch.ones(1, 1))
    found, score = SimCC().decode((0.5 * across, 0.25 * down))
    assert found.tolist() == [[[10, 20]]] and score.tolist() == [[0.25]]


def test_joints_without_a_weight_do_not_matter():
    xy = torch.tensor([[[float("nan"), 3.0], [5.0, 5.0]]])
    (across, down), weight = SimCC().encode(xy, torch.tensor([[1.0, 0.0]]))
    assert weight.tolist() == [[0, 0]] and not across.any() and not down.any()


def test_a_mirrored_image():
    """Half a pixel off, as published, where the crop is not symmetric; exact where it is."""
    pair = COCO17.subset(["left_wrist", "right_wrist"])
    xy = torch.tensor([[[30.0, 40.0], [90.0, 20.0]]])
    for grid, off in (("centres", 0.0), ("stride", 0.5)):
        codec = SimCC(Crop(192, 256, grid=grid))
        profiles, _ = codec.encode(torch.stack([191 - xy[..., 0], xy[..., 1]], -1)[:, [1, 0]], torch.ones(1, 2))
        found = codec.decode(codec.unflip(profiles, pair.mirror))[0]
        assert (found - xy).abs().max() <= 0.2501 + off
        assert not codec.flip_shift


def test_outputs_are_on_the_device_of_the_inputs():
    profiles, weight = SimCC().encode(torch.zeros(2, 17, 2, device="meta"), torch.ones(2, 17, device="meta"))
    assert {tensor.device.type for tensor in (*profiles, weight, *SimCC().decode(profiles))} == {"meta"}


@pytest.mark.parametrize("split", [0.0, 0.3, -1.0])
def test_fractional_numbers_of_classes_are_refused(split):
    with pytest.raises(OccluposeError, match=r"must give a whole number of classes on a crop of 192 x 256$"):
        SimCC(split=split)
    with pytest.raises(OccluposeError, match=r"^sigma -1: must be more than 0 classes$"):
        SimCC(sigma=-1.0)
