"""What becomes of the inputs of a Ray cluster whose workers end or cannot read a part; Ray itself is not needed."""

import sys
from collections import Counter
from importlib import import_module
from io import StringIO
from types import ModuleType, SimpleNamespace
from unittest.mock import ANY

import pytest
from rich.console import Console

from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.ledger import Ledger
from occlupose.cli.archive.parts import Cut, Part
from occlupose.cli.archive.summary import Summary
from occlupose.cli.archive.worker import Result
from occlupose.cli.estimation import EstimatorOptions, RunOptions
from occlupose.cli.log import EventLog

FINISHED = Result("finished", figures={"seconds": 1.0, "frames": 9, "people": 0})
CLUSTER = "occlupose.cli.archive.cluster"


class Reference:
    """A call of a worker, with what it returns or raises, which is ready at the given question for it."""

    def __init__(self, answer, patience):
        self.answer = answer
        self.patience = patience

    def is_ready(self):
        self.patience -= 1
        return self.patience < 0


class Ray(ModuleType):
    """As far as the command uses it: calls are answered by `answers`, from their name and arguments."""

    def __init__(self):
        super().__init__("ray")
        self.actor = ModuleType("ray.actor")
        self.actor.ActorHandle = object
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError = type("RayError", (Exception,), {})
        self.exceptions.RayTaskError = type("RayTaskError", (self.exceptions.RayError,), {})
        self.calls = Counter()
        self.open = 0
        self.most_open = 0
        self.machines = [{"CPU": 2.0}]

    def remote(self, **_):
        return lambda kind: self

    def options(self, **_):
        return SimpleNamespace(remote=lambda *_: self.worker())

    def worker(self):
        names = ("load", "do", "detect", "join", "progress", "stop")
        return SimpleNamespace(**{name: self.method(name) for name in names})

    def method(self, name):
        def remote(*arguments):
            number = arguments[2] if name == "detect" else None
            self.calls[name, number] += 1
            reference = Reference(*self.answers(name, number))
            reference.is_work = name in ("do", "detect", "join")
            self.open += reference.is_work
            self.most_open = max(self.most_open, self.open)
            return reference

        return SimpleNamespace(remote=remote, options=lambda **_: SimpleNamespace(remote=remote))

    def answers(self, name, number):
        if name == "load":
            return ([], ""), 0
        if name == "progress":
            return ("detecting", 1, 9, ""), 0
        return self.work(name, number)

    def wait(self, references, num_returns=1, timeout=None):
        return [each for each in references if each.is_ready()], []

    def get(self, reference):
        self.open -= reference.is_work
        if isinstance(reference.answer, Exception):
            raise reference.answer
        return reference.answer

    def kill(self, worker):
        pass

    def cluster_resources(self):
        return {"CPU": 2.0}

    def nodes(self):
        return [{"Alive": True, "Resources": machine} for machine in self.machines]


@pytest.fixture
def ray(monkeypatch):
    ray = Ray()
    for name, module in {"ray": ray, "ray.actor": ray.actor, "ray.exceptions": ray.exceptions}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, CLUSTER, None)  # so that it is as before at the end
    del sys.modules[CLUSTER]
    return ray


@pytest.fixture
def run(ray, tmp_path):
    """Does one long video in two parts, or more videos; returns the result of the table and what was printed."""

    def run(count=1, **options):
        module = import_module(CLUSTER)
        names = ["long.mp4", *(f"{number}.mp4" for number in range(1, count))]
        jobs = [Job(f"in/{name}", name, tmp_path / name, RunOptions()) for name in names]
        printed = StringIO()
        console = Console(file=printed, width=200)
        summary = Summary(tmp_path / "summary.csv", jobs)
        ledger = Ledger(jobs, summary, EventLog(None), console, console)
        plan = module.Plan("local", 2, 5, EstimatorOptions(**options), False)
        with ledger:
            module._Cluster(jobs, plan, ledger).run(SimpleNamespace(asked=False))
        return ledger.last_line().partition(": ")[2], printed.getvalue()

    return run


def cut():
    return Cut([(None, 0.5), (0.5, None)], False, 9)


def test_a_part_that_goes_on_after_another_has_failed(ray, run):
    def work(name, number):
        if name == "do":
            return cut(), 0
        if number == 0:
            return ray.exceptions.RayError("killed\nby somebody"), 3
        return Part([], [], None, 0.0, 1.0), 30

    ray.work = work
    said, printed = run()
    assert said == "1 failed" and "3 workers have ended at it (killed); it may be damaged" in printed
    assert ray.calls["detect", 0] == 3 and ray.calls["progress", None] > 3


def test_no_worker_gets_an_input_before_it_has_ended_its_last(ray, run):
    """However many there are, two workers have two at most."""
    ray.work = lambda name, number: (FINISHED, 3)
    assert run(count=40) == ("40 finished", ANY)
    assert ray.most_open == 2 and ray.calls["do", None] == 40


def test_a_part_of_a_video_that_is_done_undivided_is_not_repeated(ray, run):
    def work(name, number):
        if name == "do":
            return cut(), 0
        if name == "join":
            return FINISHED, 9
        return (None, 3) if number == 0 else (ray.exceptions.RayError("killed"), 5)

    ray.work = work
    assert run()[0] == "1 finished"
    assert ray.calls["detect", 0] == ray.calls["detect", 1] == ray.calls["join", None] == 1


@pytest.mark.parametrize(
    ("machine", "options", "needed"),
    [
        ({"CPU": 2.0}, {"threads": 4}, "4 processors"),
        ({"CPU": 2.0}, {"device": "cuda"}, "a processor and a GPU"),
        ({"CPU": 4.0, "GPU": 1.0}, {"threads": 4, "device": "cuda"}, None),
    ],
)
def test_workers_that_no_machine_has_room_for(ray, run, machine, options, needed):
    ray.machines = [machine]
    ray.work = lambda name, number: (FINISHED, 0)
    said, printed = run(**options)
    assert said == "1 finished"
    assert ("no machine has" in printed) == (needed is not None)
    if needed is not None:
        assert f"--ray: no machine has {needed}, as each worker needs; waiting for one\n" in printed
