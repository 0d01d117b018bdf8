"""Weights files: safetensors whose header describes how to build the network."""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from occlupose.bounds import brief
from occlupose.errors import OccluposeError
from occlupose.files import atomic

N = TypeVar("N", bound=nn.Module)

MAX_NUMBER = 8192
"""Of layers, channels, pixels, ... in a header: a short file can claim networks of any size."""


def save(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Writes weights with a header; the same weights give the same bytes.

    Raises:
        OccluposeError: the file could not be written.
    """
    with atomic(path) as temporary:
        contiguous = {name: value.contiguous() for name, value in tensors.items()}
        temporary.write_bytes(_sort_header(serialise(contiguous, header)))


def half_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating point tensors in half precision, the others as they are."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}


def full_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating point tensors in full precision, the others as they are."""
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def half_kernels(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels in half precision, per-channel parameters in full: half the size for a convolutional network."""
    return {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}


def _sort_header(file: bytes) -> bytes:
    """The safetensors file with its header in alphabetical order; the library's order varies."""
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    return file[:8] + header.encode().ljust(size) + file[8 + size :]


def header(path: Path) -> dict[str, str]:
    """The header of a weights file; empty if it cannot be read."""
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
        build: builds the network from the header.
        format: required value of `format` in the header.
        network, command: name of the network and the command that writes such files, for error messages.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not weights of this network.
    """
    cure = f"give a file that `{command}` wrote"
    refusal = f"{path}: not readable as weights of {network}; {cure}"
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            absurd = [f"{name} {value}" for name, value in header.items() if _is_absurd(value)]
            if absurd:
                raise OccluposeError(f"{path}: says {brief(absurd[0])}, at most {MAX_NUMBER} is possible; {cure}")
            if header.get("format") != format:
                holds = f" (their format is '{header['format']}')" if "format" in header else ""
                raise OccluposeError(f"{path}: not the weights of {network}{holds}; {cure}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except FileNotFoundError as error:
        missing = "no such file" if _is_missing(path) else "cannot be read, check its permissions"
        raise OccluposeError(f"{path}: {missing}; {cure}") from error
    except (SafetensorError, OSError, MemoryError) as error:
        raise OccluposeError(refusal) from error
    if wrong := [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise OccluposeError(f"{path}: {wrong[0]} has values that are not numbers; {cure}")
    try:
        # "meta" skips the random initialisation
        with at_most(len(tensors)), torch.device("meta"):
            built = build(header)
        built.load_state_dict(full_precision(tensors), assign=True)
    except RuntimeError as error:
        mismatch = f"{path}: not readable as weights of {network}: tensors do not match this version"
        raise OccluposeError(f"{mismatch}; {cure}") from error
    except (KeyError, ValueError, TypeError, OverflowError, MemoryError, OccluposeError) as error:
        raise OccluposeError(refusal) from error
    return built.eval(), header


def _is_missing(path: Path) -> bool:
    """Whether there is no such file; not if its folder may not be looked into."""
    try:
        return not path.exists()
    except OSError:
        return False


def _is_absurd(value: str) -> bool:
    """Whether a header's value is a number that no network has."""
    return re.fullmatch(r"[+-]?[0-9_]+", value) is not None and (len(value) > 9 or int(value) > MAX_NUMBER)


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Ends the building of a network that has many more tensors than the file that it is for.

    Raises:
        ValueError: from the block.
    """
    thread = threading.get_ident()
    built = itertools.count(1)

    def check(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        if threading.get_ident() == thread and next(built) > 4 * count + 1000:
            raise ValueError("more tensors than in the file")

    with register_module_parameter_registration_hook(check):
        yield


def to_device(network: N, device: str) -> N:
    """Moves a network to a device, named as in torch.

    Raises:
        OccluposeError: no such device here.
    """
    try:
        torch.ones(1, device=device).cpu()  # fails on meta, which holds no numbers
        return network.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise OccluposeError(f"device {device}: torch cannot use it here ({reason}); give cpu") from error
