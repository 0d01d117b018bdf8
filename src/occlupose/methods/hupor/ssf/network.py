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
from occlupose.networks.estimators import MEAN, STD
from occlupose.networks.resnet import RESNET34, ResNet
from occlupose.skeletons import BODY26

JOINTS = len(BODY26)

InputType = Literal["image", "mask"]
"""The input of ShapeInit: the image, as published; or the mask and a heatmap of each joint, which needs no images
(ours).
"""

CHANNELS: dict[InputType, int] = {"image": 3, "mask": 2 + JOINTS}

HIDDEN = (1024, 512)
"""Widths of the fully connected layers (supplement, section 2.2); two layers, since ResNet-34 has 512 features."""

HEATMAP_DIVISOR = 32
"""The standard deviation of a joint's heatmap is the crop's side divided by this; ours."""

ERROR_SCALE = 10.0
"""ShapeOpt receives errors of joints in decimetres, which match the scale of its other inputs; ours."""


class SSFOutput:
    """Bodies before and after ShapeOpt; not a dataclass, because Fabric refuses frozen ones."""

    def __init__(self, initial: BodyFit, final: BodyFit, twist: Float[Tensor, "batch 8"]) -> None:
        self.initial = initial
        self.final = final
        self.twist = twist


def linear_layers(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers, each followed by a ReLU."""
    layers = list[nn.Module]()
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class ShapeInit(nn.Module):
    """ResNet-34, FC(1024, 512), output: shape parameters (logits of their range), (cos, sin) of the twists."""

    def __init__(
        self,
        shape: int,
        *,
        input_type: InputType = "image",
        blocks: tuple[int, ...] = RESNET34,
        width: int = 64,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.resnet = ResNet(blocks, width, inputs=CHANNELS[input_type])
        self.hidden = linear_layers((self.resnet.features, *hidden))
        self.output = nn.Linear(hidden[-1], shape + 2 * len(TWISTED))
        self.shape = shape
        init_near_zero(self.output)

    def forward(
        self, crop: Float[Tensor, "batch channel size size"]
    ) -> tuple[Float[Tensor, "batch shape"], Float[Tensor, "batch 8 2"]]:
        """Starts at the neutral shape without twist."""
        shape, twist = self.output(self.hidden(self.resnet(crop))).split((self.shape, 2 * len(TWISTED)), 1)
        return shape, twist.unflatten(1, (-1, 2)) + torch.tensor([1.0, 0.0])


class ShapeOpt(nn.Module):
    """Corrections of shape and twist: a 4-layer CNN on the mask, FC(1024, 512), then FC(512, 512) on that and on the
    reconstructed body.

    The inputs from the body are shape, twist, pose, joints relative to the pelvis, and the error of each joint. The
    last of these, kernel 3, stride 2, doubling channels and the flattened map are ours; the paper gives none.

    Arguments:
        shape: number of shape parameters.
        size: of the mask, px.
        width: channels of the first convolution.
    """

    def __init__(self, shape: int, *, size: int = 256, width: int = 32, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__()
        channels = [2, *(width << stage for stage in range(4))]
        convolutions = list[nn.Module]()
        for inputs, outputs in pairwise(channels):
            convolution = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
            convolutions += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        side = -(-size // 16)
        self.cnn = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(min(side, 4)), nn.Flatten())
        self.hidden = linear_layers((channels[-1] * min(side, 4) ** 2, *hidden))
        inputs = shape + 2 * len(TWISTED) + 9 * len(SEGMENTS) + 2 * 3 * JOINTS
        self.joined = linear_layers((hidden[-1] + inputs, hidden[-1], hidden[-1]))
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
        """Corrections of the shape's logits and of the twists (radians)."""
        relative = body.joints - body.joints[:, BODY26.index("pelvis")]
        error = (joints - body.joints).nan_to_num()
        parts = [
            self.hidden(self.cnn(mask)),
            shape,
            twist.cos(),
            twist.sin(),
            body.pose.flatten(1),
            relative.flatten(1),
            ERROR_SCALE * error.flatten(1),
        ]
        joined = self.joined(torch.cat(parts, 1))
        shape_change, twist_change = self.output(joined).split((self.shape, len(TWISTED)), 1)
        return shape_change, twist_change


def init_near_zero(output: nn.Linear) -> None:
    """Initialises a layer with outputs near 0."""
    nn.init.normal_(output.weight, std=1e-3)
    nn.init.zeros_(output.bias)


class SSF(nn.Module):
    """ShapeInit, Skeleton2Pose, ShapeOpt, Skeleton2Pose.

    Arguments:
        body: the body model.
        input_type: of ShapeInit.
        size: of the crops, px.
        blocks, width: of its ResNet.
        cnn_width: channels of ShapeOpt's first convolution.
        hidden: widths of the fully connected layers.
    """

    def __init__(
        self,
        body: BodyModel,
        *,
        input_type: InputType = "image",
        size: int = 256,
        blocks: tuple[int, ...] = RESNET34,
        width: int = 64,
        cnn_width: int = 32,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.body = body
        self.input_type = input_type
        self.size = size
        self.blocks = blocks
        self.width = width
        self.cnn_width = cnn_width
        self.hidden = hidden
        count = len(body.shape_names)
        self.init = ShapeInit(count, input_type=input_type, blocks=blocks, width=width, hidden=hidden)
        self.opt = ShapeOpt(count, size=size, width=cnn_width, hidden=hidden)

    def forward(self, people: PersonCrops, fit_mask: Bool[Tensor, "26"] | None = None) -> SSFOutput:
        """Bodies in the camera frame, at the position of the skeletons.

        Arguments:
            fit_mask: joints that bodies are translated to and scored by; the others only determine the orientation.
        """
        logits, direction = self.init(network_input(people, self.input_type))
        twist = torch.atan2(direction[..., 1], direction[..., 0])
        shape = self.to_shape(logits)
        initial = reconstruct(people.joints, self.body, shape, twist, fit_mask)
        mask = torch.stack([people.mask, people.valid], 1)
        shape_change, twist_change = self.opt(mask, people.joints, shape, twist, initial)
        twist = twist + twist_change
        shape = self.to_shape(logits + shape_change)
        final = reconstruct(people.joints, self.body, shape, twist, fit_mask)
        return SSFOutput(initial, final, twist)

    def to_shape(self, logits: Float[Tensor, "batch shape"]) -> Float[Tensor, "batch shape"]:
        """Shape parameters within their range, the neutral shape at 0."""
        low = self.body.low
        span = self.body.high - self.body.low
        return low + span * torch.sigmoid(logits + torch.logit((self.body.neutral - low) / span))


def network_input(people: PersonCrops, input_type: InputType) -> Float[Tensor, "person channel size size"]:
    """The input of ShapeInit."""
    if input_type == "image":
        return (people.image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return torch.cat([people.mask[:, None], people.valid[:, None], joint_heatmaps(people)], 1)


def joint_heatmaps(people: PersonCrops) -> Float[Tensor, "person 26 size size"]:
    """A Gaussian of height 1 at each joint; zeros where it is unknown or behind the camera."""
    rays = people.joints / people.joints[..., 2:].clamp_min(0.05)
    xy = torch.einsum("pxc,pjc->pjx", people.intrinsics, rays)
    cell = torch.arange(people.size)
    variance = (people.size / HEATMAP_DIVISOR) ** 2
    columns = torch.exp(-((cell - xy[..., 0, None]) ** 2) / (2 * variance)).nan_to_num()
    rows = torch.exp(-((cell - xy[..., 1, None]) ** 2) / (2 * variance)).nan_to_num()
    return rows[..., :, None] * columns[..., None, :]
