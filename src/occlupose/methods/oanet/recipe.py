"""How OANet's temporal networks are trained: data, losses, stages. Each row of the paper's table 2 is a recipe."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.bounds import Bounded, Count, Fraction, NonNegative, Positive, PositiveFraction, Seed
from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.oanet.camera_views import to_virtual_view
from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.methods.oanet.masked_inputs import ROOT, MaskedEncoder
from occlupose.methods.oanet.network import AdversarialOANet, OANetNetwork, Refinement2D
from occlupose.methods.oanet.windows import MocapWindows, Observations2D, VideoWindows
from occlupose.networks.tcn import STRIDE
from occlupose.occlusion import cylinders, gaps
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.skeletons import BODY22_TO_H36M17, H36M17
from occlupose.synth.noise import NoiseModel
from occlupose.synth.virtual_cameras import AngleGrid
from occlupose.training.distributed import batch_total, share_batches
from occlupose.training.loop import Optimisation, Terms
from occlupose.training.run import TrainingStage

Depth = Annotated[int, Interval(ge=0)]

OBJECT_MASKS: list[tuple[float, gaps.MaskGenerator]] = [
    (0.05, gaps.random_joints),
    (0.05, gaps.person_gap),
    (0.15, partial(gaps.limb_gaps, skeleton=H36M17)),
    (0.2, partial(gaps.random_segments, skeleton=H36M17)),
]
"""Occlusion by objects, with the probability of each mask: scattered joints and a gap as in the authors' later code;
whole limbs, several gaps and the probabilities are ours.
"""


STAGES = ("stage_2d", "stage_3d", "end_to_end")
"""Of the training, in order."""


@dataclass(frozen=True)
class OANetRecipe(Bounded):
    """Configuration of a training run of OANet's temporal networks. The defaults are the whole method at the size of
    the paper.
    Eq. 5 and 8 act on sequences without 3D only: give `labelled_fraction` below 1, or video.
    """

    name: str = "oanet"
    width: Count = 512
    """Channels of the temporal networks; twice as many at a quarter of the length (ours)."""
    depth: Depth = 0
    """Additional residual blocks at a quarter of the length (ours). Without them a network sees 45 frames, with four
    165 (`networks.tcn.receptive_field`): windows that are longer than that tell it nothing more.
    """
    window: int = 128
    """Frames of a sequence, T."""
    batch: Count = 128
    refine: bool = True
    """With the 2D TCN."""
    occlusion_aware: bool = True
    """Drop unreliable joints. False: the networks get every detected joint."""
    threshold: Fraction = MIN_CONFIDENCE
    """b: joints with a lower confidence are unreliable."""
    mask_channel: bool = False
    """The reliability mask is an input of the networks (an option; ours)."""
    symmetry_weight: NonNegative = 0.2
    """Weight of L_sym in eq. 6."""
    adversarial_weight: NonNegative = 0.1
    """Weight of L_dis in eq. 6."""
    regularisation_weight: NonNegative = 0.1
    """Weight of L_reg in eq. 9."""
    unit: Positive = 1.0
    """Unit of length of the squared errors (eq. 3 to 6), metres. The paper states none, and it decides how much the
    terms without a length weigh: in millimetres, next to nothing.
    """
    log_shares: bool = True
    """Log the share of each term in the gradient on the poses, which costs a small network a quarter of its time."""
    verdict_frames: tuple[Count, ...] = (1, 16)
    """Frames that each discriminator judges at once: single poses and short motions (ours; the paper has one, of which
    it is not clear what it judges).
    """
    virtual_view_fraction: NonNegative = 1.0
    """Sequences from virtual views that each batch has in addition, as a fraction of its 3D-supervised ones (section
    4.2; the fraction is ours).
    """
    virtual_grid: AngleGrid = "signed"
    """Reading of the paper's grid of angles (`synth.virtual_cameras.AngleGrid`)."""
    objects: bool = True
    """Objects occlude joints too, in 45 % of the sequences. False: only the body occludes itself."""
    labelled_fraction: PositiveFraction = 1.0
    """Fraction of the clips whose 3D is used."""
    unlabelled_fraction: Fraction = 0.5
    """Fraction of a batch without 3D (zeta = 0 in eq. 6), where there are clips without 3D; ours."""
    dropout: Fraction = 0.25
    """Ours."""
    stage_2d: Optimisation = field(default_factory=lambda: Optimisation(steps=50_000))
    """First stage: the 2D TCN alone, eq. 3. Splitting the paper's 100,000 steps at its higher learning rate into two
    stages of equal length is ours.
    """
    stage_3d: Optimisation = field(default_factory=lambda: Optimisation(steps=50_000))
    """Second stage: the 3D TCN and the discriminator, on the output of the 2D TCN."""
    end_to_end: Optimisation = field(default_factory=lambda: Optimisation(steps=30_000, learning_rate=1e-4))
    """Third stage: all temporal networks together, eq. 9 with L_2D^T alone for L_2D."""
    seed: Seed = 0

    @property
    def unlabelled(self) -> int:
        """Sequences of a batch without 3D, where there are clips without 3D."""
        return round(self.unlabelled_fraction * self.batch)

    @property
    def min_confidence(self) -> float:
        """Lowest confidence of a reliable joint."""
        return self.threshold if self.occlusion_aware else 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2 * STRIDE or self.window % STRIDE:
            raise OccluposeError(
                f"window {self.window}: the networks take {2 * STRIDE} frames or more, in multiples of {STRIDE}"
            )
        if not self.verdict_frames or max(self.verdict_frames) > self.window:
            raise OccluposeError(
                f"verdict_frames {self.verdict_frames}: give one number or more, none above the window, {self.window}"
            )
        if self.unlabelled >= self.batch:
            raise OccluposeError(
                f"unlabelled_fraction {self.unlabelled_fraction}: leaves no sequence with 3D in a batch of"
                f" {self.batch}; give less"
            )

    @property
    def encoder(self) -> MaskedEncoder:
        """Of the input."""
        return MaskedEncoder(self.window, self.min_confidence, self.mask_channel)

    def network(self) -> OANetNetwork:
        """The networks, before training."""
        return OANetNetwork(self.width, self.depth, refine=self.refine, dropout=self.dropout, encoder=self.encoder)

    def sampler(
        self,
        clips: list[MotionClip],
        video: Sequence[PoseSequence] = (),
        *,
        own_cameras: bool = False,
        noise: NoiseModel | None = None,
    ) -> Callable[[Generator], Observations2D]:
        """A function that draws the sequences of a step: with 3D from the labelled fraction of the clips, with 2D only
        from the other clips or from video.

        Arguments:
            video: people in real video, in 2D; used instead of the clips without 3D.
            own_cameras: as for `MocapWindows`.
            noise: of the 2D detections; by default that of `movenet`.

        Raises:
            OccluposeError: there are no clips, or a batch has no room for sequences without 3D.
        """
        labelled, unlabelled = split_labelled(clips, self.labelled_fraction)
        if self.unlabelled_fraction and (video or unlabelled) and not self.unlabelled:
            raise OccluposeError(
                f"unlabelled_fraction {self.unlabelled_fraction}: leaves no sequence without 3D in a batch of"
                f" {self.batch}; give more, or 0 for none"
            )
        without_3d: MocapWindows | VideoWindows | None = None
        if self.unlabelled_fraction and video:
            without_3d = VideoWindows(list(video), self.window)
        elif self.unlabelled_fraction and unlabelled:
            without_3d = MocapWindows(unlabelled, self.window, own_cameras=own_cameras)
        with_3d = MocapWindows(labelled, self.window, own_cameras=own_cameras)
        return partial(sample_observations, with_3d, without_3d, noise or NoiseModel.load(), self)

    def stages(self, oanet: OANetNetwork, sample: Callable[[Generator], Observations2D]) -> Iterator[TrainingStage]:
        """The 2D TCN, then the 3D TCN on its output, then both together."""
        adversarial = AdversarialOANet(oanet, self.verdict_frames)
        loss = partial(loss_3d, recipe=self)

        def batch(generator: Generator) -> OANetBatch:
            return build_batch(sample(generator), self)

        draw = share_batches(batch, self.batch)

        def stage(name: str, module: nn.Module, loss: Callable[..., Terms]) -> TrainingStage:
            seed = len(STAGES) * self.seed + STAGES.index(name)  # the same batches with and without a 2D TCN
            return TrainingStage(module, draw, loss=loss, optimisation=getattr(self, name), name=name, seed=seed)

        if oanet.tcn_2d is not None:
            yield stage("stage_2d", Refinement2D(oanet), partial(loss_2d, recipe=self))
            oanet.tcn_2d.requires_grad_(False)
        yield stage("stage_3d", adversarial, loss)
        if oanet.tcn_2d is not None:
            oanet.tcn_2d.requires_grad_(True)
        yield stage("end_to_end", adversarial, partial(loss, end_to_end=True))


