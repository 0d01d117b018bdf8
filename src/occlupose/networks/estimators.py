"""2D pose estimators: from normalised crops of one person to a tuple of heatmaps; the last is the result. Their names,
designs and weights files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps
from occlupose.codecs.msra import MSRA
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError
from occlupose.networks import weights
from occlupose.networks.hrnet import hrnet_small, hrnet_w32, hrnet_w48
from occlupose.networks.simple_baseline import (
    simple_baseline_r50,
    simple_baseline_r101,
    simple_baseline_r152,
    simple_baseline_small,
)
from occlupose.networks.srpose import srpose_w32
from occlupose.networks.vitpose import vitpose_b, vitpose_l, vitpose_s
from occlupose.skeletons import Skeleton, by_name

Builder = Callable[..., nn.Module]
"""Builds a network for a number of joints."""

TRANSFORMERS: dict[str, Builder] = {"vitpose_s": vitpose_s, "vitpose_b": vitpose_b, "vitpose_l": vitpose_l}
"""Networks that are built for one crop size, an argument of their builders."""

ESTIMATORS: dict[str, Builder] = {
    "simple_baseline_r50": simple_baseline_r50,
    "simple_baseline_r101": simple_baseline_r101,
    "simple_baseline_r152": simple_baseline_r152,
    "simple_baseline_small": simple_baseline_small,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
    "hrnet_small": hrnet_small,
    **TRANSFORMERS,
    "srpose_w32": srpose_w32,
}
"""All networks."""

FORMAT = "occlupose estimator 1"

CODECS: dict[str, type[GaussianMaps]] = {"msra": MSRA, "udp": UDP}
"""Heatmap codecs by their names in files and recipes."""

WHOLE = "whole"
BACKBONE = "backbone"
"""Parts of a network that a file may hold."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue values, 0..1."""


@dataclass(frozen=True)
class EstimatorDesign:
    """Architecture, joints and codec of a network.

    Attributes:
        model: one of `networks.estimators.ESTIMATORS`.
        skeleton: joints.
        maps: codec of the final heatmaps, with the crop of the network's input.

    Raises:
        OccluposeError: unknown model.
    """

    model: str
    skeleton: Skeleton
    maps: GaussianMaps

    def __post_init__(self) -> None:
        check_model(self.model)

    def build(self) -> nn.Module:
        """The network with random weights."""
        crop = self.maps.crop
        return build(self.model, len(self.skeleton), crop=(crop.width, crop.height))

    def header(self) -> dict[str, str]:
        """The header of a weights file."""
        crop = self.maps.crop
        codec = next(name for name, kind in CODECS.items() if type(self.maps) is kind)
        crop_fields = {
            "crop_width": crop.width,
            "crop_height": crop.height,
            "crop_padding": crop.padding,
            "grid": crop.grid,
        }
        cells = {"codec": codec, "stride": self.maps.stride, "sigma": self.maps.sigma}
        named = {"format": FORMAT, "model": self.model, "skeleton": self.skeleton.name}
        return named | {name: str(value) for name, value in (crop_fields | cells).items()}

    @classmethod
    def of(cls, header: dict[str, str]) -> "EstimatorDesign":
        """From the header of a weights file.

        Raises:
            KeyError, ValueError, OccluposeError: a field is missing or invalid.
        """
        width = int(header["crop_width"])
        height = int(header["crop_height"])
        crop = Crop(width, height, float(header["crop_padding"]), header["grid"])  # type: ignore[arg-type]
        maps = CODECS[header["codec"]](crop, int(header["stride"]), float(header["sigma"]))
        return cls(header["model"], by_name(header["skeleton"]), maps)


def build(model: str, joints: int = 17, *, crop: tuple[int, int] = (192, 256)) -> nn.Module:
    """An estimator with random weights.

    Arguments:
        model: its name in ESTIMATORS.
        joints: number of heatmaps.
        crop: width and height of its input, px. Only ViTPose is built for one size; for the others the sides must be
            multiples of 32.

    Raises:
        OccluposeError: unknown model.
    """
    check_model(model)
    if model in TRANSFORMERS:
        return TRANSFORMERS[model](joints, crop=crop)
    return ESTIMATORS[model](joints)


