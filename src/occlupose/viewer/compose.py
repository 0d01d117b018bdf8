"""Image and 3D panel side by side or one below the other: a video of the whole clip, and one preview image."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import UInt8

from occlupose.errors import OccluposeError
from occlupose.media import Frame, Source, VideoWriter, prefetch, with_half_resolution, write_image
from occlupose.poses import Poses
from occlupose.threads import opencv_on_one_thread
from occlupose.viewer import overlay
from occlupose.viewer.panel import Panel3D
from occlupose.viewer.uncertainty import image_spread

WIDTH = 960  # maximum width of the image in a preview, px
LONGEST = 4096  # maximum side of a video with a panel, px; beyond it many players fail
MAX_ASPECT = 0.75  # maximum height, in widths
MIN_HEIGHT = 360  # px; lower images are enlarged to this height, so that the legend fits
PREVIEW_FRAMES = 6  # of a clip in its preview
AZIMUTHS = (np.radians(-25.0), np.radians(65.0))  # of the two panels beside a single image

Image = UInt8[np.ndarray, "height width 3"]

PanelPlace = Literal["none", "side", "below"]
"""Where the 3D panel is."""


class Composer:
    """Draws frames of one source: the people over the image, and beside or below it 3D panels if the poses have xyz.

    A panel is as long as the image and as wide as its shorter side.

    Attributes:
        width, height: of the drawings, px.
    """

    def __init__(
        self,
        poses: Poses,
        source: Source,
        width: int | None = None,
        azimuths: tuple[float | None, ...] = (None,),
        *,
        panel: PanelPlace = "side",
    ) -> None:
        """
        Arguments:
            width: maximum width of the image in the output, px; None keeps the size of the source, unless image and
                panel are more than 4096 px long.
            azimuths: one 3D panel for each, as of `Panel3D`.
            panel: where they are.

        Raises:
            OccluposeError: panel is no such place.
        """
        if panel not in get_args(PanelPlace):
            raise OccluposeError(f"panel {panel}: no place for the 3D panel; give {', '.join(get_args(PanelPlace))}")
        azimuths = () if poses.xyz is None or panel == "none" else azimuths
        self.poses = poses
        self.tolerance = 0.5 / source.fps
        if width is None:
            self.image_size = _limit_size(source.width, source.height, len(azimuths), panel)
        else:
            self.image_size = _fit_size(source.width, source.height, width)
        short = min(self.image_size)
        self.below = panel == "below"
        panel_size = (self.image_size[0], short) if self.below else (short, self.image_size[1])
        self.panels = [Panel3D(poses, *panel_size, azimuth=azimuth) for azimuth in azimuths]
        self.width = self.image_size[0] + (not self.below) * len(self.panels) * short
        self.height = self.image_size[1] + self.below * len(self.panels) * short
        self.spread = image_spread(poses)

    def __call__(self, frame: Frame) -> Image:
        """The frame with its people; without them if the poses have no frame within half a frame of its time."""
        index = self._frame_at(frame.time)
        image = self._resized(frame)
        if index is not None:
            self._draw_people(image, index)
        overlay.draw_caption(image, frame.time)
        stack = np.vstack if self.below else np.hstack
        return stack([image, *(panel.draw(index, frame.time) for panel in self.panels)])

    def _resized(self, frame: Frame) -> Image:
        """A copy of the image in the size of the output."""
        if frame.image.shape[1::-1] == self.image_size:
            return frame.image.copy()
        shrink = frame.image.shape[0] / self.image_size[1]
        level = frame.pyramid.level(int(np.log2(max(shrink, 1))))
        return cv2.resize(level, self.image_size, interpolation=cv2.INTER_LINEAR)

    def _frame_at(self, time: float) -> int | None:
        """The frame of the poses at this time, s."""
        if not len(self.poses):
            return None
        index = int(np.abs(self.poses.time - time).argmin())
        return index if abs(self.poses.time[index] - time) <= self.tolerance else None

    def _draw_people(self, image: Image, index: int) -> None:
        poses = self.poses
        scale = np.array(self.image_size) / (poses.width, poses.height)
        xy = (poses.xy[index] + 0.5) * scale - 0.5
        depth = None if poses.xyz is None else np.fmin.reduce(poses.xyz[index, ..., 2], axis=1, initial=np.nan)
        spread = None if self.spread is None else self.spread[index] * scale.mean()
        overlay.draw_people(image, xy, poses.state[index], poses.track_id, poses.skeleton, depth, spread=spread)


def render(
    poses: Poses,
    source: Source,
    path: str | Path,
    *,
    panel: PanelPlace = "side",
    width: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Writes the source as a video with its people in 2D and, if the poses have xyz, a 3D view; with its sound.

    Decoding, drawing and encoding run in parallel. Frames of the source that the poses lack are written unchanged.
    Sound that an .mp4 cannot hold is left out, with a warning of the source.

    Arguments:
        source: of these poses; not live.
        path: the .mp4 file.
        panel: where the 3D view is.
        width: maximum width of the image in the output, px, its height is at most three quarters of that; None keeps
            the size of the source, unless image and 3D view are more than 4096 px long.
        progress: called with the number of frames written, after every frame.

    Raises:
        OccluposeError: the source is live or cannot be read, the file cannot be written, or panel is no such place.
    """
    _refuse_live(source)
    compose = Composer(poses, source, width, panel=panel)
    sound = source.sound
    if sound is not None and not sound.fits_mp4:
        source.warn(f"its sound ({sound.codec}) cannot be copied into an .mp4; {Path(path).name} has none")
        sound = None
    half = source if compose.image_size == (source.width, source.height) else with_half_resolution(source)
    with (
        # half the time, no larger
        VideoWriter(path, compose.width, compose.height, source.fps, preset="veryfast", sound=sound) as writer,
        opencv_on_one_thread(),
        closing(prefetch(half)) as frames,
    ):
        for count, frame in enumerate(frames, 1):
            writer.write(compose(frame), frame.time)
            if progress is not None:
                progress(count)


