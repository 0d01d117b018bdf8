import cv2
import numpy as np
import pytest

from occlupose.flow import FlowMeter
from occlupose.occlusion.evidence import OCCLUDED, VISIBLE, evidence, states
from occlupose.pyramid import Pyramid

BOX = np.array([[60, 40, 160, 168]], np.float32)  # side 128: the flow is computed at full size
SIDE = 128
JOINTS = np.array([[[80, 60], [140, 60], [110, 100], [90, 150], [130, 150]]], np.float32)
ONE = np.array([1])


def texture(height, width, seed=0, blur=3.0):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)).astype(np.float32), (0, 0), blur)
    grey = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def moved(image, shift, size=(240, 220)):
    """A window of this (width, height) on the image, its content moved by this much."""
    dx, dy = shift
    return cv2.warpAffine(image, np.array([[1, 0, dx - 40], [0, 1, dy - 40]], np.float32), size, flags=cv2.INTER_CUBIC)


def measure(*frames):
    """The answers for every frame of (image, boxes, xy, ids)."""
    meter = FlowMeter()
    answers = [meter.update(Pyramid(image), *people) for image, *people in frames]
    assert answers[0] is None
    return [*answers[1:], meter.finish()]


@pytest.mark.parametrize("shift", [(0, 0), (3.4, -1.7), (-6.2, 5.5), (10.3, 4.2)])
def test_moving_texture_gives_its_displacement(shift):
    world = texture(340, 340)
    first, _ = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, JOINTS + np.array(shift, np.float32), ONE))
    np.testing.assert_allclose(first.flow * SIDE, np.broadcast_to(shift, JOINTS.shape), atol=0.3)
    np.testing.assert_allclose(first.motion * SIDE, np.broadcast_to(shift, JOINTS.shape), atol=1e-4)


def test_a_large_person_is_measured_on_a_small_picture_in_full_size_units():
    world = texture(1400, 1400, blur=12.0)
    box, joints = BOX * 5, JOINTS * 5
    frames = [(moved(world, shift, (1200, 1100)), box, joints + np.array(shift, np.float32), ONE) for shift in ((0, 0), (17, -9))]
    first, _ = measure(*frames)
    np.testing.assert_allclose(first.flow * SIDE * 5, np.broadcast_to((17, -9), JOINTS.shape), atol=0.3 * 5)


def test_a_still_joint_on_a_moving_background_is_rejected_and_a_moving_one_is_kept():
    world = texture(340, 340, blur=6.0)
    shift = np.array([22, 0], np.float32)
    still = np.array([True, False, True, False, False])
    after = np.where(still[:, None], JOINTS, JOINTS + shift)
    first, _ = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, after, ONE))
    answer = states(evidence(np.full((1, 1, 5), 0.9), first.motion[None], first.flow[None]))
    np.testing.assert_array_equal(answer[0, 0], np.where(still, OCCLUDED, VISIBLE))


def test_the_last_frame_looks_back():
    world = texture(340, 340)
    shift = np.array([4, 2], np.float32)
    _, last = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, JOINTS + shift, ONE))
    np.testing.assert_allclose(last.flow * SIDE, np.broadcast_to(-shift, JOINTS.shape), atol=0.3)
    np.testing.assert_allclose(last.motion * SIDE, np.broadcast_to(-shift, JOINTS.shape), atol=1e-4)


def test_who_is_gone_in_the_next_frame_looks_back_and_who_stays_looks_ahead():
    world = texture(340, 340)
    pictures = [moved(world, shift) for shift in ((0, 0), (3, 0), (3, 5))]
    two = (np.repeat(BOX, 2, 0), np.repeat(JOINTS, 2, 0), np.array([1, 2]))
    answers = measure((pictures[0], *two), (pictures[1], *two), (pictures[2], BOX, JOINTS, ONE))
    np.testing.assert_allclose(answers[1].flow[0] * SIDE, np.broadcast_to((0, 5), JOINTS.shape[1:]), atol=0.3)
    np.testing.assert_allclose(answers[1].flow[1] * SIDE, np.broadcast_to((-3, 0), JOINTS.shape[1:]), atol=0.3)


def test_a_joint_missing_in_the_next_frame_looks_back_alone():
    world = texture(340, 340)
    pictures = [moved(world, shift) for shift in ((0, 0), (3, 0), (3, 5))]
    gone = JOINTS.copy()
    gone[0, 2] = np.nan
    _, middle, _ = measure((pictures[0], BOX, JOINTS, ONE), (pictures[1], BOX, JOINTS, ONE), (pictures[2], BOX, gone, ONE))
    np.testing.assert_allclose(middle.flow[0, [2, 3]] * SIDE, [[-3, 0], [0, 5]], atol=0.3)


def test_motion_follows_the_id_not_the_order():
    picture = moved(texture(340, 340), (0, 0))
    two = np.concatenate([JOINTS, JOINTS + 10])
    boxes = np.repeat(BOX, 2, 0)
    first, _ = measure((picture, boxes, two, np.array([1, 2])), (picture, boxes, two[::-1], np.array([2, 1])))
    np.testing.assert_array_equal(first.motion, 0)


@pytest.mark.parametrize("ids", [(np.array([1]), np.array([2])), (np.array([-1]), np.array([-1]))])
def test_strangers_and_the_unconfirmed_have_no_motion(ids):
    picture = moved(texture(340, 340), (0, 0))
    for answer in measure((picture, BOX, JOINTS, ids[0]), (picture, BOX, JOINTS, ids[1])):
        assert np.isnan(answer.motion).all() and np.isnan(answer.flow).all()


def test_a_joint_outside_the_picture_has_motion_but_no_flow():
    picture = moved(texture(340, 340), (0, 0))
    joints = JOINTS.copy()
    joints[0, 0] = (-30, 60)
    first, _ = measure((picture, BOX, joints, ONE), (picture, BOX, joints, ONE))
    assert np.isnan(first.flow[0, 0]).all() and not np.isnan(first.flow[0, 1:]).any()
    np.testing.assert_array_equal(first.motion, 0)


def test_nobody_and_boxes_outside_the_picture_are_no_error():
    picture = moved(texture(340, 340), (0, 0))
    nobody = (np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.int64))
    away = (picture, BOX + 5000, JOINTS + 5000, ONE)
    answers = measure((picture, *nobody), away, away)
    assert answers[0].flow.shape == (0, 5, 2)
    assert np.isnan(answers[1].flow).all()


def test_a_change_of_picture_size_breaks_the_flow():
    world = texture(340, 340)
    first, last = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, (0, 0), (200, 200)), BOX, JOINTS, ONE))
    assert np.isnan(first.motion).all() and np.isnan(last.motion).all()


def test_a_finished_meter_starts_afresh():
    picture = Pyramid(moved(texture(340, 340), (0, 0)))
    meter = FlowMeter()
    assert meter.finish() is None
    meter.update(picture, BOX, JOINTS, ONE)
    assert np.isnan(meter.finish().motion).all()
    assert meter.update(picture, BOX, JOINTS, ONE) is None
