"""Find occlusion in predictions: what the network believes, checked against what the pixels did."""

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.poses import ABSENT, OCCLUDED, VISIBLE


def evidence(
    score: Float[np.ndarray, "time person joint"],
    motion: Float[np.ndarray, "time person joint 2"],
    flow: Float[np.ndarray, "time person joint 2"],
    *,
    sigma: float = 0.1,
) -> Float[np.ndarray, "time person joint"]:
    """How far each 2D joint can be believed: its confidence, discounted where it moves against the optical flow.

    OANet eq. 2.

    Arguments:
        score: heatmap peak, 0..1.
        motion: displacement of the joint to the next frame, in box sides.
        flow: optical flow at the joint between the same frames, in box sides.
        sigma: disagreement that costs a factor exp(-1/2), in box sides. The paper prints 0.1 without a unit; box sides
            are ours.

    Returns:
        Evidence, 0..1. Where motion or flow is NaN (last frame, gap in a track) the score stands.
    """
    disagreement = ((flow - motion) ** 2).sum(-1)
    return score * np.exp(-np.nan_to_num(disagreement) / (2 * sigma**2))


def states(
    evidence: Float[np.ndarray, "*joints"],
    xy: Float[np.ndarray, "*joints 2"] | None = None,
    size: tuple[int, int] | None = None,
    *,
    threshold: float = 0.3,
) -> UInt8[np.ndarray, "*joints"]:
    """The state of each joint: 2 visible, 1 occluded, 0 absent.

    OANet sec. 3.1 (occluded where the evidence is below b = 0.3); the rules for 0 and for the picture's edge are ours.

    Arguments:
        evidence: from `evidence`, 0..1; NaN where the person is not in the frame; 0 where a tracked person was not
            detected.
        xy: where the joint is said to be, px: as seen or, afterwards, as inferred. None: not asked.
        size: (width, height) of the picture, px. None: the picture has no edge.
        threshold: the least evidence of a visible joint.

    Returns:
        0 where the evidence or the position is NaN: the person is not there, or nobody can say where the joint is.
        2 where the evidence reaches the threshold and the position is inside the picture.
        1 elsewhere: hidden by something, or by the edge of the picture.
    """
    missing = np.isnan(evidence)
    seen = np.nan_to_num(evidence) >= threshold
    if xy is not None:
        missing = missing | np.isnan(xy).any(-1)
        if size is not None:
            seen = seen & inside(xy, size)
    return np.where(missing, ABSENT, np.where(seen, VISIBLE, OCCLUDED)).astype(np.uint8)


def inside(xy: Float[np.ndarray, "*joints 2"], size: tuple[int, int]) -> np.ndarray:
    """Whether each position lies on a pixel of a (width, height) picture; pixel centres are at integers. NaN is
    outside.
    """
    return np.all((xy >= -0.5) & (xy < np.asarray(size) - 0.5), axis=-1)
