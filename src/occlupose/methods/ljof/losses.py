"""Losses of LJOF (arXiv 2410.09885, eq. 4 to 6) and of Ke et al. 2018, for any heatmap estimator.

All are means of weighted squares over batch, joints and cells, as in MMPose's KeypointMSELoss: unannotated joints count
in the denominator, so that the relative weights of the losses do not depend on the batch.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.codecs.maps import full_precision
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.schedules import Step
from occlupose.skeletons import Skeleton

CHAINS = tuple(
    tuple(f"left_{joint}" for joint in limb) + tuple(f"right_{joint}" for joint in reversed(limb))
    for limb in (("wrist", "elbow", "shoulder"), ("ankle", "knee", "hip"))
)
"""The limb chains of LJOF: wrist to wrist over the shoulders, ankle to ankle over the hips."""

Maps = Float[Tensor, "batch joint y x"]
Weight = Float[Tensor, "batch joint"]
Kind = Literal["limbs", "body"]


def limb_neighbours(skeleton: Skeleton) -> dict[int, tuple[int, ...]]:
    """Indices of the limb joints, each with its one or two neighbours on its chain (N(k) of LJOF eq. 6).

    Raises:
        OccluposeError: no two joints of the skeleton are neighbours on a chain.
    """
    aliases = dict(skeleton.aliases)
    chains = [[aliases.get(joint, joint) for joint in chain] for chain in CHAINS]
    pairs = [pair for chain in chains for pair in pairwise(chain) if set(pair) <= set(skeleton.joints)]
    if not pairs:
        raise OccluposeError(
            f"{skeleton.name}: no two of its joints are neighbours on a limb; limbs are"
            f" {'; '.join(map('-'.join, CHAINS))}"
        )
    return _neighbours(skeleton, pairs)


def body_neighbours(skeleton: Skeleton) -> dict[int, tuple[int, ...]]:
    """Indices of all joints at an end of a limb, head and trunk included, each with its neighbours."""
    return _neighbours(skeleton, list(skeleton.limbs))


def heatmap_loss(maps: Maps, truth: Maps, weight: Weight) -> Float[Tensor, ""]:
    """L_h of LJOF eq. 5: the mean over batch, joints and cells of the weighted squared difference."""
    return (weight * (maps.float() - truth.float()).square().mean((-2, -1))).mean()


class StructureLoss(nn.Module):
    """L_s of LJOF eq. 6: the heatmap loss of the sum of a limb joint's map and its neighbours' maps.

    Where the paper is silent (ours): an unannotated neighbour is left out of both sums, an unannotated joint has no
    term, and the mean is over batch, limb joints and cells.
    """

    graph: Float[Tensor, "limb joint"]
    limbs: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        neighbours = limb_neighbours(skeleton)
        graph = _graph(skeleton, neighbours)
        self.register_buffer("graph", graph[list(neighbours)], persistent=False)
        self.register_buffer("limbs", torch.tensor(list(neighbours)), persistent=False)

    def forward(self, maps: Maps, truth: Maps, weight: Weight) -> Float[Tensor, ""]:
        error = (maps.float() - truth.float()) * (weight > 0)[..., None, None]
        with full_precision(maps):
            sums = self.graph @ error.flatten(2)
        return (weight[:, self.limbs] * sums.square().mean(-1)).mean()


class StructureAwareLoss(nn.Module):
    """The structure loss of Ke et al. 2018 ("Multi-Scale Structure-Aware Network"): the heatmap loss of a joint's map
    concatenated with its neighbours' maps, head and trunk included.

    This equals the heatmap loss with each joint counted once for itself and once for each neighbour. It is our reading:
    of the finest maps alone, with the schedule's weight in place of that paper's alpha, and without its masked
    keypoints. Unannotated joints are left out as in `StructureLoss` (ours).
    """

    graph: Float[Tensor, "joint joint"]

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.register_buffer("graph", _graph(skeleton, body_neighbours(skeleton)), persistent=False)

    def forward(self, maps: Maps, truth: Maps, weight: Weight) -> Float[Tensor, ""]:
        squares = (maps.float() - truth.float()).square().mean((-2, -1)) * (weight > 0)
        with full_precision(maps):
            return (weight * (squares @ self.graph)).mean()


KINDS: dict[Kind, Callable[[Skeleton], nn.Module]] = {"limbs": StructureLoss, "body": StructureAwareLoss}
"""Structure losses: LJOF's and that of Ke et al."""


class DynamicStructureLoss(nn.Module):
    """LJOF eq. 4: the heatmap loss plus a structure loss whose weight depends on the training's progress.

    Arguments:
        schedule: weight (lambda) as a function of the progress, 0 to 1; see `methods.ljof.schedules`.
        kind: "limbs" is LJOF's structure loss (eq. 6), "body" that of Ke et al. 2018.

    Raises:
        OccluposeError: unknown kind, or a skeleton without limbs.
    """

    def __init__(
        self, skeleton: Skeleton, schedule: Callable[[float], float] | None = None, kind: Kind = "limbs"
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise OccluposeError(f"structure loss {kind}: not known; known are {', '.join(KINDS)}")
        self.schedule = Step() if schedule is None else schedule
        self.structure = KINDS[kind](skeleton)

    def forward(self, maps: Maps, truth: Maps, weight: Weight, progress: float) -> Float[Tensor, ""]:
        terms = self.terms(maps, truth, weight, progress)
        return terms["heatmap"] + terms["structure"]

    def terms(self, maps: Maps, truth: Maps, weight: Weight, progress: float) -> dict[str, Float[Tensor, ""]]:
        """The two terms of the loss. `structure` is weighted already, and not computed if its weight is 0.

        Arguments:
            maps: predicted heatmaps.
            truth: target heatmaps.
            weight: 0 where a joint is not annotated.
            progress: of the training, 0 to 1.
        """
        factor = self.schedule(progress)
        structure = factor * self.structure(maps, truth, weight) if factor else maps.new_zeros((), dtype=torch.float32)
        return {"heatmap": heatmap_loss(maps, truth, weight), "structure": structure}


def _neighbours(skeleton: Skeleton, pairs: list[tuple[str, str]]) -> dict[int, tuple[int, ...]]:
    neighbours: dict[int, set[int]] = {}
    for pair in pairs:
        first, second = skeleton.index(*pair)
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    return {joint: tuple(sorted(neighbours[joint])) for joint in sorted(neighbours)}


def _graph(skeleton: Skeleton, neighbours: dict[int, tuple[int, ...]]) -> Float[Tensor, "joint joint"]:
    """Adjacency matrix with self-loops."""
    graph = torch.eye(len(skeleton))
    for joint, others in neighbours.items():
        graph[joint, list(others)] = 1
    return graph
