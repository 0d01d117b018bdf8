"""Up and the floor, from the people.

The floor is a plane in the camera frame. What tells it are places that were touched, people who stand upright, and how
cameras are held. Expectation maximisation: which points touch the floor is decided with the plane as it is and with its
uncertainty, then the plane is found by weighted least squares. Ours.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from occlupose.kinematics.observations import check_shapes
from occlupose.kinematics.start import check_rate
from occlupose.skeletons import Skeleton
from occlupose.world.evidence import (
    PITCH,
    ROLL,
    Evidence,
    NormalEquations,
    of_camera,
    of_standing,
    of_touched_places,
)
from occlupose.world_frame import CAMERA_UP, WorldFrame

LOW = 0.2
"""Quantile of the heights of touched places at which the floor is assumed at first."""

HEIGHT = 0.15
"""Standard deviation of that, metres."""

EXACT = 1e-6
"""Standard deviation of up where it is given, radians."""

ITERATIONS = 12

MOST = np.radians(13.0)
"""Largest standard deviation of up, radians, with which it is stated: what a camera tells alone is less certain."""

LEAST = 0.1
"""Least number of places on the floor."""

TILT_ERROR = np.radians(0.7)
HEIGHT_ERROR = 0.015
"""Standard deviations of errors that all places share, radians and metres. Ours."""


_GIVEN = NormalEquations(np.diag([EXACT**-2, EXACT**-2, 0.0]), np.zeros(3))
"""Of up that is given."""


def estimate_world(
    xyz: Float[np.ndarray, "time person joint 3"],
    skeleton: Skeleton,
    fps: float,
    *,
    covariance: Float[np.ndarray, "time person joint 6"] | None = None,
    root_covariance: Float[np.ndarray, "time person 6"] | None = None,
    up: tuple[float, float, float] | None = None,
) -> tuple[WorldFrame | None, str]:
    """The world of people in the camera frame, and how uncertain up and the floor are. Ours.

    Evidence: places where somebody's lowest parts are slow, each counted once and as on the floor with the probability
    that its height says, so that stairs, chairs and jumps do not count; the direction from ankles to thorax of people
    with straight legs and trunk, within 5 degrees; and that cameras are held level, within 10 degrees of roll and 20 of
    pitch (standard deviations).

    Arguments:
        xyz: points of fitted skeletons, or joints, metres; NaN where unknown. The people share one still camera.
        skeleton: of the joints.
        fps: frames per second.
        covariance: of the joints, m^2 (xx, yy, zz, xy, xz, yz).
        root_covariance: of the root; `covariance` then is that of the joints relative to it, as in `Poses`.
        up: in the camera frame, if it is known.

    Returns:
        The world, or None where too little is known, and then why, in one line; else "".

    Raises:
        OccluposeError: up has no direction, no frame rate, shapes that do not agree.
    """
    check_rate(fps)
    check_shapes(("time", "person"), xyz, skeleton, {"covariance": covariance, "root_covariance": root_covariance})
    return find_world([Evidence.of(xyz, skeleton, fps, covariance, root_covariance)], up)


def find_world(
    people: Iterable[Evidence], up: tuple[float, float, float] | None = None
) -> tuple[WorldFrame | None, str]:
    """As `estimate_world`.

    Arguments:
        people: what is known of them, one by one or all together; gone through again and again.
    """
    world = WorldFrame.from_floor(np.array(CAMERA_UP if up is None else up, float), 0.0)
    if not any(np.isfinite(evidence.points.xyz).all(-1).any() for evidence in people):
        return None, "up and the floor are unknown: nobody is seen"
    world = _begin(world, people, (PITCH, ROLL) if up is None else (EXACT, EXACT))
    for _ in range(ITERATIONS):
        floor, standing, places = _tell(world, people)
        if places < LEAST:
            return None, "up and the floor are unknown: nobody touches the floor"
        told = floor + (_GIVEN if up is not None else of_camera(world) + standing)
        remaining = np.linalg.inv(told.matrix)
        world = world.turn(remaining @ told.right, remaining)
    if world.up_sigma > MOST:
        return None, f"up is only known within {np.degrees(world.up_sigma):.0f} degrees: too little touches the floor"
    tilt = TILT_ERROR if up is None else 0.0
    return replace(world, covariance=world.covariance + np.diag([tilt, tilt, HEIGHT_ERROR]) ** 2), ""


def _tell(world: WorldFrame, people: Iterable[Evidence]) -> tuple[NormalEquations, NormalEquations, float]:
    """Touched places and people who stand, and how many places are on the floor."""
    floor = NormalEquations.none()
    standing = NormalEquations.none()
    places = 0.0
    for evidence in people:
        own, count = of_touched_places(world, evidence)
        floor = floor + own
        standing = standing + of_standing(world, evidence)
        places += count
    return floor, standing, places


def _begin(level: WorldFrame, people: Iterable[Evidence], tilt: tuple[float, float]) -> WorldFrame:
    """The first world: up as it is, the floor below most touched places, its centre below the people."""
    most = max(evidence.touching(level)[0].max(initial=0.0) for evidence in people)
    low = np.concatenate([_low(level, evidence, most / 2) for evidence in people])
    middle = [np.median(np.concatenate([_places(level, evidence, axis) for evidence in people])) for axis in range(2)]
    moved = WorldFrame.from_floor(level.up, float(np.quantile(low, LOW)))
    return replace(moved, centre=np.array([*middle, 0.0]), covariance=np.diag([*tilt, HEIGHT]) ** 2)


def _low(level: WorldFrame, evidence: Evidence, least: float) -> Float[np.ndarray, "place"]:
    """Heights of what is touched with at least this probability, metres."""
    touching, heights = evidence.touching(level)
    return heights[(touching >= least) & np.isfinite(heights)]


def _places(level: WorldFrame, evidence: Evidence, axis: int) -> Float[np.ndarray, "place"]:
    """Where all points are along an axis of the floor, metres."""
    places = level.to_world(evidence.points.xyz)[..., axis]
    return places[np.isfinite(places)]
