"""ResNet (He et al., 2016) of any width: 18 and 34 layers with basic blocks, 50, 101 and 152 with bottlenecks.

The state dict has torchvision's and timm's names, so that their checkpoints fit at the default width. The stride of a
bottleneck is in its 3x3 convolution, as in those checkpoints; in the paper it is in the first 1x1.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

RESNET18 = (2, 2, 2, 2)
RESNET34 = (3, 4, 6, 3)
RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)
RESNET152 = (3, 8, 36, 3)
"""Blocks in each of the four stages; basic blocks up to RESNET34, bottlenecks from RESNET50."""


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Projection shortcut of a block that changes resolution or channels; None for an identity shortcut."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, a 1x1 convolution where resolution or channels change."""

    expansion = 1

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs h w"]:
        """Features, at half the resolution if the stride is 2."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + residual)


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, the inner ones with a quarter of the channels, with a shortcut as in
    `BasicBlock`.
    """

    expansion = 4

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        inner = outputs // self.expansion
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs h w"]:
        """Features, at half the resolution if the stride is 2."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + residual)


class ResNet(nn.Module):
    """Features of an image as one vector, or class logits.

    Arguments:
        blocks: number in each stage; RESNET34 by default.
        width: channels of the first stage (inner channels of a bottleneck); they double with each stage.
        inputs: channels of the image.
        classes: number of outputs of the last layer; 0 for none.
        block: BasicBlock or Bottleneck.
        pool: whether there is a pooling layer before the stages; without it features have twice the resolution.
    """

    def __init__(
        self,
        blocks: tuple[int, ...] = RESNET34,
        width: int = 64,
        *,
        inputs: int = 3,
        classes: int = 0,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        pool: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        channels = [width, *((width << stage) * block.expansion for stage in range(len(blocks)))]
        for stage, ((before, after), count) in enumerate(zip(pairwise(channels), blocks, strict=True)):
            first = block(before, after, 2 if stage else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *(block(after, after) for _ in range(count - 1))))
        self.features = channels[-1]
        self.stages = len(blocks)
        self.fc = nn.Linear(self.features, classes) if classes else nn.Identity()
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, image: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch features y x"]:
        """Features of the last stage: of four stages, one cell for 32 pixels of the image, or 16 without pooling."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x

    def forward(self, image: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch features"]:
        """The mean of the last stage over the image, or class logits."""
        return self.fc(self.maps(image).mean((-1, -2)))
