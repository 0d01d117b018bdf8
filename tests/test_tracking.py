from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clothed_people import BLACK, BODY, GREEN, RED, WHITE, people, picture, without
from occlupose.tracking import Tracker

FPS = 30
TWICE = 0.02  # s: a person who is seen in two frames of these is confirmed
SEEDS = st.integers(0, 2**32 - 1)


def update_ids(tracker, detections, time, image=None):
    """The ids of a frame's people, as far as they are known at once."""
    return tracker.update(detections, time, image).ids


def positions_at(time):
    """Two people who walk towards each other at 200 px (one box side) a second, and meet after 2 s."""
    return (100 + 200 * time, 300), (900 - 200 * time, 310)


@pytest.mark.parametrize("gap", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("hidden", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("fps", [10, 30])
def test_people_who_cross_keep_their_ids(gap, hidden, fps):
    tracker = Tracker(min_duration=TWICE)
    jitter = np.random.default_rng(0)
    for frame in range(4 * fps):
        time = frame / fps
        detections = people(*positions_at(time), jitter=jitter)
        ids = update_ids(tracker, without(detections, *hidden) if abs(time - 2) < gap / 2 else detections, time)
        if frame >= 1 and abs(time - 2) > max(gap / 2, 0.2) + 1e-6:
            np.testing.assert_array_equal(ids, [1, 2])


def test_a_new_person_has_an_id_once_confirmed_and_in_hindsight_from_the_first_frame():
    tracker = Tracker(min_duration=0.2)
    seen = [tracker.update(people((100 + frame, 300), (600, 300)), frame / FPS) for frame in range(6)]
    assert [who.ids.tolist() for who in seen] == [[-1, -1]] * 6
    seen.append(tracker.update(people((106, 300), (600, 300), (900, 300)), 6 / FPS))
    assert [who.ids.tolist() for who in seen] == [[1, 2]] * 6 + [[1, 2, -1]]
    assert [who.track_numbers.tolist() for who in seen] == [[1, 2]] * 6 + [[1, 2, 3]]


@pytest.mark.parametrize(
    ("frames", "fps", "expected"), [(6, 30, -1), (7, 30, 1), (12, 60, -1), (13, 60, 1), (1, 2, -1), (2, 2, 1)]
)
def test_a_ghost_of_less_than_the_time_to_confirm_has_no_id_and_uses_none_up(frames, fps, expected):
    tracker = Tracker(min_duration=0.2)
    seen = [tracker.update(people((100, 300)) if frame < frames else people(), frame / fps) for frame in range(2 * fps)]
    assert all(who.ids.tolist() == [expected] for who in seen[:frames])
    for frame in range(2 * fps, 4 * fps):
        who = tracker.update(people((700, 300)), frame / fps)
    assert who.ids.tolist() == [max(expected, 0) + 1]
    assert who.track_numbers.tolist() == [2]


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, [[1]]), (3, [[1, -1], [1, 2], [1, 2]]), (6, [[1, -1], *[[1, 2]] * 5])]
)
def test_a_video_shorter_than_the_time_to_confirm_needs_two_detections_or_its_only_one(frames, expected):
    tracker = Tracker(min_duration=0.2)
    inputs = [people((100, 300), (700, 300)) for _ in range(frames)]
    inputs[0] = people((100, 300)) if frames == 1 else people((100, 300), (400, 300))
    seen = [tracker.update(detections, frame / FPS) for frame, detections in enumerate(inputs)]
    assert all((who.ids == -1).all() for who in seen)
    tracker.finish()
    assert [who.ids.tolist() for who in seen] == expected


def test_at_the_end_of_a_longer_video_nobody_is_confirmed_for_less():
    tracker = Tracker(min_duration=0.2)
    for frame in range(10):
        who = tracker.update(people((100, 300), (700, 300)) if frame > 5 else people((100, 300)), frame / FPS)
    tracker.finish()
    assert who.ids.tolist() == [1, -1]


def test_confirmed_at_once_on_request():
    np.testing.assert_array_equal(update_ids(Tracker(min_duration=0), people((600, 300), (100, 300)), 0.0), [2, 1])


def test_a_ghost_of_one_frame_gets_no_id_and_uses_none_up():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(20):
        detections = people((100, 300), (800, 300)) if frame in (5, 9) else people((100, 300))
        np.testing.assert_array_equal(update_ids(tracker, detections, frame / FPS)[1:], [-1] if frame in (5, 9) else [])
    for frame in range(20, 22):
        ids = update_ids(tracker, people((100, 300), (500, 300)), frame / FPS)
    np.testing.assert_array_equal(ids, [1, 2])


def test_a_person_who_enters_far_from_where_another_left_is_new():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(10):
        update_ids(tracker, people((150, 300)), frame / FPS)
    for frame in range(12, 14):
        ids = update_ids(tracker, people((900, 300)), frame / FPS)
    np.testing.assert_array_equal(ids, [2])


