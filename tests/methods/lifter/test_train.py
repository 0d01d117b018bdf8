import csv
import hashlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mocap_sequences import striding_joints
from occlupose import __version__
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.losses import LifterTraining
from occlupose.methods.lifter.motions import LentMotion, _identify_source, _save, identify
from occlupose.methods.lifter.network import LifterNetwork, load
from occlupose.methods.lifter.samples import LifterSamples, SequenceSettings
from occlupose.methods.lifter.train import RECIPES, LifterRecipe, LifterTask, parameter_groups, train_lifter
from occlupose.training import recipe as recipe_files
from occlupose.training.loop import Optimisation
from occlupose.training.run import TrainingRun

STEPS = 6


def motions(frames=30):
    stride = striding_joints(frames)[:, :22]
    return [
        LentMotion(name, subject, kind, held_out, np.stack([stride, size * stride]).astype(np.float32))
        for name, subject, kind, held_out, size in (
            ("07_01", "07", "walking", False, 1.1),
            ("05_01", "05", "dance", False, 0.9),
            ("02_01", "02", "walking", True, 1.3),
        )
    ]


def plan(steps=STEPS, **changes):
    optimisation = Optimisation(steps=steps, warm_up_steps=2, save_every=2, log_every=3, precision="32-true")
    settings = SequenceSettings(frames=4)
    small = {"width": 32, "depth": 2, "batch": 2, "samples": settings, "optimisation": optimisation, "sized_until": 4}
    return LifterRecipe(**small | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of motions that are made already."""
    folder = tmp_path_factory.mktemp("data")
    _save(motions(), _identify_source(folder), folder / "motions.npz")
    return folder


def run(folder, **options):
    return TrainingRun(folder, progress=False, say=lambda line: None, **options)


def trained(data, folder, recipe, **options):
    return train_lifter(data / "mocap", recipe, run(folder, **options), data=data)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The weights of an uninterrupted run."""
    return trained(data, tmp_path_factory.mktemp("whole"), plan())


def rows(path):
    """A log without its last column, the seconds."""
    return [row[:-1] for row in csv.reader(path.open())]


def test_training_writes_weights_that_load_and_their_card(data, tmp_path, monkeypatch):
    words = ["train", "lifter", "--mocap", str(data / "mocap"), "-o", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/occlupose", *words])
    path = trained(data, tmp_path / "run", plan(name="tiny.lifter"), places={data / "mocap": "MOCAP"})
    assert path == tmp_path / "run" / "tiny.lifter.safetensors"
    names = ["last.pt", "log.csv", "tiny.lifter.json", "tiny.lifter.safetensors"]
    assert sorted(file.name for file in path.parent.iterdir()) == names
    network = load(path)
    assert (network.width, network.depth) == (32, 2)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == "tiny.lifter"
    assert card["parameters"] == sum(value.numel() for value in network.parameters())
    assert card["licence"] == "Apache-2.0"
    assert card["version"] == __version__
    for credit in ("CMU", "CC BY 3.0", "Public Domain", "OpenCap", "held out: CMU 02, 08, 32, 86, 135"):
        assert credit in card["data"]
    assert card["training_data"] == {"clips": 2, "motions": identify(motions()[:2])}
    assert card["noise"] == ["movenet_noise.json", "movenet_occlusion_noise.json"]
    assert card["recipe"]["samples"]["augmentation"]["distance"] == [1.8, 10.0]
    assert card["recipe"]["optimisation"]["steps"] == STEPS
    assert card["command"] == "occlupose train lifter --mocap MOCAP -o FOLDER"


def test_the_log_has_each_term_of_the_loss(whole):
    header, *steps = rows(whole.parent / "log.csv")
    assert header == ["step", "position", "velocity", "root", "size", "certainty"]
    assert [row[0] for row in steps] == ["3", "6"]
    assert all(np.isfinite([float(value) for value in row]).all() for row in steps)


@pytest.mark.parametrize(("left", "muon"), [(3, None), (5, None), (3, 3.0)])
def test_a_run_that_was_stopped_is_resumed_to_the_same_end(data, tmp_path, monkeypatch, whole, left, muon):
    recipe = plan(muon=muon)
    if muon is not None:
        whole = trained(data, tmp_path / "whole", recipe)

    class Stopped(Exception):
        pass

    draw = LifterSamples.__call__

    def sample(self, generator):
        nonlocal left
        if not left:
            raise Stopped
        left -= 1
        return draw(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(LifterSamples, "__call__", sample)
        with pytest.raises(Stopped):
            trained(data, tmp_path / "run", recipe)
    assert 0 < torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] < STEPS
    torch.manual_seed(99)
    path = trained(data, tmp_path / "run", recipe, resume=True)
    assert path.read_bytes() == whole.read_bytes()
    assert rows(path.parent / "log.csv") == rows(whole.parent / "log.csv")


def test_a_run_is_not_overwritten_and_is_resumed_only_as_itself(data, tmp_path, whole):
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(data, whole.parent, plan())
    for change in ({"depth": 1}, {"seed": 1}, {"samples": SequenceSettings(frames=5)}):
        with pytest.raises(OccluposeError, match="not a checkpoint of this run"):
            trained(data, whole.parent, plan(**change), resume=True)
    _save(motions(31), _identify_source(tmp_path), tmp_path / "motions.npz")
    with pytest.raises(OccluposeError, match="started with other settings or data"):
        trained(tmp_path, whole.parent, plan(), resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"samples": SequenceSettings(frames=4, aware=False)},
        {"samples": SequenceSettings(frames=4, longest_gap=1)},
        {"seed": 1},
        {"sized_until": 2},
        {"muon": 3.0},
    ],
    ids=["unaware", "gaps", "seed", "sized", "muon"],
)
def test_the_recipe_changes_the_result(data, tmp_path, whole, change):
    assert trained(data, tmp_path, plan(**change)).read_bytes() != whole.read_bytes()


