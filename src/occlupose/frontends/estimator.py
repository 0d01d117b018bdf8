"""Published top-down keypoint networks (`networks.estimators`) from a file of `occlupose train ljof` or `occlupose
convert`.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.codecs.maps import unflip
from occlupose.frontends.crops import Keypoints
from occlupose.networks import weights
from occlupose.networks.estimators import load, normalise_images
from occlupose.networks.precision import bf16_is_native
from occlupose.occlusion.confidence import MIN_CONFIDENCE

BATCH = 32
"""Crops in a batch, so that memory does not grow with the number of people."""


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
