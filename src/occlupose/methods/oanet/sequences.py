"""Random windows of mocap clips and of real video, one tensor a batch."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from occlupose.cameras import Camera
from occlupose.datasets.cmu import Clip
from occlupose.datasets.take import Take
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, VISIBLE, Poses
from occlupose.skeletons import H36M17

RATE = 30.0
"""Frames a second inside the networks."""

SUBJECT_SHARE = {"01": 0.15, "clips": 0.35}
"""Subjects of whom at most this share of the sequences is drawn. Subject 01 climbs and hangs, the clips share one
skeleton.
"""


class Sequences:
    """Windows at random speeds; longer clips are drawn more often, within SUBJECT_SHARE.

    Arguments:
        window: frames of a window, at RATE.
        speed: how much faster than captured, from and to.
        still: share of windows in which the capture stands still.

    Raises:
        OccluposeError: there is no clip.
    """

    def __init__(
        self, clips: list[Clip], window: int, speed: tuple[float, float] = (1.0, 1.0), still: float = 0.0
    ) -> None:
        if not clips:
            raise OccluposeError("no motion to train on; give motion capture of subjects that are not held out")
        self.window = window
        self.speed = speed
        self.still = still
        self.step = [clip.fps / RATE for clip in clips]
        self.length = torch.tensor([len(clip.joints) for clip in clips])
        self.first = self.length.cumsum(0) - self.length
        self.joints = torch.from_numpy(np.concatenate([clip.joints for clip in clips]))
        self.weight = self._weights(clips)

    def _weights(self, clips: list[Clip]) -> Float[Tensor, "clip"]:
        seconds = np.array([len(clip.joints) / clip.fps for clip in clips])
        subjects = np.array([clip.subject for clip in clips])
        for _ in range(50):  # capping one raises the others' shares; this settles
            for subject, share in SUBJECT_SHARE.items():
                own = subjects == subject
                if own.any() and not own.all():
                    seconds[own] *= min(1.0, share / (1 - share) * seconds[~own].sum() / seconds[own].sum())
        return torch.from_numpy(seconds)

    def draw(self, count: int, generator: Generator) -> Float[Tensor, "batch time 22 3"]:
        """So many windows; where a clip is shorter than the window its last pose is held."""
        clip = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        speed = torch.empty(count).uniform_(*self.speed, generator=generator)
        speed = torch.where(torch.rand(count, generator=generator) < self.still, 0.0, speed)
        stride = speed * torch.tensor([self.step[number] for number in clip])
        room = self.length[clip] - 1 - stride * (self.window - 1)
        start = torch.rand(count, generator=generator) * room.clamp_min(0)
        time = (start.unsqueeze(1) + stride.unsqueeze(1) * torch.arange(self.window)).minimum(
            self.length[clip].unsqueeze(1) - 1.0
        )
        below = time.long()
        above = (below + 1).minimum(self.length[clip].unsqueeze(1) - 1)
        first = self.first[clip].unsqueeze(1)
        weight = (time - below).view(count, -1, 1, 1)
        return torch.lerp(self.joints[first + below], self.joints[first + above], weight)


@dataclass
class Sight:
    """Sequences as the 2D network sees them, before one decides what to believe; those whose 3D is used come first."""

    xy: Float[Tensor, "batch time 17 2"]
    evidence: Float[Tensor, "batch time 17"]
    """C* of eq. 2, 0..1."""
    truth_2d: Float[Tensor, "batch time 17 2"]
    truth_3d: Float[Tensor, "labelled time 17 3"]
    """Root-relative, metres, camera frame."""
    hidden: Bool[Tensor, "batch time 17"]
    there: Bool[Tensor, "batch time 17"]
    """False where the 2D skeleton lacks the joint, or the person is away."""
    annotated: Bool[Tensor, "batch time 17"]
    """Whose place in the picture is known."""


class Footage:
    """Windows of real 2D, as a front end gave it: nobody knows the truth. Longer takes are drawn more often.

    Arguments:
        takes: one person each, in any skeleton that shares joints with H36M-17.
        window: frames of a window, at RATE (the nearest frames of the video).

    Raises:
        OccluposeError: no take, or none with a joint of H36M-17.
    """

    def __init__(self, takes: list[Take], window: int) -> None:
        self.window = window
        self.takes = [_resampled(take.poses) for take in takes]
        if not any(there.any() for _, _, there in self.takes):
            raise OccluposeError("no 2D joints to learn from; give poses files in coco17 or h36m17")
        self.weight = torch.tensor([float(there.any(-1).sum()) for _, _, there in self.takes])

    def draw(self, count: int, generator: Generator) -> Sight:
        """So many windows; where a take is shorter than the window its last frame is held."""
        chosen = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        luck = torch.rand(count, generator=generator)
        windows = []
        for number, share in zip(chosen.tolist(), luck.tolist(), strict=True):
            length = len(self.takes[number][0])
            begin = round(share * max(0, length - self.window))
            frames = torch.arange(begin, begin + self.window).clamp_max(length - 1)
            windows.append([values[frames] for values in self.takes[number]])
        xy, evidence, there = (torch.stack(parts) for parts in zip(*windows, strict=True))
        unknown = torch.zeros_like(there)
        return Sight(xy, evidence, xy, xy.new_zeros(0, self.window, len(H36M17), 3), unknown, there, unknown)


def _resampled(poses: Poses) -> tuple[Tensor, Tensor, Tensor]:
    """What `from_front_end` says, at RATE."""
    frames = torch.from_numpy(np.floor(np.arange(0, len(poses) - 0.5, poses.fps / RATE) + 0.5).astype(int))
    rays, evidence, there = from_front_end(poses)
    return rays[frames], evidence[frames], there[frames]


def from_front_end(
    poses: Poses,
) -> tuple[Float[Tensor, "time 17 2"], Float[Tensor, "time 17"], Bool[Tensor, "time 17"]]:
    """One person's joints on the plane z = 1, their evidence (none of those that are not visible), and where they are
    at all.
    """
    poses = poses.to(H36M17)
    camera = poses.camera or Camera.from_fov(poses.width, poses.height)
    state = poses.state[:, 0]
    evidence = np.where(state == VISIBLE, poses.score[:, 0], 0.0).astype(np.float32)
    rays = np.nan_to_num(camera.rays(poses.xy[:, 0])[..., :2]).astype(np.float32)
    return torch.from_numpy(rays), torch.from_numpy(evidence), torch.from_numpy(state != ABSENT)
