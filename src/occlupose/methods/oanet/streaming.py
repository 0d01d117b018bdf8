"""Live 3D poses: frame by frame, with the result of lifting the whole video at once, and a latency of some seconds.

Root-relative poses come from `LiveLifter`, which computes every layer of the networks once. The root trajectory is a
fixed-lag smoother: `estimate_root_trajectory` on the following frames, given the root in the two previous frames. All
ours.
"""

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil

import numpy as np
from jaxtyping import Float

from occlupose.methods.lifter.joints import LiftedJoints, LifterJoints
from occlupose.methods.oanet.lifting import ROOT_LOOK_AHEAD, TrackLifter
from occlupose.methods.oanet.live import LiftedFrame, LiveLifter
from occlupose.methods.oanet.predict import lift_rays
from occlupose.poses import ABSENT, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.root_trajectory import estimate_root_trajectory
from occlupose.skeletons import BODY22, H36M17
from occlupose.tracking import MAX_GAP

ROOT_STEP = 0.125
"""Seconds of root trajectory that are computed at once: more is less work and more latency."""


@dataclass(frozen=True)
class _Frame:
    """A frame that has not been returned yet."""

    frame_poses: FramePoses
    joints: LifterJoints
    """Of its people."""
    rows: dict[int, int]
    """Row of each present person, by track id."""


@dataclass(frozen=True)
class _Person:
    """State of a person between frames."""

    scale: np.float32
    root: Float[np.ndarray, "frame 3"] | None
    """Root in the last two frames; None where it is unknown."""


