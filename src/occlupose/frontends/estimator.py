"""Published top-down keypoint networks (`networks.estimators`) from a file of `occlupose train ljof` or `occlupose
convert`.
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
from occlupose.frontends.crops import Keypoints
from occlupose.networks import weights
from occlupose.networks.estimators import ESTIMATORS, build, normalise_images
from occlupose.networks.precision import bf16_is_native
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.skeletons import Skeleton, by_name

FORMAT = "occlupose estimator 1"

CODECS: dict[str, type[GaussianMaps]] = {"msra": MSRA, "udp": UDP}
"""Heatmap codecs by their names in files and recipes."""

WHOLE = "whole"
BACKBONE = "backbone"
"""Parts of a network that a file may hold."""

BATCH = 32
"""Crops in a batch, so that memory does not grow with the number of people."""


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
        if self.model not in ESTIMATORS:
            raise OccluposeError(f"model {self.model}: not known; known are {', '.join(ESTIMATORS)}")

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


class EstimatorNetwork:
    """The network in a weights file, as a `CropNetwork`.

    Arguments:
        file: .safetensors.
        flip: test-time augmentation by horizontal flip (mean of the heatmaps): slightly better, twice the time.
        device: torch device.

    Attributes:
        design: architecture, joints and codec.
        crop: of its input.
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.

    Raises:
        OccluposeError: no such file, or not weights of this network; no such device.
    """

    min_joint_confidence = MIN_CONFIDENCE

    def __init__(self, file: Path, *, flip: bool = False, device: str = "cpu") -> None:
        network, self.design = load(file)
        self.crop = self.design.maps.crop
        self.skeleton = self.design.skeleton
        self._network = prepare_network(network, device)
        self._device = device
        self._flip = flip

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Keypoints:
        """Keypoints in RGB crops; the score is the height of the heatmap's peak."""
        starts = range(0, len(crops), BATCH)
        batches = [self._keypoints(torch.from_numpy(crops[start : start + BATCH])) for start in starts]
        if not batches:
            return np.zeros((0, len(self.skeleton), 2)), np.zeros((0, len(self.skeleton)))
        xy = np.concatenate([keypoints for keypoints, _ in batches]).astype(np.float64)
        score = np.concatenate([scores for _, scores in batches]).astype(np.float64)
        return xy, score.clip(0, 1)

    @torch.inference_mode()
    def _keypoints(self, crops: UInt8[Tensor, "person height width 3"]) -> tuple[np.ndarray, np.ndarray]:
        images = normalise_images(crops.to(self._device))
        maps = heatmaps(self._network, images)
        if self._flip:
            mirrored = heatmaps(self._network, images.flip(3))
            maps = (maps + unflip(mirrored, self.skeleton.mirror, self.design.maps.flip_shift)) / 2
        xy, score = self.design.maps.decode(maps)
        return xy.cpu().numpy(), score.cpu().numpy()


def prepare_network(network: nn.Module, device: str) -> nn.Module:
    """The network on a device, with channels last for speed.

    Raises:
        OccluposeError: torch has no such device here.
    """
    return weights.to_device(network, device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def heatmaps(network: nn.Module, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch joint y x"]:
    """The final heatmaps of an estimator, float32; computed in bf16 where the device has it."""
    kind = images.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=bf16_is_native(kind)):
        return network(images)[-1].float()


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
