"""Skeletons that neither slide, float nor sink where they touch something."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from occlupose.kinematics import SkeletonFit, body_tree
from occlupose.kinematics.fit import windows
from occlupose.kinematics.observations import Observations, observe
from occlupose.kinematics.prior import captured_prior
from occlupose.kinematics.result import keep_signs, write_motion
from occlupose.kinematics.solver import Motion, RigidBody, improve
from occlupose.world.contact import Contacts
from occlupose.world_frame import WorldFrame

ANCHORED = 0.5
"""Probability from which on a point counts as in contact."""

ANCHOR_SIGMA = 0.002
"""Standard deviation of a point in contact from its anchor, metres. Ours."""

ITERATIONS = 4
"""Of anchors and motion."""

WEAKNESS = 0.05
"""Factor of the prior of angles, which the fit has followed already; it only holds what no point shows. Ours."""


def rest_on_contacts(fit: SkeletonFit, contacts: Contacts, world: WorldFrame, fps: float) -> SkeletonFit:
    """The same skeletons, held where they touch something. Ours.

    The fit is solved again: its own points are observed with their covariances, and each point is also observed at an
    anchor while it is in contact. The anchor is the point's mean place during this contact; on the floor its height is
    that of the joint above the skin. Anchors and motion are found in turn. Bones stay as they are.

    Arguments:
        fit: in the camera frame.
        contacts: of the points of `fit`.
        world: of the same people.
        fps: frames per second.

    Returns:
        A new record. Who floated or sank is moved as a whole; relative to the pelvis hardly anything but the legs
        moves. Uncertainties are those of `fit`.
    """
    rested = copy.deepcopy(fit)
    for person in range(fit.xyz.shape[1]):
        there = np.flatnonzero(np.isfinite(fit.root[:, person]).all(-1))
        if len(there):
            frames = slice(int(there[0]), int(there[-1]) + 1)
            _rest_person(rested, person, frames, _Anchors.of(contacts, person, frames, world), fps)
    return rested


@dataclass(frozen=True, eq=False)
class _Anchors:
    """Which points of the tree are held, and which of them on the floor, over time."""

    points: Int[Tensor, "point"]
    radius: Float[np.ndarray, "point"]
    held: Bool[np.ndarray, "time point"]
    on_floor: Float[np.ndarray, "time point"]
    world: WorldFrame

    @classmethod
    def of(cls, contacts: Contacts, person: int, frames: slice, world: WorldFrame) -> "_Anchors":
        """The contacts of one person."""
        return cls(
            points=torch.tensor([body_tree().points.index(name) for name in contacts.points]),
            radius=contacts.radius,
            held=contacts.touching[frames, person] >= ANCHORED,
            on_floor=np.nan_to_num(contacts.on_floor[frames, person]),
            world=world,
        )

    def places(self, xyz: Float[np.ndarray, "time point 3"]) -> Float[np.ndarray, "time point 3"]:
        """Where the points are held, in the camera frame, if they now are at xyz."""
        anchors = self.world.to_world(xyz)
        for point, radius in enumerate(self.radius):
            run = np.cumsum(np.diff(self.held[:, point], prepend=False) != 0)
            count = np.bincount(run)
            mean = np.stack([np.bincount(run, anchors[:, point, axis]) / np.maximum(count, 1) for axis in range(3)], 1)
            on_floor = np.bincount(run, self.on_floor[:, point]) / np.maximum(count, 1) >= ANCHORED
            mean[on_floor, 2] = radius
            anchors[:, point] = mean[run]
        return self.world.to_camera(anchors)

    def add(self, observations: Observations, xyz: Float[np.ndarray, "time point 3"]) -> Observations:
        """The observations of all points of the tree, with anchors for points that now are at xyz."""
        anchor = torch.from_numpy(xyz.copy())
        anchor[:, self.points] = torch.from_numpy(self.places(xyz[:, self.points]))
        precision = torch.zeros(*anchor.shape, 3, dtype=torch.float64)
        held = torch.from_numpy(self.held).double()[..., None, None]
        precision[:, self.points] = held * torch.eye(3, dtype=torch.float64) / ANCHOR_SIGMA**2
        return replace(observations, anchor=anchor, anchor_precision=precision)


def _rest_person(rested: SkeletonFit, person: int, frames: slice, anchors: _Anchors, fps: float) -> None:
    """Holds one person's points at their anchors, and puts them into the record."""
    tree = body_tree()
    prior = captured_prior()
    weak = replace(prior, precision=WEAKNESS * prior.precision)
    body = RigidBody(tree, weak, torch.from_numpy(rested.bone_offsets[person]).double())
    motion = _motion(rested, person, frames)
    own = {name: getattr(rested, name)[frames, person] for name in ("covariance", "root_covariance")}
    observations = observe(tree, rested.xyz[frames, person], rested.skeleton, **own)
    for _ in range(ITERATIONS):
        places = motion.root[:, None] + tree.place(motion.rotation, body.offsets)
        anchored = anchors.add(observations, places.numpy())
        parts = []
        for window, kept in windows(len(observations)):
            moved, _ = improve(body, motion.select(window), anchored.select(window), fps)
            parts.append(moved.select(kept))
        motion = Motion(torch.cat([part.rotation for part in parts]), torch.cat([part.root for part in parts]))
    write_motion(rested, person, frames, body, motion)
    rested.rotation[frames, person] = keep_signs(rested.rotation[frames, person])


def _motion(fit: SkeletonFit, person: int, frames: slice) -> Motion:
    """One person's motion in the record, with rotations that are not relative to parents."""
    quaternions = fit.rotation[frames, person].astype(float)
    relative = Rotation.from_quat(quaternions.reshape(-1, 4), scalar_first=True).as_matrix()
    rotation = body_tree().compose(torch.from_numpy(relative).reshape(*quaternions.shape[:2], 3, 3))
    return Motion(rotation, torch.from_numpy(fit.root[frames, person]).double())
