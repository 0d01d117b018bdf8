"""Errors of 3D poses, in the unit of the input, and their means over actions, joints and states.

Joints that are NaN in the truth or the prediction have NaN errors, for `np.nanmean`. Functions accept any leading
dimensions.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.poses import VISIBLE
from occlupose.skeletons import Skeleton

METRICS = ("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve", "mpjve_per_second")
"""Protocol 1, Protocol 2, the error after rescaling, and the velocity error per frame and per second."""


def root_relative(xyz: Float[np.ndarray, "... joint 3"], root: int = 0) -> Float[np.ndarray, "... joint 3"]:
    """Positions relative to one joint."""
    return xyz - xyz[..., root : root + 1, :]


def joint_errors(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint"]:
    """Distance of each joint from the truth; its mean is the MPJPE (Human3.6M's Protocol 1 on root-relative poses)."""
    return np.linalg.norm(predicted - truth, axis=-1)


def procrustes(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint 3"]:
    """Each predicted pose aligned to the truth by translation, rotation and scale.

    Least squares over the joints that both have, after Umeyama (1991), without reflection. The mean of `joint_errors`
    of the result is the P-MPJPE (Protocol 2).
    """
    known = np.isfinite(predicted + truth).all(-1, keepdims=True)
    count = np.maximum(known.sum(-2, keepdims=True), 1)
    mean_p = np.where(known, predicted, 0).sum(-2, keepdims=True) / count
    mean_t = np.where(known, truth, 0).sum(-2, keepdims=True) / count
    p = np.where(known, predicted - mean_p, 0)
    t = np.where(known, truth - mean_t, 0)
    u, s, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(s.shape)
    sign[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p**2).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * (predicted - mean_p) @ np.swapaxes(rotation, -1, -2) + mean_t


def align_scale(
    predicted: Float[np.ndarray, "... joint 3"], truth: Float[np.ndarray, "... joint 3"]
) -> Float[np.ndarray, "... joint 3"]:
    """Each predicted pose scaled about the origin to fit the truth; both are root-relative.

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
    """Error of each joint's displacement since the previous frame; NaN in the first frame.

    Its mean is the velocity error (MPJVE) of Pavllo et al. (CVPR 2019), in millimetres per frame there.
    """
    errors = np.full(truth.shape[:2], np.nan)
    errors[1:] = joint_errors(np.diff(predicted, axis=0), np.diff(truth, axis=0))
    return errors


def all_errors(
    predicted: Float[np.ndarray, "time joint 3"], truth: Float[np.ndarray, "time joint 3"], fps: float, root: int = 0
) -> Float[np.ndarray, "metric time joint"]:
    """Every joint's error by each of `METRICS`, after subtracting the root, of one continuous sequence."""
    predicted = root_relative(np.asarray(predicted, np.float64), root)
    truth = root_relative(np.asarray(truth, np.float64), root)
    velocity = velocity_errors(predicted, truth)
    aligned = (predicted, procrustes(predicted, truth), align_scale(predicted, truth))
    return np.stack([*(joint_errors(poses, truth) for poses in aligned), velocity, velocity * fps])


WORST = 10_000
"""Number of joints whose errors are the largest: OANet section 5.5 compares theirs with and without its occlusion-aware
module.
"""


@dataclass
class MPJPEReport:
    """Mean errors over any number of sequences: overall, by action, by joint, and by visible and occluded joints.

    Within an action all joints, frames, subjects and cameras count the same; missing errors (NaN) do not count. There
    are two means over actions: the mean of the actions' means, as in Human3.6M's protocols (`over_actions`), and the
    mean of all frames (`mean`).

    Attributes:
        skeleton: of the poses.
        sums, counts: for each action, sum and number of errors by metric, joint and state (0 unknown, 1 occluded, 2
            visible).
        largest: the `WORST` largest errors of Protocol 1.
    """

    skeleton: Skeleton
    sums: dict[str, Float[np.ndarray, "metric joint state"]] = field(default_factory=dict)
    counts: dict[str, Float[np.ndarray, "metric joint state"]] = field(default_factory=dict)
    largest: Float[np.ndarray, " error"] = field(default_factory=lambda: np.empty(0))

    @property
    def actions(self) -> list[str]:
        """Names of the actions, in order."""
        return sorted(self.sums)

    @property
    def joint_count(self) -> int:
        """Number of scored joints over all frames."""
        return int(self._chosen(self.counts, None, None, None)[0])

    def add(
        self, action: str, errors: Float[np.ndarray, "metric time joint"], state: UInt8[np.ndarray, "time joint"]
    ) -> None:
        """Adds one sequence.

        Arguments:
            action: that it counts for.
            errors: from `all_errors`.
            state: of each joint in each frame: 2 visible, 1 occluded, 0 unknown. A velocity belongs to the later of its
                frames.
        """
        shape = (len(METRICS), len(self.skeleton), VISIBLE + 1)
        known = np.isfinite(errors)
        for totals, values in ((self.sums, np.where(known, errors, 0)), (self.counts, known)):
            by_state = [(values * (state == value)).sum(1) for value in range(VISIBLE + 1)]
            totals[action] = totals.get(action, np.zeros(shape)) + np.stack(by_state, -1)
        self.largest = np.sort(np.concatenate([self.largest, errors[0][known[0]]]))[-WORST:]

    def mean_of_worst(self) -> float:
        """Mean of the `WORST` largest errors of Protocol 1, or of all if there are fewer; NaN if there is none."""
        return float(self.largest.mean()) if len(self.largest) else np.nan

    def mean(
        self, action: str | None = None, *, joint: str | None = None, state: int | None = None
    ) -> Float[np.ndarray, "metric"]:
        """The mean error by each of `METRICS` of one action or all, one joint or all, one state or all; NaN if there is
        none.
        """
        total = self._chosen(self.sums, action, joint, state)
        count = self._chosen(self.counts, action, joint, state)
        return np.divide(total, count, out=np.full(len(METRICS), np.nan), where=count > 0)

    def over_actions(self, *, joint: str | None = None, state: int | None = None) -> Float[np.ndarray, "metric"]:
        """The mean of the actions' means, each counting the same; actions without such errors do not count."""
        means = np.stack([self.mean(action, joint=joint, state=state) for action in self.actions])
        known = np.isfinite(means)
        total = np.where(known, means, 0).sum(0)
        return np.divide(total, known.sum(0), out=np.full(len(METRICS), np.nan), where=known.any(0))

    def share(self, state: int) -> float:
        """Share of the scored joints in this state."""
        count = self._chosen(self.counts, None, None, state)[0]
        return float(count / max(1, self.joint_count))

    def scored(self, joint: str) -> bool:
        """Whether this joint has any error at all."""
        return bool(self._chosen(self.counts, None, joint, None)[0] > 0)

    def _chosen(
        self, totals: dict[str, np.ndarray], action: str | None, joint: str | None, state: int | None
    ) -> Float[np.ndarray, "metric"]:
        if action is None:
            table = sum(totals.values(), np.zeros((len(METRICS), len(self.skeleton), VISIBLE + 1)))
        else:
            table = totals[action]
        joints = slice(None) if joint is None else self.skeleton.index(joint)
        states = slice(None) if state is None else [state]
        return table[:, joints][:, :, states].sum((1, 2))
