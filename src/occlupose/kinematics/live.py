"""The fit of one person while the frames come in: an extended Kalman filter.

What all frames so far tell about the last two is kept as a Gaussian: its mean is their fit, its inverse covariance is
what is left of the normal equations when older frames are eliminated (Schur complement). A new frame adds its own
equations and the acceleration over the three. Ours.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.fitting import from_rotation_vector, to_rotation_vector
from occlupose.cameras import Camera
from occlupose.kinematics.body_tree import body_tree
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import Observations, check_shapes, observe
from occlupose.kinematics.prior import captured_prior
from occlupose.kinematics.result import SkeletonFit, blank, keep_signs, write
from occlupose.kinematics.solver import Motion, RigidBody, approach, equations, improve, smoothness
from occlupose.kinematics.start import check_view, first_motion
from occlupose.skeletons import Skeleton
from occlupose.world_frame import CAMERA_UP

ITERATIONS = 2
"""Of all frames together, where the motion begins anew; later there is one for each frame."""

MEASURING = 2.0
"""Seconds in which the bones are measured, at 1, 2, 4, 8, ... frames; after it they are constant."""

ADAPTING = 0.25
"""Seconds in which bones become 1 - 1/e of what was measured. Ours: so that joints do not jump."""

BEGINNING = 16
"""Frames in which the motion begins anew at 1, 2, 4, 8, ... frames, with all of them together."""

STEADINESS = 4.0
"""Factor of the inverse variances of accelerations, since the newest frame has no later ones to steady it. Ours: error
and jitter are less than with those of the whole video.
"""

FIRST_SPEED = 5.0
"""Standard deviation of the speed in the first frame, radians and metres per second. Ours."""

DIFFERENCE = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)


class LiveSkeleton:
    """Fits one person frame by frame, without looking ahead. In the first two seconds the bones are still changing.

    Arguments:
        skeleton, fps, camera, lasting, up: as of `fit_skeleton`.

    Raises:
        OccluposeError: no frame rate or no direction.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        fps: float,
        *,
        camera: Camera | None = None,
        lasting: float = 0.0,
        up: tuple[float, float, float] = CAMERA_UP,
    ) -> None:
        check_view(fps, up)
        self._skeleton = skeleton
        self._fps = fps
        self._camera = camera
        self._lasting = lasting * fps
        self._up = up
        self._body = RigidBody(body_tree(), captured_prior(), body_tree().rest)
        self._measured = self._body.offsets
        self._measuring = max(1, int(MEASURING * fps))
        self._adapting = 1 - math.exp(-1 / (ADAPTING * fps))
        self._smoothness = STEADINESS * smoothness(self._body.tree, fps)
        self._seen: Observations | None = None
        self._frames = 0
        self._begun: Observations | None = None
        """The first frames of the motion, while it begins anew."""
        self._motion = _nowhere()
        self._information = torch.zeros(0, 0)
        self._quaternions: Float[np.ndarray, "1 segment 4"] | None = None

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
        given = {name: values[None] for name, values in check_shapes((), xyz, self._skeleton, arrays).items()}
        observed = observe(
            self._body.tree, xyz[None], self._skeleton, **given, camera=self._camera, lasting=self._lasting
        )
        fit = blank(self._body.tree, 1, 1)
        if not len(self._motion.root) and not observed.known.any():
            return fit
        self._frames += 1
        if self._frames <= self._measuring:
            self._seen = observed if self._seen is None else self._seen.join(observed)
            self._adapt()
        else:
            self._seen = None
        curvature = self._place(observed)
        write(fit, 0, slice(0, 1), self._body, self._motion.select(slice(1, 2)), curvature)
        fit.rotation[:, 0] = self._keep_signs(fit.rotation[:, 0])
        fit.bone_offsets[0] = self._body.offsets.numpy()
        self._measure()
        return fit

    def lose(self) -> None:
        """The person was out of sight. With the next frame the motion begins anew, with the same bones."""
        self._motion = _nowhere()
        self._begun = None

    def _place(self, observed: Observations) -> Float[Tensor, "1 unknown unknown"]:
        """Fits a frame; returns the curvature of its cost."""
        if not len(self._motion.root):
            self._begun = observed
        elif self._begun is not None:
            self._begun = self._begun.join(observed) if len(self._begun) < BEGINNING else None
        if self._begun is not None and len(self._begun).bit_count() == 1:
            return self._begin(self._begun)
        return self._go_on(observed)

    def _keep_signs(self, quaternions: Float[np.ndarray, "1 segment 4"]) -> Float[np.ndarray, "1 segment 4"]:
        """The rotations of a frame, with the signs that are nearest to those of the frame before."""
        before = quaternions if self._quaternions is None else self._quaternions
        self._quaternions = keep_signs(np.concatenate([before, quaternions]))[1:]
        return self._quaternions

    def _begin(self, seen: Observations) -> Float[Tensor, "1 unknown unknown"]:
        """Fits all frames of the motion together; returns the curvature of the last one's cost."""
        if len(seen) == self._frames <= self._measuring:
            self._body = replace(self._body, offsets=measure_bones(self._body.tree, seen, self._fps))
        motion = approach(self._body, first_motion(self._body, seen, self._up), seen)
        for _ in range(ITERATIONS):
            motion, curvature = improve(self._body, motion, seen, self._fps)
        speed = torch.full_like(self._smoothness, (self._fps / FIRST_SPEED) ** 2).diag()
        self._information = torch.cat([torch.cat([speed, -speed], 1), torch.cat([-speed, speed + curvature[0]], 1)])
        for frame in curvature[1:]:
            self._information = eliminate(add_last(self._fixed(), frame), len(frame))
        last = [max(0, len(seen) - 2), -1]
        self._motion = Motion(motion.rotation[last], motion.root[last])
        return curvature[-1:]

    def _go_on(self, observed: Observations) -> Float[Tensor, "1 unknown unknown"]:
        """Adds the equations of a frame to what is known of the last two; returns the curvature of its cost."""
        motion = _extended(self._motion)
        frame = equations(self._body, motion.select(slice(2, 3)), observed)
        information = add_last(self._fixed(), frame.curvature[0])
        slope = torch.cat([torch.zeros(2, frame.slope.shape[1], dtype=torch.float64), frame.slope]).flatten()
        change = torch.cholesky_solve(slope[:, None], torch.linalg.cholesky(information))
        self._motion = motion.step(change.unflatten(0, (3, -1)).squeeze(-1)).select(slice(1, 3))
        self._information = eliminate(information, len(self._smoothness))
        return frame.curvature

    def _fixed(self) -> Float[Tensor, "three three"]:
        """What is known of the last two frames and, by the acceleration, of the next one."""
        fixed = torch.kron(torch.outer(DIFFERENCE, DIFFERENCE), self._smoothness.diag())
        fixed[: len(self._information), : len(self._information)] += self._information
        return fixed

    def _adapt(self) -> None:
        """Brings the bones nearer to the measured ones."""
        self._body = replace(self._body, offsets=torch.lerp(self._body.offsets, self._measured, self._adapting))

    @property
    def is_measured(self) -> bool:
        """Whether the bones stay from now on as they are."""
        return self._frames >= self._measuring

    def _measure(self) -> None:
        """Measures the bones from time to time, for the next frames."""
        if self._seen is None or self._frames.bit_count() != 1:
            return
        offsets = measure_bones(self._body.tree, self._seen, self._fps)
        is_first = self._begun is not None and len(self._begun) == 1
        last = self._seen.select(slice(-1 if is_first else -2, None))
        self._measured = shape_rigid_parts(self._body.tree, offsets, self._motion.rotation[-len(last) :], last)


def add_last(
    information: Float[Tensor, "three three"], curvature: Float[Tensor, "unknown unknown"]
) -> Float[Tensor, "three three"]:
    """The information with the equations of the last frame."""
    whole = information.clone()
    whole[-len(curvature) :, -len(curvature) :] += curvature
    return whole


def eliminate(information: Float[Tensor, "n n"], count: int) -> Float[Tensor, "m m"]:
    """What is left of an inverse covariance without its first unknowns (Schur complement)."""
    across = information[count:, :count]
    first = torch.linalg.cholesky(information[:count, :count])
    return information[count:, count:] - across @ torch.cholesky_solve(across.T, first)


def _nowhere() -> Motion:
    """The motion of somebody who was not seen yet."""
    return Motion(torch.zeros(0, 0, 3, 3), torch.zeros(0, 3))


def _extended(motion: Motion) -> Motion:
    """The last two frames, and a next one in which everything goes on turning and moving."""
    last = motion.rotation[1:]
    turn = from_rotation_vector(to_rotation_vector(last @ motion.rotation[:1].mT))  # exactly a rotation
    root = 2 * motion.root[1:] - motion.root[:1]
    return Motion(torch.cat([motion.rotation, turn @ last]), torch.cat([motion.root, root]))
