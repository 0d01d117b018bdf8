from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.networks import pretrained


@pytest.fixture
def runtimes(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("runtimes")


class Clock:
    """A clock that only moves when it is told to, in place of the module `time`."""

    def __init__(self):
        self.cpu = 0.0
        self.wall = 0.0

    def process_time(self):
        return self.cpu

    def perf_counter(self):
        return self.wall

    def sleep(self, seconds):
        self.wall += seconds

    def work(self, seconds):
        self.cpu += seconds
        self.wall += seconds


def test_times_and_ratios(runtimes, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(runtimes, "time", clock)
    calls = {"a": lambda: clock.work(0.01), "b": lambda: clock.work(0.02), "c": lambda: clock.sleep(0.01)}
    found = runtimes.measure(calls, rounds=3, calls=2)
    assert found == pytest.approx(
        {
            "a, cpu_ms": 10,
            "a, wall_ms": 10,
            "a, cpu_ratio": 1,
            "a, wall_ratio": 1,
            "b, cpu_ms": 20,
            "b, wall_ms": 20,
            "b, cpu_ratio": 2,
            "b, wall_ratio": 2,
            "c, cpu_ms": 0,
            "c, wall_ms": 10,
            "c, cpu_ratio": 0,
            "c, wall_ratio": 1,
        }
    )


@pytest.mark.parametrize("network", ["movenet_multipose", "nanodet_g"])
def test_torch_gives_the_outputs_of_the_package(runtimes, network):
    pictures = runtimes.draw(network, 1)
    assert pictures.shape == (1, runtimes.SIDES[network], runtimes.SIDES[network], 3)
    found = runtimes.Torch(network, 1)(pictures)
    for value, expected in zip(found, pretrained.load(network)(pictures), strict=True):
        np.testing.assert_allclose(value, expected, atol=0.01)


def test_every_network_is_measured_in_every_runtime(runtimes):
    runs = {
        ", ".join(map(str, group)): {
            f"{runtime}, {column}": float(number)
            for number, runtime in enumerate(runtimes.RUNTIMES)
            for column in runtimes.COLUMNS[4:]
        }
        for group in runtimes.groups()
    }
    rows = list(runtimes.rows(runs))
    assert len(rows) == 3 * 2 * (3 + 1 + 1) and all(len(row) == len(runtimes.COLUMNS) for row in rows)
    assert {row[0] for row in rows} == set(pretrained.PUBLISHED)
    assert rows[2] == ("movenet_thunder", 1, 1, "LiteRT", "2.0", "2.0", "2.00", "2.00")
