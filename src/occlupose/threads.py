"""Background threads that do not slow down the networks."""

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import cv2

T = TypeVar("T")

LOW_PRIORITY = 10
"""Linux priority of work that can wait, from 0 to 19 (lowest)."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def background_thread(name: str, *, low_priority: bool = True) -> ThreadPoolExecutor:
    """An executor of one thread.

    The networks split their work over all processors and wait for the slowest, so another thread that takes a processor
    for a millisecond delays all of them. Only Linux has thread priorities; elsewhere it is an ordinary thread.

    Arguments:
        low_priority: run when other threads leave a processor free. Threads that are started inside inherit it, so
            OpenCV should use one thread then.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_lower_priority if low_priority else None)


def compute_ahead(name: str, tasks: Iterable[Callable[[], T]]) -> Generator[T, None, None]:
    """Results of tasks in their order; each is computed in the background while the previous result is used."""
    with background_thread(name, low_priority=False) as worker:
        submitted = (worker.submit(task) for task in tasks)
        upcoming = next(submitted, None)
        while upcoming is not None:
            result = upcoming.result()
            upcoming = next(submitted, None)
            yield result


def _lower_priority() -> None:
    if sys.platform == "linux":
        with suppress(OSError):  # not permitted: only slower
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)


class _OneThread:
    """Number of users that need OpenCV on one thread, and its number of threads before."""

    lock = threading.Lock()
    users = 0
    threads_before = 0


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """OpenCV on one thread, in the whole process, until the last user of this context is done.

    On images as small as crops of people, more threads of OpenCV cost more than they gain.
    """
    with _OneThread.lock:
        _OneThread.users += 1
        if _OneThread.users == 1:
            _OneThread.threads_before = cv2.getNumThreads()
            cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _OneThread.lock:
            _OneThread.users -= 1
            if not _OneThread.users:
                cv2.setNumThreads(_OneThread.threads_before)
