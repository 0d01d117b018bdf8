"""A network with a known output: it finds the brightest point of a crop, and all joints are there."""

import numpy as np
import pytest

from occlupose.codecs.crops import Crop
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import BoxFrontend, estimate_regions, presence
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, WHOLEBODY133


class Brightest:
    """Its confidence is the brightness."""

    min_joint_confidence = 0.15

    def __init__(self, crop):
        self.crop = crop
        self.skeleton = COCO17
        self.shapes = []

    def __call__(self, crops):
        self.shapes.append(crops.shape)
        grey = crops[..., 0].reshape(len(crops), self.crop.width * self.crop.height)
        y, x = np.divmod(grey.argmax(-1), self.crop.width)
        return np.stack([x, y], -1)[:, None].repeat(17, 1).astype(float), grey.max(-1, initial=0)[:, None].repeat(
            17, 1
        ) / 255


def frame(*points, index=0, width=320, height=240):
    """Smooth spots of these places and values."""
    y, x = np.mgrid[:height, :width]
    spots = [value * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py, value in points]
    return Frame(index, index / 30, np.repeat(np.sum([0 * x, *spots], 0).round()[..., None], 3, -1).astype(np.uint8))


def given(*edges, score=0.7):
    return FrameBoxes(np.array(edges, float).reshape(-1, 4), np.full(len(edges), score))


def test_people_are_estimated_in_their_boxes_and_nowhere_else():
    network = Brightest(Crop(64, 128))
    boxes = {0: given((40, 60, 80, 140), (200, 20, 280, 180)), 2: given((40, 60, 80, 140))}
    frontend = BoxFrontend("eyes", network, boxes)
    people = frontend(frame((60, 100, 250), (240, 90, 200), (150, 200, 255)))
    np.testing.assert_allclose(people.xy[:, 0], [[60, 100], [240, 90]], atol=1)
    np.testing.assert_allclose(people.score[:, 0], [250 / 255, 200 / 255], atol=0.1)
    np.testing.assert_array_equal(people.boxes, boxes[0].boxes)
    np.testing.assert_allclose(people.box_score, 0.7)
    assert {array.dtype for array in (people.xy, people.score, people.boxes, people.box_score)} == {
        np.dtype(np.float32)
    }
    assert network.shapes == [(2, 128, 64, 3)]
    assert len(frontend(frame((60, 100, 250), index=1))) == 0
    assert len(frontend(frame((60, 100, 250), index=2))) == 1
    assert len(network.shapes) == 3 and (frontend.name, frontend.skeleton) == ("eyes", COCO17)
    assert frontend.min_joint_confidence == network.min_joint_confidence


def test_nothing_is_remembered():
    frontend = BoxFrontend("eyes", Brightest(Crop(64, 64)), {0: given((40, 60, 80, 140))})
    first = frontend(frame((60, 100, 250)))
    frontend(frame((200, 100, 250), index=1))
    frontend.reset()
    np.testing.assert_array_equal(frontend(frame((60, 100, 250))).xy, first.xy)


def test_joints_outside_the_image_have_less_confidence():
    class Quarter(Brightest):
        """A quarter of the way across."""

        def __call__(self, crops):
            return np.full((len(crops), 17, 2), [15.5, 31.5]), np.full((len(crops), 17), 0.9)

    boxes = {0: given((20, 60, 100, 140)), 1: given((-24.5, 60, 55.5, 140))}
    frontend = BoxFrontend("eyes", Quarter(Crop(64, 64, padding=1)), boxes)
    within = frontend(frame())
    beyond = frontend(frame(index=1))
    np.testing.assert_allclose(within.score, 0.9)
    # 4 px beyond the edge, a tenth of half the person's height
    np.testing.assert_allclose(beyond.xy[0, 0], [-4.5, 100])
    np.testing.assert_allclose(beyond.score, 0.9 * np.exp(-1 / 2), rtol=1e-5)


def test_presence_is_the_confidence_of_the_better_half_of_the_joints_and_the_next_box_is_around_the_visible_ones():
    class Half(Brightest):
        def __call__(self, crops):
            xy = np.zeros((len(crops), 17, 2))
            xy[:, :9] = np.linspace([20, 20], [40, 44], 9)
            return xy, np.repeat([[0.9] * 9 + [0.1] * 8], len(crops), 0)

    crop = Crop(64, 64, padding=1)
    seen = estimate_regions(
        Half(crop), Pyramid(frame((5, 5, 9)).image), crop.regions(np.array([[-0.5, -0.5, 63.5, 63.5]]))
    )
    np.testing.assert_allclose(seen.presence, 0.9)
    np.testing.assert_allclose(seen.regions, [[30, 32, 30, 20]])  # round (20, 20) to (40, 44)


def test_faces_and_hands_do_not_count_where_the_body_is_there():
    score = np.full((1, 133), 0.1)
    score[0, :9] = 0.8
    score[0, 9:17] = 0.3
    np.testing.assert_allclose(presence(score, WHOLEBODY133), 0.8)
    np.testing.assert_allclose(presence(score[:, :17], COCO17), 0.8)
    np.testing.assert_allclose(presence(np.array([[0.1, 0.2, 0.6, 0.8]]), COCO17.subset(COCO17.joints[:4])), 0.7)
    assert presence(np.zeros((0, 133)), WHOLEBODY133).shape == (0,)


def test_boxes_and_mirror_images_are_not_for_everybody(tmp_path):
    with pytest.raises(
        OccluposeError,
        match=r"^blazepose: detects people by itself and takes no boxes; give movenet-occlusion or movenet, a \.safe",
    ):
        build_frontend("blazepose", boxes={})
    for name in ("blazepose", "pose.onnx"):
        with pytest.raises(OccluposeError, match=rf"^{name}: has no flip; leave it out, or give a \.safetensors file"):
            build_frontend(name, flip=True)
