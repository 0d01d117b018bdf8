"""The record of fitted skeletons, and their uncertainty."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from scipy.spatial.transform import Rotation
from torch import Tensor

from occlupose.covariances import to_matrix, to_six
from occlupose.errors import OccluposeError
from occlupose.kinematics.body_tree import BodyTree, body_tree, joint_of
from occlupose.kinematics.observations import FARTHEST, shared_points
from occlupose.kinematics.solver import CHUNK, Motion, RigidBody, angle_jacobian, point_jacobian
from occlupose.poses import Poses
from occlupose.skeletons import Skeleton, convert
from occlupose.world_frame import WorldFrame, turn_quaternions, y_up_axes


@dataclass(frozen=True, eq=False)
class SkeletonFit:
    """Rigid skeletons of people over time. NaN before a person's first and after their last frame.

    `kinematics.body_tree` has the segments, the points, their axes and angles.

    Attributes:
        segments: names of the tree's segments.
        rotation: unit quaternions (w, x, y, z) of each segment from rest, relative to its parent; that of the pelvis in
            the axes of the data. Signs do not change over time.
        root: pelvis, metres.
        bone_offsets: of each person, constant: each point but the pelvis from the point before it at rest, metres.
        xyz: the points, metres, in the axes of the data.
        covariance: of the points relative to the root, m^2: xx, yy, zz, xy, xz, yz.
        root_covariance: of the root.
        angle_sigma: standard deviation of each segment's flexion, swing to the side and twist, radians; of the pelvis
            about its local x, y and z. Large where neither joints nor keypoints show it.
        turn_covariance: of a small rotation of each segment relative to its parent (the chest: to the pelvis, the upper
            arm: to the chest), in the axes of the data, rad^2; six numbers as of the points.
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
    turn_covariance: Float32[np.ndarray, "time person segment 6"]
    skeleton: Skeleton

    @classmethod
    def of(cls, poses: Poses) -> "SkeletonFit":
        """The skeletons in a record. Covariances of points that the record's joints lack, and of angles, are NaN.

        The root is the pelvis; where that is unknown it follows from another joint.

        Raises:
            OccluposeError: there are none, or the tree has none of the joints; numbers that cannot be meant.
        """
        if poses.xyz is None or poses.rotation is None or poses.bone_offsets is None:
            raise OccluposeError("no skeletons are in these poses; run or lift again, or use fit_poses")
        lengths = np.linalg.norm(poses.bone_offsets.astype(float), axis=-1)
        if ((lengths < SHORTEST) | (lengths > LONGEST)).any() or (np.abs(poses.xyz) > FARTHEST).any():
            raise OccluposeError("the skeletons have bones or places that cannot be meant; give metres, NaN if unknown")
        tree = body_tree()
        fit = blank(tree, *poses.rotation.shape[:2])
        fit.rotation[:] = poses.rotation
        fit.root[np.isfinite(poses.rotation).all((2, 3))] = 0
        fit.bone_offsets[:] = poses.bone_offsets
        orientation = torch.from_numpy(fit.orientation())
        for person, offsets in enumerate(torch.from_numpy(poses.bone_offsets).double()):
            fit.xyz[:, person] = tree.place(orientation[:, person], offsets).numpy()
        shared = sorted(shared_points(tree, poses.skeleton).items())  # the pelvis first
        roots = np.stack([poses.xyz[:, :, joint] - fit.xyz[:, :, point] for point, joint in shared], 2)
        first = np.isfinite(roots).all(-1).argmax(2)
        fit.root[:] = np.take_along_axis(roots, first[..., None, None], 2)[:, :, 0]
        fit.xyz[:] += fit.root[:, :, None]
        given: dict[str, Any] = {"root_covariance": poses.root_covariance, "turn_covariance": poses.rotation_covariance}
        if poses.covariance is not None:
            given["covariance"] = convert(poses.covariance, poses.skeleton, tree.skeleton)
        return replace(fit, **{name: values for name, values in given.items() if values is not None})

    @property
    def bone_lengths(self) -> Float32[np.ndarray, "person bone"]:
        """Metres, constant over time."""
        return np.linalg.norm(self.bone_offsets, axis=-1)

    def joints(self, skeleton: Skeleton) -> Float32[np.ndarray, "time person joint 3"]:
        """The fitted joints of h36m17, coco17, coco21 or another skeleton, by name; NaN where the tree has none."""
        return convert(self.xyz, self.skeleton, skeleton)

    @property
    def known(self) -> Bool[np.ndarray, "time person"]:
        """From each person's first to their last frame."""
        return np.isfinite(self.root).all(-1)

    def relative(self) -> Float64[np.ndarray, "time person segment 3 3"]:
        """Rotation matrix of each segment from rest, relative to its parent; NaN where unknown."""
        known = self.known[..., None, None]
        quaternions = np.where(known, self.rotation, IDENTITY).astype(float)
        matrices = Rotation.from_quat(quaternions.reshape(-1, 4), scalar_first=True).as_matrix()
        return np.where(known[..., None], matrices.reshape(*quaternions.shape[:-1], 3, 3), np.nan)

    def orientation(self) -> Float64[np.ndarray, "time person segment 3 3"]:
        """Rotation matrix of each segment from rest, in the axes of the data; NaN where unknown."""
        return body_tree().compose(torch.from_numpy(self.relative())).numpy()

    def by_segment(
        self, values: Float64[np.ndarray, "time person segment *any"]
    ) -> dict[str, Float64[np.ndarray, "time person *any"]]:
        """The values of each segment, by its name."""
        return dict(zip(self.segments, np.moveaxis(values, 2, 0), strict=True))

    def select(self, people: Iterable[int]) -> "SkeletonFit":
        """The same of some people, by their place in the record."""
        chosen = [*people]
        own = {name: getattr(self, name)[:, chosen] for name in BY_FRAME}
        return replace(self, bone_offsets=self.bone_offsets[chosen], **own)

    def turn_y_up(self, world: WorldFrame | None = None) -> "SkeletonFit":
        """In the axes of `world_frame.y_up_axes`, instead of those of the camera; covariances too."""
        axes, origin = y_up_axes(world)
        pelvis = turn_quaternions(axes, self.rotation[..., :1, :])
        turned: dict[str, Any] = {"rotation": np.concatenate([pelvis, self.rotation[..., 1:, :]], -2)}
        turned |= {name: getattr(self, name) @ axes.T + origin for name in ("root", "xyz")}
        for name in ("covariance", "root_covariance", "turn_covariance"):
            turned[name] = to_six(axes @ to_matrix(getattr(self, name)) @ axes.T)
        return replace(self, **{name: values.astype(np.float32) for name, values in turned.items()})


