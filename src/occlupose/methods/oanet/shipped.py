"""How the shipped preset is trained: data, augmentation, missing joints, losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.bounds import Count, Fraction, NonNegative, Seed
from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.lifter.augmentation import BodyAugmentation, augment_bodies, to_random_camera
from occlupose.methods.oanet.gap_filled_inputs import GapFilledEncoder
from occlupose.methods.oanet.inputs import OANetInputs
from occlupose.methods.oanet.network import OANetNetwork, shipped_network
from occlupose.methods.oanet.recipe import Depth, OANetRecipe
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.occlusion import cylinders, gaps
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import MIN_CONFIDENCE, NoiseModel
from occlupose.training.loop import Optimisation, Terms
from occlupose.training.run import TrainingStage


@dataclass(frozen=True)
class ShippedRecipe(OANetRecipe):
    """Configuration of a training run of the shipped preset. Probabilities are per sequence."""

    name: str = "oanet_lifter"
    width: Count = 256
    depth: Depth = 2
    batch: Count = 11
    window: int = 96
    """Frames of a training sequence."""
    occlusion_aware: bool = True
    """Joints go missing in training. False is the baseline, trained without missing joints."""
    complete_probability: Fraction = 0.4
    """Probability that the 3D network gets all joints. For the 2D network joints are missing in every sequence."""
    missing_joint_weight: NonNegative = 2.0
    """Weight of a missing joint in the 3D loss; an observed one has 1. Ours."""
    noise_probability: Fraction = 0.6
    """Probability of the front end's noise."""
    guess_probability: Fraction = 0.5
    """Probability, given noise, that the front end guesses occluded joints, with a confidence above the threshold as
    often as was measured.
    """
    h36m_probability: Fraction = 0.35
    """Probability of Human3.6M's 2D joints instead of COCO's."""
    augmentation: BodyAugmentation = field(default_factory=BodyAugmentation)
    optimisation: Optimisation = field(default_factory=Optimisation)
    seed: Seed = 0

    def network(self) -> OANetNetwork:
        return shipped_network(self.width, self.depth)

    def sampler(
        self, clips: list[MotionClip], video: Sequence[PoseSequence] = ()
    ) -> Callable[[Generator], "ShippedBatch"]:
        """A function that draws the batch of a step from motion capture.

        Raises:
            OccluposeError: there are no clips, or there is video.
        """
        if video:
            raise OccluposeError("the shipped preset does not learn from video; leave it out, or train the paper's")
        augmentation = self.augmentation
        windows = MocapWindows(clips, self.window, augmentation.speed, augmentation.still_probability)
        return partial(make_batch, windows, NoiseModel.load(), self)

    def stages(self, oanet: OANetNetwork, sample: Callable[[Generator], "ShippedBatch"]) -> list[TrainingStage]:
        """A single one, which trains both networks."""
        loss = partial(shipped_loss, missing_joint_weight=self.missing_joint_weight)
        return [TrainingStage(oanet, sample, loss=loss, optimisation=self.optimisation)]


@dataclass
class MaskedSequences:
    """The observed joints of a batch of sequences, and their true 2D joints."""

    observed: Bool[Tensor, "batch time 22"]
    false_positive: Bool[Tensor, "batch time 22"]
    """Observed joints that are in fact occluded, and only guessed."""
    inputs: OANetInputs
    truth: Float[Tensor, "batch time 22 2"]
    """Scaled as the inputs."""


@dataclass
class ShippedBatch:
    """Network input and ground truth."""

    in_skeleton: Bool[Tensor, "batch 1 22"]
    """Which joints the 2D skeleton has."""
    for_2d: MaskedSequences
    """For the 2D network: joints are always missing, since it only learns from missing joints."""
    for_3d: MaskedSequences
    """For the 3D network: the same people, some of them complete."""
    truth_3d: Float[Tensor, "batch time 17 3"]


