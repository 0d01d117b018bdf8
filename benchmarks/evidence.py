"""The claims of the three papers, tested by the protocols of docs/evidence.md, which were written before any run.

    python benchmarks/evidence.py oanet --mocap MOCAP --runs RUNS
    python benchmarks/evidence.py ljof-head --train TRAIN --isolated ALONE --crowded CROWD --runs RUNS
    python benchmarks/evidence.py ljof --train TRAIN --isolated ALONE --crowded CROWD --runs RUNS
    python benchmarks/evidence.py dsed --train SCENES --test OTHERS --runs RUNS
    python benchmarks/evidence.py verdicts

Each of the first four trains and scores the runs of a claim that have no rows yet, the first seed of all arms before
the second, and appends their rows to results/evidence_CLAIM.csv; a run that was stopped is continued. `--size tiny`
shows in a minute that everything runs; `--size published` has the paper's sizes, for a GPU (`--device cuda`). Both
need another folder for their rows (`--output`). A row is what an arm's network of one seed has in one condition on one
unit: a person of the motion capture, or a hundredth of the images: a sum and what to divide it by. Units are shared by
all arms, so arms are compared in pairs.

results/evidence_runs.csv has a line for each run: the version of its protocol, commit, processor, precision and time.
Runs of another version are not continued. All arms of a seed have one precision: seeds that were begun in another are
left out.

`verdicts` writes results/evidence.csv: for each comparison of the protocols the difference with its 95 % interval, of
units by a paired bootstrap and of seeds, and the verdict once all seeds are there. What did not run reads "not run".
"""

import csv
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Annotated, Literal

import evidence_dsed
import evidence_ljof
import evidence_oanet
import numpy as np
import torch
import tyro
from jaxtyping import Float
from results import COMMIT, describe, installed, processor, write
from rich.console import Console
from scipy.stats import t

from occlupose.files import atomic
from occlupose.networks.precision import bf16_is_native

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("arm", "seed", "condition", "metric", "unit", "total", "count")
RESAMPLES = 2000
PROTOCOL = "2026-12-01"
"""Version of docs/evidence.md that runs follow."""

RUNS = "evidence_runs.csv"
RUN_COLUMNS = ("claim", "arm", "seed", "protocol", "commit", "torch", "processor", "precision", "minutes")

Size = Literal["small", "tiny", "published"]
Claim = Literal["oanet", "ljof-head", "ljof", "dsed", "verdicts"]
Kind = Literal["better", "within", "flat"]
Row = tuple[str, int, str, str, str, float, float]
"""As COLUMNS."""

SEEDS = {"oanet": 5, "ljof_head": 10, "ljof": 3, "dsed": 3}
"""Of the arms of each claim."""

IN_FLOAT32 = ("oanet", "dsed")
"""Claims whose networks are trained in float32 everywhere."""


@dataclass(frozen=True)
class Comparison:
    """What a claim predicts.

    Attributes:
        claim: file of the rows.
        text: the claim, as in docs/evidence.md.
        arm, control: the arm that should be better, and the one it is compared with.
        better: -1 for errors, 1 for shares.
        margin: difference that matters, in the unit of the metric.
        main: whether its verdict is that of the claim.
        kind: better: the arm is better; within: it differs by less than the margin; flat: it is not better by the
            margin.
        seeds: that the verdict needs.
    """

    claim: str
    text: str
    arm: str
    control: str
    condition: str
    metric: str
    better: int
    margin: float
    main: bool = False
    kind: Kind = "better"
    seeds: int = 1


def _oanet() -> Iterator[Comparison]:
    for detector in ("dark", "guessing"):
        plain = "3D TCN"
        aware = f"{detector}, + occlusion-aware"
        for metric in ("all", "visible", "hidden"):
            text = f"2D TCN and dropped joints, {detector} detector"
            main = (detector, metric) == ("dark", "all")
            yield Comparison("oanet", text, aware, plain, "filmed", metric, -1, 1.0, main, seeds=SEEDS["oanet"])
        for part, weights in (("all parts", "weights as printed"), ("all parts, 5 % shares", "5 % shares")):
            for condition in ("filmed", "between", "tilted"):
                text = f"further parts, {weights}, {detector} detector"
                main = (detector, part, condition) == ("dark", "all parts, 5 % shares", "between")
                arm = f"{detector}, {part}"
                yield Comparison("oanet", text, arm, aware, condition, "all", -1, 1.0, main, seeds=SEEDS["oanet"])
    dark = "dark, + occlusion-aware"
    guessing = "guessing, + occlusion-aware"
    text = "a dark detector in place of a guessing one"
    yield Comparison("oanet", text, dark, guessing, "filmed", "all", -1, 1.0, seeds=SEEDS["oanet"])
    text = "2D TCN and dropped joints, guessing detector: no difference"
    yield Comparison("oanet", text, guessing, "3D TCN", "filmed", "all", -1, 1.0, kind="within", seeds=SEEDS["oanet"])


