"""Speed of HUPOR at the paper's size, 832 x 512 px, by networks and by the number of people.

    python benchmarks/hupor_speed.py

Networks of the paper's size with random weights (time does not depend on them): `detection` and `reasoning` of one
image. The paper times 2Hg + 2DSED, a detector and a reasoner of two stages each, and SMAP's 4Hg, a detector of four
stages alone, both without grouping, as `networks_ms` here, and on a GPU that it does not name there: 99.8 and 87.1 ms.
3Hg + 2DSED are the networks of the accuracy in its tables. `to_smap` and `paper_to_smap` are relative to 4Hg. On a CPU
all times are those of one core (CPU time), so that other work on the machine hardly counts.

Random weights detect nobody, so `grouping` is of exact maps of `people` people, up to the depth of every joint.
`all_ms` is the sum of the three, and `to_3_people` relative to three people of the same networks; in the paper it is
1.05 for 20 people. Each row has a process of its own, whose peak memory is `peak_mib` (on a GPU, that of the GPU).

Writes results/hupor_speed.csv.
"""

import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import tyro
from results import write
from rich.console import Console

from occlupose.methods.hupor.decode import decode
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.methods.hupor.predict import HUPORPredictor
from occlupose.methods.hupor.weights import TrainedHUPOR

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hupor_maps import exact_maps, random_people, random_states

RESULTS = Path(__file__).parent / "results" / "hupor_speed.csv"
SMAP = "4Hg"
DESIGNS = {
    "2Hg + 2DSED": HUPORDesign(stages=2),
    SMAP: HUPORDesign(stages=4, reasoning="none"),
    "3Hg + 2DSED": HUPORDesign(),
}
PAPER = {"2Hg + 2DSED": 99.8, SMAP: 87.1}
"""Milliseconds of the networks (HUPOR, supplement, table 1)."""

PEOPLE = (3, 20)
TIMES = ("detection_ms", "reasoning_ms", "networks_ms", "grouping_ms", "all_ms")
COLUMNS = ("networks", "people", *TIMES, "to_3_people", "to_smap", "paper_ms", "paper_to_smap", "peak_mib")


@dataclass
class Setup:
    """Networks, and an image and maps for them; one for each process."""

    networks: HUPORPredictor
    image: np.ndarray
    maps: object

    @property
    def on_gpu(self) -> bool:
        """Whether the networks are on a GPU."""
        return torch.device(self.networks.device).type == "cuda"


_setup: Setup


def prepare(networks: str, people: int, device: str) -> None:
    """Builds the networks of this process."""
    global _setup
    torch.set_num_threads(1)
    torch.manual_seed(0)
    predictor = HUPORPredictor(TrainedHUPOR(HUPORNetwork(DESIGNS[networks]).eval()), device=device)
    random = np.random.default_rng(people)
    image = random.integers(0, 256, (512, 832, 3), np.uint8)
    maps = exact_maps(random_people(random, people), random_states(random, people), predictor.codec)
    _setup = Setup(predictor, image, maps)


def measure() -> tuple[float, float, float, float]:
    """Detection, reasoning and grouping of one image, ms, and peak memory, MiB."""
    predictor = _setup.networks
    clock = time.perf_counter if _setup.on_gpu else time.process_time
    network = predictor.networks
    reason = type(network).hidden_maps
    detected = 0.0

    def reason_after_detection(*maps: object) -> object:
        nonlocal detected
        if _setup.on_gpu:
            torch.cuda.synchronize()
        detected = clock()
        return reason(network, *maps)

    network.hidden_maps = reason_after_detection
    start = clock()
    predictor.predict_maps(_setup.image)
    if _setup.on_gpu:
        torch.cuda.synchronize()
    predicted = clock()
    decode(_setup.maps, predictor.codec)
    grouped = clock()
    if _setup.on_gpu:
        peak = torch.cuda.max_memory_allocated(predictor.device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return 1000 * (detected - start), 1000 * (predicted - detected), 1000 * (grouped - predicted), peak


def main(repeats: int = 5, device: str = "cpu", output: Path = RESULTS) -> None:
    """Measure.

    Args:
        repeats: of each, after one that does not count.
        device: of the networks: cpu or cuda.
        output: .csv file.
    """
    keys = [(networks, people) for networks in DESIGNS for people in PEOPLE]
    measured: dict[tuple[str, int], list[tuple[float, ...]]] = {key: [] for key in keys}
    with ExitStack() as stack:
        workers = {}
        for key in keys:
            worker = ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare, initargs=(*key, device))
            workers[key] = stack.enter_context(worker)
        for turn in range(repeats + 1):
            for key, worker in workers.items():
                found = worker.submit(measure).result()
                if turn:
                    measured[key].append(found)
    medians = {key: [statistics.median(part) for part in zip(*found, strict=True)] for key, found in measured.items()}
    rows = []
    for networks, people in keys:
        detection, reasoning, grouping, peak = medians[networks, people]
        both = detection + reasoning
        times = (detection, reasoning, both, grouping, both + grouping)
        to_three = times[-1] / sum(medians[networks, PEOPLE[0]][:3])
        to_smap = both / sum(medians[SMAP, people][:2])
        paper = PAPER.get(networks)
        of_paper = ("", "") if paper is None else (paper, f"{paper / PAPER[SMAP]:.3f}")
        shown = (f"{value:.1f}" for value in times)
        rows.append((networks, people, *shown, f"{to_three:.3f}", f"{to_smap:.3f}", *of_paper, f"{peak:.0f}"))
        Console(stderr=True).print(*rows[-1])
    write(output, COLUMNS, rows)


if __name__ == "__main__":
    tyro.cli(main)
