"""Fits a rigid skeleton to a moving person: constant bones, and rotations of every segment over time."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from occlupose.cameras import Camera
from occlupose.covariances import UNIT
from occlupose.errors import OccluposeError
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import SIGMA, Observations, check_shapes, observe, shared_points
from occlupose.kinematics.prior import captured_prior
from occlupose.kinematics.result import SkeletonFit, blank, keep_signs, write
from occlupose.kinematics.solver import RigidBody, approach, improve
from occlupose.kinematics.start import check_view, first_motion
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import Skeleton
from occlupose.world_frame import CAMERA_UP

ITERATIONS = 3
"""Gauss-Newton iterations of all frames together, after those of each frame alone."""

LASTING = 0.2
"""Seconds over which the errors of lifted joints are the same. Ours, chosen on motion capture that is for training."""

WINDOW = 512
MARGIN = 32
"""Frames that are solved together, and how many of them on either side overlap with others."""


def fit_skeleton(
    xyz: Float[np.ndarray, "time person joint 3"],
    skeleton: Skeleton,
    fps: float,
    *,
    covariance: Float[np.ndarray, "time person joint 6"] | None = None,
    root_covariance: Float[np.ndarray, "time person 6"] | None = None,
    xy: Float[np.ndarray, "time person joint 2"] | None = None,
    spread: Float[np.ndarray, "time person joint"] | None = None,
    camera: Camera | None = None,
    lasting: float = 0.0,
    up: tuple[float, float, float] = CAMERA_UP,
) -> SkeletonFit:
    """Constant bones and rotations over time that explain joints and keypoints best.

    Minimises the Mahalanobis distances of joints and keypoints (as of Student's t, so that outliers count little), of
    angles from their ranges and from a weak prior, and of accelerations from 0, by Gauss-Newton over all frames. Ours.

    Arguments:
        xyz: joints, metres; NaN where unknown.
        skeleton: of the joints; those that the tree has are used.
        fps: frames per second.
        covariance: of each joint, m^2 (xx, yy, zz, xy, xz, yz); a joint with a NaN is not used. None: 1 cm for every
            joint.
        root_covariance: of the root; `covariance` then is that of the joints relative to it, as in `Poses`. Without a
            pelvis in the skeleton both are added.
        xy: keypoints, px, NaN where they do not count; xyz then must be in the camera frame. Needs a camera.
        spread: standard deviation of each along an axis, px; where unknown 3.5 cm at the person's distance.
        camera: of the keypoints.
        lasting: seconds over which errors in 3D are the same, as those of a lifter; 0: independent between frames.
        up: roughly, in the axes of xyz. It only decides where too few joints are known to tell how a body is turned.

    Raises:
        OccluposeError: shapes that do not agree, no joint that can be fitted, numbers that cannot be meant,
            keypoints without a camera.
    """
    check_view(fps, up)
    arrays = {"covariance": covariance, "root_covariance": root_covariance, "xy": xy, "spread": spread}
    given = check_shapes(("time", "person"), xyz, skeleton, arrays)
    fit = blank(body_tree(), *xyz.shape[:2])
    for person in range(xyz.shape[1]):
        own = {name: values[:, person] for name, values in given.items()}
        observations = observe(body_tree(), xyz[:, person], skeleton, **own, camera=camera, lasting=lasting * fps)
        there = observations.known.any(1).nonzero().flatten()
        if len(there):
            frames = slice(int(there[0]), int(there[-1]) + 1)
            _fit_person(fit, person, frames, observations.select(frames), fps, up)
    return fit


def fit_poses(poses: Poses, up: tuple[float, float, float] = CAMERA_UP) -> SkeletonFit:
    """`fit_skeleton` with all that is in the poses: places, their covariances, and the keypoints that were seen, those
    of `observed` if it is there, also of feet and face.

    Where covariances are unknown they are 1 cm.

    Raises:
        OccluposeError: poses in 2D, no joint that can be fitted, numbers that cannot be meant.
    """
    given = known_of(poses)
    return fit_skeleton(
        given.pop("xyz"),
        body_tree().skeleton,
        poses.fps,
        **given,
        camera=poses.camera,
        lasting=lasting_of(poses),
        up=up,
    )


def skeletons_of(poses: Poses) -> SkeletonFit:
    """The skeletons in a record, or else those fitted to it. Raises OccluposeError as `fit_poses`."""
    if poses.rotation is None or poses.bone_offsets is None:
        return fit_poses(poses)
    return SkeletonFit.of(poses)


def lasting_of(poses: Poses) -> float:
    """Seconds over which the errors of poses are the same: `LASTING` of those that state covariances, as a lifter does,
    else 0.
    """
    return 0.0 if poses.covariance is None else LASTING


def known_of(poses: Poses) -> dict[str, Float[np.ndarray, "time person *any"]]:
    """What poses tell of the tree's points: xyz, covariance, root_covariance and xy as of `fit_skeleton`.

    Without a pelvis in their skeleton, the covariance of the root is added to those of the joints.

    Raises:
        OccluposeError: poses in 2D, no joint that can be fitted.
    """
    if poses.xyz is None:
        raise OccluposeError("the poses are in 2D, a skeleton is fitted in 3D; lift them with occlupose lift")
    known = np.isfinite(poses.xyz).all(-1)
    covariance = np.broadcast_to(SIGMA**2 * UNIT, (*known.shape, 6))
    if poses.covariance is not None:
        covariance = _fill(poses.covariance, known)
    given = {"xyz": _to_points(poses.xyz, poses.skeleton)}
    if poses.root_covariance is not None:
        root_covariance = _fill(poses.root_covariance, known.any(-1))
        if 0 in shared_points(body_tree(), poses.skeleton):
            given["root_covariance"] = root_covariance
        else:
            covariance = covariance + root_covariance[:, :, None]
    given["covariance"] = _to_points(covariance, poses.skeleton)
    if poses.camera is not None:
        given["xy"] = _seen_points(poses)
    return given


def _seen_points(poses: Poses) -> Float[np.ndarray, "time person point 2"]:
    """Keypoints that were seen, px; NaN for others. Those of `observed`, if it is there: others follow from it."""
    seen = poses.observed or poses
    return _to_points(np.where((seen.state == VISIBLE)[..., None], seen.xy, np.nan), seen.skeleton)


def _to_points(
    values: Float[np.ndarray, "time person joint n"], skeleton: Skeleton
) -> Float[np.ndarray, "time person point n"]:
    """The values of the tree's points, by name; NaN where the skeleton has none."""
    shared = shared_points(body_tree(), skeleton)
    points = np.full((*values.shape[:2], len(body_tree().points), values.shape[3]), np.nan)
    points[:, :, list(shared)] = values[:, :, list(shared.values())]
    return points


def _fill(covariance: Float[np.ndarray, "*any 6"], known: Bool[np.ndarray, "*any"]) -> Float[np.ndarray, "*any 6"]:
    """Covariances, with `SIGMA` where they are NaN though the place is known."""
    unknown = known & np.isnan(covariance).any(-1)
    return np.where(unknown[..., None], SIGMA**2 * UNIT, covariance)


def _fit_person(
    fit: SkeletonFit,
    person: int,
    frames: slice,
    observations: Observations,
    fps: float,
    up: tuple[float, float, float],
) -> None:
    """Fits one person and puts them into the record."""
    body = RigidBody(body_tree(), captured_prior(), measure_bones(body_tree(), observations, fps))
    motion = approach(body, first_motion(body, observations, up), observations)
    body = replace(body, offsets=shape_rigid_parts(body.tree, body.offsets, motion.rotation, observations))
    for window, kept in windows(len(observations)):
        part = observations.select(window)
        moved = motion.select(window)
        for _ in range(ITERATIONS):
            moved, curvature = improve(body, moved, part, fps)
        first = frames.start + window.start
        place = slice(first + kept.start, first + kept.stop)
        write(fit, person, place, body, moved.select(kept), curvature[kept])
    fit.rotation[frames, person] = keep_signs(fit.rotation[frames, person])
    fit.bone_offsets[person] = body.offsets.numpy()


def windows(frames: int) -> list[tuple[slice, slice]]:
    """Overlapping windows, and which of its frames each is for."""
    starts = list(range(0, max(1, frames - MARGIN), WINDOW - 2 * MARGIN))
    result = []
    for start in starts:
        stop = frames if start == starts[-1] else start + WINDOW
        first = MARGIN if start else 0
        last = stop - start if start == starts[-1] else stop - start - MARGIN
        result.append((slice(start, stop), slice(first, last)))
    return result
