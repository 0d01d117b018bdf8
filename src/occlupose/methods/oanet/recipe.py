"""How OANet's temporal networks are trained: data, losses, stages. Each row of the paper's table 2 is a recipe."""

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.oanet.picture import ROOT, Picture, frame
from occlupose.methods.oanet.sequences import Footage, Sequences, Sight
from occlupose.methods.oanet.views import DIRECTIONS, studio, virtual
from occlupose.networks.tcn import STRIDE
from occlupose.occlusion import cylinders, gaps
from occlupose.skeletons import BODY22_TO_H36M17, H36M17
from occlupose.synth.noise import NoiseModel, guess
from occlupose.training.loop import Optimisation, Terms

OBJECTS: list[tuple[float, gaps.Mode]] = [
    (0.05, gaps.scattered),
    (0.05, gaps.gap),
    (0.15, partial(gaps.limb, skeleton=H36M17)),
    (0.2, partial(gaps.several, skeleton=H36M17)),
]
"""What hides joints beside the body itself, and how often: scattered joints and a gap as in the authors' later code,
whole limbs and several gaps as objects make them; these and the shares are ours."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run of OANet depends on. The defaults are the whole method at the paper's size; eq. 5
    and 8 act where there are sequences without 3D: give `labelled` under 1, or video.

    Raises:
        OccluposeError: a length that the networks cannot take, or a number or share that cannot be.
    """

    name: str = "oanet"
    width: int = 512
    """Channels of the temporal networks; twice as many at the quarter length (ours)."""
    depth: int = 0
    """Further residual blocks at the quarter length (ours)."""
    length: int = 128
    """Frames of a sequence, T."""
    batch: int = 128
    refine: bool = True
    """With the 2D TCN."""
    occlusion: bool = True
    """Unreliable joints are dropped. False: the networks get everything that the 2D network says."""
    threshold: float = 0.3
    """b: joints of less evidence are unreliable."""
    mask_channel: bool = False
    """The networks are told which joints are missing (an option; ours)."""
    symmetry: float = 0.2
    """Weight of L_sym in eq. 6."""
    adversarial: float = 0.1
    """Weight of L_dis in eq. 6."""
    regularisation: float = 0.1
    """Weight of L_reg in eq. 9."""
    augmentation: float = 0.5
    """Share of the sequences with 3D that are seen from a virtual view (section 4.2; the share is ours)."""
    objects: bool = True
    """Objects hide joints too, in 45 % of the sequences. False: only the body itself does."""
    labelled: float = 1.0
    """Share of the clips whose 3D is used."""
    flat: float = 0.5
    """Share of a batch without 3D (zeta = 0 in eq. 6), where there are clips without 3D; ours."""
    dropout: float = 0.25
    """Ours."""
    fill: Optimisation = field(default_factory=lambda: Optimisation(steps=50_000))
    """First stage: the 2D TCN alone, eq. 3. That the paper's 100,000 steps at its higher rate are two stages, half
    each, is ours.
    """
    lift: Optimisation = field(default_factory=lambda: Optimisation(steps=50_000))
    """Second stage: the 3D TCN and the discriminator, on what the 2D TCN makes of it."""
    joint: Optimisation = field(default_factory=lambda: Optimisation(steps=30_000, learning_rate=1e-4))
    """Third stage: everything together, eq. 9."""
    seed: int = 0

    @property
    def without(self) -> int:
        """Sequences without 3D in a batch, where there are clips without 3D."""
        return round(self.flat * self.batch)

    @property
    def least(self) -> float:
        """Evidence of a joint that is believed."""
        return self.threshold if self.occlusion else 0.0

    def __post_init__(self) -> None:
        for name, least in {"width": 1, "depth": 0, "batch": 1}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
        for name in ("augmentation", "labelled", "flat", "dropout", "threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise OccluposeError(f"{name} {getattr(self, name)}: must lie between 0 and 1")
        for name in ("symmetry", "adversarial", "regularisation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OccluposeError(f"{name} {getattr(self, name)}: a weight is 0 or more")
        if not self.labelled:
            raise OccluposeError(
                f"labelled {self.labelled}: without any 3D nothing tells how large people are; give a share of the"
                " clips"
            )
        if self.without >= self.batch:
            raise OccluposeError(f"flat {self.flat}: leaves no sequence with 3D in a batch of {self.batch}; give less")
        if self.length < 2 * STRIDE or self.length % STRIDE:
            raise OccluposeError(
                f"length {self.length}: the networks take {2 * STRIDE} frames or more, in multiples of {STRIDE}"
            )


@dataclass
class Batch:
    """Network input and truth; sequences with 3D come first."""

    picture: Picture
    truth_2d: Float[Tensor, "batch time 17 2"]
    """In the picture's units; of joints that are not annotated where the 2D network says."""
    annotated: Bool[Tensor, "batch time 17"]
    occluded: Bool[Tensor, "batch time 17"]
    """Joints that are there but not believed."""
    truth_3d: Float[Tensor, "labelled time 17 3"]

    @property
    def labelled(self) -> int:
        """Number of sequences with 3D, those of zeta = 1."""
        return len(self.truth_3d)


def see(
    joints: Float[Tensor, "batch time 22 3"],
    noise: NoiseModel,
    generator: Generator,
    *,
    perspective: bool = True,
    objects: bool = True,
) -> Sight:
    """What a 2D network says of bodies in the camera frame: seen joints with the front end's noise, hidden ones
    guessed.

    Hidden is what the body hides itself (the Cylinder Man) and, unless there are none, what objects hide.
    """
    body = joints[:, :, BODY22_TO_H36M17]
    xy = joints[..., :2] / joints[..., 2:] if perspective else joints[..., :2]
    noisy, evidence = (values[:, :, BODY22_TO_H36M17] for values in noise.sample(xy, generator))
    guessed, doubt = (values[:, :, BODY22_TO_H36M17] for values in guess(xy, generator))
    modes = [(1 - sum(share for share, _ in OBJECTS), gaps.nothing), *OBJECTS]
    covered = ~gaps.choose((body.shape[0], body.shape[1], body.shape[2]), generator, modes) & objects
    hidden = cylinders.hidden(body, H36M17, perspective=perspective) | covered
    return Sight(
        xy=torch.where(hidden.unsqueeze(-1), guessed, noisy),
        evidence=torch.where(hidden, doubt, evidence),
        truth_2d=xy[:, :, BODY22_TO_H36M17],
        truth_3d=body - body[:, :, ROOT, None],
        hidden=hidden,
        there=torch.ones_like(hidden),
        annotated=torch.ones_like(hidden),
    )


def look(
    solid: Sequences, flat: Sequences | Footage | None, noise: NoiseModel, recipe: Recipe, generator: Generator
) -> Sight:
    """The sequences of a step: bodies, cameras, what a 2D network says of them.

    Arguments:
        solid: motion whose 3D is used.
        flat: motion whose 3D is not, or real video.
    """
    without = 0 if flat is None else recipe.without
    joints = solid.draw(recipe.batch - without, generator)
    augmented = round(recipe.augmentation * len(joints))
    sights = (
        [see(virtual(joints[:augmented], generator), noise, generator, perspective=False, objects=recipe.objects)]
        if augmented
        else []
    )
    filmed = joints[augmented:]
    if without and isinstance(flat, Sequences):
        filmed = torch.cat([filmed, flat.draw(without, generator)])
    if len(filmed):
        cameras = torch.randint(len(DIRECTIONS), (len(filmed),), generator=generator)
        sights.append(see(studio(filmed, cameras), noise, generator, objects=recipe.objects))
    if without and isinstance(flat, Footage):
        sights.append(flat.draw(without, generator))
    sight = Sight(*(torch.cat(parts) for parts in zip(*(vars(one).values() for one in sights), strict=True)))
    return replace(sight, truth_3d=sight.truth_3d[: len(joints)])


def believe(sight: Sight, recipe: Recipe) -> Batch:
    """The batch of what is reliable; of everything that is there, where the recipe knows no occlusion."""
    picture = frame(sight.xy, sight.there & (sight.evidence >= recipe.least))
    return Batch(
        picture, picture.to_units(sight.truth_2d), sight.annotated, sight.there & ~picture.believed, sight.truth_3d
    )


def fill_loss(network: nn.Module, batch: Batch) -> Terms:
    """First stage: OANet eq. 3."""
    return {"2d": losses.squared_2d(network(batch.picture), batch.truth_2d, batch.picture.believed & batch.annotated)}


def lift_loss(network: nn.Module, batch: Batch, recipe: Recipe, *, joint: bool = False) -> Terms:
    """Second stage: OANet eq. 6 with the last term of eq. 9, and what the discriminator learns.

    Arguments:
        joint: third stage: the 2D TCN's own loss too, so that the sum is eq. 9.
    """
    answer, verdict = network(batch.picture, batch.truth_3d if recipe.adversarial else None)
    share = batch.labelled / len(answer.xyz)
    terms = {"3d": share * losses.squared_3d(answer.xyz[: batch.labelled], batch.truth_3d)}
    if share < 1:
        terms |= _flat_terms(answer.xyz[batch.labelled :], batch, recipe, 1 - share)
    if recipe.symmetry:
        terms["symmetry"] = recipe.symmetry * len(losses.SYMMETRIC_BONES) * losses.symmetry(answer.xyz, H36M17)
    if verdict is not None:
        terms["adversarial"] = recipe.adversarial * losses.adversarial(verdict.answer)
        terms["discrimination"] = losses.discrimination(verdict.real, verdict.caught)
    if joint and recipe.refine:
        terms["2d"] = losses.squared_2d(answer.xy, batch.truth_2d, batch.picture.believed & batch.annotated)
    return terms


def _flat_terms(xyz: Float[Tensor, "flat time 17 3"], batch: Batch, recipe: Recipe, share: float) -> Terms:
    """What is learnt from sequences without 3D: the terms with (1 - zeta) of eq. 6 and 8."""
    without = slice(batch.labelled, None)
    terms = {"projection": share * losses.projection(xyz, batch.truth_2d[without], batch.picture.believed[without])}
    if recipe.regularisation:
        terms["regularisation"] = (
            recipe.regularisation * share * losses.regularisation(xyz, batch.occluded[without], H36M17)
        )
    return terms
