"""Gauss-Newton over rotations and root of all frames at once.

Unknown are a small rotation vector of each segment, in the axes of the data, and a step of the root. Because rotations
are not relative to a parent, a joint depends only on the bones that lead to it, and a temporal term couples an unknown
only with itself in other frames: the normal equations are one banded matrix, which is solved exactly. Ours; temporal
terms as of a white noise acceleration (Barfoot et al., Batch continuous-time trajectory estimation, 2014).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import solveh_banded
from torch import Tensor

from occlupose.bodies.fitting import from_rotation_vector, skew, to_rotation_vector
from occlupose.kinematics.angles import angles_with_jacobian
from occlupose.kinematics.body_tree import BodyTree
from occlupose.kinematics.observations import Information, Observations
from occlupose.kinematics.prior import AnglePrior

ACCELERATION = {"pelvis": 30.0, "abdomen": 30.0, "chest": 30.0, "neck": 40.0, "head": 40.0, "clavicle": 40.0}
LIMB_ACCELERATION = 80.0
ROOT_ACCELERATION = 10.0
"""Standard deviation of the acceleration of segments (radians / s^2) and root (m / s^2), of 60 values a second. Ours:
fitted joints then accelerate as captured ones do.
"""

RATE = 60.0

FIRST_ITERATIONS = 3
"""Of each frame alone."""

CHUNK = 64
"""Frames whose equations are written together, so that they stay in the processor's cache."""

DAMPING = 1e-3
"""Share of its own curvature that is added to each unknown's."""

ROOT_SIGMA = 100.0
"""Metres: standard deviation of a root that nothing tells."""

ANY_TURN = 2.0
"""Radians: standard deviation of a pelvis' rotation that nothing tells."""

LARGEST_TURN = 0.7
"""Radians by which a segment turns in one iteration."""


@dataclass(frozen=True, eq=False)
class RigidBody:
    """A person: the tree with their own bones at rest (metres), and which angles are to be expected."""

    tree: BodyTree
    prior: AnglePrior
    offsets: Float[Tensor, "bone 3"]


@dataclass(frozen=True, eq=False)
class Motion:
    """A moving person: rotation of each segment, not relative to its parent, and place of the pelvis."""

    rotation: Float[Tensor, "time segment 3 3"]
    root: Float[Tensor, "time 3"]

    def select(self, frames: slice) -> "Motion":
        """Some of the frames."""
        return Motion(self.rotation[frames], self.root[frames])

    def step(self, change: Float[Tensor, "time unknown"]) -> "Motion":
        """Every segment turned and the root moved."""
        turn = change[:, :-3].unflatten(1, (-1, 3))
        angle = turn.norm(dim=-1, keepdim=True)
        turn = turn * (LARGEST_TURN / angle.clamp_min(LARGEST_TURN))
        return Motion(from_rotation_vector(turn) @ self.rotation, self.root + change[:, -3:])


@dataclass(frozen=True, eq=False)
class Equations:
    """Normal equations of each frame by itself: curvature @ change = slope."""

    curvature: Float[Tensor, "time unknown unknown"]
    slope: Float[Tensor, "time unknown"]


def equations(body: RigidBody, motion: Motion, observations: Observations) -> Equations:
    """Of joints, keypoints, prior and ranges at a motion."""
    parts = []
    for first in range(0, len(motion.root), CHUNK):
        frames = slice(first, first + CHUNK)
        parts.append(_equations(body, motion.select(frames), observations.select(frames)))
    return Equations(torch.cat([part.curvature for part in parts]), torch.cat([part.slope for part in parts]))


def _equations(body: RigidBody, motion: Motion, observations: Observations) -> Equations:
    jacobian = point_jacobian(body, motion, observations.points)
    places = body.tree.place(motion.rotation, body.offsets)[:, observations.points]
    information = observations.information(places, motion.root)
    return _add_root(jacobian, information, *_prior_terms(body, motion))


def point_jacobian(
    body: RigidBody, motion: Motion, points: Int[Tensor, "point"] | slice = slice(None)
) -> Float[Tensor, "time point 3 angle"]:
    """Derivatives of points relative to the root by the rotation vectors of the segments."""
    return -skew(body.tree.lever_arms(motion.rotation, body.offsets, points)).transpose(2, 3).flatten(3)


def _add_root(
    jacobian: Float[Tensor, "time point 3 angle"],
    information: Information,
    prior_curvature: Float[Tensor, "time angle angle"],
    prior_slope: Float[Tensor, "time angle"],
) -> Equations:
    count = prior_slope.shape[1]
    rows = jacobian.flatten(1, 2)
    curvature = torch.zeros(len(rows), count + 3, count + 3, dtype=rows.dtype)
    curvature[:, :count, :count] = prior_curvature + rows.mT @ (information.curvature @ jacobian).flatten(1, 2)
    across = (information.absolute_curvature @ jacobian).sum(1)
    curvature[:, count:, :count] = across
    curvature[:, :count, count:] = across.mT
    least = torch.eye(3, dtype=rows.dtype) / ROOT_SIGMA**2
    curvature[:, count:, count:] = information.absolute_curvature.sum(1) + information.root_curvature + least
    curvature[:, range(3), range(3)] += ANY_TURN**-2
    turn = prior_slope + (rows.mT @ information.slope.flatten(1)[..., None]).squeeze(-1)
    return Equations(curvature, torch.cat([turn, information.absolute_slope.sum(1) + information.root_slope], 1))


def angle_jacobian(
    tree: BodyTree, motion: Motion
) -> tuple[Float[Tensor, "time joint 3"], Float[Tensor, "time joint 3 3"]]:
    """The angles of all joints, and their derivatives by the rotation vector of the segment. Those by the rotation
    vector of its parent are the opposite.

    Turning a segment by w and its parent by u turns their joint by R^T (w - u), R the segment's rotation.
    """
    relative = tree.to_parent_relative(motion.rotation)[:, 1:]
    angles, by_turn = angles_with_jacobian(relative, tree.axes)
    return angles, by_turn @ motion.rotation[:, 1:].mT


