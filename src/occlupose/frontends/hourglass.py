"""Our own 2D network, the stacked hourglass of OANet section 3.1, from a file that `occlupose train keypoints` wrote.

Joints that it takes for hidden have dark maps: their belief is near 0, and nothing but the brightest cell of a dark map
is their place.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.frontends.crops import Joints
from occlupose.networks import weights
from occlupose.networks.hourglass import STRIDE, StackedHourglass
from occlupose.skeletons import Skeleton, by_name

FORMAT = "occlupose hourglass 1"
BATCH = 16
"""Crops in the network at once, so that memory does not grow with the crowd."""


class HourglassNetwork:
    """The network in a weights file: crops in, joints out.

    Arguments:
        file: .safetensors.
        flip: look at each crop's mirror image too and take the mean of the maps: a little better, twice the time.
        device: where it runs, as torch names it.

    Attributes:
        crop, skeleton: what it is shown; its joints.

    Raises:
        OccluposeError: no such file, or not weights of this network; no such device.
    """

    def __init__(self, file: Path, *, flip: bool = False, device: str = "cpu") -> None:
        network, self.skeleton, self.crop = load(file)
        self._network = weights.to_device(network, device)
        self._device = device
        self._flip = flip
        self._codec = Heatmaps(self.crop, STRIDE)

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Joints:
        """Joints in RGB crops of the size it takes."""
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
    """Writes weights, and in the header all that is needed to use them. Kernels in half precision, what belongs to a
    channel in full.

    Raises:
        OccluposeError: the file could not be written.
    """
    numbers = {"stacks": len(network.stacks), "width": network.width, "depth": network.depth}
    shown = {"crop_width": crop.width, "crop_height": crop.height, "crop_padding": crop.padding}
    header = {"format": FORMAT, "skeleton": skeleton.name} | {
        name: str(value) for name, value in (numbers | shown).items()
    }
    weights.save(weights.half_kernels(tensors), header, path)


def load(path: Path) -> tuple[StackedHourglass, Skeleton, Crop]:
    """A network ready to use, its joints, and what it is to be shown.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of this network.
    """
    command = "occlupose train keypoints"
    network, header = weights.load(path, _network, format=FORMAT, network="a stacked hourglass", command=command)
    return network, by_name(header["skeleton"]), _crop(header)


def _network(header: dict[str, str]) -> StackedHourglass:
    Heatmaps(_crop(header), STRIDE * 2 ** int(header["depth"]))  # refuses a crop that cannot be halved so often
    numbers = {name: int(header[name]) for name in ("stacks", "width", "depth")}
    return StackedHourglass(len(by_name(header["skeleton"])), **numbers)


def _crop(header: dict[str, str]) -> Crop:
    return Crop(int(header["crop_width"]), int(header["crop_height"]), float(header["crop_padding"]))
