"""Keypoints of people who overlap: each peak of the heatmaps belongs to one of them.

A network for crops of one person follows the heatmaps to whoever is clearest in the crop. Where two people take the
same peak for the same joint, it stays with the one whose joint was nearer in the frame before; the other gets the next
peak that nobody claims, or is doubted there. All ours.
"""

import numpy as np
from jaxtyping import Bool, Float

NEAR = 0.08  # of the smaller person's radius: joints that are nearer are one peak
MIN_PEAK = 0.1  # confidence, 0..1; lower peaks are nobody's joint
REACH = 0.3  # of a person's radius: a peak so far from where the joint was counts half
DOUBT = 0.1  # factor of the confidence of a joint that another person claims and that has no other peak


def separate(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    peaks: Float[np.ndarray, "person joint peak 3"],
    before: Float[np.ndarray, "person joint 2"],
    radius: Float[np.ndarray, " person"],
) -> tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]:
    """Keypoints and their confidence, each peak with one person.

    Arguments:
        xy, score: keypoints, px, and their confidence, 0..1.
        peaks: x, y, px, and confidence of the highest peaks of each person's heatmaps.
        before: keypoints in the frame before, px; NaN for somebody new, who loses to the others. Of two who are new
            nobody loses, for there is nothing to tell whose peak it is.
        radius: of each person's region, px.
    """
    xy = xy.copy()
    score = score.copy()
    cost = np.linalg.norm(xy - before, axis=-1) / radius[:, None]
    cost = np.where(np.isnan(cost), np.inf, cost)
    loses = np.zeros(score.shape, bool)
    for one in range(len(xy)):
        for other in range(one + 1, len(xy)):
            shared = _shared(xy, score, radius, one, other)
            loses[one] |= shared & (cost[one] > cost[other])
            loses[other] |= shared & (cost[one] <= cost[other]) & np.isfinite(cost[one])
    for person, joint in np.argwhere(loses):
        near = NEAR * radius[person]
        claimed = xy[~loses[:, joint], joint]
        free = _unclaimed(peaks[person, joint], claimed, near)
        if len(free):
            way = np.linalg.norm(free[:, :2] - before[person, joint], axis=-1) / (REACH * radius[person])
            best = free[(free[:, 2] / (1 + np.nan_to_num(way))).argmax()]
            xy[person, joint] = best[:2]
            score[person, joint] = best[2]
        else:
            score[person, joint] *= DOUBT
    return xy, score


def _shared(
    xy: Float[np.ndarray, "person joint 2"],
    score: Float[np.ndarray, "person joint"],
    radius: Float[np.ndarray, " person"],
    one: int,
    other: int,
) -> Bool[np.ndarray, " joint"]:
    """Which joints two people take from one peak."""
    near = NEAR * min(radius[one], radius[other])
    apart = np.linalg.norm(xy[one] - xy[other], axis=-1)
    return (apart < near) & (np.minimum(score[one], score[other]) > MIN_PEAK)


def _unclaimed(
    peaks: Float[np.ndarray, "peak 3"], claimed: Float[np.ndarray, "person 2"], near: float
) -> Float[np.ndarray, "free 3"]:
    """The peaks that are nobody's."""
    apart = np.linalg.norm(peaks[:, None, :2] - claimed, axis=-1)
    return peaks[(peaks[:, 2] > MIN_PEAK) & (apart > near).all(1)]
