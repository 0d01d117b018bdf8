"""Live 3D poses: frame by frame, with any delay.

Frame t is what `TrackLifter` says of it when the record is cut `latency` seconds later. All ours.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.methods.lifter.features import (
    JOINTS,
    Frames,
    Keypoints,
    Memory,
    encode_frame,
    look_ahead,
    stack,
)
from occlupose.methods.lifter.joints import LifterJoints
from occlupose.methods.lifter.lifting import TrackLifter, finish, to_keypoints
from occlupose.methods.lifter.network import Lifted, decode
from occlupose.networks.temporal_transformer import FUTURE, MARGIN, TransformerStream
from occlupose.poses import ABSENT, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import H36M17
from occlupose.tracking import MAX_GAP


@dataclass
class _Waiting:
    """A frame that has not been returned yet. Tensors have a row for each person who is followed now."""

    poses: FramePoses
    joints: LifterJoints
    """Of its people."""
    encoded: Frames


class StreamLifter:
    """Lifts people frame by frame.

    A person who is lost for `MAX_GAP` seconds is forgotten. Memory does not grow with time.

    Arguments:
        lift: camera, height, network, and latency.
        builder: empty; skeleton, frame rate and image size of the detections.
    """

    def __init__(self, lift: TrackLifter, builder: PosesBuilder) -> None:
        self._lift = lift
        self._builder = builder
        self._latency = min(lift.latency, FUTURE)
        self._stream = TransformerStream(lift.lifter.transformer)
        self._memory = Memory(0)
        self._ids: list[int] = []
        """Of the people who are followed, by row."""
        self._seen: dict[int, float] = {}
        """When each was last detected."""
        self._first: dict[int, float] = {}
        self._waiting: deque[_Waiting] = deque()
        self._before = math.nan

    def update(self, poses: FramePoses) -> list[Poses]:
        """Adds the people of the next frame; returns the frames that are final now, one record each."""
        present = np.flatnonzero((poses.state != ABSENT).any(-1))
        joints = LifterJoints.from_detections(poses.xy, poses.score, poses.state, self._builder.skeleton, poses.spread)
        self._follow(poses.track_id[present].tolist(), poses.time)
        rows = {track: row for row, track in enumerate(poses.track_id.tolist()) if row in present}
        keypoints = self._pick(to_keypoints(joints, self._lift.camera), [rows.get(track, -1) for track in self._ids])
        passed = 0.0 if math.isnan(self._before) else poses.time - self._before
        self._before = poses.time
        height = math.nan if self._lift.height is None else self._lift.height
        people = len(self._ids)
        encoded = encode_frame(
            self._memory, keypoints, torch.full((people,), passed), torch.full((people,), height)
        )
        self._stream.push(encoded.channels, poses.time)
        self._waiting.append(_Waiting(poses, joints, encoded))
        found = []
        while self._waiting and self._waiting[0].poses.time <= poses.time - self._latency + MARGIN:
            found.append(self._emit())
        return found

    def finish(self) -> list[Poses]:
        """The remaining frames when the video ends."""
        return [self._emit() for _ in range(len(self._waiting))]

    def _follow(self, ids: list[int], time: float) -> None:
        """Takes up new people, and forgets those who are lost and have no frame that waits."""
        oldest = self._waiting[0].poses.time if self._waiting else time
        kept = [
            row
            for row, track in enumerate(self._ids)
            if track in ids or self._seen[track] >= min(oldest, time - MAX_GAP - MARGIN)
        ]
        new = [track for track in ids if track not in self._ids]
        order = torch.tensor([*kept, *[-1] * len(new)], dtype=torch.long)
        if new or len(kept) < len(self._ids):
            self._ids = [*(self._ids[row] for row in kept), *new]
            self._memory.reorder(order)
            self._stream.reorder(order)
            for waiting in self._waiting:
                waiting.encoded = waiting.encoded.select(order.clamp_min(0)) if kept else _nobody(len(new), waiting)
        for track in ids:
            self._seen[track] = time
            self._first.setdefault(track, time)
        self._seen = {track: self._seen[track] for track in self._ids}
        self._first = {track: self._first[track] for track in self._ids}
'''''' if False else None
