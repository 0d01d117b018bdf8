"""Tracked people frame by frame, and their collection into `Poses`."""

from dataclasses import dataclass, field

import numpy as np

from occlupose.cameras import Camera
from occlupose.poses import JOINT_FIELDS, PERSON_FIELDS, FramePoses, Poses, append_rows, empty_rows
from occlupose.skeletons import Skeleton
from occlupose.track_store import TrackStore


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

    def poses(self, track_ids: list[int] | None = None) -> Poses:
        """These people, whether they are in the frames or not; by default everybody in the frames, by id."""
        track_ids = self.track_ids if track_ids is None else track_ids
        names = [name for name in (*JOINT_FIELDS, *PERSON_FIELDS) if self._has(name)]
        places: dict[int, list[tuple[int, int]]] = {track: [] for track in track_ids}
        for number, frame in enumerate(self.frames):
            for row, track in enumerate(frame.track_id.tolist()):
                if track in places:
                    places[track].append((number, row))
        store = TrackStore()
        for own in places.values():
            arrays = {name: empty_rows(name, len(own), len(self.skeleton)) for name in names}
            for place, (number, row) in enumerate(own):
                for name, values in arrays.items():
                    given = getattr(self.frames[number], name)
                    if given is not None:
                        values[place] = given[row]
            append_rows(store, np.array([number for number, _ in own], np.int64), arrays)
        return Poses.by_track(
            store,
            names,
            track_id=np.array(track_ids, np.int64),
            time=np.array([frame.time for frame in self.frames]),
            skeleton=self.skeleton,
            fps=self.fps,
            width=self.camera.width,
            height=self.camera.height,
            camera=self.camera,
        )

    def _has(self, name: str) -> bool:
        """Whether the record has this array: keypoints and states always, `xyz` in 3D, others if any frame has it."""
        if name in ("xy", "score", "state"):
            return True
        if name == "xyz":
            return self.in_3d
        return any(getattr(frame, name) is not None for frame in self.frames)
