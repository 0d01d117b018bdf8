"""SRPose (Wang et al. 2023, "Lightweight Super-Resolution Head for Human Pose Estimation") on HRNet-W32.

The coarsest features give low-resolution heatmaps (LR), which are added to the features after a convolution. The
features are then refined scale by scale with those of the backbone, and at each scale a head predicts super-resolution
heatmaps (SR) by pixel shuffle, with a group of channels for each joint. The last heatmaps have the resolution of the
image and are the result; the others are for training.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from occlupose.networks.hrnet import Branches, HRNet
from occlupose.networks.simple_baseline import init_head

EMBEDDING = (16, 8, 4, 4)
"""Channels per joint in each SR head, coarse to fine. The authors' configuration, as are RATIOS and KERNELS."""

RATIOS = (8, 4, 2, 4)
"""Upsampling factor of each SR head."""

KERNELS = (3, 5, 7, 9)
"""Kernel sizes of the grouped convolutions."""


class SuperResolution(nn.Module):
    """Super-resolution head: separate channels for each joint, pixel-shuffled to larger heatmaps. Wang section 3.2.

    Arguments:
        inputs: channels of the features.
        joints: number of heatmaps.
        embedding: channels per joint.
        kernel: kernel size of the convolution on them.
        ratio: resolution of the heatmaps / of the features.
    """

    def __init__(self, inputs: int, joints: int, embedding: int, kernel: int, ratio: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(inputs, joints * embedding, 1)
        self.expand = nn.Conv2d(joints * embedding, joints * ratio**2, kernel, padding=kernel // 2, groups=joints)
        self.shuffle = nn.PixelShuffle(ratio)
        init_head(self.expand)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch joint height width"]:
        return self.shuffle(self.expand(self.embed(x).relu()))


class ConvBlock(nn.Module):
    """A depthwise 7x7 convolution and two pointwise ones with four times the width between, added to the input.

    As in ConvNeXt (Liu et al. 2022), with batch normalisation.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(width, width, 7, padding=3, groups=width), nn.BatchNorm2d(width)),
            *(nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1)),
        )

    def forward(self, x: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        return x + self.layers(x)


class FeatureFusion(nn.Module):
    """Fuses features of a coarser scale with the backbone's at the next finer one. Wang section 3.3.

    Arguments:
        coarse, fine: channels of both; the result has those of the finer scale.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.before = nn.Sequential(
            *(nn.Conv2d(coarse, coarse, 3, padding=1, groups=coarse), nn.Conv2d(coarse, fine, 1)),
            *(nn.BatchNorm2d(fine), nn.ReLU(inplace=True)),
        )
        self.aside = nn.Sequential(nn.Conv2d(fine, fine, 1), nn.BatchNorm2d(fine), nn.ReLU(inplace=True))
        self.fuse = nn.Conv2d(2 * fine, fine, 1)
        self.blocks = nn.Sequential(ConvBlock(fine), ConvBlock(fine))

    def forward(
        self, x: Float[Tensor, "batch coarse y x"], finer: Float[Tensor, "batch fine y2 x2"]
    ) -> Float[Tensor, "batch fine y2 x2"]:
        x = interpolate(self.before(x), finer.shape[-2:], mode="nearest")
        return self.blocks(self.fuse(torch.cat([x, self.aside(finer)], 1)))


class SRPoseHead(nn.Module):
    """The four branches of HRNet to LR heatmaps and four SR heatmaps. Wang figure 3.

    Arguments:
        widths: channels of the branches, fine to coarse.
        joints: number of heatmaps.
    """

    def __init__(self, widths: tuple[int, ...], joints: int) -> None:
        super().__init__()
        *finer, lowest = widths
        self.feature = nn.Sequential(nn.Conv2d(lowest, lowest, 1), nn.BatchNorm2d(lowest), nn.ReLU(inplace=True))
        self.coarse = nn.Conv2d(lowest, joints, 1)
        self.back = nn.Sequential(nn.Conv2d(joints, lowest, 1), nn.ReLU(inplace=True))
        scales = [lowest, *finer[::-1]]
        self.refine = nn.ModuleList(FeatureFusion(coarse, fine) for coarse, fine in pairwise(scales))
        self.maps = nn.ModuleList(
            SuperResolution(width, joints, *sizes)
            for width, *sizes in zip(scales, EMBEDDING, KERNELS, RATIOS, strict=True)
        )

    def forward(self, x: Branches) -> tuple[Float[Tensor, "batch joint _ _"], ...]:
        *finer, lowest = x
        maps = [self.coarse(lowest).relu()]
        features = self.feature(lowest) + self.back(maps[0])
        maps.append(self.maps[0](features))
        for refine, head, branch in zip(self.refine, self.maps[1:], finer[::-1], strict=True):
            features = refine(features, branch)
            maps.append(head(features))
        return tuple(maps)


class SRPose(nn.Module):
    """Crops of one person to heatmaps: one set at 1/32 of their resolution, three at 1/4 and one at full resolution.

    Arguments:
        backbone: with all branches as outputs.
        joints: number of heatmaps.
    """

    def __init__(self, backbone: HRNet, joints: int = 17) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SRPoseHead(backbone.widths, joints)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch joint _ _"], ...]:
        """LR and four SR heatmaps of ImageNet-normalised images whose sides are multiples of 32."""
        return self.head(self.backbone(x))


def srpose_w32(joints: int = 17) -> SRPose:
    """On HRNet-W32; Wang table 1."""
    return SRPose(HRNet(32, all_branches=True), joints)
