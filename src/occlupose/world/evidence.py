"""What people and camera tell about up and the floor, as normal equations. Ours."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from occlupose.bodies.body import SIDES
from occlupose.covariances import to_matrix
from occlupose.skeletons import H36M17, Skeleton, convert
from occlupose.track_store import TrackStore
from occlupose.world.bearing import BearingPoints, bearing_points
from occlupose.world.contact import HEIGHT_SIGMA, bottoms, find_offset, floor_share, person_sigma, touch
from occlupose.world_frame import WorldFrame

ROLL = np.radians(10.0)
PITCH = np.radians(20.0)
"""Standard deviations of how cameras are held: level, by a person or on a tripod. Ours."""

LEAN = np.radians(5.0)
"""Standard deviation of the mean direction of somebody who stands or walks, from their ankles to their thorax. Ours."""

SWAY = np.radians(6.0)
SWAYS = 2.0
"""Standard deviation of that direction around its mean, and how many of them in a second are independent. Ours."""

STRAIGHT = 0.93
"""Least distance from the ankles to the thorax of somebody who stands, as a share of the way along the bones. Ours."""

ON_LEGS = 0.8
"""The same of somebody who is on their legs, as walkers and runners are. Ours."""

UPRIGHT = np.radians(45.0)
"""Largest angle to up of somebody who may stand."""

FREEDOM = 4.0
"""Degrees of freedom of Student's t, as which leans are distributed."""

CELL = 0.25
"""Metres: whatever a person touches in a square of this size shares one error, and counts once. Ours."""

BODY_LEAN = np.radians(8.0)
"""Standard deviation of how a whole body is turned about a horizontal axis: what it touches is wrong by that. Ours."""

STEADY = np.radians(1.0)
UNSTEADY = np.radians(10.0)
"""Standard deviation of a turn that all places of a person share: of one who is always on their legs, and of others.
Ours.
"""

TOUCH = 0.1
"""Seconds of contact from which on a place counts fully. Ours."""

LEAST_TOUCH = 0.05
"""Probability of contact from which on a point is used."""


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Of a turn about x and y through the centre of the world, and of the height there: matrix @ change = right."""

    matrix: Float[np.ndarray, "3 3"]
    right: Float[np.ndarray, "3"]

    @classmethod
    def none(cls) -> "NormalEquations":
        """Of no residuals."""
        return cls(np.zeros((3, 3)), np.zeros(3))

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.matrix + other.matrix, self.right + other.right)

    def with_errors(self, tilt: float, height: float) -> "NormalEquations":
        """The equations of one person, all of whose places are also turned and raised by errors of these standard
        deviations, which are eliminated (Woodbury).
        """
        share = np.linalg.solve(self.matrix + np.diag(np.array([tilt, tilt, height]) ** -2), self.matrix).T
        return NormalEquations(self.matrix - share @ self.matrix, self.right - share @ self.right)

    @classmethod
    def of(
        cls, jacobian: Float[np.ndarray, "row 3"], residual: Float[np.ndarray, "row"], weight: Float[np.ndarray, "row"]
    ) -> "NormalEquations":
        """Of residuals that change by `jacobian @ change`."""
        weighted = jacobian.T * weight
        return cls(weighted @ jacobian, -weighted @ residual)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of people over time, in the camera frame.

    Attributes:
        points: parts of their bodies that can bear them.
        covariance: of the places of these; None if unknown.
        straight: unit vectors from ankles to thorax of people with straight legs and trunk, NaN of others.
        on_legs: the same of who may also walk or run.
    """

    points: BearingPoints
    covariance: Float[np.ndarray, "time person point 3 3"] | None
    straight: Float[np.ndarray, "time person 3"]
    on_legs: Float[np.ndarray, "time person 3"]

    @classmethod
    def of(
        cls,
        xyz: Float[np.ndarray, "time person joint 3"],
        skeleton: Skeleton,
        fps: float,
        covariance: Float[np.ndarray, "time person joint 6"] | None,
        root_covariance: Float[np.ndarray, "time person 6"] | None,
    ) -> "Evidence":
        """Of people; arguments as of `estimate_world`."""
        points = bearing_points(xyz, skeleton, fps)
        own = None
        if covariance is not None:
            root = 0.0 if root_covariance is None else root_covariance[:, :, None]
            own = to_matrix(covariance[:, :, skeleton.index(*points.names)] + root)
        return cls(points, own, _axes(xyz, skeleton, STRAIGHT), _axes(xyz, skeleton, ON_LEGS))

    def touching(self, world: WorldFrame) -> tuple[Float[np.ndarray, "time person point"], ...]:
        """Probability of contact of each point, 0 where unknown, and the height of its skin, metres."""
        heights = bottoms(self.points, world)
        return np.nan_to_num(touch(self.points, heights)), heights


