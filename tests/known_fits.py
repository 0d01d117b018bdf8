"""Fitted skeletons whose rotations are known, and the records of people who are so."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from moving_skeletons import TREE, poses_of
from occlupose.kinematics.result import blank

ROOT = (0.3, -0.2, -4)
SIGMA = 0.01


def known_fit(frames):
    """One person with y up, the average body.

    Arguments:
        frames: for each, the rotation vectors (radians) of the segments that are not as in the T-pose.
    """
    vectors = np.zeros((len(frames), len(TREE.segments), 3))
    for frame, turned in enumerate(frames):
        for segment, vector in turned.items():
            vectors[frame, TREE.segments.index(segment)] = vector
    rotation = Rotation.from_rotvec(vectors.reshape(-1, 3))
    matrices = torch.from_numpy(rotation.as_matrix().reshape(*vectors.shape, 3))
    fit = blank(TREE, len(frames), 1)
    fit.rotation[:, 0] = rotation.as_quat(scalar_first=True).reshape(*vectors.shape[:2], 4)
    fit.root[:] = ROOT
    fit.bone_offsets[:] = TREE.rest
    fit.xyz[:, 0] = TREE.place(TREE.compose(matrices), TREE.rest).numpy() + ROOT
    for name in ("covariance", "turn_covariance", "root_covariance"):
        getattr(fit, name)[:] = np.array([1, 1, 1, 0, 0, 0]) * SIGMA**2
    fit.angle_sigma[:] = SIGMA
    return fit


def poses_of_fit(fit, fps=50.0):
    """The record of these people."""
    points = fit.xyz * (1, -1, -1)
    known = np.nan_to_num(points, nan=4.0)
    poses = poses_of(known, TREE.skeleton, fps)
    if fit.known.all():
        return poses
    arrays = {name: values.copy() for name, values in poses.arrays.items()}
    for name, values in arrays.items():
        values[~fit.known] = 0 if name in ("state", "score") else np.nan
    return replace(poses, **arrays)


def without(fit, frames):
    """The same, unknown in some frames."""
    arrays = {name: getattr(fit, name).copy() for name in ("rotation", "root", "xyz", "covariance", "turn_covariance")}
    for values in arrays.values():
        values[frames] = np.nan
    return replace(fit, **arrays)