def split_labelled(clips: list[MotionClip], fraction: float) -> tuple[list[MotionClip], list[MotionClip]]:
    """Clips whose 3D is used, and the others; the choice depends on the names of the clips only."""
    ranked = sorted(clips, key=lambda clip: zlib.crc32(clip.name.encode()))
    count = min(len(ranked), max(1, round(fraction * len(ranked))))
    return ranked[:count], ranked[count:]


@dataclass
class OANetBatch:
    """Network input and ground truth; 3D-supervised sequences come first."""

    inputs: OANetInputs
    truth_2d: Float[Tensor, "batch time 17 2"]
    """Normalised as the inputs; where not annotated, the detected position."""
    annotated: Bool[Tensor, "batch time 17"]
    reliable: Bool[Tensor, "batch time 17"]
    """C_b of the paper: confidence (eq. 2) of at least b = 0.3."""
    dropped: Bool[Tensor, "batch time 17"]
    """Joints that are present but not reliable."""
    truth_3d: Float[Tensor, "supervised time 17 3"]
    real_3d: Float[Tensor, "other time 17 3"]
    """As in `Observations2D`."""

    @property
    def supervised(self) -> int:
        """Number of sequences with 3D (zeta = 1)."""
        return len(self.truth_3d)


def simulate_detections(
    joints: Float[Tensor, "batch time 22 3"],
    noise: NoiseModel,
    generator: Generator,
    *,
    perspective: bool = True,
    objects: bool = True,
) -> Observations2D:
    """2D detections of bodies in the camera frame: visible joints with the noise of the front end, occluded ones
    guessed.

    Arguments:
        objects: whether objects occlude joints too, not only the body itself (the Cylinder Man).
    """
    body = joints[:, :, BODY22_TO_H36M17]
    xy = joints[..., :2] / joints[..., 2:] if perspective else joints[..., :2]
    detected, score = noise.sample(xy, generator)
    guessed, guessed_score = noise.sample_occluded(xy, generator)
    without_objects = 1 - sum(probability for probability, _ in OBJECT_MASKS)
    masks = [(without_objects, gaps.no_mask), *OBJECT_MASKS]
    covered = ~gaps.choose_mask((body.shape[0], body.shape[1], body.shape[2]), generator, masks) & objects
    occluded = cylinders.self_occluded(body, H36M17, perspective=perspective) | covered
    everywhere = torch.ones_like(occluded)
    truth = body - body[:, :, ROOT, None]
    return Observations2D(
        xy=torch.where(occluded.unsqueeze(-1), guessed[:, :, BODY22_TO_H36M17], detected[:, :, BODY22_TO_H36M17]),
        score=torch.where(occluded, guessed_score[:, :, BODY22_TO_H36M17], score[:, :, BODY22_TO_H36M17]),
        truth_2d=xy[:, :, BODY22_TO_H36M17],
        truth_3d=truth,
        real_3d=truth[:0],
        occluded=occluded,
        present=everywhere,
        annotated=everywhere,
    )


