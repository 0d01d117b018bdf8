"""From skeletons and masks to bodies, with the networks, and what they learn from people whose bodies nobody knows."""

from collections.abc import Callable
from copy import deepcopy

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from occlupose.bodies.fitting import BodyFit
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf import losses, reconstruct
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.people import PersonCrops
from occlupose.methods.hupor.ssf.recipe import LABELLING_RATE, SSFBatch, ssf_loss

BATCH = 64
"""People that go through the networks together."""


@torch.no_grad()
def predict_bodies(
    ssf: SSF, people: PersonCrops, believed: Bool[Tensor, "26"] | None = None, *, meet: bool = False
) -> BodyFit:
    """The bodies that the networks see, in the camera frame.

    Arguments:
        believed: joints that the bodies are moved to.
        meet: all segments are then moved together until the joints are met (`bodies.fitting.fit`; ours).

    Raises:
        OccluposeError: the people have no masks, or crops of another size; or no picture, where the networks look at
            it.
    """
    check_crops(ssf, people)
    ssf.eval()
    parts = [ssf(people[slice(start, start + BATCH)], believed).final for start in range(0, len(people), BATCH)]
    fitted = BodyFit(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))
    if not meet:
        return fitted
    return reconstruct.fit_to_joints(people.joints, ssf.body, fitted.shape, fitted.pose, believed)


def make_fitter(ssf: SSF, *, meet: bool = False) -> Callable[[PersonCrops, Bool[Tensor, "26"]], BodyFit]:
    """What `label.label` takes, to label by the networks; arguments as `predict`."""
    return lambda people, believed: predict_bodies(ssf, people, believed, meet=meet)


def finetune(
    ssf: SSF,
    people: PersonCrops,
    believed: Bool[Tensor, "26"] | None = None,
    *,
    steps: int = 200,
    batch: int = 32,
    rate: float = LABELLING_RATE,
    seed: int = 0,
) -> SSF:
    """The networks after some steps on people of whom only joints and masks are known, before these are labelled; the
    given ones stay.

    Self-supervised as published: Adam at 1e-5, weights of L_theta and L_beta 0. How many steps, and that the statistics
    of the batch normalisation stay, are ours.

    Arguments:
        people: all that are to be labelled.

    Raises:
        OccluposeError: as `predict`.
    """
    check_crops(ssf, people)
    refined = deepcopy(ssf).eval()
    optimiser = torch.optim.Adam(refined.parameters(), lr=rate)
    generator = Generator().manual_seed(seed)
    believed = torch.ones(people.joints.shape[1], dtype=torch.bool) if believed is None else believed
    nothing = torch.zeros(0)
    for _ in range(steps):
        some = people[torch.randint(len(people), (min(batch, len(people)),), generator=generator)]
        terms = ssf_loss(refined, SSFBatch(some, believed, nothing, nothing), ssf.body, losses.LABELLING)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    return refined


def check_crops(ssf: SSF, people: PersonCrops) -> None:
    """Whether the networks can look at these people.

    Raises:
        OccluposeError: they cannot; says why.
    """
    if people.size != ssf.size:
        raise OccluposeError(f"crops of {people.size} px: these networks take {ssf.size} px")
    if ssf.look == "image" and people.image.shape[1] != 3:
        raise OccluposeError(
            "no picture: these networks look at the picture; give it, or networks that look at the mask"
        )
    if not (people.open.flatten(1).sum(1) > 0).any():
        raise OccluposeError(
            "no masks: the networks look at the mask; give one for each person, or fit without networks (optimise)"
        )
