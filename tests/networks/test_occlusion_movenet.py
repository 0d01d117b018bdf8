import math

import numpy as np
import pytest
import torch

from occlupose.networks.movenet import Thunder
from occlupose.networks.occlusion_movenet import (
    FLOOR,
    JOINTS,
    MARGIN,
    PLACE_STRIDE,
    Maps,
    OcclusionMoveNet,
    covariance_about,
    likely_place,
    peak_weights,
    visibility_features,
)
from occlupose.skeletons import COCO17, COCO21

CELLS = 64


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))


@pytest.fixture(scope="module")
def thunder():
    torch.manual_seed(0)
    return Thunder().eval()


@pytest.fixture(scope="module")
def network(thunder):
    torch.manual_seed(1)
    network = OcclusionMoveNet().eval()
    network.start_from(thunder)
    return network


def certain(*cells):
    """Log probabilities of the places of all joints: the same in each of these cells (column, row), 0 elsewhere."""
    places = torch.full((1, JOINTS, CELLS, CELLS), -torch.inf)
    for x, y in cells:
        places[:, :, y, x] = -math.log(len(cells))
    return places


def maps_with(peaks, place, visible=0.0):
    """Heatmaps with peaks at cells (column, row): confidence; joints in the middle of their cells. One certain place,
    in a cell, and the logit of visible joints.
    """
    heat = torch.full((1, JOINTS, 64, 64), -9.0)
    for (x, y), confidence in peaks.items():
        heat[:, :, y, x] = math.log(confidence / (1 - confidence))
    heads = {"heatmap": heat, "offset": torch.full((1, 2 * JOINTS, 64, 64), 0.5)}
    return Maps(heads, certain(place), torch.full((1, JOINTS), visible))


def near(places):
    """Mean probability of each cell and its neighbours."""
    return torch.nn.functional.avg_pool2d(places.exp(), 3, 1, 1)


def moments(places):
    """Place and covariance."""
    place = likely_place(places.exp(), near(places))
    return place, covariance_about(place, places.exp())


def cell_of(x, y):
    """The cell of places in the middle of a cell of the heatmaps."""
    return [int((4 * value + 2) / PLACE_STRIDE + MARGIN) for value in (x, y)]


# ------------------------------------------------------------------------------------------------------------ start


@torch.inference_mode()
def test_it_starts_as_thunder(network, thunder, images):
    heads = network.maps(images).heads
    theirs = thunder.maps(images)
    torch.testing.assert_close(heads["heatmap"][:, : len(COCO17)], theirs["heatmap"])
    torch.testing.assert_close(heads["offset"][:, : 2 * len(COCO17)], theirs["offset"])


@torch.inference_mode()
def test_feet_start_as_ankles(network, images):
    heads = network.maps(images).heads
    heat = dict(zip(COCO21.joints, heads["heatmap"][0], strict=True))
    offset = dict(zip(COCO21.joints, heads["offset"][0].unflatten(0, (JOINTS, 2)), strict=True))
    for side in ("left", "right"):
        for joint in ("big_toe", "heel"):
            torch.testing.assert_close(heat[f"{side}_{joint}"], heat[f"{side}_ankle"])
            torch.testing.assert_close(offset[f"{side}_{joint}"], offset[f"{side}_ankle"])


@torch.inference_mode()
def test_places_are_a_distribution(network, images):
    places = network.maps(images).places
    assert places.shape == (1, JOINTS, CELLS, CELLS)
    torch.testing.assert_close(places.exp().sum((2, 3)), torch.ones(1, JOINTS))


