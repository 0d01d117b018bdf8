"""Where in the room: a person's root in metres, from the pose about the root and the joints in the picture."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from occlupose.cameras import Camera

__all__ = ["place"]

# All ours.
SEEING = 0.03  # m, standard deviation of a joint, at its depth: 2D networks err in proportion to the size of the person
LOOKS = 30.0  # per s, how often the joints are seen independently: what a second of video tells does not depend on the frame rate
PUSH_ACROSS, PUSH_ALONG = 2.0, 1.0  # m/s, standard deviation of what the speed gains in 1 s, across and along the line of sight
DAMPING = 1.0  # s, in which the speed of somebody unseen falls to exp(-1)
CLOSEST = 0.3  # m, the least depth of the root
SOMEWHERE, VAGUELY = 4.0, 100.0  # m, depth of a root of which nothing tells it, and how little that counts otherwise
OUTLIER = 0.1  # m, how far from its line of sight a joint begins to look wrong
HUBER, ROUNDS = 6, 9  # least squares that mistrust outliers (Huber), then forget them (Geman-McClure)


def place(
    xyz_relative: Float[np.ndarray, "time joint 3"],
    xy: Float[np.ndarray, "time joint 2"],
    weight: Float[np.ndarray, "time joint"],
    camera: Camera,
    fps: float,
) -> Float[np.ndarray, "time 3"]:
    """The root over time: the smoothest path that brings every joint onto its line of sight.

    Ours (OANet ends at poses relative to the root). Gauss-Newton on the distance between each joint and its line of sight, robust
    against wrong joints, under the prior that the speed changes little, least of all along the line of sight, and dies out where
    nothing is seen: gaps are bridged, ends run out. A frame's influence falls fast with time: where the person is seen for 1 s more
    on either side, a window gives the same root as the whole video, to 1 cm up to 6 m from the camera and 3 cm up to 12 m.

    Arguments:
        xyz_relative: joints less the root, m, in the camera frame; NaN where unknown.
        xy: joints in the picture, px; NaN where not seen.
        weight: how far each is believed, 0..1.
        camera: who saw them.
        fps: frames per second.

    Returns:
        Root in the camera frame, m, at least 0.3 m in front of it. All NaN if no joint was ever seen.
    """
    pose = np.asarray(xyz_relative, np.float64)
    sight = (np.asarray(xy, np.float64) - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    seen = np.isfinite(pose).all(-1) & np.isfinite(sight).all(-1) & (np.nan_to_num(weight) > 0)
    if not seen.any():
        return np.full((len(pose), 3), np.nan, np.float32)
    trust = np.where(seen, weight, 0) / (SEEING**2 * fps / LOOKS)
    pose, sight = np.where(seen[..., None], pose, 0), np.where(seen[..., None], sight, 0)

    root = _solve(trust, sight, sight * pose[..., 2:] - pose[..., :2], np.broadcast_to((0.0, 0.0, 1.0), (len(pose), 3)), fps)
    for turn in range(ROUNDS):
        joints = pose + root[:, None]
        depth = np.maximum(joints[..., 2:], CLOSEST / 2)
        view = joints[..., :2] / depth
        miss = depth * (sight - view)
        error = np.hypot(miss[..., 0], miss[..., 1]) / OUTLIER
        doubt = 1 / np.maximum(error, 1) if turn < HUBER else 1 / (1 + error**2) ** 2
        root = _solve(trust * doubt, view, root[:, None, :2] - view * root[:, None, 2:] + miss, root, fps)
    return root.astype(np.float32)


def _solve(
    trust: Float[np.ndarray, "time joint"],
    view: Float[np.ndarray, "time joint 2"],
    target: Float[np.ndarray, "time joint 2"],
    along: Float[np.ndarray, "time 3"],
    fps: float,
) -> Float[np.ndarray, "time 3"]:
    """The roots for which root_xy - view root_z comes closest to the target at every joint, and that move as people do.

    Arguments:
        trust: inverse variance of each joint, 1/m².
        view: direction in which each joint is seen, x/z and y/z.
        target: m.
        along: any vector on the line of sight to the root.
        fps: frames per second.
    """
    blocks = _smoothness(along, fps)
    anchor = trust.any(-1) / VAGUELY**2
    blocks[0, :, [0, 1], [0, 1]] += trust.sum(-1)
    blocks[0, :, 2, :2] -= np.einsum("tj,tjk->tk", trust, view)  # the lower half is all that _banded reads
    blocks[0, :, 2, 2] += np.einsum("tj,tjk,tjk->t", trust, view, view) + anchor
    right = np.empty_like(along, dtype=np.float64)
    right[:, :2] = np.einsum("tj,tjk->tk", trust, target)
    right[:, 2] = anchor * SOMEWHERE - np.einsum("tj,tjk,tjk->t", trust, view, target)
    root = solveh_banded(_banded(blocks), right.ravel(), lower=True, overwrite_ab=True, check_finite=False).reshape(-1, 3)
    return np.maximum(root, (-np.inf, -np.inf, CLOSEST))


def _smoothness(along: Float[np.ndarray, "time 3"], fps: float) -> Float[np.ndarray, "3 time 3 3"]:
    """Inverse covariance of a path whose speed is pushed at random and damped: blocks (t, t), (t + 1, t) and (t + 2, t)."""
    direction = along / np.linalg.norm(along, axis=-1, keepdims=True)
    forward = direction[:, :, None] * direction[:, None]
    calm = (np.eye(3) - forward) / PUSH_ACROSS**2 + forward / PUSH_ALONG**2
    blocks = np.zeros((3, *calm.shape))
    for difference, cost in (((-1, 1), calm[1:] * fps / DAMPING**2), ((1, -2, 1), calm[1:-1] * fps**3)):
        for i, at in enumerate(difference):
            for j, other in enumerate(difference[: i + 1]):
                blocks[i - j, j : j + len(cost)] += at * other * cost
    return blocks


def _banded(blocks: Float[np.ndarray, "3 time 3 3"]) -> Float[np.ndarray, "9 unknown"]:
    """The symmetric matrix of these blocks as scipy's lower diagonals."""
    diagonals = np.zeros((9, blocks.shape[1], 3))
    for below in range(3):
        for row in range(3):
            for column in range(3):
                if 3 * below + row >= column:
                    diagonals[3 * below + row - column, :, column] = blocks[below, :, row, column]
    return diagonals.reshape(9, -1)