SHORTEST = 1e-4
LONGEST = 10.0
"""Of bones, metres."""

IDENTITY = (1.0, 0.0, 0.0, 0.0)
"""The quaternion of no rotation."""

BY_FRAME = ("rotation", "root", "xyz", "covariance", "root_covariance", "angle_sigma", "turn_covariance")
"""The fields of a `SkeletonFit` with a time and a person axis."""


def blank(tree: BodyTree, frames: int, people: int) -> SkeletonFit:
    """A record in which nobody is known."""

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
        turn_covariance=unknown(frames, people, len(tree.segments), 6),
        skeleton=tree.skeleton,
    )


def join_people(fits: Sequence[SkeletonFit]) -> SkeletonFit:
    """The skeletons of several people in the same frame as one record."""
    record = blank(body_tree(), 1, len(fits))
    for person, fit in enumerate(fits):
        for name in BY_FRAME:
            getattr(record, name)[:, person] = getattr(fit, name)[:, 0]
        record.bone_offsets[person] = fit.bone_offsets[0]
    return record


def write(
    fit: SkeletonFit,
    person: int,
    frames: slice,
    body: RigidBody,
    motion: Motion,
    curvature: Float[Tensor, "time unknown unknown"],
) -> None:
    """Puts a fitted motion into some frames of a record, with the uncertainty that the cost's curvature says."""
    write_motion(fit, person, frames, body, motion)
    for first in range(0, len(motion.root), CHUNK):
        part = slice(first, first + CHUNK)
        place = slice(frames.start + first, min(frames.start + first + CHUNK, frames.stop))
        points, root, angles, turns = _uncertainty(body, motion.select(part), curvature[part])
        fit.covariance[place, person] = to_six(points).numpy()
        fit.root_covariance[place, person] = to_six(root).numpy()
        fit.angle_sigma[place, person] = angles.numpy()
        fit.turn_covariance[place, person] = to_six(turns).numpy()


