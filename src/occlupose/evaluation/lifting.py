"""What lifts the sequences of an evaluation: OANet's lifter, or the networks of the paper."""

from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.lift import interleave_factor, upsample_factor
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifting import lift, load_lifter
from occlupose.methods.oanet.predict import predict_3d
from occlupose.methods.oanet.weights import TrainedOANet, is_oanet, load
from occlupose.methods.oanet.windows import observed_rays
from occlupose.networks.weights import header, to_device
from occlupose.poses import Poses
from occlupose.skeletons import H36M17


class SequenceLifter(Protocol):
    """Lifts the 2D poses of one person to 3D."""

    def __call__(self, poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        """H36M-17 joints in metres and camera axes, relative to the pelvis or any other origin.

        Arguments:
            poses: 2D, of one person, with their camera.
        """
        ...


def lifter_predictor(lifter: Lifter) -> SequenceLifter:
    """Lifts as `occlupose lift` does, with this network."""

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        xyz = lift(poses, lifter=lifter).xyz
        assert xyz is not None
        return xyz[:, 0]

    return predict


def oanet_predictor(trained: TrainedOANet) -> SequenceLifter:
    """Lifts with OANet's networks as in the paper, on H36M-17 joints.

    As in `lift_rays`, video with a high frame rate is lifted as interleaved sequences, video with a low frame rate with
    missing frames in between.
    """

    def predict(poses: Poses) -> Float[np.ndarray, "time 17 3"]:
        rays, confidence, present = observed_rays(poses)
        reliable = present & (confidence >= trained.min_confidence)
        upsampling = upsample_factor(poses.fps)
        step = min(interleave_factor(poses.fps), max(1, len(poses)))
        all_rays = rays.new_zeros(upsampling * len(rays), *rays.shape[1:])
        all_reliable = reliable.new_zeros(upsampling * len(rays), reliable.shape[1])
        all_rays[::upsampling] = rays
        all_reliable[::upsampling] = reliable
        xyz = np.empty((len(all_rays), len(H36M17), 3), np.float32)
        for first in range(step):
            part = slice(first, None, step)
            xyz[part] = predict_3d(trained.oanet, all_rays[part], all_reliable[part], trained.window).numpy()
        return xyz[::upsampling]

    return predict


def load_predictor(weights: Path | None = None, device: str = "cpu") -> SequenceLifter:
    """The predictor for a weights file of `train lifter` or `train oanet`; by default for the shipped lifter.

    Raises:
        OccluposeError: the weights cannot be read, or torch has no such device here.
    """
    if weights is not None and weights.exists() and not header(weights):
        raise OccluposeError(
            f"{weights}: not readable as weights; give a file that `occlupose train lifter` or `train oanet` wrote"
        )
    if weights is not None and is_oanet(weights):
        trained = load(weights)
        to_device(trained.oanet, device)
        return oanet_predictor(trained)
    return lifter_predictor(load_lifter(device, weights))
