"""The training recipe of Skeleton-guided Shape Fitting: data, losses, schedule (HUPOR's supplement, section 2.2)."""

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.bodies.body import BodyModel
from occlupose.bounds import Bounded, Count, NonNegative, Seed
from occlupose.methods.hupor.ssf import losses
from occlupose.methods.hupor.ssf.network import HIDDEN, SSF, InputType, SSFOutput
from occlupose.methods.hupor.ssf.people import CROP_SIZE, PersonCrops, to_body26
from occlupose.methods.hupor.ssf.silhouette import inscribed_spheres, render_silhouette
from occlupose.networks.resnet import RESNET18, RESNET34
from occlupose.skeletons import BODY26, H36M17, MPI15, convert
from occlupose.synth.layout import SceneSettings
from occlupose.training.loop import Optimisation, Terms

LABELLING_RATE = 1e-5
"""Learning rate during the generation of labels (HUPOR's supplement, section 2.2)."""

SKELETONS = (BODY26, H36M17, MPI15)
"""Batches are converted to these skeletons, equally often, so that the networks accept all of them; ours."""


@dataclass(frozen=True)
class SSFRecipe(Bounded):
    """Everything that the weights depend on. The defaults are the published ones; the number of people is ours.

    Raises:
        OccluposeError: an impossible value.
    """

    name: str = "ssf"
    input_type: InputType = "image"
    """The input of ShapeInit: the image, or mask and joints."""
    size: Annotated[int, Interval(ge=32)] = CROP_SIZE
    """Pixels along each side of a crop."""
    blocks: tuple[Count, Count, Count, Count] = RESNET34
    width: Count = 64
    """Channels of the ResNet's first stage."""
    cnn_width: Count = 32
    """Channels of ShapeOpt's first convolution; ours."""
    hidden: tuple[Count, Count] = HIDDEN
    loss_weights: losses.SSFLossWeights = field(default_factory=lambda: losses.TRAINING)
    scenes: Count = 5000
    """Number of synthetic scenes."""
    people: tuple[Count, Count] = (1, 6)
    """Minimum and maximum number of people in a scene."""
    batch: Annotated[int, Interval(ge=2)] = 32
    epochs: Count = 150
    milestones: tuple[Count, ...] = (50, 100)
    """Epochs at which the learning rate is divided by 10."""
    learning_rate: NonNegative = 1e-3
    seed: Seed = 0
    save_every: Count = 500
    log_every: Count = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scene_settings()

    def scene_settings(self) -> SceneSettings:
        """The settings of the synthetic scenes."""
        return SceneSettings(seed=self.seed, people=self.people)

    def schedule(self, people: int) -> Optimisation:
        """The schedule for this many people: Adam with a learning rate that drops at some epochs; the last weights are
        kept.
        """
        return Optimisation(
            steps=self.epochs * max(1, people // self.batch),
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            warm_up_steps=1,
            max_grad_norm=float("inf"),
            ema_decay=0.0,
            milestones=tuple(epoch / self.epochs for epoch in self.milestones),
            save_every=self.save_every,
            log_every=self.log_every,
            precision="32-true",
        )

    def build(self, body: BodyModel) -> SSF:
        """The networks, untrained."""
        return SSF(
            body,
            input_type=self.input_type,
            size=self.size,
            blocks=self.blocks,
            width=self.width,
            cnn_width=self.cnn_width,
            hidden=self.hidden,
        )


PUBLISHED = SSFRecipe()

SMALL = SSFRecipe(
    name="ssf.synth",
    input_type="mask",
    size=96,
    blocks=RESNET18,
    width=16,
    cnn_width=16,
    hidden=(256, 128),
    scenes=1200,
    epochs=8,
    milestones=(5, 7),
    save_every=100,
    log_every=20,
)
"""For two cores and without images: narrower, shallower, smaller crops; a quarter of an hour. Ours."""

RECIPES = {"published": PUBLISHED, "small": SMALL}


@dataclass
class SSFBatch:
    """People with their true shape and pose."""

    people: PersonCrops
    fit_mask: Bool[Tensor, "26"]
    shape: Float[Tensor, "batch shape"]
    pose: Float[Tensor, "batch 17 3 3"]


@dataclass(frozen=True, eq=False)
class SSFDataset:
    """People to train on. Masks and images are stored as bytes.

    Attributes:
        joints, intrinsics, mask, valid, image: as in `PersonCrops`, the last three times 255.
        shape, pose: of their bodies, camera frame.
    """

    joints: Float[Tensor, "person 26 3"]
    intrinsics: Float[Tensor, "person 2 3"]
    mask: Tensor
    valid: Tensor
    image: Tensor
    shape: Float[Tensor, "person shape"]
    pose: Float[Tensor, "person 17 3 3"]

    def __len__(self) -> int:
        return len(self.joints)

    def draw(self, count: int, generator: Generator, share: slice = slice(None)) -> SSFBatch:
        """A process's share of a batch of this many people, with the joints of one random skeleton."""
        rows = torch.randint(len(self), (count,), generator=generator)[share]
        skeleton = SKELETONS[int(torch.randint(len(SKELETONS), (), generator=generator))]
        joints, fit_mask = to_body26(convert(self.joints[rows].numpy(), BODY26, skeleton), skeleton)
        people = PersonCrops(
            joints=joints,
            intrinsics=self.intrinsics[rows],
            mask=self.mask[rows].float() / 255,
            valid=self.valid[rows].float() / 255,
            image=self.image[rows].float() / 255,
        )
        return SSFBatch(people, fit_mask, self.shape[rows], self.pose[rows])


def ssf_loss(network: nn.Module, batch: SSFBatch, body: BodyModel, weights: losses.SSFLossWeights) -> Terms:
    """L of HUPOR's supplement, section 2.2: all four terms of the bodies after ShapeOpt, and all but L_sil before it
    (ours).
    """
    output: SSFOutput = network(batch.people, batch.fit_mask)
    joints = batch.people.joints
    terms = dict[str, Tensor]()
    for name, fitted in (("initial ", output.initial), ("", output.final)):
        if weights.theta:
            terms[f"{name}theta"] = weights.theta * losses.pose_loss(fitted.pose, batch.pose)
        if weights.beta:
            terms[f"{name}beta"] = weights.beta * losses.shape_loss(fitted.shape, batch.shape, body.high - body.low)
        terms[f"{name}pos"] = weights.pos * losses.position_loss(fitted.joints, joints, batch.fit_mask)
    if weights.sil:
        intrinsics, mask, valid = batch.people.on_grid()
        final = output.final
        spheres = inscribed_spheres(body)(final.pose, final.shape, final.translation)
        silhouette = render_silhouette(*spheres, intrinsics, mask.shape[-1])
        terms["sil"] = weights.sil * losses.silhouette_loss(silhouette, mask, valid)
    return terms
