"""Live lifting: the output of `predict.lift_rays`, frame by frame, each as soon as no later frame can change it.

All people take their steps through the networks in one batch, STRIDE frames at a time, and every layer keeps the
earlier frames that it needs (`networks.live`), so the cost of a frame does not depend on the length of the video. The
2D network takes its step in one frame and the 3D network in the next, so that no frame waits for both. Ours.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil, inf
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.methods.oanet.gap_filled_inputs import (
    CHANNELS,
    MAX_JOINT_GAP,
    MAX_POSITION_GAP,
    SCALE_SMOOTHING,
    GapFilledEncoder,
    centre_joints,
    gap_filled_inputs,
    interpolate_gaps,
    interpolate_position,
    smooth_scale,
    squared_extent,
    stack_channels,
    torso_centre,
)
from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.methods.lifter.features import rotation_to_axis
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import interleave_factor, upsample_factor
from occlupose.networks.live import UNKNOWN_LENGTH, DelayLine, HistoryBuffer, LiveTCN, StreamPosition, reorder_batch
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import BODY22, H36M17
from occlupose.tracking import MAX_GAP

JOINTS = len(BODY22)
INPUT_DELAY = MAX_JOINT_GAP + SCALE_SMOOTHING
"""Frames after which a person's scale, and so the input of the networks, is known."""
POSITION_DELAY = MAX_JOINT_GAP + MAX_POSITION_GAP
"""Frames after which a person's position is known."""


@dataclass(frozen=True)
class LiftedFrame:
    """The people of one frame, lifted."""

    frame: int
    """Number of the frame, from 0."""
    track_id: Int[np.ndarray, " person"]
    """Ascending."""
    xyz: Float[np.ndarray, "person 17 3"]
    """Metres, relative to the pelvis, axes of the camera frame; H36M-17."""
    rays: Float[np.ndarray, "person 22 2"]
    """Completed 2D joints (BODY22) on the plane z = 1 of the camera frame."""


@dataclass(eq=False)
class _Track:
    """A person from their first to their last frame, with the frames that the networks have not processed yet."""

    track_id: int
    first: int
    last: int
    length: int = 0
    """Network frames so far."""
    queue: list[Float[np.ndarray, "22 3"]] = field(default_factory=list)
    """Network frames that are not processed yet: x, y, and whether observed."""
    step: int = 0
    steps: int = UNKNOWN_LENGTH

    def append(self, frame: Float[np.ndarray, "22 3"], upsampling: int) -> None:
        """Adds a frame of the video, and unobserved ones up to the next."""
        self.queue += [frame, *[np.zeros_like(frame)] * (upsampling - 1)]
        self.length += upsampling

    def end(self, hop: int) -> None:
        """Ends the track; its last frame is repeated up to a whole step."""
        self.queue += self.queue[-1:] * (-self.length % hop)
        self.steps = ceil(self.length / hop)

    def next_step(self, hop: int) -> list[Float[np.ndarray, "22 3"]]:
        """The frames of the next step; unobserved ones after the end."""
        frames = self.queue[:hop]
        self.queue = self.queue[hop:]
        return frames + [np.zeros((JOINTS, 3), np.float32)] * (hop - len(frames))


