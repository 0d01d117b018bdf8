"""Top-down estimators of published makes (`networks.estimators`) from a file that `occlupose train ljof` or `occlupose
convert` wrote.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps, unflip
from occlupose.codecs.msra import MSRA
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError
from occlupose.frontends.crops import Joints
from occlupose.networks import weights
from occlupose.networks.estimators import ESTIMATORS, build, normalise_images
from occlupose.networks.precision import bf16_is_native
from occlupose.skeletons import Skeleton, by_name

FORMAT = "occlupose estimator 1"

CODECS: dict[str, type[GaussianMaps]] = {"msra": MSRA, "udp": UDP}
"""Codecs of heatmaps by the names that files and recipes have for them."""

WHOLE = "whole"
BACKBONE = "backbone"
"""Parts of a network that a file has."""

BATCH = 32
"""Crops in the network at once, so that memory does not grow with the crowd."""


@dataclass(frozen=True)
class Design:
    """What a network is and how it is used.

    Attributes:
        model: of `networks.estimators.ESTIMATORS`.
        skeleton: its joints.
        maps: between its finest maps and joints; has the crop that it is shown.

    Raises:
        OccluposeError: no such model.
    """

    model: str
    skeleton: Skeleton
    maps: GaussianMaps

    def __post_init__(self) -> None:
        if self.model not in ESTIMATORS:
            raise OccluposeError(f"model {self.model}: not known; known are {', '.join(ESTIMATORS)}")

    def build(self) -> nn.Module:
        """The network, at random."""
        crop = self.maps.crop
        return build(self.model, len(self.skeleton), crop=(crop.width, crop.height))

    def header(self) -> dict[str, str]:
        """As a weights file says it."""
        crop = self.maps.crop
        codec = next(name for name, kind in CODECS.items() if type(self.maps) is kind)
        shown = {"crop_width": crop.width, "crop_height": crop.height, "crop_padding": crop.padding, "grid": crop.grid}
        cells = {"codec": codec, "stride": self.maps.stride, "sigma": self.maps.sigma}
        named = {"format": FORMAT, "model": self.model, "skeleton": self.skeleton.name}
        return named | {name: str(value) for name, value in (shown | cells).items()}

    @classmethod
    def of(cls, header: dict[str, str]) -> "Design":
        """What a weights file's header says.

        Raises:
            KeyError, ValueError, OccluposeError: it does not say enough, or what cannot be.
        """
        width = int(header["crop_width"])
        height = int(header["crop_height"])
        crop = Crop(width, height, float(header["crop_padding"]), header["grid"])  # type: ignore[arg-type]
        maps = CODECS[header["codec"]](crop, int(header["stride"]), float(header["sigma"]))
        return cls(header["model"], by_name(header["skeleton"]), maps)


class EstimatorNetwork:
    """The estimator in a weights file: crops in, joints out.

    Arguments:
        file: .safetensors.
        flip: look at each crop's mirror image too and take the mean of the maps: a little better, twice the time.
        device: where it runs, as torch names it.

    Attributes:
        design: what it is.
        crop, skeleton: what it is shown; its joints.

    Raises:
        OccluposeError: no such file, or not weights of this network; no such device.
    """

    def __init__(self, file: Path, *, flip: bool = False, device: str = "cpu") -> None:
        network, self.design = load(file)
        self.crop = self.design.maps.crop
        self.skeleton = self.design.skeleton
        self._network = fast(network, device)
        self._device = device
        self._flip = flip

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Joints:
        """Joints in RGB crops of the size it takes; belief is the height of the map's peak."""
        said = [self._joints(torch.from_numpy(crops[first : first + BATCH])) for first in range(0, len(crops), BATCH)]
        if not said:
            return np.zeros((0, len(self.skeleton), 2)), np.zeros((0, len(self.skeleton)))
        xy, score = (np.concatenate(part).astype(np.float64) for part in zip(*said, strict=True))
        return xy, score.clip(0, 1)

    @torch.inference_mode()
    def _joints(self, crops: UInt8[Tensor, "person height width 3"]) -> tuple[np.ndarray, np.ndarray]:
        pictures = normalise_images(crops.to(self._device))
        maps = heatmaps(self._network, pictures)
        if self._flip:
            mirrored = heatmaps(self._network, pictures.flip(3))
            maps = (maps + unflip(mirrored, self.skeleton.mirror, self.design.maps.flip_shift)) / 2
        xy, score = self.design.maps.decode(maps)
        return xy.cpu().numpy(), score.cpu().numpy()


