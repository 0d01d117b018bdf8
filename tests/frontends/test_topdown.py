"""The bookkeeping between frames, with an estimator of known people: discs of one grey level each on black."""

from dataclasses import replace

import numpy as np
import pytest

from occlupose.codecs.crops import similarity
from occlupose.frontends.topdown import (
    ESTABLISHED_AGE,
    KNOWN_SIMILARITY,
    RegionEstimates,
    TopDown,
    make_detections,
    state_probability,
)
from occlupose.media import Frame
from occlupose.skeletons import COCO17

HEAD = [[0, -0.9], [0.03, -0.93], [-0.03, -0.93], [0.07, -0.9], [-0.07, -0.9]]
ARMS = [[0.2, -0.6], [-0.2, -0.6], [0.25, -0.3], [-0.25, -0.3], [0.25, 0], [-0.25, 0]]
LEGS = [[0.12, 0], [-0.12, 0], [0.12, 0.45], [-0.12, 0.45], [0.12, 0.9], [-0.12, 0.9]]
STANDING = np.array([*HEAD, *ARMS, *LEGS])


class Discs(TopDown):
    """Finds bright discs of 20 px radius: detector and keypoint network for people drawn as discs."""

    name = "discs"
    skeleton = COCO17
    min_tile = 0
    tile_overlap = 0.5

    def __init__(self, **options):
        self.searches = []
        super().__init__(**options)

    def find(self, pyramid, tiles, known, *, hide=False):
        self.searches.append((len(tiles), hide))
        image = pyramid.crop(np.eye(3)[:2], *pyramid.size)[..., 0]
        found = []
        for level in np.unique(image[image > 0]):
            y, x = np.nonzero(image == level)
            if any(left <= x.mean() < left + side and top <= y.mean() < top + side for left, top, side in tiles):
                # rough, as a detector's regions are
                found.append([x.mean() + 3, y.mean() - 3, x.mean() + 3, y.mean() - 43])
        regions = np.array(found).reshape(-1, 4)
        new = regions[similarity(regions[:, None], known.regions).max(1, initial=0) < KNOWN_SIMILARITY]
        return new, np.full(len(new), np.nan)

    def estimate(self, pyramid, regions):
        image = pyramid.crop(np.eye(3)[:2], *pyramid.size)[..., 0]
        centres = []
        presence = []
        for x, y in regions[:, :2]:
            level = image[int(np.clip(y, 0, image.shape[0] - 1)), int(np.clip(x, 0, image.shape[1] - 1))]
            there = np.nonzero(image == level)
            centres.append([there[1].mean(), there[0].mean()] if level else [x, y])
            presence.append(float(level > 0))
        centre = np.array(centres).reshape(-1, 1, 2)
        xy = centre + 40 * STANDING
        top = centre - np.array([0, 40])
        return RegionEstimates(
            xy, np.full(xy.shape[:2], 0.9), np.array(presence), np.concatenate([centre, top], 1).reshape(-1, 4)
        )


