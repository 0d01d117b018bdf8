"""An ONNX network that takes images, on the provider of a device."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from occlupose.bounds import brief
from occlupose.errors import OccluposeError

Outputs = dict[str, np.ndarray]

MAX_SIDE = 8192
"""Pixels along a side of an input: a card can claim any size."""

MAX_BATCH = 1024
"""Images at a time, of a network that takes a fixed number."""

PROVIDERS = {
    "cpu": (),
    "cuda": ("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider", "DmlExecutionProvider"),
    "mps": ("CoreMLExecutionProvider",),
    "directml": ("DmlExecutionProvider",),
}
"""Providers of a device, by its torch name (DirectML has none); the first that onnxruntime has is used."""

PACKAGES = {
    "cuda": "onnxruntime-gpu, or onnxruntime-directml on Windows,",
    "mps": "onnxruntime on macOS",
    "directml": "onnxruntime-directml",
}
"""Packages with the providers of a device."""

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of the input, by onnxruntime's names."""


class OnnxSession:
    """The network in an ONNX file, with one input (batch, 3, height, width).

    Arguments:
        file: .onnx.
        threads: processor threads.
        device: as in torch: "cpu", "cuda", "cuda:1", "mps"; or "directml".

    Attributes:
        file: .onnx.
        width, height: of the input, px; None: any.
        dtype: of the input.
        names: other names of outputs; by default their own.

    Raises:
        OccluposeError: onnxruntime is not installed, or has no provider of this device; no such file; not an ONNX
            network; it has another kind of input.
    """

    def __init__(self, file: Path, *, threads: int = 2, device: str = "cpu") -> None:
        self.file = file
        self.names: dict[str, str] = {}
        self._session = _open(file, threads, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise OccluposeError(f"{file}: has {len(inputs)} inputs ({names}); give a network with one, the image")
        self._input = inputs[0].name
        shape = inputs[0].shape
        sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
        if len(sizes) != 4 or sizes[1] not in (3, None):
            raise OccluposeError(f"{file}: its input is {shape}; give a network that takes (batch, 3, height, width)")
        self._batch, _, self.height, self.width = sizes
        if any(size is not None and size > MAX_SIDE for size in sizes) or (self._batch or 1) > MAX_BATCH:
            raise OccluposeError(f"{file}: its input is {shape}; at most {MAX_BATCH} images of {MAX_SIDE} x {MAX_SIDE}")
        if inputs[0].type not in DTYPES:
            raise OccluposeError(f"{file}: its input is {inputs[0].type}; give a network of float or uint8 images")
        self.dtype = np.dtype(DTYPES[inputs[0].type])

    def __call__(self, images: Float[np.ndarray, "image 3 height width"], *, batch: int = 32) -> Iterator[Outputs]:
        """Outputs for some of the images at a time, all in their order; numbers with decimals are float32.

        Arguments:
            images: values as the network wants them.
            batch: maximum number of images at a time, where the network takes any number.

        Raises:
            OccluposeError: the network fails.
        """
        size = self._batch or batch
        for start in range(0, len(images), size):
            part = images[start : start + size]
            count = len(part)
            if self._batch is not None and count < size:
                part = np.concatenate([part, np.zeros((size - count, *part.shape[1:]), part.dtype)])
            yield {name: values[:count] for name, values in self._run(part).items()}

    @property
    def size(self) -> dict[str, int]:
        """The sides of the input that the file fixes: `width`, `height`, px."""
        sides = {"width": self.width, "height": self.height}
        return {name: side for name, side in sides.items() if side is not None}

    def try_out(self, width: int, height: int) -> Outputs:
        """Outputs for one black image.

        Raises:
            OccluposeError: the network takes no images of this size, or fails.
        """
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            size = f"{brief(width)} x {brief(height)}"
            raise OccluposeError(f"{self.file}: images of {size} are too large; at most {MAX_SIDE} x {MAX_SIDE}")
        if (self.width or width, self.height or height) != (width, height):
            raise OccluposeError(
                f"{self.file}: takes images of {_side(self.width)} x {_side(self.height)}; its card says"
                f" {width} x {height}"
            )
        return next(self(np.zeros((1, 3, height, width), np.float32)))

    def _run(self, images: np.ndarray) -> Outputs:
        names = [output.name for output in self._session.get_outputs()]
        try:
            values = self._session.run(None, {self._input: np.ascontiguousarray(images, self.dtype)})
        except Exception as error:  # onnxruntime's exceptions have no class in common
            size = f"{images.shape[3]} x {images.shape[2]}"
            raise OccluposeError(
                f"{self.file}: fails on images of {size} ({_first_line(error)}); give another network or card"
            ) from error
        arrays = [np.asarray(value) for value in values]
        plain = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays]
        return {self.names.get(name, name): array for name, array in zip(names, plain, strict=True)}


def find_output(outputs: Outputs, name: str, fits: Callable[[np.ndarray], bool]) -> np.ndarray | None:
    """The output of this name, else the only one that fits; None where there is none."""
    if name in outputs:
        return outputs[name] if fits(outputs[name]) else None
    fitting = [values for values in outputs.values() if fits(values)]
    return fitting[0] if len(fitting) == 1 else None


def describe(outputs: Outputs) -> str:
    """Names and shapes of outputs, in words."""
    return ", ".join(f"{name} {values.shape}" for name, values in outputs.items())


def choose_providers(device: str, available: list[str]) -> list[Any]:
    """Providers of onnxruntime for a device, best first; the CPU is the last.

    Arguments:
        device: as for `OnnxSession`.
        available: what onnxruntime has.

    Raises:
        OccluposeError: unknown device, or onnxruntime has none of its providers.
    """
    kind, _, number = device.partition(":")
    if kind not in PROVIDERS or (number and not number.isdecimal()):
        raise OccluposeError(f"device {device}: unknown to onnxruntime; give {', '.join(PROVIDERS)}")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    chosen = next((provider for provider in PROVIDERS[kind] if provider in available), None)
    if chosen is None:
        raise OccluposeError(
            f"device {device}: onnxruntime cannot use it here; pip install {PACKAGES[kind]} or give cpu"
        )
    options = {"device_id": int(number)} if number else {}
    return [(chosen, options), "CPUExecutionProvider"]


def _open(file: Path, threads: int, device: str) -> Any:
    """The file, ready to run.

    Raises:
        OccluposeError: onnxruntime is not installed; no such file; not an ONNX network; the device cannot be used.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OccluposeError(f"{file}: needs onnxruntime; pip install onnxruntime") from error
    if not file.is_file():
        raise OccluposeError(f"{file}: no such file; give an ONNX network")
    providers = choose_providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails is raised
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no class in common
        raise OccluposeError(f"{file}: not an ONNX network that onnxruntime can run ({_first_line(error)})") from error
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if wanted not in session.get_providers():
        raise OccluposeError(
            f"device {device}: onnxruntime could not start its {wanted}; check the driver's and its libraries'"
            " versions, or give cpu"
        )
    return session


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _side(size: int | None) -> str:
    return "any" if size is None else str(size)
