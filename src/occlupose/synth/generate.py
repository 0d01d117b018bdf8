"""Generation of scenes in several processes: in memory for training loops, and on disk by `dataset`."""

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

from occlupose.datasets.formats.synth_scenes import SceneRecord
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSource, sample_scene
from occlupose.synth.record import make_record
from occlupose.synth.scene import Scene
from occlupose.threads import cores

if TYPE_CHECKING:
    from occlupose.synth.render import Renderer

T = TypeVar("T")
R = TypeVar("R")

QUEUED_TASKS = 2
"""Tasks per process that are submitted ahead."""


@dataclass(frozen=True, eq=False)
class SceneSample:
    """A generated scene.

    Attributes:
        image: None without rendering.
        record: the ground truth.
        surface: the front surface of each pixel: people are 0 to n - 1, then objects; -1 none.
    """

    image: RGB | None
    record: SceneRecord
    surface: Int[np.ndarray, "height width"]


@dataclass(frozen=True)
class ImageSettings:
    """How images are rendered. `backdrops` are image files for the background; without them rooms and streets are
    painted.
    """

    backdrops: tuple[Path, ...] = ()


def generate_scenes(
    source: SceneSource,
    numbers: Iterable[int] | None = None,
    *,
    images: ImageSettings | None = None,
    workers: int | None = None,
) -> Iterator[SceneSample]:
    """Generate scenes in the order of their numbers. Scripts that use workers need `if __name__ == "__main__":`.

    Arguments:
        numbers: of the scenes; None is 0, 1, 2, ... without end.
        images: settings of the renderer; None generates labels alone.
        workers: number of processes; None is one for each core, 0 is this process.

    Raises:
        OccluposeError: there is no EGL for rendering, or a worker was killed.
    """
    return map_in_processes(_generate, itertools.count() if numbers is None else numbers, source, images, workers)


def map_in_processes(
    work: Callable[["SceneGenerator", T], R],
    tasks: Iterable[T],
    source: SceneSource,
    images: ImageSettings | None,
    workers: int | None,
) -> Iterator[R]:
    """Apply a function to a scene generator and each task, in several processes; results in the order of the tasks.

    Raises:
        OccluposeError: as the function, or a process was killed.
    """
    count = cores() if workers is None else workers
    if count < 0:
        raise OccluposeError(f"workers: {count}; give a number of processes from 0")
    if count == 0:
        generator = SceneGenerator(source, images)
        for task in tasks:
            with _one_thread():
                result = work(generator, task)
            yield result
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _initialise_worker, (source, images))
    submitted: deque[Future[R]] = deque()
    try:
        for task in tasks:
            submitted.append(pool.submit(_run_task, work, task))
            if len(submitted) > QUEUED_TASKS * count:
                yield submitted.popleft().result()
        while submitted:
            yield submitted.popleft().result()
    except BrokenProcessPool as error:
        raise OccluposeError(
            "a worker ended early (killed, out of memory, or started by a script without `if __name__ =="
            " '__main__':`); give fewer workers, or 0"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits libraries to one thread, as in a worker, because more threads round differently."""
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


class SceneGenerator:
    """Generates scenes in one process; the renderer is created for the first image."""

    def __init__(self, source: SceneSource, images: ImageSettings | None) -> None:
        self.source = source
        self.images = images
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> str | None:
        """Name of the renderer; None before the first image."""
        return None if self._renderer is None else self._renderer.name

    def generate(self, number: int) -> SceneSample:
        """Scene `number`."""
        scene = sample_scene(self.source, number)
        labels = label_scene(scene)
        rendered = None if self.images is None else self.render(scene)
        record = make_record(labels, number, self.source.settings.seed)
        return SceneSample(rendered, record, labels.buffer.surface)

    def render(self, scene: Scene) -> RGB:
        """The image of a scene."""
        from occlupose.synth.backdrops import read_backdrop
        from occlupose.synth.render import Renderer

        assert self.images is not None, "labels alone have no images"
        if self._renderer is None:
            self._renderer = Renderer()
        random = np.random.default_rng(scene.appearance_seed)
        settings = self.source.settings
        files = self.images.backdrops
        chosen = files[random.integers(len(files))] if files else None
        backdrop = None if chosen is None else read_backdrop(chosen, settings.width, settings.height, random)
        return self._renderer.render(scene, backdrop=backdrop)


_generator: SceneGenerator | None = None


def _initialise_worker(source: SceneSource, images: ImageSettings | None) -> None:
    import cv2
    import torch

    global _generator
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it
    os.environ["LP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _generator = SceneGenerator(source, images)


def _run_task(work: Callable[[SceneGenerator, T], R], task: T) -> R:
    assert _generator is not None
    return work(_generator, task)


def _generate(generator: SceneGenerator, number: int) -> SceneSample:
    return generator.generate(number)
