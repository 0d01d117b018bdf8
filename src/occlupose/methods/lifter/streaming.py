"""Live 3D poses: frame by frame, with any delay.

Frame t is what `TrackLifter` says of it when the record is cut `latency` seconds later. With the full look-ahead,
`TOGETHER` seconds of frames are computed at a time. All ours.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from occlupose.body_height import check_height
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.features import (
    Frames,
    Memory,
    encode_frame,
    find_horizon,
    look_ahead,
    pick_rows,
    stack,
)
from occlupose.methods.lifter.joints import LifterJoints, check_skeleton
from occlupose.methods.lifter.lifting import TrackLifter, finish, to_keypoints
from occlupose.methods.lifter.network import LifterOutput, decode
from occlupose.methods.lifter.smoothing import AFTER, BEFORE, LOOK_AHEAD, smooth_lifted
from occlupose.networks.temporal_transformer import FUTURE, MARGIN, TransformerStream
from occlupose.poses import ABSENT, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import H36M17
from occlupose.tracking import MAX_GAP

TOGETHER = 0.25
"""Seconds of frames that are computed together with the full look-ahead, and so the delay that is added to it. Ours."""


@dataclass
class _Frame:
    """A frame that is kept. Tensors have a row for each person who is followed now.

    Attributes:
        detected: ids of its people.
        encoded: input of the network.
        answer: of the network, before it is smoothed, and the joints that it corrects; None while later frames may
            change them.
    """

    poses: FramePoses
    detected: set[int]
    encoded: Frames
    answer: tuple[Tensor, Tensor] | None = None

    @property
    def time(self) -> float:
        """Seconds."""
        return self.poses.time

    def reorder(self, order: Tensor) -> None:
        """Other people, by their previous rows; meaningless for new ones (-1)."""
        self.encoded = self.encoded.reorder(order)
        if self.answer is not None:
            outputs, joints = self.answer
            self.answer = (pick_rows(outputs, order), pick_rows(joints, order))


def check_latency(latency: float) -> None:
    """Raises OccluposeError for a latency below 0."""
    if not latency >= 0:
        raise OccluposeError(f"latency {latency}: give seconds, 0 or more")


class StreamLifter:
    """Lifts people frame by frame.

    A person who is lost for `MAX_GAP` seconds is forgotten. Memory does not grow with time.

    Arguments:
        lift: camera, height and network.
        builder: empty; skeleton, frame rate and image size of the detections.
        latency: seconds of later frames that a pose may depend on; more than `FUTURE` are not needed, and from there on
            `TOGETHER` seconds of frames are returned at a time.

    Raises:
        OccluposeError: the latency or the height is impossible, or the lifter has none of the skeleton's joints.
    """

    def __init__(self, lift: TrackLifter, builder: PosesBuilder, latency: float = FUTURE) -> None:
        check_latency(latency)
        check_height(lift.height)
        check_skeleton(builder.skeleton)
        self._lift = lift
        self._builder = builder
        self._latency = min(latency, FUTURE)
        self._together = TOGETHER if latency >= FUTURE else 0.0
        self._stream = TransformerStream(lift.lifter.transformer)
        self._memory = Memory(0)
        self._ids: list[int] = []
        """Of the people who are followed, by row."""
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        """When each was first and last detected."""
        self._frames: list[_Frame] = []
        self._returned = 0
        """How many of the frames that are kept have been returned."""
        self._pushed = 0
        """How many of them the network has got."""

    def update(self, poses: FramePoses) -> list[Poses]:
        """Adds the people of the next frame; returns the frames that are final now, one record each.

        Raises:
            OccluposeError: the frame is earlier than the one before.
        """
        if self._frames and poses.time < self._frames[-1].time:
            raise OccluposeError(
                f"time {poses.time:g} s: after a frame of {self._frames[-1].time:g} s; give frames in order"
            )
        final = poses.time - self._latency
        found = self._emit_until(final - 2 * MARGIN, 0.0) if self._loses(poses.time) else []
        present = np.flatnonzero((poses.state != ABSENT).any(-1))
        detected = poses.track_id[present].tolist()
        self._follow(detected, poses.time)
        people = len(self._ids)
        passed = poses.time - self._frames[-1].time if self._frames else 0.0
        height = math.nan if self._lift.height is None else self._lift.height
        keypoints = to_keypoints(self._joints(poses, self._ids), self._lift.camera)
        encoded = encode_frame(self._memory, keypoints, torch.full((people,), passed), torch.full((people,), height))
        self._frames.append(_Frame(poses, set(detected), encoded))
        return found + self._emit_until(final + MARGIN, self._together)

    def finish(self) -> list[Poses]:
        """The remaining frames when the video ends."""
        return self._emit_until(math.inf, 0.0)

    def _loses(self, time: float) -> bool:
        """Whether somebody is forgotten at this time."""
        return any(self._last[track] < time - MAX_GAP - MARGIN for track in self._ids)

    def _follow(self, ids: list[int], time: float) -> None:
        """Takes up new people, and forgets those who are lost."""
        kept = [row for row, track in enumerate(self._ids) if self._last[track] >= time - MAX_GAP - MARGIN]
        old = [self._ids[row] for row in kept]
        new = [track for track in ids if track not in old]
        if new or len(old) < len(self._ids):
            self._push()
            order = torch.tensor([*kept, *[-1] * len(new)], dtype=torch.long)
            self._memory.reorder(order)
            self._stream.reorder(order)
            for frame in self._frames:
                frame.reorder(order)
            self._ids = old + new
        self._first = {track: time if track in new else self._first[track] for track in self._ids}
        self._last = {track: time if track in ids else self._last[track] for track in self._ids}

    def _push(self) -> None:
        """Gives the network the frames that it has not got."""
        new = self._frames[self._pushed :]
        if new:
            self._stream.push(stack([one.encoded for one in new]).channels, [one.time for one in new])
            self._pushed = len(self._frames)

    def _emit_until(self, time: float, least: float) -> list[Poses]:
        """The frames up to a time that have not been returned, unless they are fewer than `least` seconds."""
        ready = [one for one in self._frames[self._returned :] if one.time <= time]
        if not ready or ready[-1].time - ready[0].time < least - MARGIN:
            return []
        self._push()
        found = []
        for frames in [ready] if self._together else [[one] for one in ready]:
            found += self._emit(frames)
            self._returned += len(frames)
            self._forget()
        return found

    def _emit(self, frames: list[_Frame]) -> list[Poses]:
        """The first frames that have not been returned."""
        inside = self._until(frames[-1].time + self._latency)
        first = sum(one.time < frames[0].time - BEFORE - MARGIN for one in inside)
        window = [one for one in inside[first:] if one.time <= frames[-1].time + AFTER + MARGIN]
        ids = sorted(set().union(*(one.detected for one in inside[self._returned :])))
        rows = [self._ids.index(track) for track in ids]
        outputs, joints = self._answer(inside, first, len(window))
        encoded = stack([one.encoded for one in window])
        lifted = decode(outputs[rows], joints[rows], encoded.view[rows])
        time = torch.tensor([one.time for one in window], dtype=torch.float64)
        began = torch.tensor([self._first[track] for track in ids], dtype=torch.float64)
        place = self._returned - first
        there = (time >= began[:, None]) & encoded.known[rows].any(-1)
        calm = smooth_lifted(lifted, there, time, slice(place, place + len(frames)))
        found = []
        for number, frame in enumerate(frames):
            later = self._until(frame.time + self._latency)[self._returned + number :]
            detected = set().union(*(one.detected for one in later))
            own = [row for row, track in enumerate(ids) if track in detected and self._first[track] <= frame.time]
            found.append(self._record(frame.poses, [ids[row] for row in own], calm[own, number]))
        return found

    def _until(self, time: float) -> list[_Frame]:
        """The frames up to a time."""
        return [one for one in self._frames if one.time <= time + MARGIN]

    def _answer(self, inside: list[_Frame], first: int, count: int) -> tuple[Tensor, Tensor]:
        """The network's outputs for some frames and the joints that they correct, when the record ends with `inside`.

        Arguments:
            first, count: which frames, of those that are kept.
        """
        ready = [one.answer for one in inside[first : first + count] if one.answer is not None]
        start = first + len(ready)
        stop = first + count
        if start < stop:
            later = inside[start:]
            time = torch.tensor([[one.time for one in later]], dtype=torch.float64)
            horizon = find_horizon(time, torch.tensor([LOOK_AHEAD], dtype=torch.float64))[:, : stop - start]
            people = len(self._ids)
            encoded = stack([one.encoded for one in later])
            ahead, joints = look_ahead(encoded, time.expand(people, -1), horizon.expand(people, -1))
            skipped = len(self._stream.times) - len(self._frames)
            outputs = self._stream.outputs(slice(skipped + start, skipped + stop), ahead, horizon[0])
            for number, frame in enumerate(inside[start:stop]):
                answer = (outputs[:, number], joints[:, number])
                ready.append(answer)
                if inside[-1].time > frame.time + LOOK_AHEAD + MARGIN:
                    frame.answer = answer
        return torch.stack([one for one, _ in ready], 1), torch.stack([one for _, one in ready], 1)

    def _forget(self) -> None:
        """Frames that matter for none that follows."""
        time = self._frames[min(self._returned, len(self._frames) - 1)].time - BEFORE - MARGIN
        count = sum(one.time < time for one in self._frames[: self._returned])
        self._frames = self._frames[count:]
        self._returned -= count
        self._pushed -= count
        self._stream.forget(time)

    def _record(self, poses: FramePoses, ids: list[int], lifted: LifterOutput) -> Poses:
        """One frame as a record."""
        camera = self._lift.camera
        person = finish(self._joints(poses, ids), lifted, camera)
        present = (person.joints.state != ABSENT).any(-1)
        kept = [track for track, is_present in zip(ids, present.tolist(), strict=True) if is_present]
        observed = replace(self._builder, camera=camera, frames=[poses]).poses(kept)
        arrays: dict[str, Any] = {name: values[None, present] for name, values in person.arrays.items()}
        return replace(observed, **arrays, spread=None, skeleton=H36M17, observed=observed)

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
