"""2D pose estimators by name: from normalised crops of one person to a tuple of heatmaps; the last is the result."""

import inspect
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.networks.hrnet import hrnet_small, hrnet_w32, hrnet_w48
from occlupose.networks.simple_baseline import (
    simple_baseline_r50,
    simple_baseline_r101,
    simple_baseline_r152,
    simple_baseline_small,
)
from occlupose.networks.srpose import srpose_w32
from occlupose.networks.vitpose import vitpose_b, vitpose_l, vitpose_s

ESTIMATORS: dict[str, Callable[..., nn.Module]] = {
    function.__name__: function
    for function in (
        *(simple_baseline_r50, simple_baseline_r101, simple_baseline_r152, simple_baseline_small),
        *(hrnet_w32, hrnet_w48, hrnet_small),
        *(vitpose_s, vitpose_b, vitpose_l),
        srpose_w32,
    )
}
"""Builders of networks for a number of joints; those of ViTPose also take a crop size."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue values, 0..1."""


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
    if model not in ESTIMATORS:
        raise OccluposeError(f"model {model}: not known; known are {', '.join(ESTIMATORS)}")
    builder = ESTIMATORS[model]
    return builder(joints, crop=crop) if "crop" in inspect.signature(builder).parameters else builder(joints)


def normalise_images(images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB images as input of the estimators: normalised by ImageNet's mean and standard deviation, channels last in
    memory.
    """
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images - mean) / std).movedim(-1, 1)
