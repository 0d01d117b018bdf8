"""Time of HUPOR's grouping by the number of people.

    OMP_NUM_THREADS=1 python benchmarks/hupor_grouping.py

Exact maps of 832 x 512 px of random people as in the tests, half of whose joints are hidden; one core. Milliseconds of
processor time of each part and in total: the minimum over many rounds of each image, averaged over images;
`total_median_ms` has medians instead. `depths` are the depths of people, `other` the rest: reading and checking the
maps, and depths of limbs. People are placed a second time only if the second assignment differs. `mistakes` counts
joints with an error of more than half a pixel or a centimetre. Run it on an idle machine. Writes
results/hupor_grouping.csv and prints it.
"""

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import tyro
from results import write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.methods.hupor import decode
from occlupose.methods.hupor.decode import DecoderInput

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hupor_maps import exact_maps, joint_errors, random_people, random_states

PEOPLE = (1, 3, 5, 10, 20, 40)
PARTS = {
    "peaks": ("find_peaks",),
    "scores": ("find_limb_candidates",),
    "association": ("assign_peaks",),
    "depths": ("root_depths", "relative_depths"),
}
COLUMNS = (
    "people",
    *(f"{part}_ms" for part in PARTS),
    "other_ms",
    "total_ms",
    "total_median_ms",
    "times_one_person",
    "mistakes",
)


def time_parts(maps: DecoderInput, codec: MultiPersonMaps) -> dict[str, float]:
    """Milliseconds of the parts and in total, for one image."""
    spent: dict[str, float] = defaultdict(float)
    functions = {name: getattr(decode, name) for names in PARTS.values() for name in names}

    def timed(part: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = process_time()
            result = action(*arguments)
            spent[part] += 1000 * (process_time() - start)
            return result

        return run

    try:
        for part, names in PARTS.items():
            for name in names:
                setattr(decode, name, timed(part, functions[name]))
        start = process_time()
        decode.decode(maps, codec)
        spent["total"] = 1000 * (process_time() - start)
    finally:
        for name, action in functions.items():
            setattr(decode, name, action)
    return {part: spent[part] for part in (*PARTS, "total")}


def main(
    images: int = 4,
    rounds: int = 60,
    seed: int = 0,
    output: Path = Path(__file__).parent / "results" / "hupor_grouping.csv",
) -> None:
    """Measures, prints and writes.

    Args:
        images: of each number of people.
        rounds: of each image, of which the minimum counts.
        seed: random seed of the people.
        output: table to write.
    """
    torch.set_num_threads(1)
    codec = MultiPersonMaps()
    rows = []
    one = 0.0
    for count in track(PEOPLE, "measuring", console=Console(stderr=True)):
        random = np.random.default_rng((seed, count))
        groups = [random_people(random, count, codec) for _ in range(images)]
        inputs = [exact_maps(people, random_states(random, count), codec) for people in groups]
        wrong = 0
        least: dict[str, float] = defaultdict(float)
        median = 0.0
        for people, maps in zip(groups, inputs, strict=True):
            pixels, metres = joint_errors(decode.decode(maps, codec), people, codec)
            wrong += int(((pixels > 0.5) | (metres > 0.01)).sum())
            runs = [time_parts(maps, codec) for _ in range(rounds)]
            for part in runs[0]:
                least[part] += min(run[part] for run in runs) / images
            median += statistics.median(run["total"] for run in runs) / images
        other = least["total"] - sum(least[part] for part in PARTS)
        one = one or least["total"]
        values = [*(least[part] for part in PARTS), other, least["total"], median, least["total"] / one]
        rows.append((count, *(f"{value:.2f}" for value in values), wrong))
    write(output, COLUMNS, rows, seed=seed)
    table = Table(*COLUMNS, title=f"load of the machine {os.getloadavg()[0]:.1f}")
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
