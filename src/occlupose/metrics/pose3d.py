"""Errors of 3D poses, in the unit of the input, and their means over actions, joints and states.

Joints that are NaN in the truth or the prediction have NaN errors, for `np.nanmean`; every function works on any
leading shape.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.poses import VISIBLE
from occlupose.skeletons import Skeleton

MEASURES = ("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve", "mpjve_per_second")
"""Protocol 1, Protocol 2, the error after the best scale, and the velocity error per frame and per second."""


def root_relative(xyz: Float[np.ndarray, "... joint 3"], root: int = 0) -> Float[np.ndarray, "... joint 3"]:
    """Positions relative to one joint."""
    return xyz - xyz[..., root : root + 1, :]


def joint_errors(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint"]:
    """Distance of each joint from the truth. Its mean is the MPJPE (Human3.6M's Protocol 1 on root-relative poses)."""
    return np.linalg.norm(predicted - truth, axis=-1)


def procrustes(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint 3"]:
    """The prediction moved, rotated and scaled to fit the truth best, pose by pose.

    Least squares over the joints that both have, after Umeyama (1991), never a mirror image. The mean of `joint_errors`
    of the result is the P-MPJPE (Protocol 2).
    """
    known = np.isfinite(predicted + truth).all(-1, keepdims=True)
    count = np.maximum(known.sum(-2, keepdims=True), 1)
    mean_p, mean_t = (np.where(known, xyz, 0).sum(-2, keepdims=True) / count for xyz in (predicted, truth))
    p = np.where(known, predicted - mean_p, 0)
    t = np.where(known, truth - mean_t, 0)
    u, s, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(s.shape)
    sign[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * (predicted - mean_p) @ np.swapaxes(rotation, -1, -2) + mean_t


def rescaled(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint 3"]:
    """The prediction scaled about the origin to fit the truth best, pose by pose; both are relative to their root.

    Least squares over the joints that both have. The mean of `joint_errors` of the result is the N-MPJPE (Rhodin et
    al., CVPR 2018).
    """
    known = np.isfinite(predicted + truth)
    p = np.where(known, predicted, 0)
    t = np.where(known, truth, 0)
    scale = (p * t).sum((-1, -2)) / np.maximum((p**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * predicted


def velocity_errors(
    predicted: Float[np.ndarray, "time joint 3"], truth: Float[np.ndarray, "time joint 3"]
) -> Float[np.ndarray, "time joint"]:
    """How far each joint's displacement since the frame before is from the true one, per frame; NaN in the first.

    Its mean is the velocity error (MPJVE) of Pavllo et al. (CVPR 2019), who give it in millimetres per frame.
    """
    errors = np.full(truth.shape[:2], np.nan)
    errors[1:] = joint_errors(np.diff(predicted, axis=0), np.diff(truth, axis=0))
    return errors


def measures(
    predicted: Float[np.ndarray, "time joint 3"], truth: Float[np.ndarray, "time joint 3"], fps: float, root: int = 0
) -> Float[np.ndarray, "measure time joint"]:
    """Every joint's errors by each of `MEASURES`, of one uninterrupted motion; both are taken relative to their root
    first.
    """
    predicted, truth = (root_relative(np.asarray(xyz, np.float64), root) for xyz in (predicted, truth))
    velocity = velocity_errors(predicted, truth)
    fits = (predicted, procrustes(predicted, truth), rescaled(predicted, truth))
    return np.stack([*(joint_errors(fit, truth) for fit in fits), velocity, velocity * fps])


@dataclass
class Report:
    """Means of errors over any number of motions: whole, by action, by joint, and of visible and occluded joints apart.

    Within an action every error of every joint and frame counts the same, whoever did it before whichever camera;
    missing ones (NaN) do not count. Over actions there are two means: of the actions' means, as the protocols of
    Human3.6M have it (`over_actions`), and of all frames (`mean`).

    Attributes:
        skeleton: of the poses.
        sums, counts: of each action, the errors' sums and numbers by measure, joint and state (0 where nobody says, 1
            occluded, 2 visible).
    """

    skeleton: Skeleton
    sums: dict[str, Float[np.ndarray, "measure joint state"]] = field(default_factory=dict)
    counts: dict[str, Float[np.ndarray, "measure joint state"]] = field(default_factory=dict)

    @property
    def actions(self) -> list[str]:
        """Names of the actions, in order."""
        return sorted(self.sums)

    @property
    def number(self) -> int:
        """How many joints were scored, over all frames."""
        return int(self._chosen(self.counts, None, None, None)[0])

    def add(
        self, action: str, errors: Float[np.ndarray, "measure time joint"], state: UInt8[np.ndarray, "time joint"]
    ) -> None:
        """Count one motion.

        Arguments:
            action: what the motion is counted under.
            errors: as `measures` gives them.
            state: of each joint in each frame: 2 visible, 1 occluded, 0 in neither group. A velocity belongs to the
                later of its frames.
        """
        shape = (len(MEASURES), len(self.skeleton), VISIBLE + 1)
        known = np.isfinite(errors)
        for totals, values in ((self.sums, np.where(known, errors, 0)), (self.counts, known)):
            of_states = [(values * (state == value)).sum(1) for value in range(VISIBLE + 1)]
            totals[action] = totals.get(action, np.zeros(shape)) + np.stack(of_states, -1)

    def mean(
        self, action: str | None = None, *, joint: str | None = None, state: int | None = None
    ) -> Float[np.ndarray, "measure"]:
        """The mean error by each of `MEASURES` of one action or all, one joint or all, one state or all; NaN where
        there is none.
        """
        total, count = (self._chosen(totals, action, joint, state) for totals in (self.sums, self.counts))
        return np.divide(total, count, out=np.full(len(MEASURES), np.nan), where=count > 0)

    def over_actions(self, *, joint: str | None = None, state: int | None = None) -> Float[np.ndarray, "measure"]:
        """The mean of the actions' means, each counting the same; an action that has none of these errors does not
        count.
        """
        means = np.stack([self.mean(action, joint=joint, state=state) for action in self.actions])
        known = np.isfinite(means)
        return np.divide(
            np.where(known, means, 0).sum(0), known.sum(0), out=np.full(len(MEASURES), np.nan), where=known.any(0)
        )

    def share(self, state: int) -> float:
        """What part of all joints is in this state."""
        count = self._chosen(self.counts, None, None, state)[0]
        return float(count / max(1, self.number))

    def scored(self, joint: str) -> bool:
        """Whether this joint has any error at all."""
        return bool(self._chosen(self.counts, None, joint, None)[0] > 0)

    def _chosen(
        self, totals: dict[str, np.ndarray], action: str | None, joint: str | None, state: int | None
    ) -> Float[np.ndarray, "measure"]:
        table = (
            sum(totals.values(), np.zeros((len(MEASURES), len(self.skeleton), VISIBLE + 1)))
            if action is None
            else totals[action]
        )
        joints = slice(None) if joint is None else self.skeleton.index(joint)
        states = slice(None) if state is None else [state]
        return table[:, joints][:, :, states].sum((1, 2))
