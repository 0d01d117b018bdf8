"""Swapped sides: left and right joints that a 2D network detects as each other for some frames. All ours.

A network that takes a front for a back, or one leg for the other, swaps left and right from one frame to the next, with
high scores. A person cannot: whoever turns around moves the joints of each pair through each other.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.occlusion.anatomy import PARTS, Anatomy

# Lengths are in body heights.
NOISE = 0.035
"""Standard deviation of a keypoint: 6 cm of an adult; OKS allows 0.03 to 0.05 for the joints of the body."""

SPEEDS = np.array([0.6, 2.0, 4.0])
"""Standard deviation, per s, of what optical flow leaves unexplained: at worst all. Of trunk, middle and end joints: a
shoulder at 1 m/s in a person who turns around in half a second, a knee at 3.5 m/s and a foot at 7 m/s in a runner."""

OUTLIER_SHARE = 0.1  # of the joints are somewhere on the person, whatever their score
BODY_AREA = 0.5  # in which such a joint may be: a box of body height and half of it
# per s: a network swaps sides once in ten seconds, for a third of a second, both on average
SWAP_RATE = 1 / 10
RETURN_RATE = 3.0
# per s: once in an hour sides change unseen, behind a cut or a mistake. This limits the belief, so that a wrong
# decision ends after about two seconds
CUT_RATE = 1 / 3600

CHOICES = np.array([[choice >> part & 1 for part in range(PARTS)] for choice in range(2**PARTS)], bool)
"""Sets of parts that may be swapped; the bits of a choice's number are its parts, 0 is none."""

_SHARE = SWAP_RATE / (SWAP_RATE + RETURN_RATE)
PRIOR = np.array([1 - _SHARE, *[_SHARE / 2 / (len(CHOICES) - 2)] * (len(CHOICES) - 2), _SHARE / 2])
"""Share of the time for which each choice is true: all parts are swapped as often as some."""

_CHANGES = np.arange(len(CHOICES))[:, None] ^ np.arange(len(CHOICES))


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


def update_belief(
    belief: Float[np.ndarray, "person choice"],
    assumed: Int[np.ndarray, " person"],
    evidence: Float[np.ndarray, "person part"],
    gap: Float[np.ndarray, " person"],
) -> tuple[Float[np.ndarray, "person choice"], Int[np.ndarray, "person choice"]]:
    """Probability of each choice after a frame, and the choice in the frame before with which it is most probable.

    The forward step of a hidden Markov model: now and then a swap begins, soon it ends.

    Arguments:
        belief: probabilities in the frame before.
        assumed: the choice in the frame before with which joints are expected where they are.
        evidence: sum of `compare_sides` over the pairs of a part.
        gap: since the frame before, s.
    """
    stay = np.exp(-(SWAP_RATE + RETURN_RATE) * gap)[:, None, None]
    likelihood = -evidence @ CHOICES.T
    likelihood = np.exp(likelihood - likelihood.max(-1, keepdims=True))
    seen = _CHANGES ^ assumed[:, None, None]
    people = np.arange(len(belief))[:, None, None]
    joint = belief[:, :, None] * (stay * np.eye(len(CHOICES)) + (1 - stay) * PRIOR) * likelihood[people, seen]
    cut = 1 - np.exp(-CUT_RATE * gap)[:, None]
    updated = (1 - cut) * joint.sum(1) + cut * PRIOR
    return updated / updated.sum(-1, keepdims=True), joint.argmax(1)
