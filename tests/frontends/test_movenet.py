"""The front ends movenet and movenet-multipose on images whose people are known."""

import resource
import sys

import cv2
import numpy as np
import pytest

from occlupose import run
from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import TopDownFrontend
from occlupose.frontends.movenet import APART, VISIBILITY, MoveNetThunder, combine, peak_share
from occlupose.frontends.nanodet import NanoDetector
from occlupose.media import Frame, VideoWriter
from occlupose.methods.oanet.estimator import OANet
from pasted_people import PERSON, crowd, found, frames, grey, paste, scaled

NAMES = ["movenet", "movenet-occlusion", "movenet-multipose"]
SIZES = [(1, 1), (2, 2), (3, 2000), (2000, 3), (640, 480)]


@pytest.fixture(scope="module")
def loaded():
    return {name: build_frontend(name) for name in NAMES}


@pytest.fixture(params=NAMES)
def either(loaded, request):
    loaded[request.param].reset()
    return loaded[request.param]


@pytest.fixture
def movenet(loaded):
    loaded["movenet"].reset()
    return loaded["movenet"]


class Fixed:
    """A detector with the same boxes in every tile."""

    side = 416

    def __init__(self, *boxes, score=0.9):
        self.boxes = np.array(boxes, float).reshape(-1, 4)
        self.score = np.full(len(self.boxes), score)

    def __call__(self, images):
        return [FrameBoxes(self.boxes, self.score) for _ in images]


# ------------------------------------------------------------------------------------------- images of any size


