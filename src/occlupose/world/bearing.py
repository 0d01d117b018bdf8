"""The parts of a body that can bear it: soles, knees, hips, hands, elbows, back and head."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occlupose.bodies.body import SIDES
from occlupose.skeletons import Skeleton

FEET = {"heel": 0.03, "big_toe": 0.02}
ANKLE = {"ankle": 0.09}
"""Instead of heel and toe where a skeleton has none."""

PAIRS = {"knee": 0.06, "hip": 0.11, "hand": 0.03, "wrist": 0.04, "elbow": 0.045, "shoulder": 0.08, "ear": 0.07}
MIDLINE = {"spine": 0.05, "thorax": 0.06}
"""Metres from a joint to the skin on which one sits, kneels or lies. Ours, measured on the default body."""

SPAN = 0.1
"""Seconds before and after a frame over which speeds are measured."""


@dataclass(frozen=True, eq=False)
class BearingPoints:
    """Parts of the bodies of several people over time.

    Attributes:
        names: of the joints.
        xyz: of the joints, metres.
        radius: from the joint to the skin, metres.
        speed: metres per second.
        fps: frames per second.
    """

    names: tuple[str, ...]
    xyz: Float[np.ndarray, "time person point 3"]
    radius: Float[np.ndarray, "point"]
    speed: Float[np.ndarray, "time person point"]
    fps: float

    @property
    def feet(self) -> list[list[int]]:
        """The points of each foot, by index."""
        names = [{f"{side}_{part}" for part in FEET | ANKLE} for side in SIDES]
        feet = [[point for point, name in enumerate(self.names) if name in own] for own in names]
        return [foot for foot in feet if foot]


def bearing_joints(skeleton: Skeleton) -> dict[str, float]:
    """The joints of a skeleton that can bear a body, and their radii."""
    feet = FEET if "left_heel" in skeleton.joints and "left_big_toe" in skeleton.joints else ANKLE
    radii = {f"{side}_{name}": radius for name, radius in (feet | PAIRS).items() for side in SIDES}
    return {name: radius for name, radius in (radii | MIDLINE).items() if name in skeleton.joints}


def bearing_points(xyz: Float[np.ndarray, "time person joint 3"], skeleton: Skeleton, fps: float) -> BearingPoints:
    """Those parts of the bodies, in the axes of xyz."""
    radii = bearing_joints(skeleton)
    points = np.asarray(xyz[:, :, skeleton.index(*radii)], float)
    return BearingPoints(tuple(radii), points, np.array(list(radii.values())), speed(points, fps), fps)


def speed(points: Float[np.ndarray, "time *any 3"], fps: float) -> Float[np.ndarray, "time *any"]:
    """Mean of the distances to the places SPAN before and after, per second; 0 where neither is known.

    Not the distance between these two, which is 0 at the top of a jump.
    """
    span = max(1, round(SPAN * fps))
    distance = np.full(points.shape[:-1], np.nan)
    distances = np.stack([distance, distance])
    if len(points) > span:
        distances[0, span:] = np.linalg.norm(points[span:] - points[:-span], axis=-1)
        distances[1, :-span] = distances[0, span:]
    known = np.isfinite(distances)
    total = np.where(known, distances, 0.0).sum(0)
    return total / np.maximum(known.sum(0), 1) * fps / span
