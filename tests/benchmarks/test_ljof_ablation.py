import csv
from importlib import import_module
from pathlib import Path

import pytest

from occlupose.occlusion.blocks import LimbBlocks


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = import_module("ljof_ablation")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "ljof_ablation.csv")
    return module


def test_every_variant_has_three_seeds_and_the_grid_one_estimator(benchmark):
    runs = list(benchmark.planned(("main", "grid", "long")))
    assert len(set(runs)) == len(runs) == 2 * 8 * 3 + 8 * 3 + 3
    assert runs[:16] == [run for run in runs if run.seed == 0 and run.variant in benchmark.MAIN]
    assert {run.estimator for run in runs if run.variant in benchmark.GRID} == {"simple_baseline_small"}


def test_variants_differ_only_in_what_their_names_say(benchmark):
    recipes = {
        run.variant: run.recipe(6000)
        for run in benchmark.planned(("main", "grid"))
        if run.seed == 0 and run.estimator == "simple_baseline_small"
    }
    assert recipes["baseline"].blocks is None and recipes["baseline"].structure is None
    assert recipes["LJA"].blocks == LimbBlocks(0.15, 0.20)
    assert {name for name, recipe in recipes.items() if recipe.blocks is None} == {"baseline"}
    assert recipes["LJA, number 0.45, size 0.30"].blocks == LimbBlocks(0.45, 0.30)
    by_the_end = {name: recipe.structure and recipe.structure.schedule(1.0) for name, recipe in recipes.items()}
    assert {value for name, value in by_the_end.items() if "DSL" in name or "Ke" in name} == {0.5}
    at_first = {name: recipe.structure.schedule(0.0) for name, recipe in recipes.items() if recipe.structure}
    assert [name for name, value in at_first.items() if value] == ["LJA + DSL, constant", "LJA + Ke et al., constant"]
    assert len({recipe.without_ljof() for recipe in recipes.values()}) == 1


def test_whole_trainings_are_all_of_one_length_and_the_first_is_without_ljof(benchmark):
    long = list(benchmark.planned(("long",)))
    assert long[0] == benchmark.first("simple_baseline_small")
    recipes = [run.recipe(6000) for run in long]
    assert {recipe.epochs for recipe in recipes} == {200_000 / 6000} and {recipe.seed for recipe in recipes} == {100}
    assert [(recipe.blocks is None, recipe.structure is None) for recipe in recipes] == [
        (True, True),
        (False, True),
        (False, False),
    ]


def test_rows_that_are_there_are_not_run_again(benchmark):
    first, second, *_ = benchmark.planned(("main",))
    assert benchmark.finished() == set()
    benchmark.append(first, (0.1, 0.2, 0.3))
    benchmark.append(second, (0.4, 0.5, 0.6))
    assert benchmark.finished() == {first, second}
    with benchmark.RESULTS.open() as file:
        table = list(csv.reader(file))
    assert table[0] == ["estimator", "variant", "seed", "ap", "ap_occluded", "ar"] and len(table) == 3
    assert benchmark.RESULTS.with_suffix(".json").exists()
