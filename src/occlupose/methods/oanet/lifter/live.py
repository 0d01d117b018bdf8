"""The lifter beside a camera: the answers of `lift.lift_rays`, frame after frame, each as soon as nothing can change it
any more.

People come and go; all who are there take their steps through the networks together, STRIDE frames at a time, and every
layer keeps what it needs of the frames before (`networks.live`), so that a frame costs the same however long the video
is. Of a step the 2D network has its turn in one frame and the 3D network in the next, so that no frame waits for both.
Ours.
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
from occlupose.methods.oanet.lifter.inputs import (
    CHANNELS,
    MAX_GAP,
    MAX_POSITION_GAP,
    SCALE_SMOOTHING,
    centre_joints,
    interpolate_gaps,
    interpolate_position,
    rotation_to_axis,
    smooth_scale,
    squared_extent,
    stack_channels,
    torso_centre,
)
from occlupose.methods.oanet.lifter.lift import interleave_factor, to_camera_frame, upsample_factor
from occlupose.methods.oanet.lifter.network import Lifter, apply_correction, apply_offset, replace_joints_2d
from occlupose.networks.live import ENDLESS, Clock, Late, LiveTCN, Past, arrange
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import BODY22, H36M17

JOINTS = len(BODY22)
SIZED = MAX_GAP + SCALE_SMOOTHING
"""Frames by which it is late when the size of a person is known, and so what the networks see."""
PLACED = MAX_GAP + MAX_POSITION_GAP
"""And when their place is."""


@dataclass(frozen=True)
class Finished:
    """The people of one frame, lifted."""

    frame: int
    """Its number; the first is 0."""
    ids: Int[np.ndarray, " person"]
    """In rising order."""
    xyz: Float[np.ndarray, "person 17 3"]
    """Metres, relative to the pelvis, axes of the camera frame; H36M-17."""
    rays: Float[np.ndarray, "person 22 2"]
    """Completed 2D joints (BODY22) on the plane z = 1 of the camera frame."""


@dataclass(eq=False)
class _Track:
    """A person from the first frame to the last, and what of them the networks have not got yet."""

    who: int
    born: int
    last: int
    fed: int = 0
    """Frames of the networks that are known."""
    waiting: list[Float[np.ndarray, "22 3"]] = field(default_factory=list)
    """Of these, the ones that the networks have not got: x, y, and whether seen."""
    step: int = 0
    steps: int = ENDLESS

    def add(self, frame: Float[np.ndarray, "22 3"], spacing: int) -> None:
        """Another frame of the video, and unseen ones up to the next."""
        self.waiting += [frame, *[np.zeros_like(frame)] * (spacing - 1)]
        self.fed += spacing

    def end(self, hop: int) -> None:
        """Nothing comes any more: the last frame is held up to a whole step."""
        self.waiting += self.waiting[-1:] * (-self.fed % hop)
        self.steps = ceil(self.fed / hop)

    def take(self, hop: int) -> list[Float[np.ndarray, "22 3"]]:
        """The frames of the next step; behind the end unseen ones."""
        taken = self.waiting[:hop]
        self.waiting = self.waiting[hop:]
        return taken + [np.zeros((JOINTS, 3), np.float32)] * (hop - len(taken))


class LiveLifter:
    """Lifts the people of a video frame by frame.

    What comes out is what `lift_rays` says of each person by themselves from their first frame to their last, and as
    many unseen frames behind it as `patience` and the video have (float32 rounding apart: the tests hold them to 1e-5
    m). In a frame between two of their own a person is there too, unseen.

    Arguments:
        lifter: networks, on any device.
        fps: frames a second.
        patience: seconds after which somebody who is away does not come back; under the same id they are then another
            person.

    Attributes:
        delay: frames between a frame and its answer.

    Raises:
        OccluposeError: a rate or a patience that cannot be.
    """

    def __init__(self, lifter: Lifter, fps: float, *, patience: float = 2.0) -> None:
        if not (0 < fps < inf and 0 <= patience < inf):
            raise OccluposeError(
                f"fps {fps}, patience {patience}: cannot be; give frames a second, and seconds from 0 on"
            )
        self._faster = interleave_factor(fps)
        self._slower = upsample_factor(fps)
        self._patience = ceil(patience * fps)
        self._hop = STRIDE * self._faster  # frames of the networks in a step
        self._lifter = lifter
        self.reset()
        # the networks are late; steps come every STRIDE frames, a person's own lie between them; the 3D network comes a
        # frame later
        frames = self._faster * (self._step.late + 2 * STRIDE) - 2
        self.delay = max(frames // self._slower + 1, self._patience)

    def reset(self) -> None:
        """Forget everybody: the next frame is the first of another video."""
        self._step = _Step(self._lifter)
        self._frames = self._steps = self._told = 0
        self._here: dict[int, _Track] = {}
        self._newborn: list[_Track] = []
        self._batch: list[_Track] = []
        self._halfway: _Halfway | None = None
        self._answers: defaultdict[int, list[tuple[_Track, np.ndarray, np.ndarray]]] = defaultdict(list)

    def update(
        self,
        ids: Int[np.ndarray, " person"],
        rays: Float[np.ndarray, "person 22 2"],
        seen: Bool[np.ndarray, "person 22"],
    ) -> Finished | None:
        """Takes the people of the next frame and answers for that of `delay` frames before; None while there is none.

        Arguments:
            ids: who they are, each once.
            rays: BODY22 joints on the camera's plane z = 1, as (x/z, y/z); anything where not seen.
            seen: which joints to believe.

        Raises:
            OccluposeError: arrays of other shapes, or an id twice.
        """
        if rays.shape != (len(ids), JOINTS, 2) or seen.shape != (len(ids), JOINTS) or len(set(ids.tolist())) < len(ids):
            shapes = f"{len(set(ids.tolist()))} different ids, rays {rays.shape}, seen {seen.shape}"
            raise OccluposeError(
                f"frame {self._frames}: {shapes}; give (person,), (person, {JOINTS}, 2) and (person, {JOINTS})"
            )
        joints = np.concatenate([np.where(seen[..., None], rays, 0), seen[..., None]], -1, dtype=np.float32)
        people = dict(zip(ids.tolist(), joints, strict=True))
        for track in list(self._here.values()):
            if track.who not in people and self._frames - track.last > self._patience:
                self._end(track)
        for who in people:
            if who not in self._here:
                self._here[who] = _Track(who, self._frames, self._frames)
                self._newborn.append(self._here[who])
            self._here[who].last = self._frames
        unseen = np.zeros((JOINTS, 3), np.float32)
        for who, track in self._here.items():
            track.add(people.get(who, unseen), self._slower)
        self._frames += 1
        self._lift()
        while (self._steps + 1) * self._hop <= self._frames * self._slower:
            self._lift()
            self._complete()
        return self._tell() if self._frames > self.delay else None

    def finish(self) -> list[Finished]:
        """The answers for all frames that are left; then forgets everybody."""
        for track in list(self._here.values()):
            self._end(track)
        while self._newborn or self._batch:
            self._lift()
            self._complete()
        rest = [self._tell() for _ in range(self._told, self._frames)]
        self.reset()
        return rest

    def _end(self, track: _Track) -> None:
        track.end(self._hop)
        del self._here[track.who]

    def _complete(self) -> None:
        """The first half of a step of all who have the frames for it; who has been born since the last one waits for
        the next.
        """
        ready = [track for track in self._newborn if track.born * self._slower <= self._steps * self._hop]
        kept = [
            place
            for place, track in enumerate(self._batch)
            if STRIDE * track.step - self._step.late < STRIDE * track.steps
        ]
        if ready or len(kept) < len(self._batch):
            self._newborn = [track for track in self._newborn if track not in ready]
            self._batch = [*(self._batch[place] for place in kept), *ready]
            order = torch.tensor([*kept, *[-1] * len(ready)], dtype=torch.long)
            rows = order.unsqueeze(1) * self._faster + torch.arange(self._faster)
            arrange(self._step, torch.where(order.unsqueeze(1) < 0, -1, rows).flatten())
        self._steps += 1
        if self._batch:
            given = torch.from_numpy(np.array([track.take(self._hop) for track in self._batch]))
            given = given.unflatten(1, (STRIDE, self._faster)).transpose(1, 2).flatten(0, 1)
            steps = torch.tensor([(track.step, track.steps) for track in self._batch]).repeat_interleave(
                self._faster, 0
            )
            self._halfway = self._step.complete(given[..., :2], given[..., 2] > 0, Clock(*steps.T))

    def _lift(self) -> None:
        """The second half, if one is due, and the answers that come out of it."""
        if self._halfway is None:
            return
        answers = self._step.lift(self._halfway)
        self._halfway = None
        xyz, rays = (
            answer.unflatten(0, (-1, self._faster)).transpose(1, 2).flatten(1, 2).numpy() for answer in answers
        )
        for place, track in enumerate(self._batch):
            first = self._faster * (STRIDE * track.step - self._step.late)
            for number in range(max(0, -first), self._hop):
                frame, between = divmod(first + number, self._slower)
                if not between:
                    self._answers[track.born + frame].append((track, xyz[place, number], rays[place, number]))
            track.step += 1

    def _tell(self) -> Finished:
        """The next frame's people: those who were there then, or before and after."""
        frame = self._told
        self._told = self._told + 1
        there = sorted(
            (answer for answer in self._answers.pop(frame, []) if frame <= answer[0].last),
            key=lambda answer: answer[0].who,
        )
        xyz = np.zeros((len(there), len(H36M17), 3), np.float32)
        rays = np.zeros((len(there), JOINTS, 2), np.float32)
        for place, (_, *answer) in enumerate(there):
            xyz[place], rays[place] = answer
        return Finished(frame, np.array([track.who for track, *_ in there], np.int64), xyz, rays)


