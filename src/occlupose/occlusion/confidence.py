"""Occlusion in predictions: confidence of the 2D network, checked against optical flow, and the state of each joint."""

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

MIN_CONFIDENCE = 0.3
"""Least confidence of a visible joint, for networks of which nothing better is known (OANet's b)."""


def discount_by_flow(
    score: Float[np.ndarray, "time person joint"],
    motion: Float[np.ndarray, "time person joint 2"],
    flow: Float[np.ndarray, "time person joint 2"],
    *,
    sigma: float = 0.1,
) -> Float[np.ndarray, "time person joint"]:
    """Confidence of each 2D joint, lowered where the joint moves against the optical flow.

    OANet eq. 2.

    Arguments:
        score: heatmap peak, 0..1.
        motion: displacement of the joint to the next frame, in box sides.
        flow: optical flow at the joint between the same frames, in box sides.
        sigma: difference that multiplies the confidence by exp(-1/2), in box sides. The paper prints 0.1 without a
            unit; box sides are ours.

    Returns:
        Confidence, 0..1. The score is kept where motion or flow is NaN (last frame, gap in a track).
    """
    difference = ((flow - motion) ** 2).sum(-1)
    return score * np.exp(-np.nan_to_num(difference) / (2 * sigma**2))


def classify_joints(
    confidence: Float[np.ndarray, "*joints"],
    xy: Float[np.ndarray, "*joints 2"] | None = None,
    size: tuple[int, int] | None = None,
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> UInt8[np.ndarray, "*joints"]:
    """State of each joint: 2 visible, 1 occluded, 0 absent.

    OANet sec. 3.1 (occluded where the confidence is below b = 0.3); the rules for 0 and for the image border are ours.

    Arguments:
        confidence: from `discount_by_flow`, 0..1; NaN where the person is not in the frame; 0 where a tracked person
            was not detected.
        xy: position of the joint, px, detected or inferred; None: not checked.
        size: (width, height) of the image, px; None: not checked.
        min_confidence: least confidence of a visible joint.

    Returns:
        0 where the confidence or the position is NaN. 2 where the confidence is high enough and the position is
        inside the image. 1 elsewhere: hidden by something, or outside the image.
    """
    absent = np.isnan(confidence)
    visible = np.nan_to_num(confidence) >= min_confidence
    if xy is not None:
        absent = absent | np.isnan(xy).any(-1)
        if size is not None:
            visible = visible & in_image(xy, size)
    return np.where(absent, ABSENT, np.where(visible, VISIBLE, OCCLUDED)).astype(np.uint8)


def in_image(xy: Float[np.ndarray, "*joints 2"], size: tuple[int, int]) -> np.ndarray:
    """Whether each position is on a pixel of a (width, height) image; pixel centres are integers. False for NaN."""
    return np.all((xy >= -0.5) & (xy < np.asarray(size) - 0.5), axis=-1)
