"""The stacked hourglass of OANet section 3.1 from a file of `occlupose train keypoints`.

Joints that it classifies as hidden have low heatmaps: their score is near 0, and their position is the highest cell of
a low heatmap.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.frontends.crops import Keypoints
from occlupose.networks import weights
from occlupose.networks.hourglass import STRIDE, StackedHourglass
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.skeletons import Skeleton, by_name

FORMAT = "occlupose hourglass 1"
BATCH = 16
"""Crops in a batch, so that memory does not grow with the number of people."""


class HourglassNetwork:
    """The network in a weights file, as a `CropNetwork`.

    Arguments:
        file: .safetensors.
        flip: test-time augmentation by horizontal flip (mean of the heatmaps): slightly better, twice the time.
        device: torch device.

    Attributes:
        crop: of its input.
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.

    Raises:
        OccluposeError: no such file, or not weights of this network; no such device.
    """

    min_joint_confidence = MIN_CONFIDENCE

    def __init__(self, file: Path, *, flip: bool = False, device: str = "cpu") -> None:
        network, self.skeleton, self.crop = load(file)
        self._network = weights.to_device(network, device)
        self._device = device
        self._flip = flip
        self._codec = Heatmaps(self.crop, STRIDE)

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Keypoints:
        """Keypoints in RGB crops."""
        maps = [np.zeros((0, len(self.skeleton), *self._codec.shape), np.float32)]
        for first in range(0, len(crops), BATCH):
            maps.append(self._maps(torch.from_numpy(crops[first : first + BATCH]).to(self._device)).cpu().numpy())
        return self._codec.decode(np.concatenate(maps))

    @torch.inference_mode()
    def _maps(self, crops: UInt8[Tensor, "person height width 3"]) -> Float[Tensor, "person joint y x"]:
        maps = self._network(crops)[-1]
        if not self._flip:
            return maps
        mirrored = self._network(crops.flip(2))[-1].flip(3)
        return (maps + mirrored[:, list(self.skeleton.mirror)]) / 2


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
