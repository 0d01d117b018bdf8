"""The ground plane under the people, from their ankles and from how they stand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occlupose.skeletons import Skeleton

# height of a standing adult's joints above the ground, m
HEIGHTS = {"ankle": 0.08, "knee": 0.48, "hip": 0.92, "shoulder": 1.42}
QUANTILE = 0.85  # fraction of the low joints above the plane; noise puts the others below
NOISE = 0.05  # standard deviation of a low joint's height, m
CELL = 0.5  # m; steps in the same cell of the floor have the same error and count as one
# standard deviations of a camera's roll and pitch, as slopes
ROLL, PITCH = np.tan(np.radians([5.0, 15.0]))
LEAN = np.tan(np.radians(8.0))  # standard deviation of a standing person's lean, as a slope
STANDING = 1.05  # m from the ankles to the shoulders, at least
ITERATIONS = 25


@dataclass(frozen=True)
class GroundPlane:
    """A plane in the camera frame, m: height(p) = p . normal - offset; `normal` (3,) has unit length and points up."""

    normal: np.ndarray
    offset: float

    def height(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
        """Height of points above the plane, m."""
        return xyz @ self.normal - self.offset

    def below(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """The points of the plane straight below (or above) the given ones, m."""
        return xyz - self.height(xyz)[..., None] * self.normal


def fit_ground(xyz: Float[np.ndarray, "time person joint 3"], skeleton: Skeleton) -> GroundPlane:
    """The ground plane under people, in the camera's frame.

    Quantile regression of the plane y = a x + b z + c on the lower ankle of every person in every frame, by iteratively
    reweighted least squares. The prior on the slopes a, b is the direction of standing people and a level camera; it
    decides where the feet cover little ground. The ground is the height of an ankle (0.08 m) below. If no ankle is
    known, knees, hips or shoulders are used, with their height on a standing adult. Ours.

    Arguments:
        xyz: joints in the camera's frame, m, NaN where missing.

    Returns:
        The plane; without people level and 1.5 m below the camera.
    """
    points, height = _lowest_joints(xyz, skeleton)
    if not len(points):
        return GroundPlane(np.array([0.0, -1.0, 0.0]), -1.5)
    prior, precision = _slope_prior(xyz, skeleton)
    slopes = prior
    level = float(np.quantile(_lower_of_pairs(points, slopes)[:, 1], QUANTILE))
    for _ in range(ITERATIONS):
        slopes, level = _update_plane(_lower_of_pairs(points, slopes), slopes, level, prior, precision)
    stretch = np.sqrt(1 + slopes @ slopes)
    return GroundPlane(np.array([slopes[0], -1.0, slopes[1]]) / stretch, -level / stretch - height)


def _joint_pairs(xyz: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    """The left and right joint of this name for every frame and person, (n, 0..2, 3)."""
    joints = [joint for joint, full in enumerate(skeleton.joints) if full in (f"left_{name}", f"right_{name}")]
    return xyz[:, :, joints].reshape(xyz.shape[0] * xyz.shape[1], len(joints), 3).astype(np.float64)


def _lowest_joints(xyz: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, float]:
    """Pairs (n, 2, 3) of the lowest kind of joint that is known, and its height above the ground, m."""
    for name, height in HEIGHTS.items():
        points = _joint_pairs(xyz, skeleton, name)
        points = points[np.isfinite(points).all(-1).any(-1)]
        if len(points):
            return points[:: max(1, len(points) // 5000)], height
    return np.empty((0, 2, 3)), 0.0


def _lower_of_pairs(points: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The lower joint of every pair on ground with these slopes, (n, 3)."""
    down = points[..., 1] - points[..., ::2] @ slopes
    return np.take_along_axis(points, np.nanargmax(down, -1)[:, None, None], 1)[:, 0]


def _slope_prior(xyz: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Prior of the slopes (a, b) and its precision (1 / variance).

    The median direction from ankles to shoulders of all standing people, combined with a level camera.
    """
    precision = 1 / np.array([ROLL, PITCH]) ** 2
    ankles = _joint_pairs(xyz, skeleton, "ankle")
    shoulders = _joint_pairs(xyz, skeleton, "shoulder")
    if not (ankles.shape[1] and shoulders.shape[1]):
        return np.zeros(2), precision
    upwards = shoulders.mean(1) - ankles.mean(1)
    length = np.linalg.norm(upwards, axis=-1)
    # at most 45 degrees from the camera's vertical axis
    upright = upwards[(length > STANDING) & (upwards[:, 1] < -0.7 * length)]
    if not len(upright):
        return np.zeros(2), precision
    leaning = np.median(upright[:, ::2] / -upright[:, 1:2], 0)
    total = precision + 1 / LEAN**2
    return leaning / LEAN**2 / total, total


def _update_plane(
    low: np.ndarray, slopes: np.ndarray, level: float, prior: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, float]:
    """One step of quantile regression with a prior on the slopes: (a, b) and c of y = a x + b z + c."""
    under = low[:, 1] - low[:, ::2] @ slopes - level  # y is down
    weight = np.where(under > 0, QUANTILE, 1 - QUANTILE) / np.maximum(np.abs(under), 0.02)
    cells = len(np.unique(np.floor(low[:, ::2] / CELL), axis=0))
    weight *= cells / NOISE**2 / weight.sum()
    centre = weight @ low / weight.sum()
    across = low[:, ::2] - centre[::2]
    down = low[:, 1] - centre[1]
    matrix = (across.T * weight) @ across + np.diag(precision)
    slopes = np.linalg.solve(matrix, (across.T * weight) @ down + precision * prior)
    return slopes, float(centre[1] - centre[::2] @ slopes)
