"""How the networks of Skeleton-guided Shape Fitting are trained: data, losses, schedule (HUPOR's supplement, section
2.2).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from occlupose.bodies.body import BodyModel
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf import losses
from occlupose.methods.hupor.ssf.network import HIDDEN, SSF, InputType
from occlupose.methods.hupor.ssf.people import CROP_SIZE, PersonCrops, to_body26
from occlupose.methods.hupor.ssf.silhouette import inscribed_spheres, render_silhouette
from occlupose.networks.resnet import RESNET18, RESNET34
from occlupose.skeletons import BODY26, H36M17, MPI15, convert
from occlupose.training.loop import Optimisation, Terms

LABELLING_RATE = 1e-5
"""Learning rate of the generation of labels (HUPOR's supplement, section 2.2)."""

SKELETONS = (BODY26, H36M17, MPI15)
"""The joints that a batch is given, each as often, so that the networks take skeletons of all these; ours."""


@dataclass(frozen=True)
class SSFRecipe:
    """Everything that the weights depend on. The defaults are the published ones; how many people there are is ours.

    Raises:
        OccluposeError: a number that cannot be.
    """

    name: str = "ssf"
    look: InputType = "image"
    """What ShapeInit looks at: the picture, or mask and joints."""
    size: int = CROP_SIZE
    """Pixels across and down of a crop."""
    blocks: tuple[int, int, int, int] = RESNET34
    width: int = 64
    """Channels of the ResNet's first stage."""
    cnn: int = 32
    """Channels of ShapeOpt's first convolution; ours."""
    hidden: tuple[int, int] = HIDDEN
    weights: losses.SSFLossWeights = field(default_factory=lambda: losses.TRAINING)
    scenes: int = 5000
    """Synthetic scenes whose people are learnt from."""
    people: tuple[int, int] = (1, 6)
    """Fewest and most in a scene."""
    batch: int = 32
    epochs: int = 150
    drops: tuple[int, ...] = (50, 100)
    """Epochs at which the learning rate falls to a tenth."""
    learning_rate: float = 1e-3
    seed: int = 0
    save_every: int = 500
    log_every: int = 100

    def __post_init__(self) -> None:
        for name, least in {"size": 32, "width": 1, "cnn": 1, "scenes": 1, "batch": 2, "epochs": 1}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
        if self.look not in ("image", "mask"):
            raise OccluposeError(f"look {self.look}: ShapeInit looks at the image, or at the mask")
        if min(*self.blocks, *self.hidden) < 1:
            raise OccluposeError(f"blocks {self.blocks}, hidden {self.hidden}: each must be 1 or more")

    def schedule(self, people: int) -> Optimisation:
        """For so many people: Adam at a rate that falls to a tenth at some epochs; the last weights are kept."""
        return Optimisation(
            steps=self.epochs * max(1, people // self.batch),
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            warm_up_steps=1,
            max_grad_norm=float("inf"),
            ema_decay=0.0,
            milestones=tuple(drop / self.epochs for drop in self.drops),
            save_every=self.save_every,
            log_every=self.log_every,
            precision="32-true",
        )

    def build(self, body: BodyModel) -> SSF:
        """The networks, untrained."""
        return SSF(
            body, look=self.look, size=self.size, blocks=self.blocks, width=self.width, cnn=self.cnn, hidden=self.hidden
        )


PUBLISHED = SSFRecipe()

SMALL = SSFRecipe(
    name="ssf.synth",
    look="mask",
    size=96,
    blocks=RESNET18,
    width=16,
    cnn=16,
    hidden=(256, 128),
    scenes=1200,
    epochs=8,
    drops=(5, 7),
    save_every=100,
    log_every=20,
)
"""Two cores and no pictures: narrower, shallower, smaller crops, and a quarter of an hour. Ours."""

RECIPES = {"published": PUBLISHED, "small": SMALL}


@dataclass
class SSFBatch:
    """People, and how they are built and hold themselves."""

    people: PersonCrops
    believed: Bool[Tensor, "26"]
    shape: Float[Tensor, "batch shape"]
    pose: Float[Tensor, "batch 17 3 3"]


@dataclass(frozen=True, eq=False)
class SSFDataset:
    """People to learn from. Masks and pictures lie in bytes, for there are many.

    Attributes:
        joints, lens, seen, open, image: as of `People`, the last three times 255.
        shape, pose: how they are built and hold themselves, camera frame.
    """

    joints: Float[Tensor, "person 26 3"]
    lens: Float[Tensor, "person 2 3"]
    seen: Tensor
    open: Tensor
    image: Tensor
    shape: Float[Tensor, "person shape"]
    pose: Float[Tensor, "person 17 3 3"]

    def __len__(self) -> int:
        return len(self.joints)

    def draw(self, count: int, generator: Generator) -> SSFBatch:
        """So many of them, and what is given of their joints. One skeleton for all of a batch."""
        which = torch.randint(len(self), (count,), generator=generator)
        skeleton = SKELETONS[int(torch.randint(len(SKELETONS), (), generator=generator))]
        joints, believed = to_body26(convert(self.joints[which].numpy(), BODY26, skeleton), skeleton)
        seen, open_, image = (values[which].float() / 255 for values in (self.seen, self.open, self.image))
        return SSFBatch(
            PersonCrops(joints, self.lens[which], seen, open_, image), believed, self.shape[which], self.pose[which]
        )


def ssf_loss(network: nn.Module, batch: SSFBatch, body: BodyModel, weights: losses.SSFLossWeights) -> Terms:
    """L of HUPOR's supplement, section 2.2. ShapeInit's own bodies learn from L_theta, L_beta and L_pos, ShapeOpt's
    from all four; ours.
    """
    answer = network(batch.people, batch.believed)
    joints = batch.people.joints
    terms = dict[str, Tensor]()
    for name, fitted in (("first ", answer.first), ("", answer.final)):
        if weights.theta:
            terms[f"{name}theta"] = weights.theta * losses.pose_loss(fitted.pose, batch.pose)
        if weights.beta:
            terms[f"{name}beta"] = weights.beta * losses.shape_loss(fitted.shape, batch.shape, body.high - body.low)
        terms[f"{name}pos"] = weights.pos * losses.position_loss(fitted.joints, joints, batch.believed)
    if weights.sil:
        lens, seen, open_ = batch.people.on_grid()
        final = answer.final
        outline = render_silhouette(
            *inscribed_spheres(body)(final.pose, final.shape, final.translation), lens, seen.shape[-1]
        )
        terms["sil"] = weights.sil * losses.silhouette_loss(outline, seen, open_)
    return terms
