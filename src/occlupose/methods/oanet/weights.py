"""Weights files of OANet's temporal networks: half-precision safetensors whose header has what is needed to build and
use the networks.
"""

from dataclasses import dataclass
from pathlib import Path

from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks import weights as weights_file
from occlupose.networks.tcn import STRIDE

FORMAT = "occlupose oanet 1"


@dataclass(frozen=True)
class TrainedOANet:
    """The networks and the settings that they were trained with."""

    oanet: OANetNetwork
    window: int
    """Frames of a sequence; `length` in the file's header."""
    min_confidence: float
    """Lowest confidence of a reliable joint; `least` in the file's header."""


def save(trained: TrainedOANet, path: Path) -> None:
    """Writes the weights, and in the header what `load` needs.

    Raises:
        OccluposeError: the file could not be written.
    """
    oanet = trained.oanet
    header = {
        "format": FORMAT,
        "width": str(oanet.width),
        "depth": str(oanet.depth),
        "refine": str(int(oanet.refine)),
        "mask_channel": str(int(oanet.mask_channel)),
        "length": str(trained.window),
        "least": str(trained.min_confidence),
    }
    weights_file.save(weights_file.half_precision(oanet.state_dict()), header, path)


def is_oanet(path: Path) -> bool:
    """Whether the header of a weights file says that it holds OANet's networks."""
    return weights_file.header(path).get("format") == FORMAT


def load(path: Path) -> TrainedOANet:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of OANet.
    """

    def build(header: dict[str, str]) -> OANetNetwork:
        if int(header["length"]) % STRIDE or not 0 <= float(header["least"]) <= 1:
            raise ValueError
        return OANetNetwork(
            int(header["width"]),
            int(header["depth"]),
            refine=bool(int(header["refine"])),
            mask_channel=bool(int(header["mask_channel"])),
        )

    oanet, header = weights_file.load(path, build, format=FORMAT, network="OANet", command="occlupose train oanet")
    return TrainedOANet(oanet, int(header["length"]), float(header["least"]))
