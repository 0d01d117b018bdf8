"""From 2D to 3D poses in metres: with the lifter that ships with the package, or with OANet's own temporal networks."""

import warnings
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occlupose.body_height import check_height, measure_height
from occlupose.cameras import Camera, camera_from_fov
from occlupose.errors import OccluposeError
from occlupose.formats import check_2d, from_array
from occlupose.methods.lifter import network as lifter_network
from occlupose.methods.lifter.joints import LiftedJoints, LifterJoints, check_skeleton
from occlupose.methods.lifter.lifting import LIFTED, TrackLifter, fill_record
from occlupose.methods.lifter.network import LifterNetwork
from occlupose.methods.oanet import weights as oanet_weights
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays
from occlupose.networks.weights import header, to_device
from occlupose.poses import OCCLUDED, VISIBLE, Poses, with_fields
from occlupose.root_trajectory import estimate_root_trajectory
from occlupose.skeletons import Skeleton
from occlupose.tracking import MAX_GAP
from occlupose.world import stand

HEIGHT_SECONDS = 1.5
"""Length of the beginning of a track that determines the person's body height."""


@dataclass
class OANetTrackLifter:
    """Lifts tracks to 3D with OANet's temporal networks; the root follows by least squares on reprojection (ours).

    Arguments:
        camera: of the images.
        height: body height of all people, m; None: as estimated.
        lifter: networks.
    """

    camera: Camera
    height: float | None
    lifter: OANetNetwork

    def __call__(self, poses: Poses) -> Poses:
        """As `TrackLifter`, without covariances."""
        observed = with_fields(poses.to_2d(), observed=None, camera=self.camera)
        tracks = ((person, track.frames) for person, track in enumerate(poses.tracks()) if len(track))
        parts = (
            (person, np.arange(span.start, span.stop), self._track(observed, person, span)._asdict())
            for person, span in tracks
        )
        return fill_record(observed, parts, LIFTED[:4])

    def height_scale(self, relative: Float[np.ndarray, "time 17 3"], fps: float) -> np.float32:
        """Scale factor to the wanted body height, from the first `HEIGHT_SECONDS` of a track."""
        if self.height is None:
            return np.float32(1)
        return np.float32(self.height / measure_height(relative[: ceil(HEIGHT_SECONDS * fps)]))

    def _track(self, poses: Poses, person: int, span: slice) -> LiftedJoints:
        """One person in these frames; the frames without detections after them stabilise the last."""
        frames = span.stop - span.start
        longer = slice(span.start, span.stop + ceil(MAX_GAP * poses.fps))
        one = poses.select(longer, int(poses.track_id[person]))
        joints = LifterJoints.from_detections(one.xy[:, 0], one.score[:, 0], one.state[:, 0], one.skeleton)
        rays, observed = self.lifter.encoder.observe(one)
        relative = lift_rays(self.lifter, rays[:, None], observed[:, None], poses.fps)[:, 0]
        relative = relative * self.height_scale(relative[:frames], poses.fps)
        root = estimate_root_trajectory(relative, *joints.root_targets(), self.camera, poses.fps)
        return joints[:frames].to_lifted(relative[:frames], root[:frames], self.camera)


