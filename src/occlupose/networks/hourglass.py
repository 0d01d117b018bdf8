"""The stacked hourglass (Newell et al. 2016, "Stacked Hourglass Networks for Human Pose Estimation"), used in OANet
section 3.1.

The stem reduces an image to a quarter of its size. Each hourglass then downsamples the features step by step until they
cover the whole body and upsamples them again, with a skip connection at every resolution. Each predicts a heatmap of
every joint, which is part of the input of the next one. The paper leaves the widths of the stem open; a quarter, half
and all of the width follow implementations of published size. Heatmaps end in a sigmoid, as in OANet, and start near 0,
the value of most cells (ours).

The names of submodules are those in weight files.
"""

import math
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.networks import weights
from occlupose.skeletons import Skeleton, by_name

FORMAT = "occlupose hourglass 1"

STRIDE = 4
"""Pixels of the image in a cell of the heatmaps."""

INITIAL_VALUE = 0.01
"""Value of the heatmaps before training."""


class Residual(nn.Module):
    """A pre-activation bottleneck of 1x1, 3x3 and 1x1 convolutions (He et al. 2016) with a residual connection. Newell
    section 3.2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.blocks = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, outputs, 1)),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y x"]:
        return self.skip(x) + self.blocks(x)


class Hourglass(nn.Module):
    """Features in, features of the same size out, after `depth` halvings and as many doublings. Newell section 3.1,
    figure 3.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.aside = Residual(width, width)
        self.before = Residual(width, width)
        self.inner = Hourglass(width, depth - 1) if depth > 1 else Residual(width, width)
        self.after = Residual(width, width)

    def forward(self, x: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        small = self.after(self.inner(self.before(max_pool2d(x, 2))))
        return self.aside(x) + interpolate(small, scale_factor=2)


class Stack(nn.Module):
    """One hourglass with its heatmaps. The features for the next one are the sum of its input, its own features and a
    projection of the heatmaps.
    """

    def __init__(self, joints: int, width: int, depth: int, *, last: bool) -> None:
        super().__init__()
        self.hourglass = Hourglass(width, depth)
        self.features = nn.Sequential(
            Residual(width, width), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.maps = nn.Conv2d(width, joints, 1)
        nn.init.constant_(self.maps.bias, math.log(INITIAL_VALUE / (1 - INITIAL_VALUE)))  # type: ignore[arg-type]
        self.onward = None if last else nn.ModuleList([nn.Conv2d(width, width, 1), nn.Conv2d(joints, width, 1)])

    def forward(
        self, x: Float[Tensor, "batch width y x"]
    ) -> tuple[Float[Tensor, "batch joint y x"], Float[Tensor, "batch width y x"]]:
        features = self.features(self.hourglass(x))
        maps = self.maps(features).sigmoid()
        if self.onward is None:
            return maps, x
        from_features, from_maps = self.onward
        return maps, x + from_features(features) + from_maps(maps)


class StackedHourglass(nn.Module):
    """Crops of one person in, heatmaps of every joint out after each hourglass, 0..1.

    Arguments:
        joints: number of joints.
        stacks: number of hourglasses; 8 in the paper, 2 is common.
        width: channels; 256 in the paper.
        depth: halvings in an hourglass; 4 in the paper. The sides of the crops must be multiples of STRIDE * 2^depth.
    """

    def __init__(self, joints: int, *, stacks: int = 2, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.joints = joints
        self.width = width
        self.depth = depth
        quarter = width // 4
        half = width // 2
        self.stem = nn.Sequential(
            *(nn.Conv2d(3, quarter, 7, stride=2, padding=3), nn.BatchNorm2d(quarter), nn.ReLU()),
            *(Residual(quarter, half), nn.MaxPool2d(2), Residual(half, width), Residual(width, width)),
        )
        self.stacks = nn.ModuleList(Stack(joints, width, depth, last=number == stacks - 1) for number in range(stacks))

    def forward(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "stack batch joint y x"]:
        """Heatmaps of RGB images; those of the last stack are the best."""
        x = self.stem(images.movedim(-1, 1).to(next(self.parameters()).dtype) / 255 - 0.5)
        heatmaps = []
        for stack in self.stacks:
            maps, x = stack(x)
            heatmaps.append(maps)
        return torch.stack(heatmaps)

    @torch.no_grad()
    def start_from(self, other: "StackedHourglass", joints: list[int], others: list[int]) -> None:
        """Copies the weights of a network of the same size; the heatmaps of its joints `others` become those of
        `joints`, any further ones stay as they are.
        """
        state = self.state_dict()
        for name, value in other.state_dict().items():
            if name.endswith(("maps.weight", "maps.bias")):
                state[name][joints] = value[others]
            elif name.endswith("onward.1.weight"):
                state[name][:, joints] = value[:, others]
            else:
                state[name].copy_(value)


def save(tensors: dict[str, Tensor], network: StackedHourglass, skeleton: Skeleton, crop: Crop, path: Path) -> None:
    """Writes weights with a header that is enough to use them. Kernels have half precision, per-channel values full
    precision.

    Raises:
        OccluposeError: the file could not be written.
    """
    numbers = {"stacks": len(network.stacks), "width": network.width, "depth": network.depth}
    crop_fields = {"crop_width": crop.width, "crop_height": crop.height, "crop_padding": crop.padding}
    fields = {name: str(value) for name, value in (numbers | crop_fields).items()}
    header = {"format": FORMAT, "skeleton": skeleton.name} | fields
    weights.save(weights.half_kernels(tensors), header, path)


def load(path: Path) -> tuple[StackedHourglass, Skeleton, Crop]:
    """A network ready to use, its joints, and the crop of its input.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not of this network.
    """
    command = "occlupose train keypoints"
    network, header = weights.load(path, _network, format=FORMAT, network="a stacked hourglass", command=command)
    return network, by_name(header["skeleton"]), _crop(header)


def _network(header: dict[str, str]) -> StackedHourglass:
    Heatmaps(_crop(header), STRIDE * 2 ** int(header["depth"]))  # refuses a crop that cannot be halved this often
    numbers = {name: int(header[name]) for name in ("stacks", "width", "depth")}
    return StackedHourglass(len(by_name(header["skeleton"])), **numbers)


def _crop(header: dict[str, str]) -> Crop:
    return Crop(int(header["crop_width"]), int(header["crop_height"]), float(header["crop_padding"]))
