import itertools

import numpy as np
import pytest

from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import H36M17, SKELETONS, WHOLEBODY133
from occlupose.viewer import overlay, style

PAIR = H36M17.subset(("left_elbow", "left_wrist"))
ELBOW = (100, 100)
WRIST = (300, 100)
PAPER = 90


def drawn(states: tuple[int, int], track_id: int = 0) -> np.ndarray:
    """A grey image of 400 x 200 with one forearm, level and 200 px long."""
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image, np.array([[ELBOW, WRIST]], float), np.array([states], np.uint8), np.array([track_id]), PAIR
    )
    return image


def touched(image: np.ndarray) -> np.ndarray:
    return (image != PAPER).any(-1)


def test_a_visible_joint_and_its_limb_are_solid():
    image = drawn((VISIBLE, VISIBLE))
    paint = style.side_colour(style.person_colour(0), "left_wrist")
    assert tuple(image[100, 300]) == paint
    assert (image[100, 115:285] == paint).all()


def test_an_occluded_joint_is_a_ring():
    image = drawn((VISIBLE, OCCLUDED))
    paint = style.side_colour(style.person_colour(0), "left_wrist")
    assert not touched(image)[99:102, 299:302].any()
    for row, column in ((1, 0), (-1, 0), (0, 1)):
        ray = [tuple(image[100 + row * step, 300 + column * step]) for step in range(20)]
        assert paint in ray and ray[-1] == (PAPER,) * 3


def test_a_limb_with_one_occluded_end_has_gaps():
    row = touched(drawn((VISIBLE, OCCLUDED)))[100, 115:285]
    dashes = (np.diff(row.astype(int)) == 1).sum()
    assert dashes >= 5 and 0.3 < row.mean() < 0.85


def test_an_absent_joint_and_its_limb_are_not_drawn():
    image = touched(drawn((VISIBLE, ABSENT)))
    assert image[100, 100] and not image[:, 130:].any()
    assert not touched(drawn((ABSENT, ABSENT))).any()


def test_a_joint_without_coordinates_counts_as_absent():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image, np.array([[ELBOW, (np.nan, np.nan)]]), np.full((1, 2), VISIBLE, np.uint8), np.array([0]), PAIR
    )
    assert np.array_equal(image, drawn((VISIBLE, ABSENT)))


def test_people_have_different_colours_and_always_the_same():
    joints = [tuple(drawn((VISIBLE, VISIBLE), track_id)[100, 300]) for track_id in range(2 * len(style.PALETTE))]
    far = min(np.abs(np.subtract(one, other, dtype=int)).max() for one, other in itertools.combinations(joints, 2))
    assert far >= 15
    assert tuple(drawn((VISIBLE, VISIBLE), 3)[100, 300]) == joints[3]


def test_numbers_may_be_left_out():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image,
        np.array([[ELBOW, WRIST]], float),
        np.full((1, 2), VISIBLE, np.uint8),
        np.array([0]),
        PAIR,
        numbered=False,
    )
    assert not touched(image)[:80].any() and touched(drawn((VISIBLE, VISIBLE)))[:80].any()
    assert np.array_equal(image[85:], drawn((VISIBLE, VISIBLE))[85:])


def test_left_is_lighter_than_right():
    base = style.person_colour(0)
    left = sum(style.side_colour(base, "left_wrist"))
    right = sum(style.side_colour(base, "right_wrist"))
    assert left > sum(base) > right
    assert style.side_colour(base, "pelvis") == base


def test_the_label_stands_above_the_highest_joint():
    box = (drawn((VISIBLE, VISIBLE), 5) == style.person_colour(5)).all(-1)
    rows, columns = np.nonzero(box[:80])
    assert len(rows) > 50 and abs(np.median(columns) - 100) < 20


def test_the_label_stays_in_the_image():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image, np.array([[(399, 2), (399, 100)]], float), np.full((1, 2), VISIBLE, np.uint8), np.array([1234]), PAIR
    )
    assert (image[:30] == style.person_colour(1234)).all(-1).sum() > 100


def test_a_person_outside_the_image_has_no_label():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image, np.array([[(-60, 100), (-50, 1e9)]]), np.full((1, 2), VISIBLE, np.uint8), np.array([0]), PAIR
    )
    assert not touched(image).any()


def test_a_short_occluded_limb_has_a_gap_too():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    overlay.draw_people(
        image, np.array([[(100, 100), (130, 100)]], float), np.full((1, 2), OCCLUDED, np.uint8), np.array([0]), PAIR
    )
    between = touched(image)[100, 108:123]
    assert between.any() and not between.all()


