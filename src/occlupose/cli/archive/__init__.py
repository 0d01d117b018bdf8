"""Many inputs of `occlupose run`: found in folders and lists, done once each, whatever happens to others."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from occlupose.cli.estimation import RunOptions
from occlupose.cli.log import EventLog
from occlupose.cli.terminal import INTERRUPTED, Interrupt, check_folder
from occlupose.errors import OccluposeError
from occlupose.files import remove_leftovers
from occlupose.folder_lock import was_cut_short

if TYPE_CHECKING:  # opening of media is imported where it is used, so that --help is quick
    from occlupose.cli.archive.inputs import Job
    from occlupose.cli.archive.ledger import Ledger

FAILED = 1
"""Exit code if an input failed."""

LONGEST = 3000
"""Frames of a video; on a Ray cluster, one that has more is cut."""


@dataclass(frozen=True)
class Archive:
    """Inputs with a folder for all results.

    Attributes:
        jobs: the inputs.
        root: the folder.
        options: of the command line.
    """

    jobs: "list[Job]"
    root: Path
    options: RunOptions

    @classmethod
    def find(
        cls, texts: Sequence[str], list_file: Path | None, manifest: Path | None, root: Path, options: RunOptions
    ) -> "Archive | None":
        """What the user asks for; None if it is a single input: one that is named, and is no folder or glob of videos.

        Arguments:
            texts: files, folders and glob patterns.
            list_file, manifest: files that name more.
            root: folder for all results.
            options: of the command line.

        Raises:
            OccluposeError: a list or manifest cannot be used, a camera is among the inputs, or two inputs would have
                the same folder.
        """
        from occlupose.cli.archive import inputs
        from occlupose.cli.archive.requests import read_requests

        requests = read_requests(texts, list_file, manifest, options)
        found = [inputs.find(request.text) for request in requests]
        if list_file is None and manifest is None and len(found) == 1 and not found[0].is_tree:
            return None
        return cls(inputs.find_jobs(requests, found, root), root, options)

    def run(
        self,
        workers: int | None = None,
        log: Path | None = None,
        *,
        ray: str | None = None,
        longest: int = LONGEST,
        overwrite: bool = False,
        quiet: bool = False,
    ) -> int:
        """Does all inputs that are not finished, and writes summary.csv.

        Arguments:
            workers: number of processes; None: this one, or with `ray` one for each processor.
            log: file for JSON lines.
            ray: address of a Ray cluster that does the work, or "local"; None: this machine does it, without Ray.
            longest: frames of a video; with `ray`, one that has more is cut.
            overwrite: do also what is finished, and replace poses of other inputs.
            quiet: print errors and the last line only.

        Returns:
            The exit code.

        Raises:
            OccluposeError: the options cannot be used for any input, a file for all of them cannot be written, Ray is
                missing, or no cluster answers.
        """
        from occlupose.cli.archive.ledger import Ledger
        from occlupose.cli.archive.summary import SUMMARY, Summary

        if self.options.estimator.oanet.boxes is not None:
            raise OccluposeError("--boxes: has boxes of one input; leave it out, or run that input by itself")
        if ray is not None:
            check_ray()
        self.options.check()
        check_folder(self.root, files=[SUMMARY])
        console = Console(stderr=True, quiet=quiet)
        summary = Summary(self.root / SUMMARY, self.jobs)
        with EventLog(log) as events, Interrupt() as interrupt:
            # one console for both, where bars are shown: they stay below what is printed
            ledger = Ledger(self.jobs, summary, events, console, Console(stderr=True) if quiet else console)
            with ledger:
                waiting = self._sort_out(ledger, overwrite)
                if waiting and ray is not None:
                    from occlupose.cli.archive.cluster import Plan, run_on_cluster

                    plan = Plan(ray, workers, longest, self.options.estimator, overwrite)
                    run_on_cluster(waiting, plan, ledger, interrupt)
                elif len(waiting) > 1 and workers is not None and workers > 1:
                    from occlupose.cli.archive.processes import run_in_processes

                    run_in_processes(waiting, workers, self.options.estimator, overwrite, ledger, interrupt)
                elif waiting:
                    self._run_here(waiting, overwrite, console, ledger, interrupt)
            print(ledger.last_line())
        if interrupt.asked:
            return INTERRUPTED
        return FAILED if ledger.has_failures else 0

    def _sort_out(self, ledger: "Ledger", overwrite: bool) -> "list[Job]":
        """The inputs that are not finished; last those at which a run was cut short: they may be the reason."""
        from occlupose.cli.archive.summary import SUMMARY
        from occlupose.cli.archive.worker import find_finished

        remove_leftovers(self.root, [Path(SUMMARY).stem])
        finished = {} if overwrite else {job: result for job in self.jobs if (result := find_finished(job)) is not None}
        ledger.skip(finished)
        return sorted((job for job in self.jobs if job not in finished), key=lambda job: was_cut_short(job.folder))

    def _run_here(
        self, jobs: "list[Job]", overwrite: bool, console: Console, ledger: "Ledger", interrupt: Interrupt
    ) -> None:
        from occlupose.cli.archive.worker import Worker

        worker = Worker(self.options.estimator, console, overwrite=overwrite)
        for job in jobs:
            if interrupt.asked:
                return
            ledger.begin(job)
            ledger.end(job, worker.do(job, partial(ledger.report, job), interrupt))


def check_ray() -> None:
    """Raises OccluposeError: Ray, an optional package, is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise OccluposeError("--ray: needs ray; pip install '.[ray]' in a clone of occlupose") from error
