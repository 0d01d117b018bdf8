"""Measures a front end, by default the default one, on occluded joints: how far off its guesses are, and with what
confidence.

    python benchmarks/hidden.py VIDEO... [--frontend NAME] [--output FILE]

Each video is processed as it is, and again with a still, plain board in front of one limb of a person, for a second
starting at one third of the video. The true position of a joint is that of the first pass, where its confidence was at
least 0.5. Distances are in sides of the person's square bounding box.

Prints the results and writes results/hidden.csv. The median distance and the constant share, measured on the videos
that `benchmarks/noise.py` names, are in `synth.noise.NoiseModel` as `occluded_...`.
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
from occlupose.frontends import build_frontend
from occlupose.media import Frame, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.poses import Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17
from occlupose.synth.noise import MODEL_FPS

LIMBS = (
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow", "left_wrist"),
    ("left_knee", "left_ankle"),
    ("right_knee", "right_ankle"),
    ("left_knee", "left_ankle", "right_knee", "right_ankle"),
)
MARGIN = 0.05
"""Of the board around the joints, in box sides."""
BOARD = (112, 96, 80)
"""Colour of the board, RGB."""


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


def detect(clip: Clip, frontend: str) -> Poses:
    """The people in a clip, in 2D."""
    estimator = OANet(frontend)
    camera = camera_from_fov(clip.width, clip.height)
    frames = list(track(clip, estimator, camera))  # type: ignore[arg-type]
    return PosesBuilder(estimator.skeleton, clip.fps, camera, frames=frames).poses().to(COCO17)


def add_board(clip: Clip, low: np.ndarray, high: np.ndarray, span: slice) -> Clip:
    """The clip with a board in front of this region in these frames."""
    frames = list(clip.frames)
    left, top = np.maximum(low, 0).astype(int)
    right, bottom = np.maximum(high, 0).astype(int)
    for number in range(*span.indices(len(frames))):
        image = frames[number].image.copy()
        image[top:bottom, left:right] = BOARD
        frames[number] = Frame(frames[number].index, frames[number].time, image)
    return replace(clip, frames=frames)


def main(
    videos: Positional[tuple[Path, ...]],
    frontend: str = "movenet",
    output: Path = Path(__file__).parent / "results" / "hidden.csv",
) -> None:
    """Cover limbs and measure the keypoints.

    Args:
        videos: video of real people.
        frontend: name.
        output: table to write.
    """
    offsets = []
    confidences = []
    lost = 0
    for video in videos:
        with open_media(video) as source:
            every = max(1, round(source.fps / MODEL_FPS))
            clip = Clip(list(source)[::every], source.width, source.height, source.fps / every)
        truth = detect(clip, frontend)
        span = slice(len(clip.frames) // 3, min(len(clip.frames), len(clip.frames) // 3 + round(clip.fps)))
        for person in range(len(truth.track_id)):
            for limb in LIMBS:
                joints = COCO17.index(*limb)
                positions = truth.xy[span, person][:, joints]
                reliable = truth.score[span, person][:, joints] >= 0.5
                if not reliable.all(-1).mean() > 0.5:
                    continue
                side = float(np.nanmedian(np.ptp(truth.xy[span, person], axis=1).max(-1)))
                low = np.nanmin(positions, (0, 1)) - MARGIN * side
                high = np.nanmax(positions, (0, 1)) + MARGIN * side
                covered = detect(add_board(clip, low, high, span), frontend)
                if not len(covered.track_id):
                    lost += 1
                    continue
                distances = np.nanmean(np.linalg.norm(covered.xy[span] - truth.xy[span, person, None], axis=-1), (0, 2))
                nearest = int(np.nanargmin(np.where(np.isfinite(distances), distances, 1e9)))
                known = reliable & np.isfinite(covered.xy[span, nearest][:, joints]).all(-1)
                offset = (covered.xy[span, nearest][:, joints] - positions) / side
                offsets.append(np.where(known[..., None], offset, np.nan))
                confidences.append(covered.score[span, nearest][:, joints][known])
    distance = np.concatenate([np.linalg.norm(offset, axis=-1)[np.isfinite(offset).all(-1)] for offset in offsets])
    confidence = np.concatenate(confidences)
    products = np.sum([np.nansum(offset[1:] * offset[:-1]) for offset in offsets])
    squares = np.sum([np.nansum(offset[:-1] ** 2) for offset in offsets])
    constant = np.concatenate([np.nanmean(offset, 0).ravel() for offset in offsets])
    low_confidence = confidence < build_frontend(frontend).min_joint_confidence
    metrics = {
        "trials": len(offsets),
        "lost people": lost,
        "joints": len(distance),
        "median distance": np.median(distance),
        "RMS distance": np.sqrt((distance**2).mean()),
        "RMS distance, low confidence": np.sqrt((distance[low_confidence] ** 2).mean()),
        "RMS distance, high confidence": np.sqrt((distance[~low_confidence] ** 2).mean()),
        "frame-to-frame correlation": products / squares,
        "constant share of the squared distance": 2 * np.nanmean(constant**2) / (distance**2).mean(),
        "share with low confidence": low_confidence.mean(),
        **{f"confidence, decile {decile}": np.quantile(confidence, decile / 10) for decile in range(1, 10)},
    }
    Console().print(metrics)
    write(
        output,
        ("metric", "value"),
        [(name, f"{value:.4g}") for name, value in metrics.items()],
    )


if __name__ == "__main__":
    tyro.cli(main)