def _ljof(claim: str) -> Iterator[Comparison]:
    for arm, control in (("LJA", "none"), ("LJA", "random erasing"), ("LJA + DSL 0.1", "LJA")):
        for condition in ("isolated", "crowded"):
            for metric in ("visible", "hidden"):
                main = (condition, metric) == ("crowded", "hidden")
                text = f"{arm} against {control}"
                yield Comparison(claim, text, arm, control, condition, metric, 1, 0.5, main, seeds=SEEDS[claim])


def _ljof_network() -> Iterator[Comparison]:
    yield from _ljof("ljof")
    for condition in ("isolated", "crowded"):
        flat = "HRNet's curve: all of the training against half"
        yield Comparison(
            "ljof", flat, "none", "none, half", condition, "visible", 1, 1.0, kind="flat", seeds=SEEDS["ljof"]
        )


def _dsed() -> Iterator[Comparison]:
    for arm in ("DSED", "DSED, teacher detached"):
        for condition in evidence_dsed.CONDITIONS:
            main = (arm, condition) == ("DSED", "10 % missing")
            text = f"{arm} against hourglass"
            yield Comparison("dsed", text, arm, "hourglass", condition, "hidden F1", 1, 1.0, main, seeds=SEEDS["dsed"])
    for blocks in ("blocks 2-4", "blocks 3-4", "block 4", "blocks 1+4"):
        text = f"all blocks against {blocks}"
        main = blocks == "blocks 1+4"
        yield Comparison(
            "dsed", text, "DSED", f"DSED, {blocks}", "exact", "hidden F1", 1, 1.0, main, seeds=SEEDS["dsed"]
        )


COMPARISONS = (*_oanet(), *_ljof("ljof_head"), *_ljof_network(), *_dsed())


def rows_of(path: Path) -> list[Row]:
    """The rows of a file; none if there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            (row["arm"], int(row["seed"]), row["condition"], row["metric"], row["unit"], *_numbers(row))
            for row in csv.DictReader(file)
        ]


def _numbers(row: dict[str, str]) -> tuple[float, float]:
    return float(row["total"]), float(row["count"])


def append(path: Path, rows: Iterable[Row]) -> None:
    """Adds the rows of a finished run, all or none of them, and its commit to the description."""
    everything = [*rows_of(path), *rows]
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for *key, total, count in everything:
            writer.writerow((*key, f"{total:.6g}", f"{count:.6g}"))
    describe(path, seed="the column", grows=True)


def complete(
    claim: str,
    arms: Iterable[str],
    seeds: int,
    run: Callable[[str, int], list[Row]],
    output: Path,
    workers: int,
    first: Callable[[str], object] | None = None,
) -> None:
    """Runs what a file lacks, and appends it. A run that fails does not stop the others.

    Arguments:
        run: trains and scores an arm with a seed.
        workers: runs at a time.
        first: called for every arm before, for what its runs share.

    Raises:
        BrokenProcessPool: a worker was killed.
        SystemExit: runs failed.
    """
    path = output / f"evidence_{claim}.csv"
    others = seeds_of_other_precision(output / RUNS, claim)
    done = {(arm, seed) for arm, seed, *_ in rows_of(path)}
    missing = [(arm, seed) for seed in range(seeds) for arm in arms if (arm, seed) not in done]
    todo = [(arm, seed) for arm, seed in missing if seed not in others]
    console = Console(stderr=True)
    left_out = f", {len(missing) - len(todo)} left out, not {precision(claim)}" if len(todo) < len(missing) else ""
    console.print(f"{claim}: {len(todo)} runs, {len(done)} done before{left_out}")
    failed = 0
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        if first is not None:  # what fails here fails again, and is told, in the runs of the arm
            wait([pool.submit(first, arm) for arm in dict.fromkeys(arm for arm, _ in todo)])
        pending = {pool.submit(_timed, run, *key): key for key in todo}
        for future in as_completed(pending):
            arm, seed = pending[future]
            try:
                rows, minutes = future.result()
            except BrokenProcessPool:
                raise
            except Exception as error:
                console.print(arm, seed, repr(error), markup=False)
                failed += 1
                continue
            append(path, rows)
            record_run(output / RUNS, (claim, arm, str(seed)), minutes)
            console.print(arm, seed, f"done, {minutes:.0f} minutes")
    if failed:
        raise SystemExit(f"{claim}: {failed} runs failed")


def _timed(run: Callable[[str, int], list[Row]], arm: str, seed: int) -> tuple[list[Row], float]:
    """The rows of a run, and how many minutes it took."""
    start = time.monotonic()
    return run(arm, seed), (time.monotonic() - start) / 60


def precision(claim: str) -> str:
    """In which a claim's networks are trained here."""
    return "bf16" if claim not in IN_FLOAT32 and bf16_is_native("cpu") else "float32"


