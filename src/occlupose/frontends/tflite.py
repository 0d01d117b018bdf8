"""A .tflite network: arrays in, arrays out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Num


class TFLiteNetwork:
    """A network that takes one image.

    Arguments:
        weights: file.
        threads: processor threads.
        divisor, offset: the network's input is value / divisor + offset of a pixel.
    """

    def __init__(self, weights: Path, *, threads: int = 2, divisor: float = 1.0, offset: float = 0.0) -> None:
        self._divisor = divisor
        self._offset = offset
        with _quiet():
            self._interpreter = Interpreter(model_path=str(weights), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, pixels: Num[np.ndarray, "height width 3"]) -> list[np.ndarray]:
        """The network's first two outputs, each without its batch axis."""
        self._fill(pixels)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs[:2]]

    def _fill(self, pixels: Num[np.ndarray, "height width 3"]) -> None:
        """Writes the network's input in place, since a new array costs more than the arithmetic. No view may remain
        afterwards.
        """
        values = self._interpreter.tensor(self._input)()[0]
        np.divide(pixels, self._divisor, out=values, dtype=np.float32, casting="unsafe")
        values += np.float32(self._offset)


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
