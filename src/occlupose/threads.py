"""What works beside the networks, so that it does not stand in their way."""

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import cv2

T = TypeVar("T")

POLITE = 10
"""Linux priority (0 to 19, the last) of work that can wait."""


def background(name: str, *, polite: bool = True) -> ThreadPoolExecutor:
    """An executor of one thread.

    The networks share their work among all processors and wait for the last one: another thread that takes one away for
    a millisecond holds up all. Only Linux gives priorities to threads; elsewhere it is a thread like any other.

    Arguments:
        polite: it takes the processor when hardly anybody else wants it. Threads that are begun inside inherit that:
            OpenCV should be on one thread then.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_give_way if polite else None)


def ahead(name: str, tasks: Iterable[Callable[[], T]]) -> Generator[T, None, None]:
    """What tasks give, in their order; each is done in the background while the result before it is made use of."""
    with background(name, polite=False) as worker:
        begun = (worker.submit(task) for task in tasks)
        following = next(begun, None)
        while following is not None:
            made = following.result()
            following = next(begun, None)
            yield made


def _give_way() -> None:
    if sys.platform == "linux":
        with suppress(OSError):  # where it is forbidden nothing but time is lost
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), POLITE)


class _OneThread:
    """How many want OpenCV on one thread, and how many threads it had before."""

    lock = threading.Lock()
    wanted = 0
    before = 0


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """OpenCV on one thread, in the whole process, until the last of those who want it so is done.

    On pictures as small as those of people its further threads cost more than they give.
    """
    with _OneThread.lock:
        _OneThread.wanted += 1
        if _OneThread.wanted == 1:
            _OneThread.before = cv2.getNumThreads()
            cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _OneThread.lock:
            _OneThread.wanted -= 1
            if not _OneThread.wanted:
                cv2.setNumThreads(_OneThread.before)
