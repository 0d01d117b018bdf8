"""The benchmark of archives: its times come from the log, and its ratios from the same round."""

from importlib import import_module
from pathlib import Path

import pytest

TIMES = {
    "one thread": [{"seconds": 40.0, "inputs": 4, "whole": 50.0}, {"seconds": 80.0, "inputs": 4, "whole": 84.0}],
    "default": [{"seconds": 30.0, "inputs": 4, "whole": 33.0}, {"seconds": 60.0, "inputs": 4, "whole": 63.0}],
    "two nodes": [{"seconds": 20.0, "inputs": 4, "whole": 40.0}, {"seconds": 40.0, "inputs": 4, "whole": 60.0}],
}


@pytest.fixture
def archive(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("archive")


def test_times_are_those_of_the_log(archive):
    lines = [
        '{"time": "2026-01-31T12:00:09.500+00:00", "event": "started"}',
        '{"time": "2026-01-31T12:00:10.000+00:00", "event": "finished"}',
        '{"time": "2026-01-31T12:00:10.000+00:00", "event": "started"}',
        '{"time": "2026-01-31T12:00:11.750+00:00", "event": "failed"}',
    ]
    assert archive.read_times(lines) == {"seconds": 2.25, "inputs": 2}


def test_ratios_are_those_of_the_same_round(archive, monkeypatch):
    monkeypatch.setattr(archive, "PROCESSORS", 2)
    assert archive.summarise(TIMES) == [
        ["one thread", "1", "270.0", "180.0", "360.0", "1.00", "0.75", "7.0"],
        ["default", "1", "360.0", "240.0", "480.0", "1.33", "1.00", "3.0"],
        ["two nodes", "2", "540.0", "360.0", "720.0", "2.00", "1.50", "20.0"],
    ]


def test_the_slower_of_workers_and_command_is_projected(archive, monkeypatch):
    monkeypatch.setattr(archive, "PROCESSORS", 2)
    nothings = {"all processors": [{"seconds": 1.0, "inputs": 100}], "ray local": [{"seconds": 2.0, "inputs": 100}]}
    values = {row[0]: row[1] for row in archive.project(TIMES, nothings, 50)}
    assert values["Ray's overhead on an input"] == "10.0" and values["inputs that one command gives out"] == "50"
    assert values["work of a worker on a video"] == "15.00"
    assert values["50000 videos on 100 workers"] == f"{50_000 * 0.15 / 3600:.2f}"
    nothings["ray local"] = [{"seconds": 100.0, "inputs": 100}]
    values = {row[0]: row[1] for row in archive.project(TIMES, nothings, 50)}
    assert values["50000 videos on 100 workers"] == f"{50_000 / 3600:.2f}"


def test_a_command_is_measured(archive, tmp_path):
    nothings = archive.make_nothings(tmp_path / "nothings", 3)
    times = archive.measure("one thread", nothings)
    assert times["inputs"] == 3 and 0 <= times["seconds"] < times["whole"]
