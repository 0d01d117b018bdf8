"""The networks of Skeleton-guided Shape Fitting: ShapeInit, Skeleton2Pose, ShapeOpt (HUPOR's supplement, section
2.2).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from occlupose.bodies.body import SEGMENTS, BodyModel
from occlupose.bodies.fitting import TWISTED, BodyFit
from occlupose.methods.hupor.ssf.people import PersonCrops
from occlupose.methods.hupor.ssf.reconstruct import reconstruct
from occlupose.networks.resnet import RESNET34, ResNet
from occlupose.skeletons import BODY26

JOINTS = len(BODY26)

InputType = Literal["image", "mask"]
"""What ShapeInit looks at: the picture, as published; or the mask and a heatmap of each joint, which needs no pictures
(ours).
"""

CHANNELS: dict[InputType, int] = {"image": 3, "mask": 2 + JOINTS}

HIDDEN = (1024, 512)
"""Widths of the fully connected layers (supplement, section 2.2). Read as two layers, for ResNet-34 gives 512
features.
"""

HEATMAP_DIVISOR = 32
"""A joint's heatmap has a standard deviation of the crop's side divided by this; ours."""


class SSFOutput:
    """What the networks say of some people, before and after ShapeOpt. No dataclass: Fabric refuses frozen ones."""

    def __init__(self, first: BodyFit, final: BodyFit, twist: Float[Tensor, "batch 8"]) -> None:
        self.first = first
        self.final = final
        self.twist = twist


def linear_layers(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers, each followed by a ReLU."""
    return nn.Sequential(
        *(
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (nn.Linear(inputs, outputs), nn.ReLU(inplace=True))
        )
    )


