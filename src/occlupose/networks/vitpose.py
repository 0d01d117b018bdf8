"""ViTPose (Xu et al. 2022, "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation"): a plain vision
transformer (Dosovitskiy et al. 2021) on 16x16 patches, and a small head to a heatmap for each joint.

Images are padded by 2 pixels, as in the authors' code. There is no class token. Names in the state dict are timm's
below `backbone.`, and those of MMPose 1.x below `head.`
"""

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from occlupose.errors import OccluposeError
from occlupose.networks.simple_baseline import HeatmapHead, init_head

PATCH = 16
"""Side of a patch, px."""

PADDING = 2
"""Padding of the image, px."""


class DropPath(nn.Module):
    """Drops a residual branch for random samples in training, and scales it up for the others.

    Huang et al. 2016, "Deep Networks with Stochastic Depth". Uses torch's global generator, as dropout does.

    Arguments:
        rate: probability for a sample.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch *rest"]) -> Float[Tensor, "batch *rest"]:
        if not self.training or self.rate == 0:
            return x
        kept = self.draw(len(x), x.device).view(-1, *[1] * (x.ndim - 1)) >= self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)

    def draw(self, count: int, device: torch.device) -> Float[Tensor, " count"]:
        """Uniform random numbers, one for each sample."""
        return torch.rand(count, device=device)


class Attention(nn.Module):
    """Multi-head self-attention. Dosovitskiy equation 2.

    Arguments:
        width: channels of a token.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with four times the width between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-normalised attention and MLP with residual connections. Dosovitskiy equations 2 and 3."""

    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.drop = DropPath(drop)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        x = x + self.drop(self.attn(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """A linear embedding of each patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH, PADDING)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel y x"]:
        return self.proj(x)


class VisionTransformer(nn.Module):
    """Images to features of each patch.

    Arguments:
        width: channels of a token.
        depth: number of blocks.
        heads: of the attention.
        drop: drop-path rate of the last block; it grows linearly from 0 at the first.
        crop: width and height of the images, px.
    """

    def __init__(
        self, width: int, depth: int, heads: int, *, drop: float = 0.0, crop: tuple[int, int] = (192, 256)
    ) -> None:
        super().__init__()
        self.width = width
        self.crop = crop
        self.grid = ((crop[1] + 2 * PADDING) // PATCH, (crop[0] + 2 * PADDING) // PATCH)
        self.patch_embed = PatchEmbed(width)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, drop * number / max(depth - 1, 1)) for number in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel y x"]:
        """Features of ImageNet-normalised images, one cell for 16 pixels.

        Raises:
            OccluposeError: images of another size than the network was built for.
        """
        if (given := (x.shape[3], x.shape[2])) != self.crop:
            raise OccluposeError(
                f"images of {given[0]} x {given[1]} px: this ViTPose takes {self.crop[0]} x {self.crop[1]}"
            )
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, self.grid)


class SimpleHead(nn.Module):
    """ReLU, bilinear upsampling by 4 and a 3x3 convolution. Xu section 3.1, the simple decoder."""

    def __init__(self, inputs: int, joints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(inputs, joints, 3, 1, 1)
        init_head(self)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch joint height width"]:
        return self.final_layer(interpolate(x.relu(), scale_factor=4, mode="bilinear", align_corners=False))


class ViTPose(nn.Module):
    """Crops of one person to heatmaps at a quarter of their resolution. Xu figure 2.

    Arguments:
        backbone: the transformer.
        joints: number of heatmaps.
        head: "classic" or "simple".

    Raises:
        OccluposeError: unknown head.
    """

    def __init__(self, backbone: VisionTransformer, joints: int = 17, head: str = "classic") -> None:
        super().__init__()
        if head not in ("classic", "simple"):
            raise OccluposeError(f"head {head}: not known; known are classic and simple")
        self.backbone = backbone
        if head == "classic":
            self.head: nn.Module = HeatmapHead(backbone.width, joints, (256, 256))
        else:
            self.head = SimpleHead(backbone.width, joints)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch joint y x"]]:
        """Heatmaps of ImageNet-normalised images of the size that the backbone was built for."""
        return (self.head(self.backbone(x)),)


def vitpose_s(joints: int = 17, *, crop: tuple[int, int] = (192, 256), head: str = "classic") -> ViTPose:
    """Small: 12 blocks of 384 with 12 heads, where timm's and DeiT's small transformers have 6; the authors'
    configuration.
    """
    return ViTPose(VisionTransformer(384, 12, 12, drop=0.1, crop=crop), joints, head)


def vitpose_b(joints: int = 17, *, crop: tuple[int, int] = (192, 256), head: str = "classic") -> ViTPose:
    """Base: 12 blocks of 768 with 12 heads; Xu section 4.1."""
    return ViTPose(VisionTransformer(768, 12, 12, drop=0.3, crop=crop), joints, head)


def vitpose_l(joints: int = 17, *, crop: tuple[int, int] = (192, 256), head: str = "classic") -> ViTPose:
    """Large: 24 blocks of 1024 with 16 heads; Xu section 4.1."""
    return ViTPose(VisionTransformer(1024, 24, 16, drop=0.5, crop=crop), joints, head)


def layer_index(name: str, depth: int) -> int:
    """Layer of a parameter of ViTPose, for layer-wise learning rate decay.

    The convention of BEiT (Bao et al. 2022), which MAE and ViTPose follow: the learning rate is multiplied by
    decay^(depth + 1 - layer).

    Arguments:
        name: of the parameter, as in `ViTPose.named_parameters()`.
        depth: blocks of the transformer.

    Returns:
        0 for the embeddings of patches and positions, 1..depth for the blocks, depth + 1 for the last normalisation and
        the head.
    """
    if name.startswith(("backbone.patch_embed.", "backbone.pos_embed")):
        return 0
    block = re.match(r"backbone\.blocks\.(\d+)\.", name)
    return int(block[1]) + 1 if block else depth + 1