class LiveLifter:
    """Lifts the people of a video frame by frame.

    The output is that of `lift_rays` on each person alone, from their first to their last frame, followed by up to
    `max_gap` seconds of unobserved frames as far as the video has them; equal but for float32 rounding (1e-5 m in the
    tests). In a gap between two of their frames a person is present, unobserved.

    Arguments:
        lifter: networks of the shipped preset, on any device.
        fps: frames per second.
        max_gap: seconds; after a longer gap the same id is another person.

    Attributes:
        latency: frames between a frame and its output.

    Raises:
        OccluposeError: an impossible frame rate or gap; networks of the paper's preset, where each frame of a window
            depends on all others.
    """

    def __init__(self, lifter: OANetNetwork, fps: float, *, max_gap: float = MAX_GAP) -> None:
        if not isinstance(lifter.encoder, GapFilledEncoder):
            raise OccluposeError(
                "live lifting: these weights are of the paper's preset, which takes whole windows; give weights of the"
                " shipped preset, or lift recorded video"
            )
        if not (0 < fps < inf and 0 <= max_gap < inf):
            raise OccluposeError(
                f"fps {fps}, max_gap {max_gap}: impossible; give frames per second, and seconds from 0 on"
            )
        self._interleaving = interleave_factor(fps)
        self._upsampling = upsample_factor(fps)
        self._max_gap = ceil(max_gap * fps)
        self._hop = STRIDE * self._interleaving  # network frames in a step
        self._lifter = lifter
        self.reset()
        # besides the delay of the networks: a step waits for STRIDE frames, the steps of a track may start between
        # those of the stream, and the 3D network follows one frame later
        frames = self._interleaving * (self._networks.delay + 2 * STRIDE) - 2
        self.latency = max(frames // self._upsampling + 1, self._max_gap)

    def reset(self) -> None:
        """Forgets all people: the next frame is the first of another video."""
        self._networks = _LiveNetworks(self._lifter)
        self._frames = 0
        self._steps = 0
        self._emitted = 0
        self._active: dict[int, _Track] = {}
        self._new: list[_Track] = []
        self._batch: list[_Track] = []
        self._pending: _Completed | None = None
        self._outputs: defaultdict[int, list[tuple[_Track, np.ndarray, np.ndarray]]] = defaultdict(list)

    def update(
        self,
        track_id: Int[np.ndarray, " person"],
        rays: Float[np.ndarray, "person 22 2"],
        observed: Bool[np.ndarray, "person 22"],
    ) -> LiftedFrame | None:
        """Adds the people of the next frame; returns those of `latency` frames before, None while there are none.

        Arguments:
            track_id: of each person, unique.
            rays: BODY22 joints on the camera's plane z = 1, as (x/z, y/z); ignored where not observed.
            observed: which joints are reliable.

        Raises:
            OccluposeError: arrays of other shapes, or an id twice.
        """
        ids = track_id.tolist()
        people = len(track_id)
        if rays.shape != (people, JOINTS, 2) or observed.shape != (people, JOINTS) or len(set(ids)) < people:
            shapes = f"{len(set(ids))} different ids, rays {rays.shape}, observed {observed.shape}"
            raise OccluposeError(
                f"frame {self._frames}: {shapes}; give (person,), (person, {JOINTS}, 2) and (person, {JOINTS})"
            )
        joints = np.concatenate([np.where(observed[..., None], rays, 0), observed[..., None]], -1, dtype=np.float32)
        self._append(dict(zip(ids, joints, strict=True)))
        self._frames += 1
        self._lift()
        while (self._steps + 1) * self._hop <= self._frames * self._upsampling:
            self._lift()
            self._complete_2d()
        return self._emit() if self._frames > self.latency else None

    def finish(self) -> list[LiftedFrame]:
        """The remaining frames when the video ends; then resets."""
        for track in list(self._active.values()):
            self._end(track)
        while self._new or self._batch:
            self._lift()
            self._complete_2d()
        rest = [self._emit() for _ in range(self._emitted, self._frames)]
        self.reset()
        return rest

    def _append(self, people: dict[int, Float[np.ndarray, "22 3"]]) -> None:
        """Adds a frame to all tracks, after ending tracks with too long a gap and starting those of new people."""
        for track in list(self._active.values()):
            if track.track_id not in people and self._frames - track.last > self._max_gap:
                self._end(track)
        for track_id in people:
            if track_id not in self._active:
                self._active[track_id] = _Track(track_id, self._frames, self._frames)
                self._new.append(self._active[track_id])
            self._active[track_id].last = self._frames
        unobserved = np.zeros((JOINTS, 3), np.float32)
        for track_id, track in self._active.items():
            track.append(people.get(track_id, unobserved), self._upsampling)

    def _end(self, track: _Track) -> None:
        track.end(self._hop)
        del self._active[track.track_id]

    def _complete_2d(self) -> None:
        """The first half of a step. A track that began after the last step joins at the next one."""
        starting = [track for track in self._new if track.first * self._upsampling <= self._steps * self._hop]
        kept = [row for row, track in enumerate(self._batch) if self._is_unfinished(track)]
        if starting or len(kept) < len(self._batch):
            self._new = [track for track in self._new if track not in starting]
            self._batch = [*(self._batch[row] for row in kept), *starting]
            order = torch.tensor([*kept, *[-1] * len(starting)], dtype=torch.long).unsqueeze(1)
            rows = order * self._interleaving + torch.arange(self._interleaving)
            reorder_batch(self._networks, torch.where(order < 0, -1, rows).flatten())
        self._steps += 1
        if self._batch:
            frames = torch.from_numpy(np.array([track.next_step(self._hop) for track in self._batch]))
            frames = frames.unflatten(1, (STRIDE, self._interleaving)).transpose(1, 2).flatten(0, 1)
            steps = torch.tensor([(track.step, track.steps) for track in self._batch])
            position = StreamPosition(*steps.repeat_interleave(self._interleaving, 0).T)
            self._pending = self._networks.complete_2d(frames[..., :2], frames[..., 2] > 0, position)

    def _is_unfinished(self, track: _Track) -> bool:
        return STRIDE * track.step - self._networks.delay < STRIDE * track.steps

    def _lift(self) -> None:
        """The second half of a step, if one is pending, and its outputs by frame."""
        if self._pending is None:
            return
        xyz, rays = map(self._in_time, self._networks.lift(self._pending))
        self._pending = None
        for row, track in enumerate(self._batch):
            first = self._interleaving * (STRIDE * track.step - self._networks.delay)
            for offset in range(max(0, -first), self._hop):
                frame, between = divmod(first + offset, self._upsampling)
                if not between:
                    self._outputs[track.first + frame].append((track, xyz[row, offset], rays[row, offset]))
            track.step += 1

    def _in_time(self, values: Tensor) -> np.ndarray:
        """Interleaved sequences as one."""
        return values.unflatten(0, (-1, self._interleaving)).transpose(1, 2).flatten(1, 2).numpy()

    def _emit(self) -> LiftedFrame:
        """The next frame's people: those present, and those between two of their frames."""
        frame = self._emitted
        self._emitted += 1
        people = [output for output in self._outputs.pop(frame, []) if frame <= output[0].last]
        people.sort(key=lambda output: output[0].track_id)
        xyz = np.zeros((len(people), len(H36M17), 3), np.float32)
        rays = np.zeros((len(people), JOINTS, 2), np.float32)
        for row, output in enumerate(people):
            xyz[row] = output[1]
            rays[row] = output[2]
        return LiftedFrame(frame, np.array([track.track_id for track, *_ in people], np.int64), xyz, rays)


class _Completed(NamedTuple):
    """The state of a step between the 2D and the 3D network."""

    position: StreamPosition
    inputs: OANetInputs
    """Channels of the frames that the 2D network has completed; rotation and scale of those that are returned."""
    completed: Float[Tensor, "batch 4 22 2"]


class _LiveNetworks(nn.Module):
    """`GapFilledEncoder`, `OANetNetwork` and `OANetInputs.to_camera`, on STRIDE frames of each sequence at a time.

    Attributes:
        delay: of the output, frames.
    """

    def __init__(self, lifter: OANetNetwork) -> None:
        super().__init__()
        self.device = next(lifter.parameters()).device
        assert lifter.tcn_2d is not None
        self.to_3d = lifter.to_3d
        self.observations = HistoryBuffer(3 * JOINTS, 2 * MAX_JOINT_GAP)
        self.extents = HistoryBuffer(2, 2 * SCALE_SMOOTHING)
        self.positions = HistoryBuffer(3, 2 * MAX_POSITION_GAP)
        self.joints_until_scale = DelayLine(CHANNELS - 1, SCALE_SMOOTHING)
        self.tcn_2d = LiveTCN(lifter.tcn_2d, INPUT_DELAY)
        self.tcn_3d = LiveTCN(lifter.tcn_3d, self.tcn_2d.delay)
        self.delay = max(self.tcn_3d.delay, POSITION_DELAY)
        self.channels_until_2d = DelayLine(CHANNELS, self.tcn_2d.delay - INPUT_DELAY, self.device)
        self.joints_until_3d = DelayLine(2 * JOINTS, self.tcn_3d.delay - self.tcn_2d.delay, self.device)
        outputs = 3 * len(H36M17) + 2 * JOINTS
        self.outputs_until_position = DelayLine(outputs, self.delay - self.tcn_3d.delay, self.device)
        self.scales = DelayLine(1, self.delay - INPUT_DELAY)
        self.centres = DelayLine(2, self.delay - POSITION_DELAY)

    @torch.inference_mode()
    def complete_2d(
        self, points: Float[Tensor, "batch 4 22 2"], observed: Bool[Tensor, "batch 4 22"], position: StreamPosition
    ) -> _Completed:
        """The input of the networks, and the completed 2D joints."""
        history = self.observations(torch.cat([points.flatten(2), observed], -1).mT).mT
        coordinates = history[..., : 2 * JOINTS].unflatten(2, (JOINTS, 2))
        filled, ages, known = interpolate_gaps(coordinates, history[..., 2 * JOINTS :] > 0)
        now = slice(MAX_JOINT_GAP, MAX_JOINT_GAP + STRIDE)
        filled = filled[:, now]
        ages = ages[:, now]
        known = known[:, now]
        torso, has_torso = torso_centre(filled, known)
        centred = centre_joints(filled, known, rotation_to_axis(torso))
        extents = self.extents(squared_extent(centred, known))
        scale = smooth_scale(position.repeat_ends(extents, STRIDE, INPUT_DELAY + SCALE_SMOOTHING))
        joints = self.joints_until_scale(torch.cat([centred.flatten(2), ages.flatten(2)], -1).mT).mT
        joints = joints.unflatten(2, (2, JOINTS, 2))
        positions = self.positions(torch.cat([torso, has_torso.unsqueeze(2)], -1).mT).mT
        centre = interpolate_position(positions[..., :2], positions[..., 2] > 0)
        centre = centre[:, MAX_POSITION_GAP : MAX_POSITION_GAP + STRIDE]
        channels = stack_channels(joints[:, :, 0], joints[:, :, 1], scale).to(self.device)
        correction = self.tcn_2d(channels, position)
        channels = self.channels_until_2d(channels.mT).mT
        rotation = rotation_to_axis(self.centres(centre.mT).mT)
        inputs = gap_filled_inputs(channels, rotation, self.scales(scale.mT).mT)
        return _Completed(position, inputs, inputs.corrected(correction))

    @torch.inference_mode()
    def lift(self, step: _Completed) -> tuple[Float[Tensor, "batch 4 17 3"], Float[Tensor, "batch 4 22 2"]]:
        """Root-relative 3D joints and completed 2D joints, in the camera's frame."""
        offset = self.tcn_3d(step.inputs.channels(step.completed), step.position)
        completed = self.joints_until_3d(step.completed.flatten(2).mT).mT.unflatten(2, (JOINTS, 2))
        outputs = torch.cat([self.to_3d(completed, offset).flatten(2), completed.flatten(2)], -1)
        xyz, completed = self.outputs_until_position(outputs.mT).mT.cpu().split([3 * len(H36M17), 2 * JOINTS], -1)
        rays, xyz = step.inputs.to_camera(completed.unflatten(2, (-1, 2)), xyz.unflatten(2, (-1, 3)))
        return xyz, rays