def _prior_terms(
    body: RigidBody, motion: Motion
) -> tuple[Float[Tensor, "time angle angle"], Float[Tensor, "time angle"]]:
    """Curvature and slope of the prior by the rotation vectors of the segments."""
    tree = body.tree
    angles, jacobian = angle_jacobian(tree, motion)
    slope, curvature = body.prior.penalty(angles)
    blocks = curvature.unflatten(1, (-1, 3)).unflatten(3, (-1, 3))  # time joint 3 joint 3
    by_column = torch.einsum("tiajb,tjbc->tiajc", blocks, jacobian)
    by_both = torch.einsum("tiaz,tiad->tidz", by_column.flatten(3), jacobian)
    columns = to_segments(tree, by_both.unflatten(3, (-1, 3)), 3)
    by_turn = (jacobian.mT @ slope.unflatten(1, (-1, 3))[..., None]).squeeze(-1)
    return to_segments(tree, columns, 1).flatten(3).flatten(1, 2), to_segments(tree, by_turn, 1).flatten(1)


def to_segments(tree: BodyTree, by_joint: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Derivatives by the rotation vectors of segments, from those by the turns of joints along a dimension."""
    shape = list(by_joint.shape)
    shape[dim] += 1
    by_segment = torch.zeros(shape, dtype=by_joint.dtype)
    by_segment.narrow(dim, 1, shape[dim] - 1).copy_(by_joint)
    return by_segment.index_add_(dim, torch.tensor(tree.parents[1:]), by_joint, alpha=-1)


def smoothness(tree: BodyTree, fps: float) -> Float[Tensor, "unknown"]:
    """Inverse variance of the second difference of each unknown over frames."""
    kinds = [segment.removeprefix("left_").removeprefix("right_") for segment in tree.segments]
    sigmas = [ACCELERATION.get(kind, LIMB_ACCELERATION) for kind in kinds for _ in range(3)]
    return fps**3 * RATE / torch.tensor([*sigmas, *[ROOT_ACCELERATION] * 3], dtype=torch.float64) ** 2


def _pull(second_difference: Float[Tensor, "inner n"]) -> Float[Tensor, "time n"]:
    """What second differences over frames pull at each frame: their transpose."""
    pulled = torch.zeros(len(second_difference) + 2, second_difference.shape[1], dtype=torch.float64)
    for shift, factor in enumerate((1, -2, 1)):
        pulled[shift : shift + len(second_difference)] += factor * second_difference
    return pulled


def acceleration(motion: Motion) -> Float[Tensor, "inner unknown"]:
    """Change of the rotation vectors between frames, and second difference of the root; to first order the second
    difference of the unknowns.
    """
    turn = to_rotation_vector(motion.rotation[1:] @ motion.rotation[:-1].mT)
    return torch.cat([turn.diff(dim=0).flatten(1), motion.root.diff(n=2, dim=0)], 1)


def approach(body: RigidBody, motion: Motion, observations: Observations) -> Motion:
    """The first Gauss-Newton iterations, of each frame alone."""
    parts = []
    for first in range(0, len(motion.root), CHUNK):
        frames = slice(first, first + CHUNK)
        part = motion.select(frames)
        for _ in range(FIRST_ITERATIONS):
            part = part.step(solve(equations(body, part, observations.select(frames)), part, None))
        parts.append(part)
    return Motion(torch.cat([part.rotation for part in parts]), torch.cat([part.root for part in parts]))


def improve(
    body: RigidBody, motion: Motion, observations: Observations, fps: float
) -> tuple[Motion, Float[Tensor, "time unknown unknown"]]:
    """One Gauss-Newton iteration of all frames together.

    Returns the motion, and the curvature of the cost of each frame alone, before this iteration.
    """
    normal = equations(body, motion, observations)
    return motion.step(solve(normal, motion, smoothness(body.tree, fps))), normal.curvature


def solve(
    equations: Equations, motion: Motion, smoothness: Float[Tensor, "unknown"] | None
) -> Float[Tensor, "time unknown"]:
    """The Gauss-Newton step of all frames together, or of each frame alone where no smoothness is given."""
    curvature = equations.curvature
    own = curvature.diagonal(dim1=1, dim2=2)
    if smoothness is None or len(curvature) < 3:
        damped = curvature + torch.diag_embed(DAMPING * own)
        return torch.cholesky_solve(equations.slope[..., None], torch.linalg.cholesky(damped)).squeeze(-1)
    slope = equations.slope - smoothness * _pull(acceleration(motion))
    frames, count = slope.shape
    band = np.zeros((2 * count + 1, frames, count))
    for below in range(count):
        band[below, :, : count - below] = curvature.diagonal(-below, 1, 2).numpy()
    band[0] += DAMPING * own.numpy()
    for below, terms in enumerate(_pattern(frames)):
        band[below * count] += terms[:, None] * smoothness.numpy()
    right = slope.flatten().numpy()
    change = solveh_banded(band.reshape(len(band), -1), right, lower=True, overwrite_ab=True, check_finite=False)
    return torch.from_numpy(change).unflatten(0, (frames, count))


def _pattern(frames: int) -> Float[np.ndarray, "3 time"]:
    """Diagonals of D^T D, D the second difference over frames, from the main one downwards."""
    terms = np.zeros((3, frames))
    difference = (1, -2, 1)
    for row in range(3):
        for column in range(row + 1):
            terms[row - column, column : frames - 2 + column] += difference[row] * difference[column]
    return terms