def sample_observations(
    labelled: MocapWindows,
    unlabelled: MocapWindows | VideoWindows | None,
    noise: NoiseModel,
    recipe: OANetRecipe,
    generator: Generator,
) -> Observations2D:
    """The sequences of a training step: bodies, cameras and simulated detections.

    Arguments:
        labelled: motion whose 3D is used.
        unlabelled: motion whose 3D is not used, or real video.
    """
    unlabelled_count = 0 if unlabelled is None else recipe.unlabelled
    labelled_count = recipe.batch - unlabelled_count
    virtual = round(recipe.virtual_view_fraction * labelled_count)
    observe = partial(simulate_detections, noise=noise, generator=generator, objects=recipe.objects)
    parts = [observe(labelled.film(labelled.draw(labelled_count, generator), generator))]
    if virtual:
        views = to_virtual_view(labelled.draw(virtual, generator), generator, recipe.virtual_grid)
        parts.append(observe(views, perspective=False))
    if unlabelled_count and isinstance(unlabelled, MocapWindows):
        parts.append(observe(unlabelled.film(unlabelled.draw(unlabelled_count, generator), generator)))
    if unlabelled_count and isinstance(unlabelled, VideoWindows):
        parts.append(unlabelled.draw(unlabelled_count, generator))
    names = [field.name for field in fields(Observations2D)]
    joined = Observations2D(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
    real = joined.real_3d
    if recipe.adversarial_weight:
        real = _real_poses(labelled, recipe, len(joined.xy) - virtual, virtual, generator)
    return replace(joined, truth_3d=joined.truth_3d[: labelled_count + virtual], real_3d=real)


def _real_poses(
    labelled: MocapWindows, recipe: OANetRecipe, filmed: int, virtual: int, generator: Generator
) -> Float[Tensor, "other time 17 3"]:
    """Poses for the discriminators from as many filmed and virtual views as OANet gets: were one kind of view more
    frequent among real poses, it would be rewarded whatever the pose.
    """
    views = [labelled.film(labelled.draw(filmed, generator), generator)]
    if virtual:
        views.append(to_virtual_view(labelled.draw(virtual, generator), generator, recipe.virtual_grid))
    body = torch.cat(views)[:, :, BODY22_TO_H36M17]
    return body - body[:, :, ROOT, None]


def build_batch(observations: Observations2D, recipe: OANetRecipe) -> OANetBatch:
    """Drops unreliable joints (unless the recipe is not occlusion-aware) and normalises the others."""
    reliable = observations.present & (observations.score >= recipe.min_confidence)
    inputs = recipe.encoder(observations.xy, reliable)
    return OANetBatch(
        inputs,
        truth_2d=inputs.normalise(observations.truth_2d),
        annotated=observations.annotated,
        reliable=reliable,
        dropped=observations.present & ~reliable,
        truth_3d=observations.truth_3d,
        real_3d=observations.real_3d,
    )


def loss_2d(network: nn.Module, batch: OANetBatch, recipe: OANetRecipe) -> Terms:
    """First stage: OANet eq. 3."""
    return {"2d": _loss_2d(network(batch.inputs), batch, recipe)}


def loss_3d(network: nn.Module, batch: OANetBatch, recipe: OANetRecipe, *, end_to_end: bool = False) -> Terms:
    """Second stage: OANet eq. 6 with the last term of eq. 9, and the losses of the discriminators. For the log, the
    shares of the terms in the gradient on the poses.

    Arguments:
        end_to_end: third stage: with the 2D TCN's own loss, so that the sum is eq. 9 but for L_2D^S.
    """
    output, logits = network(batch.inputs, batch.real_3d if recipe.adversarial_weight else None)
    supervised, sequences = batch_total(torch.tensor([batch.supervised, len(output.xyz)])).tolist()
    supervised_fraction = supervised / sequences
    squares = recipe.unit**-2
    error = losses.squared_3d(output.xyz[: batch.supervised], batch.truth_3d)
    terms = {"3d": squares * supervised_fraction * error}
    if supervised_fraction < 1:
        terms |= _unlabelled_terms(output.xyz[batch.supervised :], batch, recipe, 1 - supervised_fraction)
    if recipe.symmetry_weight:
        terms["symmetry"] = squares * recipe.symmetry_weight * losses.symmetry(output.xyz, H36M17)
    if logits:
        verdicts = torch.stack([losses.adversarial(each.fake) for each in logits])
        terms["adversarial"] = recipe.adversarial_weight * verdicts.mean()
    shares = gradient_shares(terms, output.xyz) if recipe.log_shares and output.xyz.requires_grad else {}
    if logits:
        errors = torch.stack([losses.discrimination(each.real, each.fake_detached) for each in logits])
        terms["discrimination"] = errors.mean()
    if end_to_end and recipe.refine:
        terms["2d"] = _loss_2d(output.xy, batch, recipe)
    return terms | shares


def gradient_shares(terms: Terms, poses: Float[Tensor, "batch time 17 3"]) -> Terms:
    """How much each term pulls at the poses: the norm of its gradient, divided by the sum of all norms. Constants,
    which change nothing as terms of a loss.
    """
    gradients = [torch.autograd.grad(term, poses, retain_graph=True)[0] for term in terms.values()]
    norms = batch_total(torch.stack([gradient.float().square().sum() for gradient in gradients])).sqrt()
    shares = norms / norms.sum().clamp_min(1e-12)
    return {f"share {name}": share for name, share in zip(terms, shares, strict=True)}


def _loss_2d(xy: Float[Tensor, "batch time 17 2"], batch: OANetBatch, recipe: OANetRecipe) -> Float[Tensor, ""]:
    """L_2D^T."""
    return recipe.unit**-2 * losses.squared_2d(xy, batch.truth_2d, batch.reliable & batch.annotated)


def _unlabelled_terms(
    xyz: Float[Tensor, "unlabelled time 17 3"], batch: OANetBatch, recipe: OANetRecipe, fraction: float
) -> Terms:
    """Loss of the sequences without 3D: the terms with (1 - zeta) of eq. 6 and 8."""
    rows = slice(batch.supervised, None)
    error = losses.projection(xyz, batch.truth_2d[rows], batch.reliable[rows])
    terms = {"projection": recipe.unit**-2 * fraction * error}
    if recipe.regularisation_weight:
        loss = losses.regularisation(xyz, batch.dropped[rows], H36M17)
        terms["regularisation"] = recipe.regularisation_weight * fraction * loss
    return terms
