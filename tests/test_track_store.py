"""Tracks in memory and in a temporary file are the same."""

import copy
import tempfile

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.track_store import TrackStore

TRACKS = [
    {"xy": np.arange(12, dtype=np.float32).reshape(3, 2, 2), "state": np.array([0, 1, 2], np.uint8)},
    {"xy": np.zeros((0, 2, 2), np.float32), "state": np.zeros(0, np.uint8)},
    {"xy": np.full((1, 2, 2), np.nan, np.float32), "state": np.ones(1, np.uint8)},
]


@pytest.fixture(params=[0, 60, 10**9], ids=["file", "both", "memory"])
def store(request):
    """The tracks: in the file, some of them, or all in memory."""
    store = TrackStore(request.param)
    for track in TRACKS:
        store.append(track)
    return store


def assert_same(store):
    assert len(store) == len(TRACKS)
    for number, track in enumerate(TRACKS):
        assert list(store.get(number)) == list(track)
        for name, values in store.get(number).items():
            assert values.dtype == track[name].dtype
            np.testing.assert_array_equal(values, track[name])


def test_what_is_added_is_there(store):
    assert_same(store)
    assert list(store.get(0, ["state"])) == ["state"]


def test_copies_are_stores_of_their_own(store):
    other = copy.deepcopy(store)
    assert_same(other)
    other.append(TRACKS[0])
    assert_same(store)
    assert len(other) == 4


def test_what_is_added_is_not_changed_from_outside():
    given = {"xy": np.zeros(3)}
    store = TrackStore()
    store.append(given)
    given["xy"][:] = 1
    assert not store.get(0)["xy"].any()


def test_no_room(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OccluposeError, match=r"missing: no such file or directory; set TMPDIR"):
        TrackStore(0).append(TRACKS[0])
