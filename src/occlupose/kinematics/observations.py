"""What is known of a person's joints, as information about points of the tree.

Residuals are Mahalanobis distances of joints in 3D and of keypoints in the image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from occlupose.cameras import Camera
from occlupose.covariances import UNIT, to_matrix
from occlupose.errors import OccluposeError
from occlupose.kinematics.body_tree import BodyTree
from occlupose.skeletons import Skeleton

SIGMA = 0.01
"""Standard deviation of a joint whose covariance is not given, metres. Ours."""

KEYPOINT_SIGMA = 0.035
"""Standard deviation of a keypoint whose spread is not given, metres across the line of sight at the person's distance:
what annotators differ by, and some more since errors last. Ours, chosen on motion capture that is for training.
"""

LEAST_SIGMA = 1e-4
LEAST_PIXELS = 0.1
"""Least standard deviations of a joint, metres, and of a keypoint."""

FREEDOM = 6.0
"""Degrees of freedom of Student's t, as which errors are distributed: the fewer, the less outliers count. Ours."""

FARTHEST = 1e4
FARTHEST_PIXELS = 1e6
"""Largest coordinates that can be meant, metres and pixels."""

MIN_DEPTH = 0.1
"""Metres before the camera from which on a point has a place in the image."""


@dataclass(frozen=True, eq=False)
class Information:
    """Curvature of the cost of residuals, and minus its slope, by the places of points and root.

    Attributes:
        curvature, slope: by the place of each point relative to the root.
        absolute_curvature, absolute_slope: the part of both that also holds by the root's place. Joints that were
            measured relative to the root have none.
        root_curvature, root_slope: of the root's own residual.
    """

    curvature: Float[Tensor, "time point 3 3"]
    slope: Float[Tensor, "time point 3"]
    absolute_curvature: Float[Tensor, "time point 3 3"]
    absolute_slope: Float[Tensor, "time point 3"]
    root_curvature: Float[Tensor, "time 3 3"]
    root_slope: Float[Tensor, "time 3"]


@dataclass(frozen=True, eq=False)
class Observations:
    """The joints of one person over time that the tree has.

    Attributes:
        points: indices in the tree.
        xyz: metres; 0 where unknown.
        precision: inverse covariances; 0 where unknown.
        root: where the root was measured, metres; 0 where unknown.
        root_precision: inverse covariance of the root, if those of the joints are relative to it; None if they are
            those of the joints' own places.
        xy: keypoints, px; 0 where unknown.
        xy_precision: inverse variance along an axis; 0 where unknown.
        camera: of the keypoints.
        anchor: where points are held, metres, in the axes of xyz; None if nowhere.
        anchor_precision: inverse covariances of that; 0 where a point is free.
        lasting: number of frames over which errors of joints in 3D are the same, as those of estimates; 0: they are
            independent, as noise is.
    """

    points: Int[Tensor, "point"]
    xyz: Float[Tensor, "time point 3"]
    precision: Float[Tensor, "time point 3 3"]
    root: Float[Tensor, "time 3"]
    root_precision: Float[Tensor, "time 3 3"] | None
    xy: Float[Tensor, "time point 2"]
    xy_precision: Float[Tensor, "time point"]
    camera: Camera | None
    anchor: Float[Tensor, "time point 3"] | None = None
    anchor_precision: Float[Tensor, "time point 3 3"] | None = None
    lasting: float = 0.0

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def known(self) -> Bool[Tensor, "time point"]:
        """Which joints are known in 3D."""
        return self.precision.diagonal(dim1=-2, dim2=-1).sum(-1) > 0

    def select(self, frames: slice) -> "Observations":
        """Some of the frames."""
        return self._map(lambda values, _: values[frames], self)

    def join(self, later: "Observations") -> "Observations":
        """Those of two spans of time, one after the other; both have the same points and camera."""
        return self._map(lambda values, others: torch.cat([values, others]), later)

    def _map(self, function: Callable[[Tensor, Tensor], Tensor], other: "Observations") -> "Observations":
        names = ("xyz", "precision", "root", "root_precision", "xy", "xy_precision", "anchor", "anchor_precision")
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        changed: dict[str, Any] = {name: function(*pair) for name, pair in pairs.items() if pair[0] is not None}
        return replace(self, **changed)

    def information(self, relative: Float[Tensor, "time point 3"], root: Float[Tensor, "time 3"]) -> Information:
        """At these places, metres; those of points are relative to the root. Outliers count less."""
        places = relative + root[:, None]
        absolute_curvature, absolute_slope = self._in_the_image(places)
        if self.anchor is not None and self.anchor_precision is not None:
            absolute_curvature = absolute_curvature + self.anchor_precision
            absolute_slope = absolute_slope + (self.anchor_precision @ (self.anchor - places)[..., None]).squeeze(-1)
        measured = self.xyz - (places if self.root_precision is None else relative + self.root[:, None])
        weighted = (self.precision @ measured[..., None]).squeeze(-1)
        trust = _trust((weighted * measured).sum(-1), 3)
        curvature = trust[..., None, None] * self.precision
        slope = trust[..., None] * weighted
        root_curvature = torch.zeros(len(root), 3, 3, dtype=root.dtype)
        root_slope = torch.zeros_like(root)
        if self.root_precision is None:
            absolute_curvature = absolute_curvature + curvature
            absolute_slope = absolute_slope + slope
            return Information(
                absolute_curvature, absolute_slope, absolute_curvature, absolute_slope, root_curvature, root_slope
            )
        return Information(
            curvature=absolute_curvature + curvature,
            slope=absolute_slope + slope,
            absolute_curvature=absolute_curvature,
            absolute_slope=absolute_slope,
            root_curvature=self.root_precision,
            root_slope=(self.root_precision @ (self.root - root)[..., None]).squeeze(-1),
        )

    def _in_the_image(
        self, places: Float[Tensor, "time point 3"]
    ) -> tuple[Float[Tensor, "time point 3 3"], Float[Tensor, "time point 3"]]:
        if self.camera is None:
            return torch.zeros(*places.shape, 3, dtype=places.dtype), torch.zeros_like(places)
        focal = torch.tensor([self.camera.fx, self.camera.fy], dtype=places.dtype)
        centre = torch.tensor([self.camera.cx, self.camera.cy], dtype=places.dtype)
        depth = places[..., 2:].clamp_min(MIN_DEPTH)
        ray = places[..., :2] / depth
        residual = self.xy - (ray * focal + centre)
        precision = torch.where(places[..., 2] > MIN_DEPTH, self.xy_precision, 0.0)
        precision = precision * _trust(precision * residual.square().sum(-1), 2)
        jacobian = torch.zeros(*places.shape[:-1], 2, 3, dtype=places.dtype)
        jacobian[..., 0, 0] = focal[0]
        jacobian[..., 1, 1] = focal[1]
        jacobian[..., 2] = -ray * focal
        jacobian = jacobian / depth[..., None]
        weighted = precision[..., None, None] * jacobian
        return weighted.mT @ jacobian, (weighted.mT @ residual[..., None]).squeeze(-1)


