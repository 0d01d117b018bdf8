"""The floor under the people, from where their feet go and how they stand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occlupose.skeletons import Skeleton

# of a standing adult's joints above the ground, m
HEIGHTS = {"ankle": 0.08, "knee": 0.48, "hip": 0.92, "shoulder": 1.42}
QUANTILE = 0.85  # of the low joints are above the plane, the others under it by noise
NOISE = 0.05  # of a low joint's height, m
CELL = 0.5  # m; steps in one cell of the floor share their error and count as one
# how far from level a camera is usually held: standard deviations, as slopes
ROLL, PITCH = np.tan(np.radians([5.0, 15.0]))
LEAN = np.tan(np.radians(8.0))  # how far from upright a standing person is, likewise
STANDING = 1.05  # m from the ankles to the shoulders, at least
STEPS = 25


@dataclass(frozen=True)
class Plane:
    """A plane in the camera's frame: `normal` (3,) of unit length points up, and `height(p) = p . normal - offset`,
    m.
    """

    normal: np.ndarray
    offset: float

    def height(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
        """Height of points above the plane, m."""
        return xyz @ self.normal - self.offset

    def below(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """The points of the plane straight below (or above) the given ones, m."""
        return xyz - self.height(xyz)[..., None] * self.normal


def fit(xyz: Float[np.ndarray, "time person joint 3"], skeleton: Skeleton) -> Plane:
    """The ground plane under people, in the camera's frame.

    Of every person at every time the lowest ankle counts, and a plane y = a x + b z + c is laid through the low ones of
    these: quantile regression by reweighted least squares. Where the feet cover little ground, the slopes a, b are
    decided by how the standing people stand and by a prior that the camera is about level. The plane lies the height of
    an ankle (0.08 m) below. Where no ankle is known, knees, hips or shoulders serve, with their height on a standing
    adult. Ours.

    Arguments:
        xyz: joints in the camera's frame, m, NaN where missing.

    Returns:
        The plane; level and 1.5 m below the camera if there is nobody.
    """
    points, height = _low_joints(xyz, skeleton)
    if not len(points):
        return Plane(np.array([0.0, -1.0, 0.0]), -1.5)
    belief, precision = _stance(xyz, skeleton)
    slopes = belief
    level = float(np.quantile(_lowest(points, slopes)[:, 1], QUANTILE))
    for _ in range(STEPS):
        slopes, level = _refine(_lowest(points, slopes), slopes, level, belief, precision)
    stretch = np.sqrt(1 + slopes @ slopes)
    return Plane(np.array([slopes[0], -1.0, slopes[1]]) / stretch, -level / stretch - height)


def _named(xyz: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    """The left and right joint of a name for every frame and person, (n, 0..2, 3)."""
    joints = [joint for joint, full in enumerate(skeleton.joints) if full in (f"left_{name}", f"right_{name}")]
    return xyz[:, :, joints].reshape(xyz.shape[0] * xyz.shape[1], len(joints), 3).astype(np.float64)


def _low_joints(xyz: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, float]:
    """The pairs (n, 2, 3) of the lowest kind of joint that is known at all, and its height above the ground, m."""
    for name, height in HEIGHTS.items():
        points = _named(xyz, skeleton, name)
        points = points[np.isfinite(points).all(-1).any(-1)]
        if len(points):
            return points[:: max(1, len(points) // 5000)], height
    return np.empty((0, 2, 3)), 0.0


def _lowest(points: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Of every pair the joint that is lower over ground with these slopes, (n, 3)."""
    down = points[..., 1] - points[..., ::2] @ slopes
    return np.take_along_axis(points, np.nanargmax(down, -1)[:, None, None], 1)[:, 0]


def _stance(xyz: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """What the slopes (a, b) are without regard to where people step, and how sure that is (1 / variance, each).

    The median of the directions from ankles to shoulders of all who stand, weighed against a level camera.
    """
    precision = 1 / np.array([ROLL, PITCH]) ** 2
    ankles, shoulders = (_named(xyz, skeleton, name) for name in ("ankle", "shoulder"))
    if not (ankles.shape[1] and shoulders.shape[1]):
        return np.zeros(2), precision
    upwards = shoulders.mean(1) - ankles.mean(1)
    length = np.linalg.norm(upwards, axis=-1)
    # at most 45 degrees from the camera's own upright
    upright = upwards[(length > STANDING) & (upwards[:, 1] < -0.7 * length)]
    if not len(upright):
        return np.zeros(2), precision
    leaning = np.median(upright[:, ::2] / -upright[:, 1:2], 0)
    total = precision + 1 / LEAN**2
    return leaning / LEAN**2 / total, total


def _refine(
    low: np.ndarray, slopes: np.ndarray, level: float, belief: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, float]:
    """One step of quantile regression with a prior on the slopes: (a, b) and c of y = a x + b z + c."""
    under = low[:, 1] - low[:, ::2] @ slopes - level  # y is down
    weight = np.where(under > 0, QUANTILE, 1 - QUANTILE) / np.maximum(np.abs(under), 0.02)
    cells = len(np.unique(np.floor(low[:, ::2] / CELL), axis=0))
    weight *= cells / NOISE**2 / weight.sum()
    centre = weight @ low / weight.sum()
    across = low[:, ::2] - centre[::2]
    down = low[:, 1] - centre[1]
    slopes = np.linalg.solve(
        (across.T * weight) @ across + np.diag(precision), (across.T * weight) @ down + precision * belief
    )
    return slopes, float(centre[1] - centre[::2] @ slopes)
