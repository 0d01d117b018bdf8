"""A .tflite network: arrays in, arrays out."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from occlupose.errors import OccluposeError

Shape = tuple[int, ...]


class TFLiteNetwork:
    """A network that takes one image.

    Arguments:
        weights: file.
        size: px, side of its input.
        outputs: name and shape, without the batch axis, of each output that is wanted. The file may have more.
        threads: processor threads.
        divisor, offset: the network's input is value / divisor + offset of a pixel.

    Raises:
        OccluposeError: not a TensorFlow Lite network, or its input or outputs have other shapes.
    """

    def __init__(
        self,
        weights: Path,
        *,
        size: int,
        outputs: Mapping[str, Shape],
        threads: int = 2,
        divisor: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        self._divisor = divisor
        self._offset = offset
        with _quiet():
            self._interpreter = _load(weights, threads)
        self._input = _index(self._interpreter.get_input_details(), (size, size, 3), f"{weights}: no input")
        found = self._interpreter.get_output_details()
        self._outputs = {name: _index(found, shape, f"{weights}: no {name}") for name, shape in outputs.items()}

    def __call__(self, pixels: Num[np.ndarray, "height width 3"]) -> dict[str, np.ndarray]:
        """The outputs by name, each without its batch axis."""
        self._fill(pixels)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}

    def _fill(self, pixels: Num[np.ndarray, "height width 3"]) -> None:
        """Writes the network's input in place, since a new array costs more than the arithmetic. No view may remain
        afterwards.
        """
        values = self._interpreter.tensor(self._input)()[0]
        np.divide(pixels, self._divisor, out=values, dtype=np.float32, casting="unsafe")
        values += np.float32(self._offset)


def check_installed() -> None:
    """Refuses to go on without ai-edge-litert, before anything is downloaded.

    Raises:
        OccluposeError: this optional package is not installed.
    """
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        cure = "pip install '.[blazepose]' in a clone of occlupose"
        raise OccluposeError(f"blazepose: needs ai-edge-litert; {cure}") from error


def _load(weights: Path, threads: int) -> Any:
    """The file, ready to run. Raises OccluposeError."""
    check_installed()
    from ai_edge_litert.interpreter import Interpreter

    if not weights.is_file():
        raise OccluposeError(f"{weights}: no such file; give a .tflite network")
    try:
        interpreter = Interpreter(model_path=str(weights), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise OccluposeError(f"{weights}: not a network that TensorFlow Lite can run; give another file") from error
    return interpreter


def _index(tensors: Sequence[Mapping[str, Any]], shape: Shape, missing: str) -> int:
    """Index of the only tensor of this shape, without the batch axis. Raises OccluposeError."""
    shapes = [tuple(int(side) for side in tensor["shape"][1:]) for tensor in tensors]
    if shapes.count(shape) != 1:
        raise OccluposeError(f"{missing} of shape {shape}, only {shapes}; give the file of another network")
    return int(tensors[shapes.index(shape)]["index"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the line that TensorFlow Lite writes to the process's stderr when a network is loaded."""
    with open(os.devnull, "wb") as null:
        stderr = os.dup(2)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
