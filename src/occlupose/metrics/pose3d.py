"""Errors of 3D poses, in the unit of the input.

Joints that are NaN in the truth or the prediction have NaN errors, for `np.nanmean`; every function works on any leading shape.
"""

import numpy as np
from jaxtyping import Float


def root_relative(xyz: Float[np.ndarray, "... joint 3"], root: int = 0) -> Float[np.ndarray, "... joint 3"]:
    """Positions relative to one joint."""
    return xyz - xyz[..., root : root + 1, :]


def joint_errors(predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]) -> Float[np.ndarray, "... joint"]:
    """Distance of each joint from the truth. Its mean is the MPJPE (Human3.6M's Protocol 1 on root-relative poses)."""
    return np.linalg.norm(predicted - truth, axis=-1)


def procrustes(predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]) -> Float[np.ndarray, "... joint 3"]:
    """The prediction moved, rotated and scaled to fit the truth best, pose by pose.

    Least squares over the joints that both have, after Umeyama (1991), never a mirror image. The mean of `joint_errors` of the
    result is the P-MPJPE (Protocol 2).
    """
    known = np.isfinite(predicted + truth).all(-1, keepdims=True)
    count = np.maximum(known.sum(-2, keepdims=True), 1)
    mean_p, mean_t = (np.where(known, xyz, 0).sum(-2, keepdims=True) / count for xyz in (predicted, truth))
    p, t = np.where(known, predicted - mean_p, 0), np.where(known, truth - mean_t, 0)
    u, s, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(s.shape)
    sign[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * (predicted - mean_p) @ np.swapaxes(rotation, -1, -2) + mean_t
