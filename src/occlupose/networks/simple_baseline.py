"""Simple Baselines (Xiao et al. 2018, "Simple Baselines for Human Pose Estimation and Tracking"): a ResNet, three
transposed convolutions and a 1x1 convolution to a heatmap for each joint.

Names in the state dict are those of MMPose 1.x: `backbone.` as torchvision has it, `head.deconv_layers.`,
`head.final_layer.`
"""

from jaxtyping import Float
from torch import Tensor, nn

from occlupose.networks.resnet import RESNET18, RESNET50, RESNET101, RESNET152, BasicBlock, Bottleneck, ResNet

HEAD_STD = 0.001
"""Standard deviation of a head's initial weights (Xiao et al., in their code)."""


class HeatmapHead(nn.Module):
    """Features to heatmaps: 4x4 transposed convolutions of stride 2, each with normalisation and ReLU, then a 1x1
    convolution.

    Xiao section 2. Without transposed convolutions it is the head of HRNet, with two the classic head of ViTPose.

    Arguments:
        inputs: channels of the features.
        joints: number of heatmaps.
        widths: channels after each transposed convolution; empty for the 1x1 convolution alone.
    """

    def __init__(self, inputs: int, joints: int, widths: tuple[int, ...] = ()) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *widths), widths, strict=False):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d((inputs, *widths)[-1], joints, 1)
        init_head(self)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch joint height width"]:
        """Heatmaps, 2^len(widths) times as large as the features."""
        return self.final_layer(self.deconv_layers(x))


def init_head(head: nn.Module) -> None:
    """Small weights and zero bias for every convolution of a head, as in the authors' code: maps start near zero."""
    for part in head.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=HEAD_STD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class SimpleBaseline(nn.Module):
    """Crops of one person to heatmaps at a quarter of their resolution. Xiao figure 1.

    Arguments:
        backbone: with four stages.
        joints: number of heatmaps.
        widths: channels of the three transposed convolutions.
    """

    def __init__(self, backbone: ResNet, joints: int = 17, widths: tuple[int, ...] = (256, 256, 256)) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = HeatmapHead(backbone.features, joints, widths)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch joint y x"]]:
        """Heatmaps of ImageNet-normalised images whose sides are multiples of 32."""
        return (self.head(self.backbone.maps(x)),)


def simple_baseline_r50(joints: int = 17) -> SimpleBaseline:
    """On ResNet-50; Xiao table 2."""
    return SimpleBaseline(ResNet(RESNET50, block=Bottleneck), joints)


def simple_baseline_r101(joints: int = 17) -> SimpleBaseline:
    """On ResNet-101; Xiao table 2."""
    return SimpleBaseline(ResNet(RESNET101, block=Bottleneck), joints)


def simple_baseline_r152(joints: int = 17) -> SimpleBaseline:
    """On ResNet-152; Xiao table 2."""
    return SimpleBaseline(ResNet(RESNET152, block=Bottleneck), joints)


def simple_baseline_small(joints: int = 17) -> SimpleBaseline:
    """On a quarter of a ResNet-18, with an eighth of the head; ours, for machines without a GPU."""
    return SimpleBaseline(ResNet(RESNET18, 16, block=BasicBlock), joints, (32, 32, 32))
