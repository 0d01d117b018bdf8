"""How processes share the processors; what they do is in test_archive.py."""

import os

import pytest

from occlupose.cli.archive.processes import share_processors

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot say which processors")


@pytest.fixture
def five(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 4, 6, 7})


@pytest.mark.parametrize(
    ("count", "threads", "shares"),
    [
        (1, 5, [{1, 3, 4, 6, 7}]),
        (2, 2, [{1, 4, 7}, {3, 6}]),
        (5, 1, [{1}, {3}, {4}, {6}, {7}]),
        (2, 3, [None, None]),
        (6, 1, 6 * [None]),
    ],
)
def test_no_processor_is_of_two_processes(five, count, threads, shares):
    assert share_processors(count, threads) == shares
