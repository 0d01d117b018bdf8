"""Random windows of mocap clips, all speeds, as one tensor a batch."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from occlupose.datasets.cmu import Clip
from occlupose.errors import OccluposeError

RATE = 30.0
"""Frames a second inside the networks."""

SUBJECT_SHARE = {"01": 0.15, "clips": 0.35}
"""Subjects of whom at most this share of the sequences is drawn. Subject 01 climbs and hangs, the clips share one skeleton."""


class Sequences:
    """Windows at random speeds; longer clips are drawn more often, within SUBJECT_SHARE.

    Arguments:
        window: frames of a window, at RATE.
        speed: how much faster than captured, from and to.
        still: share of windows in which the capture stands still.

    Raises:
        OccluposeError: there is no clip.
    """

    def __init__(self, clips: list[Clip], window: int, speed: tuple[float, float] = (1.0, 1.0), still: float = 0.0) -> None:
        if not clips:
            raise OccluposeError("no motion to train on; give motion capture of subjects that are not held out")
        self.window, self.speed, self.still = window, speed, still
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
        time = (start.unsqueeze(1) + stride.unsqueeze(1) * torch.arange(self.window)).minimum(self.length[clip].unsqueeze(1) - 1.0)
        below = time.long()
        above = (below + 1).minimum(self.length[clip].unsqueeze(1) - 1)
        first = self.first[clip].unsqueeze(1)
        weight = (time - below).view(count, -1, 1, 1)
        return torch.lerp(self.joints[first + below], self.joints[first + above], weight)
