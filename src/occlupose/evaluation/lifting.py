"""What lifts the sequences of an evaluation: the lifter, or OANet's own temporal networks."""

from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from occlupose.methods.lifter.network import LifterNetwork
from occlupose.methods.oanet.lifting import lift_checked, load_lifter
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.poses import Poses


class SequenceLifter(Protocol):
    """Lifts the 2D poses of one person to 3D."""

    def __call__(self, poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        """H36M-17 joints in metres and camera axes, relative to the pelvis or any other origin.

        Arguments:
            poses: 2D, of one person, with their camera.
        """
        ...


def lifter_predictor(lifter: LifterNetwork | OANetNetwork) -> SequenceLifter:
    """Lifts with these networks; no skeleton is fitted."""

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        xyz = lift_checked(poses, None, None, None, lifter).xyz
        assert xyz is not None
        return xyz[:, 0]

    return predict


def load_predictor(weights: Path | None = None, device: str = "cpu") -> SequenceLifter:
    """The predictor for a weights file of `train lifter` or `train oanet`; by default for the shipped one.

    Raises:
        OccluposeError: the weights cannot be read, or torch has no such device here.
    """
    return lifter_predictor(load_lifter(device, weights))
