"""Inference of the networks of Skeleton-guided Shape Fitting, and their self-supervised fine-tuning."""

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
"""People in a batch."""


@torch.no_grad()
def predict_bodies(
    ssf: SSF, people: PersonCrops, fit_mask: Bool[Tensor, "26"] | None = None, *, refine: bool = False
) -> BodyFit:
    """Bodies predicted by the networks, in the camera frame.

    Arguments:
        fit_mask: joints that the bodies are translated to.
        refine: afterwards refine all segments together to reach the joints (`bodies.fitting.fit_pose`; ours).

    Raises:
        OccluposeError: people without masks, with crops of another size, or without an image if the networks need it.
    """
    check_crops(ssf, people)
    ssf.eval()
    parts = [ssf(people[slice(start, start + BATCH)], fit_mask).final for start in range(0, len(people), BATCH)]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    fitted = BodyFit(*(torch.cat(values) for values in columns))
    if not refine:
        return fitted
    return reconstruct.fit_to_joints(people.joints, ssf.body, fitted.shape, fitted.pose, fit_mask)


def make_fitter(ssf: SSF, *, refine: bool = False) -> Callable[[PersonCrops, Bool[Tensor, "26"]], BodyFit]:
    """The `fitter` of `label.label_occlusion` that uses networks; arguments as for `predict_bodies`."""
    return lambda people, fit_mask: predict_bodies(ssf, people, fit_mask, refine=refine)


def finetune(
    ssf: SSF,
    people: PersonCrops,
    fit_mask: Bool[Tensor, "26"] | None = None,
    *,
    steps: int = 200,
    batch: int = 32,
    learning_rate: float = LABELLING_RATE,
    seed: int = 0,
) -> SSF:
    """A copy of the networks, fine-tuned on the joints and masks of the people that they will label.

    Self-supervised as published: Adam at 1e-5, without L_theta and L_beta. The number of steps and the fixed statistics
    of batch normalisation are ours.

    Arguments:
        people: all that will be labelled.

    Raises:
        OccluposeError: as `predict_bodies`.
    """
    check_crops(ssf, people)
    tuned = deepcopy(ssf).eval()
    optimiser = torch.optim.Adam(tuned.parameters(), lr=learning_rate)
    generator = Generator().manual_seed(seed)
    fit_mask = torch.ones(people.joints.shape[1], dtype=torch.bool) if fit_mask is None else fit_mask
    unknown = torch.zeros(0)
    for _ in range(steps):
        batch_people = people[torch.randint(len(people), (min(batch, len(people)),), generator=generator)]
        terms = ssf_loss(tuned, SSFBatch(batch_people, fit_mask, unknown, unknown), ssf.body, losses.LABELLING)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    return tuned


def check_crops(ssf: SSF, people: PersonCrops) -> None:
    """Checks that the networks can process these people.

    Raises:
        OccluposeError: they cannot, and why.
    """
    if people.size != ssf.size:
        raise OccluposeError(f"crops of {people.size} px: must be {ssf.size} px for these networks")
    if ssf.input_type == "image" and people.image.shape[1] != 3:
        raise OccluposeError("no image: these networks need one; give it, or networks with input_type mask")
    if not (people.valid.flatten(1).sum(1) > 0).any():
        raise OccluposeError(
            "no masks: the networks need them; give one for each person, or fit without networks (ssf.optimise)"
        )
