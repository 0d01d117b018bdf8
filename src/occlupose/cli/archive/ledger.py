"""Keeps account of an archive: in its table, in the log, and on the screen."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TaskID

from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.summary import Summary
from occlupose.cli.archive.worker import Result
from occlupose.cli.log import EventLog
from occlupose.cli.terminal import ASSUMED_CAMERA, StatusLines, count, progress, say, short

WORDS = {"finished": "finished", "skipped": "already finished", "failed": "failed", "interrupted": "interrupted"}
"""What the last line calls each status."""


class Ledger:
    """Is told what becomes of each input.

    Arguments:
        jobs: all inputs.
        summary: of them.
        log: of events.
        console: for messages and progress; quiet, if there are to be none.
        errors: for errors.
    """

    def __init__(self, jobs: Sequence[Job], summary: Summary, log: EventLog, console: Console, errors: Console) -> None:
        self._jobs = jobs
        self._total = _number(len(jobs), "input")
        self._summary = summary
        self._log = log
        self._console = console
        self._errors = errors
        self._bars = progress(console, transient=True)
        self._status = StatusLines(console)
        self._tasks: dict[Job, TaskID] = {}
        self._stages: dict[Job, str] = {}
        self._counts: Counter[str] = Counter()
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        self._all = self._bars.add_task("inputs", total=len(self._jobs), people="", counts_inputs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as last:  # all of it, even if the log cannot be written
            last.callback(self._bars.stop)
            last.callback(self._summary.write)
            for job in list(self._tasks):
                self.end(job, Result("interrupted"))

    @property
    def has_failures(self) -> bool:
        """Whether an input failed."""
        return self._counts["failed"] > 0

    def skip(self, results: dict[Job, Result]) -> None:
        """Takes down what earlier runs have finished, before anything is begun."""
        for job, result in results.items():
            self._record(job, result)
        self._summary.write()
        say(self._console, f"{self._total}, {len(results)} already finished")

    def begin(self, job: Job) -> None:
        """An input is begun."""
        self._log.write("started", job.input, job.folder)
        self._tasks[job] = self._bars.add_task(short(job.name), total=None, people="")

    def report(self, job: Job, stage: str, done: int, total: int | None, people: str = "") -> None:
        """How far an input is; as `terminal.Report`."""
        if self._stages.get(job) != stage:
            self._stages[job] = stage
            self._bars.remove_task(self._tasks[job])
            self._tasks[job] = self._bars.add_task(f"{stage} {short(job.name)}", total=total, people="")
        self._bars.update(self._tasks[job], completed=done, total=total, people=people)
        ended = sum(self._counts.values())
        self._status.update(f"{ended} of {self._total}; {stage} {job.name}", stage, done, total, people)

    def say(self, text: str) -> None:
        """A message that has nothing to do with a single input, once."""
        if text not in self._said:
            self._said.add(text)
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def end(self, job: Job, result: Result) -> None:
        """An input has ended."""
        self._bars.remove_task(self._tasks.pop(job))
        self._stages.pop(job, None)
        self._record(job, result)
        self._summary.write_if_due()
        for note in result.notes:
            if note == ASSUMED_CAMERA:
                self.say(f"occlupose: {note}")
            else:
                say(self._console, note)
        if result.error:
            say(self._errors, result.error)
        elif result.status == "finished":
            figures = result.figures
            frames = _number(figures["frames"], "frame")
            told = f"{frames}, {count(figures['people'])}, {figures['seconds']:.1f} s"
            say(self._console, f"{job.name}: {told}")

    def last_line(self) -> str:
        """How many inputs ended how, and where the table is."""
        counts = [f"{self._counts[status]} {word}" for status, word in WORDS.items() if self._counts[status]]
        left = len(self._jobs) - sum(self._counts.values())
        return f"{self._summary.path}: {', '.join(counts + ([f'{left} not begun'] if left else []))}"

    def _record(self, job: Job, result: Result) -> None:
        self._counts[result.status] += 1
        self._bars.update(self._all, completed=sum(self._counts.values()))
        self._summary.add(job, result)
        details = {"error": result.error or None, "traceback": result.traceback, **result.figures}
        self._log.write(result.status, job.input, job.folder, **details)


def _number(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
