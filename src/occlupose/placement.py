"""Where in the room: a person's root in metres, from the pose about the root and the joints in the picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

from occlupose.cameras import Camera

__all__ = ["place"]

# All ours.
SEEING = 0.03  # m, standard deviation of a joint, at its depth: 2D networks err in proportion to the size of the person
# per s, how often the joints are seen independently: what a second of video tells does not depend on the frame rate
LOOKS = 30.0
# m/s, standard deviation of what the speed gains in 1 s, across and along the line of sight
PUSH_ACROSS = 2.0
PUSH_ALONG = 1.0
DAMPING = 1.0  # s, in which the speed of somebody unseen falls to exp(-1)
CLOSEST = 0.3  # m, the least depth of the root
# m, depth of a root of which nothing tells it, and how little that counts otherwise
SOMEWHERE = 4.0
VAGUELY = 100.0
OUTLIER = 0.1  # m, how far from its line of sight a joint begins to look wrong
PART = 512  # frames looked at at once
# least squares that mistrust outliers (Huber), then forget them (Geman-McClure)
HUBER = 6
ROUNDS = 9


def place(
    xyz_relative: Float[np.ndarray, "time joint 3"],
    xy: Float[np.ndarray, "time joint 2"],
    weight: Float[np.ndarray, "time joint"],
    camera: Camera,
    fps: float,
    *,
    before: Float[np.ndarray, "earlier 3"] | None = None,
) -> Float[np.ndarray, "time 3"]:
    """The root over time: the smoothest path that brings every joint onto its line of sight.

    Ours (OANet ends at poses relative to the root). Gauss-Newton on the distance between each joint and its line of
    sight, robust against wrong joints, under the prior that the speed changes little, least of all along the line of
    sight, and dies out where nothing is seen: gaps are bridged, ends run out. A frame's influence falls fast with time:
    where the person is seen for 1 s more on either side, a window gives the same root as the whole video, to 1 cm up to
    6 m from the camera and 3 cm up to 12 m.

    Arguments:
        xyz_relative: joints less the root, m, in the camera frame; NaN where unknown.
        xy: joints in the picture, px; NaN where not seen.
        weight: how far each is believed, 0..1.
        camera: who saw them.
        fps: frames per second.
        before: the root in the last two frames before these, or in the last one, where it is known already; it is kept.

    Returns:
        Root in the camera frame, m, at least 0.3 m in front of it. All NaN if no joint was ever seen and `before` is
        not given.
    """
    sights = _Sights(xyz_relative, xy, weight, camera, fps)
    if before is None:
        if not any(sights.seen(part).any() for part in sights.parts):
            return np.full((len(xy), 3), np.nan, np.float32)
        before = np.zeros((0, 3))
    root = _solve(*sights.equations(None, 0), np.broadcast_to((0.0, 0.0, 1.0), (len(xy), 3)), fps, before)
    for turn in range(ROUNDS):
        root = _solve(*sights.equations(root, turn), root, fps, before)
    return root.astype(np.float32)


@dataclass(frozen=True)
class _Sights:
    """What is seen in each frame, looked at some frames at a time, so that hours of joints need little memory at
    once.
    """

    xyz_relative: Float[np.ndarray, "time joint 3"]
    xy: Float[np.ndarray, "time joint 2"]
    weight: Float[np.ndarray, "time joint"]
    camera: Camera
    fps: float

    @property
    def parts(self) -> list[slice]:
        return [slice(start, start + PART) for start in range(0, len(self.xy), PART)]

    def seen(self, part: slice) -> Bool[np.ndarray, "time joint"]:
        """Which joints are known in 3D, seen, and believed at all."""
        known = np.isfinite(self.xyz_relative[part]).all(-1) & np.isfinite(self.xy[part]).all(-1)
        return known & (np.nan_to_num(self.weight[part]) > 0)

    def equations(self, root: Float[np.ndarray, "time 3"] | None, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of each frame's root alone, matrix (time, 3, 3; lower half) and right side (time, 3)."""
        made = [self._equations(part, None if root is None else root[part], turn) for part in self.parts]
        return np.concatenate([matrix for matrix, _ in made]), np.concatenate([right for _, right in made])

    def _equations(
        self, part: slice, root: Float[np.ndarray, "time 3"] | None, turn: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The roots for which root_xy - view root_z comes closest to the target at every joint."""
        seen = self.seen(part)
        pose = np.where(seen[..., None], self.xyz_relative[part], 0).astype(np.float64)
        centre = (self.camera.cx, self.camera.cy)
        focal = (self.camera.fx, self.camera.fy)
        sight = np.where(seen[..., None], (self.xy[part].astype(np.float64) - centre) / focal, 0)
        trust = np.where(seen, self.weight[part], 0) / (SEEING**2 * self.fps / LOOKS)  # inverse variance, 1/m²
        if root is None:
            view = sight
            target = sight * pose[..., 2:] - pose[..., :2]
        else:
            joints = pose + root[:, None]
            depth = np.maximum(joints[..., 2:], CLOSEST / 2)
            view = joints[..., :2] / depth
            miss = depth * (sight - view)
            error = np.hypot(miss[..., 0], miss[..., 1]) / OUTLIER
            trust = trust * (1 / np.maximum(error, 1) if turn < HUBER else 1 / (1 + error**2) ** 2)
            target = root[:, None, :2] - view * root[:, None, 2:] + miss
        anchor = trust.any(-1) / VAGUELY**2
        matrix = np.zeros((len(pose), 3, 3))
        right = np.empty((len(pose), 3))
        matrix[:, [0, 1], [0, 1]] = trust.sum(-1)[:, None]
        matrix[:, 2, :2] = -np.einsum("tj,tjk->tk", trust, view)
        matrix[:, 2, 2] = np.einsum("tj,tjk,tjk->t", trust, view, view) + anchor
        right[:, :2] = np.einsum("tj,tjk->tk", trust, target)
        right[:, 2] = anchor * SOMEWHERE - np.einsum("tj,tjk,tjk->t", trust, view, target)
        return matrix, right


def _solve(
    matrix: Float[np.ndarray, "time 3 3"],
    right: Float[np.ndarray, "time 3"],
    along: Float[np.ndarray, "time 3"],
    fps: float,
    before: Float[np.ndarray, "earlier 3"],
) -> Float[np.ndarray, "time 3"]:
    """The roots that satisfy each frame's equations best and move as people do.

    Arguments:
        matrix: of which only the lower half is read.
        along: any vector on the line of sight to the root.
        fps: frames per second.
        before: known roots of the frames before these, at most two: no frame is tied directly to more than that.
    """
    known = len(before)
    blocks = _smoothness(np.concatenate([before, along]), fps)
    right = right.copy()
    for earlier in range(known):
        for distance in range(known - earlier, min(3, known - earlier + len(right))):
            right[earlier + distance - known] -= blocks[distance, earlier] @ before[earlier]
    blocks = blocks[:, known:]
    blocks[0] += matrix
    root = solveh_banded(_banded(blocks), right.ravel(), lower=True, overwrite_ab=True, check_finite=False).reshape(
        -1, 3
    )
    return np.maximum(root, (-np.inf, -np.inf, CLOSEST))


def _smoothness(along: Float[np.ndarray, "time 3"], fps: float) -> Float[np.ndarray, "3 time 3 3"]:
    """Inverse covariance of a path whose speed is pushed at random and damped: blocks (t, t), (t + 1, t) and (t + 2,
    t).
    """
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
