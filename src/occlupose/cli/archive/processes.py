"""The inputs of an archive, shared by several processes."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any

from rich.console import Console

from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.ledger import Ledger
from occlupose.cli.archive.worker import Result, Worker
from occlupose.cli.estimation import EstimatorOptions
from occlupose.cli.terminal import Stoppable
from occlupose.errors import OccluposeError
from occlupose.threads import cores

REPORT_SECONDS = 0.2
"""Time between two reports of progress of a process."""


@dataclass
class Member:
    """One of the processes, as seen from the first one.

    Attributes:
        process: itself.
        connection: to it; gets inputs, or None to stop.
        processors: that it uses; None: any.
        job: what it does now.
        is_dismissed: whether it was told to stop.
    """

    process: SpawnProcess
    connection: "Connection[Any, Any]"
    processors: set[int] | None
    job: Job | None = None
    is_dismissed: bool = False


def run_in_processes(
    jobs: Sequence[Job],
    count: int,
    options: EstimatorOptions,
    overwrite: bool,
    ledger: Ledger,
    interrupt: Stoppable,
) -> None:
    """Does inputs in several processes; each takes the next one when it is ready.

    An input at which a process dies has failed; another process takes its place. All processes end with this one, even
    if it is killed.

    Arguments:
        count: maximum number of processes.
        options: of the estimators; without `threads` the processes share the processors.
        ledger: is told what becomes of each.
        interrupt: whether to stop early.

    Raises:
        OccluposeError: the options do not go together, or a network cannot be loaded.
    """
    team = _Team(jobs, min(count, len(jobs)), options, overwrite, ledger)
    try:
        team.run(interrupt)
    finally:
        team.end()


class _Team:
    def __init__(
        self, jobs: Sequence[Job], count: int, options: EstimatorOptions, overwrite: bool, ledger: Ledger
    ) -> None:
        self._waiting = deque(jobs)
        self._count = count
        threads = options.threads or max(1, cores() // count)
        self._arguments = (replace(options, threads=threads), overwrite)
        self._shares = share_processors(count, threads)
        self._ledger = ledger
        self._members: list[Member] = []

    def run(self, interrupt: Stoppable) -> None:
        while self._members or (self._waiting and not interrupt.asked):
            while self._is_short_of_members() and not interrupt.asked:
                used = [member.processors for member in self._members]
                processors = next((share for share in self._shares if share not in used), None)
                self._members.append(_start(processors, self._arguments))
            for ready in wait([member.connection for member in self._members], timeout=REPORT_SECONDS):
                self._receive(next(member for member in self._members if member.connection is ready), interrupt)
            if interrupt.asked:
                for member in self._members:
                    _send(member, None)

    def end(self) -> None:
        """Ends every process at once; those that are done have ended already."""
        for member in self._members:
            member.process.kill()
        for member in self._members:
            member.process.join()

    def _is_short_of_members(self) -> bool:
        idle = sum(member.job is None and not member.is_dismissed for member in self._members)
        active = sum(not member.is_dismissed for member in self._members)
        return active < self._count and idle < len(self._waiting)

    def _receive(self, member: Member, interrupt: Stoppable) -> None:
        try:
            word, content = member.connection.recv()
        except (EOFError, OSError):
            self._bury(member)
            return
        if word == "refused":
            raise OccluposeError(content)
        if word == "said":
            self._ledger.say(content)
        elif word == "report" and member.job is not None:
            self._ledger.report(member.job, *content)
        elif word == "ended" and member.job is not None:
            self._ledger.end(member.job, content)
            member.job = None
        if word in ("ready", "ended"):
            self._give_next(member, interrupt)

    def _give_next(self, member: Member, interrupt: Stoppable) -> None:
        if not self._waiting or interrupt.asked:
            _send(member, None)
            return
        member.job = self._waiting.popleft()
        self._ledger.begin(member.job)
        _send(member, member.job)

    def _bury(self, member: Member) -> None:
        """What is to be done after the end of a process."""
        member.process.join()
        self._members.remove(member)
        code = member.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if member.job is not None:
            cure = "it may be damaged, or too large for the memory"
            error = f"{member.job.input}: the process that read it has ended ({how}); {cure}"
            self._ledger.end(member.job, Result("failed", error))
        elif not member.is_dismissed:
            raise OccluposeError(f"workers: one has ended while it loaded its networks ({how}); give fewer --workers")


def share_processors(count: int, threads: int) -> list[set[int] | None]:
    """The processors of each process. No two processes share one, because threads of several processes on the same
    processors slow each other down. None: any, if there are too few, or if the system cannot bind processes to some.
    """
    if not hasattr(os, "sched_setaffinity") or count * threads > cores():
        return [None] * count
    processors = sorted(os.sched_getaffinity(0))
    return [set(processors[number::count]) for number in range(count)]


def _start(processors: set[int] | None, arguments: tuple[EstimatorOptions, bool]) -> Member:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, *arguments), daemon=True)
    with _signals_blocked(), _only_on(processors):
        process.start()
    theirs.close()  # so that its end is seen at ours
    return Member(process, ours, processors)


def _send(member: Member, job: Job | None) -> None:
    if job is None and member.is_dismissed:
        return
    member.is_dismissed = job is None
    with suppress(OSError):  # it has ended, which is seen at its connection
        member.connection.send(job)


@contextmanager
def _only_on(processors: set[int] | None) -> Iterator[None]:
    """Processes that are started in the block, and all of their threads, use these processors only; None: any."""
    if processors is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block ends, and never reach processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------------------- in the other processes


def _serve(connection: "Connection[Any, Any]", options: EstimatorOptions, overwrite: bool) -> None:
    """Does inputs as they come, until None does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    said = StringIO()
    try:
        worker = Worker(options, Console(file=said, width=10_000), overwrite=overwrite)
    except OccluposeError as error:
        connection.send(("refused", str(error)))
        return
    for line in said.getvalue().splitlines():
        connection.send(("said", line))
    interrupt = _Asked(connection)
    with suppress(EOFError, OSError):  # the first process has ended
        connection.send(("ready", None))
        while not interrupt.was_asked and (job := connection.recv()) is not None:
            connection.send(("ended", worker.do(job, _Reporter(connection), interrupt)))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Asked:
    """Whether the first process tells this one to stop while it does an input."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self.was_asked = False

    @property
    def asked(self) -> bool:
        if not self.was_asked and self._connection.poll():
            self._connection.recv()  # None: an input comes only when the last one is done
            self.was_asked = True
        return self.was_asked


class _Reporter:
    """Tells the first process how far it is, now and then."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._last = monotonic()
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int | None, people: str = "") -> None:
        if stage != self._stage or done == total or monotonic() - self._last >= REPORT_SECONDS:
            self._stage = stage
            self._last = monotonic()
            self._connection.send(("report", (stage, done, total, people)))
