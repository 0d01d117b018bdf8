"""Speed of HUPOR at the paper's size, 832 x 512 px, by the number of people.

    python benchmarks/hupor_speed.py

Networks of the paper's size with random weights (time does not depend on them): `detection` and `reasoning` of one
image. Random weights detect nobody, so `grouping` is of exact maps of `people` people, up to the depth of every joint.
Each number of people runs in a process of its own, whose peak memory is `peak_mib` (on a GPU, that of the GPU).
`all_ms` is the sum of the three; `to_3_people` is relative to three people.

The paper, on a GPU that it does not name there: 99.8 ms per image for 3 people and 104.7 for 20; SMAP, whose network is
the paper's detector, 87.1 ms.

Writes results/hupor_speed.csv.
"""

import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import tyro
from results import write
from rich.console import Console

from occlupose.methods.hupor.decode import decode
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.methods.hupor.predict import HUPORPredictor
from occlupose.methods.hupor.weights import TrainedHUPOR

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hupor_maps import exact_maps, random_people, random_states

RESULTS = Path(__file__).parent / "results" / "hupor_speed.csv"
COLUMNS = ("people", "detection_ms", "reasoning_ms", "grouping_ms", "all_ms", "to_3_people", "peak_mib")
PEOPLE = (3, 20)


def measure(people: int, repeats: int, device: str) -> list[float]:
    """Medians of detection, reasoning and grouping, ms, and peak memory, MiB."""
    torch.manual_seed(0)
    hupor = HUPORPredictor(TrainedHUPOR(HUPORNetwork(HUPORDesign()).eval()), device=device)
    random = np.random.default_rng(people)
    image = random.integers(0, 256, (512, 832, 3), np.uint8)
    maps = exact_maps(random_people(random, people), random_states(random, people), hupor.codec)
    on_gpu = torch.device(device).type == "cuda"
    reason = hupor.networks.hidden_maps
    detected = 0.0

    def reason_after_detection(visible: PoseMaps) -> PoseMaps:
        nonlocal detected
        if on_gpu:
            torch.cuda.synchronize()
        detected = time.perf_counter()
        return reason(visible)

    hupor.networks.hidden_maps = reason_after_detection
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        hupor.predict_maps(image)
        predicted = time.perf_counter()
        decode(maps, hupor.codec)
        grouped = time.perf_counter()
        times.append([1000 * part for part in (detected - start, predicted - detected, grouped - predicted)])
    if on_gpu:
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*(statistics.median(part) for part in zip(*times[1:], strict=True)), peak]


def main(repeats: int = 5, device: str = "cpu", output: Path = RESULTS) -> None:
    """Measure.

    Args:
        repeats: of each, after one that does not count.
        device: of the networks: cpu or cuda.
        output: .csv file.
    """
    rows = []
    first = None
    for people in PEOPLE:
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            detection, reasoning, grouping, peak = alone.submit(measure, people, repeats, device).result()
        total = detection + reasoning + grouping
        first = first or total
        times = (f"{value:.1f}" for value in (detection, reasoning, grouping, total))
        rows.append((people, *times, f"{total / first:.3f}", f"{peak:.0f}"))
        Console(stderr=True).print(*rows[-1])
    write(output, COLUMNS, rows)


if __name__ == "__main__":
    tyro.cli(main)
