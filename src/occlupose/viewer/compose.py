"""Picture and 3D panel side by side: as a video of the whole clip and as one picture to look at first."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from occlupose.errors import OccluposeError
from occlupose.media import Frame, Source, VideoWriter, prefetch, with_half_resolution, write_image
from occlupose.poses import Poses
from occlupose.threads import opencv_on_one_thread
from occlupose.viewer import overlay
from occlupose.viewer.scene import Scene

WIDTH = 960  # of the picture in the output, px, at most
TALLEST = 0.75  # times that width is the most height
SMALLEST = 360  # px; lower pictures are enlarged to this height, so that the legend fits
MOMENTS = 6  # of a clip in its preview
SIDES = (np.radians(-25.0), np.radians(65.0))  # from which the people of a single picture are seen

Image = UInt8[np.ndarray, "height width 3"]


class Composer:
    """Draws frames of one source: the people over the picture, and beside it the 3D panel where the poses have xyz.

    Attributes:
        width, height: of the images it gives, px, even.
    """

    def __init__(
        self, poses: Poses, source: Source, width: int = WIDTH, azimuths: tuple[float | None, ...] = (None,)
    ) -> None:
        """
        Arguments:
            width: of the picture in the output, px, at most.
            azimuths: one 3D panel for each, as `Scene` takes them.
        """
        self.poses = poses
        self.tolerance = 0.5 / source.fps
        self.picture = _fitted(source.width, source.height, width)
        self.height = self.picture[1]
        self.scenes = [] if poses.xyz is None else [Scene(poses, self.height, azimuth) for azimuth in azimuths]
        self.width = self.picture[0] + len(self.scenes) * self.height

    def __call__(self, frame: Frame) -> Image:
        """The frame with its people; without them where the poses have no moment within half a frame of it."""
        index = self._moment(frame.time)
        shrink = frame.image.shape[0] / self.height
        picture = cv2.resize(
            frame.pyramid.level(int(np.log2(max(shrink, 1)))), self.picture, interpolation=cv2.INTER_LINEAR
        )
        if index is not None:
            self._draw_people(picture, index)
        overlay.caption(picture, frame.time)
        return np.hstack([picture, *(scene.draw(index, frame.time) for scene in self.scenes)])

    def _moment(self, time: float) -> int | None:
        """Which moment of the poses is at this time, s."""
        if not len(self.poses):
            return None
        index = int(np.abs(self.poses.time - time).argmin())
        return index if abs(self.poses.time[index] - time) <= self.tolerance else None

    def _draw_people(self, picture: Image, index: int) -> None:
        poses = self.poses
        scale = np.array(self.picture) / (poses.width, poses.height)
        depth = None if poses.xyz is None else np.fmin.reduce(poses.xyz[index, ..., 2], axis=1, initial=np.nan)
        overlay.draw(
            picture, (poses.xy[index] + 0.5) * scale - 0.5, poses.state[index], poses.track_id, poses.skeleton, depth
        )


def render(
    poses: Poses,
    source: Source,
    path: str | Path,
    *,
    width: int = WIDTH,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Writes the source as a video with its people in 2D and, where the poses have xyz, a 3D view beside it.

    Decoding, drawing and encoding overlap. A frame without a pose within half a frame of its time is shown as it is.

    Arguments:
        poses: of this source.
        source: what the poses were found in; not live.
        path: the .mp4 file.
        width: of the picture in the output, px, at most; its height is at most three quarters of that.
        progress: called with the number of frames written, after every frame.

    Raises:
        OccluposeError: the source is live or cannot be read, or the file cannot be written.
    """
    _refuse_live(source)
    compose = Composer(poses, source, width)
    with (
        # half the time, no larger
        VideoWriter(path, compose.width, compose.height, source.fps, preset="veryfast") as writer,
        opencv_on_one_thread(),
        closing(prefetch(with_half_resolution(source))) as frames,
    ):
        for count, frame in enumerate(frames, 1):
            writer.write(compose(frame), frame.time)
            if progress is not None:
                progress(count)


def preview(poses: Poses, source: Source, path: str | Path, *, width: int = WIDTH) -> None:
    """Writes one picture to look at first: moments of the clip side by side with their 3D view, or a single picture
    with two.

    Arguments:
        poses: of this source.
        source: what the poses were found in; not live.
        path: the .png or .jpg file.
        width: of a single picture in the output, px, at most; the moments of a clip are half as wide.

    Raises:
        OccluposeError: the source is live or cannot be read, or the file cannot be written.
    """
    _refuse_live(source)
    if source.count == 1:
        write_image(path, Composer(poses, source, width, SIDES)(next(iter(source))))
        return
    compose = Composer(poses, source, width // 2)
    tiles = [compose(frame) for frame in source.frames_at(_moments(poses))]
    columns = 1 if len(tiles) < 2 else 2
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    write_image(path, np.vstack([np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]))


def _fitted(width: int, height: int, most: int) -> tuple[int, int]:
    """The size a picture gets in the output, px: even, its shape kept, at most `most` wide."""
    scale = min(most / width, TALLEST * most / height, max(1.0, SMALLEST / height))
    return max(2, 2 * round(scale * width / 2)), max(2, 2 * round(scale * height / 2))


def _moments(poses: Poses) -> list[float]:
    """Up to six evenly spaced times of the poses, of those with people if there are any, s."""
    peopled = np.flatnonzero(poses.state.any((1, 2)))
    frames = peopled if len(peopled) else np.arange(len(poses))
    if not len(frames):
        return [0.0]
    picks = np.unique(np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int))
    return [float(poses.time[frame]) for frame in frames[picks]]


def _refuse_live(source: Source) -> None:
    if source.live:
        raise OccluposeError(f"{source.name}: a live camera cannot be read a second time; record it to a file first")
