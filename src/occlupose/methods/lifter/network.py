"""The lifter's network: from encoded 2D joints over time to 3D joints, where the person is, and how certain both are.

Ours. A `TemporalTransformer` corrects the 2D joints, placed at the person's distance. Every answer has a covariance,
which is learnt as that of a normal distribution (Kendall and Gal 2017, eq. 5, with all six numbers).
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.methods.lifter.features import AHEAD_CHANNELS, CHANNELS, Frames, View
from occlupose.networks import weights as weights_file
from occlupose.networks.temporal_transformer import TemporalTransformer
from occlupose.skeletons import BODY22_TO_H36M17, H36M17

JOINTS = len(H36M17)

OUTPUTS = (3 * JOINTS + 3, 6 * JOINTS + 6)
"""Of two heads: offsets of every joint and the place; how precise they are."""

SIGMA = (1e-3, 3.0)
"""Least and largest standard deviation along an axis that the network can state: m, or shares of the distance."""

INITIAL_SIGMA = 0.1

FORMAT = "occlupose lifter 1"

DEFAULT = Path(str(files("occlupose") / "weights" / "lifter.safetensors"))
"""The weights that ship with the package."""


@dataclass
class LifterOutput:
    """3D joints of H36M-17, in the camera's axes.

    Attributes:
        xyz: relative to the root, m.
        factor: of the precision of each joint, see `covariances`; 1/m.
        root: the root, m.
        root_factor: of its precision, 1/m.
    """

    xyz: Float[Tensor, "*batch 17 3"]
    factor: Float[Tensor, "*batch 17 3 3"]
    root: Float[Tensor, "*batch 3"]
    root_factor: Float[Tensor, "*batch 3 3"]

    def __getitem__(self, index: Any) -> Self:
        return type(self)(*(value[index] for value in vars(self).values()))


class LifterNetwork(nn.Module):
    """Lifts people frame by frame, each with what is known up to a horizon.

    Arguments:
        width: channels of the transformer.
        depth: layers of its encoder.
    """

    def __init__(self, width: int = 256, depth: int = 3) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.transformer = TemporalTransformer(CHANNELS, AHEAD_CHANNELS, OUTPUTS, width=width, depth=depth)
        self.register_load_state_dict_pre_hook(split_head)

    def forward(
        self,
        frames: Frames,
        ahead: Float[Tensor, "batch time channels"],
        joints: Float[Tensor, "batch time 22 2"],
        time: Float[Tensor, "batch time"],
        horizon: Float[Tensor, "batch time"],
    ) -> LifterOutput:
        """All frames of sequences.

        Arguments:
            ahead, joints: see `features.look_ahead`.
            time, horizon: of each frame, seconds.
        """
        outputs = self.transformer(frames.channels, ahead, time, horizon)
        with torch.autocast(outputs.device.type, enabled=False):
            return decode(outputs, joints, frames.view)


def split_head(_: nn.Module, weights: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Weights of earlier versions, with one head for all outputs, as those of two."""
    out = f"{prefix}transformer.out."
    if f"{out}3.weight" not in weights:
        return
    offset, precision, place, root_precision = torch.arange(sum(OUTPUTS)).split([3 * JOINTS, 6 * JOINTS, 3, 6])
    rows = (torch.cat([offset, place]), torch.cat([precision, root_precision]))
    for name in [name for name in weights if name.startswith(out)]:
        value = weights.pop(name)
        for head, own in enumerate(rows):
            weights[name.replace(out, f"{out}{head}.")] = value[own] if name.startswith(f"{out}3.") else value


def decode(outputs: Float[Tensor, "*batch outputs"], joints: Float[Tensor, "*batch 22 2"], view: View) -> LifterOutput:
    """What the network's outputs mean."""
    offset, place, precision, root_precision = outputs.float().split([3 * JOINTS, 3, 6 * JOINTS, 6], -1)
    flat = nn.functional.pad(joints[..., BODY22_TO_H36M17, :], (0, 1))
    xyz = flat + offset.unflatten(-1, (JOINTS, 3))
    root = xyz[..., 0, :]
    distance = place[..., 2].exp() / view.scale
    where = torch.cat(
        [(flat[..., 0, :2] + place[..., :2]) * view.scale[..., None], torch.ones_like(place[..., :1])], -1
    )
    axes = view.rotation[..., None, :, :]
    factor = _factor(precision.unflatten(-1, (JOINTS, 6))) @ axes
    root_factor = _factor(root_precision) @ view.rotation / distance.detach()[..., None, None]
    xyz = (xyz - root[..., None, :]) @ view.rotation
    position = ((where * distance[..., None])[..., None, :] @ view.rotation)[..., 0, :]
    return LifterOutput(xyz, factor, position, root_factor)


def _factor(numbers: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Lower triangular matrices A; the precision is A.T A."""
    low = -torch.tensor(SIGMA[1]).log()
    high = -torch.tensor(SIGMA[0]).log()
    middle = -torch.tensor(INITIAL_SIGMA).log()
    diagonal = (middle + numbers[..., :3]).clamp(low, high).exp()
    below = numbers[..., 3:] * diagonal[..., [1, 2, 2]]
    matrix = torch.diag_embed(diagonal)
    rows = torch.tensor([1, 2, 2])
    columns = torch.tensor([0, 0, 1])
    matrix[..., rows, columns] = below
    return matrix


def covariances(factor: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The covariances of these factors, m²."""
    inverse = torch.linalg.inv(factor)
    return inverse @ inverse.mT


def card(path: Path | None = None) -> dict[str, Any]:
    """The card of a weights file, by default the shipped one: data, licence, command, results."""
    return json.loads((path or DEFAULT).with_suffix(".json").read_text())


def save(weights: dict[str, Tensor], network: LifterNetwork, path: Path) -> None:
    """Writes weights in half precision.

    Raises:
        OccluposeError: the file could not be written.
    """
    header = {"format": FORMAT, "width": str(network.width), "depth": str(network.depth)}
    weights_file.save(weights_file.half_precision(weights), header, path)


def load(path: Path | None = None) -> LifterNetwork:
    """The network of a weights file (by default the shipped one), ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of the lifter.
    """
    network, _ = weights_file.load(
        path or DEFAULT,
        lambda header: LifterNetwork(int(header["width"]), int(header["depth"])),
        format=FORMAT,
        network="the lifter",
        command="occlupose train lifter",
    )
    return network
