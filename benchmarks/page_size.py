"""How large is the page of ten seconds of video?

    occlupose demo
    python benchmarks/page_size.py out/demo

The poses and the clip of the demonstration are played to and fro for ten seconds. `video` is what lies in the page as
text, `poses` the rest that differs between records. Writes results/page_size.csv, MB.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import tyro
from results import write

from occlupose import Poses, measure_angles
from occlupose.assets import demo_clip
from occlupose.media import VideoWriter, open_media
from occlupose.viewer import write_page
from occlupose.viewer.page.footage import LONG_SIDE

SECONDS = 10
COLUMNS = ("seconds", "frames", "people", "video_mb", "poses_mb", "page_itself_mb", "whole_mb")


def main(run: tyro.conf.Positional[Path]) -> None:
    """Write pages and weigh them.

    Args:
        run: folder of `occlupose demo`.
    """
    poses = Poses.load(run / "poses.npz")
    order = to_and_fro(len(poses), round(SECONDS * poses.fps))
    arrays = {name: values[order] for name, values in poses.arrays.items()}
    long = replace(poses, **arrays, time=np.arange(len(order)) / poses.fps, observed=None)
    with TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        write_video(video, order)
        with open_media(video) as source:
            whole = megabytes(long, source)
        without = megabytes(long, None)
        empty = megabytes(long.select(person=[]), None)
    sizes = (whole - without, without - empty, empty, whole)
    row = [SECONDS, len(order), len(poses.track_id), *(f"{size:.2f}" for size in sizes)]
    write(Path(__file__).parent / "results" / "page_size.csv", COLUMNS, [row])


def to_and_fro(frames: int, count: int) -> np.ndarray:
    """(count,) numbers of frames: 0, 1, ..., the last one, ..., 1, 0, 1, ..."""
    there = np.r_[0:frames, frames - 2 : 0 : -1]
    return np.resize(there, count)


def write_video(path: Path, order: np.ndarray) -> None:
    """The frames of the clip in this order, as small as the page has them."""
    with open_media(demo_clip()) as source:
        scale = LONG_SIDE / max(source.width, source.height)
        size = (round(scale * source.width), round(scale * source.height))
        images = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in source]
        with VideoWriter(path, *size, source.fps) as out:
            for number in order:
                out.write(images[number])


def megabytes(poses: Poses, source: object) -> float:
    """Of the page."""
    angles = measure_angles(poses) if len(poses.track_id) else None
    with TemporaryDirectory() as folder:
        (page,) = write_page(poses, Path(folder) / "page.html", source, angles=angles)
        return page.stat().st_size / 1e6


if __name__ == "__main__":
    tyro.cli(main)
