import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def same_numbers(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("same_numbers")


@pytest.fixture
def folders(tmp_path):
    """Twice the same results."""
    for name in ("before", "after"):
        folder = tmp_path / name
        (folder / "run").mkdir(parents=True)
        np.savez(folder / "poses.npz", xyz=np.array([1.0, np.nan]), root=np.zeros(3), joints=["nose", "neck"])
        (folder / "scores.csv").write_text(f"{name},PCK\nall,0.5\n")
        (folder / "run" / "labels.json").write_text(json.dumps({"people": [{"xy": [[1, None], [2, 3]]}]}))
        (folder / "settings.json").write_text(json.dumps({"name": name}))
    return tmp_path / "before", tmp_path / "after"


def test_the_same_numbers(same_numbers, folders):
    found = same_numbers.compare(*folders, ())
    assert (found.largest, found.excess) == (0, "") and found.values == 2 + 3 + 2 + 1 + 4


def test_other_numbers_by_their_bounds(same_numbers, folders):
    np.savez(folders[1] / "poses.npz", xyz=np.array([1.0, np.nan]), root=np.full(3, 0.02), joints=["nose", "neck"])
    assert same_numbers.compare(*folders, (("root", 0.03),)).excess == ""
    found = same_numbers.compare(*folders, ())
    assert found.largest == 0.02 and found.excess == "poses.npz: root: 0.02"


def test_the_version_of_a_format_may_change(same_numbers, folders):
    for version, folder in enumerate(folders):
        np.savez(folder / "poses.npz", xyz=np.zeros(3), version=version)
        (folder / "poses.json").write_text(json.dumps({"version": version}))
    found = same_numbers.compare(*folders, ())
    assert (found.largest, found.excess) == (0, "")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"xyz": [1.0, 2.0], "root": np.zeros(3), "joints": ["nose", "neck"]}, "poses.npz: xyz: inf"),
        ({"xyz": [1.0, np.nan], "root": np.zeros(2), "joints": ["nose", "neck"]}, "poses.npz: root: inf"),
        ({"xyz": [1.0, np.nan], "root": np.zeros(3), "joints": ["nose", "head"]}, "poses.npz: joints: inf"),
        ({"xyz": [1.0, np.nan], "root": np.zeros(3)}, "only in one: poses.npz: joints"),
    ],
)
def test_what_counts_as_another_number(same_numbers, folders, arrays, words):
    np.savez(folders[1] / "poses.npz", **arrays)
    assert same_numbers.compare(*folders, ()).excess == words


def test_every_case_says_what_it_runs(same_numbers):
    assert all(case.run.__doc__ for case in same_numbers.CASES.values())


def test_options_that_are_now_in_recipes_go_into_a_file(same_numbers):
    words = "--data d recipe:small --start w --recipe.epochs 2 --recipe.warm-up 10 --recipe.design.width 96".split()
    *options, recipe, path = same_numbers._translated(["train", "hupor"], words)
    assert options == ["--data", "d", "--init-from", "w", "--epochs", "2"] and recipe == "--recipe"
    content = json.loads(Path(path).read_text())
    assert (content["warm_up_steps"], content["design"]["width"], content["name"]) == (10, 96, "hupor.synth")
    words = ["--model", "hrnet_small", "--crop", "64", "32", "--batch", "4"]
    *options, recipe, path = same_numbers._translated(["train", "ljof"], words)
    assert options == ["--batch", "4"]
    assert json.loads(Path(path).read_text())["crop"]["height"] == 32
    assert same_numbers._translated(["train", "ssf"], ["recipe:small"]) == ["--recipe", "small"]
    assert same_numbers._translated(["run"], ["a.mp4", "--height", "1.7"]) == ["a.mp4", "--height", "1.7"]
