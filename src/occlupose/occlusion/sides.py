"""Swapped sides: left and right joints that a 2D network detects as each other for some frames. All ours.

A network that takes a front for a back, or one leg for the other, swaps left and right from one frame to the next, with
high scores. A person cannot: whoever turns around moves the joints of each pair through each other.
"""

import numpy as np
from jaxtyping import Bool, Float

from occlupose.occlusion.anatomy import PARTS, Anatomy

# Lengths are in body heights.
NOISE = 0.035
"""Standard deviation of a keypoint: 6 cm of an adult; OKS allows 0.03 to 0.05 for the joints of the body."""

SPEEDS = np.array([0.6, 2.0, 4.0])
"""Standard deviation, per s, of what optical flow leaves unexplained: at worst all. Of trunk, middle and end joints: a
shoulder at 1 m/s in a person who turns around in half a second, a knee at 3.5 m/s and a foot at 7 m/s in a runner."""

OUTLIER_SHARE = 0.1  # of the joints are somewhere on the person, whatever their score
BODY_AREA = 0.5  # in which such a joint may be: a box of body height and half of it
# log odds that a frame does not begin a swap, and does not end one: one begins in a minute, and it lasts 10 frames
SWAP_COST = 7.5
RETURN_COST = 2.3
PARTIAL = 1.8  # log odds of the whole body against one of the six other choices: as often as all of them together

_CHOICES = np.array([[choice >> part & 1 for part in range(PARTS)] for choice in range(2**PARTS)], bool)


def order_joints(swapped: Bool[np.ndarray, "person part"], anatomy: Anatomy) -> np.ndarray:
    """Index of the joint that each joint becomes, (person, joint): its partner's where its part is swapped. Applied
    twice it changes nothing.
    """
    return np.where(swapped[:, anatomy.part], anatomy.mirror, np.arange(len(anatomy.mirror)))


def measure_pairs(
    expected: Float[np.ndarray, "person joint 2"], observed: Float[np.ndarray, "person joint 2"], anatomy: Anatomy
) -> tuple[Float[np.ndarray, "person pair"], Float[np.ndarray, "person pair"]]:
    """Squared distance of each observed pair from the expected one as it is, and from it swapped."""
    wanted = expected[:, anatomy.pairs]
    seen = observed[:, anatomy.pairs]
    return ((seen - wanted) ** 2).sum((-1, -2)), ((seen - wanted[:, :, ::-1]) ** 2).sum((-1, -2))


def compare_sides(
    same: Float[np.ndarray, "person pair"],
    other: Float[np.ndarray, "person pair"],
    variance: Float[np.ndarray, "person pair"],
) -> Float[np.ndarray, "person pair"]:
    """Log likelihood ratio of each pair being as expected rather than swapped.

    Either is a normal distribution, or the pair is anywhere on the body. A pair whose joints are close to each other,
    or which is in neither place, says nothing, and none says more than a few units. 0 where a joint is unknown.

    Arguments:
        same, other: from `measure_pairs`, in squared body heights.
        variance: of a coordinate of an observed joint around the expected one, in squared body heights.
    """
    outlier = OUTLIER_SHARE * (2 * np.pi * variance / BODY_AREA) ** 2
    ratio = (np.exp(-same / (2 * variance)) + outlier) / (np.exp(-other / (2 * variance)) + outlier)
    return np.log(np.where(np.isfinite(ratio), ratio, 1))


def choose_sides(
    evidence: Float[np.ndarray, "person part"], before: Bool[np.ndarray, "person part"]
) -> Bool[np.ndarray, "person part"]:
    """Which parts are swapped: the most probable, given what was swapped in the frame before.

    Arguments:
        evidence: sum of `compare_sides` over the pairs of a part.
        before: the last choice.
    """
    gain = -evidence @ _CHOICES.T
    partial = _CHOICES.any(-1) & ~_CHOICES.all(-1)
    begins = (_CHOICES & ~before[:, None]).any(-1)
    ends = (before[:, None] & ~_CHOICES).any(-1)
    cost = PARTIAL * partial + np.where(begins, SWAP_COST, np.where(ends, RETURN_COST, 0))
    return _CHOICES[(gain - cost).argmax(-1)]
