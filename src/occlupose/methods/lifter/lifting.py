"""From 2D tracks to 3D poses in metres, with the lifter, offline."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.body_height import check_height
from occlupose.cameras import Camera
from occlupose.methods.lifter.features import SeenKeypoints, encode, find_horizon, look_ahead
from occlupose.methods.lifter.joints import LiftedJoints, LifterJoints, check_skeleton
from occlupose.methods.lifter.network import LifterNetwork, LifterOutput, covariances, decode, load
from occlupose.methods.lifter.smoothing import LOOK_AHEAD, smooth_lifted
from occlupose.networks.temporal_transformer import FUTURE, MARGIN
from occlupose.poses import OCCLUDED, Poses, append_rows, empty_rows, with_fields
from occlupose.skeletons import H36M17
from occlupose.track_store import TrackStore
from occlupose.tracking import MAX_GAP

UPPER = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])
"""Rows and columns of the six numbers of a covariance, as `Poses.covariance` has them."""

PLAUSIBLE = 100.0
"""Metres from the camera up to which a person is believed to be there."""


LIFTED = ("xy", "xyz", "score", "state", "covariance", "root_covariance")
"""Arrays that are lifted, by the names that they have in `Poses`."""

Part = tuple[int, Int[np.ndarray, " row"], dict[str, np.ndarray]]
"""A person's number, frames, and arrays of these."""


@dataclass
class TrackLifter:
    """Lifts tracks to 3D.

    Arguments:
        camera: of the images.
        height: body height of all people, m; None: as the network estimates it.
        lifter: network; by default the shipped one.
    """

    camera: Camera
    height: float | None = None
    lifter: LifterNetwork = field(default_factory=load)

    def __call__(self, poses: Poses) -> Poses:
        """H36M-17 joints of all people in the camera frame, with the detections as `observed`.

        Arguments:
            poses: 2D; each person is present from their first to their last frame with any joint.

        Returns:
            The same frames and people. Visible joints keep their pixels, occluded ones get those of the inferred 3D
            joint.

        Raises:
            OccluposeError: the camera is for another image size, or the skeleton has none of the lifter's joints.
        """
        check_skeleton(poses.skeleton)
        check_height(self.height)
        observed = with_fields(poses.to_2d(), observed=None, camera=self.camera)
        return fill_record(observed, self._lift_tracks(observed))

    def _lift_tracks(self, observed: Poses) -> Iterator[Part]:
        """The parts of the result, person by person."""
        for person, track in enumerate(observed.tracks()):
            for frames in split_at_gaps(np.flatnonzero(track.present) + track.start, observed.time):
                lifted = self._track(observed, person, frames)
                rows = self._reported(frames, observed.time)
                yield person, rows, {name: values[rows - frames[0]] for name, values in lifted.arrays.items()}

    def _reported(
        self, frames: Int[np.ndarray, " detected"], time: Float[np.ndarray, " time"]
    ) -> Int[np.ndarray, " reported"]:
        """The frames in which a person is in the result: they are seen then or within `FUTURE` seconds."""
        span = np.arange(frames[0], frames[-1] + 1)
        following = frames[np.searchsorted(frames, span)]
        return span[time[following] <= time[span] + FUTURE + MARGIN]

    def _track(self, poses: Poses, person: int, detected: Int[np.ndarray, " detected"]) -> "LiftedPerson":
        """One person from the first to the last of these frames; those after them show that nothing more is seen."""
        span = slice(int(detected[0]), int(detected[-1]) + 1)
        frames = span.stop - span.start
        start = poses.time[span.start]
        stop = int(np.searchsorted(poses.time, poses.time[span.stop - 1] + FUTURE + MARGIN, "right"))
        one = poses.select(slice(span.start, stop), int(poses.track_id[person]))
        spread = None if one.spread is None else one.spread[:, 0]
        joints = LifterJoints.from_detections(one.xy[:, 0], one.score[:, 0], one.state[:, 0], one.skeleton, spread)
        time = torch.from_numpy(one.time - start)[None]
        lifted = self.lift(to_keypoints(joints, self.camera), time, frames)
        return finish(joints[:frames], lifted, self.camera)

    @torch.inference_mode()
    def lift(self, keypoints: SeenKeypoints, time: Float[Tensor, "1 time"], frames: int) -> LifterOutput:
        """The first frames of one person."""
        height = torch.tensor([torch.nan if self.height is None else self.height])
        encoded = encode(keypoints[None], time, height)
        horizon = find_horizon(time, torch.tensor([LOOK_AHEAD], dtype=torch.float64))
        ahead, joints = look_ahead(encoded, time, horizon)
        device = next(self.lifter.parameters()).device
        outputs = self.lifter.transformer(encoded.channels.to(device), ahead.to(device), time, horizon)
        lifted = decode(outputs.cpu(), joints, encoded.view)
        calm = smooth_lifted(lifted, encoded.known.any(-1), time[0], slice(0, frames))
        return calm[0]


