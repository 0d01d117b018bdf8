"""HigherHRNet (Cheng et al., CVPR 2020, "HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose
Estimation"): images of several people to heatmaps at a quarter and at half of their resolution, and to tags that tell
which joints belong to one person (associative embedding, Newell et al. 2017).

HUPOR (arXiv 2208.00090, supplement 1.3) adds a branch for part affinity fields, so that its reasoner can follow.

Names in the state dict are those of the authors' code, which MMPose kept; `fields` is ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.networks.hrnet import HRNet
from occlupose.networks.movenet_features import MoveNetBackbone
from occlupose.networks.resnet import BasicBlock
from occlupose.networks.simple_baseline import init_head

STRIDES = (4, 2)
"""Pixels of the image in a cell of the coarse and of the fine maps."""

COMPONENTS = 2
"""Channels of a limb's field: x and y."""


@dataclass
class HigherHRNetMaps:
    """The output of the network.

    Attributes:
        heatmaps: coarse and fine, at a quarter and at half of the resolution.
        tags: of each joint's heatmap, at a quarter.
        fields: x and y of the fields limb by limb: at a quarter, and maybe at half; empty without limbs.
    """

    heatmaps: tuple[Float[Tensor, "batch joint y x"], Float[Tensor, "batch joint 2*y 2*x"]]
    tags: Float[Tensor, "batch joint y x"]
    fields: tuple[Float[Tensor, "batch field _ _"], ...]


class HigherResolutionHead(nn.Module):
    """Features to heatmaps and tags, and by a transposed convolution to finer heatmaps. Cheng section 3.2, figure 2.

    Arguments:
        width: channels of the features.
        joints: number of heatmaps.
        blocks: number of basic blocks after the transposed convolution.
    """

    def __init__(self, width: int, joints: int, blocks: int = 4) -> None:
        super().__init__()
        self.joints = joints
        tagged = 2 * joints
        self.final_layers = nn.ModuleList([nn.Conv2d(width, tagged, 1), nn.Conv2d(width, joints, 1)])
        up = nn.ConvTranspose2d(width + tagged, width, 4, 2, 1, bias=False)
        upsampler = nn.Sequential(up, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        refiners = (nn.Sequential(BasicBlock(width, width)) for _ in range(blocks))
        self.deconv_layers = nn.ModuleList([nn.Sequential(upsampler, *refiners)])
        init_head(self.final_layers)
        init_head(upsampler)
        for part in self.deconv_layers[0][1:].modules():  # type: ignore[index]
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Float[Tensor, "batch width y x"]) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse maps (heatmaps, then tags), fine heatmaps, and the features of the latter."""
        to_coarse, to_fine = self.final_layers
        coarse = to_coarse(features)
        finer = self.deconv_layers[0](torch.cat([features, coarse], 1))
        return coarse, to_fine(finer), finer


class HigherHRNet(nn.Module):
    """Images of several people to heatmaps, tags and fields.

    Arguments:
        backbone: its finest branch is used.
        joints: number of heatmaps.
        limbs: number of part affinity fields; 0 for the network as published.
        blocks: number of basic blocks of the head.
        fine_fields: whether there are fields at half of the resolution as well (ours).
    """

    def __init__(
        self,
        backbone: HRNet | MoveNetBackbone,
        joints: int = 17,
        limbs: int = 0,
        *,
        blocks: int = 4,
        fine_fields: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.widths[0]
        self.head = HigherResolutionHead(width, joints, blocks)
        resolutions = 0 if limbs == 0 else 1 + fine_fields
        self.fields = nn.ModuleList(nn.Conv2d(width, COMPONENTS * limbs, 1) for _ in range(resolutions))
        init_head(self.fields)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> HigherHRNetMaps:
        """Maps of ImageNet-normalised images whose sides are multiples of 32."""
        features = self.backbone(x)[0]
        coarse, fine, finer = self.head(features)
        heatmaps, tags = coarse.chunk(2, 1)
        fields = (layer(each) for layer, each in zip(self.fields, (features, finer), strict=False))
        return HigherHRNetMaps((heatmaps, fine), tags, tuple(fields))


def higher_hrnet_w32(joints: int = 17, limbs: int = 0, *, fine_fields: bool = False) -> HigherHRNet:
    """The smaller network of the paper, for inputs of 512 px; Cheng table 1."""
    return HigherHRNet(HRNet(32), joints, limbs, fine_fields=fine_fields)


def higher_hrnet_w48(joints: int = 17, limbs: int = 0, *, fine_fields: bool = False) -> HigherHRNet:
    """The larger network of the paper, for inputs of 640 px; Cheng table 1."""
    return HigherHRNet(HRNet(48), joints, limbs, fine_fields=fine_fields)


def higher_hrnet_small(joints: int = 17, limbs: int = 0, *, fine_fields: bool = False) -> HigherHRNet:
    """About half the width, one exchange and one block per stage; ours, for machines without a GPU."""
    backbone = HRNet(18, modules=(1, 1, 1), blocks=1, stem=16, bottlenecks=1)
    return HigherHRNet(backbone, joints, limbs, blocks=1, fine_fields=fine_fields)


def higher_hrnet_movenet(joints: int = 17, limbs: int = 0, *, fine_fields: bool = False) -> HigherHRNet:
    """On the features of MoveNet MultiPose; ours, for machines without a GPU."""
    return HigherHRNet(MoveNetBackbone(), joints, limbs, blocks=1, fine_fields=fine_fields)