def _trust(squared: Float[Tensor, "*any"], dimensions: int) -> Float[Tensor, "*any"]:
    """Weights of residuals from their squared Mahalanobis distances (Lange, Little and Taylor, 1989)."""
    return (FREEDOM + dimensions) / (FREEDOM + squared)


def observe(
    tree: BodyTree,
    xyz: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    *,
    covariance: Float[np.ndarray, "time joint 6"] | None = None,
    root_covariance: Float[np.ndarray, "time 6"] | None = None,
    xy: Float[np.ndarray, "time joint 2"] | None = None,
    spread: Float[np.ndarray, "time joint"] | None = None,
    camera: Camera | None = None,
    lasting: float = 0.0,
) -> Observations:
    """What is known of one person. Joints that the tree does not have are left out; arguments as of `fit_skeleton`.

    Where no joint is the root, that of the root is added to the covariance of every joint.

    Arguments:
        lasting: number of frames over which errors in 3D are the same; together they tell as much as one. 0: errors are
            independent.

    Raises:
        OccluposeError: no joint of the skeleton is one of the tree's; numbers that cannot be meant; keypoints without
            a camera.
    """
    if xy is not None and camera is None:
        raise OccluposeError("xy: keypoints need a camera; give one, or no xy")
    points = shared_points(tree, skeleton)
    joints = list(points.values())
    places = _tensor("xyz", xyz[:, joints], FARTHEST)
    known = places.isfinite().all(-1)
    own = None if covariance is None else covariance[:, joints]
    if root_covariance is not None and 0 not in points:
        own = (SIGMA**2 * UNIT if own is None else own) + root_covariance[:, None]
        own = np.broadcast_to(own, (*known.shape, 6))
    precision = _inverse("covariance", own, known)
    root = places[:, list(points).index(0)] if 0 in points else torch.full_like(places[:, 0], torch.nan)
    root_precision = None
    if root_covariance is not None and 0 in points:
        has_root = root.isfinite().all(-1)
        root_precision = _inverse("root_covariance", root_covariance, has_root)
        precision = torch.where(has_root[:, None, None, None], precision, 0.0)
    keypoints = torch.full((*known.shape, 2), torch.nan, dtype=torch.float64)
    if xy is not None:
        keypoints = _tensor("xy", xy[:, joints], FARTHEST_PIXELS)
    deviation = _usual_spread(places, camera)
    if spread is not None:
        stated = _tensor("spread", spread[:, joints], FARTHEST_PIXELS)
        deviation = torch.where(stated.isnan(), deviation, stated.clamp_min(LEAST_PIXELS))
    return Observations(
        points=torch.tensor(list(points)),
        xyz=places.nan_to_num(0.0),
        precision=precision / max(1.0, lasting),
        root=root.nan_to_num(0.0),
        root_precision=None if root_precision is None else root_precision / max(1.0, lasting),
        xy=keypoints.nan_to_num(0.0),
        xy_precision=torch.where(keypoints.isfinite().all(-1), deviation**-2, 0.0),
        camera=None if xy is None else camera,
        lasting=lasting,
    )