class PeopleEvidence:
    """What is known of people one by one, held as a `TrackStore` does. It can be gone through again and again."""

    def __init__(self) -> None:
        self._store = TrackStore()
        self._one: Evidence | None = None

    def append(self, evidence: Evidence) -> None:
        """Adds people. Names of points and frame rate are the same for all."""
        self._one = evidence
        arrays = {name: getattr(evidence, name) for name in ("covariance", "straight", "on_legs")}
        arrays |= {"xyz": evidence.points.xyz, "speed": evidence.points.speed}
        self._store.append({name: values for name, values in arrays.items() if values is not None})

    def __iter__(self) -> Iterator[Evidence]:
        for person in range(len(self._store)):
            assert self._one is not None
            arrays = self._store.get(person)
            points = replace(self._one.points, xyz=arrays.pop("xyz"), speed=arrays.pop("speed"))
            yield replace(self._one, points=points, **arrays)


def _axes(
    xyz: Float[np.ndarray, "time person joint 3"], skeleton: Skeleton, least: float
) -> Float[np.ndarray, "time person 3"]:
    """Unit vectors from the middle of the ankles to the thorax of people who are straight; NaN of others."""
    joints = dict(zip(H36M17.joints, np.moveaxis(convert(xyz.astype(float), skeleton, H36M17), 2, 0), strict=True))
    axis = joints["thorax"] - (joints["left_ankle"] + joints["right_ankle"]) / 2
    trunk = np.linalg.norm(joints["thorax"] - joints["pelvis"], axis=-1)
    legs = [(f"{side}_hip", f"{side}_knee", f"{side}_ankle") for side in SIDES]
    bones = [np.linalg.norm(joints[one] - joints[other], axis=-1) for leg in legs for one, other in pairwise(leg)]
    length = np.linalg.norm(axis, axis=-1)
    straight = length > least * (trunk + np.sum(bones, 0) / len(legs))
    return np.where(straight[..., None], axis / np.where(straight, length, 1.0)[..., None], np.nan)


def of_camera(world: WorldFrame) -> NormalEquations:
    """How cameras are held: the image's horizontal axis is level, and so is the optical axis."""
    by_turn = np.stack([world.rotation[1], -world.rotation[0], np.zeros(3)], 1)
    chosen = [0, 2]
    return NormalEquations.of(by_turn[chosen], world.up[chosen], np.array([ROLL, PITCH]) ** -2)


def of_standing(world: WorldFrame, evidence: Evidence) -> NormalEquations:
    """People who stand: their axes are up, but for one mean lean of each, and for their sway."""
    normal = NormalEquations.none()
    uncertainty = LEAN**2 + SWAY**2 + world.covariance[:2, :2].trace() / 2
    for axes in np.moveaxis(evidence.straight @ world.rotation.T, 1, 0):
        standing = axes[axes[:, 2] > np.cos(UPRIGHT)]  # NaN is not
        if len(standing):
            trust = (FREEDOM + 2) / (FREEDOM + (standing[:, :2] ** 2).sum(-1) / uncertainty)
            mean = trust @ standing / trust.sum()
            variance = LEAN**2 + SWAY**2 / (1 + SWAYS * len(standing) / evidence.points.fps)
            jacobian = np.array([[0.0, mean[2], 0], [-mean[2], 0, 0]])
            weight = np.full(2, min(1.0, float(trust.mean())) / variance)
            normal = normal + NormalEquations.of(jacobian, mean[:2], weight)
    return normal