def write_motion(fit: SkeletonFit, person: int, frames: slice, body: RigidBody, motion: Motion) -> None:
    """Puts a motion into some frames of a record, and leaves its uncertainty as it is."""
    relative = body.tree.to_parent_relative(motion.rotation)
    quaternion = Rotation.from_matrix(relative.numpy().reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
    fit.rotation[frames, person] = quaternion.reshape(*relative.shape[:2], 4)
    fit.root[frames, person] = motion.root.numpy()
    fit.xyz[frames, person] = (motion.root[:, None] + body.tree.place(motion.rotation, body.offsets)).numpy()


def keep_signs(quaternions: Float[np.ndarray, "time segment 4"]) -> Float[np.ndarray, "time segment 4"]:
    """The same rotations, with the signs that make each quaternion the nearer one to that of the frame before."""
    agrees = (quaternions[1:] * quaternions[:-1]).sum(-1) >= 0
    signs = np.cumprod(np.where(agrees, 1, -1), 0)
    return np.concatenate([quaternions[:1], signs[..., None] * quaternions[1:]])


def reference(segment: str) -> str:
    """The segment relative to which an anatomical joint turns: the parent, but of a chest the pelvis, and of an upper
    arm the chest; of the pelvis itself.
    """
    if segment == "chest":
        return "pelvis"
    return "chest" if segment.endswith("upper_arm") else segment if segment == "pelvis" else joint_of(segment).parent


def _uncertainty(
    body: RigidBody, motion: Motion, curvature: Float[Tensor, "time unknown unknown"]
) -> tuple[
    Float[Tensor, "time point 3 3"],
    Float[Tensor, "time 3 3"],
    Float[Tensor, "time segment 3"],
    Float[Tensor, "time segment 3 3"],
]:
    """Covariance of points relative to the root, covariance of the root, standard deviation of angles, covariance of
    small rotations.

    From the inverse of the curvature of each frame alone: usually too large, since other frames tell more; too small
    where the skeleton does not fit the person (0.91 within two standard deviations in one clip).
    """
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(curvature))
    turns = covariance[:, :-3, :-3]
    jacobian = point_jacobian(body, motion)
    of_points = (jacobian.flatten(1, 2) @ turns).unflatten(1, jacobian.shape[1:3]) @ jacobian.mT
    _, by_turn = angle_jacobian(body.tree, motion)
    blocks = turns.unflatten(1, (-1, 3)).unflatten(3, (-1, 3)).transpose(2, 3)  # time segment segment 3 3
    segments = body.tree.segments
    of_joints = _between(blocks, body.tree.parents[1:])
    of_angles = (by_turn @ of_joints @ by_turn.mT).diagonal(dim1=-2, dim2=-1)
    pelvis = motion.rotation[:, 0]
    of_pelvis = (pelvis.mT @ turns[:, :3, :3] @ pelvis).diagonal(dim1=1, dim2=2)
    of_turns = _between(blocks, [segments.index(reference(segment)) for segment in segments[1:]])
    angles = torch.cat([of_pelvis[:, None], of_angles], 1).sqrt()
    return of_points, covariance[:, -3:, -3:], angles, torch.cat([turns[:, None, :3, :3], of_turns], 1)


def _between(
    blocks: Float[Tensor, "time segment segment 3 3"], others: Sequence[int]
) -> Float[Tensor, "time joint 3 3"]:
    """Covariance of a small rotation of each segment but the pelvis relative to another one."""
    own = torch.arange(1, len(others) + 1)
    other = torch.tensor(others)
    shared = blocks[:, own, other]
    return blocks[:, own, own] + blocks[:, other, other] - shared - shared.mT
