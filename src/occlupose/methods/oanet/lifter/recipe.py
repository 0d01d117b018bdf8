"""How the lifter that we ship was trained: data, virtual people, what goes missing, losses, schedule."""

from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.oanet.lifter.inputs import Inputs, doubt, prepare
from occlupose.methods.oanet.lifter.views import Views, body, look
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.networks.tcn import STRIDE
from occlupose.occlusion import cylinders, gaps
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import BELIEVED, NoiseModel, guess
from occlupose.training.loop import Optimisation, Terms


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run of the lifter depends on.

    Raises:
        OccluposeError: a window that the networks cannot take, or no channels or sequences.
    """

    name: str = "oanet_lifter"
    width: int = 256
    depth: int = 2
    batch: int = 11
    window: int = 96
    """Frames of a training sequence."""
    masks: bool = True
    """Occlusion awareness: joints go missing in training. False is the baseline that has never seen one missing."""
    complete: float = 0.4
    """Share of sequences in which the 3D network gets everything. For the 2D network something goes missing in each."""
    hidden: float = 2.0
    """Weight of a joint that is not seen, in the 3D loss, against one that is; ours."""
    noise: float = 0.6
    """Share of sequences with the front end's noise."""
    guessed: float = 0.5
    """Share of the sequences with noise in which the front end guesses hidden joints, and is believed as often as was
    measured.
    """
    h36m_input: float = 0.35
    """Share of sequences whose 2D comes in Human3.6M's joints; the others have COCO's."""
    views: Views = field(default_factory=Views)
    optimisation: Optimisation = field(default_factory=Optimisation)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"width": 1, "depth": 0, "batch": 1}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
        if self.window < 2 * STRIDE or self.window % STRIDE:
            raise OccluposeError(
                f"window {self.window}: the networks take {2 * STRIDE} frames or more, in multiples of {STRIDE}"
            )


@dataclass
class Sight:
    """What is left to see of the people of a batch, and their true 2D joints."""

    seen: Bool[Tensor, "batch time 22"]
    fooled: Bool[Tensor, "batch time 22"]
    """Which of them are hidden in truth, and only guessed."""
    inputs: Inputs
    truth: Float[Tensor, "batch time 22 2"]
    """In the units of the inputs."""


@dataclass
class Batch:
    """Network input and truth."""

    given: Bool[Tensor, "batch 1 22"]
    """Which joints the 2D skeleton has."""
    fill: Sight
    """For the 2D network: something is missing always, for only there it has something to learn."""
    lift: Sight
    """For the 3D network: the same people, some of them complete."""
    truth_3d: Float[Tensor, "batch time 17 3"]


def make_batch(sequences: MocapWindows, noise: NoiseModel, recipe: Recipe, generator: Generator) -> Batch:
    """The batch of a step: bodies, cameras, projections, noise, and what goes missing."""
    xyz = look(body(sequences.draw(recipe.batch, generator), recipe.views, generator), recipe.views, generator)
    rays = xyz[..., :2] / xyz[..., 2:]
    batch = len(xyz)
    given = _given(batch, recipe.h36m_input, generator)
    noisy, evidence = noise.sample(rays, generator)
    with_noise = torch.rand(batch, 1, 1, generator=generator) < recipe.noise
    observed = torch.where(with_noise.unsqueeze(-1), noisy, rays)
    wrong = torch.exp(0.12 * torch.randn(batch, 1, 1, 1, generator=generator).clamp(-2, 2))
    wrong = torch.where(torch.rand(batch, 1, 1, 1, generator=generator) < recipe.views.wrong_focal, wrong, 1.0)

    def sight(complete: float) -> Sight:
        seen = given.expand(rays.shape[:-1])
        fooled = torch.zeros(rays.shape[:-1], dtype=torch.bool)
        shown = observed
        if recipe.masks:
            left = _seen(xyz, complete, generator)
            if recipe.guessed:
                guesses, belief = guess(rays, generator)
                guessing = with_noise & (torch.rand(batch, 1, 1, generator=generator) < recipe.guessed)
                fooled = given & guessing & ~left & (belief >= BELIEVED)
                shown = torch.where(fooled.unsqueeze(-1), guesses, observed)
            seen = (seen & left & ((evidence >= BELIEVED) | ~with_noise)) | fooled
        return _sight(rays * wrong, shown * wrong, seen, fooled)

    fill = sight(complete=0.0)
    lift = sight(recipe.complete)
    truth_3d = (xyz[:, :, BODY22_TO_H36M17] - xyz[:, :, BODY22_TO_H36M17[:1]]) @ lift.inputs.rotation.mT
    return Batch(given, fill, lift, truth_3d)


