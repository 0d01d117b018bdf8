"""The 2D estimators by name: normalised pictures of one person in, a tuple of heatmaps out, of which the last is the
answer.
"""

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
"""Each makes its network from a number of joints; those of ViTPose from a crop too."""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of the red, green and blue values of ImageNet's pictures, 0..1."""


def build(model: str, joints: int = 17, *, crop: tuple[int, int] = (192, 256)) -> nn.Module:
    """An estimator with random weights.

    Arguments:
        model: its name in ESTIMATORS.
        joints: maps that it gives.
        crop: width and height of its pictures, px. Only ViTPose is made for one size; the sides must be multiples of 32
            for the others.

    Raises:
        OccluposeError: there is no such model.
    """
    if model not in ESTIMATORS:
        raise OccluposeError(f"model {model}: there is none of that name; give one of {', '.join(ESTIMATORS)}")
    function = ESTIMATORS[model]
    return function(joints, crop=crop) if "crop" in inspect.signature(function).parameters else function(joints)


def normalised(pictures: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB pictures as estimators take them: less ImageNet's mean, by its deviation, with the channels last in
    memory.
    """
    mean = torch.tensor(MEAN, device=pictures.device) * 255
    deviation = torch.tensor(DEVIATION, device=pictures.device) * 255
    return ((pictures - mean) / deviation).movedim(-1, 1)
