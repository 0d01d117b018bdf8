"""A .tflite network: arrays in, arrays out, and the time it took."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float


class Network:
    """Arguments: the file, and how many processor threads it may use.

    Attributes:
        seconds: spent inside the network so far.
    """

    def __init__(self, weights: Path, *, threads: int = 2) -> None:
        with _quiet():
            self._interpreter = Interpreter(model_path=str(weights), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]
        self.seconds = 0.0

    def __call__(self, values: Float[np.ndarray, "height width 3"]) -> list[np.ndarray]:
        """The network's first two outputs, each without its batch axis."""
        self._interpreter.set_tensor(self._input, values[None])
        start = time.perf_counter()
        self._interpreter.invoke()
        self.seconds += time.perf_counter() - start
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs[:2]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the line that TensorFlow Lite itself, past Python, writes to stderr whenever a network is made ready."""
    with open(os.devnull, "wb") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