class ShapeInit(nn.Module):
    """ResNet-34, FC(1024, 512), output: how somebody is built, as logits of the shape's range, and (cos, sin) of each
    limb's twist.
    """

    def __init__(
        self,
        shape: int,
        *,
        look: InputType = "image",
        blocks: tuple[int, ...] = RESNET34,
        width: int = 64,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.resnet = ResNet(blocks, width, inputs=CHANNELS[look])
        self.hidden = linear_layers((self.resnet.features, *hidden))
        self.output = nn.Linear(hidden[-1], shape + 2 * len(TWISTED))
        self.shape = shape
        init_near_zero(self.output)

    def forward(
        self, picture: Float[Tensor, "batch channel size size"]
    ) -> tuple[Float[Tensor, "batch shape"], Float[Tensor, "batch 8 2"]]:
        """Begins with the ordinary shape and without twist."""
        shape, twist = self.output(self.hidden(self.resnet(picture))).split((self.shape, 2 * len(TWISTED)), 1)
        return shape, twist.unflatten(1, (-1, 2)) + torch.tensor([1.0, 0.0])


class ShapeOpt(nn.Module):
    """What is to be changed: a 4-layer CNN on the mask, FC(1024, 512), then FC(512, 512) of that and of the
    reconstructed body.

    Of the body it is told shape, twist, pose, joints relative to the pelvis, and how far each of the skeleton's joints
    is from its own (the last is ours). Kernels 3, stride 2, channels doubling, and that the map is flattened, are ours:
    the paper gives none.

    Arguments:
        shape: numbers of a shape.
        size: of the mask, px.
        width: channels of the first convolution.
    """

    def __init__(self, shape: int, *, size: int = 256, width: int = 32, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__()
        channels = [2, *(width << stage for stage in range(4))]
        convolutions = [
            layer
            for inputs, outputs in pairwise(channels)
            for layer in (
                nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )
        ]
        side = -(-size // 16)
        self.cnn = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(min(side, 4)), nn.Flatten())
        self.hidden = linear_layers((channels[-1] * min(side, 4) ** 2, *hidden))
        told = shape + 2 * len(TWISTED) + 9 * len(SEGMENTS) + 2 * 3 * JOINTS
        self.joined = linear_layers((hidden[-1] + told, hidden[-1], hidden[-1]))
        self.output = nn.Linear(hidden[-1], shape + len(TWISTED))
        self.shape = shape
        init_near_zero(self.output)

    def forward(
        self,
        mask: Float[Tensor, "batch 2 size size"],
        joints: Float[Tensor, "batch 26 3"],
        shape: Float[Tensor, "batch shape"],
        twist: Float[Tensor, "batch 8"],
        body: BodyFit,
    ) -> tuple[Float[Tensor, "batch shape"], Float[Tensor, "batch 8"]]:
        """What to add to the shape's logits, and to the twists (radians)."""
        relative = body.joints - body.joints[:, BODY26.index("pelvis")]
        missed = (joints - body.joints).nan_to_num()
        told = [
            shape,
            twist.cos(),
            twist.sin(),
            body.pose.flatten(1),
            relative.flatten(1),
            ERROR_SCALE * missed.flatten(1),
        ]
        joined = self.joined(torch.cat([self.hidden(self.cnn(mask)), *told], 1))
        shape_change, twist_change = self.output(joined).split((self.shape, len(TWISTED)), 1)
        return shape_change, twist_change


ERROR_SCALE = 10.0
"""Distances between joints are told in decimetres, so that they count beside the rest; ours."""


def init_near_zero(output: nn.Linear) -> None:
    """Lets a layer begin with answers near nothing."""
    nn.init.normal_(output.weight, std=1e-3)
    nn.init.zeros_(output.bias)


class SSF(nn.Module):
    """ShapeInit, Skeleton2Pose, ShapeOpt, Skeleton2Pose.

    Arguments:
        body: what is fitted.
        look: what ShapeInit looks at.
        size: of the crops, px.
        blocks, width: of its ResNet.
        cnn: channels of ShapeOpt's first convolution.
        hidden: widths of the fully connected layers.
    """

    def __init__(
        self,
        body: BodyModel,
        *,
        look: InputType = "image",
        size: int = 256,
        blocks: tuple[int, ...] = RESNET34,
        width: int = 64,
        cnn: int = 32,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.body = body
        self.look = look
        self.size = size
        self.blocks = blocks
        self.width = width
        self.cnn = cnn
        self.hidden = hidden
        count = len(body.shape_names)
        self.init = ShapeInit(count, look=look, blocks=blocks, width=width, hidden=hidden)
        self.opt = ShapeOpt(count, size=size, width=cnn, hidden=hidden)

    def forward(self, people: PersonCrops, believed: Bool[Tensor, "26"] | None = None) -> SSFOutput:
        """Bodies in the camera frame, where the skeletons are.

        Arguments:
            believed: joints that bodies are moved to and judged by; the others only tell how the body is turned.
        """
        logits, direction = self.init(network_input(people, self.look))
        twist = torch.atan2(direction[..., 1], direction[..., 0])
        shape = self.to_shape(logits)
        first = reconstruct(people.joints, self.body, shape, twist, believed)
        mask = torch.stack([people.seen, people.open], 1)
        shape_change, twist_change = self.opt(mask, people.joints, shape, twist, first)
        twist = twist + twist_change
        shape = self.to_shape(logits + shape_change)
        return SSFOutput(first, reconstruct(people.joints, self.body, shape, twist, believed), twist)

    def to_shape(self, logits: Float[Tensor, "batch shape"]) -> Float[Tensor, "batch shape"]:
        """A shape within its range, the ordinary one at 0."""
        low = self.body.low
        span = self.body.high - self.body.low
        return low + span * torch.sigmoid(logits + torch.logit((self.body.neutral - low) / span))


def network_input(people: PersonCrops, look: InputType) -> Float[Tensor, "person channel size size"]:
    """What ShapeInit sees of people."""
    if look == "image":
        return (people.image - MEAN[:, None, None]) / STD[:, None, None]
    return torch.cat([people.seen[:, None], people.open[:, None], joint_heatmaps(people)], 1)


MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
"""Of the pictures that checkpoints of ResNets have seen, RGB."""


def joint_heatmaps(people: PersonCrops) -> Float[Tensor, "person 26 size size"]:
    """A Gaussian of height 1 at each joint; nothing where it is unknown or behind the camera."""
    flat = people.joints / people.joints[..., 2:].clamp_min(0.05)
    place = torch.einsum("pxc,pjc->pjx", people.lens, flat)
    cell = torch.arange(people.size)
    columns, rows = (
        torch.exp(-((cell - place[..., axis, None]) ** 2) / (2 * (people.size / HEATMAP_DIVISOR) ** 2)).nan_to_num()
        for axis in (0, 1)
    )
    return rows[..., :, None] * columns[..., None, :]
