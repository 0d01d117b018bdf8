"""Weights of OANet's temporal networks: half-precision safetensors that carry what is needed to build and to use
them.
"""

from dataclasses import dataclass
from pathlib import Path

from occlupose.methods.oanet.network import OANet
from occlupose.networks import weights as weights_file
from occlupose.networks.tcn import STRIDE

FORMAT = "occlupose oanet 1"


@dataclass(frozen=True)
class Trained:
    """The networks, and how they are used."""

    oanet: OANet
    length: int
    """Frames of a sequence."""
    least: float
    """Evidence of a joint that is believed."""


def save(trained: Trained, path: Path) -> None:
    """Writes the weights, and what `load` needs in the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    oanet = trained.oanet
    header: dict[str, object] = {
        "format": FORMAT,
        "width": oanet.width,
        "depth": oanet.depth,
        "refine": int(oanet.refine),
        "mask_channel": int(oanet.mask_channel),
    }
    header |= {"length": trained.length, "least": trained.least}
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in oanet.state_dict().items()}
    weights_file.save(tensors, {name: str(value) for name, value in header.items()}, path)


def is_oanet(path: Path) -> bool:
    """Whether a file that can be read as weights says that they are those of OANet."""
    return weights_file.header(path).get("format") == FORMAT


def load(path: Path) -> Trained:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of OANet.
    """

    def build(header: dict[str, str]) -> OANet:
        width, depth, refine, mask_channel, length = (
            int(header[name]) for name in ("width", "depth", "refine", "mask_channel", "length")
        )
        if length % STRIDE or not 0 <= float(header["least"]) <= 1:
            raise ValueError
        return OANet(width, depth, refine=bool(refine), mask_channel=bool(mask_channel))

    oanet, header = weights_file.load(path, build, format=FORMAT, network="OANet", command="occlupose train oanet")
    return Trained(oanet, int(header["length"]), float(header["least"]))