class _Halfway(NamedTuple):
    """A step between the 2D and the 3D network."""

    clock: Clock
    given: Float[Tensor, "batch 4 channels"]
    complete: Float[Tensor, "batch 4 22 2"]
    size: Float[Tensor, "batch 4 1"]
    anchor: Float[Tensor, "batch 4 2"]


class _Step(nn.Module):
    """`inputs.prepare_inputs` and `Lifter.complete_2d`, then `Lifter.lift` and `lift.to_camera_frame`, on STRIDE frames
    of each sequence at a time.

    Attributes:
        late: frames by which what comes out is late.
    """

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.device = next(lifter.parameters()).device
        self.raw = Past(3 * JOINTS, 2 * MAX_GAP)
        self.extents = Past(2, 2 * SCALE_SMOOTHING)
        self.places = Past(3, 2 * MAX_POSITION_GAP)
        self.before_size = Late(CHANNELS - 1, SCALE_SMOOTHING)
        self.tcn_2d = LiveTCN(lifter.tcn_2d, SIZED)
        self.tcn_3d = LiveTCN(lifter.tcn_3d, self.tcn_2d.late)
        self.late = max(self.tcn_3d.late, PLACED)
        self.before_2d = Late(CHANNELS, self.tcn_2d.late - SIZED, self.device)
        self.before_3d = Late(2 * JOINTS, self.tcn_3d.late - self.tcn_2d.late, self.device)
        self.before_place = Late(3 * len(H36M17) + 2 * JOINTS, self.late - self.tcn_3d.late, self.device)
        self.sizes = Late(1, self.late - SIZED)
        self.anchors = Late(2, self.late - PLACED)

    @torch.inference_mode()
    def complete(
        self, points: Float[Tensor, "batch 4 22 2"], seen: Bool[Tensor, "batch 4 22"], clock: Clock
    ) -> _Halfway:
        """What the networks see, and the completed 2D joints."""
        raw = self.raw(torch.cat([points.flatten(2), seen], -1).mT).mT
        now = slice(MAX_GAP, MAX_GAP + STRIDE)
        whole = interpolate_gaps(raw[..., : 2 * JOINTS].unflatten(2, (JOINTS, 2)), raw[..., 2 * JOINTS :] > 0)
        filled, ages, known = (values[:, now] for values in whole)
        place, there = torso_centre(filled, known)
        centred = centre_joints(filled, known, rotation_to_axis(place))
        size = smooth_scale(clock.hold(self.extents(squared_extent(centred, known)), STRIDE, SIZED + SCALE_SMOOTHING))
        joints = self.before_size(torch.cat([centred.flatten(2), ages.flatten(2)], -1).mT).mT.unflatten(
            2, (2, JOINTS, 2)
        )
        places = self.places(torch.cat([place, there.unsqueeze(2)], -1).mT).mT
        anchor = interpolate_position(places[..., :2], places[..., 2] > 0)
        anchor = anchor[:, MAX_POSITION_GAP : MAX_POSITION_GAP + STRIDE]
        given = stack_channels(joints[:, :, 0], joints[:, :, 1], size).to(self.device)
        correction = self.tcn_2d(given, clock)
        given = self.before_2d(given.mT).mT
        complete = apply_correction(given, correction)
        return _Halfway(clock, given, complete, self.sizes(size.mT).mT, self.anchors(anchor.mT).mT)

    @torch.inference_mode()
    def lift(self, step: _Halfway) -> tuple[Float[Tensor, "batch 4 17 3"], Float[Tensor, "batch 4 22 2"]]:
        """3D joints about the root and completed 2D joints, as `lift.to_camera_frame` has them."""
        away = self.tcn_3d(replace_joints_2d(step.given, step.complete), step.clock)
        complete = self.before_3d(step.complete.flatten(2).mT).mT.unflatten(2, (JOINTS, 2))
        answer = torch.cat([apply_offset(complete, away).flatten(2), complete.flatten(2)], -1)
        xyz, complete = self.before_place(answer.mT).mT.cpu().split([3 * len(H36M17), 2 * JOINTS], -1)
        rotation = rotation_to_axis(step.anchor)
        return to_camera_frame(xyz.unflatten(2, (-1, 3)), complete.unflatten(2, (-1, 2)), step.size, rotation)
