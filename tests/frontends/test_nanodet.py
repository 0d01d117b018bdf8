"""NanoDet as a detector: a pasted person in images of many sizes."""

import numpy as np
import pytest

from occlupose.frontends.nanodet import NanoDetector
from pasted_people import found, grey, paste, scaled


@pytest.fixture(scope="module")
def detector():
    return NanoDetector(threads=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 2000), (2000, 3), (33, 32), (416, 416)])
def test_nobody_is_found_where_nobody_is(detector, size):
    assert [len(each) for each in detector([grey(*size), np.zeros((size[1], size[0], 3), np.uint8)])] == [0, 0]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (416, 416), (501, 333)])
def test_boxes_are_in_the_image_whatever_is_found(size):
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    everything = NanoDetector(threads=1, min_score=0.001)([noise])[0]
    assert len(everything) > 0
    assert_inside(everything, size)


def assert_inside(people, size):
    low = people.boxes[:, :2]
    high = people.boxes[:, 2:]
    assert (low >= -0.5).all() and (high <= np.array(size) - 0.5).all() and (low <= high).all()
    assert (people.score <= 1).all() and (np.diff(people.score) <= 0).all()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (300, 300), (416, 416), (1400, 700)])
@pytest.mark.parametrize("place", [(0, 0), (0.5, 0.3), (1, 1)])
def test_a_person_is_found_anywhere(detector, size, place):
    image = grey(*size)
    person = scaled(0.6 * min(size))
    left = round(place[0] * (size[0] - person.shape[1]))
    top = round(place[1] * (size[1] - person.shape[0]))
    body = paste(image, person, left, top)
    people = detector([image])[0]
    assert found(people.boxes[:1], body[None]) == 1  # the most confident box is hers
    assert_inside(people, size)


def test_images_are_independent_of_each_other(detector):
    images = []
    for width in (300, 500):
        images.append(grey(width, 400))
        paste(images[-1], scaled(250), 80, 60)
    together = detector(images)
    for image, boxes in zip(images, together, strict=True):
        alone = detector([image])[0]
        np.testing.assert_array_equal(boxes.boxes, alone.boxes)
    assert detector([]) == []


def test_a_lower_threshold_finds_no_fewer(detector):
    image = grey(640, 480)
    paste(image, scaled(40), 300, 200)
    counts = [len(NanoDetector(threads=1, min_score=score)([image])[0]) for score in (0.05, 0.4, 0.999)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0 == counts[-1]