def test_a_person_who_turns_while_running_keeps_the_id():
    tracker = Tracker(min_duration=TWICE)
    jitter = np.random.default_rng(0)
    for frame in range(6 * FPS):
        ids = update_ids(tracker, people((500 + 200 * np.sin(2.5 * frame / FPS), 300), jitter=jitter), frame / FPS)
    np.testing.assert_array_equal(ids, [1])


@pytest.mark.parametrize(("distance", "expected"), [(150, 1), (250, 2)])
def test_after_half_a_second_a_person_is_looked_for_within_one_box_side(distance, expected):
    tracker = Tracker(min_duration=TWICE)
    for frame in range(10):
        update_ids(tracker, people((400, 300)), frame / FPS)
    for frame in range(24, 26):
        ids = update_ids(tracker, people((400 + distance, 300)), frame / FPS)
    np.testing.assert_array_equal(ids, [expected])


@pytest.mark.parametrize(("hidden_for", "expected"), [(1.0, 1), (1.9, 1), (2.2, 2)])
def test_an_id_is_kept_for_the_max_age(hidden_for, expected):
    tracker = Tracker(min_duration=TWICE)
    for time in (0.0, 0.1, 0.2):
        update_ids(tracker, people((400, 300)), time)
    update_ids(tracker, people(), 0.3)
    for time in (0.2 + hidden_for, 0.25 + hidden_for):
        ids = update_ids(tracker, people((410, 300)), time)
    np.testing.assert_array_equal(ids, [expected])


def test_a_person_of_another_size_is_another_person():
    tracker = Tracker(min_duration=TWICE)
    for time in (0.0, 0.1, 0.2):
        update_ids(tracker, people((400, 300)), time)
    for time in (0.8, 0.9):
        ids = update_ids(tracker, people((460, 280), side=60.0), time)
    np.testing.assert_array_equal(ids, [2])


def test_half_hidden_in_a_shrunken_box_is_still_the_same():
    tracker = Tracker(min_duration=TWICE)
    whole = people((200, 300))
    upper = np.where(BODY[:, 1] > 0, 0.1, 1.0).astype(np.float32)[None]
    half = replace(whole, score=upper, boxes=np.minimum(whole.boxes, 300))
    for frame in range(20):
        ids = update_ids(tracker, half if 5 <= frame < 12 else whole, frame / FPS)
        if frame:
            np.testing.assert_array_equal(ids, [1])


def test_a_person_of_whom_only_the_head_was_seen_before_they_were_hidden_is_found_again():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(30):
        if not 17 <= frame < 27:
            side = {14: 140, 15: 95, 16: 65}.get(frame, 200)
            ids = update_ids(tracker, people((400, 200 + side / 2), side=side), frame / FPS)
            if frame:
                np.testing.assert_array_equal(ids, [1])


def test_a_person_who_comes_nearer_keeps_the_id():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(60):
        ids = update_ids(tracker, people((400, 300), side=60 * 4 ** (frame / 60)), frame / FPS)
    np.testing.assert_array_equal(ids, [1])


def test_the_same_person_seen_twice_is_one():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(5):
        ids = update_ids(tracker, people((400, 300), (402, 301), (700, 300), box_score=(0.8, 0.9, 0.7)), frame / FPS)
    np.testing.assert_array_equal(ids, [-1, 1, 2])


def test_scale_of_the_image_does_not_matter():
    def run(scale):
        tracker = Tracker(min_duration=TWICE)
        positions = [np.array(positions_at(frame / FPS)) * scale for frame in range(120)]
        return [
            update_ids(tracker, people(*centres, side=200 * scale), frame / FPS).tolist()
            for frame, centres in enumerate(positions)
        ]

    assert run(1.0) == run(0.25)


