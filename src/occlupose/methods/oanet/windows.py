"""Random windows of motion capture and of real video, in batches."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.camera_views import AZIMUTHS, to_studio_camera
from occlupose.methods.oanet.inputs import FPS
from occlupose.methods.oanet.masked_inputs import observed_rays
from occlupose.poses import Poses
from occlupose.skeletons import H36M17

MAX_SUBJECT_FRACTION = {"01": 0.15, "clips": 0.35}
"""Largest fraction of the windows that are drawn from these subjects. Subject 01 climbs and hangs, the clips share one
skeleton.
"""


class MocapWindows:
    """Windows of motion capture at random speeds. Longer clips are drawn more often, within MAX_SUBJECT_FRACTION.

    Arguments:
        clips: motion capture of which every joint is known, as `formats.cmu` reads it.
        window: frames of a window, at FPS.
        own_cameras: the clips are in the frames of cameras that filmed them, with y up (`filmed.to_clips`).
        speed: range of the playback speed, 1 being that of the capture.
        still_probability: probability that all frames of a window are the same pose.

    Raises:
        OccluposeError: there is no clip.
    """

    def __init__(
        self,
        clips: list[MotionClip],
        window: int,
        speed: tuple[float, float] = (1.0, 1.0),
        still_probability: float = 0.0,
        *,
        own_cameras: bool = False,
    ) -> None:
        if not clips:
            raise OccluposeError("no motion to train on; give motion capture of subjects that are not held out")
        self.window = window
        self.speed = speed
        self.still_probability = still_probability
        self.own_cameras = own_cameras
        self.step = [clip.fps / FPS for clip in clips]
        self.length = torch.tensor([len(clip.joints) for clip in clips])
        self.first = self.length.cumsum(0) - self.length
        self.joints = torch.from_numpy(np.concatenate([clip.joints for clip in clips]))
        self.weight = self._weights(clips)

    def _weights(self, clips: list[MotionClip]) -> Float[Tensor, "clip"]:
        seconds = np.array([len(clip.joints) / clip.fps for clip in clips])
        subjects = np.array([clip.subject for clip in clips])
        for _ in range(50):  # capping one subject raises the fraction of the other; this converges
            for subject, fraction in MAX_SUBJECT_FRACTION.items():
                own = subjects == subject
                if own.any() and not own.all():
                    seconds[own] *= min(1.0, fraction / (1 - fraction) * seconds[~own].sum() / seconds[own].sum())
        return torch.from_numpy(seconds)

    def draw(self, count: int, generator: Generator) -> Float[Tensor, "batch time 22 3"]:
        """`count` windows, with y up; a clip that is shorter than the window is played to its end and back."""
        clip = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        speed = torch.empty(count).uniform_(*self.speed, generator=generator)
        speed = torch.where(torch.rand(count, generator=generator) < self.still_probability, 0.0, speed)
        stride = speed * torch.tensor([self.step[index] for index in clip])
        slack = self.length[clip] - 1 - stride * (self.window - 1)
        start = torch.rand(count, generator=generator) * slack.clamp_min(0)
        last = self.length[clip].unsqueeze(1) - 1
        time = to_and_fro(start.unsqueeze(1) + stride.unsqueeze(1) * torch.arange(self.window), last)
        below = time.long()
        above = (below + 1).minimum(last)
        first = self.first[clip].unsqueeze(1)
        weight = (time - below).view(count, -1, 1, 1)
        return torch.lerp(self.joints[first + below], self.joints[first + above], weight)

    def film(self, joints: Float[Tensor, "batch time 22 3"], generator: Generator) -> Float[Tensor, "batch time 22 3"]:
        """Windows in the frame of the camera that filmed them, or else of one of the studio cameras."""
        if self.own_cameras:
            return joints * joints.new_tensor([1.0, -1.0, -1.0])
        return to_studio_camera(joints, torch.randint(len(AZIMUTHS), (len(joints),), generator=generator))


def to_and_fro(time: Tensor, last: Tensor) -> Tensor:
    """Times after the last frame of a clip, played to its end and back: no window holds a frozen pose (ours; a motion
    that is played backwards is plausible, a person who stops in mid-air is not).
    """
    phase = time.remainder((2 * last).clamp_min(1))
    return (last - (phase - last).abs()).clamp_min(0)


@dataclass
class Observations2D:
    """2D detections of a batch of sequences, before unreliable joints are dropped; 3D-supervised sequences come
    first.
    """

    xy: Float[Tensor, "batch time 17 2"]
    score: Float[Tensor, "batch time 17"]
    """Confidence, C* of eq. 2, 0..1."""
    truth_2d: Float[Tensor, "batch time 17 2"]
    truth_3d: Float[Tensor, "supervised time 17 3"]
    """Root-relative, metres, camera frame."""
    real_3d: Float[Tensor, "other time 17 3"]
    """Other poses from the same kinds of views in the same numbers, for the discriminators; maybe none."""
    occluded: Bool[Tensor, "batch time 17"]
    present: Bool[Tensor, "batch time 17"]
    """False where the 2D skeleton lacks the joint, or the person is not there."""
    annotated: Bool[Tensor, "batch time 17"]
    """Where the true 2D position is known."""


class VideoWindows:
    """Windows of 2D joints detected in real video, without ground truth. Longer sequences are drawn more often.

    Arguments:
        sequences: one person each, in any skeleton that shares joints with H36M-17.
        window: frames of a window, at FPS (the nearest frames of the video).

    Raises:
        OccluposeError: no sequence, or none with a joint of H36M-17.
    """

    def __init__(self, sequences: list[PoseSequence], window: int) -> None:
        self.window = window
        self.sequences = [_resampled(sequence.poses) for sequence in sequences]
        if not any(present.any() for _, _, present in self.sequences):
            raise OccluposeError("no 2D joints to learn from; give poses files in coco17 or h36m17")
        self.weight = torch.tensor([float(present.any(-1).sum()) for _, _, present in self.sequences])

    def draw(self, count: int, generator: Generator) -> Observations2D:
        """`count` windows; a sequence that is shorter than the window is played to its end and back."""
        chosen = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        position = torch.rand(count, generator=generator)
        windows = []
        for index, fraction in zip(chosen.tolist(), position.tolist(), strict=True):
            length = len(self.sequences[index][0])
            start = round(fraction * max(0, length - self.window))
            frames = to_and_fro(torch.arange(start, start + self.window), torch.tensor(length - 1))
            windows.append([values[frames] for values in self.sequences[index]])
        xy, score, present = map(torch.stack, zip(*windows, strict=True))
        nowhere = torch.zeros_like(present)
        none = xy.new_zeros(0, self.window, len(H36M17), 3)
        return Observations2D(xy, score, xy, none, none, occluded=nowhere, present=present, annotated=nowhere)


def _resampled(poses: Poses) -> tuple[Tensor, Tensor, Tensor]:
    """`observed_rays` at FPS."""
    frames = torch.from_numpy(np.floor(np.arange(0, len(poses) - 0.5, poses.fps / FPS) + 0.5).astype(int))
    rays, score, present = observed_rays(poses)
    return rays[frames], score[frames], present[frames]
