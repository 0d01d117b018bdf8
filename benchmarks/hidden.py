"""Measures what the default front end says of joints that something hides: how far off its guess is, and how much
evidence it gives.

    python benchmarks/hidden.py VIDEO...

Each video is watched as it is, and again with a still, plain board before a limb of one person, for a second from one
third of the video on. Where the joint truly is, is taken from the first pass, where that had evidence of at least 0.5.
Prints the figures and writes results/hidden.csv; `synth.noise` has them as OCCLUDED_..., measured on the videos that
`benchmarks/noise.py` names. Distances are in sides of the person's square box.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from results import write
from rich.console import Console
from tyro.conf import Positional

from occlupose.cameras import camera_from_fov
from occlupose.estimator import track
from occlupose.frame_poses import PosesBuilder
from occlupose.media import Frame, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.poses import Poses
from occlupose.skeletons import COCO17
from occlupose.synth.noise import MIN_CONFIDENCE, MODEL_FPS

LIMBS = (
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow", "left_wrist"),
    ("left_knee", "left_ankle"),
    ("right_knee", "right_ankle"),
    ("left_knee", "left_ankle", "right_knee", "right_ankle"),
)
MARGIN = 0.05
"""Of the board round the joints, in box sides."""
BOARD = (112, 96, 80)
"""Its colour."""


@dataclass
class Clip:
    """A short video in memory, for `track`."""

    frames: list[Frame]
    width: int
    height: int
    fps: float
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def observed(clip: Clip) -> Poses:
    """Everybody in the clip, in 2D, with their confidence."""
    estimator = OANet()
    camera = camera_from_fov(clip.width, clip.height)
    frames = list(track(clip, estimator, camera))  # type: ignore[arg-type]
    return PosesBuilder(estimator.skeleton, clip.fps, camera, frames=frames).poses()


def board(clip: Clip, low: np.ndarray, high: np.ndarray, span: slice) -> Clip:
    """The clip with a board before this part of the picture in these frames."""
    frames = list(clip.frames)
    (left, top) = np.maximum(low, 0).astype(int)
    (right, bottom) = np.maximum(high, 0).astype(int)
    for number in range(*span.indices(len(frames))):
        image = frames[number].image.copy()
        image[top:bottom, left:right] = BOARD
        frames[number] = Frame(frames[number].index, frames[number].time, image)
    return replace(clip, frames=frames)


def main(videos: Positional[tuple[Path, ...]]) -> None:
    """Covers limbs and looks what becomes of them.

    Args:
        videos: real video of people.
    """
    offsets = []
    beliefs = []
    lost = 0
    for video in videos:
        with open_media(video) as source:
            every = max(1, round(source.fps / MODEL_FPS))
            clip = Clip(list(source)[::every], source.width, source.height, source.fps / every)
        truth = observed(clip)
        span = slice(len(clip.frames) // 3, min(len(clip.frames), len(clip.frames) // 3 + round(clip.fps)))
        for person in range(len(truth.track_id)):
            for limb in LIMBS:
                joints = COCO17.index(*limb)
                places = truth.xy[span, person][:, joints]
                sure = truth.score[span, person][:, joints] >= 0.5
                if not sure.all(-1).mean() > 0.5:
                    continue
                side = float(np.nanmedian(np.ptp(truth.xy[span, person], axis=1).max(-1)))
                low = np.nanmin(places, (0, 1)) - MARGIN * side
                high = np.nanmax(places, (0, 1)) + MARGIN * side
                seen = observed(board(clip, low, high, span))
                if not len(seen.track_id):
                    lost += 1
                    continue
                apart = np.nanmean(np.linalg.norm(seen.xy[span] - truth.xy[span, person, None], axis=-1), (0, 2))
                nearest = int(np.nanargmin(np.where(np.isfinite(apart), apart, 1e9)))
                there = sure & np.isfinite(seen.xy[span, nearest][:, joints]).all(-1)
                offset = (seen.xy[span, nearest][:, joints] - places) / side
                offsets.append(np.where(there[..., None], offset, np.nan))
                beliefs.append(seen.score[span, nearest][:, joints][there])
    distance = np.concatenate([np.linalg.norm(offset, axis=-1)[np.isfinite(offset).all(-1)] for offset in offsets])
    belief = np.concatenate(beliefs)
    products = (
        [np.nansum(offset[1:] * offset[:-1]) for offset in offsets],
        [np.nansum(offset[:-1] ** 2) for offset in offsets],
    )
    staying = np.concatenate([np.nanmean(offset, 0).ravel() for offset in offsets])
    doubted = belief < MIN_CONFIDENCE
    figures = {
        "trials": len(offsets),
        "people lost": lost,
        "joints": len(distance),
        "distance, median": np.median(distance),
        "distance, root mean square": np.sqrt((distance**2).mean()),
        "distance of the doubted, root mean square": np.sqrt((distance[doubted] ** 2).mean()),
        "distance of the believed, root mean square": np.sqrt((distance[~doubted] ** 2).mean()),
        "correlation from frame to frame": np.sum(products[0]) / np.sum(products[1]),
        "share of the square that stays": 2 * np.nanmean(staying**2) / (distance**2).mean(),
        "share with evidence below the threshold": doubted.mean(),
        **{f"evidence, decile {decile}": np.quantile(belief, decile / 10) for decile in range(1, 10)},
    }
    Console().print(figures)
    write(
        Path(__file__).parent / "results" / "hidden.csv",
        ("figure", "value"),
        [(name, f"{value:.4g}") for name, value in figures.items()],
    )


if __name__ == "__main__":
    tyro.cli(main)