def test_every_place_depends_on_the_whole_crop(network, images):
    """Also beyond its edges, where there is nothing to see."""
    pixels = images.float().requires_grad_()
    features = network.backbone(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
    places, _ = network.places(features)
    places[0, 0, 0, 0].backward()
    reach = pixels.grad.abs().sum((0, 3))
    assert reach[-32:, -32:].max() > 0 and reach[:32, :32].max() > 0


@torch.inference_mode()
def test_visibility_is_that_of_the_likely_places(network, images):
    """The mean over the places: an answer elsewhere does not count."""
    features = network.backbone(images.permute(0, 3, 1, 2) / 127.5 - 1)
    places, visible = network.places(features)
    share = places.flatten(2).softmax(2)
    expected = (share * visible.flatten(2)).sum(2)
    torch.testing.assert_close(network.maps(images).visible, expected)


def test_learning_what_is_visible_moves_no_place(network, images):
    network.zero_grad()
    network.maps(images).visible.sum().backward()
    places, visible = network.places.out.weight.grad.chunk(2)
    assert places.abs().max() == 0 and visible.abs().max() > 0
    network.zero_grad()


# --------------------------------------------------------------------------------------------------------- decoding


def test_a_place_is_measured_in_pixels_from_the_edge_of_the_crop():
    place, covariance = moments(certain((MARGIN, MARGIN)))
    torch.testing.assert_close(place, torch.full((1, JOINTS, 2), PLACE_STRIDE / 2))
    variance = PLACE_STRIDE**2 / 12  # of a cell
    torch.testing.assert_close(covariance, torch.tensor([variance, 0, variance]).expand(1, JOINTS, 3))


def test_a_place_may_be_beyond_the_crop():
    place, _ = moments(certain((0, 63)))
    torch.testing.assert_close(place[0, 0], torch.tensor([-124.0, 380.0]))


def test_the_spread_of_two_places():
    """At (0, 0) and (16, 8) px of each other: variances 64 and 16, covariance 32."""
    place, covariance = moments(certain((10, 10), (12, 11)))
    first = PLACE_STRIDE * (10.5 - MARGIN)
    torch.testing.assert_close(place[0, 0], torch.tensor([first + 8, first + 4]))
    own = PLACE_STRIDE**2 / 12
    torch.testing.assert_close(covariance[0, 0], torch.tensor([64 + own, 32.0, 16 + own]))


def test_the_place_is_not_between_two_that_are_far_from_each_other():
    """The covariance is about the one that is chosen: the other is (160, 80) px away."""
    places = certain((10, 10), (30, 20)).exp()
    places[:, :, 10, 10] += 0.1
    places[:, :, 20, 30] -= 0.1
    place, covariance = moments(places.log())
    first = PLACE_STRIDE * (10.5 - MARGIN)
    torch.testing.assert_close(place[0, 0], torch.tensor([first, first]))
    own = PLACE_STRIDE**2 / 12
    torch.testing.assert_close(
        covariance[0, 0], 0.4 * torch.tensor([160.0**2, 160.0 * 80, 80.0**2]) + torch.tensor([own, 0, own])
    )


def test_the_place_decides_between_the_peaks_of_two_people(network):
    peaks = {(10, 20): 0.6, (50, 20): 0.7}
    for chosen in peaks:
        found = network.decode(maps_with(peaks, cell_of(*chosen)))
        torch.testing.assert_close(found.xy[0, 0], 4 * (torch.tensor(chosen) + 0.5))
        assert found.score[0, 0].item() == pytest.approx(peaks[chosen], abs=1e-6)


def test_a_peak_far_from_every_place_may_still_win(network):
    """Against next to nothing: the weight of a place is FLOOR at least."""
    found = network.decode(maps_with({(50, 20): 0.9}, cell_of(10, 20)))
    torch.testing.assert_close(found.xy[0, 0], torch.tensor([202.0, 82.0]))


def test_weights_are_from_floor_to_one():
    weights = peak_weights(near(certain(cell_of(10, 20))))
    assert weights.max() < 1.001 and weights.min().item() == pytest.approx(FLOOR)
    assert weights[0, 0, 20, 10] > 0.9


def test_places_beyond_the_crop_favour_no_peak_far_from_them():
    weights = peak_weights(near(certain((0, 0))))
    assert weights.max().item() == pytest.approx(FLOOR)


def test_what_visibility_depends_on():
    score = torch.full((1, JOINTS), 0.5)
    score[0, 0] = 0.9
    xy = torch.zeros(1, JOINTS, 2)
    place = torch.zeros(1, JOINTS, 2)
    place[0, 0] = torch.tensor([30.0, 40.0])
    covariance = torch.tensor([300.0, 0, 100.0]).expand(1, JOINTS, 3)
    features = visibility_features(score, xy, place, covariance, torch.full((1, JOINTS), 1.5))
    mean = (0.9 + 20 * 0.5) / 21
    expected = [math.log(9), math.log(20), 50 / 20, math.log(mean / (1 - mean)), 1.5]
    torch.testing.assert_close(features[0, 0], torch.tensor(expected))
    torch.testing.assert_close(features[0, 1, :3], torch.tensor([0.0, math.log(20), 0.0]))


def test_the_calibration_is_applied(network):
    torch.manual_seed(2)
    calibrated = OcclusionMoveNet().eval()
    calibrated.load_state_dict(network.state_dict())
    with torch.no_grad():
        calibrated.visible_weight[:, 0] = 1.0
        calibrated.visible_bias[3] = 2.0
        calibrated.spread[:] = 3.0
    maps = maps_with({(10, 20): 0.75}, cell_of(10, 20))
    before = network.decode(maps)
    found = calibrated.decode(maps)
    torch.testing.assert_close(found.covariance, 9 * before.covariance)
    assert found.visible[0, 0].item() == pytest.approx(0.75, abs=1e-6)  # the logit of the peak
    assert found.visible[0, 3].item() == pytest.approx(1 / (1 + math.exp(-math.log(3) - 2)), abs=1e-6)