def lift(
    poses: Poses | np.ndarray,
    *,
    skeleton: Skeleton | str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    lifter: LifterNetwork | OANetNetwork | None = None,
    up: tuple[float, float, float] | None = None,
    keep_lifted: bool = False,
) -> Poses:
    """Lift 2D poses to 3D, each person over time.

    Arguments:
        poses: 2D in any skeleton that shares joints with COCO-17 or H36M-17; NaN or state 1 where a joint is hidden.
            Where a hidden joint has a place, it is a guess, which counts as much as its `spread` says. Or an array of
            x, y (px) and maybe score, (time, joint, 2 or 3) or (time, person, joint, 2 or 3).
        skeleton, fps, size: of an array: its joints or their name, frames per second, (width, height) of the images in
            pixels. By default the frame rate is 30, and the size is the camera's or holds all joints.
        camera: intrinsics; by default those of `poses`, else `fov`, else 55 degrees on the long side (marked as
            assumed).
        fov: field of view on the long side, degrees.
        height: body height of all people, m; by default as estimated.
        lifter: network with other weights (`load_lifter`).
        up: against gravity, in the camera frame, such as (0, -1, 0) for a level camera; by default the camera's, or as
            the people tell.
        keep_lifted: keep the joints before skeletons were fitted to them as `xyz_lifted`.

    Returns:
        H36M-17: `xyz` in metres in the camera frame, `state` 2 for visible joints, 1 for inferred ones; `covariance`
        of each joint relative to the root and `root_covariance`; rotations, bones, contacts and world of the fitted
        skeletons; `observed` is `poses`.

    Warns:
        UserWarning: something may not be meant, such as joints at (0, 0); somebody is nowhere in 3D; up and the floor
            are unknown.

    Raises:
        OccluposeError: the lifter has none of the skeleton's joints; the frame rate, the places of visible joints, the
            height or the field of view are impossible; the array has another form, or `poses` is none and skeleton,
            fps or size are given.
    """
    if not isinstance(poses, Poses):
        size = size or (None if camera is None else (camera.width, camera.height))
        poses = from_array(poses, skeleton=skeleton, fps=fps, size=size).warn()
    elif not (skeleton is fps is size is None):
        raise OccluposeError("skeleton, fps, size: are those of the poses; give them for an array only")
    else:
        for note in check_2d(poses):
            warnings.warn(note, stacklevel=2)
    lifted = lift_checked(poses, camera, fov, height, lifter or load_lifter())
    standing, why = stand(lifted, up=up, keep_lifted=keep_lifted)
    for note in [*find_unplaced(lifted), *([why] if why and lifted.is_anybody_there else [])]:
        warnings.warn(note, stacklevel=2)
    return standing


def lift_checked(
    poses: Poses, camera: Camera | None, fov: float | None, height: float | None, lifter: LifterNetwork | OANetNetwork
) -> Poses:
    """As `lift`, of poses that `formats.check_2d` or `formats.read` has checked; without warnings and skeletons."""
    check_skeleton(poses.skeleton)
    check_height(height)
    assumed = camera_from_fov(poses.width, poses.height, fov)
    camera = camera or (poses.camera if fov is None else None) or assumed
    return track_lifter(camera, height, lifter)(poses)


def find_unplaced(lifted: Poses) -> list[str]:
    """Notes on people who are seen in 2D, but in no frame in 3D."""
    if lifted.observed is None:
        return []
    seen = lifted.observed.has_state(VISIBLE)
    placed = lifted.has_state(OCCLUDED, VISIBLE)
    people = ", ".join(map(str, lifted.track_id[seen & ~placed].tolist()))
    return [f"person {people}: seen, but nowhere in 3D: too little tells how far away"] if people else []


def track_lifter(
    camera: Camera, height: float | None, lifter: LifterNetwork | OANetNetwork
) -> TrackLifter | OANetTrackLifter:
    """What lifts tracks with a network."""
    if isinstance(lifter, OANetNetwork):
        return OANetTrackLifter(camera, height, lifter)
    return TrackLifter(camera, height, lifter)


def load_lifter(device: str = "cpu", weights: str | Path | None = None) -> LifterNetwork | OANetNetwork:
    """The network of a weights file, of `train lifter` or `train oanet`, by default the shipped one, on a device.

    Raises:
        OccluposeError: torch has no such device here, or the weights cannot be read.
    """
    weights = None if weights is None else Path(weights)
    if weights is not None and header(weights).get("format") == oanet_weights.FORMAT:
        return to_device(oanet_weights.load(weights), device)
    return to_device(lifter_network.load(weights), device)
