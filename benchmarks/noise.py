"""Measures the errors of a front end over time on real video, and writes the noise model for training.

    python benchmarks/noise.py VIDEO... [--frontend NAME] [--output FILE]

All videos must have one frame rate, of at least 50 frames/s. Without a video: the demonstration clip. The shipped
figures were measured on the eight clips Demo_SinglePerson/videos and Demo_MultiPerson/videos of the pose2sim 0.9.8
wheel (BSD-3).
"""

from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from tyro.conf import Positional

from occlupose.assets import demo_clip
from occlupose.cameras import camera_from_fov
from occlupose.estimator import track
from occlupose.media import open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17
from occlupose.synth.noise import SHIPPED, fit_noise


def main(videos: Positional[tuple[Path, ...]] = (), frontend: str = "movenet", output: Path = SHIPPED) -> None:
    """Fits the noise model.

    Args:
        videos: real video of people.
        frontend: name.
        output: JSON file to write.
    """
    tracks = []
    for video in videos or (demo_clip(),):
        source = open_media(video)
        estimator = OANet(frontend)
        camera = camera_from_fov(source.width, source.height)
        frames = list(track(source, estimator, camera))
        poses = PosesBuilder(estimator.skeleton, source.fps, camera, frames=frames).poses().to(COCO17)
        for person in range(len(poses.track_id)):
            present = (poses.state[:, person] > 0).any(-1)
            for span in np.ma.clump_unmasked(np.ma.masked_array(present, ~present)):
                tracks.append((poses.xy[span, person].astype(float), poses.score[span, person]))
    model = fit_noise(tracks, source.fps, estimator.min_joint_confidence)
    model.save(output)
    Console().print(model)


if __name__ == "__main__":
    tyro.cli(main)
