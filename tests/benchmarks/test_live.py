from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.methods.lifter.network import LifterNetwork


@pytest.fixture
def live(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("live")


def test_people_are_detected_where_their_rays_meet_the_image(live):
    given = live.people(3, 50)
    assert given["xy"].shape == (50, 3, 22, 2)
    assert given["observed"].mean() == pytest.approx(0.8, abs=0.02)
    np.testing.assert_array_equal(given["observed"], given["state"] == 2)
    np.testing.assert_allclose(live.Camera.from_fov(*live.SIZE).rays(given["xy"])[..., :2], given["rays"], atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_both_are_measured_on_the_same_people(live, first, monkeypatch):
    order = []
    stream = live.stream
    monkeypatch.setattr(live, "WARM_UP", 20)
    monkeypatch.setattr(live, "stream", lambda *arguments: order.append("ours") or stream(*arguments))

    def ask(mode, **request):
        order.append(mode)
        assert request["rays"].shape == (60, 2, 22, 2) and request["size"].tolist() == [1280, 720]
        return {"live": np.full(60, 4.0), "stream": np.arange(60.0)}

    values = live.measure(LifterNetwork(16, 1).eval(), ask, 2, 60, first)
    assert order == ["ours"] * 5 + ["live"] if first else ["live"] + ["ours"] * 5
    assert values["before, live, mean"] == 4 and values["before, stream, mean"] == pytest.approx(39.5)
    assert values["before, stream, p95"] == pytest.approx(np.percentile(np.arange(20, 60), 95))
    names = [f"ours, {name}" for name in live.LATENCIES]
    assert all(values[f"{name}, p95"] >= values[f"{name}, mean"] / 2 > 0 for name in names)


def test_ratios_are_medians_of_rounds(live):
    names = [*(f"ours, {name}" for name in live.LATENCIES), *live.BEFORE]
    runs = {
        live.key(count, number): {
            f"{name}, {statistic}": count * (number + 1.0) * (2 if name.startswith("ours") else 1)
            for name in names
            for statistic in live.STATISTICS
        }
        for count in live.PEOPLE
        for number in range(3)
    }
    found = live.rows(runs, 3)
    assert len(found) == 4 * 7 and all(len(row) == len(live.COLUMNS) for row in found)
    assert found[0] == ("1", "ours", "0", "4.00", "4.00", "2.00", "2.00", "2.00", "2.00")
    assert found[-1] == ("8", "before, stream", "", "16.00", "16.00", "1.00", "1.00", "1.00", "1.00")
