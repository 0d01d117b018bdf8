"""Weights files of the lifter: half-precision safetensors whose header has what is needed to build the network."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor

from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.networks import weights as weights_file

DEFAULT = "oanet_lifter.cmu.safetensors"
"""The lifter that ships with the package."""

FORMAT = "occlupose oanet lifter 1"


def shipped() -> Path:
    """The weights file that ships with the package."""
    return Path(str(files("occlupose") / "weights" / DEFAULT))


def card(path: Path | None = None) -> dict[str, Any]:
    """The card of a weights file, by default the shipped one: data, licence, command, results."""
    return json.loads((path or shipped()).with_suffix(".json").read_text())


def save(weights: dict[str, Tensor], lifter: Lifter, path: Path) -> None:
    """Writes weights in half precision, with width and depth in the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    header = {"format": FORMAT, "width": str(lifter.width), "depth": str(lifter.depth)}
    weights_file.save(weights_file.half_precision(weights), header, path)


def load(path: Path | None = None) -> Lifter:
    """The lifter of a weights file (by default the shipped one), ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of this lifter.
    """
    lifter, _ = weights_file.load(
        path or shipped(),
        lambda header: Lifter(int(header["width"]), int(header["depth"])),
        format=FORMAT,
        network="an OANet lifter",
        command="occlupose train lifter",
    )
    return lifter
