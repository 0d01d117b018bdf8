"""The stacked hourglass of OANet section 3.1 from a file of `occlupose train keypoints`.

Joints that it classifies as hidden have low heatmaps: their score is near 0, and their position is the highest cell of
a low heatmap.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occlupose.codecs.heatmaps import Heatmaps
from occlupose.frontends.crops import Keypoints
from occlupose.networks import weights
from occlupose.networks.hourglass import STRIDE, load
from occlupose.occlusion.confidence import MIN_CONFIDENCE

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