def preview(poses: Poses, source: Source, path: str | Path, *, width: int = WIDTH) -> None:
    """Writes one image: some frames of a clip with their 3D views, or a single image with two.

    Arguments:
        source: of these poses; not live.
        path: the .png or .jpg file.
        width: maximum width of a single image in the output, px; frames of a clip are half as wide.

    Raises:
        OccluposeError: the source is live or cannot be read, or the file cannot be written.
    """
    _refuse_live(source)
    if source.count == 1:
        write_image(path, Composer(poses, source, width, AZIMUTHS)(next(iter(source))))
        return
    compose = Composer(poses, source, width // 2)
    tiles = [compose(frame) for frame in source.frames_at(_preview_times(poses))]
    columns = 1 if len(tiles) < 2 else 2
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    write_image(path, np.vstack([np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]))


def _fit_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Size of the image in the output, px: even, with the same aspect ratio, at most `max_width` wide."""
    scale = min(max_width / width, MAX_ASPECT * max_width / height, max(1.0, MIN_HEIGHT / height))
    return max(2, 2 * round(scale * width / 2)), max(2, 2 * round(scale * height / 2))


def _limit_size(width: int, height: int, panels: int, panel: PanelPlace) -> tuple[int, int]:
    """Size of the image in the output, px: that of the source, unless it is too long with its panels."""
    length = (height if panel == "below" else width) + panels * min(width, height)
    if not panels or length <= LONGEST:
        return width, height
    scale = LONGEST / length
    return max(2, 2 * int(scale * width / 2)), max(2, 2 * int(scale * height / 2))


def _preview_times(poses: Poses) -> list[float]:
    """Up to six evenly spaced times of the poses, s; of frames with people if there are any."""
    with_people = np.flatnonzero(poses.state.any((1, 2)))
    frames = with_people if len(with_people) else np.arange(len(poses))
    if not len(frames):
        return [0.0]
    chosen = np.unique(np.linspace(0, len(frames) - 1, PREVIEW_FRAMES).round().astype(int))
    return poses.time[frames[chosen]].tolist()


def _refuse_live(source: Source) -> None:
    if source.live:
        raise OccluposeError(f"{source.name}: a live camera cannot be read a second time; record it to a file first")
