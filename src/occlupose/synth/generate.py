"""Scenes one after the other, made by several processes: for training loops in memory, and for `dataset` on disk."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Int

from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.synth.groups import Source, sample
from occlupose.synth.labels import label
from occlupose.synth.record import Record

if TYPE_CHECKING:
    from occlupose.synth.render import Renderer

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Pieces of work for each process that are begun before they are asked for."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A finished scene.

    Attributes:
        picture: None where none was wanted.
        record: its truth.
        thing: who or what is in each pixel: people 0 to n - 1, then things; -1 nothing.
    """

    picture: RGB | None
    record: Record
    thing: Int[np.ndarray, "height width"]


@dataclass(frozen=True)
class Pictures:
    """How pictures are made. `backdrops` are files of pictures that stand behind the people; none paints walls and
    streets.
    """

    backdrops: tuple[Path, ...] = ()


def scenes(
    source: Source,
    numbers: Iterable[int] | None = None,
    *,
    pictures: Pictures | None = None,
    workers: int | None = None,
) -> Iterator[Sample]:
    """Finished scenes in the order of their numbers. A script that calls this with workers needs `if __name__ ==
    "__main__":`.

    Arguments:
        numbers: which; None is 0, 1, 2, ... without end.
        pictures: how to paint them; None makes labels alone.
        workers: processes that work; None is one for each core, 0 works in this process.

    Raises:
        OccluposeError: there is no EGL to paint with, or a worker was killed.
    """
    return spread(_finished, itertools.count() if numbers is None else numbers, source, pictures, workers)


def spread(
    work: Callable[["Maker", T], R], tasks: Iterable[T], source: Source, pictures: Pictures | None, workers: int | None
) -> Iterator[R]:
    """The results of some work, in the order of the tasks, each done by one of several processes that have a `Maker`.

    Raises:
        OccluposeError: as the work, or a process was killed.
    """
    count = cores() if workers is None else workers
    if count < 0:
        raise OccluposeError(f"workers: {count}; give a number of processes from 0")
    if count == 0:
        maker = Maker(source, pictures)
        for task in tasks:
            with _one_thread():
                result = work(maker, task)
            yield result
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (source, pictures))
    begun: deque[Future[R]] = deque()
    try:
        for task in tasks:
            begun.append(pool.submit(_do, work, task))
            if len(begun) > AHEAD * count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    except BrokenProcessPool as error:
        raise OccluposeError(
            "a worker ended before its work did (killed, out of memory, or begun by a script without `if __name__ =="
            " '__main__':`); give fewer workers, or 0"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, as in a worker: more threads round otherwise."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


class Maker:
    """Makes scenes in one process; its renderer is begun at the first picture."""

    def __init__(self, source: Source, pictures: Pictures | None) -> None:
        self.source = source
        self.pictures = pictures
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> str | None:
        """What painted the pictures so far."""
        return None if self._renderer is None else self._renderer.name

    def make(self, number: int) -> Sample:
        """Scene `number`."""
        scene = sample(self.source, number)
        labels = label(scene)
        picture = None
        if self.pictures is not None:
            from occlupose.synth.backdrops import open_backdrop
            from occlupose.synth.render import Renderer

            if self._renderer is None:
                self._renderer = Renderer()
            random = np.random.default_rng(scene.look)
            settings = self.source.settings
            files = self.pictures.backdrops
            chosen = files[random.integers(len(files))] if files else None
            backdrop = None if chosen is None else open_backdrop(chosen, settings.width, settings.height, random)
            picture = self._renderer.render(scene, backdrop=backdrop)
        return Sample(picture, Record.of(labels, number, self.source.settings.seed), labels.buffer.surface)


_maker: Maker | None = None


def _begin(source: Source, pictures: Pictures | None) -> None:
    import cv2
    import torch

    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began us ends us
    os.environ["LP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _maker = Maker(source, pictures)


def _do(work: Callable[[Maker, T], R], task: T) -> R:
    assert _maker is not None
    return work(_maker, task)


def _finished(maker: Maker, number: int) -> Sample:
    return maker.make(number)
