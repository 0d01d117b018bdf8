"""Fits a rigid skeleton to a moving person: constant bones, and rotations of every segment over time."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation
from torch import Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.fitting import skeleton2pose, skew
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.kinematics.body_tree import BodyTree, body_tree
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import SYMMETRIC, Observations, observe
from occlupose.kinematics.prior import AnglePrior, captured_prior, to_tree
from occlupose.kinematics.solver import Motion, angle_jacobian, equations, smoothness, solve
from occlupose.skeletons import BODY26, Skeleton, convert

FIRST_ITERATIONS = 3
"""Gauss-Newton iterations before the bones of head and feet are shaped, of each frame alone."""

ITERATIONS = 4
"""And after it, of all frames together."""

WINDOW = 512
MARGIN = 32
"""Frames that are solved together, and how many of them on either side overlap with others."""

CAMERA_UP = (0.0, -1.0, 0.0)
"""Up in the camera's axes, for a level camera."""


@dataclass(frozen=True, eq=False)
class SkeletonFit:
    """Rigid skeletons of people over time. NaN before a person's first and after their last frame.

    `kinematics.body_tree` has the segments, the points, their axes and angles.

    Attributes:
        segments: names of the tree's segments.
        rotation: unit quaternions (w, x, y, z) of each segment from rest, relative to its parent; that of the pelvis in
            the axes of the data.
        root: pelvis, metres.
        bone_offsets: of each person, constant: each point but the pelvis from the point before it at rest, metres.
        xyz: the points, metres, in the axes of the data.
        covariance: of the points relative to the root, m^2: xx, yy, zz, xy, xz, yz.
        root_covariance: of the root.
        angle_sigma: standard deviation of each segment's flexion, swing to the side and twist, radians; of the pelvis
            about its local x, y and z. Large where neither joints nor keypoints show it.
        skeleton: of the points.
    """

    segments: tuple[str, ...]
    rotation: Float32[np.ndarray, "time person segment 4"]
    root: Float32[np.ndarray, "time person 3"]
    bone_offsets: Float32[np.ndarray, "person bone 3"]
    xyz: Float32[np.ndarray, "time person point 3"]
    covariance: Float32[np.ndarray, "time person point 6"]
    root_covariance: Float32[np.ndarray, "time person 6"]
    angle_sigma: Float32[np.ndarray, "time person segment 3"]
    skeleton: Skeleton

    @property
    def bone_lengths(self) -> Float32[np.ndarray, "person bone"]:
        """Metres, constant over time."""
        return np.linalg.norm(self.bone_offsets, axis=-1)

    def joints(self, skeleton: Skeleton) -> Float32[np.ndarray, "time person joint 3"]:
        """The fitted joints of h36m17, coco17, coco21 or another skeleton, by name; NaN where the tree has none."""
        return convert(self.xyz, self.skeleton, skeleton)


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
    up: tuple[float, float, float] = CAMERA_UP,
) -> SkeletonFit:
    """Constant bones and rotations over time that explain joints and keypoints best.

    Minimises the Mahalanobis distances of joints and keypoints (Huber's beyond 3 standard deviations), of angles from
    their ranges and from a weak prior, and of accelerations from 0, by Gauss-Newton over all frames. Ours.

    Arguments:
        xyz: joints, metres; NaN where unknown.
        skeleton: of the joints; those that the tree has are used.
        fps: frames per second.
        covariance: of each joint, m^2 (xx, yy, zz, xy, xz, yz), of errors that are independent between frames; a joint
            with a NaN is not used. None: 1 cm for every joint.
        root_covariance: of the root; `covariance` then is that of the joints relative to it, as in `Poses`.
        xy: keypoints, px, NaN where they do not count; xyz then must be in the camera frame. Needs a camera.
        spread: standard deviation of each along an axis, px; 3 where unknown.
        camera: of the keypoints.
        up: roughly, in the axes of xyz. It only decides where too few joints are known to tell how a body is turned.

    Raises:
        OccluposeError: shapes that do not agree, no joint that can be fitted, numbers that cannot be meant.
    """
    _check(xyz, skeleton, fps, covariance, root_covariance, xy, spread)
    tree = body_tree()
    blank = _blank(tree, *xyz.shape[:2])
    for person in range(xyz.shape[1]):
        mine = {
            name: None if values is None else values[:, person]
            for name, values in (
                ("covariance", covariance),
                ("root_covariance", root_covariance),
                ("xy", xy),
                ("spread", spread),
            )
        }
        observations = observe(tree, xyz[:, person], skeleton, **mine, camera=camera)
        there = observations.known.any(1).nonzero().flatten()
        if len(there):
            frames = slice(int(there[0]), int(there[-1]) + 1)
            _fit_person(blank, person, frames, observations.select(frames), xyz[frames, person], skeleton, fps, up)
    return blank