def scene(seed):
    """More than a second of people who wander about, come and go."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 5)
    centres = rng.uniform((0, 200), (1200, 400), (count, 2))
    speed = rng.normal(0, 150, (count, 2))
    frames = []
    for frame in range(40):
        detections = people(*(centres + speed * frame / FPS), jitter=rng, box_score=rng.uniform(0.5, 1, count))
        frames.append(without(detections, *np.flatnonzero(rng.random(count) < 0.2)))
    return frames


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_no_id_comes_twice_in_a_frame_and_new_ids_come_in_order(seed):
    tracker = Tracker(min_duration=TWICE)
    most = 0
    for frame, detections in enumerate(scene(seed)):
        ids = update_ids(tracker, detections, frame / FPS)
        known = ids[ids > 0]
        assert len(ids) == len(detections) and len(np.unique(known)) == len(known)
        fresh = np.sort(known[known > most])
        np.testing.assert_array_equal(fresh, np.arange(most + 1, most + 1 + len(fresh)))
        most += len(fresh)


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_the_order_of_the_people_does_not_matter(seed, order_seed):
    rng = np.random.default_rng(order_seed)
    straight = Tracker(min_duration=TWICE)
    shuffled = Tracker(min_duration=TWICE)
    for frame, detections in enumerate(scene(seed)):
        order = rng.permutation(len(detections))
        mixed = update_ids(shuffled, detections.select(order), frame / FPS)
        np.testing.assert_array_equal(update_ids(straight, detections, frame / FPS)[order], mixed)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_the_same_people_get_the_same_ids_again_after_a_reset(seed):
    tracker = Tracker(min_duration=TWICE)
    first = [update_ids(tracker, detections, frame / FPS).tolist() for frame, detections in enumerate(scene(seed))]
    tracker.reset()
    assert [
        update_ids(tracker, detections, frame / FPS).tolist() for frame, detections in enumerate(scene(seed))
    ] == first


def test_nobody_is_no_error():
    tracker = Tracker(min_duration=TWICE)
    assert update_ids(tracker, people(), 0.0).shape == (0,)
    assert update_ids(tracker, people((100, 100)), 0.1).tolist() == [-1]
    assert update_ids(tracker, people(), 0.2).shape == (0,)


def meeting(time, passing):
    """Two people who walk towards each other, stand together from 1.5 to 2.5 s, one almost before the other, and pass
    by each other or go back.
    """
    walked = min(time, 1.5) + (max(time - 2.5, 0) if passing else -max(time - 2.5, 0))
    return (58 + 60 * walked, 90), (242 - 60 * walked, 91)


def track_meeting(clothes, passing, hidden, *, grey=False, fps=30):
    """The ids at each time, after the time to confirm.

    Arguments:
        clothes: None: no images.
        hidden: who is not detected while they stand together, and 0.25 s before and after.
    """
    tracker = Tracker(min_duration=TWICE)
    jitter = np.random.default_rng(0)
    noise = np.random.default_rng(1)
    ids = {}
    for frame in range(4 * fps):
        time = frame / fps
        everybody = people(*meeting(time, passing), side=60, jitter=jitter)
        image = None if clothes is None else picture(everybody, clothes, noise=noise, grey=grey)
        together = 1.25 < time < 2.75
        order = [1, 0] if frame % 2 else [0, 1]
        seen = [person for person in order if not (together and person in hidden)]
        found = update_ids(tracker, everybody.select(seen), time, image)
        ids[time] = dict(zip(seen, found.tolist(), strict=True))
    return {time: found for time, found in ids.items() if time > TWICE}


TRUE = {0: 1, 1: 2}


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("hidden", [(), (0,), (0, 1)])
@pytest.mark.parametrize("passing", [False, True])
@pytest.mark.parametrize("fps", [10, 30])
def test_people_in_different_clothes_who_stand_together_keep_their_ids(fps, passing, hidden, grey):
    ids = track_meeting((BLACK, WHITE) if grey else (RED, GREEN), passing, hidden, grey=grey, fps=fps)
    assert all(found == TRUE for time, found in ids.items() if time < 1.25 or time > 3)


def test_by_position_alone_people_who_turn_back_are_exchanged():
    assert track_meeting(None, False, (0, 1))[3.5] == {0: 2, 1: 1}


@pytest.mark.parametrize("hidden", [(), (0,), (0, 1)])
@pytest.mark.parametrize("passing", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_in_equal_clothes_position_decides(grey, passing, hidden):
    with_images = track_meeting((BLACK, BLACK), passing, hidden, grey=grey)
    assert with_images == track_meeting(None, passing, hidden)


def refind(distance, gap, clothes=None, speed=0.0, **options):
    """The id of somebody who appears at this distance (box sides) from where, and this time (s) after, a person who had
    walked at this speed (box sides per s) was last seen.

    Arguments:
        clothes: before and after; None: no images.
    """
    tracker = Tracker(min_duration=TWICE)
    for frame in range(10):
        here = people((60 + 60 * speed * frame / FPS, 90), side=60)
        update_ids(tracker, here, frame / FPS, None if clothes is None else picture(here, clothes[:1], **options))
    last = 60 + 60 * speed * 9 / FPS
    for frame in range(2):
        there = people((last + 60 * (distance + speed * frame / FPS), 90), side=60)
        image = None if clothes is None else picture(there, clothes[1:], **options)
        ids = update_ids(tracker, there, 9 / FPS + gap + frame / FPS, image)
    return ids.tolist()


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("speed", [0.0, 0.8])
@pytest.mark.parametrize("clothes", [None, (RED, RED), (RED, GREEN)])
def test_a_lost_person_is_never_found_two_box_sides_away(clothes, speed, gap):
    assert refind(2.1, gap, clothes, speed) == [2]


@pytest.mark.parametrize(
    ("distance", "gap", "speed", "expected"),
    [(0.9, 0.5, 0, 1), (1.1, 0.5, 0, 2), (1.1, 1, 0, 1), (1.3, 1.9, 0, 2), (1.2, 0.5, 2, 1), (1.3, 0.5, 2, 2)],
)
def test_without_images_the_reach_grows_as_fast_as_the_person_walks_up_to_a_bound(distance, gap, speed, expected):
    assert refind(distance, gap, speed=speed) == [expected]


@pytest.mark.parametrize("grey", [False, True])
def test_a_walker_hidden_for_almost_two_seconds_is_found_again_by_the_clothes(grey):
    clothes = (WHITE, BLACK) if grey else (RED, GREEN)
    assert refind(1.5, 1.9, (clothes[0], clothes[0]), speed=0.8, grey=grey) == [1]
    assert refind(1.5, 1.9, clothes, speed=0.8, grey=grey) == [2]
    assert refind(1.5, 1.9, speed=0.8) == [2]


@pytest.mark.parametrize(("clothes", "expected"), [((RED, RED), 1), ((RED, GREEN), 2), (None, 1)])
def test_a_newcomer_near_to_where_somebody_was_lost_is_told_apart_by_the_clothes(clothes, expected):
    assert refind(0.5, 1.0, clothes) == [expected]


def test_from_one_frame_to_the_next_clothes_that_change_do_not_matter():
    tracker = Tracker(min_duration=TWICE)
    for frame in range(30):
        here = people((60 + frame, 90), side=60)
        ids = update_ids(tracker, here, frame / FPS, picture(here, [RED if frame < 15 else GREEN]))
    assert ids.tolist() == [1]


def change_places(apart, clothes):
    """The ids of two people who stand this far apart, px, and after 1 s change places between two frames and part."""
    tracker = Tracker(min_duration=TWICE)
    jitter = np.random.default_rng(0)
    noise = np.random.default_rng(1)
    for frame in range(60):
        there = (apart + max(frame - 40, 0)) / 2 * (1 if frame < 30 else -1)
        detections = people((150 - there, 90), (150 + there, 91), side=60, jitter=jitter)
        image = None if clothes is None else picture(detections, clothes, noise=noise)
        ids = update_ids(tracker, detections, frame / FPS, image)
    return ids.tolist()


@pytest.mark.parametrize("apart", [6, 12, 18])
def test_ids_that_were_exchanged_in_a_contact_are_exchanged_back(apart):
    assert change_places(apart, None) == [2, 1], "the positions deceive"
    assert change_places(apart, (RED, GREEN)) == [1, 2]
    assert change_places(apart, (BLACK, BLACK)) == [2, 1]


def test_people_who_never_touched_keep_their_ids_whatever_they_look_like():
    assert change_places(30, None) == change_places(30, (RED, GREEN)) == [2, 1]


def test_the_appearance_is_that_of_the_last_second():
    tracker = Tracker(min_duration=TWICE)
    here = people((60, 90), side=60)
    for frame in range(180):
        if not 120 <= frame < 150:
            ids = update_ids(tracker, here, frame / FPS, picture(here, [RED if frame < 90 else GREEN]))
    assert ids.tolist() == [1]


def test_a_double_of_a_person_has_no_id_until_it_goes_its_own_way():
    tracker = Tracker(min_duration=0.2)
    seen = []
    for frame in range(120):
        away = 10 + max(frame - 60, 0)
        found = people((400, 300), (400 + away, 304), box_score=(0.9, 0.8))
        seen.append(update_ids(tracker, found if frame > 5 else without(found, 1), frame / FPS).tolist())
    assert [ids for ids in seen[7:60] if ids != [1, -1]] == []
    assert seen[60 + 30] == [1, 2], "somebody who stood behind another is confirmed once they can be told apart"


@settings(max_examples=10, deadline=None)
@given(SEEDS, SEEDS)
def test_the_order_of_the_people_does_not_matter_with_images(seed, order_seed):
    rng = np.random.default_rng(order_seed)
    straight = Tracker(min_duration=TWICE)
    shuffled = Tracker(min_duration=TWICE)
    clothes = [RED, GREEN, BLACK, WHITE]
    for frame in range(30):
        centres = [(60 + 20 * start + speed * frame / FPS, 90) for start, speed in ((0, 60), (1, 90), (4, -60), (6, 0))]
        detections = people(*centres, side=60, jitter=rng)
        image = picture(detections, clothes, noise=rng)
        detections = detections.select(np.flatnonzero(rng.random(4) > 0.2))
        order = rng.permutation(len(detections))
        mixed = update_ids(shuffled, detections.select(order), frame / FPS, image)
        np.testing.assert_array_equal(update_ids(straight, detections, frame / FPS, image)[order], mixed)
