import os
import sys
import threading

import cv2
import pytest

from occlupose.threads import LOW_PRIORITY, background_thread, opencv_on_one_thread


def test_background_work_is_done_in_order_by_one_named_thread():
    with background_thread("helper") as worker:
        names = [worker.submit(lambda: threading.current_thread().name).result() for _ in range(3)]
        order = list(worker.map(lambda number: number, range(50)))
    assert names == ["helper_0"] * 3
    assert order == list(range(50))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives priorities to threads")
def test_background_work_gives_way_and_nothing_else_does():
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for low_priority, expected in ((True, LOW_PRIORITY), (False, before)):
        with background_thread("helper", low_priority=low_priority) as worker:
            assert (
                worker.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result() == expected
            )
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives priorities to threads")
def test_where_priorities_are_forbidden_the_work_is_done_all_the_same(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    with background_thread("helper") as worker:
        assert worker.submit(lambda: 7).result() == 7


def test_opencv_is_on_one_thread_until_the_last_is_done():
    before = cv2.getNumThreads()
    first = opencv_on_one_thread()
    second = opencv_on_one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == before


def test_opencv_gets_its_threads_back_also_after_an_error():
    before = cv2.getNumThreads()
    with pytest.raises(ValueError), opencv_on_one_thread():
        assert cv2.getNumThreads() == 1
        raise ValueError
    assert cv2.getNumThreads() == before
