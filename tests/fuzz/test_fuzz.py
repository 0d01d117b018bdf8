"""Readers of mutated files, the files that broke one once, and whether failures are noticed."""

import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from fuzz import broken, targets, workers
from fuzz.workers import collect, run
from occlupose.errors import OccluposeError

CRASHES = sorted(path for path in (Path(__file__).parent / "crashes").iterdir() if path.suffix != ".md")


def test_no_mutated_file_breaks_a_reader(tmp_path):
    names = targets.choose(500)
    report = collect(run(zip(names, range(500), strict=True), tmp_path))
    kinds = Counter(kind for _, kind in report.counts.elements())
    assert report.failures == [] and kinds[workers.READ] > 50 and kinds[workers.REFUSED] > 150
    assert {target for target, _ in report.counts} == targets.ALL.keys()


@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.name)
def test_a_file_that_broke_a_reader_once(path, tmp_path):
    """Files are called TARGET-NUMBER, as `make fuzz` saves them."""
    target = targets.ALL[path.stem.rpartition("-")[0]]
    place = target.make(tmp_path)
    shutil.copyfile(path, place)
    try:
        target.read(place)
    except OccluposeError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("name", targets.ALL)
def test_the_files_that_are_mutated_are_valid(name, tmp_path):
    target = targets.ALL[name]
    path = target.make(tmp_path)
    target.read(path)
    content = path.read_bytes()
    assert target.mutated(3, content) == target.mutated(3, content) != target.mutated(4, content)


def test_failures_are_noticed_and_their_files_saved(tmp_path):
    names = [name for name in broken.NAMES if name not in ("hang", "asleep")]
    outcomes = list(run(((name, 7) for name in names), tmp_path, module="fuzz.broken"))
    kinds = {outcome.target: outcome.kind for outcome in outcomes}
    assert kinds == {name: name for name in names}
    assert {outcome.target: outcome.about for outcome in outcomes}["died"] == "SIGABRT"
    for outcome in outcomes:
        if outcome.kind in workers.FAILURES:
            assert outcome.path == tmp_path / "failures" / f"{outcome.target}-7.txt"
            assert outcome.path.read_bytes() == broken.ALL[outcome.target].mutated(7, b"content")
    report = collect(outcomes)
    assert len(report.failures) == len(names) - 2
    assert f"{len(names)} inputs, {len(names) - 2} failures" in report.lines()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "about"), [("hang", "more than 10 s of a processor"), ("asleep", "asleep for ever")])
def test_readers_that_never_end_are_ended(tmp_path, monkeypatch, name, about):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 10.0)
    (outcome,) = run([(name, 1)], tmp_path, module="fuzz.broken")
    assert (outcome.kind, outcome.about) == ("hang", about)


def test_the_folder_of_an_earlier_call(tmp_path):
    for _ in range(2):
        (outcome,) = run([("list", 1)], tmp_path)
        assert outcome.kind in ("read", "refused")


def test_inputs_are_spread_by_shares():
    names = Counter(targets.choose(1000))
    assert names.keys() == targets.ALL.keys()
    assert names["json"] == pytest.approx(2 * names["camera"], abs=2)
    assert Counter(targets.choose(10, names=["png", "jpg"])) == {"png": 5, "jpg": 5}


def test_mutations_change_most_files():
    content = b"0123456789" * 20
    assert sum(targets.change_bytes(Random(seed), content) != content for seed in range(50)) > 40
