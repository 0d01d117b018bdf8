"""MoveNet and NanoDet as TensorFlow.js graph models, with the names of the published files: only what a reader of the
weights needs.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from occlupose.networks.pretrained import WEIGHTS

ROOT = "StatefulPartitionedCall"
EXTRACTOR = f"{ROOT}/center_net_mobile_net_v2fpn_feature_extractor/model_1"
HEADS = {
    "movenet_thunder": ("center", "heatmap", "regression", "offset"),
    "movenet_multipose": ("center", "box_scale", "box_offset", "heatmap", "regression", "offset"),
}
"""Heads in the order in which Keras numbered their layers, from 3 and 4 on."""

THEIRS = {"heatmap": "kpt_heatmap", "regression": "kpt_regress", "offset": "kpt_offset"}


def shipped(network: str) -> dict[str, Tensor]:
    """The weights of a network as they are part of the package."""
    return load_file(WEIGHTS / f"{network}.safetensors")


def movenet_layers(network: str) -> dict[str, tuple[str, str]]:
    """Names of kernel and bias in the published file, by our layer; of those without a bias the second is empty."""
    layers = {}
    for ours, theirs in (("stem", "Conv1"), ("last", "Conv_1")):
        layers[f"backbone.{ours}"] = folded(theirs, "Conv2D")
    for number in range(17):
        theirs = f"block_{number}" if number else "expanded_conv"
        for part in ("expand", "depthwise", "project"):
            kind = "depthwise" if part == "depthwise" else "Conv2D"
            layers[f"backbone.blocks.{number}.{part}"] = folded(f"{theirs}_{part}", kind)
    for number, name in enumerate(("conv2d", "conv2d_1", "conv2d_2", "conv2d_3")):
        layers[f"pyramid.lateral.{3 - number}"] = variables(f"{EXTRACTOR}/{name}", "Conv2D")
    for number, name in enumerate(("separable_conv2d", "separable_conv2d_1", "separable_conv2d_2")):
        theirs = f"{EXTRACTOR}/{name}/separable_conv2d"
        layers[f"pyramid.merge.{2 - number}.0"] = (f"{theirs}/ReadVariableOp", "")
        layers[f"pyramid.merge.{2 - number}.1"] = (f"{theirs}_weights", f"{theirs}_bn_offset")
    for number, head in enumerate(HEADS[network]):
        theirs = f"{ROOT}/{THEIRS.get(head, head)}_0"
        separable = f"{theirs}/separable_conv2d_{number + 3}"
        layers[f"heads.{head}.0.0"] = (f"{separable}/separable_conv2d/ReadVariableOp", "")
        layers[f"heads.{head}.0.1"] = (
            f"{separable}/separable_conv2d/ReadVariableOp_1",
            f"{separable}/BiasAdd/ReadVariableOp",
        )
        layers[f"heads.{head}.2"] = variables(f"{theirs}/conv2d_{number + 4}", "Conv2D")
    return layers


def folded(name: str, kind: str) -> tuple[str, str]:
    """Names of a layer with a folded batch normalisation."""
    return f"{EXTRACTOR}/model/{name}/{kind}_weights", f"{EXTRACTOR}/model/{name}/{kind}_bn_offset"


def variables(name: str, kind: str) -> tuple[str, str]:
    """Names of a layer of Keras."""
    return f"{name}/{kind}/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp"


def nanodet_layers() -> dict[str, tuple[str, str]]:
    """The same of NanoDet, whose names are numbers."""
    order = ["stem"]
    for stage, blocks in enumerate((1, 2, 2, 3)):
        order.append(f"stages.{stage}.start")
        order += [f"stages.{stage}.blocks.{block}.{part}" for block in range(blocks) for part in ("first", "second")]
        order.append(f"stages.{stage}.end")
    order += ["lateral.0", "lateral.1", "lateral.2"]
    order += [f"heads.{level}.{part}" for level in range(3) for part in (0, 2)]
    biases = [*range(0, 56, 2), 60, 62, 66, 68, 70, 72]
    kernels = ["split", *(f"split_{number}" for number in range(1, 34))]
    return {
        layer: (f"PartitionedCall/{kernel}", f"unknown_{bias}")
        for layer, kernel, bias in zip(order, kernels, biases, strict=True)
    }


def to_tensorflow(state: Mapping[str, Tensor], network: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict by their published names, in TensorFlow's order; and some that are no weights."""
    layers = nanodet_layers() if network == "nanodet_g" else movenet_layers(network)
    tensors = {
        f"{ROOT}/Reshape/shape": np.array([1, -1, 17], np.int32),
        f"{ROOT}/Where": np.zeros((0, 1), np.int32),
        "PartitionedCall/PadV2/constant_values": np.array(-np.inf, np.float16),
    }
    for layer, (kernel, bias) in layers.items():
        if f"{layer}.weight" in state:  # the first block does not expand
            weight = state[f"{layer}.weight"]
            depthwise = weight.shape[1] == 1 and weight.shape[2] == 3
            tensors[kernel] = weight.permute((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)).numpy()
        if f"{layer}.bias" in state:
            tensors[bias] = state[f"{layer}.bias"].numpy()
    assert len(tensors) == len(state) + 3
    return tensors


def write(path: Path, tensors: Mapping[str, np.ndarray], parts: int = 1) -> Path:
    """A graph model, and its numbers in files beside it.

    Arguments:
        path: .json file.
        parts: number of these files.
    """
    weights = []
    for name, values in tensors.items():
        weight = {"name": name, "shape": list(values.shape), "dtype": values.dtype.name}
        if values.dtype == np.float16:
            weight |= {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
        weights.append(weight)
    numbers = b"".join(values.tobytes() for values in tensors.values())
    names = [f"{path.stem}.bin"] if parts == 1 else [f"{path.stem}-{part}of{parts}.bin" for part in range(parts)]
    size = -(-len(numbers) // parts)
    for part, name in enumerate(names):
        path.with_name(name).write_bytes(numbers[part * size : (part + 1) * size])
    model = {"format": "graph-model", "weightsManifest": [{"paths": names, "weights": weights}]}
    path.write_text(json.dumps(model))
    return path


def write_network(folder: Path, network: str) -> Path:
    """A network with the weights of the package."""
    return write(folder / f"{network}.json", to_tensorflow(shipped(network), network))


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether names, types and values are the same."""
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )
