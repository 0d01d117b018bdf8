"""The inputs of an archive, shared by the machines of a Ray cluster."""

import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError
from rich.console import Console

from occlupose import __version__
from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.ledger import Ledger
from occlupose.cli.archive.parts import DETECTING, Cut, Part
from occlupose.cli.archive.worker import Result, Worker
from occlupose.cli.estimation import EstimatorOptions
from occlupose.cli.terminal import Stoppable
from occlupose.errors import OccluposeError, reason

LOCAL = "local"
"""Address for a cluster of this machine alone, which ends with the command."""

REPORT_SECONDS = 0.5
"""Time between two questions for progress."""

ANSWER_SECONDS = 10.0
"""How long the port of a cluster is given to answer. Ours."""

TRIES = 3
"""An input at which so many workers have ended has failed."""

CONTROL = "control"
"""Calls that a worker answers while it does an input."""


@dataclass(frozen=True)
class Plan:
    """How the workers do inputs.

    Attributes:
        address: of the cluster, or `LOCAL`.
        workers: number of them; None: one for each processor, or for as many as each needs.
        longest: frames of a video; one that has more is cut.
        options: of the estimators.
        overwrite: do also what is finished.
    """

    address: str
    workers: int | None
    longest: int
    options: EstimatorOptions
    overwrite: bool

    @property
    def threads(self) -> int:
        """Processors of each worker."""
        return self.options.threads or 1


def run_on_cluster(jobs: Sequence[Job], plan: Plan, ledger: Ledger, interrupt: Stoppable) -> None:
    """Does inputs on a cluster: each worker has one at a time, and takes the next one when it is ready.

    Ray starts the workers and says when one has ended; another one then takes its place and its input. All workers end
    with this process, even if it is killed.

    Arguments:
        ledger: is told what becomes of each.
        interrupt: whether to stop early.

    Raises:
        OccluposeError: no cluster answers, a machine has another version or lacks the folder, the options do not go
            together, or a network cannot be loaded.
    """
    with redirect_stdout(sys.stderr):  # for messages of Ray
        _connect(plan)
        try:
            _Cluster(jobs, plan, ledger).run(interrupt)
        finally:
            ray.shutdown()


def _connect(plan: Plan) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send statistics to its makers
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "occlupose"}
    if plan.address == LOCAL:
        options["include_dashboard"] = False
        if plan.workers is not None:
            options["num_cpus"] = plan.workers * plan.threads
    with _signals_kept():
        try:
            _check_port(plan.address)
            ray.init(plan.address, **options)
        except Exception as error:  # Ray raises it bare where a process of its own is not there in time
            cure = f"start one with ray start --head and give its address, or give {LOCAL}"
            why = " ".join(reason(error).split()).rstrip(".")
            raise OccluposeError(f"--ray {plan.address}: no cluster answers ({why}); {cure}") from error


def _check_port(address: str) -> None:
    """Raises OSError: nothing listens at the host and port of an address. Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The handlers of Ctrl-C and SIGTERM stay as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(eq=False)
class _Video:
    """A video that was cut.

    Attributes:
        cut: where.
        parts: by number, as they are ready.
        done: number of frames of each part so far.
        is_whole: whether it is to be done undivided after all.
    """

    cut: Cut
    parts: dict[int, Part] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)
    is_whole: bool = False


@dataclass(eq=False)
class _Task:
    """What a worker does at a time.

    Attributes:
        job: input that it is for.
        part: number of the part in which people are to be detected; None: everything else.
        deaths: number of workers that have ended at it.
    """

    job: Job
    part: int | None = None
    deaths: int = 0


class _Cluster:
    def __init__(self, jobs: Sequence[Job], plan: Plan, ledger: Ledger) -> None:
        self._plan = plan
        self._ledger = ledger
        self._waiting = deque(_Task(job) for job in jobs)
        self._in_work: set[Job] = set()
        self._videos: dict[Job, _Video] = {}
        self._idle: list[ActorHandle] = []
        self._loading: dict[Any, ActorHandle] = {}  # by the reference of what they return, as the next two
        self._running: dict[Any, tuple[ActorHandle, _Task]] = {}
        self._asked: dict[Any, _Task] = {}
        self._dead_at_once = 0
        self._options = replace(plan.options, threads=plan.threads)
        gpus = int(plan.options.device.startswith("cuda"))
        self._actor = ray.remote(concurrency_groups={CONTROL: 1})(_Server).options(num_cpus=plan.threads, num_gpus=gpus)
        resources = ray.cluster_resources()
        self._count = plan.workers or max(1, int(resources.get("CPU", 1)) // plan.threads)
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(each.get("CPU", 0) >= plan.threads and each.get("GPU", 0) >= gpus for each in machines):
            needed = f"{plan.threads} processors" if plan.threads > 1 else "a processor"
            wanted = f"{needed} and a GPU" if gpus else needed
            ledger.say(f"occlupose: warning: --ray: no machine has {wanted}, as each worker needs; waiting for one")

    def run(self, interrupt: Stoppable) -> None:
        is_told = False
        while self._running or (self._waiting and not interrupt.asked):
            if not interrupt.asked:
                self._fill()
            elif not is_told:
                is_told = True
                for actor, _ in self._running.values():
                    actor.stop.options(concurrency_group=CONTROL).remote()
            self._ask()
            for reference in ray.wait([*self._loading, *self._running], timeout=REPORT_SECONDS)[0]:
                if reference in self._loading:
                    self._welcome(reference)
                else:
                    self._receive(reference, interrupt)

    def _fill(self) -> None:
        """Gives inputs to those who are ready, and starts more workers if there are more inputs."""
        while self._idle and self._waiting:
            actor = self._idle.pop()
            task = self._waiting.popleft()
            if task.job not in self._in_work:
                self._in_work.add(task.job)
                self._ledger.begin(task.job)
            self._running[self._submit(actor, task)] = (actor, task)
        while len(self._loading) < len(self._waiting) and len(self._running) + len(self._loading) < self._count:
            actor = self._actor.remote(self._options, self._plan.overwrite)
            self._loading[actor.load.remote(os.getcwd(), __version__)] = actor

    def _submit(self, actor: ActorHandle, task: _Task) -> Any:
        video = self._videos.get(task.job)
        if video is None:
            return actor.do.remote(task.job, self._plan.longest)
        if task.part is None:
            parts = [] if video.is_whole else [video.parts[number] for number in sorted(video.parts)]
            return actor.join.remote(task.job, parts)
        before = video.parts.get(task.part - 1) if video.cut.follows else None
        return actor.detect.remote(task.job, video.cut, task.part, before and before.memory)

    def _ask(self) -> None:
        """Takes down how far the workers are, and asks again."""
        ready = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)[0] if self._asked else []
        current = {task for _, task in self._running.values()}
        for reference in ready:
            task = self._asked.pop(reference)
            try:
                answer = ray.get(reference)
            except RayError:
                continue  # it has ended, which is seen at its task
            if answer is not None and task in current:
                self._report(task, *answer)
        known = set(self._asked.values())
        for actor, task in self._running.values():
            if task not in known:
                self._asked[actor.progress.options(concurrency_group=CONTROL).remote()] = task

    def _report(self, task: _Task, stage: str, done: int, total: int | None, people: str) -> None:
        if not self._is_wanted(task):
            return
        video = self._videos.get(task.job)
        if video is not None and task.part is not None:
            video.done[task.part] = done
            self._ledger.report(task.job, DETECTING, sum(video.done.values()), video.cut.count)
        else:
            self._ledger.report(task.job, stage, done, total, people)

    def _welcome(self, reference: Any) -> None:
        """A worker has loaded its networks, or could not."""
        actor = self._loading.pop(reference)
        try:
            said, refused = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            self._dead_at_once += 1
            if self._dead_at_once >= TRIES * self._count:
                why = (
                    f"workers: {self._dead_at_once} have ended while they loaded their networks ({_first_line(error)})"
                )
                raise OccluposeError(f"{why}; give fewer --workers") from error
            return
        if refused:
            raise OccluposeError(refused)
        self._dead_at_once = 0
        for line in said:
            self._ledger.say(line)
        self._idle.append(actor)

    def _receive(self, reference: Any, interrupt: Stoppable) -> None:
        """A worker is done, or has ended."""
        actor, task = self._running.pop(reference)
        try:
            content = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            ray.kill(actor)  # if it only seems to have ended
            self._bury(task, error)
            return
        self._idle.append(actor)
        if isinstance(content, Result):
            self._end(task.job, content)
        elif isinstance(content, Cut):
            self._videos[task.job] = _Video(content)
            numbers = [0] if content.follows else range(len(content.times))
            self._waiting.extendleft(reversed([_Task(task.job, number) for number in numbers]))
        elif not interrupt.asked:
            self._add(task, content)

    def _add(self, task: _Task, part: Part | None) -> None:
        """A part of a video is ready; None: it cannot be done."""
        if not self._is_wanted(task):
            return
        assert task.part is not None
        video = self._videos[task.job]
        if part is None:
            video.is_whole = True
            self._forget(task.job)
            self._waiting.appendleft(_Task(task.job))
            return
        video.parts[task.part] = part
        video.done[task.part] = len(part.stamps)
        if len(video.parts) == len(video.cut.times):
            self._waiting.appendleft(_Task(task.job))
        elif video.cut.follows:
            self._waiting.appendleft(_Task(task.job, task.part + 1))

    def _bury(self, task: _Task, error: RayError) -> None:
        """What is to be done after the end of a worker: the same again, by another one."""
        if not self._is_wanted(task):
            return
        task.deaths += 1
        if task.deaths < TRIES:
            self._waiting.appendleft(task)
            return
        cure = "it may be damaged, or too large for the memory"
        said = f"{task.job.input}: {TRIES} workers have ended at it ({_first_line(error)}); {cure}"
        self._end(task.job, Result("failed", said))

    def _is_wanted(self, task: _Task) -> bool:
        """Whether what a worker does is still needed: not if another part of the video has failed, nor if it is a part
        of one that is to be done undivided after all.
        """
        video = self._videos.get(task.job)
        is_needless = video is not None and video.is_whole and task.part is not None
        return task.job in self._in_work and not is_needless

    def _end(self, job: Job, result: Result) -> None:
        self._in_work.remove(job)
        if self._videos.pop(job, None) is not None:
            self._forget(job)
        self._ledger.end(job, result)

    def _forget(self, job: Job) -> None:
        """Takes what is left to do of an input from those that wait."""
        self._waiting = deque(task for task in self._waiting if task.job != job)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


# ------------------------------------------------------------------------------- in the workers


class _Server:
    """A worker: loads the networks, and does inputs as they come.

    Arguments:
        options: of the estimator.
        overwrite: do also what is finished.
    """

    def __init__(self, options: EstimatorOptions, overwrite: bool) -> None:
        self._options = options
        self._overwrite = overwrite
        self._progress: tuple[str, int, int | None, str] | None = None
        self.asked = False

    def load(self, folder: str, version: str) -> tuple[list[str], str]:
        """Loads the networks.

        Arguments:
            folder: the current one of the command; names of files count from there.
            version: of occlupose where the command was given.

        Returns:
            What the user should know, in lines; and why it cannot work, or "".
        """
        host = socket.gethostname()
        if version != __version__:
            return [], f"--ray: {host} has occlupose {__version__}, not {version}; install the same on all machines"
        try:
            os.chdir(folder)
        except OSError as error:
            return [], f"{folder}: not there on {host} ({reason(error)}); share it among all machines of the cluster"
        said = StringIO()
        try:
            self._worker = Worker(self._options, Console(file=said, width=10_000), overwrite=self._overwrite)
        except OccluposeError as error:
            return [], str(error)
        return said.getvalue().splitlines(), ""

    def do(self, job: Job, longest: int) -> Result | Cut:
        """Does an input, or says where to cut it."""
        self._progress = None
        return self._worker.cut(job, longest) or self.join(job, [])

    def detect(self, job: Job, cut: Cut, number: int, memory: dict[str, Any] | None) -> Part | None:
        """People in a part of a video; None: it cannot be done."""
        self._progress = None
        return self._worker.detect(job, cut, number, memory, self._report, self)

    def join(self, job: Job, parts: list[Part]) -> Result:
        """Does an input with what is known of its parts."""
        self._progress = None
        return self._worker.do(job, self._report, self, parts)

    def progress(self) -> tuple[str, int, int | None, str] | None:
        """How far it is."""
        return self._progress

    def stop(self) -> None:
        """Stops at the next frame."""
        self.asked = True

    def _report(self, stage: str, done: int, total: int | None, people: str = "") -> None:
        self._progress = (stage, done, total, people)
