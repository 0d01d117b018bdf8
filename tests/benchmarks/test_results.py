from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("results")


def test_a_finished_run_is_not_measured_again(results, tmp_path):
    runs = results.Runs(tmp_path / "runs.csv", "abc")
    runs.once("first, part", lambda: {"ms": 1.5})
    runs.once("first, part", lambda: pytest.fail("measured again"))
    assert runs.done() == {"first, part": {"ms": 1.5}}


def test_runs_of_other_code_and_those_that_were_cut_off_do_not_count(results, tmp_path):
    runs = results.Runs(tmp_path / "runs.csv", "abc")
    runs.once("first", lambda: {"ms": 1.0})
    assert results.Runs(runs.path, "def").done() == {}
    runs.path.write_text(runs.path.read_text().strip()[:-4])
    assert runs.done() == {}
