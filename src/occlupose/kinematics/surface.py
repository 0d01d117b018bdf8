"""The surface of fitted skeletons: a body model of the person's shape, in their poses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.body import BodyModel
from occlupose.bodies.fitting import fit_pose, fit_shape
from occlupose.kinematics.body_pose import from_tree
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.result import SkeletonFit
from occlupose.skeletons import convert

STEPS = 2
"""Gauss-Newton steps towards the fitted joints. Ours."""


@dataclass(frozen=True, eq=False)
class BodyMotion:
    """What a body model takes: `body(pose, shape, translation)`, in the axes of the fit.

    Attributes:
        pose: rotation of each of `bodies.SEGMENTS` from the model's rest.
        shape: the same in each frame.
        translation: metres.
    """

    pose: Float[Tensor, "time 17 3 3"]
    shape: Float[Tensor, "time shape"]
    translation: Float[Tensor, "time 3"]


def move_body(fit: SkeletonFit, person: int, body: BodyModel) -> BodyMotion:
    """A body in the poses of one person, in the frames in which they are known.

    Its shape is the one whose joints in the T-pose are nearest to those of the fitted bones. As a body has no free
    bones, its joints are then turned towards the fitted ones, which changes rotations by a few degrees; what is left is
    about a centimetre.
    """
    tree = body_tree()
    known = fit.known[:, person]
    offsets = torch.from_numpy(fit.bone_offsets[person].astype(float))
    straight = torch.eye(3).double().expand(1, len(fit.segments), 3, 3)
    joints = convert(tree.place(straight, offsets).numpy(), tree.skeleton, body.skeleton)
    shape = fit_shape(torch.from_numpy(joints).float(), body).expand(int(known.sum()), -1)
    pose = from_tree(torch.from_numpy(fit.orientation()[known, person]), tree).float()
    fitted = torch.from_numpy(fit.joints(body.skeleton)[known, person])
    moved = fit_pose(fitted, body, shape, pose=pose, steps=STEPS)
    return BodyMotion(moved.pose, shape, moved.translation)
