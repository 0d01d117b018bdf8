"""Weights files of OANet's temporal networks: half-precision safetensors, with what is needed to build them in the
header.
"""

from pathlib import Path

from torch import Tensor

from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks import weights as weights_file
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import H36M17

FORMAT = "occlupose oanet 1"


def header(oanet: OANetNetwork) -> dict[str, str]:
    """The header of a weights file: the settings of its networks."""
    encoder = oanet.encoder
    return {
        "format": FORMAT,
        "width": str(oanet.width),
        "depth": str(oanet.depth),
        "refine": str(int(oanet.refine)),
        "mask_channel": str(len(H36M17) * encoder.mask_channel),
        "length": str(encoder.window),
        "least": str(encoder.min_confidence),
    }


def save(weights: dict[str, Tensor], oanet: OANetNetwork, path: Path) -> None:
    """Writes weights in half precision, and in the header what `load` needs.

    Raises:
        OccluposeError: the file could not be written.
    """
    weights_file.save(weights_file.half_precision(weights), header(oanet), path)


def load(path: Path) -> OANetNetwork:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of OANet.
    """
    oanet, _ = weights_file.load(path, _build, format=FORMAT, network="OANet", command="occlupose train oanet")
    return oanet


def _build(header: dict[str, str]) -> OANetNetwork:
    """The networks of a header. Raises KeyError or ValueError."""
    mask_channel = {"0": False, str(len(H36M17)): True}[header["mask_channel"]]
    encoder = MaskedEncoder(int(header["length"]), float(header["least"]), mask_channel)
    if encoder.window % STRIDE or not 0 <= encoder.min_confidence <= 1:
        raise ValueError
    return OANetNetwork(int(header["width"]), int(header["depth"]), refine=bool(int(header["refine"])), encoder=encoder)
