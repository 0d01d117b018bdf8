"""Boxes of tiles in the whole image, with a detector of bright rectangles."""

import cv2
import numpy as np
import pytest

from occlupose.detections import FrameBoxes
from occlupose.frontends.detector import detect_in_tiles
from occlupose.frontends.search import make_tiles, whole_image
from occlupose.pyramid import Pyramid


class Rectangles:
    """Finds bright rectangles, and cut off parts of them. Its confidence is their brightness."""

    side = 100

    def __init__(self):
        self.sizes = []

    def __call__(self, images):
        self.sizes += [image.shape[1::-1] for image in images]
        return [self.find(image) for image in images]

    def find(self, image):
        bright = image[..., 0] > 60
        stats = cv2.connectedComponentsWithStats(bright.astype(np.uint8))[2]
        left, top, width, height, _ = stats[1:].T
        edges = np.stack([left, top, left + width, top + height], 1) - 0.5
        score = [image[y, x, 0] / 255 for x, y in zip(left + width // 2, top + height // 2, strict=True)]
        return FrameBoxes(edges.astype(float).reshape(-1, 4), np.array(score, float))


class Fixed:
    """Finds these boxes anywhere."""

    side = 100

    def __init__(self, boxes, score):
        self.found = FrameBoxes(np.array(boxes, float), np.array(score, float))

    def __call__(self, images):
        return [self.found] * len(images)


def image(*boxes, width=400, height=300):
    pixels = np.zeros((height, width, 3), np.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        pixels[top:bottom, left:right] = 250 - 20 * number
    return Pyramid(pixels)


def test_each_is_found_once_in_the_whole_image_and_its_tiles():
    people = [(20, 40, 60, 140), (150, 100, 210, 240), (320, 20, 370, 120), (0, 200, 40, 300)]
    detector = Rectangles()
    tiles = [whole_image(400, 300), *make_tiles(400, 300)]
    found = detect_in_tiles(detector, image(*people), tiles)
    np.testing.assert_allclose(found.boxes, np.array(people) - 0.5, atol=4)  # a pixel of the whole image is 4 px
    assert (np.diff(found.score) <= 0).all()
    assert len(detector.sizes) == len(tiles) and max(max(size) for size in detector.sizes) == detector.side


def test_who_is_cut_off_by_a_tile_is_left_out_and_by_the_image_is_not():
    people = [(80, 20, 140, 80), (0, 40, 30, 90)]
    found = detect_in_tiles(Rectangles(), image(*people), [(0.0, 0.0, 100.0)])
    np.testing.assert_allclose(found.boxes, np.array(people[1:]) - 0.5, atol=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2000)])
def test_images_of_any_shape(size):
    width, height = size
    bright = image((0, 0, width, height), width=width, height=height)
    found = detect_in_tiles(Rectangles(), bright, [whole_image(width, height), *make_tiles(width, height)])
    np.testing.assert_allclose(found.boxes[0], [-0.5, -0.5, width - 0.5, height - 0.5])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_boxes_that_are_nowhere_are_left_out():
    right = (10, 20, 30, 60)
    wrong = [
        (np.nan, 20, 30, 60),
        (30, 20, 10, 60),
        (10, 20, 10, 60),
        (-300, -300, -200, -200),
        (1e300, 0, 2e300, 60),
    ]
    found = detect_in_tiles(Fixed([*wrong, right], [0.9] * 6), image(), [whole_image(400, 300)])
    np.testing.assert_allclose((found.boxes + 0.5) / 4, [np.array(right) + 0.5])
    unknown = detect_in_tiles(Fixed([right, (60, 20, 80, 60)], [np.nan, 0.4]), image(), [whole_image(400, 300)])
    assert unknown.score.tolist() == [0.4]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_boxes_end_with_the_image():
    found = detect_in_tiles(Fixed([(-20, 10, 30, np.inf)], [0.9]), image(), [whole_image(400, 300)])
    np.testing.assert_allclose(found.boxes, [[-0.5, 4 * 10.5 - 0.5, 4 * 30.5 - 0.5, 299.5]])


def test_no_tiles_at_all():
    assert len(detect_in_tiles(Rectangles(), image((10, 10, 50, 90)), [])) == 0
