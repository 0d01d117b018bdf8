"""HUPOR as an estimator: all people in an image at once, in pixels and in metres, tracked over time."""

from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occlupose.body_height import SOLE_BELOW_ANKLE
from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.estimator import PoseEstimator
from occlupose.media import Frame, Source
from occlupose.methods.hupor import predict
from occlupose.methods.hupor.grouping import BONES
from occlupose.poses import FramePoses, Poses, append_rows
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import MPI15
from occlupose.track_store import TrackStore
from occlupose.tracking import MAX_GAP

STANDING = (("neck", "head_top"), ("neck", "pelvis"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"))
"""Bones of a standing person from the top of the head to the ankle. Ours."""

LIVE_HEIGHT_SECONDS = 1.5
"""Length of the beginning of a track that determines a person's size in a live result. Ours."""


class HUPOR(PoseEstimator):
    """HUPOR (arXiv 2208.00090): bottom-up 3D poses of everybody in an image, with MPI15 joints.

    Each frame is processed by itself; tracking only assigns ids. The shipped networks are small, and
    less accurate than the default method.

    Arguments:
        weights: as `occlupose train hupor` writes them; by default the shipped ones.
        flip: test-time augmentation by horizontal flip: slightly better, twice the time.
        device: torch device.

    Raises:
        OccluposeError: no such file, not weights of HUPOR, no such device.
    """

    skeleton = MPI15
    in_3d = True
    flow = None

    def __init__(self, weights: str | Path | None = None, flip: bool = False, device: str = "cpu") -> None:
        if weights is None and not predict.SHIPPED.exists():
            raise OccluposeError(
                "hupor: no weights of it ship with this version; give weights that `occlupose train hupor` wrote"
            )
        self.predictor = predict.load(None if weights is None else Path(weights), flip=flip, device=device)

    def start(self, source: Source) -> None:
        """Nothing to do: frames are independent."""

    def detect(self, frame: Frame, camera: Camera) -> Detections:
        """People in a frame, in pixels and metres."""
        return self.predictor(frame.image, camera)

    def finish(self, tracks: Poses, height: float | None = None) -> Poses:
        """The tracks; with a height, each person is scaled to it about the camera, by one factor in all frames, so that
        their pixels stay.

        The factor follows from the median ratio of the person's bone lengths to the usual ones. A person without a bone
        in 3D does not change.
        """
        if height is None or "xyz" not in tracks.names:
            return tracks
        store = TrackStore()
        for person in range(len(tracks.track_id)):
            frames, rows = tracks.rows(person)
            estimated = standing_height(bone_ratios(rows["xyz"]))
            if np.isfinite(estimated):
                rows["xyz"] = rows["xyz"] * np.float32(height / estimated)
            append_rows(store, frames, rows)
        return Poses.by_track(store, tracks.names, **tracks.about)

    def finish_live(
        self,
        frames: Iterable[FramePoses],
        builder: PosesBuilder,
        height: float | None = None,
        latency: float | None = None,
    ) -> Iterator[Poses]:
        """Each frame without delay, whatever the latency. With a height, people are scaled by the bones in the first
        1.5 seconds of their track, as far as these have passed.
        """
        longest = ceil(LIVE_HEIGHT_SECONDS * builder.fps)
        ratios: dict[int, list[np.ndarray]] = {}
        last_seen: dict[int, float] = {}
        for frame in frames:
            builder.frames = [frame]
            poses = builder.poses()
            if height is not None and poses.xyz is not None:
                for person, track in enumerate(poses.track_id.tolist()):
                    last_seen[track] = frame.time
                    known = ratios.setdefault(track, [])
                    if len(known) < longest:
                        known.append(bone_ratios(poses.xyz[:, person]))
                    estimated = standing_height(np.concatenate(known))
                    if np.isfinite(estimated):
                        poses.xyz[:, person] *= np.float32(height / estimated)
                last_seen = {track: seen for track, seen in last_seen.items() if frame.time - seen <= MAX_GAP}
                ratios = {track: known for track, known in ratios.items() if track in last_seen}
            yield poses


def bone_ratios(xyz: Float[np.ndarray, "time 15 3"]) -> Float[np.ndarray, "time bone"]:
    """Length of each bone over its usual length; NaN where unknown."""
    start = [MPI15.joints.index(joint) for joint, _ in BONES]
    end = [MPI15.joints.index(joint) for _, joint in BONES]
    return np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1) / (np.array(list(BONES.values())) / 100)


def standing_height(ratios: Float[np.ndarray, "time bone"]) -> float:
    """Height of a person with the median of these ratios for all bones, m; NaN without any."""
    known = ratios[np.isfinite(ratios)]
    usual = sum(BONES[bone] for bone in STANDING) / 100 + SOLE_BELOW_ANKLE
    return float(np.median(known)) * usual if known.size else np.nan