def frame(index, *discs, width=320, height=240):
    image = np.zeros((height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    for level, (cx, cy) in zip((100, 150, 200), discs, strict=False):
        image[(x - cx) ** 2 + (y - cy) ** 2 <= 20**2] = level
    return Frame(index, index / 30, image)


def centres(people):
    return sorted(people.xy[:, COCO17.index("left_hip", "right_hip")].mean(1).round().astype(int).tolist())


def test_everybody_is_found_once_and_followed():
    frontend = Discs()
    for index in range(30):
        people = frontend(frame(index, (60 + 3 * index, 100), (250, 150)))
        assert centres(people) == sorted([[60 + 3 * index, 100], [250, 150]])
    assert people.xy.dtype == people.score.dtype == people.boxes.dtype == people.box_score.dtype == np.float32
    assert ((people.boxes[:, None, :2] <= people.xy) & (people.xy <= people.boxes[:, None, 2:])).all()


def test_the_whole_image_is_searched_first_and_now_and_then_and_tiles_between():
    frontend = Discs(detect_every=10 / 30, search_every=3 / 30)
    counts = []
    for index in range(20):
        before = len(frontend.searches)
        frontend(frame(index, (60, 100)))
        counts.append([tiles for tiles, _ in frontend.searches[before:]])
    assert counts[0] == [1 + 6 + 35, 1]  # whole and tiles, around the person
    assert counts[1:] == [[1] if index in (3, 6, 9, 10, 13, 16, 19) else [] for index in range(1, 20)]


def test_small_tiles_of_a_video_are_searched_one_by_one_after_its_first_frame():
    frontend = Discs(detect_every=1000, search_every=1 / 30)
    for index in range(1 + 35 + 2):
        frontend(replace(frame(index, (60, 100)), continues=True))
    assert frontend.searches[0] == (1 + 6, False)
    assert frontend.searches[2:37] == [(1, False)] * 35
    assert (1, True) in frontend.searches[37:]


def test_a_newcomer_is_found_by_a_tile_long_before_the_whole_image_is_searched():
    frontend = Discs(detect_every=1000)
    for index in range(5):
        frontend(frame(index, (60, 100)))
    seen = [len(frontend(frame(5 + index, (60, 100), (250, 150)))) for index in range(12)]
    assert seen[0] == 1
    assert seen[-1] == 2


def test_a_lost_person_is_searched_for_at_once_and_again_later():
    frontend = Discs(detect_every=1000, tiled=False)
    frontend(frame(0, (60, 100), (250, 150)))
    assert centres(frontend(frame(1, (60, 100)))) == [[60, 100]]
    assert centres(frontend(frame(2, (60, 100)))) == [[60, 100]]
    seen = [len(frontend(frame(3 + index, (60, 100), (250, 150)))) for index in range(4)]
    assert seen[-1] == 2


def test_two_who_become_one_are_one():
    frontend = Discs()
    frontend(frame(0, (100, 100), (145, 100)))
    frontend(frame(1, (100, 100), (101, 100)))  # one hides the other
    assert len(frontend(frame(2, (101, 100)))) == 1


def test_at_most_max_people():
    assert len(Discs(max_people=1)(frame(0, (60, 100), (250, 150)))) == 1


def test_reset_and_another_size_start_again():
    frontend = Discs(detect_every=1000, search_every=1000)
    frontend(frame(0, (60, 100)))
    assert len(frontend(frame(1, (250, 150)))) == 0  # moved too far to be followed, nothing is due
    frontend.reset()
    assert centres(frontend(frame(2, (250, 150)))) == [[250, 150]]
    assert centres(frontend(frame(3, (60, 60), width=200, height=200))) == [[60, 60]]


def test_joints_beyond_the_edge_have_no_confidence():
    people = Discs()(frame(0, (60, 218)))  # ankles at 254, of 240 rows
    ankles = COCO17.index("left_ankle", "right_ankle")
    shoulders = COCO17.index("left_shoulder", "right_shoulder")
    np.testing.assert_allclose(people.score[0, shoulders], 0.9, rtol=1e-6)
    assert (people.score[0, ankles] < 0.02).all()


def poses(*people):
    """Rows of (x, y, radius, score)."""
    x, y, size, score = np.array(people, float).T
    xy = np.stack([x, y], -1)[:, None] + size[:, None, None] * STANDING
    regions = np.stack([x, y, x, y - size], -1)
    return RegionEstimates(xy, np.repeat(score[:, None], 17, 1), np.ones(len(score)), regions)


@pytest.mark.parametrize(
    ("people", "kept"),
    [
        ([(100, 100, 50, 0.8), (102, 101, 51, 0.9)], [1]),  # the same person twice
        ([(100, 100, 50, 0.9), (125, 100, 50, 0.8)], [0, 1]),  # side by side, overlapping
        ([(100, 100, 80, 0.9), (100, 128 - 80, 31, 0.8)], [0]),  # a trunk taken for a body
        ([(100, 100, 80, 0.85), (110, 130, 30, 0.99)], [1, 0]),  # a child before an adult
        ([(100, 100, 80, 0.9), (100, 64, 40, 0.98)], [1, 0]),  # two bodies whose heads are in one place
        ([(100, 100, 80, 0.9), (300, 100, 30, 0.5)], [0, 1]),
    ],
)
def test_who_is_distinct(people, kept):
    assert Discs()._distinct(poses(*people), 0.5) == kept


def test_who_was_followed_for_long_stays():
    ghost = (100, 100, 80, 0.99)
    player = (100, 128 - 80, 31, 0.8)
    estimate = poses(ghost, player)
    for ages, kept in (
        ((0, ESTABLISHED_AGE), [1, 0]),
        ((0, ESTABLISHED_AGE - 1), [0]),
        ((ESTABLISHED_AGE, ESTABLISHED_AGE), [0, 1]),
        ((ESTABLISHED_AGE, 0), [0]),
    ):
        assert Discs()._distinct(replace(estimate, age=np.array(ages)), 0.5) == kept
    double = poses((102, 101, 51, 0.9), (100, 100, 50, 0.8))
    assert Discs()._distinct(replace(double, age=np.array([0, ESTABLISHED_AGE])), 0.5) == [1]


def test_frames_are_counted_for_each_person():
    frontend = Discs()
    for index in range(20):
        frontend(frame(index, (60, 100), *[(250, 150)] * (index > 3)))
    assert sorted(frontend._age) == [9, 19]  # found when the whole image is searched, after a third of a second


def test_nobody():
    people = Discs()(frame(0))
    assert (people.xy.shape, people.score.shape, people.boxes.shape, people.box_score.shape) == (
        (0, 17, 2),
        (0, 17),
        (0, 4),
        (0,),
    )


def test_the_best_rejected_person_is_known():
    class Uncertain(Discs):
        def estimate(self, pyramid, regions):
            estimates = super().estimate(pyramid, regions)
            return replace(estimates, presence=0.3 * estimates.presence)

    frontend = Uncertain()
    assert frontend.best_rejected == 0
    assert len(frontend(frame(0, (100, 100)))) == 0
    assert frontend.best_rejected == pytest.approx(0.3)
    frontend.reset()
    assert frontend.best_rejected == 0


def test_guessed_joints_do_not_make_two_people_one():
    frontend = Discs()
    xy = np.stack([100 + 40 * STANDING, 100 + 40 * STANDING])
    xy[1, :6] += 60
    regions = np.array([[100.0, 100, 100, 60]] * 2)
    certain = RegionEstimates(xy, np.full((2, 17), 0.9), np.ones(2), regions)
    guessed = replace(certain, score=np.concatenate([certain.score[:1], certain.score[1:] * (np.arange(17) < 6)]))
    assert frontend._distinct(certain, 0.5) == [0]
    assert frontend._distinct(guessed, 0.5) == [0, 1]


# ------------------------------------------------------------------------------------------------- states of joints


@pytest.mark.parametrize(
    "x, outside",
    [(50.0, 0.0), (-0.5, 0.5), (99.5, 0.5), (-10.5, 0.8413), (-300.0, 1.0)],
)
def test_a_hidden_joint_is_outside_as_far_as_its_spread_reaches_there(x, outside):
    """An image of 100 x 100 px ends at -0.5 and 99.5; the spread is 10 px, so 10 px are one standard deviation."""
    xy = np.array([[[x, 50.0]]])
    visible = np.array([[0.25]])
    absent, occluded, seen = state_probability(xy, visible, np.array([[10.0]]), (100, 100))[0, 0]
    assert absent == pytest.approx(0.75 * outside, abs=1e-3)
    assert absent + occluded + seen == pytest.approx(1) and seen == 0.25


def test_without_a_spread_nothing_is_said_of_the_states():
    found = state_probability(np.zeros((1, 17, 2)), np.full((1, 17), 0.5), np.full((1, 17), np.nan), (100, 100))
    assert np.isnan(found).all()


def test_detections_have_the_spread_and_the_probabilities():
    xy = np.random.default_rng(0).uniform(20, 80, (2, 17, 2))
    regions = np.tile([50.0, 50, 50, 10], (2, 1))
    peak_score = np.full((2, 17), 0.9)
    peak_score[0, 3] = 0
    estimates = RegionEstimates(
        *(xy, np.full((2, 17), 0.8), np.ones(2), regions),
        peak_score=peak_score,
        place=xy + 1,
        spread=np.full((2, 17), 3.0),
    )
    found = make_detections(estimates, COCO17, (100, 100))
    assert found.spread[0, 3] == 3 and np.isnan(found.spread).sum() == 33  # of inferred joints alone
    np.testing.assert_allclose(found.probability[..., 2], found.score)
    np.testing.assert_allclose(found.probability.sum(-1), 1, atol=1e-6)
