"""ResNet with basic blocks (He et al., 2016): the 18 and 34 layer networks, of any depth and width.

The state dict has torchvision's and timm's names, so that their checkpoints of resnet18 and resnet34 fit the default width.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

RESNET18 = (2, 2, 2, 2)
RESNET34 = (3, 4, 6, 3)
"""Blocks of each of the four stages."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the size or the number of channels changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs h w"]:
        """Features, at half the size where the stride is 2."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(nn.Module):
    """A picture's features, as one vector; or classes, as the checkpoints of others have them.

    Arguments:
        blocks: of each stage; RESNET34 by default.
        width: channels of the first stage; they double at each of the others.
        inputs: channels of the picture.
        classes: of the last layer; 0 is none.
    """

    def __init__(self, blocks: tuple[int, ...] = RESNET34, width: int = 64, *, inputs: int = 3, classes: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = [width, *(width << stage for stage in range(len(blocks)))]
        for stage, ((before, after), count) in enumerate(zip(pairwise(channels), blocks, strict=True)):
            first = BasicBlock(before, after, 2 if stage else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *(BasicBlock(after, after) for _ in range(count - 1))))
        self.features = channels[-1]
        self.stages = len(blocks)
        self.fc = nn.Linear(self.features, classes) if classes else nn.Identity()
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, picture: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch features"]:
        """The mean of the last stage over the picture, or the classes' logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(picture))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((-1, -2)))
