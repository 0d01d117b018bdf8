"""Rows of people, and the numbers of frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.formats.recording import Recording, Rows, number_frames
from occlupose.skeletons import COCO17


@given(st.sets(st.integers(0, 9000), min_size=1, max_size=20), st.sampled_from(["{}", "{}.jpg", "clip7_{:06d}.png"]))
def test_numbers_in_names_are_those_of_frames(numbers, form):
    named = {form.format(number): number for number in numbers}
    assert number_frames(named) == (named, [])
    assert number_frames(numbers) == ({number: number for number in numbers}, [])


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "a"], ["a", "b"]),
        (["a10_b", "a9_c", "x"], ["a9_c", "a10_b", "x"]),
        (["1_7.jpg", "2_7.jpg"], ["1_7.jpg", "2_7.jpg"]),
        ([5, 10**7], [5, 10**7]),
        ([10**30, 1], [1, 10**30]),
        (["9" * 5000, "a", "1"], ["1", "9" * 5000, "a"]),
        ([139, "a"], [139, "a"]),
    ],
)
def test_names_that_are_no_numbers_are_counted_in_their_order(names, order):
    numbers, notes = number_frames(names)
    assert sorted(numbers, key=numbers.get) == order and [*sorted(numbers.values())] == [*range(len(names))]
    assert notes == ["frames are taken in the order of their names; if some are left out, times are off"]


@given(st.lists(st.integers() | st.text(max_size=9), max_size=9))
def test_any_names_have_numbers(names):
    numbers, _ = number_frames(names)
    assert {*numbers} == {*names} and len({*numbers.values()}) == len({*names})
    assert all(abs(number) < 10**16 for number in numbers.values())


def test_suffixes_are_no_numbers():
    assert number_frames(["walk_000000000012_keypoints.json"])[0] == {"walk_000000000012_keypoints.json": 12}
    assert number_frames(["cam01.0003.json"])[0] == {"cam01.0003.json": 3}
    assert number_frames(["video.mp4"]) == ({"video.mp4": 0}, [])


def test_rows():
    rows = Rows("a.json")
    rows.add(3, np.full((17, 3), 5.0), 2)
    rows.add(1, np.full((17, 3), np.inf), 1)
    recording = rows.recording("Tool", frames=[0])
    assert len(rows) == 2 and recording.joints == COCO17.joints and recording.frames == (0, 3)
    assert recording.frame.tolist() == [3, 1] and recording.person.tolist() == [2, 1]
    assert recording.xy[1].min() == 1e9
    rows.add(5, np.zeros((17, 3)))
    assert rows.recording("Tool").person is None
    with pytest.raises(
        OccluposeError, match=r"^a.json: frame 9: people with 17 joints and 3; give people of one skeleton$"
    ):
        rows.add(9, np.zeros((3, 3)))
    with pytest.raises(OccluposeError, match=r"^b: nobody is in it; give"):
        Rows("b").recording("Tool")


def test_people_with_a_place_of_their_own():
    xy = np.arange(2 * 3 * 4 * 2.0).reshape(2, 3, 4, 2)
    recording = Recording.of_people("Tool", None, xy, xy[..., 0], names=["a", "b", "c"], frame=np.array([5, 7]))
    assert recording.frame.tolist() == [5, 5, 5, 7, 7, 7] and recording.person.tolist() == [0, 1, 2, 0, 1, 2]
    assert (recording.xy.reshape(xy.shape) == xy).all() and recording.frames == (5, 7)
    assert recording.notes == ["track ids: 0 a, 1 b, 2 c"]
    assert Recording.of_people("Tool", None, xy[:0]).frames is None