def _fit_person(
    fit: SkeletonFit,
    person: int,
    frames: slice,
    observations: Observations,
    xyz: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    fps: float,
    up: tuple[float, float, float],
) -> None:
    tree = body_tree()
    prior = captured_prior()
    offsets = measure_bones(tree, observations, fps)
    motion = start(tree, offsets, observations, convert(xyz, skeleton, BODY26), up)
    for _ in range(FIRST_ITERATIONS):
        motion = _iterate(tree, prior, offsets, motion, observations, None)
    offsets = shape_rigid_parts(tree, offsets, motion.rotation, observations)
    for window, kept in windows(len(observations)):
        part = observations.select(window)
        moved = motion.select(window)
        for _ in range(ITERATIONS):
            moved = _iterate(tree, prior, offsets, moved, part, fps)
        place = slice(frames.start + window.start + kept.start, frames.start + window.start + kept.stop)
        write(fit, person, place, tree, prior, offsets, moved.select(kept), part.select(kept))
    fit.bone_offsets[person] = offsets.numpy()


def _iterate(
    tree: BodyTree,
    prior: AnglePrior,
    offsets: Float[Tensor, "bone 3"],
    motion: Motion,
    observations: Observations,
    fps: float | None,
) -> Motion:
    smooth = None if fps is None else smoothness(tree, fps)
    return motion.step(solve(equations(tree, prior, offsets, motion, observations), motion, smooth))


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


def start(
    tree: BodyTree,
    offsets: Float[Tensor, "bone 3"],
    observations: Observations,
    body26: Float[np.ndarray, "time 26 3"],
    up: tuple[float, float, float],
) -> Motion:
    """A first motion: each frame by swings and hinges (see `bodies.fitting`), gaps of joints interpolated over time."""
    axes = _upright(up)
    filled = torch.from_numpy(interpolate_gaps(body26).astype(np.float32))
    body = anny(captured=True)
    pose = skeleton2pose(filled @ axes.float(), body, body.neutral[None])
    rotation = axes @ to_tree(pose, tree)
    places = tree.place(rotation, offsets)[:, observations.points]
    known = observations.known[..., None]
    root = torch.where(known, observations.xyz - places, torch.nan).nanmedian(1).values
    return Motion(rotation, torch.from_numpy(interpolate_gaps(root[:, None].numpy())[:, 0]))


def _upright(up: tuple[float, float, float]) -> Float[Tensor, "3 3"]:
    """Axes of a body that stands, as columns: it faces against z, towards a camera."""
    y = np.array(up, float) / np.linalg.norm(up)
    z = np.array([0.0, 0, -1]) if abs(y[2]) < 0.9 else np.array([0.0, -1, 0])
    z = z - (z @ y) * y
    z /= np.linalg.norm(z)
    return torch.from_numpy(np.stack([np.cross(y, z), y, z], -1))


def interpolate_gaps(values: Float[np.ndarray, "time joint 3"]) -> Float[np.ndarray, "time joint 3"]:
    """Unknown places on the line between those before and after; the nearest before the first and after the last."""
    filled = np.array(values)
    frames = np.arange(len(values))
    for joint in range(values.shape[1]):
        known = np.isfinite(values[:, joint]).all(-1)
        if known.any() and not known.all():
            for axis in range(3):
                filled[:, joint, axis] = np.interp(frames, frames[known], values[known, joint, axis])
    return filled


