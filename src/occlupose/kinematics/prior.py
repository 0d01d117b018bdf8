"""Which angles joints have: their ranges, and a Gaussian around the poses of motion capture."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.kinematics.angles import to_angles
from occlupose.kinematics.body_pose import to_tree
from occlupose.kinematics.body_tree import body_tree
from occlupose.synth.pose_prior import PosePrior, vector_to_pose

SAMPLES = 4000
"""Poses of the mixture from which mean and covariance are computed."""

WEIGHT = 0.15
"""Factor of the prior's precision: people do more than was captured, and a pose lasts for many frames. Ours."""

FLOOR = 0.1
"""Standard deviation (radians) that is added to every angle, since the captured poses were fitted to joints. Ours."""

UNSEEN = {
    "forearm": (False, True, True),
    "hand": (True, True, True),
    "thigh": (False, False, True),
    "shank": (False, True, True),
    "foot": (False, True, True),
    "toes": (True, True, True),
}
"""Angles that joints do not show well enough, so that captured ones are left out: their prior is the middle of the
range, with a quarter of it as standard deviation. Ours.
"""

LIMIT = 0.05
"""Standard deviation of an angle outside of its range, and of a hinge's angle to the side, radians. Ours."""


@dataclass(frozen=True, eq=False)
class AnglePrior:
    """A Gaussian over the angles of all joints, and their ranges.

    Attributes:
        mean: radians.
        precision: inverse covariance of the angles of all joints, joint by joint.
        low, high: ranges.
    """

    mean: Float[Tensor, "joint 3"]
    precision: Float[Tensor, "angle angle"]
    low: Float[Tensor, "joint 3"]
    high: Float[Tensor, "joint 3"]

    def penalty(self, angles: Float[Tensor, "time joint 3"]) -> tuple[Float[Tensor, "time angle"], Tensor]:
        """Of angles: minus the slope of the cost, and its curvature (time, angle, angle)."""
        nearest = angles.clamp(self.low, self.high)
        firmness = ((nearest != angles) | (self.low == self.high)).double() / LIMIT**2
        slope = (self.mean - angles).flatten(1) @ self.precision + (firmness * (nearest - angles)).flatten(1)
        return slope, self.precision + torch.diag_embed(firmness.flatten(1))


@cache
def captured_prior() -> AnglePrior:
    """The prior of the captured poses that are shipped (see `synth.pose_prior`)."""
    tree = body_tree()
    poses = vector_to_pose(PosePrior.load().sample(np.random.default_rng(0), SAMPLES))
    relative = tree.to_parent_relative(to_tree(torch.from_numpy(poses), tree))[:, 1:]
    angles = to_angles(relative, tree.axes)
    unseen = torch.tensor([UNSEEN.get(segment.split("_", 1)[-1], (False,) * 3) for segment in tree.segments[1:]])
    mean = torch.where(unseen, (tree.low + tree.high) / 2, angles.mean(0))
    angles = torch.where(unseen, 0.0, angles)
    variance = torch.where(unseen, ((tree.high - tree.low) / 4) ** 2, 0.0) + FLOOR**2
    covariance = torch.cov(angles.flatten(1).T) + torch.diag(variance.flatten())
    return AnglePrior(mean, WEIGHT * covariance.inverse(), tree.low, tree.high)
