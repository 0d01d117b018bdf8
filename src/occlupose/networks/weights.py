"""Weights files: safetensors that carry in their header what is needed to build the network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.files import atomic

N = TypeVar("N", bound=nn.Module)


def save(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Writes weights with a header; the same weights give the same bytes.

    Raises:
        OccluposeError: the file could not be written.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(
            _ordered(serialise({name: value.contiguous() for name, value in tensors.items()}, header))
        )


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels in half precision, what belongs to a channel in full: half the bytes of a convolutional network."""
    return {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}


def _ordered(file: bytes) -> bytes:
    """The same safetensors file with its header in alphabetical order: the library writes what `header` holds in
    any.
    """
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    return file[:8] + header.encode().ljust(size) + file[8 + size :]


def header(path: Path) -> dict[str, str]:
    """What a weights file says of itself; nothing where it cannot be read as one."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def load(
    path: Path, build: Callable[[dict[str, str]], N], *, format: str, network: str, command: str
) -> tuple[N, dict[str, str]]:
    """The network of a weights file, in full precision and ready to use, and the file's header.

    Arguments:
        build: makes the network from the header.
        format: what the header must say under that name.
        network, command: what it is, and which command writes such files, for people to read.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of this network.
    """
    cure = f"give a file that `{command}` wrote"
    refusal = f"{path}: not readable as weights of {network}; {cure}"
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != format:
                holds = f" (they say '{header['format']}')" if "format" in header else ""
                raise OccluposeError(f"{path}: not the weights of {network}{holds}; {cure}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except FileNotFoundError:
        raise OccluposeError(f"{path}: no such file; {cure}") from None
    except (SafetensorError, OSError) as error:
        raise OccluposeError(refusal) from error
    full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        with torch.device("meta"):  # no time is spent on numbers that are replaced at once
            built = build(header)
        built.load_state_dict(full, assign=True)
    except RuntimeError as error:
        of_here = f"{path}: not readable as weights of {network} as this version has it, whose tensors are others"
        raise OccluposeError(f"{of_here}; {cure}") from error
    except (KeyError, ValueError, OccluposeError) as error:
        raise OccluposeError(refusal) from error
    return built.eval(), header


def to_device(network: N, device: str) -> N:
    """The network, on a device as torch names it.

    Raises:
        OccluposeError: torch has no such device here.
    """
    try:
        return network.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise OccluposeError(f"device {device}: torch cannot use it here ({reason}); give cpu") from error
