"""What finding people in maps costs, and how that grows with the people.

    OMP_NUM_THREADS=1 python benchmarks/hupor_grouping.py

Maps of 832 x 512 px that make no mistake, of crowds as the tests make them, half of whose joints are hidden; one core.
Milliseconds of processor time of each part by itself, over whole pictures and all of them: the least of many rounds of
each picture, and the mean over pictures; `total_median_ms` has medians instead. `crossings` is everything about limbs
that lie over each other, `depths` how far away people are, `other` what is left: reading maps and whether they are
numbers, and by the published rules depths of limbs. People are placed a second time only where the second association
changes somebody. `mistakes` counts joints that are more than half a pixel or a centimetre from where they are. Other
work on the machine spoils it. Writes results/hupor_grouping.csv and prints it.
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
from occlupose.methods.hupor.grouping import OURS, PAPER, GroupingRules

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hupor_people import crowd, mistakes, perfect, some_hidden

PEOPLE = (1, 3, 5, 10, 20, 40)
PARTS = {
    "peaks": ("peaks",),
    "scores": ("connections",),
    "association": ("associate",),
    "crossings": ("_untangled",),
    "depths": ("roots", "relative"),
}
COLUMNS = (
    "people",
    "rules",
    *(f"{part}_ms" for part in PARTS),
    "other_ms",
    "total_ms",
    "total_median_ms",
    "times_one_person",
    "mistakes",
)


def timed(said: DecoderInput, maps: MultiPersonMaps, rules: GroupingRules) -> dict[str, float]:
    """Milliseconds of parts, and of the whole, of one picture."""
    spent: dict[str, float] = defaultdict(float)
    plain = {name: getattr(decode, name) for names in PARTS.values() for name in names}

    def watched(part: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            began = process_time()
            given = action(*arguments)
            spent[part] += 1000 * (process_time() - began)
            return given

        return run

    try:
        for part, names in PARTS.items():
            for name in names:
                setattr(decode, name, watched(part, plain[name]))
        began = process_time()
        decode.decode(said, maps, rules)
        spent["total"] = 1000 * (process_time() - began)
    finally:
        for name, action in plain.items():
            setattr(decode, name, action)
    return {part: spent[part] for part in (*PARTS, "total")}


def main(
    pictures: int = 4,
    rounds: int = 60,
    seed: int = 0,
    output: Path = Path(__file__).parent / "results" / "hupor_grouping.csv",
) -> None:
    """Measures, prints and writes.

    Args:
        pictures: of each number of people.
        rounds: of each picture, of which the least counts.
        seed: of the people.
        output: table to write.
    """
    torch.set_num_threads(1)
    maps = MultiPersonMaps()
    rows = []
    ones: dict[str, float] = {}
    for count in track(PEOPLE, "measuring", console=Console(stderr=True)):
        random = np.random.default_rng((seed, count))
        crowds = [crowd(random, count, maps) for _ in range(pictures)]
        saids = [perfect(people, some_hidden(random, count), maps) for people in crowds]
        for name, rules in (("ours", OURS), ("published", PAPER)):
            wrong = 0
            least = defaultdict(float)
            median = 0.0
            for people, said in zip(crowds, saids, strict=True):
                pixels, metres = mistakes(decode.decode(said, maps, rules), people, maps)
                wrong += int(((pixels > 0.5) | (metres > 0.01)).sum())
                runs = [timed(said, maps, rules) for _ in range(rounds)]
                for part in runs[0]:
                    least[part] += min(run[part] for run in runs) / pictures
                median += statistics.median(run["total"] for run in runs) / pictures
            other = least["total"] - sum(least[part] for part in PARTS)
            ones.setdefault(name, least["total"])
            values = [*(least[part] for part in PARTS), other, least["total"], median, least["total"] / ones[name]]
            rows.append((count, name, *(f"{value:.2f}" for value in values), wrong))
    write(output, COLUMNS, rows, seed=seed)
    table = Table(*COLUMNS, title=f"load of the machine {os.getloadavg()[0]:.1f}")
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