def _sight(
    rays: Float[Tensor, "batch time 22 2"],
    observed: Float[Tensor, "batch time 22 2"],
    seen: Bool[Tensor, "batch time 22"],
    fooled: Bool[Tensor, "batch time 22"],
) -> Sight:
    """Inputs from what is observed of the joints that are seen, and beside them where all joints are."""
    inputs = prepare(observed, seen)
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ inputs.rotation.mT
    return Sight(seen, fooled, inputs, turned[..., :2] / turned[..., 2:].clamp_min(0.1) / inputs.size.unsqueeze(-1))


def _given(batch: int, h36m: float, generator: Generator) -> Bool[Tensor, "batch 1 22"]:
    """Which joints the 2D skeleton of each sequence has."""
    sets = torch.tensor([[name in skeleton.joints for name in BODY22.joints] for skeleton in (COCO17, H36M17)])
    return sets[(torch.rand(batch, generator=generator) < h36m).long()].unsqueeze(1)


MODES: list[tuple[float, gaps.MaskGenerator]] = [
    (0.04, gaps.no_mask),
    (0.12, gaps.random_joints),
    (0.03, gaps.random_frames),
    (0.05, gaps.person_gap),
    (0.03, gaps.whole_joints),
    (0.04, partial(gaps.limb_gaps, skeleton=BODY22)),
    (0.66, partial(gaps.random_segments, skeleton=BODY22)),
    (0.03, gaps.every_nth_frame),
]
"""How joints go missing, and how often; the shares are ours. Long gaps take most learning, so that most sequences have
several.
"""


def _seen(
    xyz: Float[Tensor, "batch time 22 3"], complete: float, generator: Generator
) -> Bool[Tensor, "batch time 22"]:
    """What stays visible: nothing hidden in the share `complete`; else gaps, or self-occlusion, or both."""
    shape = (xyz.shape[0], xyz.shape[1], xyz.shape[2])
    hides_itself = torch.rand(shape[0], generator=generator) < 0.3
    by_itself = torch.zeros(shape, dtype=torch.bool)
    by_itself[hides_itself] = cylinders.self_occluded(xyz[hides_itself], BODY22)
    seen = gaps.choose_mask(shape, generator, MODES) & ~by_itself
    return seen | (torch.rand(shape[0], 1, 1, generator=generator) < complete)


def loss(network: nn.Module, batch: Batch, hidden: float) -> Terms:
    """OANet eq. 9 without its adversarial and 2D-only terms: 2D completion, 3D position, and symmetry with the paper's
    0.2.

    Joints that went missing and joints that the 2D skeleton never has are two terms: the latter are many times as many,
    and so easy that they would be all that is learnt. Frames of which nothing is known count in neither: they have no
    size that errors could be measured by, and would be half of the sum. That, and all weights but that of symmetry, are
    ours.
    """
    complete, xyz = network(batch.lift.inputs.channels, batch.fill.inputs.channels)
    somebody = (doubt(batch.fill.inputs.channels) < 1).any(-1, keepdim=True)
    weight = torch.where((batch.lift.seen & ~batch.lift.fooled) | ~batch.given, 1.0, hidden)[..., BODY22_TO_H36M17]
    return {
        "position": losses.position_3d(xyz, batch.truth_3d, weight),
        "velocity": losses.velocity_3d(xyz, batch.truth_3d),
        "completion": losses.completion_2d(complete, batch.fill.truth, somebody & batch.given & ~batch.fill.seen),
        "extension": 0.3 * losses.completion_2d(complete, batch.fill.truth, somebody & ~batch.given),
        "symmetry": 0.2 * losses.symmetry(xyz, H36M17),
    }
