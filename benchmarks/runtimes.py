"""Time of MoveNet and NanoDet on the CPU in onnxruntime, as this package runs them, in torch, and in LiteRT.

    python benchmarks/runtimes.py --models MODELS --tensorflow PYTHON

MODELS and PYTHON: see `tensorflow_networks.py`, which converts the published graphs for LiteRT. torch runs the modules
as they are, with their kernels in the order channels_last. LiteRT's networks take one picture; a batch is as many
calls. The pictures, of random numbers, have the published sizes.

Each round runs every runtime, after a pause and a call that does not count. CPU time is that of all threads. The times
are medians over the rounds; so are the ratios, to onnxruntime in the same round. Run it on a machine that does nothing
else. Finished rows are kept in runtimes_runs.csv until all are, so that an interrupted benchmark resumes, unless the
code has changed.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from tables import markdown_table

from occlupose.networks import pretrained

COLUMNS = ("network", "batch", "threads", "runtime", "cpu_ms", "wall_ms", "cpu_ratio", "wall_ratio")
RUNTIMES = ("onnxruntime", "torch", "LiteRT")
SIDES = {"movenet_thunder": 256, "movenet_multipose": 256, "nanodet_g": 416}
BATCHES = {"movenet_thunder": (1, 2, 4), "movenet_multipose": (1,), "nanodet_g": (1,)}
THREADS = (1, 2)
PAUSE = 0.05
"""Seconds before a runtime's turn, in which threads of the one before stop waiting."""

Pictures = UInt8[np.ndarray, "batch height width 3"]
Runtime = Callable[[Pictures], tuple[np.ndarray, ...]]


class LiteRT:
    """A .tflite file that takes one picture."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    def __call__(self, pictures: Pictures) -> tuple[np.ndarray, ...]:
        """The outputs of all pictures, in the order of the file."""
        found = []
        for picture in pictures:
            self._interpreter.set_tensor(self._input["index"], picture[None])
            self._interpreter.invoke()
            found.append([self._interpreter.get_tensor(output["index"]) for output in self._outputs])
        return tuple(map(np.concatenate, zip(*found, strict=True)))


class Torch:
    """A module, as it is."""

    def __init__(self, network: str, threads: int) -> None:
        self._module = pretrained.build(network).to(memory_format=torch.channels_last)
        self._threads = threads

    def __call__(self, pictures: Pictures) -> tuple[np.ndarray, ...]:
        """The outputs of the module."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            return tuple(output.numpy() for output in self._module(torch.from_numpy(pictures)))


def build(network: str, threads: int, tflite: Path) -> dict[str, Runtime]:
    """A network in each of the runtimes.

    Arguments:
        tflite: folder of NETWORK.tflite.
    """
    return {
        "onnxruntime": pretrained.load(network, threads=threads),
        "torch": Torch(network, threads),
        "LiteRT": LiteRT(tflite / f"{network}.tflite", threads),
    }


def measure(runtimes: Mapping[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, float]:
    """Times of one call and their ratios to those of the first runtime, by "runtime, column".

    Arguments:
        calls: that are measured together, in each round.
    """
    times = np.array([[_time(runtime, calls) for runtime in runtimes.values()] for _ in range(rounds)])
    ratios = times / times[:, :1]
    medians = np.concatenate([np.median(times, 0), np.median(ratios, 0)], -1)
    return {
        f"{name}, {column}": float(value)
        for name, values in zip(runtimes, medians, strict=True)
        for column, value in zip(COLUMNS[4:], values, strict=True)
    }


def _time(runtime: Callable[[], object], calls: int) -> Float[np.ndarray, " 2"]:
    """CPU and wall time of a call, ms."""
    time.sleep(PAUSE)
    runtime()
    cpu = time.process_time()
    wall = time.perf_counter()
    for _ in range(calls):
        runtime()
    return 1000 / calls * np.array([time.process_time() - cpu, time.perf_counter() - wall])


def draw(network: str, batch: int) -> Pictures:
    """Pictures of random numbers."""
    side = SIDES[network]
    return np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)


def measure_group(network: str, batch: int, threads: int, tflite: Path, rounds: int, calls: int) -> dict[str, float]:
    """Times of a network in all runtimes."""
    pictures = draw(network, batch)
    runtimes = build(network, threads, tflite)
    return measure({name: partial(runtime, pictures) for name, runtime in runtimes.items()}, rounds, calls)


def convert(models: Path, python: Path, folder: Path) -> None:
    """Writes NETWORK.tflite for each network."""
    pictures = folder / "pictures.npz"
    np.savez(pictures, **{network: draw(network, 1) for network in SIDES})
    script = Path(__file__).with_name("tensorflow_networks.py")
    subprocess.run([python, script, "convert", models, pictures, folder], check=True, capture_output=True)


def groups() -> Iterator[tuple[str, int, int]]:
    """Network, batch and threads."""
    for network, batches in BATCHES.items():
        for batch in batches:
            for threads in THREADS:
                yield network, batch, threads


def rows(runs: dict[str, dict[str, float]]) -> Iterator[tuple[object, ...]]:
    """The table."""
    for network, batch, threads in groups():
        values = runs[f"{network}, {batch}, {threads}"]
        for runtime in RUNTIMES:
            times = [f"{values[f'{runtime}, {column}']:.1f}" for column in COLUMNS[4:6]]
            ratios = [f"{values[f'{runtime}, {column}']:.2f}" for column in COLUMNS[6:]]
            yield network, batch, threads, runtime, *times, *ratios


def main(
    models: Path,
    tensorflow: Path,
    rounds: int = 7,
    calls: int = 3,
    output: Path = Path(__file__).parent / "results" / "runtimes.csv",
) -> None:
    """Measures the runtimes.

    Args:
        models: folder of the published graph models.
        tensorflow: Python interpreter of the environment of TensorFlow.
        rounds: of all runtimes.
        calls: measured together in a round.
        output: table to write.
    """
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), COMMIT)
    with tempfile.TemporaryDirectory() as folder:
        convert(models, tensorflow, Path(folder))
        for network, batch, threads in track(list(groups()), "measuring", console=Console(stderr=True)):
            action = partial(measure_group, network, batch, threads, Path(folder), rounds, calls)
            runs.once(f"{network}, {batch}, {threads}", action)
    found = list(rows(runs.done()))
    write(output, COLUMNS, found)
    runs.path.unlink()
    print(markdown_table([dict(zip(COLUMNS, map(str, row), strict=True)) for row in found]))


if __name__ == "__main__":
    tyro.cli(main)
