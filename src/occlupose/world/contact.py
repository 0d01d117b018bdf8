"""Which parts of the bodies touch the floor, or something else that bears them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import grey_opening
from scipy.special import expit

from occlupose.kinematics.observations import check_shapes
from occlupose.kinematics.start import check_rate
from occlupose.skeletons import Skeleton
from occlupose.world.bearing import BearingPoints, bearing_points
from occlupose.world_frame import WorldFrame

BIAS = 4.0
SPEED = 0.15
ABOVE = 0.035
"""A point touches with the probability of a logistic function of BIAS - speed / SPEED - height / ABOVE, the height
being that above the body's lowest point; metres and seconds. Ours, chosen on lifted feet of motion capture that is for
training: CMU's subjects 01, 03, 06, 07, 10, 35 and 38. 85 % of the contacts stated there are true, and 89 % of the true
ones stated.
"""

SHORTEST = 0.15
"""Seconds; whoever is slow for no longer is at the top of a jump. Ours."""

ON_FLOOR = 0.85
"""Share of touching points that are on the floor. Ours."""

HEIGHT_SIGMA = 0.04
"""Standard deviation of the height of a point on the floor, metres. Ours."""

SOLE = 0.03
SIZE = 0.06
"""Standard deviation of an error that all heights of a person share: metres, from their soles, and as a share of the
camera's height, from their size and so their distance. A picture hardly tells the size, and the statures of adults
vary by about 6 % (NCD-RisC 2016, "A century of trends in adult human height", both sexes together).
"""

OFFSETS = 41
"""How many errors that all heights of a person share are tried, within two standard deviations. Ours."""

OTHERS_ABOVE = 0.1
OTHERS_BELOW = 0.01
"""Density of heights of touching points that are not on the floor: stairs and chairs, and errors; per metre. Ours."""


@dataclass(frozen=True, eq=False)
class Contacts:
    """Probabilities of contact, NaN where a point is unknown.

    Attributes:
        points: names of the joints, in the order of `bearing.bearing_joints`.
        radius: from the joint to the skin, metres.
        touching: the floor or anything else that bears the body.
        on_floor: the floor; at most `touching`.
    """

    points: tuple[str, ...]
    radius: Float[np.ndarray, "point"]
    touching: Float[np.ndarray, "time person point"]
    on_floor: Float[np.ndarray, "time person point"]

    def select(self, frames: slice) -> "Contacts":
        """Some of the frames."""
        return replace(self, touching=self.touching[frames], on_floor=self.on_floor[frames])


def find_contacts(
    xyz: Float[np.ndarray, "time person joint 3"], skeleton: Skeleton, fps: float, world: WorldFrame
) -> Contacts:
    """Which parts touch something: those that are slow, and hardly above the lowest of their body. Ours.

    So nobody touches anything in the air, a foot touches the step of a stair that it stands on, and a body that lies
    touches the floor with all that is low. People of a wrong size, who would float or sink all the time, are on the
    floor where most of what they touch is. What is borne above the body's lowest point is not found: hips on a chair
    while the feet are on the floor, and hands on a wall.

    Arguments:
        xyz: fitted skeletons or joints in the camera frame, metres, NaN where unknown.

    Raises:
        OccluposeError: no frame rate, another shape.
    """
    check_rate(fps)
    check_shapes(("time", "person"), xyz, skeleton, {})
    points = bearing_points(xyz, skeleton, fps)
    heights = bottoms(points, world)
    touching = touch(points, heights)
    variance = HEIGHT_SIGMA**2 + world.floor_sigma**2
    shares = np.full_like(heights, np.nan)
    for person in range(heights.shape[1]):
        known = np.isfinite(heights[:, person])
        own = heights[:, person][known]
        offset = find_offset(own, variance, touching[:, person][known], person_sigma(world))
        shares[:, person][known] = floor_share(own - offset, variance)
    return Contacts(points.names, points.radius, touching, touching * shares)


def person_sigma(world: WorldFrame) -> float:
    """Standard deviation of an error that all heights of a person share, metres."""
    return float(np.hypot(SOLE, SIZE * world.translation[2]))


def bottoms(points: BearingPoints, world: WorldFrame) -> Float[np.ndarray, "time person point"]:
    """Heights of the skin below the joints, metres; NaN where a joint is unknown.

    Heel and toe have that of the lower one, since how a foot is turned often is a guess.
    """
    heights = world.to_world(points.xyz)[..., 2] - points.radius
    for foot in points.feet:
        own = heights[..., foot]
        heights[..., foot] = np.where(np.isnan(own), np.nan, np.fmin.reduce(own, -1)[..., None])
    return heights


def touch(
    points: BearingPoints, heights: Float[np.ndarray, "time person point"]
) -> Float[np.ndarray, "time person point"]:
    """Probability that a point touches something, for longer than SHORTEST."""
    known = np.isfinite(heights)
    lowest = np.where(known, heights, np.inf).min(-1, keepdims=True)
    momentary = np.nan_to_num(expit(BIAS - points.speed / SPEED - (heights - lowest) / ABOVE))
    frames = int(SHORTEST * points.fps) + 2
    return np.where(known, grey_opening(momentary, (frames, 1, 1)), np.nan)


def floor_share(
    heights: Float[np.ndarray, "*any"], variance: Float[np.ndarray, "*any"] | float
) -> Float[np.ndarray, "*any"]:
    """Probability that a touching point of this height is on the floor, the heights of such points being normal."""
    on_floor, others = _densities(heights, variance)
    return on_floor / (on_floor + others)


def find_offset(
    heights: Float[np.ndarray, "place"],
    variance: Float[np.ndarray, "place"] | float,
    weight: Float[np.ndarray, "place"],
    sigma: float,
) -> float:
    """How far above the floor somebody is all the time: the likeliest error that all their heights share, metres. Ours.

    Arguments:
        heights, variance: of touching points, as of `floor_share`.
        weight: how much each point counts.
        sigma: standard deviation of the error, metres.
    """
    offsets = np.linspace(-2, 2, OFFSETS) * sigma
    likelihood = [np.log(sum(_densities(heights - offset, variance))) @ weight for offset in offsets]
    return float(offsets[(np.array(likelihood) - (offsets / sigma) ** 2 / 2).argmax()])


def _densities(
    heights: Float[np.ndarray, "*any"], variance: Float[np.ndarray, "*any"] | float
) -> tuple[Float[np.ndarray, "*any"], Float[np.ndarray, "*any"]]:
    """Densities of heights of touching points on the floor and elsewhere, per metre."""
    on_floor = ON_FLOOR * np.exp(-(heights**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return on_floor, np.where(heights > 0, OTHERS_ABOVE, OTHERS_BELOW)
