"""The fit of one person while the frames come in."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.fitting import from_rotation_vector, to_rotation_vector
from occlupose.cameras import Camera
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import Observations, observe
from occlupose.kinematics.prior import captured_prior
from occlupose.kinematics.result import SkeletonFit, blank, write
from occlupose.kinematics.solver import Motion, RigidBody, approach, improve
from occlupose.kinematics.start import CAMERA_UP, first_motion
from occlupose.skeletons import Skeleton

WINDOW = 6
"""Frames that are solved together."""

PINNED = 2
"""The first of them, which stay as they are: place and speed from which the others go on."""

MEASURING = 2.0
"""Seconds in which the bones are measured now and then; after it they are constant."""


class LiveSkeleton:
    """Fits one person frame by frame, without looking ahead: as `fit_skeleton` over the last few frames.

    Arguments:
        skeleton, fps, camera, up: as of `fit_skeleton`.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        fps: float,
        *,
        camera: Camera | None = None,
        up: tuple[float, float, float] = CAMERA_UP,
    ) -> None:
        self._skeleton = skeleton
        self._fps = fps
        self._camera = camera
        self._up = up
        self._seen: Observations | None = None
        self._body = RigidBody(body_tree(), captured_prior(), body_tree().rest)
        self._motion = Motion(torch.zeros(0, 0, 3, 3), torch.zeros(0, 3))
        self._frames = 0

    def update(
        self,
        xyz: Float[np.ndarray, "joint 3"],
        *,
        covariance: Float[np.ndarray, "joint 6"] | None = None,
        root_covariance: Float[np.ndarray, " 6"] | None = None,
        xy: Float[np.ndarray, "joint 2"] | None = None,
        spread: Float[np.ndarray, " joint"] | None = None,
    ) -> SkeletonFit:
        """Add a frame; the arrays of `fit_skeleton` without time and person, the same ones in each frame.

        Returns:
            The fit of this frame, with one frame and one person. NaN before a joint was known.

        Raises:
            OccluposeError: as `fit_skeleton`.
        """
        arrays = {"covariance": covariance, "root_covariance": root_covariance, "xy": xy, "spread": spread}
        given = {name: values[None] for name, values in arrays.items() if values is not None}
        observed = observe(self._body.tree, xyz[None], self._skeleton, **given, camera=self._camera)
        fit = blank(self._body.tree, 1, 1)
        if self._seen is None and not observed.known.any():
            return fit
        self._seen = observed if self._seen is None else self._seen.join(observed)
        self._frames += 1
        measuring = self._frames <= MEASURING * self._fps
        if measuring:
            self._measure(self._seen)
        window = self._seen.select(slice(-WINDOW, None))
        curvature = self._move(window)
        self._seen = self._seen if measuring else window
        write(fit, 0, slice(0, 1), self._body, self._motion.select(slice(-1, None)), curvature[-1:])
        fit.bone_offsets[0] = self._body.offsets.numpy()
        return fit

    def _measure(self, seen: Observations) -> None:
        """Measures the bones at 1, 2, 4, 8, ... frames, and shapes head and feet by the frames of the last fit."""
        if self._frames.bit_count() == 1:
            offsets = measure_bones(self._body.tree, seen, self._fps)
            fitted = seen.select(slice(-1 - len(self._motion.root), -1))
            if len(fitted):
                offsets = shape_rigid_parts(self._body.tree, offsets, self._motion.rotation, fitted)
            self._body = replace(self._body, offsets=offsets)

    def _move(self, window: Observations) -> Float[Tensor, "window unknown unknown"]:
        """Goes on from the last frames, or begins anew while there are few; returns the cost's curvature."""
        if self._frames <= WINDOW and self._frames.bit_count() == 1:
            self._motion = approach(self._body, first_motion(self._body, window, self._up), window)
        else:
            self._motion = _extended(self._motion)
        pinned = PINNED if self._frames > WINDOW else 0
        self._motion, curvature = improve(self._body, self._motion, window, self._fps, pinned=pinned)
        return curvature


def _extended(motion: Motion) -> Motion:
    """The last frames of a window, and the next one, in which everything goes on turning and moving."""
    kept = motion.select(slice(-WINDOW + 1, None))
    last = kept.rotation[-1:]
    turn = from_rotation_vector(to_rotation_vector(last @ kept.rotation[-2:][:1].mT))  # exactly a rotation
    root = 2 * kept.root[-1:] - kept.root[-2:][:1]
    return Motion(torch.cat([kept.rotation, turn @ last]), torch.cat([kept.root, root]))