def _usual_spread(places: Float[Tensor, "time point 3"], camera: Camera | None) -> Float[Tensor, "time point"]:
    """`KEYPOINT_SIGMA` in pixels; infinite where nothing of a person is known in 3D."""
    if camera is None:
        return torch.full(places.shape[:2], torch.inf, dtype=torch.float64)
    depth = places[..., 2].nanmedian(1, keepdim=True).values.clamp_min(MIN_DEPTH)
    pixels = KEYPOINT_SIGMA * (camera.fx + camera.fy) / 2 / depth
    return pixels.nan_to_num(torch.inf).expand(places.shape[:2])


def check_shapes(
    axes: tuple[str, ...], xyz: np.ndarray, skeleton: Skeleton, given: Mapping[str, np.ndarray | None]
) -> dict[str, np.ndarray]:
    """The other arrays of `fit_skeleton`, without those that are None.

    Arguments:
        axes: names of the axes before joints and coordinates.

    Raises:
        OccluposeError: shapes that do not agree.
    """
    if xyz.ndim != len(axes) + 2 or xyz.shape[-2:] != (len(skeleton), 3):
        wanted = ", ".join((*axes, str(len(skeleton)), "3"))
        raise OccluposeError(f"xyz: has shape {xyz.shape}; {skeleton.name} needs ({wanted}), in metres")
    people = xyz.shape[:-2]
    joints = xyz.shape[:-1]
    shapes = {"covariance": (*joints, 6), "root_covariance": (*people, 6), "xy": (*joints, 2), "spread": joints}
    known = {name: values for name, values in given.items() if values is not None}
    for name, values in known.items():
        if values.shape != shapes[name]:
            raise OccluposeError(f"{name}: has shape {values.shape}; this xyz needs {shapes[name]}")
    return known


def shared_points(tree: BodyTree, skeleton: Skeleton) -> dict[int, int]:
    """The index of each point of the tree that a skeleton has, and of its joint."""
    names = {theirs: ours for ours, theirs in skeleton.aliases}
    joints = [names.get(joint, joint) for joint in skeleton.joints]
    shared = {tree.points.index(name): joint for joint, name in enumerate(joints) if name in tree.points}
    if not shared:
        raise OccluposeError(f"{skeleton.name}: no joint that can be fitted; known are {', '.join(tree.points)}")
    return shared


def _tensor(name: str, values: Float[np.ndarray, "..."], largest: float) -> Float[Tensor, "..."]:
    if (np.abs(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)) > largest).any():
        raise OccluposeError(f"{name}: has numbers beyond {largest:g}; give metres, pixels, and NaN where unknown")
    return torch.from_numpy(np.array(values, np.float64))


def _inverse(
    name: str, covariance: Float[np.ndarray, "*any 6"] | None, known: Bool[Tensor, "*any"]
) -> Float[Tensor, "*any 3 3"]:
    """Inverse covariances, of SIGMA where none are given; 0 where the place or the covariance is unknown."""
    unit = torch.eye(3, dtype=torch.float64)
    if covariance is None:
        return torch.where(known[..., None, None], unit / SIGMA**2, 0.0)
    matrix = to_matrix(_tensor(name, covariance, FARTHEST**2))
    known = known & matrix.isfinite().flatten(-2).all(-1)
    variance, axes = torch.linalg.eigh(torch.where(known[..., None, None], matrix, unit))
    if bool((variance < -1e-6 * variance.abs().amax(-1, keepdim=True)).any()):
        raise OccluposeError(f"{name}: not a covariance; xx, yy, zz, xy, xz, yz must be positive semidefinite, m^2")
    inverse = axes @ torch.diag_embed(variance.clamp_min(LEAST_SIGMA**2) ** -1) @ axes.mT
    return torch.where(known[..., None, None], inverse, 0.0)
