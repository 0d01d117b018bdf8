"""Long videos in parts: people are detected in each part by itself, and the whole is estimated from all of them.

The result is that of the undivided video, bit for bit. Detection is nearly all of the work of most front ends;
tracking, lifting and skeletons need the whole video, and get it. A front end that follows people from frame to frame
goes on with the memory that it had at the end of the part before. Times and images of the frames are compared where the
parts are joined; where they are not the same, as in damaged videos, the video is done undivided.
"""

import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from occlupose.cli.terminal import Report, Stoppable
from occlupose.detections import Detections
from occlupose.estimator import PoseEstimator
from occlupose.frontends.topdown import TopDown
from occlupose.media import Frame, Source, prefetch
from occlupose.media.source import TICK
from occlupose.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from occlupose.cameras import Camera
    from occlupose.cli.estimation import RunOptions
    from occlupose.poses import Poses

DETECTING = "detecting"


class DifferentFramesError(Exception):
    """A frame of the whole video is not that of its part."""


@dataclass(frozen=True)
class Cut:
    """Where a video is cut.

    Attributes:
        times: start and end of each part, seconds; as those of `RunOptions`.
        follows: whether a part needs the memory of the one before.
        count: number of frames by the header.
    """

    times: list[tuple[float | None, float | None]]
    follows: bool
    count: int


@dataclass(frozen=True)
class Part:
    """People in a part of a video.

    Attributes:
        stamps: time and checksum of the image of each frame.
        detections: in each frame.
        memory: of a front end that follows people, at the end.
        best_rejected: highest confidence of a rejected person.
        seconds: that it took.
    """

    stamps: list[tuple[float, int]]
    detections: list[Detections]
    memory: dict[str, Any] | None
    best_rejected: float
    seconds: float


def cut(source: Source, estimator: PoseEstimator, options: "RunOptions", longest: int) -> Cut | None:
    """Where to cut a source; None: it is no video of more than so many frames.

    Borders are half a frame before a frame, so that rounded times are on the right side.

    Arguments:
        options: that the source was opened with.
        longest: number of frames of a part.
    """
    count = source.count
    if source.kind != "video" or count is None or count <= longest:
        return None
    rate = source.fps * options.every
    first = ceil((options.start or 0.0) * rate - rate * TICK)
    borders = [(first + frame * options.every - 0.5) / rate for frame in range(longest, count, longest)]
    times = list(zip([options.start, *borders], [*borders, options.end], strict=True))
    return Cut(times, _follower(estimator) is not None, count)


def detect(
    source: Source,
    estimator: PoseEstimator,
    camera: "Camera",
    memory: dict[str, Any] | None,
    report: Report,
    interrupt: Stoppable,
) -> Part:
    """People in a part of a video.

    Arguments:
        source: the part.
        memory: of the part before, if there is one and the front end follows people.

    Raises:
        KeyboardInterrupt: it was to stop early.
        OccluposeError: the source cannot be read.
    """
    begin = monotonic()
    estimator.start(source)
    follower = _follower(estimator)
    if follower is not None and memory is not None:
        follower.memory = memory
    stamps = []
    detections = []
    with opencv_on_one_thread(), closing(prefetch(source)) as frames:
        for frame in frames:
            detections.append(estimator.detect(frame, camera))
            stamps.append(_stamp(frame))
            report(DETECTING, len(stamps), source.count)
            if interrupt.asked:
                raise KeyboardInterrupt
    after = None if follower is None else follower.memory
    return Part(stamps, detections, after, getattr(estimator, "best_rejected", 0.0), monotonic() - begin)


class Joined(PoseEstimator):
    """An estimator that knows the people in each frame from the parts of a video.

    Arguments:
        estimator: that does everything else.
        parts: of the whole video, in order.
    """

    def __init__(self, estimator: PoseEstimator, parts: Sequence[Part]) -> None:
        self._estimator = estimator
        self._known = [known for part in parts for known in zip(part.stamps, part.detections, strict=True)]
        self._next = 0
        self.skeleton = estimator.skeleton
        self.in_3d = estimator.in_3d
        self.flow = estimator.flow
        self.min_joint_confidence = estimator.min_joint_confidence
        self.best_rejected = max(part.best_rejected for part in parts)

    def start(self, source: Source) -> None:
        """Begins with the first part."""
        self._next = 0

    def detect(self, frame: Frame, camera: "Camera") -> Detections:
        """People in the next frame. Raises DifferentFramesError: it is not that of its part."""
        if self._next == len(self._known):
            raise DifferentFramesError
        stamp, people = self._known[self._next]
        if stamp != _stamp(frame):
            raise DifferentFramesError
        self._next += 1
        return replace(people, skeleton=self.skeleton)

    def finish(self, tracks: "Poses", height: float | None = None) -> "Poses":
        """As the estimator does. Raises DifferentFramesError: a part has more frames."""
        if self._next < len(self._known):
            raise DifferentFramesError
        return self._estimator.finish(tracks, height)

    def finish_live(self, *_: object, **__: object) -> Any:
        """Never: an archive has no cameras."""
        raise NotImplementedError


def _follower(estimator: PoseEstimator) -> TopDown | None:
    """The front end, if it follows people from frame to frame."""
    frontend = getattr(estimator, "frontend", None)
    return frontend if isinstance(frontend, TopDown) else None


def _stamp(frame: Frame) -> tuple[float, int]:
    return frame.time, zlib.crc32(np.ascontiguousarray(frame.image).data)
