"""Weights files of OANet's temporal networks: half-precision safetensors, with what is needed to build them in the
header.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor

from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork, paper_network, shipped_network
from occlupose.networks import weights as weights_file
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import H36M17

DEFAULT = "oanet_lifter.cmu.safetensors"
"""The weights that ship with the package."""

PAPER_FORMAT = "occlupose oanet 1"
SHIPPED_FORMAT = "occlupose oanet lifter 1"


def shipped() -> Path:
    """The weights file that ships with the package."""
    return Path(str(files("occlupose") / "weights" / DEFAULT))


def card(path: Path | None = None) -> dict[str, Any]:
    """The card of a weights file, by default the shipped one: data, licence, command, results."""
    return json.loads((path or shipped()).with_suffix(".json").read_text())


def header(oanet: OANetNetwork) -> dict[str, str]:
    """The header of a weights file: the preset and the settings of its networks."""
    encoder = oanet.encoder
    size = {"width": str(oanet.width), "depth": str(oanet.depth)}
    if not isinstance(encoder, MaskedEncoder):
        return {"format": SHIPPED_FORMAT, **size}
    return {
        "format": PAPER_FORMAT,
        **size,
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


def load(path: Path | None = None) -> OANetNetwork:
    """The networks of a weights file of either preset (by default the shipped one), ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of OANet.
    """
    path = path or shipped()
    is_paper = weights_file.header(path).get("format") == PAPER_FORMAT
    oanet, _ = weights_file.load(
        path,
        _build_paper if is_paper else lambda header: shipped_network(int(header["width"]), int(header["depth"])),
        format=PAPER_FORMAT if is_paper else SHIPPED_FORMAT,
        network="OANet",
        command="occlupose train oanet",
    )
    return oanet


def _build_paper(header: dict[str, str]) -> OANetNetwork:
    """The networks of a header. Raises KeyError or ValueError."""
    mask_channel = {"0": False, str(len(H36M17)): True}[header["mask_channel"]]
    encoder = MaskedEncoder(int(header["length"]), float(header["least"]), mask_channel)
    if encoder.window % STRIDE or not 0 <= encoder.min_confidence <= 1:
        raise ValueError
    return paper_network(
        int(header["width"]), int(header["depth"]), refine=bool(int(header["refine"])), encoder=encoder
    )