def test_the_nearer_person_covers_the_farther():
    xy = np.array([[ELBOW, WRIST]] * 2, float)
    state = np.full((2, 2), VISIBLE, np.uint8)
    for depth, front in (((2.0, 5.0), 0), ((5.0, 2.0), 1), ((np.nan, 2.0), 1)):
        image = np.full((200, 400, 3), PAPER, np.uint8)
        overlay.draw_people(image, xy, state, np.array([0, 1]), PAIR, np.array(depth))
        assert tuple(image[100, 300]) == style.side_colour(style.person_colour(front), "left_wrist")


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)
def test_every_skeleton_can_be_drawn(skeleton):
    xy = np.random.default_rng(0).uniform(-20, 220, (1, len(skeleton), 2))
    state = np.resize(np.array([0, 1, 2], np.uint8), (1, len(skeleton)))
    image = np.full((200, 200, 3), PAPER, np.uint8)
    overlay.draw_people(image, xy, state, np.array([2]), skeleton)
    assert touched(image).any()


@pytest.mark.parametrize("state", [VISIBLE, OCCLUDED])
def test_joints_of_the_face_are_small_and_those_of_its_outline_and_of_fingers_smaller(state):
    def size(name):
        joint = WHOLEBODY133.index(name)[0]
        states = np.zeros((1, len(WHOLEBODY133)), np.uint8)
        states[0, joint] = state
        xy = np.full((1, len(WHOLEBODY133), 2), np.nan)
        xy[0, joint] = 100, 150
        image = np.full((200, 200, 3), PAPER, np.uint8)
        overlay.draw_people(image, xy, states, np.array([0]), WHOLEBODY133, numbered=False)
        return touched(image).sum()

    assert size("left_thumb2") == size("chin") == size("left_hand_root")
    assert size("chin") < size("left_wrist") / 2
    if state == VISIBLE:
        assert size("chin") < size("nose") == size("left_heel") < size("left_wrist")


@pytest.mark.parametrize("state", [VISIBLE, OCCLUDED])
def test_limbs_of_fingers_are_thin(state):
    def paint(skeleton):
        image = np.full((200, 400, 3), PAPER, np.uint8)
        states = np.full((1, 2), state, np.uint8)
        overlay.draw_people(image, np.array([[ELBOW, WRIST]], float), states, np.array([0]), skeleton, numbered=False)
        return touched(image)[:, 150:250]

    thin = paint(WHOLEBODY133.subset(("left_thumb1", "left_thumb2")))
    assert thin.any() and thin.any(1).sum() < paint(PAIR).any(1).sum()


def test_larger_people_have_wider_limbs_and_larger_joints():
    def area(size):
        image = np.full((600, 600, 3), PAPER, np.uint8)
        xy = np.array([[(100, 100), (100 + size, 100)]], float)
        states = np.full((1, 2), VISIBLE, np.uint8)
        overlay.draw_people(image, xy, states, np.array([0]), PAIR, numbered=False)
        marks = touched(image)
        return marks[:, 100 + size // 2].sum(), marks.any(1).sum()

    small = area(100)
    large = area(450)
    assert large[0] > 1.5 * small[0] and large[1] > 1.5 * small[1]


def test_uncertainty_is_drawn_where_it_is_known():
    image = np.full((200, 400, 3), PAPER, np.uint8)
    states = np.full((1, 2), VISIBLE, np.uint8)
    spread = np.array([[np.nan, 15.0]])
    overlay.draw_people(image, np.array([[ELBOW, WRIST]], float), states, np.array([0]), PAIR, spread=spread)
    marks = touched(image)
    assert marks[75:125, 300].all() and not marks[:60, 250:].any() and not marks[140:, 280:].any()
    assert not marks[115:, :150].any()


def test_small_images_have_no_caption():
    image = np.full((120, 160, 3), PAPER, np.uint8)
    overlay.draw_caption(image, 3.5)
    assert not touched(image).any()


def test_the_caption_keeps_to_its_corners():
    image = np.full((360, 640, 3), PAPER, np.uint8)
    overlay.draw_caption(image, 3.5)
    marks = touched(image)
    assert marks[330:, :200].any() and marks[330:, 560:].any()
    assert not marks[:320].any() and not marks[:, 280:520].any()
    assert (image == 255).all(-1).any()


@pytest.mark.parametrize(
    ("time", "words"), [(0, "00:00.00"), (65.25, "01:05.25"), (59.999, "01:00.00"), (3661.5, "1:01:01.50")]
)
def test_clock(time, words):
    assert overlay.format_time(time) == words