def fast(network: nn.Module, device: str) -> nn.Module:
    """The network on a device, its kernels laid out as that calculates fastest.

    Raises:
        OccluposeError: torch has no such device here.
    """
    return weights.to_device(network, device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def heatmaps(network: nn.Module, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch joint y x"]:
    """The finest maps of an estimator, float32; in bf16 inside where the processor has that."""
    kind = pictures.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=bf16_is_native(kind)):
        return network(pictures)[-1].float()


def save(tensors: dict[str, Tensor], design: Design, path: Path) -> None:
    """Writes weights, and in the header all that is needed to use them. Kernels in half precision, what belongs to a
    channel in full.

    Arguments:
        tensors: of the whole network, or of its backbone alone, to begin a training with.

    Raises:
        OccluposeError: the file could not be written.
    """
    part = {"part": WHOLE if any(name.startswith("head.") for name in tensors) else BACKBONE}
    weights.save(weights.half_kernels(tensors), design.header() | part, path)


def load(path: Path) -> tuple[nn.Module, Design]:
    """A network ready to use, and what it is.

    Raises:
        OccluposeError: no such file, not a safetensors file, not one of such a network, or one of a backbone alone.
    """
    network, header = _read(path)
    if header["part"] != WHOLE:
        raise OccluposeError(
            f"{path}: a backbone alone, which knows no joints; train it: occlupose train ljof --init-from {path}"
        )
    return network, Design.of(header)


def begin(network: nn.Module, design: Design, path: Path) -> str:
    """Puts the weights of a file into a network, of one for other joints all but what belongs to single joints; says
    what was taken.

    Raises:
        OccluposeError: no such file, not one of such a network, one of another model or for another crop.
    """
    read, header = _read(path)
    theirs = Design.of(header)
    ours = network.state_dict()
    given = read.state_dict()
    if theirs.model != design.model:
        raise OccluposeError(
            f"{path}: weights of {theirs.model}; give --model {theirs.model}, or weights of {design.model}"
        )
    own = set() if theirs.skeleton == design.skeleton else _of_joints(design)
    fit = {name: value for name, value in given.items() if name not in own}
    other = next((name for name, value in fit.items() if value.shape != ours[name].shape), None)
    if other is not None:
        shapes = " x ".join(map(str, given[other].shape)), " x ".join(map(str, ours[other].shape))
        raise OccluposeError(f"{path}: {other} is {shapes[0]}, not {shapes[1]}; give weights for crops of this size")
    network.load_state_dict(ours | fit)
    return f"{len(fit)} of {len(ours)} tensors of {path.name}"


def _of_joints(design: Design) -> set[str]:
    """Names of the tensors whose size goes with the number of joints."""
    crop = design.maps.crop
    joints = len(design.skeleton)
    with torch.device("meta"):
        one, other = (
            build(design.model, number, crop=(crop.width, crop.height)).state_dict() for number in (joints, joints + 1)
        )
    return {name for name, value in one.items() if value.shape != other[name].shape}


def _read(path: Path) -> tuple[nn.Module, dict[str, str]]:
    def build(header: dict[str, str]) -> nn.Module:
        network = Design.of(header).build()
        if header["part"] == BACKBONE:
            network.head = nn.Identity()
        return network

    return weights.load(path, build, format=FORMAT, network="an estimator", command="occlupose train ljof")
