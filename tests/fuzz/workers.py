"""Processes that read mutated files, each with limits of time and memory, so that hangs and crashes are noticed."""

import os
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

READ = "read"
REFUSED = "refused"
FAILURES = ("exception", "several lines", "hang", "memory", "died")

CPU_SECONDS = 10
"""Of a processor, for one input."""

IDLE_SECONDS = 60.0
"""For a reader that sleeps and waits for nothing."""

MEMORY = 2 * 2**30
"""Bytes that an input may need, beside what the process has."""


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Attributes:
        target, seed: that made it.
        kind: READ, REFUSED or one of FAILURES.
        about: the message, or where the exception came from.
        path: of the input, for a moment.
        peak: bytes of memory that it needed.
    """

    target: str
    seed: int
    kind: str
    about: str = ""
    path: Path = Path()
    peak: int = 0


@dataclass
class Report:
    """Counts of what came of the inputs.

    Attributes:
        counts: by target and kind.
        failures: in order; their inputs are saved.
        peak: bytes of memory of the input that needed most.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    peak: Outcome = Outcome("", 0, READ)

    def lines(self) -> Iterator[str]:
        """The report in words."""
        for target in dict.fromkeys(target for target, _ in self.counts):
            kinds = ", ".join(f"{count} {kind}" for (name, kind), count in self.counts.items() if name == target)
            yield f"{target}: {kinds}"
        yield f"{sum(self.counts.values())} inputs, {len(self.failures)} failures"
        yield f"most memory: {self.peak.peak / 2**20:.0f} MiB, {self.peak.target} {self.peak.seed}"
        for failure in self.failures:
            yield f"{failure.target} {failure.seed}: {failure.kind}: {failure.about}; {failure.path}"


def serve(connection: Connection, module: str, folder: Path) -> None:
    """Reads inputs until the connection ends. The main function of a process."""
    targets = import_module(module).ALL
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # FFmpeg and others write there
    os.environ["OMP_NUM_THREADS"] = "1"
    limited = False

    @cache
    def valid(name: str) -> tuple[Path, bytes]:
        home = folder / name
        home.mkdir(parents=True)
        path = targets[name].make(home)
        return path, path.read_bytes()

    while True:
        try:
            name, seed = connection.recv()
        except EOFError:
            return
        path, content = valid(name)
        path.write_bytes(targets[name].mutated(seed, content))
        connection.send(path)
        if not limited:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            limited = True
        used = resource.getrusage(resource.RUSAGE_SELF)
        end = int(used.ru_utime + used.ru_stime) + CPU_SECONDS + 1
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))
        before = _start_of_peak()
        kind, about = _examine(targets[name], path)
        connection.send(Outcome(name, seed, kind, about, path, max(0, _memory("VmHWM") - before)))


def _examine(target: Any, path: Path) -> tuple[str, str]:
    from occlupose.errors import OccluposeError

    try:
        target.read(path)
        return READ, ""
    except OccluposeError as error:
        message = str(error)
        return (REFUSED if len(message.splitlines()) == 1 else "several lines"), message[:1000]
    except Exception as error:
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        own = [place for place in places if not place.startswith(("workers.py", "targets.py"))]
        kind = "memory" if isinstance(error, MemoryError) else "exception"
        return kind, f"{type(error).__name__}: {str(error)[:200]!r} at {' '.join(own[:6])}"


def _start_of_peak() -> int:
    """Begins to measure the largest size of this process anew; its size now, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


class Worker:
    """A process that reads one input after the other; another one takes its place when it dies."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = module
        self._folder = folder
        self._starts = 0
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        folder = self._folder / str(self._starts)
        self._starts += 1
        self._process = context.Process(target=serve, args=(theirs, self._module, folder), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, name: str, seed: int) -> None:
        """Gives it an input."""
        self._input = (name, seed)
        self._path = Path()
        self._used = ""
        self.connection.send(self._input)

    def outcome(self) -> Outcome | None:
        """What came of the input; None: not yet. To be called when there is something to read, or nothing for long."""
        try:
            if not self.connection.poll():
                return self._end("hang", "asleep for ever") if self._sleeps() else None
            received = self.connection.recv()
        except UnicodeDecodeError as error:  # the message of an exception that is no text
            return self._end("exception", str(error))
        except (EOFError, OSError):
            self._process.join()
            code = -(self._process.exitcode or 0)
            if code == signal.SIGXCPU:
                return self._end("hang", f"more than {CPU_SECONDS} s of a processor")
            return self._end("died", signal.Signals(code).name if code > 0 else f"exit code {-code}")
        if isinstance(received, Outcome):
            return received
        self._path = received
        return None

    def _sleeps(self) -> bool:
        """Whether the process has computed nothing since the last call, and waits for no other process."""
        home = Path(f"/proc/{self._process.pid}")
        state, *numbers = (home / "stat").read_text().rpartition(")")[2].split()
        children = (home / "task" / home.name / "children").read_text()
        used = f"{numbers[10]} {numbers[11]}"
        sleeps = state == "S" and not children.strip() and used == self._used
        self._used = used
        return sleeps

    def _end(self, kind: str, about: str) -> Outcome:
        name, seed = self._input
        self.stop()
        self._start()
        return Outcome(name, seed, kind, about, self._path)

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def run(
    inputs: Iterable[tuple[str, int]], folder: Path, *, module: str = "fuzz.targets", workers: int = 1
) -> Iterator[Outcome]:
    """What comes of each of these inputs (name of a target, seed), in the order in which they end.

    Arguments:
        folder: for the files; those of failures stay in `failures`.
        module: whose `ALL` has the targets by name.
    """
    waiting = iter(inputs)
    folders = [folder / f"worker{number}" for number in range(workers)]
    for path in folders:  # of an earlier call
        shutil.rmtree(path, ignore_errors=True)
    pool = [Worker(module, path) for path in folders]
    busy: dict[Connection, Worker] = {}

    def begin(worker: Worker) -> None:
        following = next(waiting, None)
        if following is not None:
            worker.begin(*following)
            busy[worker.connection] = worker

    for worker in pool:
        begin(worker)
    while busy:
        ready: Sequence[Any] = wait(list(busy), IDLE_SECONDS) or list(busy)
        for connection in ready:
            worker = busy[connection]
            outcome = worker.outcome()
            if outcome is None:
                continue
            del busy[connection]
            yield _saved(outcome, folder / "failures")
            begin(worker)
    for worker in pool:
        worker.stop()


def _saved(outcome: Outcome, folder: Path) -> Outcome:
    """The outcome; the input of a failure is copied to the folder."""
    if outcome.kind not in FAILURES or not outcome.path.is_file():
        return outcome
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{outcome.target}-{outcome.seed}{outcome.path.suffix}"
    shutil.copyfile(outcome.path, copy)
    return Outcome(outcome.target, outcome.seed, outcome.kind, outcome.about, copy, outcome.peak)


def collect(outcomes: Iterable[Outcome], *, progress: bool = False) -> Report:
    """Counts outcomes."""
    report = Report()
    for number, outcome in enumerate(outcomes, 1):
        report.counts[outcome.target, outcome.kind] += 1
        if outcome.kind in FAILURES:
            report.failures.append(outcome)
        if outcome.peak > report.peak.peak:
            report.peak = outcome
        if progress and number % 500 == 0:
            print(f"{number} inputs, {len(report.failures)} failures", file=sys.stderr)
    return report
