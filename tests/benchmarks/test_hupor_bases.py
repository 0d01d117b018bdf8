import csv
import json
from importlib import import_module
from pathlib import Path

import pytest

import coco_files as files


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("hupor_bases")


def test_arms_differ_in_the_reasoner_alone(benchmark):
    for base in benchmark.SCALES:
        recipes = {arm: benchmark.Run(base, arm, 2).recipe() for arm in ("none", "hourglass", "dsed")}
        assert {recipe.seed for recipe in recipes.values()} == {2}
        assert [recipe.base_training.epochs for recipe in recipes.values()] == [benchmark.BASE_EPOCHS, 0, 0]
        assert {arm: recipe.design.reasoning for arm, recipe in recipes.items()} == {arm: arm for arm in recipes}
        assert len({recipe.design.base for recipe in recipes.values()}) == 1
        assert recipes["hourglass"].epochs == recipes["dsed"].epochs == benchmark.REASONER_EPOCHS


@pytest.mark.slow
def test_from_data_to_a_table_and_not_twice(benchmark, tmp_path, monkeypatch):
    """The smallest trainings that there are; a second call repeats nothing."""
    data = files.write_synth(tmp_path / "data")
    output = tmp_path / "results" / "bases.csv"
    words = {"train": data, "test": data, "runs": tmp_path / "runs", "bases": ("higherhrnet",), "seeds": (0,)}
    benchmark.main(**words, share=1e-9, output=output)
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["reasoning"], row["scales"]) for row in rows] == [
        (arm, scales) for arm in ("none", "hourglass", "dsed") for scales in ("1", "0.5 1 2")
    ]
    assert [row["paper"] for row in rows] == ["65.9", "67.6", "64.6", "66.1", "70.3", "71.4"]
    assert json.loads(output.with_suffix(".json").read_text())["seed"] == "0"
    before = output.read_bytes()
    monkeypatch.setattr(benchmark, "score", None)
    benchmark.main(**words, share=1e-9, output=output)
    assert output.read_bytes() == before
