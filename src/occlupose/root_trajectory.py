"""Root trajectory: a person's pelvis in metres, from root-relative joints and their keypoints."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

from occlupose.cameras import Camera

__all__ = ["estimate_root_trajectory"]

# All ours.
KEYPOINT_SIGMA = 0.03  # m, standard deviation of a joint, at its depth: 2D errors are proportional to a person's size
# per s, rate of independent observations: the information in a second of video does not depend on the frame rate
OBSERVATION_RATE = 30.0
# m/s, standard deviation of the change of speed in 1 s, across and along the line of sight
PROCESS_NOISE_ACROSS = 2.0
PROCESS_NOISE_ALONG = 1.0
SPEED_DECAY = 1.0  # s in which the speed of an unseen person falls to exp(-1)
MIN_DEPTH = 0.3  # m, of the root
RIDGE = 1e-9  # share of the largest coefficient, added where the equations tell no depth
# m, mean and standard deviation of the depth without other information
PRIOR_DEPTH = 4.0
PRIOR_DEPTH_SIGMA = 100.0
OUTLIER_DISTANCE = 0.1  # m from its line of sight, from which on a joint counts less
CHUNK = 512  # frames that are processed at once
# iterations of robust least squares: Huber weights at first, then Geman-McClure
HUBER_ITERATIONS = 6
ITERATIONS = 9


def estimate_root_trajectory(
    xyz_relative: Float[np.ndarray, "time joint 3"],
    xy: Float[np.ndarray, "time joint 2"],
    weight: Float[np.ndarray, "time joint"],
    camera: Camera,
    fps: float,
    *,
    before: Float[np.ndarray, "earlier 3"] | None = None,
) -> Float[np.ndarray, "time 3"]:
    """The smoothest root trajectory that brings every joint onto its line of sight.

    Ours (OANet ends at root-relative poses). Gauss-Newton on the distance between each joint and its line of sight,
    robust against outliers, with a prior that the speed changes little, least along the line of sight, and decays where
    nothing is visible: gaps are interpolated, ends extrapolated. The influence of a frame falls fast with time: if the
    person is visible for 1 s more on either side, a window gives the same root as the whole video, within 1 cm up to
    6 m from the camera and 3 cm up to 12 m.

    Arguments:
        xyz_relative: root-relative joints, m, in the camera frame; NaN where unknown.
        xy: keypoints, px; NaN unless visible.
        weight: confidence of the keypoints, 0..1.
        camera: of the images.
        fps: frames per second.
        before: the root in the last one or two frames before these, if it is known already; it is kept.

    Returns:
        Root in the camera frame, m, at least 0.3 m in front of the camera. All NaN if no joint is ever visible and
        `before` is not given.
    """
    observations = _Observations(xyz_relative, xy, weight, camera, fps)
    if before is None:
        if not any(observations.visible(chunk).any() for chunk in observations.chunks):
            return np.full((len(xy), 3), np.nan, np.float32)
        before = np.zeros((0, 3))
    root = _solve(*observations.equations(None, 0), np.broadcast_to((0.0, 0.0, 1.0), (len(xy), 3)), fps, before)
    for iteration in range(ITERATIONS):
        root = _solve(*observations.equations(root, iteration), root, fps, before)
    return root.astype(np.float32)


@dataclass(frozen=True)
class _Observations:
    """The keypoints of each frame, processed in chunks of frames so that long videos need little memory."""

    xyz_relative: Float[np.ndarray, "time joint 3"]
    xy: Float[np.ndarray, "time joint 2"]
    weight: Float[np.ndarray, "time joint"]
    camera: Camera
    fps: float

    @property
    def chunks(self) -> list[slice]:
        return [slice(start, start + CHUNK) for start in range(0, len(self.xy), CHUNK)]

    def visible(self, chunk: slice) -> Bool[np.ndarray, "time joint"]:
        """Which joints are known in 3D and visible, with a positive weight."""
        known = np.isfinite(self.xyz_relative[chunk]).all(-1) & np.isfinite(self.xy[chunk]).all(-1)
        return known & (np.nan_to_num(self.weight[chunk]) > 0)

    def equations(self, root: Float[np.ndarray, "time 3"] | None, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of each frame's root by itself: matrix (time, 3, 3; lower half), right side (time, 3)."""
        parts = [self._equations(chunk, None if root is None else root[chunk], iteration) for chunk in self.chunks]
        return np.concatenate([matrix for matrix, _ in parts]), np.concatenate([right for _, right in parts])

    def _equations(
        self, chunk: slice, root: Float[np.ndarray, "time 3"] | None, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The roots for which root_xy - ray root_z is closest to the target at every joint."""
        visible = self.visible(chunk)
        pose = np.where(visible[..., None], self.xyz_relative[chunk], 0).astype(np.float64)
        centre = (self.camera.cx, self.camera.cy)
        focal = (self.camera.fx, self.camera.fy)
        observed_ray = np.where(visible[..., None], (self.xy[chunk].astype(np.float64) - centre) / focal, 0)
        variance = KEYPOINT_SIGMA**2 * self.fps / OBSERVATION_RATE  # m²
        precision = np.where(visible, self.weight[chunk], 0) / variance
        if root is None:
            ray = observed_ray
            target = observed_ray * pose[..., 2:] - pose[..., :2]
        else:
            joints = pose + root[:, None]
            depth = np.maximum(joints[..., 2:], MIN_DEPTH / 2)
            ray = joints[..., :2] / depth
            residual = depth * (observed_ray - ray)
            error = np.hypot(residual[..., 0], residual[..., 1]) / OUTLIER_DISTANCE
            if iteration < HUBER_ITERATIONS:
                precision = precision * (1 / np.maximum(error, 1))
            else:
                precision = precision * (1 / (1 + error**2) ** 2)
            target = root[:, None, :2] - ray * root[:, None, 2:] + residual
        prior = precision.any(-1) / PRIOR_DEPTH_SIGMA**2
        matrix = np.zeros((len(pose), 3, 3))
        right = np.empty((len(pose), 3))
        matrix[:, [0, 1], [0, 1]] = precision.sum(-1)[:, None]
        matrix[:, 2, :2] = -np.einsum("tj,tjk->tk", precision, ray)
        matrix[:, 2, 2] = np.einsum("tj,tjk,tjk->t", precision, ray, ray) + prior
        right[:, :2] = np.einsum("tj,tjk->tk", precision, target)
        right[:, 2] = prior * PRIOR_DEPTH - np.einsum("tj,tjk,tjk->t", precision, ray, target)
        return matrix, right


def _solve(
    matrix: Float[np.ndarray, "time 3 3"],
    right: Float[np.ndarray, "time 3"],
    along: Float[np.ndarray, "time 3"],
    fps: float,
    before: Float[np.ndarray, "earlier 3"],
) -> Float[np.ndarray, "time 3"]:
    """The roots that fit the equations of each frame and the motion prior best.

    Arguments:
        matrix: only the lower half is used.
        along: any vector on the line of sight to the root.
        fps: frames per second.
        before: known roots of at most two earlier frames; the prior connects no frame with earlier ones.
    """
    known = len(before)
    blocks = _smoothness(np.concatenate([before, along]), fps)
    right = right.copy()
    for earlier in range(known):
        for distance in range(known - earlier, min(3, known - earlier + len(right))):
            right[earlier + distance - known] -= blocks[distance, earlier] @ before[earlier]
    blocks = blocks[:, known:]
    blocks[0] += matrix
    try:
        root = solveh_banded(_banded(blocks), right.ravel(), lower=True, check_finite=False)
    except np.linalg.LinAlgError:  # nothing tells how far away somebody is, as of joints in one point
        blocks[0] += RIDGE * np.abs(blocks[0]).max() * np.eye(3)
        root = solveh_banded(_banded(blocks), right.ravel(), lower=True, check_finite=False)
    return np.maximum(root.reshape(-1, 3), (-np.inf, -np.inf, MIN_DEPTH))


def _smoothness(along: Float[np.ndarray, "time 3"], fps: float) -> Float[np.ndarray, "3 time 3 3"]:
    """Inverse covariance of a trajectory whose speed changes at random and decays: blocks (t, t), (t + 1, t) and
    (t + 2, t).
    """
    direction = along / np.linalg.norm(along, axis=-1, keepdims=True)
    forward = direction[:, :, None] * direction[:, None]
    precision = (np.eye(3) - forward) / PROCESS_NOISE_ACROSS**2 + forward / PROCESS_NOISE_ALONG**2
    blocks = np.zeros((3, *precision.shape))
    for difference, cost in (((-1, 1), precision[1:] * fps / SPEED_DECAY**2), ((1, -2, 1), precision[1:-1] * fps**3)):
        for i, at in enumerate(difference):
            for j, other in enumerate(difference[: i + 1]):
                blocks[i - j, j : j + len(cost)] += at * other * cost
    return blocks


def _banded(blocks: Float[np.ndarray, "3 time 3 3"]) -> Float[np.ndarray, "9 unknown"]:
    """The symmetric matrix of these blocks as lower diagonals for scipy."""
    diagonals = np.zeros((9, blocks.shape[1], 3))
    for below in range(3):
        for row in range(3):
            for column in range(3):
                if 3 * below + row >= column:
                    diagonals[3 * below + row - column, :, column] = blocks[below, :, row, column]
    return diagonals.reshape(9, -1)
