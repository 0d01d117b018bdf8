"""HRNet (Sun et al. 2019, "Deep High-Resolution Representation Learning for Human Pose Estimation").

A stem reduces the image to a quarter of its resolution. A branch of that resolution runs through the whole network;
each of the stages 2, 3 and 4 adds a branch with half the resolution and twice the channels of the last one, and the
branches exchange features repeatedly. The heatmaps come from the first branch.

Names in the state dict are those of the authors' code, which MMPose and timm kept.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from occlupose.networks.resnet import BasicBlock, Bottleneck
from occlupose.networks.simple_baseline import HeatmapHead

Branches = list[Float[Tensor, "batch channel y x"]]
"""Features, fine to coarse, each with half the resolution of the one before."""


def conv_bn(inputs: int, outputs: int, size: int = 3, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """A padded convolution with batch normalisation and, by default, ReLU."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Exchange(nn.Module):
    """Basic blocks on every branch, then fusion: every branch gets the sum of all. Sun section 3, "Repeated multi-scale
    fusion".

    Finer features are downsampled by 3x3 convolutions of stride 2, coarser ones upsampled by a 1x1 convolution and
    nearest-neighbour interpolation.

    Arguments:
        widths: channels of each branch, fine to coarse.
        blocks: number on each branch.
        outputs: number of output branches, from the finest.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._resample(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def _resample(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
        """Brings the features of a branch to the resolution and channels of another."""
        if source == target:
            return nn.Identity()
        if source > target:
            up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
            return nn.Sequential(*conv_bn(widths[source], widths[target], 1, relu=False), up)
        channels = [*[widths[source]] * (target - source), widths[target]]
        steps = enumerate(pairwise(channels), start=source + 1)
        return nn.Sequential(*(conv_bn(before, after, stride=2, relu=step < target) for step, (before, after) in steps))

    def forward(self, x: Branches) -> Branches:
        processed = [branch(features) for branch, features in zip(self.branches, x, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            parts = [layer(features) for layer, features in zip(layers, processed, strict=True)]  # type: ignore[call-overload]
            fused.append(self.relu(sum(parts[1:], parts[0])))
        return fused


class HRNet(nn.Module):
    """Images to features of one or all four branches, at 1/4, 1/8, 1/16 and 1/32 of the resolution. Sun section 3,
    figure 1.

    Arguments:
        width: channels of the finest branch; they double from branch to branch.
        modules: number of exchanges in stages 2, 3 and 4.
        blocks: number on each branch of an exchange.
        stem: channels of the first two convolutions, and inner channels of the first stage's bottlenecks.
        bottlenecks: number in the first stage.
        all_branches: whether the coarser branches are outputs as well.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        stem: int = 64,
        bottlenecks: int = 4,
        all_branches: bool = False,
    ) -> None:
        super().__init__()
        self.widths = tuple(width << branch for branch in range(4))
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        first = stem * Bottleneck.expansion
        self.layer1 = nn.Sequential(*(Bottleneck(first if block else stem, first) for block in range(bottlenecks)))
        for stage, count in enumerate(modules, 2):
            widths = self.widths[:stage]
            new = nn.Sequential(conv_bn(first if stage == 2 else widths[-2], widths[-1], stride=2))
            old = [conv_bn(first, width)] if stage == 2 else [nn.Identity() for _ in widths[:-1]]
            setattr(self, f"transition{stage - 1}", nn.ModuleList([*old, new]))
            last = stage == 4 and not all_branches
            outputs = [1 if last and module == count - 1 else stage for module in range(count)]
            setattr(self, f"stage{stage}", nn.Sequential(*(Exchange(widths, blocks, each) for each in outputs)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Branches:
        """Features of ImageNet-normalised images whose sides are multiples of 32, fine to coarse."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        features = [self.layer1(x)]
        for stage in (2, 3, 4):
            *old, new = getattr(self, f"transition{stage - 1}")
            features = [*(layer(each) for layer, each in zip(old, features, strict=True)), new(features[-1])]
            features = getattr(self, f"stage{stage}")(features)
        return features


class HRNetPose(nn.Module):
    """Crops of one person to heatmaps at a quarter of their resolution. Sun section 3, "Heatmap estimation".

    Arguments:
        backbone: its finest branch is used.
        joints: number of heatmaps.
    """

    def __init__(self, backbone: HRNet, joints: int = 17) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = HeatmapHead(backbone.widths[0], joints)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch joint y x"]]:
        """Heatmaps of ImageNet-normalised images whose sides are multiples of 32."""
        return (self.head(self.backbone(x)[0]),)


def hrnet_w32(joints: int = 17) -> HRNetPose:
    """The smaller network of the paper; Sun table 1."""
    return HRNetPose(HRNet(32), joints)


def hrnet_w48(joints: int = 17) -> HRNetPose:
    """The larger network of the paper; Sun table 1."""
    return HRNetPose(HRNet(48), joints)


def hrnet_small(joints: int = 17) -> HRNetPose:
    """About half the width, one exchange and one block per stage; ours, for machines without a GPU."""
    return HRNetPose(HRNet(18, modules=(1, 1, 1), blocks=1, stem=16, bottlenecks=1), joints)
