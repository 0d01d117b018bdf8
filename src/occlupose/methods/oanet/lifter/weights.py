"""Weights of the lifter: half-precision safetensors that carry what is needed to build the network."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.methods.oanet.lifter.network import Lifter

DEFAULT = "oanet_lifter.cmu.safetensors"
"""The lifter that ships with the package."""

FORMAT = "occlupose oanet lifter 1"


def shipped() -> Path:
    """The weights file that ships with the package."""
    return Path(str(files("occlupose") / "weights" / DEFAULT))


def card(path: Path | None = None) -> dict[str, Any]:
    """What is known of a weights file, by default the shipped one: data, licence, command, figures."""
    return json.loads((path or shipped()).with_suffix(".json").read_text())


def save(weights: dict[str, Tensor], lifter: Lifter, path: Path) -> None:
    """Writes weights in half precision, with width and depth in the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    header = {"format": FORMAT, "width": str(lifter.width), "depth": str(lifter.depth)}
    tensors = {name: value.half().contiguous() if value.is_floating_point() else value for name, value in weights.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(_ordered(serialise(tensors, header)))


def _ordered(file: bytes) -> bytes:
    """The same safetensors file with its header in alphabetical order: the library writes what `header` holds in any."""
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    return file[:8] + header.encode().ljust(size) + file[8 + size :]


def load(path: Path | None = None) -> Lifter:
    """The lifter of a weights file (by default the shipped one), ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of this lifter.
    """
    path = path or shipped()
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise OccluposeError(f"{path}: not the weights of an OANet lifter; give a file that `occlupose train lifter` wrote")
            with torch.device("meta"):  # no time is spent on numbers that are replaced at once
                lifter = Lifter(int(header["width"]), int(header["depth"]))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (it is no dict)
            lifter.load_state_dict(tensors, assign=True)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "not readable as weights of the lifter"
        raise OccluposeError(f"{path}: {reason}; give a file that `occlupose train lifter` wrote") from None
    return lifter.eval()