def make_batch(windows: MocapWindows, noise: NoiseModel, recipe: ShippedRecipe, generator: Generator) -> ShippedBatch:
    """The batch of a step: bodies, cameras, projections, noise, and missing joints."""
    augmentation = recipe.augmentation
    bodies = augment_bodies(windows.draw(recipe.batch, generator), augmentation, generator)
    xyz = to_random_camera(bodies, augmentation, generator)
    rays = xyz[..., :2] / xyz[..., 2:]
    batch = len(xyz)
    in_skeleton = _skeleton_joints(batch, recipe.h36m_probability, generator)
    noisy, score = noise.sample(rays, generator)
    with_noise = torch.rand(batch, 1, 1, generator=generator) < recipe.noise_probability
    detected = torch.where(with_noise.unsqueeze(-1), noisy, rays)
    focal = torch.exp(0.12 * torch.randn(batch, 1, 1, 1, generator=generator).clamp(-2, 2))
    wrong_focal = torch.rand(batch, 1, 1, 1, generator=generator) < augmentation.wrong_focal_probability
    focal = torch.where(wrong_focal, focal, 1.0)

    def mask(complete_probability: float) -> MaskedSequences:
        observed = in_skeleton.expand(rays.shape[:-1])
        false_positive = torch.zeros(rays.shape[:-1], dtype=torch.bool)
        points = detected
        if recipe.occlusion_aware:
            visible = _visible(xyz, complete_probability, generator)
            if recipe.guess_probability:
                guesses, guess_score = noise.sample_occluded(rays, generator)
                guessing = with_noise & (torch.rand(batch, 1, 1, generator=generator) < recipe.guess_probability)
                false_positive = in_skeleton & guessing & ~visible & (guess_score >= MIN_CONFIDENCE)
                points = torch.where(false_positive.unsqueeze(-1), guesses, detected)
            observed = (observed & visible & ((score >= MIN_CONFIDENCE) | ~with_noise)) | false_positive
        return _masked(rays * focal, points * focal, observed, false_positive)

    for_2d = mask(complete_probability=0.0)
    for_3d = mask(recipe.complete_probability)
    body = xyz[:, :, BODY22_TO_H36M17]
    truth_3d = (body - body[:, :, :1]) @ for_3d.inputs.rotation.mT
    return ShippedBatch(in_skeleton, for_2d, for_3d, truth_3d)


def _masked(
    rays: Float[Tensor, "batch time 22 2"],
    detected: Float[Tensor, "batch time 22 2"],
    observed: Bool[Tensor, "batch time 22"],
    false_positive: Bool[Tensor, "batch time 22"],
) -> MaskedSequences:
    """Inputs from the observed detections, and the true joints scaled alike."""
    inputs = GapFilledEncoder()(detected, observed)
    return MaskedSequences(observed, false_positive, inputs, inputs.normalise(rays))


def _skeleton_joints(batch: int, h36m_probability: float, generator: Generator) -> Bool[Tensor, "batch 1 22"]:
    """Which joints the 2D skeleton of each sequence has."""
    sets = torch.tensor([[name in skeleton.joints for name in BODY22.joints] for skeleton in (COCO17, H36M17)])
    return sets[(torch.rand(batch, generator=generator) < h36m_probability).long()].unsqueeze(1)


MASKS: list[tuple[float, gaps.MaskGenerator]] = [
    (0.04, gaps.no_mask),
    (0.12, gaps.random_joints),
    (0.03, gaps.random_frames),
    (0.05, gaps.person_gap),
    (0.03, gaps.whole_joints),
    (0.04, partial(gaps.limb_gaps, skeleton=BODY22)),
    (0.66, partial(gaps.random_segments, skeleton=BODY22)),
    (0.03, gaps.every_nth_frame),
]
"""How joints go missing, with probabilities (ours). Long gaps are the hardest, so most sequences have several."""


def _visible(
    xyz: Float[Tensor, "batch time 22 3"], complete_probability: float, generator: Generator
) -> Bool[Tensor, "batch time 22"]:
    """Which joints are visible: all in complete sequences; in the others gaps, self-occlusion, or both."""
    shape = (xyz.shape[0], xyz.shape[1], xyz.shape[2])
    with_self_occlusion = torch.rand(shape[0], generator=generator) < 0.3
    self_occluded = torch.zeros(shape, dtype=torch.bool)
    self_occluded[with_self_occlusion] = cylinders.self_occluded(xyz[with_self_occlusion], BODY22)
    visible = gaps.choose_mask(shape, generator, MASKS) & ~self_occluded
    return visible | (torch.rand(shape[0], 1, 1, generator=generator) < complete_probability)


def shipped_loss(network: nn.Module, batch: ShippedBatch, missing_joint_weight: float) -> Terms:
    """OANet eq. 9 without its adversarial and 2D-only terms: 2D completion, 3D position, and symmetry with the paper's
    0.2.

    Missing joints (`completion`) and joints that the 2D skeleton lacks (`extension`) are separate terms: the latter are
    easier and many times more numerous, and would dominate. Frames without any observation count in neither: they have
    no scale to measure errors in, and would be half of the sum. This, and all weights but that of symmetry, are ours.
    """
    output = network(batch.for_3d.inputs, batch.for_2d.inputs)
    has_scale = (batch.for_2d.inputs.correctable < 1).any(-1, keepdim=True)
    visible = batch.for_3d.observed & ~batch.for_3d.false_positive
    weight = torch.where(visible | ~batch.in_skeleton, 1.0, missing_joint_weight)[..., BODY22_TO_H36M17]
    missing = has_scale & batch.in_skeleton & ~batch.for_2d.observed
    outside_skeleton = has_scale & ~batch.in_skeleton
    return {
        "position": losses.position_3d(output.xyz, batch.truth_3d, weight),
        "velocity": losses.velocity_3d(output.xyz, batch.truth_3d),
        "completion": losses.completion_2d(output.xy, batch.for_2d.truth, missing),
        "extension": 0.3 * losses.completion_2d(output.xy, batch.for_2d.truth, outside_skeleton),
        "symmetry": 0.2 * losses.symmetry(output.xyz, H36M17),
    }