def of_touched_places(world: WorldFrame, evidence: Evidence) -> tuple[NormalEquations, float]:
    """Touched places, which have the floor's height if they are on it, and how many are on it."""
    cells = _cells(world, evidence)
    height = cells.place[:, 2]
    jacobian = np.stack([cells.place[:, 1], -cells.place[:, 0], np.ones_like(height)], 1)
    raised = person_sigma(world)
    expected = cells.variance + np.einsum("ni,ij,nj->n", jacobian, world.covariance, jacobian)
    counted = np.minimum(1.0, cells.seconds / TOUCH)
    turned = np.sqrt(STEADY**2 + (1 - _share_on_legs(world, evidence)) * UNSTEADY**2)
    normal = NormalEquations.none()
    on_floor = 0.0
    for person in np.unique(cells.person):
        own = cells.person == person
        offset = find_offset(height[own], expected[own], counted[own], raised)
        weight = counted[own] * floor_share(height[own] - offset, expected[own])
        theirs = NormalEquations.of(jacobian[own], height[own], weight / cells.variance[own])
        normal = normal + theirs.with_errors(turned[person], raised)
        on_floor += float(weight.sum())
    return normal, on_floor


def _share_on_legs(world: WorldFrame, evidence: Evidence) -> Float[np.ndarray, "person"]:
    """Share of the frames of each person in which they are on their legs."""
    there = np.isfinite(evidence.points.xyz).all(-1).any(-1).sum(0)
    return (evidence.on_legs @ world.up > np.cos(UPRIGHT)).sum(0) / np.maximum(there, 1)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Places that were touched, relative to the world's centre, with the height of the skin, metres; for how long."""

    person: Int[np.ndarray, "cell"]
    place: Float[np.ndarray, "cell 3"]
    variance: Float[np.ndarray, "cell"]
    seconds: Float[np.ndarray, "cell"]


def _cells(world: WorldFrame, evidence: Evidence) -> _Cells:
    """Means of what each person touched in squares of CELL metres, weighted by the probability of contact."""
    touching, heights = evidence.touching(world)
    used = touching > LEAST_TOUCH
    weight = touching[used]
    person = np.nonzero(used)[1]
    flat = world.to_world(evidence.points.xyz)[..., :2]
    places = np.column_stack([flat[used], heights[used]]) - world.centre
    spread = _spread(world, evidence, flat)[used]
    squares = np.column_stack([person, np.floor(places[:, :2] / CELL)])
    _, first, cell = np.unique(squares, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    total = np.bincount(cell, weight)
    means = [np.bincount(cell, weight * values) / total for values in (*places.T, spread)]
    return _Cells(person[first], np.stack(means[:3], 1), means[3], total / evidence.points.fps)


def _spread(
    world: WorldFrame, evidence: Evidence, flat: Float[np.ndarray, "time person point 2"]
) -> Float[np.ndarray, "time person point"]:
    """Variance of the height of each point: more where it is uncertain, and far from the middle of its body."""
    known = np.isfinite(flat)
    middle = np.where(known, flat, 0.0).sum(2) / np.maximum(known.sum(2), 1)
    spread = HEIGHT_SIGMA**2 + BODY_LEAN**2 * ((flat - middle[:, :, None]) ** 2).sum(-1)
    if evidence.covariance is None:
        return spread
    return spread + np.nan_to_num(np.einsum("i,...ij,j->...", world.up, evidence.covariance, world.up))