def test_held_out_people_change_nothing(tmp_path, whole):
    _save(motions()[:2], _identify_source(tmp_path), tmp_path / "motions.npz")
    assert trained(tmp_path, tmp_path / "run", plan()).read_bytes() == whole.read_bytes()
    (tmp_path / "only").mkdir()
    _save(motions()[2:], _identify_source(tmp_path), tmp_path / "only" / "motions.npz")
    with pytest.raises(OccluposeError, match="no motion to train on"):
        trained(tmp_path / "only", tmp_path / "nothing", plan())
    assert not (tmp_path / "nothing" / "last.pt").exists()


def test_training_can_start_from_weights(data, tmp_path, whole):
    still = Optimisation(steps=1, learning_rate=0.0)
    path = trained(data, tmp_path, plan(optimisation=still), init_from=whole)
    begun = load(whole).state_dict()
    kept = load(path).state_dict()
    assert all(torch.equal(begun[name], kept[name]) for name in begun)
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["begun_with"], card["sha256"]) == (whole.name, hashlib.sha256(whole.read_bytes()).hexdigest())
    expected = r"lifter\.safetensors: width 32 and depth 2 instead of 40 and 2; give weights that fit the recipe"
    with pytest.raises(OccluposeError, match=expected):
        trained(data, tmp_path / "wider", plan(width=40), init_from=whole)
    assert not (tmp_path / "wider").exists()


def test_covariances_are_trained_alone(data, tmp_path, whole):
    optimisation = replace(plan().optimisation, weight_decay=0.0)
    path = trained(data, tmp_path, plan(only_covariances=True, optimisation=optimisation), init_from=whole)
    begun = load(whole).state_dict()
    found = load(path).state_dict()
    changed = [name for name in begun if not torch.equal(begun[name], found[name])]
    assert {name.removeprefix("transformer.out.1.") for name in changed} == {
        *("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias")
    }
    assert rows(path.parent / "log.csv")[0] == ["step", "certainty"]


def test_what_is_trained_is_told():
    task = LifterTask(plan(), motions(60))
    assert task.about() == "2 clips, 4 s; held out: 1 clips"


def test_the_recipes(tmp_path):
    shipped = RECIPES["shipped"]
    unaware = RECIPES["unaware"]
    assert shipped.samples.aware and not unaware.samples.aware
    assert (shipped.width, shipped.depth) == (unaware.width, unaware.depth) == (320, 3)
    for recipe in RECIPES.values():
        recipe_files.write(recipe, tmp_path / "recipe.json")
        assert recipe_files.read(tmp_path / "recipe.json", RECIPES) == recipe
    long = RECIPES["long"]
    assert (long.width, long.depth, long.sized_until, long.muon) == (320, 3, 1, 3.0)
    assert long.samples.frames == 72 and long.samples.longest_gap == 48 and long.samples.rate == (10.0, 60.0)
    assert RECIPES["certainty"].only_covariances and not long.only_covariances
    assert replace(unaware, name="lifter", samples=replace(unaware.samples, aware=True)) == long
    for name, value in {"depth": 0, "muon": -1.0}.items():
        with pytest.raises(OccluposeError, match=name):
            LifterRecipe(**{name: value})


def test_with_muon_the_matrices_of_the_transformer_are_a_group_of_their_own():
    training = LifterTraining(LifterNetwork(32, 2), 4)
    (everything,) = parameter_groups(training, None)
    assert len(everything["params"]) == len(list(training.parameters()))
    others, matrices = parameter_groups(training, 3.0)
    assert (matrices["muon"], matrices["scale"]) == (True, 3.0) and others.keys() == {"params"}
    names = {id(parameter): name for name, parameter in training.named_parameters()}
    grouped = [[names[id(parameter)] for parameter in group["params"]] for group in (others, matrices)]
    assert sorted(grouped[0] + grouped[1]) == sorted(names.values())
    assert all(parameter.ndim == 2 for parameter in matrices["params"])
    parts = {name.split("transformer.")[1].split(".")[0] for name in grouped[1]}
    assert parts == {"encoder", "decoder", "join"}
    left = [parameter for parameter in others["params"] if parameter.ndim == 2]
    assert left and not any(f"transformer.{part}." in names[id(one)] for one in left for part in parts)
    count = [sum(parameter.numel() for parameter in group["params"]) for group in (others, matrices)]
    assert count[1] > count[0]  # most of the network
