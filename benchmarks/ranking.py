"""How well a confidence tells two kinds of joints apart; for the benchmarks."""

import numpy as np
from jaxtyping import Bool, Float


def area_under_curve(
    confidence: Float[np.ndarray, " joint"],
    positive: Bool[np.ndarray, " joint"],
    weight: Float[np.ndarray, " joint"] | None = None,
) -> float:
    """Probability that a positive has a higher confidence than a negative (area under the ROC curve); ties count half.
    NaN without both.

    Arguments:
        weight: how often each joint counts; None: once.
    """
    weight = np.ones(len(confidence)) if weight is None else weight
    values, place = np.unique(confidence, return_inverse=True)
    positives = np.bincount(place[positive], weight[positive], len(values))
    negatives = np.bincount(place[~positive], weight[~positive], len(values))
    below = np.cumsum(negatives) - negatives / 2
    pairs = positives.sum() * negatives.sum()
    return float((positives * below).sum() / pairs) if pairs else float("nan")
