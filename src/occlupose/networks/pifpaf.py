"""PifPaf (Kreiss et al., CVPR 2019, "PifPaf: Composite Fields for Human Pose Estimation"): images of several people to
intensity fields of joints and association fields of limbs, at an eighth of their resolution.

A ResNet without its pooling layer reduces the image to a sixteenth; each head is a 1x1 convolution and a pixel shuffle,
which doubles the resolution (section 3.2).

The names of submodules are those in weight files.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from occlupose.codecs.composite_fields import AssociationField, IntensityField
from occlupose.networks.movenet_features import MoveNetBackbone
from occlupose.networks.resnet import RESNET18, RESNET50, BasicBlock, Bottleneck, ResNet
from occlupose.networks.simple_baseline import init_head

STRIDE = 8
"""Pixels of the image in a cell of the fields."""

SHUFFLE = 2
"""Factor of the resolution of a head."""

JOINT_NUMBERS = 5
"""Numbers of an intensity field: confidence, offset (2), spread, scale."""

LIMB_NUMBERS = 9
"""Numbers of an association field: confidence, two offsets (4), two spreads, two scales. The paper has no scales."""

INITIAL_CONFIDENCE = -4.0
"""Logit of the confidence before training, small because most cells are empty (ours)."""


@dataclass
class PifPafFields:
    """The output of the network; confidences are logits, spreads and scales logarithms."""

    joints: IntensityField
    limbs: AssociationField


class CompositeHead(nn.Module):
    """Features to a composite field, of twice the resolution.

    Arguments:
        inputs: channels of the features.
        count: of joints or limbs.
        numbers: of each.
    """

    def __init__(self, inputs: int, count: int, numbers: int) -> None:
        super().__init__()
        self.count = count
        self.numbers = numbers
        self.conv = nn.Conv2d(inputs, count * numbers * SHUFFLE**2, 1)
        self.shuffle = nn.PixelShuffle(SHUFFLE)
        init_head(self)
        assert self.conv.bias is not None
        self.conv.bias.data.unflatten(0, (count, numbers, -1))[:, 0] = INITIAL_CONFIDENCE

    def forward(self, features: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch count number 2*y 2*x"]:
        return self.shuffle(self.conv(features)).unflatten(1, (self.count, self.numbers))


class PifPaf(nn.Module):
    """Images of several people to composite fields.

    Arguments:
        backbone: without a pooling layer.
        joints: number of intensity fields.
        limbs: number of association fields.
    """

    def __init__(self, backbone: ResNet | MoveNetBackbone, joints: int = 17, limbs: int = 19) -> None:
        super().__init__()
        self.backbone = backbone
        self.joints = CompositeHead(backbone.features, joints, JOINT_NUMBERS)
        self.limbs = CompositeHead(backbone.features, limbs, LIMB_NUMBERS)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> PifPafFields:
        """Fields of ImageNet-normalised images whose sides are multiples of 32."""
        features = self.backbone.maps(x)
        joints = self.joints(features)
        limbs = self.limbs(features)
        return PifPafFields(
            IntensityField(joints[:, :, 0], joints[:, :, 1:3], spread=joints[:, :, 3], scale=joints[:, :, 4]),
            AssociationField(
                limbs[:, :, 0], limbs[:, :, 1:5].unflatten(2, (2, 2)), spread=limbs[:, :, 5:7], scale=limbs[:, :, 7:9]
            ),
        )


def pifpaf_r50(joints: int = 17, limbs: int = 19) -> PifPaf:
    """On ResNet-50; Kreiss table 2."""
    return PifPaf(ResNet(RESNET50, block=Bottleneck, pool=False), joints, limbs)


def pifpaf_small(joints: int = 17, limbs: int = 19) -> PifPaf:
    """On a quarter of a ResNet-18; ours, for machines without a GPU."""
    return PifPaf(ResNet(RESNET18, 16, block=BasicBlock, pool=False), joints, limbs)


def pifpaf_movenet(joints: int = 17, limbs: int = 19) -> PifPaf:
    """On the features of MoveNet MultiPose; ours, for machines without a GPU."""
    return PifPaf(MoveNetBackbone(), joints, limbs)
