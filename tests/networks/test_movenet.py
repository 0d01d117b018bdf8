"""The decoders are compared with plain loops in double precision over the formulas of the published graphs. What the
networks give is compared with TensorFlow in `test_pretrained.py`.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from occlupose.networks import movenet
from occlupose.networks.movenet import (
    MULTI_HEADS,
    SINGLE_HEADS,
    MultiPose,
    Thunder,
    decode_multi,
    decode_single,
    find_peaks,
)


def random_maps(heads, seed, height, width, batch=2):
    """Maps as a network could give them: logits, vectors of a few cells, offsets of up to two."""
    random = np.random.default_rng(seed)
    scale = {"regression": 4, "offset": 1, "box_scale": 6, "box_offset": 1}
    return {
        name: torch.from_numpy(random.normal(0, scale.get(name, 2), (batch, channels, height, width))).float()
        for name, channels in heads.items()
    }


def numbers(maps, image):
    """The maps of one image as nested lists of floats."""
    return {name: value[image].double().numpy() for name, value in maps.items()}


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def cells(height, width):
    return [(y, x) for y in range(height) for x in range(width)]


def position(offset, joint, cell):
    """x and y in pixels."""
    y = 4 * (cell[0] + offset[2 * joint][cell])
    x = 4 * (cell[1] + offset[2 * joint + 1][cell])
    return x, y


# ------------------------------------------------------------------------------------------------------- one person


def single_by_loops(maps):
    """Position (x, y) in pixels and confidence of each joint."""
    _, height, width = maps["center"].shape

    def of_centre(cell):
        distance = math.hypot(cell[0] - height / 2, cell[1] - width / 2)
        return sigmoid(maps["center"][0][cell]) * float(np.float16(1 / (distance + 1.8)))

    centre = max(cells(height, width), key=of_centre)
    joints = []
    for joint in range(17):
        guess = [centre[axis] + maps["regression"][2 * joint + axis][centre] for axis in range(2)]

        def of_joint(cell, joint=joint, guess=guess):
            distance = math.hypot(cell[0] - guess[0], cell[1] - guess[1])
            return sigmoid(maps["heatmap"][joint][cell]) / (distance + float(np.float16(1.8)))

        best = max(cells(height, width), key=of_joint)
        joints.append((*position(maps["offset"], joint, best), sigmoid(maps["heatmap"][joint][best])))
    return np.array(joints)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(12, 12), (8, 14)])
def test_one_person_is_decoded_as_by_loops(seed, size):
    maps = random_maps(SINGLE_HEADS, seed, *size)
    xy, score = decode_single(maps)
    for image in range(2):
        expected = single_by_loops(numbers(maps, image))
        np.testing.assert_allclose(xy[image], expected[:, :2], atol=1e-3)
        np.testing.assert_allclose(score[image], expected[:, 2], atol=1e-5)


def test_of_two_people_the_one_in_the_middle_is_taken():
    maps = {name: torch.full((1, channels, 64, 64), -9.0) for name, channels in SINGLE_HEADS.items()}
    maps["regression"].zero_()
    maps["offset"].fill_(0.5)
    for y, x, confidence in ((30, 33, 1.0), (8, 50, 3.0)):
        maps["center"][0, 0, y, x] = confidence
        maps["heatmap"][0, :, y, x] = confidence
    xy, score = decode_single(maps)
    torch.testing.assert_close(xy, torch.tensor([134.0, 122.0]).expand(1, 17, 2))
    torch.testing.assert_close(score, torch.full((1, 17), sigmoid(1.0)))


# ---------------------------------------------------------------------------------------------------- several people


def multi_by_loops(maps):
    """Of each person, by descending confidence of the centre: joints, box and confidence."""
    _, height, width = maps["center"].shape
    places = cells(height, width)
    centres = {cell: sigmoid(maps["center"][0][cell]) for cell in places}

    def is_highest(cell):
        near = [other for other in places if max(abs(other[0] - cell[0]), abs(other[1] - cell[1])) <= 2]
        return max(centres[other] for other in near) - centres[cell] < 1.0132789611816406e-06

    found = sorted(filter(is_highest, places), key=lambda cell: -centres[cell])[:6]
    boxes = []
    for cell in found:
        middle = [cell[axis] + maps["box_offset"][axis][cell] for axis in range(2)]
        half = [max(maps["box_scale"][axis][cell], 0) / 2 for axis in range(2)]
        sides = (height, width)
        low = [min(max(middle[axis] - half[axis], 0), sides[axis]) for axis in range(2)]
        high = [min(max(middle[axis] + half[axis], 0), sides[axis]) for axis in range(2)]
        boxes.append((low, high))
    spread = 0.300048828125 * min(height, width)

    def weighted(person, joint, cell):
        low, high = boxes[person]
        if not all(low[axis] <= cell[axis] < high[axis] for axis in range(2)):
            return 0.0
        corner = found[person]
        guess = [corner[axis] + maps["regression"][2 * joint + axis][corner] for axis in range(2)]
        square = (cell[0] - guess[0]) ** 2 + (cell[1] - guess[1]) ** 2
        return sigmoid(maps["heatmap"][joint][cell]) * math.exp(-square / spread)

    people = []
    for person, cell in enumerate(found):
        joints = []
        for joint in range(17):
            best = max(places, key=lambda place, joint=joint, person=person: weighted(person, joint, place))
            score = max(weighted(other, joint, best) for other in range(len(found)))
            joints.append((*position(maps["offset"], joint, best), score))
        good = [score for *_, score in joints if score > 0.126953125]
        low, high = boxes[person]
        box = [4 * low[1], 4 * low[0], 4 * high[1], 4 * high[0]]
        people.append((joints, box, centres[cell] * (sum(good) / len(good) if good else 0)))
    return people


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(16, 16), (16, 24), (28, 12)])
def test_several_people_are_decoded_as_by_loops(seed, size):
    maps = random_maps(MULTI_HEADS, seed, *size)
    maps["box_scale"] += 8  # most boxes are large, some reach out of the image, some have no size
    xy, score, boxes, person = decode_multi(maps)
    for image in range(2):
        expected = multi_by_loops(numbers(maps, image))
        assert len(expected) == 6
        joints = np.array([each[0] for each in expected])
        np.testing.assert_allclose(xy[image], joints[..., :2], atol=1e-3)
        np.testing.assert_allclose(score[image], joints[..., 2], atol=1e-5)
        np.testing.assert_allclose(boxes[image], [each[1] for each in expected], atol=1e-3)
        np.testing.assert_allclose(person[image], [each[2] for each in expected], atol=1e-5)


def test_people_that_are_not_there_have_no_confidence():
    maps = random_maps(MULTI_HEADS, 0, 16, 16, batch=1)
    maps["center"].fill_(-30)
    maps["center"][0, 0, 4, 4] = 3
    maps["box_scale"].fill_(12)
    maps["box_offset"].zero_()
    *_, person = decode_multi(maps)
    assert person[0, 0] > 0.01 and (person[0, 1:] < 1e-6).all()


@pytest.mark.parametrize("people", [1, 4])
def test_fewer_people_are_the_first_of_more(people):
    """Their joints may have lower confidences: those are the largest of all people who are asked for."""
    maps = random_maps(MULTI_HEADS, 1, 16, 16)
    few = decode_multi(maps, people)
    many = decode_multi(maps)
    assert [value.shape[1] for value in few] == 4 * [people]
    torch.testing.assert_close(few[0], many[0][:, :people])
    torch.testing.assert_close(few[2], many[2][:, :people])
    assert (few[1] <= many[1][:, :people]).all()


# ----------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize(("network", "parameters"), [(Thunder, 6_226_046), (MultiPose, 4_723_346)])
def test_they_have_as_many_parameters_as_the_published_files(network, parameters):
    with torch.device("meta"):
        assert sum(value.numel() for value in network().parameters()) == parameters


@pytest.mark.parametrize(("network", "heads"), [(Thunder, SINGLE_HEADS), (MultiPose, MULTI_HEADS)])
def test_maps_are_a_quarter_of_the_image(network, heads):
    torch.manual_seed(0)
    maps = network().eval().maps(torch.zeros((2, 96, 64, 3), dtype=torch.uint8))
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        name: (2, channels, 24, 16) for name, channels in heads.items()
    }


def test_every_weight_of_the_network_learns():
    torch.manual_seed(0)
    network = MultiPose()
    maps = network.maps(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8))
    sum(value.square().sum() for value in maps.values()).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize(("stride", "size"), [(1, (8, 8)), (1, (7, 10)), (2, (8, 8)), (2, (6, 10))])
def test_convolutions_are_padded_as_in_tensorflow(stride, size):
    """SAME: the output has one cell for each stride, and of an odd number of zeros there is one more at the end."""
    torch.manual_seed(0)
    image = torch.randn(1, 2, *size)
    convolution = movenet.ConvolutionSame(2, 3, 3, stride=stride)
    padding = []
    for side in reversed(size):
        total = (math.ceil(side / stride) - 1) * stride + 3 - side
        padding += [total // 2, total - total // 2]
    expected = functional.conv2d(functional.pad(image, padding), convolution.weight, convolution.bias, stride)
    torch.testing.assert_close(convolution(image), expected)


@pytest.mark.parametrize(("channels", "rounded"), [(56.0, 56), (28.0, 32), (42.0, 40), (7.0, 8), (90.0, 88), (1.0, 8)])
def test_channels_are_multiples_of_eight(channels, rounded):
    assert movenet._round(channels) == rounded


def test_peaks_are_the_highest_maxima_of_each_heatmap():
    draw = np.random.default_rng(3)
    maps = {"heatmap": torch.from_numpy(draw.normal(0, 2, (2, 17, 12, 9)))}
    maps["offset"] = torch.from_numpy(draw.uniform(0, 1, (2, 34, 12, 9)))
    xy, score = find_peaks(maps)
    heatmap = 1 / (1 + np.exp(-maps["heatmap"].numpy()))
    for image, joint in np.ndindex(2, 17):
        found = []
        for y, x in np.ndindex(12, 9):
            around = heatmap[image, joint, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
            if heatmap[image, joint, y, x] == around.max():
                place = maps["offset"][image, 2 * joint : 2 * joint + 2, y, x].numpy() + np.array([y, x])
                found.append((around.max(), *4 * place[::-1]))
        best = np.array(sorted(found, reverse=True)[:4])
        np.testing.assert_allclose(score[image, joint, : len(best)], best[:, 0], atol=1e-6)
        np.testing.assert_allclose(xy[image, joint, : len(best)], best[:, 1:], atol=1e-4)
        assert (score[image, joint, len(best) :] == 0).all()