def write(
    fit: SkeletonFit,
    person: int,
    frames: slice,
    tree: BodyTree,
    prior: AnglePrior,
    offsets: Float[Tensor, "bone 3"],
    motion: Motion,
    observations: Observations,
) -> None:
    """Puts a fitted motion into some frames of a record, with its uncertainty.

    The covariance is the inverse of the curvature of each frame alone: an upper bound, since other frames tell more.
    """
    relative = tree.to_parent_relative(motion.rotation)
    quaternion = Rotation.from_matrix(relative.numpy().reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
    fit.rotation[frames, person] = quaternion.reshape(*relative.shape[:2], 4)
    fit.root[frames, person] = motion.root.numpy()
    fit.xyz[frames, person] = (motion.root[:, None] + tree.place(motion.rotation, offsets)).numpy()
    curvature = equations(tree, prior, offsets, motion, observations).curvature
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(curvature))
    turns = covariance[:, :-3, :-3]
    jacobian = -skew(tree.lever_arms(motion.rotation, offsets)).transpose(2, 3).flatten(3)
    of_points = (jacobian @ turns[:, None]) @ jacobian.mT
    _, by_turn = angle_jacobian(tree, motion)
    of_angles = ((by_turn @ turns) * by_turn).sum(-1)
    pelvis = motion.rotation[:, 0]
    of_pelvis = (pelvis.mT @ turns[:, :3, :3] @ pelvis).diagonal(dim1=1, dim2=2)
    fit.covariance[frames, person] = _six(of_points)
    fit.root_covariance[frames, person] = _six(covariance[:, -3:, -3:])
    fit.angle_sigma[frames, person] = torch.cat([of_pelvis, of_angles], 1).sqrt().unflatten(1, (-1, 3)).numpy()


def _six(covariance: Float[Tensor, "*any 3 3"]) -> Float[np.ndarray, "*any 6"]:
    """xx, yy, zz, xy, xz, yz."""
    return covariance.flatten(-2)[..., [SYMMETRIC.index(column) for column in range(6)]].numpy()


def _blank(tree: BodyTree, frames: int, people: int) -> SkeletonFit:
    def unknown(*shape: int) -> Float32[np.ndarray, "..."]:
        return np.full(shape, np.nan, np.float32)

    return SkeletonFit(
        segments=tree.segments,
        rotation=unknown(frames, people, len(tree.segments), 4),
        root=unknown(frames, people, 3),
        bone_offsets=unknown(people, len(tree.rest), 3),
        xyz=unknown(frames, people, len(tree.points), 3),
        covariance=unknown(frames, people, len(tree.points), 6),
        root_covariance=unknown(frames, people, 6),
        angle_sigma=unknown(frames, people, len(tree.segments), 3),
        skeleton=tree.skeleton,
    )


def _check(
    xyz: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    covariance: np.ndarray | None,
    root_covariance: np.ndarray | None,
    xy: np.ndarray | None,
    spread: np.ndarray | None,
) -> None:
    if xyz.ndim != 4 or xyz.shape[2:] != (len(skeleton), 3):
        raise OccluposeError(
            f"xyz: has shape {xyz.shape}; {skeleton.name} needs (time, person, {len(skeleton)}, 3), in metres"
        )
    if not 0 < fps < np.inf:
        raise OccluposeError(f"fps {fps}: must be positive, in frames per second")
    shapes = {
        "covariance": (covariance, (*xyz.shape[:3], 6)),
        "root_covariance": (root_covariance, (*xyz.shape[:2], 6)),
        "xy": (xy, (*xyz.shape[:3], 2)),
        "spread": (spread, xyz.shape[:3]),
    }
    for name, (values, shape) in shapes.items():
        if values is not None and values.shape != shape:
            raise OccluposeError(f"{name}: has shape {values.shape}; this xyz needs {shape}")
