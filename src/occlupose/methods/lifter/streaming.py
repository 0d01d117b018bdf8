"""Live 3D poses: frame by frame, with any delay.

Frame t is what `TrackLifter` says of it when the record is cut `latency` seconds later. All ours.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch

from occlupose.methods.lifter.features import Frames, Memory, encode_frame, look_ahead, stack
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
    """A frame that has not been returned yet.

    Attributes:
        detected: ids of its people.
        encoded: with a row for each person who is followed now.
    """

    poses: FramePoses
    detected: set[int]
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
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        """When each was first and last detected."""
        self._waiting: deque[_Waiting] = deque()
        self._before: float | None = None

    def update(self, poses: FramePoses) -> list[Poses]:
        """Adds the people of the next frame; returns the frames that are final now, one record each."""
        found = []
        while self._waiting and self._waiting[0].poses.time + self._latency + MARGIN < poses.time:
            found.append(self._emit())  # before its people are forgotten, if nothing came for long
        present = np.flatnonzero((poses.state != ABSENT).any(-1))
        detected = poses.track_id[present].tolist()
        self._follow(detected, poses.time)
        people = len(self._ids)
        passed = 0.0 if self._before is None else poses.time - self._before
        self._before = poses.time
        height = math.nan if self._lift.height is None else self._lift.height
        keypoints = to_keypoints(self._joints(poses, self._ids), self._lift.camera)
        encoded = encode_frame(self._memory, keypoints, torch.full((people,), passed), torch.full((people,), height))
        self._stream.push(encoded.channels, poses.time)
        self._waiting.append(_Waiting(poses, set(detected), encoded))
        while self._waiting and self._waiting[0].poses.time <= poses.time - self._latency + MARGIN:
            found.append(self._emit())
        return found

    def finish(self) -> list[Poses]:
        """The remaining frames when the video ends."""
        return [self._emit() for _ in range(len(self._waiting))]

    def _follow(self, ids: list[int], time: float) -> None:
        """Takes up new people, and forgets those who are lost."""
        kept = [row for row, track in enumerate(self._ids) if self._last[track] >= time - MAX_GAP - MARGIN]
        old = [self._ids[row] for row in kept]
        new = [track for track in ids if track not in old]
        if new or len(old) < len(self._ids):
            order = torch.tensor([*kept, *[-1] * len(new)], dtype=torch.long)
            self._memory.reorder(order)
            self._stream.reorder(order)
            for waiting in self._waiting:
                waiting.encoded = waiting.encoded.reorder(order)
            self._ids = old + new
        self._first = {track: time if track in new else self._first[track] for track in self._ids}
        self._last = {track: time if track in ids else self._last[track] for track in self._ids}

    def _emit(self) -> Poses:
        """The first frame that waits."""
        first = self._waiting[0]
        start = first.poses.time
        inside = [one for one in self._waiting if one.poses.time <= start + self._latency + MARGIN]
        times = torch.tensor([[one.poses.time for one in inside]], dtype=torch.float64).expand(len(self._ids), -1)
        ahead, middle = look_ahead(stack([one.encoded for one in inside]), times, times[:, -1:])
        outputs = self._stream.pop(ahead[:, 0], inside[-1].poses.time)
        self._waiting.popleft()
        known = set().union(*(one.detected for one in inside))
        rows = [row for row, track in enumerate(self._ids) if track in known and self._first[track] <= start]
        rows.sort(key=lambda row: self._ids[row])
        lifted = decode(outputs[rows], middle[rows, 0], first.encoded.view[rows])
        return self._record(first.poses, [self._ids[row] for row in rows], lifted)

    def _record(self, poses: FramePoses, ids: list[int], lifted: Lifted) -> Poses:
        """One frame as a record."""
        camera = self._lift.camera
        observed = replace(self._builder, camera=camera, frames=[poses]).poses(ids).to_2d()
        person = finish(self._joints(poses, ids), lifted, camera)
        lifted_poses = replace(
            observed,
            xy=person.joints.xy[None],
            xyz=person.joints.xyz[None],
            score=person.joints.score[None],
            state=person.joints.state[None],
            covariance=person.covariance[None],
            root_covariance=person.root_covariance[None],
            spread=None,
            skeleton=H36M17,
            observed=observed,
        )
        return lifted_poses.select(person=observed.track_id[(person.joints.state != ABSENT).any(-1)])

    def _joints(self, poses: FramePoses, ids: list[int]) -> LifterJoints:
        """The detected joints of these people in a frame; absent where they are not in it."""
        row = {track: number for number, track in enumerate(poses.track_id.tolist())}
        rows = np.array([row.get(track, -1) for track in ids], np.int64)
        nobody = rows < 0

        def pick(values: np.ndarray, absent: float) -> np.ndarray:
            picked = np.full((len(ids), *values.shape[1:]), absent, values.dtype)
            picked[~nobody] = values[rows[~nobody]]
            return picked

        return LifterJoints.from_detections(
            pick(poses.xy, np.nan),
            pick(poses.score, 0),
            pick(poses.state, ABSENT),
            self._builder.skeleton,
            None if poses.spread is None else pick(poses.spread, np.nan),
        )