def fill_record(observed: Poses, parts: Iterable[Part], names: Sequence[str] = LIFTED) -> Poses:
    """The record of these detections in H36M-17: nobody, but for the parts of people, in the record's order."""
    store = TrackStore()
    nothing = {name: empty_rows(name, 0, len(H36M17)) for name in names}
    for person, own in groupby(parts, lambda part: part[0]):
        while len(store) < person:
            append_rows(store, np.zeros(0), nothing)
        rows, values = zip(*((rows, values) for _, rows, values in own), strict=True)
        arrays = {name: np.concatenate([part[name] for part in values]) for name in names}
        append_rows(store, np.concatenate([np.atleast_1d(part) for part in rows]), arrays)
    while len(store) < len(observed.track_id):
        append_rows(store, np.zeros(0), nothing)
    return Poses.by_track(store, names, **observed.about | {"skeleton": H36M17, "observed": observed})


def split_at_gaps(frames: Int[np.ndarray, " frame"], time: Float[np.ndarray, " time"]) -> list[np.ndarray]:
    """The frames of a person, split where they are lost for more than `MAX_GAP` seconds."""
    gaps = np.flatnonzero(np.diff(time[frames]) > MAX_GAP + MARGIN) + 1
    return [part for part in np.split(frames, gaps) if len(part)]


@dataclass(frozen=True)
class LiftedPerson:
    """One person over time, or several in a frame.

    Attributes:
        covariance: m², six numbers as of `Poses.covariance`; NaN where a joint is unknown.
        root_covariance: in the same way.
    """

    joints: LiftedJoints
    covariance: Float[np.ndarray, "row 17 6"]
    root_covariance: Float[np.ndarray, "row 6"]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """By the names that they have in `Poses`."""
        uncertainty = {"covariance": self.covariance, "root_covariance": self.root_covariance}
        return self.joints._asdict() | uncertainty


def to_keypoints(joints: LifterJoints, camera: Camera) -> SeenKeypoints:
    """What the lifter gets of detected joints: visible ones, and the others as guesses."""
    believed = joints.believed(camera)
    rays = np.nan_to_num(joints.rays(camera)).astype(np.float32)
    sigma = joints.spread / np.float32((camera.fx + camera.fy) / 2)
    guessed = (joints.state == OCCLUDED) & believed
    return SeenKeypoints(*map(torch.from_numpy, (rays, joints.observed & believed, guessed, sigma)))


def finish(joints: LifterJoints, lifted: LifterOutput, camera: Camera) -> LiftedPerson:
    """The result for people: the network's answer, in metres and pixels, with the states of the detections."""
    root = lifted.root.numpy()
    in_sight = np.isfinite(root).all(-1) & (np.linalg.norm(root, axis=-1) < PLAUSIBLE)
    root = np.where(in_sight[:, None], root, np.nan)
    known = joints.to_lifted(lifted.xyz.numpy(), root, camera)
    covariance = covariances(lifted.factor)[..., *UPPER].numpy()
    covariance = np.where(np.isfinite(known.xyz[..., :1]), covariance, np.nan)
    root_covariance = np.where(in_sight[:, None], covariances(lifted.root_factor)[..., *UPPER].numpy(), np.nan)
    return LiftedPerson(known, covariance.astype(np.float32), root_covariance.astype(np.float32))
