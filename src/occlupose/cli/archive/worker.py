"""Does the inputs of an archive, one after the other, with networks that are loaded once."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from occlupose.cli.archive import parts
from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.parts import Cut, DifferentFramesError, Joined, Part
from occlupose.cli.estimation import EstimatorOptions, estimate, export_all
from occlupose.cli.fingerprint import InputContent, settings
from occlupose.cli.output import OutputFolder, absolute
from occlupose.cli.terminal import Report, Stoppable
from occlupose.errors import OccluposeError
from occlupose.media import files_of

if TYPE_CHECKING:
    from occlupose.media import Source

Status = Literal["finished", "skipped", "failed", "interrupted"]


@dataclass(frozen=True)
class Result:
    """What became of an input.

    Attributes:
        status: skipped: an earlier run finished it.
        error: why it failed, in one line.
        figures: numbers of seconds, frames and people, and shares of states.
        notes: what the user should know, in lines.
        traceback: of an error that is none of the user's.
    """

    status: Status
    error: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    traceback: str | None = None


class Worker:
    """Loads the networks of a process, and does inputs.

    Arguments:
        options: of the estimator.
        overwrite: do also what is finished, and replace poses of other inputs.
        console: for what the user should know about the networks.

    Raises:
        OccluposeError: the options do not go together, or a network cannot be loaded.
    """

    def __init__(self, options: EstimatorOptions, console: Console, *, overwrite: bool = False) -> None:
        self._estimator = options.build(console)
        self._overwrite = overwrite

    def do(self, job: Job, report: Report, interrupt: Stoppable, known: Sequence[Part] = ()) -> Result:
        """Estimates the poses of an input and writes all files. Whatever is wrong with it is in the result.

        Arguments:
            report: is told how far it is.
            interrupt: whether to stop early; nothing is written then, or the next run does it again.
            known: people in all parts of the video, if it was cut.
        """
        begin = monotonic() - sum(part.seconds for part in known)
        try:
            with job.options.open(job.input) as source:
                return self._do(job, source, report, interrupt, known, begin)
        except KeyboardInterrupt:
            return Result("interrupted", figures={"seconds": round(monotonic() - begin, 2)})
        except Exception as error:
            seconds = {"seconds": round(monotonic() - begin, 2)}
            if isinstance(error, OccluposeError):
                return Result("failed", str(error), seconds)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            said = f"{job.input}: {text}; report it, with the traceback that --log FILE writes"
            return Result("failed", said, seconds, traceback=traceback.format_exc())

    def cut(self, job: Job, longest: int) -> Cut | None:
        """Where to cut a video of more than so many frames; None: it is to be done as it is, or cannot be."""
        try:
            with job.options.open(job.input) as source:
                folder = OutputFolder.of(job.folder, source, overwrite=self._overwrite)
                found = parts.cut(source, self._estimator, job.options, longest)
                if found is not None:
                    with folder.taken():
                        return None if self._find_finished(job, folder) else found
        except Exception:
            return None  # which is said when it is done
        return None

    def detect(
        self, job: Job, cut: Cut, number: int, memory: dict[str, Any] | None, report: Report, interrupt: Stoppable
    ) -> Part | None:
        """People in a part of a video; None where that is not possible, or to stop early.

        Arguments:
            number: of the part.
            memory: of the part before, if it is needed.
        """
        start, end = cut.times[number]
        try:
            with replace(job.options, start=start, end=end).open(job.input) as source:
                return parts.detect(source, self._estimator, job.options.camera(source), memory, report, interrupt)
        except (Exception, KeyboardInterrupt):
            return None

    def _find_finished(self, job: Job, folder: OutputFolder) -> dict[str, Any] | None:
        """What an earlier run wrote about itself in the folder, which is taken, if it finished the input."""
        if self._overwrite:
            return None
        files = files_of(job.input)
        wanted = settings(job.options)
        return folder.find_finished(files, wanted) or folder.recognise_finished(files, wanted)

    def _do(
        self,
        job: Job,
        source: "Source",
        report: Report,
        interrupt: Stoppable,
        known: Sequence[Part],
        begin: float,
    ) -> Result:
        folder = OutputFolder.of(job.folder, source, overwrite=self._overwrite)
        folder.check_place()
        with folder.taken():
            record = self._find_finished(job, folder)
            if record is not None:
                return skipped(record)
            folder.check_owner()
            estimate_with = partial(
                estimate,
                source,
                folder,
                job.options,
                job.options.camera(source),
                describe=InputContent(job.input, files_of(job.input)).whole,
                report=report,
                interrupt=interrupt,
            )
            try:
                done = estimate_with(estimator=Joined(self._estimator, known) if known else self._estimator)
            except DifferentFramesError:
                done = estimate_with(estimator=self._estimator)
            done.written += export_all(done.poses, folder.path, job.options.files.export)
            if not done.is_whole:
                raise KeyboardInterrupt
            figures = {"seconds": round(monotonic() - begin, 2), **done.figures()}
            folder.finish(done.written, result=figures)
        return Result("finished", figures=figures, notes=done.notes)


def skipped(record: dict[str, Any]) -> Result:
    """The result of an input that an earlier run has finished.

    Arguments:
        record: what that run wrote about itself.
    """
    figures = record.get("result")
    return Result("skipped", figures=figures if isinstance(figures, dict) else {})


def find_finished(job: Job) -> Result | None:
    """The result if an earlier run has finished the input, as far as size and times of its files tell."""
    try:
        files = files_of(job.input)
        folder = OutputFolder(job.folder, absolute(job.input))
        record = folder.find_finished(files, settings(job.options))
    except (OSError, OccluposeError):
        return None  # which is said when it is opened
    return None if record is None else skipped(record)
