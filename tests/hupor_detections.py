"""Detections of people made of formulas, in place of HUPOR's networks; and small, untrained weights of HUPOR."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.networks.mspn import StageSize
from occlupose.poses import ABSENT, OCCLUDED, Poses
from occlupose.skeletons import MPI15
from walking_people import make_poses, stand, walk

WIDTH = 320
HEIGHT = 180


@dataclass
class FixedPredictions:
    """Returns given detections frame by frame, in place of HUPOR's networks; starts again after the last."""

    frames: list[Detections]
    cameras: list[Camera] = field(default_factory=list)

    def __call__(self, image: np.ndarray, camera: Camera) -> Detections:
        self.cameras.append(camera)
        return self.frames[(len(self.cameras) - 1) % len(self.frames)]


def detections_of(poses: Poses, frame: int, who: list[int]) -> Detections:
    """Some of the people of one frame, in this order."""
    parts = {name: getattr(poses, name)[frame, who] for name in ("xy", "xyz", "score", "state")}
    return Detections(skeleton=MPI15, **parts)


def three_people(frames: int) -> Poses:
    """Three people of MPI15 joints at 10 frames a second: one who walks, one with a hidden left arm, one without
    right leg.
    """
    walking = walk(lambda time: np.stack([-1.5 + 0.5 * time, 5 + 0 * time], -1), frames)
    poses = make_poses(walking, stand(0.3, 4, frames), stand(2, 7, frames), width=WIDTH, height=HEIGHT).to(MPI15)
    arm = MPI15.index(*("left_elbow", "left_wrist"))
    leg = MPI15.index(*("right_knee", "right_ankle"))
    state = poses.state.copy()
    score = 0.9 * poses.score
    xy = poses.xy.copy()
    xyz = poses.xyz.copy()
    state[:, 1, arm] = OCCLUDED
    score[:, 1, arm] = 0.4
    state[:, 2, leg] = ABSENT
    score[:, 2, leg] = 0
    xy[:, 2, leg] = np.nan
    xyz[:, 2, leg] = np.nan
    return replace(poses, state=state, score=score, xy=xy, xyz=xyz)


def predictions_when(poses: Poses, *presence: str) -> FixedPredictions:
    """People in the frames for which their word has an x, listed in an order that changes."""
    frames = []
    for frame in range(len(presence[0])):
        there = [person for person, letters in enumerate(presence) if letters[frame] == "x"]
        frames.append(detections_of(poses, frame, there[:: 1 if frame % 2 else -1]))
    return FixedPredictions(frames)


def people_in_rows(count: int) -> Detections:
    """A number of people who stand in rows."""
    places = [(-6 + 12 * (number % 12) / 11, 7 + 2 * (number // 12)) for number in range(count)]
    return detections_of(
        make_poses(*(stand(*place, frames=1) for place in places or [(0, 5)]), width=WIDTH, height=HEIGHT).to(MPI15),
        0,
        list(range(count)),
    )


def write_hupor(path: Path, *, broken: str | None = None) -> Path:
    """Weights of a small network that finds nobody.

    Arguments:
        broken: a tensor of its that becomes NaN.
    """
    torch.manual_seed(0)
    size = StageSize((1, 1, 1, 1), (4, 4, 8, 8), 8)
    networks = HUPORNetwork(HUPORDesign(64, 64, stages=1, size=size, reasoner_stages=1, reasoner_size=size))
    if broken is not None:
        networks.get_parameter(broken).data.fill_(np.nan)
    weights.save(weights.TrainedHUPOR(networks), path)
    return path