def check_model(model: str) -> None:
    """Refuses a model that is not in ESTIMATORS.

    Raises:
        OccluposeError: unknown model.
    """
    if model not in ESTIMATORS:
        raise OccluposeError(f"model {model}: not known; known are {', '.join(ESTIMATORS)}")


def normalise_images(images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB images as input of the estimators: normalised by ImageNet's mean and standard deviation, channels last in
    memory.
    """
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images - mean) / std).movedim(-1, 1)


def save(tensors: dict[str, Tensor], design: EstimatorDesign, path: Path) -> None:
    """Writes weights with a header that is enough to use them. Kernels have half precision, per-channel values full
    precision.

    Arguments:
        tensors: of the whole network, or of its backbone alone as initial weights.

    Raises:
        OccluposeError: the file could not be written.
    """
    part = {"part": WHOLE if any(name.startswith("head.") for name in tensors) else BACKBONE}
    weights.save(weights.half_kernels(tensors), design.header() | part, path)


def load(path: Path) -> tuple[nn.Module, EstimatorDesign]:
    """A network ready to use, and its design.

    Raises:
        OccluposeError: no such file, not a safetensors file, not of such a network, or of a backbone alone.
    """
    network, header = _read(path)
    if header["part"] != WHOLE:
        raise OccluposeError(
            f"{path}: a backbone alone, which knows no joints; train it: occlupose train ljof --init-from {path}"
        )
    return network, EstimatorDesign.of(header)


def load_backbone(path: Path) -> dict[str, Tensor]:
    """The tensors of a network's backbone, by their names in the network.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not of such a network.
    """
    network, _ = _read(path)
    return {name: value for name, value in network.state_dict().items() if name.startswith("backbone.")}


def load_initial_weights(network: nn.Module, design: EstimatorDesign, path: Path) -> str:
    """Initialises a network with the weights of a file. Weights of single joints are left out if the skeletons differ.

    Returns:
        What was loaded, in words.

    Raises:
        OccluposeError: no such file, not of such a network, of another model or for another crop.
    """
    read, header = _read(path)
    theirs = EstimatorDesign.of(header)
    ours = network.state_dict()
    given = read.state_dict()
    if theirs.model != design.model:
        raise OccluposeError(
            f"{path}: weights of {theirs.model}; give --recipe {theirs.model}, or weights of {design.model}"
        )
    own = set() if theirs.skeleton == design.skeleton else _of_joints(design)
    fit = {name: value for name, value in given.items() if name not in own}
    other = next((name for name, value in fit.items() if value.shape != ours[name].shape), None)
    if other is not None:
        shapes = " x ".join(map(str, given[other].shape)), " x ".join(map(str, ours[other].shape))
        raise OccluposeError(f"{path}: {other} is {shapes[0]}, not {shapes[1]}; give weights for crops of this size")
    network.load_state_dict(ours | fit)
    return f"{len(fit)} of {len(ours)} tensors of {path.name}"


def _of_joints(design: EstimatorDesign) -> set[str]:
    """Names of the tensors whose shape depends on the number of joints."""
    crop = design.maps.crop
    joints = len(design.skeleton)
    with torch.device("meta"):
        one = build(design.model, joints, crop=(crop.width, crop.height)).state_dict()
        other = build(design.model, joints + 1, crop=(crop.width, crop.height)).state_dict()
    return {name for name, value in one.items() if value.shape != other[name].shape}


def _read(path: Path) -> tuple[nn.Module, dict[str, str]]:
    def build(header: dict[str, str]) -> nn.Module:
        network = EstimatorDesign.of(header).build()
        if header["part"] == BACKBONE:
            network.head = nn.Identity()
        return network

    return weights.load(path, build, format=FORMAT, network="an estimator", command="occlupose train ljof")