def seeds_of_other_precision(path: Path, claim: str) -> set[int]:
    """Seeds that have runs of another precision than this processor's.

    Raises:
        SystemExit: there are runs of another protocol.
    """
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        runs = [row for row in csv.DictReader(file) if row["claim"] == claim]
    for row in runs:
        if row["protocol"] != PROTOCOL:
            raise SystemExit(f"{claim}: has runs of protocol {row['protocol']}, not {PROTOCOL}; give another --output")
    return {int(row["seed"]) for row in runs if row["precision"] != precision(claim)}


def record_run(path: Path, key: tuple[str, str, str], minutes: float) -> None:
    """Adds the line of a finished run.

    Arguments:
        key: claim, arm and seed.
    """
    before = path.read_text() if path.exists() else ",".join(RUN_COLUMNS) + "\n"
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        file.write(before)
        torch_version = installed("torch")
        line = (*key, PROTOCOL, COMMIT, torch_version, processor(), precision(key[0]), f"{minutes:.1f}")
        csv.writer(file, lineterminator="\n").writerow(line)


def _start_worker() -> None:
    """A worker uses one core. It ends at once when it is interrupted and when the process that started it ends;
    otherwise it would go on with the next run.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass(frozen=True)
class Difference:
    """An arm minus its control: the mean over seeds, and a 95 % interval of units and seeds."""

    control: float
    value: float
    low: float
    high: float
    seeds: int
    units: int


def difference(rows: list[Row], comparison: Comparison) -> Difference | None:
    """The difference of a comparison; None if no seed has both arms.

    The interval is the root of the squares of two. Of units: their standard error by a bootstrap that draws them with
    replacement, the same for both arms and all seeds, times Student's t for that many units. Of seeds: the standard
    error of the differences of the pairs, times t for that many; of one seed there is none.
    """
    table: dict[tuple[str, int], dict[str, tuple[float, float]]] = defaultdict(dict)
    for arm, seed, condition, metric, unit, total, count in rows:
        if (condition, metric) == (comparison.condition, comparison.metric):
            table[arm, seed][unit] = (total, count)
    seeds = sorted(seed for arm, seed in table if arm == comparison.arm and (comparison.control, seed) in table)
    if not seeds:
        return None
    runs = [table[arm, seed] for arm in (comparison.arm, comparison.control) for seed in seeds]
    units = sorted(set.intersection(*(set(run) for run in runs)))
    sums = np.array(
        [[[table[arm, seed][unit] for unit in units] for seed in seeds] for arm in (comparison.arm, comparison.control)]
    )  # arm, seed, unit, (total, count)
    random = np.random.default_rng(0)
    drawn = [_apart(sums[:, :, random.integers(len(units), size=len(units))]) for _ in range(RESAMPLES)]
    arm_scores, control_scores = _ratios(sums)
    half = float(np.hypot(_half(float(np.std(drawn)), len(units)), _half_of_seeds(arm_scores - control_scores)))
    value = _apart(sums)
    return Difference(float(control_scores.mean()), value, value - half, value + half, len(seeds), len(units))


def _half(error: float, count: int) -> float:
    """Half of a 95 % interval, by a standard error of this many."""
    return error * float(t.ppf(0.975, count - 1)) if count > 1 else 0.0


def _half_of_seeds(differences: Float[np.ndarray, " seed"]) -> float:
    count = len(differences)
    return _half(float(differences.std(ddof=1)) / count**0.5, count) if count > 1 else 0.0


def _ratios(sums: Float[np.ndarray, "arm seed unit 2"]) -> Float[np.ndarray, "arm seed"]:
    totals = sums.sum(2)
    return totals[..., 0] / np.maximum(totals[..., 1], 1e-12)


def _apart(sums: Float[np.ndarray, "arm seed unit 2"]) -> float:
    arm, control = _ratios(sums).mean(1)
    return float(arm - control)


def verdict(found: Difference | None, comparison: Comparison) -> str:
    """By the rule of docs/evidence.md: holds if the interval is beyond the margin on the claimed side; holds in
    direction if it is beyond 0; contradicted if it is beyond 0 on the other side; else not seen. Of no difference:
    holds if the interval is within the margin, contradicted if it is beyond. Of a curve: flat if the gain is below the
    margin, else not converged.
    """
    if found is None:
        return "not run"
    if found.seeds < comparison.seeds:
        return f"running, {found.seeds} of {comparison.seeds} seeds"
    low, high = sorted((comparison.better * found.low, comparison.better * found.high))
    margin = comparison.margin
    if comparison.kind == "flat":
        return "flat" if high < margin else "not converged"
    if comparison.kind == "within":
        inside = -margin < low and high < margin
        return "holds" if inside else "contradicted" if low > margin or high < -margin else "not seen"
    if low > comparison.margin:
        return "holds"
    if low > 0:
        return "holds in direction"
    return "contradicted" if high < 0 else "not seen"


VERDICTS = (
    *("claim", "text", "main", "condition", "metric"),
    *("control", "difference", "low", "high", "seeds", "units", "verdict"),
)


def verdicts(output: Path) -> None:
    """Writes the verdict on each comparison.

    Arguments:
        output: folder of the rows and of the table.
    """
    rows = {claim: rows_of(output / f"evidence_{claim}.csv") for claim in {each.claim for each in COMPARISONS}}
    table = []
    for each in COMPARISONS:
        found = difference(rows[each.claim], each)
        numbers: tuple[object, ...] = ("", "", "", "", 0, 0)
        if found is not None:
            values = (found.control, found.value, found.low, found.high)
            numbers = (*(f"{value:.2f}" for value in values), found.seeds, found.units)
        key = (each.claim, each.text, "yes" if each.main else "no", each.condition, each.metric)
        table.append((*key, *numbers, verdict(found, each)))
    write(output / "evidence.csv", VERDICTS, table)
    for row in table:
        Console().print(*row, sep=" | ")


Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]


def main(
    claim: tyro.conf.Positional[Claim],
    runs: Folder = None,
    mocap: Folder = None,
    train: Folder = None,
    test: Folder = None,
    isolated: Folder = None,
    crowded: Folder = None,
    size: Size = "small",
    seeds: int | None = None,
    workers: int = os.cpu_count() or 1,
    device: str = "cpu",
    more: bool = False,
    output: Path = RESULTS,
) -> None:
    """Trains and scores the runs of a claim that are missing, or writes the verdicts.

    Args:
        claim: oanet, ljof-head, ljof, dsed, or verdicts.
        runs: folder of the training runs.
        mocap: of oanet, folder of motion capture, as for train lifter.
        train: of the others, synthetic people or scenes to train on.
        test: of dsed, scenes of another seed.
        isolated: of ljof, people who stand alone.
        crowded: of ljof, people in crowds and behind objects.
        size: small, tiny, or published.
        seeds: of every arm; by default those of docs/evidence.md.
        workers: runs at a time, each on one core.
        device: torch device.
        more: of oanet, the paper's table 1 too; of ljof, other blocks and weights, and its table 7, with the isolated
            people as the clean set.
        output: folder of the rows and of the verdicts.
    """
    if claim == "verdicts":
        verdicts(output)
        return

    def given(**folders: Path | None) -> list[Path]:
        missing = [name for name, folder in folders.items() if folder is None]
        if missing:
            raise SystemExit(f"{claim}: give --{' --'.join(missing)}")
        return [folder for folder in folders.values() if folder is not None]

    if size != "small" and output.resolve() == RESULTS.resolve():
        raise SystemExit(f"size {size}: {RESULTS.name} has the rows of size small; give another --output")
    if claim == "oanet":
        oanet = evidence_oanet.Bench(*given(mocap=mocap, runs=runs), size, device)
        oanet.make_data()
        table_1 = evidence_oanet.TABLE_1 if more else {}
        complete(
            "oanet",
            [*evidence_oanet.ARMS, *table_1],
            seeds or SEEDS["oanet"],
            oanet.run,
            output,
            workers,
            oanet.prepare,
        )
    elif claim == "dsed":
        dsed = evidence_dsed.Bench(*given(train=train, test=test, runs=runs), size, device)
        complete("dsed", evidence_dsed.ARMS, seeds or SEEDS["dsed"], dsed.run, output, workers)
    else:
        folders = given(train=train, isolated=isolated, crowded=crowded, runs=runs)
        network: evidence_ljof.Network = "movenet_head" if claim == "ljof-head" else "hrnet_small"
        arms = evidence_ljof.HEAD_ARMS if claim == "ljof-head" else evidence_ljof.ARMS
        further = evidence_ljof.FURTHER | evidence_ljof.TABLE_7 if more else {}
        ljof = evidence_ljof.Bench(network, *folders, size, device)
        name = claim.replace("-", "_")
        complete(name, [*arms, *further], seeds or SEEDS[name], ljof.run, output, workers)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
