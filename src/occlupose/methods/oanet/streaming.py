"""3D poses while the video goes on: those of lifting the whole video at once, frame by frame, some seconds later.

The pose about the root comes from `LiveLifter`, which computes every layer of the networks once. The root's path is a
fixed-lag smoother: `placement.place` on the frames to come, tied to the two frames before. All ours.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float

from occlupose.frame_poses import PosesBuilder
from occlupose.methods.oanet.lifter.lift import lift_rays
from occlupose.methods.oanet.lifter.live import Finished, LiveLifter
from occlupose.methods.oanet.lifting import SETTLED, Lift, LiftedJoints, LifterJoints
from occlupose.placement import place
from occlupose.poses import ABSENT, FramePoses, Poses
from occlupose.skeletons import BODY22, H36M17
from occlupose.tracking import MAX_GAP

ROOT_STEP = 0.125
"""Seconds of roots that are computed at once: the latency grows by as much, the work falls in proportion."""


@dataclass(frozen=True)
class _Frame:
    """A frame that is not settled yet."""

    frame_poses: FramePoses
    joints: LifterJoints
    """Of its people."""
    rows: dict[int, int]
    """Of those who are present, by id."""


@dataclass(frozen=True)
class _Person:
    """What the next frames of a person need to know of the settled ones."""

    scale: np.float32
    root: Float[np.ndarray, "frame 3"] | None
    """In the last two; None where it was not found."""


class StreamLifter:
    """Lifts people frame by frame, with the result of lifting the whole video at once.

    Frames, people, states and scores are the same; poses about the root agree to 1 mm and roots to 3 cm, for people
    whom the tracker lost for at most `MAX_GAP` seconds, up to 12 m from the camera. Memory does not grow with time.

    Arguments:
        lift: camera, height and networks.
        builder: empty; skeleton, frame rate and image size of the detections.

    Attributes:
        latency: frames between a frame and its poses, at most.
    """

    def __init__(self, lift: Lift, builder: PosesBuilder) -> None:
        self._lift = lift
        self._builder = builder
        self._live = LiveLifter(lift.lifter, builder.fps, patience=MAX_GAP)
        self._tail = ceil(MAX_GAP * builder.fps)
        self._step = max(1, round(ROOT_STEP * builder.fps))
        self._window = self._step + ceil(SETTLED * builder.fps)
        self.latency = self._live.delay + self._window - 1
        self._frames: deque[_Frame] = deque()
        self._answers: deque[Finished] = deque()  # for the first of these frames
        self._people: dict[int, _Person] = {}

    def update(self, frame_poses: FramePoses) -> list[Poses]:
        """Takes the people of the next frame; returns the frames that are settled now, a record each."""
        present = np.flatnonzero((frame_poses.state != ABSENT).any(-1))
        ids = frame_poses.track_id[present]
        joints = LifterJoints.of(frame_poses.xy, frame_poses.score, frame_poses.state, self._builder.skeleton)
        self._frames.append(_Frame(frame_poses, joints, dict(zip(ids.tolist(), present.tolist(), strict=True))))
        answer = self._live.update(ids, joints.rays(self._lift.camera)[present], joints.seen[present])
        if answer is not None:
            self._answers.append(answer)
        return self._settle(self._step) if len(self._answers) == self._window else []

    def finish(self) -> list[Poses]:
        """The frames that are left when the video ends."""
        self._answers += self._live.finish()
        return self._settle(len(self._answers))

    def _settle(self, count: int) -> list[Poses]:
        """Gives out so many frames."""
        ids = sorted({who for answer in islice(self._answers, count) for who in answer.ids.tolist()})
        shape = (count, len(ids), len(H36M17))
        xy = np.full((*shape, 2), np.nan, np.float32)
        xyz = np.full((*shape, 3), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        people = {}
        for column, who in enumerate(ids):
            for first, relative in self._tracks(who, count):
                known = self._people.get(who) if first == 0 else None
                lifted, person = self._place(who, first, relative, count, known)
                span = slice(first, first + len(lifted.state))
                xy[span, column] = lifted.xy
                xyz[span, column] = lifted.xyz
                score[span, column] = lifted.score
                state[span, column] = lifted.state
                if span.stop == count:
                    people[who] = person
        self._people = people
        settled = [self._frames.popleft() for _ in range(count)]
        for _ in range(count):
            self._answers.popleft()
        shared: dict[str, Any] = {
            "track_id": np.array(ids, np.int64),
            "time": np.array([frame.frame_poses.time for frame in settled]),
            "fps": self._builder.fps,
            "width": self._lift.camera.width,
            "height": self._lift.camera.height,
            "camera": self._lift.camera,
        }
        observed = self._observed(settled, ids, shared)
        poses = Poses(xy=xy, xyz=xyz, score=score, state=state, skeleton=H36M17, observed=observed, **shared)
        present = (state != ABSENT).any(-1)
        return [poses.select(slice(frame, frame + 1), poses.track_id[present[frame]]) for frame in range(count)]

    def _tracks(self, who: int, count: int) -> list[tuple[int, Float[np.ndarray, "time 17 3"]]]:
        """First frame and root-relative joints of each track of a person that begins in the next frames. They have one,
        or several if they were away for longer than the tracker waits.
        """
        rows = [np.flatnonzero(answer.ids == who) for answer in self._answers]
        present = np.flatnonzero([len(row) for row in rows])
        tracks = np.split(present, np.flatnonzero(np.diff(present) > 1) + 1)
        return [
            (int(track[0]), np.concatenate([self._answers[frame].xyz[rows[frame]] for frame in track]))
            for track in tracks
            if track[0] < count
        ]

    def _place(
        self, who: int, first: int, relative: Float[np.ndarray, "time 17 3"], count: int, known: _Person | None
    ) -> tuple[LiftedJoints, _Person]:
        """A person from this frame on, as far as frames are given out.

        Arguments:
            known: what the frames before say of the person, if the track does not begin here.
        """
        fps = self._builder.fps
        camera = self._lift.camera
        scale = self._lift.scale(relative, fps) if known is None else known.scale
        before = None if known is None else known.root
        joints = self._joints(who, first)
        pose = self._with_frames_to_come(relative, joints, len(self._answers) - first) * scale
        root = place(pose, *joints[: len(pose)].for_placement(), camera, fps, before=before)
        stop = min(len(relative), count - first)
        lifted = joints[:stop].lifted(pose[:stop], root[:stop], camera)
        path = root[:stop] if before is None else np.concatenate([before, root[:stop]])
        return lifted, _Person(scale, None if np.isnan(path).any() else path[-2:])

    def _with_frames_to_come(
        self, relative: Float[np.ndarray, "time 17 3"], joints: LifterJoints, answered: int
    ) -> Float[np.ndarray, "longer 17 3"]:
        """The poses that the root is computed from: those of the track, and unseen frames after its end, which steady
        it. For a person who is hidden in most of these frames, also provisional poses for the frames that have no
        answers yet, so that the root is interpolated and not extrapolated.
        """
        if len(relative) < answered:
            unseen = min(self._tail, answered - len(relative))
            return np.pad(relative, ((0, unseen), (0, 0), (0, 0)), constant_values=np.nan)
        seen = np.flatnonzero(joints.seen.any(1))
        if (seen < answered).sum() > answered / 2 or not (seen >= answered).any():
            return relative
        rays = joints.rays(self._lift.camera)
        ahead = lift_rays(self._lift.lifter, rays[:, None], joints.seen[:, None], self._builder.fps).xyz[answered:, 0]
        return np.concatenate([relative, ahead])

    def _joints(self, who: int, first: int) -> LifterJoints:
        """A person's detected joints from a frame on; absent where there are none."""
        count = len(self._frames) - first
        xy = np.full((count, len(BODY22), 2), np.nan, np.float32)
        score = np.zeros((count, len(BODY22)), np.float32)
        state = np.zeros((count, len(BODY22)), np.uint8)
        for number, frame in enumerate(islice(self._frames, first, None)):
            if who in frame.rows:
                row = frame.rows[who]
                xy[number] = frame.joints.xy[row]
                score[number] = frame.joints.score[row]
                state[number] = frame.joints.state[row]
        return LifterJoints(xy, score, state, self._builder.skeleton)

    def _observed(self, frames: list[_Frame], ids: list[int], shared: dict[str, Any]) -> Poses:
        """The detections of these people."""
        skeleton = self._builder.skeleton
        shape = (len(frames), len(ids), len(skeleton))
        xy = np.full((*shape, 2), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        for number, frame in enumerate(frames):
            for column, who in enumerate(ids):
                if who in frame.rows:
                    row = frame.rows[who]
                    xy[number, column] = frame.frame_poses.xy[row]
                    score[number, column] = frame.frame_poses.score[row]
                    state[number, column] = frame.frame_poses.state[row]
        return Poses(xy=xy, xyz=None, score=score, state=state, skeleton=skeleton, **shared)
