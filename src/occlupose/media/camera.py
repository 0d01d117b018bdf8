"""Cameras as streams of frames."""

import math
import re
import sys
import time as clock
from collections.abc import Iterator
from pathlib import Path

import cv2

from occlupose.errors import OccluposeError
from occlupose.media.source import ASSUMED_FPS, Frame, Source, TimeRange

ANSWER_SECONDS = 10.0
"""How long a network camera may send nothing, before its stream has ended. Ours."""


def without_password(address: str) -> str:
    """An address as it may be shown: without the name and password of its user, and without what follows its path."""
    return re.sub(r"[?#].*", "", re.sub(r"(?<=://).*@", "", address, flags=re.DOTALL), flags=re.DOTALL)


def _open(device: int | str) -> cv2.VideoCapture:
    """The camera; OpenCV's own messages have the whole address, and are suppressed."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        if isinstance(device, int):
            return cv2.VideoCapture(device)
        limit = round(1000 * ANSWER_SECONDS)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        return cv2.VideoCapture(device, cv2.CAP_FFMPEG, limits)
    finally:
        cv2.utils.logging.setLogLevel(level)


class LiveCamera(Source):
    """A camera of this computer (by number) or of the network (by address). Frame times are arrival times."""

    kind = "camera"
    live = True

    def __init__(self, device: int | str, window: TimeRange):
        self.name = f"camera {device}" if isinstance(device, int) else without_password(device)
        self.warnings = []
        self.count = None
        self.duration = None if math.isinf(window.end) else window.end - window.start
        self._window = window
        if isinstance(device, int) and sys.platform == "linux" and not Path(f"/dev/video{device}").exists():
            found = " ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*")))
            raise OccluposeError(f"{self.name}: no such camera; cameras of this computer: {found or 'none'}")
        self._capture = _open(device)
        is_read, first = self._capture.read()
        if not is_read:
            self.close()
            is_address = isinstance(device, str)
            cause = "the address and the network" if is_address else "that no other program uses it, and permissions"
            raise OccluposeError(f"{self.name}: gives no frame; check {cause}")
        self.height, self.width = first.shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps_assumed = not 0 < rate <= 1000
        self.fps = (ASSUMED_FPS if self.fps_assumed else rate) / window.every

    def __iter__(self) -> Iterator[Frame]:
        for index, (time, _) in enumerate(self._window.select(self._arrivals())):
            is_read, image = self._capture.retrieve()
            if is_read:
                yield Frame(index, time, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), continues=True)

    def close(self) -> None:
        self._capture.release()

    def _arrivals(self) -> Iterator[tuple[float, None]]:
        begin = clock.monotonic()
        while self._capture.grab():
            yield clock.monotonic() - begin, None
        self.warn("stopped sending frames")
