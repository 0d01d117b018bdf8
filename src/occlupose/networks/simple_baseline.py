"""Simple Baselines (Xiao et al. 2018, "Simple Baselines for Human Pose Estimation and Tracking"): a ResNet, three
transposed convolutions and a 1x1 convolution to a map of every joint.

Names in the state dict are those of MMPose 1.x: `backbone.` as torchvision has it, `head.deconv_layers.`,
`head.final_layer.`
"""

from jaxtyping import Float
from torch import Tensor, nn

from occlupose.networks.resnet import RESNET18, RESNET50, RESNET101, RESNET152, BasicBlock, Bottleneck, ResNet

NARROW = 0.001
"""Standard deviation of a head's weights before training (Xiao et al., in their code)."""


class HeatmapHead(nn.Module):
    """Features to maps: transposed convolutions of 4x4 and stride 2, each with normalisation and ReLU, and then a 1x1
    convolution.

    Xiao section 2; without transposed convolutions it is the head of HRNet, with two of them the classic one of
    ViTPose.

    Arguments:
        inputs: channels of the features.
        joints: maps.
        widths: channels after each transposed convolution; none is the 1x1 convolution alone.
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
        narrow(self)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch joint height width"]:
        """Maps, 2^len(widths) times as large as the features."""
        return self.final_layer(self.deconv_layers(x))


def narrow(head: nn.Module) -> None:
    """Gives every convolution of a head small weights and no bias, as its authors do, so that maps begin near zero."""
    for part in head.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=NARROW)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class SimpleBaseline(nn.Module):
    """Pictures of one person in, a map of every joint at a quarter of their size out. Xiao figure 1.

    Arguments:
        backbone: of four stages.
        joints: maps.
        widths: of the three transposed convolutions.
    """

    def __init__(self, backbone: ResNet, joints: int = 17, widths: tuple[int, ...] = (256, 256, 256)) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = HeatmapHead(backbone.features, joints, widths)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch joint y x"]]:
        """Maps of ImageNet-normalised pictures whose sides are multiples of 32."""
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