class StreamLifter:
    """Lifts people frame by frame, with the result of lifting the whole video at once.

    Frames, people, states and scores are the same; root-relative poses agree to 1 mm and roots to 3 cm, for gaps in a
    track of at most `MAX_GAP` seconds, up to 12 m from the camera. Memory does not grow with time.

    Arguments:
        lift: camera, height and networks.
        builder: empty; skeleton, frame rate and image size of the detections.

    Attributes:
        latency: frames between a frame and its poses, at most.
    """

    def __init__(self, lift: TrackLifter, builder: PosesBuilder) -> None:
        self._lift = lift
        self._builder = builder
        self._live = LiveLifter(lift.lifter, builder.fps)
        self._max_gap = ceil(MAX_GAP * builder.fps)
        self._step = max(1, round(ROOT_STEP * builder.fps))
        self._window = self._step + ceil(ROOT_LOOK_AHEAD * builder.fps)
        self.latency = self._live.latency + self._window - 1
        self._frames: deque[_Frame] = deque()
        self._lifted: deque[LiftedFrame] = deque()  # of the oldest of these frames
        self._people: dict[int, _Person] = {}

    def update(self, frame_poses: FramePoses) -> list[Poses]:
        """Adds the people of the next frame; returns the frames that are final now, one record each."""
        present = np.flatnonzero((frame_poses.state != ABSENT).any(-1))
        ids = frame_poses.track_id[present]
        joints = LifterJoints.from_detections(
            frame_poses.xy, frame_poses.score, frame_poses.state, self._builder.skeleton
        )
        self._frames.append(_Frame(frame_poses, joints, dict(zip(ids.tolist(), present.tolist(), strict=True))))
        rays = joints.rays(self._lift.camera)
        lifted = self._live.update(ids, rays[present], joints.observed[present])
        if lifted is not None:
            self._lifted.append(lifted)
        return self._emit(self._step) if len(self._lifted) == self._window else []

    def finish(self) -> list[Poses]:
        """The remaining frames when the video ends."""
        self._lifted += self._live.finish()
        return self._emit(len(self._lifted))

    def _emit(self, count: int) -> list[Poses]:
        """Lifts and removes the next `count` frames."""
        ids = sorted({track_id for frame in islice(self._lifted, count) for track_id in frame.track_id.tolist()})
        shape = (count, len(ids), len(H36M17))
        xy = np.full((*shape, 2), np.nan, np.float32)
        xyz = np.full((*shape, 3), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        people = {}
        for column, track_id in enumerate(ids):
            for first, relative in self._tracks(track_id, count):
                known = self._people.get(track_id) if first == 0 else None
                lifted, person = self._place(track_id, first, relative, count, known)
                span = slice(first, first + len(lifted.state))
                xy[span, column] = lifted.xy
                xyz[span, column] = lifted.xyz
                score[span, column] = lifted.score
                state[span, column] = lifted.state
                if span.stop == count:
                    people[track_id] = person
        self._people = people
        emitted = [self._frames.popleft() for _ in range(count)]
        for _ in range(count):
            self._lifted.popleft()
        detected = replace(self._builder, camera=self._lift.camera, frames=[frame.frame_poses for frame in emitted])
        observed = detected.poses(ids).to_2d()
        poses = replace(
            observed, xy=xy, xyz=xyz, score=score, state=state, spread=None, skeleton=H36M17, observed=observed
        )
        present = (state != ABSENT).any(-1)
        return [poses.select(slice(frame, frame + 1), poses.track_id[present[frame]]) for frame in range(count)]

    def _tracks(self, track_id: int, count: int) -> list[tuple[int, Float[np.ndarray, "time 17 3"]]]:
        """First frame and root-relative joints of a person's tracks that begin in the next `count` frames; several if
        gaps are longer than MAX_GAP.
        """
        rows = [np.flatnonzero(frame.track_id == track_id) for frame in self._lifted]
        present = np.flatnonzero([len(row) for row in rows])
        tracks = np.split(present, np.flatnonzero(np.diff(present) > 1) + 1)
        return [
            (int(track[0]), np.concatenate([self._lifted[frame].xyz[rows[frame]] for frame in track]))
            for track in tracks
            if track[0] < count
        ]

    def _place(
        self, track_id: int, first: int, relative: Float[np.ndarray, "time 17 3"], count: int, known: _Person | None
    ) -> tuple[LiftedJoints, _Person]:
        """Joints of a person in 2D and 3D, from this frame on, and their state for the next call.

        Arguments:
            first: frame at which `relative` begins.
            count: frames that are wanted.
            known: state of the person; None at the beginning of a track.
        """
        fps = self._builder.fps
        camera = self._lift.camera
        scale = self._lift.height_scale(relative, fps) if known is None else known.scale
        before = None if known is None else known.root
        joints = self._joints(track_id, first)
        pose = self._extend(relative, joints, len(self._lifted) - first) * scale
        root = estimate_root_trajectory(pose, *joints[: len(pose)].root_targets(), camera, fps, before=before)
        stop = min(len(relative), count - first)
        lifted = joints[:stop].to_lifted(pose[:stop], root[:stop], camera)
        trajectory = root[:stop] if before is None else np.concatenate([before, root[:stop]])
        return lifted, _Person(scale, None if np.isnan(trajectory).any() else trajectory[-2:])

    def _extend(
        self, relative: Float[np.ndarray, "time 17 3"], joints: LifterJoints, final: int
    ) -> Float[np.ndarray, "longer 17 3"]:
        """Poses to compute the root from: those of the track, followed by unobserved frames as in offline lifting. For
        a person who is hidden in most of the `final` frames, also preliminary poses of later frames, so that the root
        is interpolated and not extrapolated.
        """
        if len(relative) < final:
            unobserved = min(self._max_gap, final - len(relative))
            return np.pad(relative, ((0, unobserved), (0, 0), (0, 0)), constant_values=np.nan)
        frames = np.flatnonzero(joints.observed.any(1))
        if (frames < final).sum() > final / 2 or not (frames >= final).any():
            return relative
        rays = joints.rays(self._lift.camera)[:, None]
        preliminary = lift_rays(self._lift.lifter, rays, joints.observed[:, None], self._builder.fps)
        return np.concatenate([relative, preliminary.xyz[final:, 0]])

    def _joints(self, track_id: int, first: int) -> LifterJoints:
        """A person's detected joints from a frame on; absent where there are none."""
        count = len(self._frames) - first
        xy = np.full((count, len(BODY22), 2), np.nan, np.float32)
        score = np.zeros((count, len(BODY22)), np.float32)
        state = np.zeros((count, len(BODY22)), np.uint8)
        for index, frame in enumerate(islice(self._frames, first, None)):
            if track_id in frame.rows:
                row = frame.rows[track_id]
                xy[index] = frame.joints.xy[row]
                score[index] = frame.joints.score[row]
                state[index] = frame.joints.state[row]
        return LifterJoints(xy, score, state, self._builder.skeleton)
