"""Calibration: the probability that a joint is visible, and the spread of its places, on people not trained on. In
photographs only occluders hide joints whose state is known, so it holds for these, and for synthetic people.

The probability is a logistic regression on `occlusion_movenet.visibility_features`, with the same weights for all
joints and a bias for each pair of left and right. The spread is scaled so that half of the hidden joints lie within the
distance within which a normal distribution has half of its mass.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from occlupose.methods.movenet.samples import UNKNOWN, Sample
from occlupose.networks.occlusion_movenet import FEATURES, Keypoints, OcclusionMoveNet, visibility_features
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO21

RIDGE = 1e-3
"""Weight of the squares of the coefficients."""

HALF = 2 * np.log(2)
"""Half of a normal distribution in two dimensions is within this squared distance, in standard deviations."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of a network for some crops, with the truth. Positions are px from the edge of the crop.

    Attributes:
        xy, score, visible: as in `Keypoints`.
        place: mean of the places.
        distance: squared distance of the truth from there, in standard deviations.
        features: of the probability that a joint is visible.
        truth: of the positions.
        state: 2 visible, 1 occluded, 0 outside of the image, 255 unknown.
        side: larger side of the box around the known joints of each person, px.
        known: joints whose position is known.
        synthetic: whether the person is synthetic.
    """

    xy: Float[np.ndarray, "person 21 2"]
    score: Float[np.ndarray, "person 21"]
    visible: Float[np.ndarray, "person 21"]
    place: Float[np.ndarray, "person 21 2"]
    distance: Float[np.ndarray, "person 21"]
    features: Float[np.ndarray, "person 21 5"]
    truth: Float[np.ndarray, "person 21 2"]
    state: UInt8[np.ndarray, "person 21"]
    side: Float[np.ndarray, " person"]
    known: Bool[np.ndarray, "person 21"]
    synthetic: Bool[np.ndarray, " person"]


@torch.inference_mode()
def answer(network: OcclusionMoveNet, samples: Iterable[Sample]) -> Answers:
    """The answers of a network for samples."""
    parts: list[dict[str, Tensor]] = []
    for sample in samples:
        maps = network.maps(sample.images)
        keypoints = network.decode(maps)
        parts.append(
            {
                "xy": keypoints.xy,
                "score": keypoints.score,
                "visible": keypoints.visible,
                "place": keypoints.place,
                "distance": squared_distance(sample.xy, keypoints),
                "features": visibility_features(
                    keypoints.score, keypoints.xy, keypoints.place, keypoints.covariance, maps.visible
                ),
                **truth_of(sample),
            }
        )
    return Answers(**{name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]})


def truth_of(sample: Sample) -> dict[str, Tensor]:
    """What is known of the people of a sample, as in `Answers`."""
    known = sample.weight > 0
    low = torch.where(known[..., None], sample.xy, torch.inf).amin(1)
    high = torch.where(known[..., None], sample.xy, -torch.inf).amax(1)
    side = (high - low).amax(1)
    return {"truth": sample.xy, "state": sample.state, "side": side, "known": known, "synthetic": sample.synthetic}


def squared_distance(xy: Float[Tensor, "batch 21 2"], keypoints: Keypoints) -> Float[Tensor, "batch 21"]:
    """Mahalanobis distance of points from the places of a network, squared."""
    x, y = (xy - keypoints.place).unbind(2)
    xx, cross, yy = keypoints.covariance.unbind(2)
    return (yy * x**2 - 2 * cross * x * y + xx * y**2) / (xx * yy - cross**2)


def calibrate(network: OcclusionMoveNet, samples: Sequence[Sample]) -> None:
    """Sets the calibration of a network, in place."""
    with torch.no_grad():
        network.spread.fill_(1.0)
        answers = answer(network, samples)
        known = answers.known & np.isin(answers.state, (OCCLUDED, ABSENT))
        for pair in _pairs():
            distance = answers.distance[:, pair][known[:, pair]]
            network.spread[pair] = float(np.sqrt(np.median(distance) / HALF)) if len(distance) else 1.0
        answers = answer(network, samples)
        weight, bias = fit_visibility(answers)
        network.visible_weight.copy_(weight.expand(len(COCO21), -1))
        network.visible_bias.copy_(bias)


def fit_visibility(answers: Answers) -> tuple[Float[Tensor, " feature"], Float[Tensor, " joint"]]:
    """Weights and biases of the logistic regression; photographs and synthetic people weigh the same. A joint outside
    of the image is not visible; one whose state is unknown does not count.
    """
    person, joint = np.nonzero(answers.known & (answers.state != UNKNOWN))
    features = torch.from_numpy(answers.features[person, joint]).double()
    visible = torch.from_numpy(answers.state[person, joint] == VISIBLE).double()
    synthetic = answers.synthetic[person]
    share = torch.from_numpy(np.where(synthetic, 0.5 / max(synthetic.sum(), 1), 0.5 / max((~synthetic).sum(), 1)))
    group = torch.zeros(len(COCO21), dtype=torch.long)
    for number, pair in enumerate(_pairs()):
        group[pair] = number
    groups = group[torch.from_numpy(joint)]
    weight = torch.zeros(FEATURES, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(int(group.max()) + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = features @ weight + bias[groups]
        cross = functional.binary_cross_entropy_with_logits(logits, visible, reduction="none")
        total = (share * cross).sum() + RIDGE * (weight.square().sum() + bias.square().sum())
        total.backward()
        return total

    with torch.enable_grad():
        optimiser.step(loss)
    return weight.detach().float(), bias.detach()[group].float()


def _pairs() -> list[list[int]]:
    """Joints with their partners of the other side, each once."""
    mirror = COCO21.mirror
    return [sorted({joint, mirror[joint]}) for joint in range(len(COCO21)) if joint <= mirror[joint]]
