import csv
import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch

from interrupted_runs import kill_after, run_to_the_end
from mocap_files import write_mocap
from occlupose import __version__
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.inputs import CHANNELS
from occlupose.methods.oanet.lifter.recipe import LifterRecipe
from occlupose.methods.oanet.lifter.train import train_lifter
from occlupose.methods.oanet.lifter.weights import load
from occlupose.training.loop import Optimisation

STEPS = 120


def recipe(steps=12, **changes):
    optimisation = Optimisation(steps=steps, warm_up_steps=5, save_every=10, log_every=10)
    return LifterRecipe(**{"width": 8, "batch": 2, "window": 8, "optimisation": optimisation} | changes)


def trained(mocap, folder, plan, **options):
    return train_lifter(mocap, folder, plan, progress=False, **options)


@pytest.fixture(scope="module")
def mocap(tmp_path_factory):
    return write_mocap(tmp_path_factory.mktemp("mocap"), {"07": 2, "02": 1})


def test_training_writes_weights_that_load_and_their_card(mocap, tmp_path):
    path = trained(mocap, tmp_path / "run", recipe(name="tiny.cmu"))
    assert path == tmp_path / "run" / "tiny.cmu.safetensors"
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "last.pt",
        "log.csv",
        "tiny.cmu.json",
        "tiny.cmu.safetensors",
    ]
    lifter = load(path)
    assert (lifter.width, lifter.depth) == (8, LifterRecipe().depth)
    assert all(output.isfinite().all() for output in lifter(torch.randn(1, 8, CHANNELS)))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == "tiny.cmu"
    assert card["parameters"] == sum(value.numel() for value in lifter.parameters())
    assert card["licence"] == "Apache-2.0"
    assert card["version"] == __version__
    assert card["noise"] == "movenet_noise.json"
    assert card["recipe"]["augmentation"]["distance"] == [2.0, 9.0]
    assert card["recipe"]["optimisation"]["steps"] == 12
    assert card["recipe"]["missing_joint_weight"] == LifterRecipe().missing_joint_weight
    assert "02, 08, 32" in card["data"]


def test_held_out_subjects_are_not_trained_on(mocap, tmp_path):
    one = trained(mocap, tmp_path / "with", recipe())
    (less := tmp_path / "mocap" / "cmu").mkdir(parents=True)
    (less / "07").symlink_to(mocap / "cmu" / "07")
    assert trained(less.parent, tmp_path / "without", recipe()).read_bytes() == one.read_bytes()
    only = write_mocap(tmp_path / "only", {"02": 1})
    with pytest.raises(OccluposeError, match="no motion to train on"):
        trained(only, tmp_path / "nothing", recipe())


@pytest.mark.parametrize(
    "change", [{"missing_joint_weight": 5.0}, {"occlusion_aware": False}, {"depth": 0}, {"seed": 1}]
)
def test_the_recipe_changes_the_result(mocap, tmp_path, change):
    weights = [
        trained(mocap, tmp_path / name, recipe(**options)).read_bytes()
        for name, options in (("one", {}), ("other", change))
    ]
    assert weights[0] != weights[1]


def test_the_log_has_each_term_of_the_loss(mocap, tmp_path):
    path = trained(mocap, tmp_path, recipe())
    header, *rows = csv.reader((path.parent / "log.csv").open())
    assert header == ["step", "position", "velocity", "completion", "extension", "symmetry", "seconds"]
    assert [row[0] for row in rows] == ["10", "12"]


def test_the_card_has_the_command_without_folder_names(mocap, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "lifter",
        f"--mocap={mocap}",
        "-o",
        "out",
        "--recipe.augmentation.off-axis",
        "2",
        "--recipe.name",
        "mocap.outdoors",
    ]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/occlupose", *words])
    path = trained(mocap, Path("out"), recipe(name="mocap.outdoors"))
    command = json.loads(path.with_suffix(".json").read_text())["command"]
    expected = "train lifter --mocap=MOCAP -o FOLDER --recipe.augmentation.off-axis 2 --recipe.name mocap.outdoors"
    assert command == f"occlupose {expected}"


def test_training_can_start_from_weights(mocap, tmp_path, monkeypatch):
    first = trained(mocap, tmp_path / "first", recipe())
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "lifter", "--init-from", str(first), f"--mocap={mocap}"])
    still = Optimisation(steps=1, learning_rate=0.0)
    unchanged = trained(mocap, tmp_path / "still", recipe(optimisation=still), init_from=first)
    begun = load(first).state_dict()
    kept = load(unchanged).state_dict()
    assert all(torch.equal(begun[name], kept[name]) for name in begun)
    card = json.loads(unchanged.with_suffix(".json").read_text())
    assert card["command"] == "occlupose train lifter --init-from WEIGHTS --mocap=MOCAP"
    assert card["begun_with"] == {"name": first.name, "sha256": hashlib.sha256(first.read_bytes()).hexdigest()}
    assert "begun_with" not in json.loads(first.with_suffix(".json").read_text())
    with pytest.raises(
        OccluposeError, match=r"oanet_lifter\.safetensors: width 8, depth 2; give the same with --recipe\.width"
    ):
        trained(mocap, tmp_path / "wider", recipe(width=16), init_from=first)
    assert not (tmp_path / "wider").exists()


def test_a_run_is_not_overwritten_and_is_resumed_only_as_itself(mocap, tmp_path):
    path = trained(mocap, tmp_path, recipe())
    weights = path.read_bytes()
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(mocap, tmp_path, recipe())
    assert trained(mocap, tmp_path, recipe(), resume=True).read_bytes() == weights
    with pytest.raises(OccluposeError, match="not a checkpoint of this run"):
        trained(mocap, tmp_path, recipe(width=16), resume=True)


def test_a_folder_without_mocap_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        trained(tmp_path, tmp_path / "run", recipe())
    assert not (tmp_path / "run").exists()


def command_line(mocap, folder, *more):
    """`recipe(STEPS)` as a command."""
    plan = {"steps": STEPS, "warm-up-steps": 5, "save-every": 10, "log-every": 10}
    options = {"mocap": mocap, "output": folder, "recipe.width": 8, "recipe.batch": 2, "recipe.window": 8}
    options |= {f"recipe.optimisation.{name}": value for name, value in plan.items()}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-c", "from occlupose.cli import main; main()", "train", "lifter", *words, *more]


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_end(mocap, tmp_path):
    kill_after(tmp_path / "killed" / "last.pt", command_line(mocap, tmp_path / "killed"))
    assert 0 < torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["step"] < STEPS
    run_to_the_end(command_line(mocap, tmp_path / "killed", "--resume"))
    trained(mocap, tmp_path / "whole", recipe(STEPS))
    ends = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("killed", "whole")]
    for part in ("network", "average"):
        assert all(torch.equal(ends[0][part][name], ends[1][part][name]) for name in ends[0][part])
    files = [(tmp_path / name / "oanet_lifter.safetensors").read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]
    logs = [[row[:-1] for row in csv.reader((tmp_path / name / "log.csv").open())] for name in ("killed", "whole")]
    assert logs[0] == logs[1]
    assert logs[0][-1][0] == str(STEPS)
