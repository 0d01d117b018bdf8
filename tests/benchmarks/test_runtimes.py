import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.networks import pretrained


@pytest.fixture
def runtimes(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("runtimes")


def work(seconds):
    """Keeps a processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_times_and_ratios(runtimes):
    found = runtimes.measure(
        {"a": lambda: work(0.01), "b": lambda: work(0.02), "c": lambda: time.sleep(0.01)}, rounds=3, calls=2
    )
    assert found["a, cpu_ms"] == pytest.approx(10, rel=0.3) and found["a, wall_ms"] >= 10
    assert found["a, cpu_ratio"] == found["a, wall_ratio"] == 1
    assert found["b, cpu_ratio"] == pytest.approx(2, rel=0.3) and found["b, wall_ms"] >= 20
    assert found["c, cpu_ms"] < 5 and found["c, wall_ms"] >= 10


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