@pytest.mark.parametrize("size", SIZES)
def test_nobody_is_found_where_nobody_is(either, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for image in (grey(*size), noise):
        either.reset()
        people = either(Frame(0, 0.0, image))
        assert len(people) == 0 and people.xy.shape == (0, len(either.skeleton), 2)
        assert 0 <= either.best_rejected < 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_a_person_in_a_huge_image(movenet):
    """Tiles are shares of the image, so there are as many in any image; they are shrunk before they are searched."""
    image = grey(10_000, 10_000)
    body = paste(image, scaled(400), 3100, 6200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    people = movenet(Frame(0, 0.0, image))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert len(people) == 1 and found(people.boxes, body[None]) == 1
    # its pyramid is a third of the image
    assert grown < image.nbytes


HAND = np.s_[54:72, 28:44]
"""The woman's left hand in PERSON."""


def test_what_is_no_whole_person_has_low_confidence(either):
    """A hand, and somebody upside down, if anybody is found there at all; nobody in a black or white image."""
    upright = grey(640, 480)
    paste(upright, scaled(300), 200, 60)
    whole = either(Frame(0, 0.0, upright)).box_score.max()
    hand = grey(640, 480)
    hand[100:300, 200:380] = cv2.resize(PERSON[HAND], (180, 200))
    for image in (hand, np.ascontiguousarray(upright[::-1])):
        either.reset()
        assert either(Frame(0, 0.0, image)).box_score.max(initial=0) < whole
    for value in (0, 255):
        either.reset()
        assert len(either(Frame(0, 0.0, np.full((480, 640, 3), value, np.uint8)))) == 0


def test_covered_legs_are_hidden(loaded):
    """A board before her legs: their joints are inferred below her hips, and are hardly visible."""
    frontend = loaded["movenet-occlusion"]
    frontend.reset()
    image = grey(640, 480)
    body = paste(image, scaled(400), 250, 30)
    legs = frontend.skeleton.index("left_knee", "right_knee", "left_ankle", "right_ankle")
    before = frontend(Frame(0, 0.0, image))
    covered = image.copy()
    covered[int(body[1] + 0.6 * (body[3] - body[1])) :, 150:500] = (120, 90, 60)
    frontend.reset()
    people = frontend(Frame(0, 0.0, covered))
    assert len(before) == len(people) == 1
    assert (before.score[0, legs] > 0.6).all() and (people.score[0, legs] < 0.5).all()
    assert (people.probability[0, legs].sum(-1) > 0.99).all()
    hips = frontend.skeleton.index("left_hip", "right_hip")
    assert people.xy[0, legs, 1].min() > before.xy[0, hips, 1].max()
    knees = legs[:2]
    size = body[3] - body[1]
    assert np.linalg.norm(people.xy[0, knees] - before.xy[0, knees], axis=-1).max() < 0.2 * size


def test_keypoints_go_from_their_peak_to_their_place_without_a_jump():
    place = np.zeros((1, 2000, 2))
    apart = np.linspace(0, 2 * APART[0], 2000)
    peak = np.stack([apart, np.zeros(2000)], -1)[None]
    sure = combine(peak_share(peak, np.ones((1, 2000)), place), peak, place)[0]
    assert (sure[apart <= APART[1]] == peak[0, apart <= APART[1]]).all() and (sure[apart >= APART[0]] == 0).all()
    visible = np.linspace(0, 1, 2000)
    near = np.tile([4.0, 0], (1, 2000, 1))
    doubtful = combine(peak_share(near, visible[None], place), near, place)[0]
    assert (doubtful[visible >= VISIBILITY[1]] == near[0, 0]).all() and (doubtful[visible <= VISIBILITY[0]] == 0).all()
    for xy in (sure, doubtful):
        assert np.abs(np.diff(xy, axis=0)).max() < 0.05


def test_frames_whose_size_changes(either):
    for number, (width, height) in enumerate([(640, 480), (480, 640), (320, 240), (640, 480)]):
        image = grey(width, height)
        body = paste(image, scaled(200), 100, 20)
        people = either(Frame(number, number / 25, image))
        assert found(people.boxes, body[None]) == 1
        assert (people.boxes[:, :2] < (width, height)).all() and (people.boxes[:, 2:] > 0).all()


# ------------------------------------------------------------------------------------------- many and small people


@pytest.mark.slow
def test_a_crowd(movenet):
    image, bodies = crowd(100, 10, 6, 1000, 750)
    people = movenet(Frame(0, 0.0, image))
    assert len(people) <= 60  # nobody twice
    assert found(people.boxes, bodies) >= 57


def test_multipose_finds_six_of_a_crowd(loaded):
    image, bodies = crowd(100, 10, 6, 640, 640)
    people = loaded["movenet-multipose"](Frame(0, 0.0, image))
    assert len(people) == found(people.boxes, bodies) == 6


def test_small_people_are_found_by_tiles():
    """Of 40 px in 1280, NanoDet has 13 in the whole image and 35 in the smallest tiles; it was trained on people of 30
    and more.
    """
    image, bodies = crowd(40, 5, 3, 1280, 720)
    networks = MoveNetThunder(), NanoDetector()
    tiled = TopDownFrontend("tiled", *networks)(Frame(0, 0.0, image))
    whole = TopDownFrontend("whole", *networks, tiled=False)(Frame(0, 0.0, image))
    assert found(tiled.boxes, bodies) >= 8 > 0 == found(whole.boxes, bodies)


def test_people_of_20_px_do_no_harm(either):
    image, bodies = crowd(20, 5, 3, 640, 480)
    people = either(Frame(0, 0.0, image))
    assert len(people) <= len(bodies) and np.isfinite(people.xy).all()


def test_at_most_as_many_people_as_asked_for():
    image, bodies = crowd(200, 3, 1, 640, 300)
    one = TopDownFrontend("one", MoveNetThunder(), NanoDetector(), max_people=1)
    for frame in frames([image] * 3):
        people = one(frame)
        assert len(people) == found(people.boxes, bodies) == 1


# ------------------------------------------------------------------------------------------------ unusable boxes


NOWHERE = [
    [(np.nan, 0, 50, 90)],
    [(10, 10, 10, 10)],
    [(60, 90, 20, 30)],
    [(-500, -500, -400, -300)],
    [(5000, 5000, 5100, 5200)],
    [(1e300, 1e300, 1.1e300, 1.1e300)],
]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("boxes", [[], *NOWHERE])
def test_boxes_of_a_detector_that_are_nowhere_are_left_out(boxes):
    image = grey(640, 480)
    body = paste(image, scaled(220), 300, 100)
    for expected, given in ((0, boxes), (1, [*boxes, body])):
        frontend = build_frontend("movenet", detector=Fixed(*given))
        for frame in frames([image] * 2):
            people = frontend(frame)
            assert len(people) == found(people.boxes, body[None]) == expected


def test_a_box_whose_score_is_no_number_is_left_out():
    image = grey(640, 480)
    body = paste(image, scaled(220), 300, 100)
    assert len(build_frontend("movenet", detector=Fixed(body, score=np.nan))(Frame(0, 0.0, image))) == 0


@pytest.mark.parametrize("boxes", [NOWHERE[0], NOWHERE[1], NOWHERE[2], NOWHERE[5]])
def test_given_boxes_that_nobody_can_be_in_are_refused(boxes):
    given = {3: FrameBoxes(np.array([(1, 2, 30, 60), *boxes], float), np.ones(2))}
    with pytest.raises(OccluposeError, match=r"boxes of frame 3: .*; give left, top, right, bottom"):
        build_frontend("movenet", boxes=given)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", ["movenet", "movenet-occlusion"])
def test_given_boxes_outside_the_image_have_nobody_with_confidence(name):
    given = {0: FrameBoxes(np.array([NOWHERE[3][0], NOWHERE[4][0]], float), np.ones(2))}
    people = build_frontend(name, boxes=given)(Frame(0, 0.0, grey(640, 480)))
    assert len(people) == 2 and people.score.max() < 0.1


# ------------------------------------------------------------------------------------------------------ devices


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", ["nope", "meta", "cuda:99"])
def test_a_device_that_is_not_there(name, device):
    with pytest.raises(OccluposeError, match=f"^device {device}: .*; give cpu$"):
        build_frontend(name, device=device)


# ---------------------------------------------------------------------------------------------------- following


def tracks(folder, images):
    """Poses with everybody's way, by the whole of OANet."""
    height, width = images[0].shape[:2]
    with VideoWriter(folder / "a.mp4", width, height, fps=25) as video:
        for image in images:
            video.write(image)
    return run(folder / "a.mp4", OANet())


def middles(poses):
    """x of the middle of the hips and shoulders of each person, px; NaN in frames without them."""
    trunk = poses.observed.skeleton.index("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    return poses.observed.xy[:, :, list(trunk), 0].mean(-1)


@pytest.mark.slow
def test_people_who_stand_still_stay_who_they_are(tmp_path):
    image, bodies = crowd(220, 3, 1, 800, 320)
    poses = tracks(tmp_path, [image] * 30)
    x = middles(poses)
    assert poses.track_id.tolist() == [1, 2, 3] and x.shape == (30, 3)
    expected = (bodies[:, 0] + bodies[:, 2]) / 2
    np.testing.assert_allclose(np.sort(x, 1), np.tile(expected, (30, 1)), atol=10)
    assert (np.abs(x - x[0]) < 4).all()  # each is where they were


def test_a_person_who_moves_is_followed(tmp_path):
    images = []
    expected = []
    for number in range(30):
        images.append(grey(640, 320))
        body = paste(images[-1], scaled(220), 40 + 10 * number, 40)
        expected.append((body[0] + body[2]) / 2)
    poses = tracks(tmp_path, images)
    assert poses.track_id.tolist() == [1]
    np.testing.assert_allclose(middles(poses)[:, 0], expected, atol=12)


@pytest.mark.slow
def test_two_people_who_cross_are_two_afterwards_and_who_they_were(tmp_path):
    """The one behind has other colours, and is hidden as a whole for some frames."""
    near = scaled(220)
    far = near[..., ::-1]
    images = []
    expected = []
    for number in range(75):
        images.append(grey(800, 320))
        bodies = [paste(images[-1], far, 640 - 8 * number, 40), paste(images[-1], near, 40 + 8 * number, 44)]
        expected.append([(body[0] + body[2]) / 2 for body in bodies])
    x = middles(tracks(tmp_path, images))
    assert x.shape == (75, 2)
    hidden = np.isnan(x).any(1)
    assert 0 < hidden.sum() <= 20 and not hidden[:25].any() and not hidden[50:].any()
    apart = np.abs(np.diff(expected, axis=1)[:, 0]) > 120
    order = [1, 0] if x[0, 0] < x[0, 1] else [0, 1]
    np.testing.assert_allclose(x[apart][:, order], np.array(expected)[apart], atol=15)
