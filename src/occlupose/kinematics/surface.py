"""The surface of fitted skeletons: a body of the person's shape and bones, in their poses."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, BodyModel, PosedBodies
from occlupose.bodies.fitting import fit_pose, fit_shape
from occlupose.kinematics.body_pose import from_tree, to_tree
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.result import SkeletonFit
from occlupose.skeletons import convert

STEPS = 2
"""Gauss-Newton steps towards the fitted joints. Ours."""

ROUNDS = 3
"""Of moving the joints of a body to their places; a joint follows its surface only nearly. Ours."""


@dataclass(frozen=True, eq=False)
class BodyMotion:
    """The body of one person, and how it moves; in the axes of the fit.

    Attributes:
        body: of this person; it takes every shape as the same.
        pose: rotation of each of `bodies.SEGMENTS` from the body's rest.
        translation: of its root bone, metres.
    """

    body: BodyModel
    pose: Float[Tensor, "time 17 3 3"]
    translation: Float[Tensor, "time 3"]

    def at(self, frames: slice) -> PosedBodies:
        """Surface and joints in some frames."""
        pose = self.pose[frames]
        return self.body(pose, self.body.neutral.expand(len(pose), -1), self.translation[frames])

    def bones(self) -> tuple[Float[Tensor, "time bone 3 3"], Float[Tensor, "time bone 3"]]:
        """Rotation of every bone from rest, and where its head is, metres."""
        return self.body.bones(self.pose, self.body.neutral.expand(len(self.pose), -1), self.translation)


def move_body(fit: SkeletonFit, person: int, body: BodyModel) -> BodyMotion:
    """A body in the poses of one person, in the frames in which they are known.

    Since the joints of a surface move a little otherwise than rigid bones, segments are then turned towards the fitted
    joints, by a few degrees.
    """
    known = fit.known[:, person]
    own = shape_body(fit.bone_offsets[person], body)
    pose = from_tree(torch.from_numpy(fit.orientation()[known, person]), body_tree()).float()
    joints = torch.from_numpy(fit.joints(body.skeleton)[known, person])
    moved = fit_pose(joints, own, own.neutral.expand(len(pose), -1), pose=pose, steps=STEPS)
    return BodyMotion(own, moved.pose, moved.translation)


def shape_body(offsets: Float32[np.ndarray, "bone 3"], body: BodyModel) -> BodyModel:
    """The body of a person with these bones at rest.

    Of all shapes the model's nearest one, which is then warped by the thin-plate spline that moves its joints at rest
    to the ends of the bones (Bookstein, 1989).
    """
    joints = _joints_at_rest(offsets, body)
    shape = fit_shape(joints, body)
    blend = body.blend(shape[None])
    own = replace(
        body,
        template=body.template + (blend @ body.directions.flatten(1)).reshape(-1, 3),
        heads=body.heads + (blend @ body.head_directions.flatten(1)).reshape(-1, 3),
        directions=body.directions[:0],
        head_directions=body.head_directions[:0],
        blend=lambda shapes: shapes[:, :0],
    )
    for _ in range(ROUNDS):
        own = _warp(own, joints[0])
    return own


def measure_shape(offsets: Float32[np.ndarray, "bone 3"], body: BodyModel) -> Float32[np.ndarray, "shape"]:
    """The model's shape that is nearest to a person with these bones at rest."""
    return fit_shape(_joints_at_rest(offsets, body), body).numpy()


def _joints_at_rest(offsets: Float32[np.ndarray, "bone 3"], body: BodyModel) -> Float[Tensor, "1 joint 3"]:
    tree = body_tree()
    identity = torch.eye(3).expand(1, len(SEGMENTS), 3, 3)
    placed = tree.place(to_tree(identity, tree), torch.from_numpy(offsets.astype(float)))
    return torch.from_numpy(convert(placed.numpy(), tree.skeleton, body.skeleton)).float()


def _warp(body: BodyModel, joints: Float[Tensor, "26 3"]) -> BodyModel:
    """The body with its joints at rest moved to places, up to a translation."""
    rest = body.rest(body.neutral[None])[0] + body.heads[0]
    move = joints - rest
    spline = RBFInterpolator(rest, move - move.mean(0))
    template = body.template + torch.from_numpy(spline(body.template)).float()
    heads = body.heads + torch.from_numpy(spline(body.heads)).float()
    return replace(body, template=template, heads=heads)
