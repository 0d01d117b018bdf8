"""Tracked people frame by frame, and their collection into `Poses`."""

from dataclasses import dataclass, field

import numpy as np

from occlupose.cameras import Camera
from occlupose.poses import FramePoses, Poses
from occlupose.skeletons import Skeleton


@dataclass
class PosesBuilder:
    """Collects frames into `Poses`.

    Attributes:
        skeleton, fps, camera: of the frames.
        in_3d: whether the frames have xyz.
        frames: so far, in order.
    """

    skeleton: Skeleton
    fps: float
    camera: Camera
    in_3d: bool = False
    frames: list[FramePoses] = field(default_factory=list)

    @property
    def track_ids(self) -> list[int]:
        """Ids of everybody in the frames, ascending."""
        return sorted({int(track) for frame in self.frames for track in frame.track_id})

    def poses(self) -> Poses:
        """Everybody in the frames, by id."""
        track_ids = self.track_ids
        columns = {track: column for column, track in enumerate(track_ids)}
        shape = (len(self.frames), len(track_ids), len(self.skeleton))
        xy = np.full((*shape, 2), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        xyz = np.full((*shape, 3), np.nan, np.float32) if self.in_3d else None
        for row, frame in enumerate(self.frames):
            people = [columns[int(track)] for track in frame.track_id]
            xy[row, people] = frame.xy
            score[row, people] = frame.score
            state[row, people] = frame.state
            if xyz is not None and frame.xyz is not None:
                xyz[row, people] = frame.xyz
        return Poses(
            xy=xy,
            score=score,
            state=state,
            xyz=xyz,
            track_id=np.array(track_ids, np.int64),
            time=np.array([frame.time for frame in self.frames]),
            skeleton=self.skeleton,
            fps=self.fps,
            width=self.camera.width,
            height=self.camera.height,
            camera=self.camera,
        )
