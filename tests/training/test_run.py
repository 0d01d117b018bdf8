"""A run of a small task: what all trainers share."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from occlupose import __version__, folder_lock
from occlupose.errors import OccluposeError
from occlupose.training.loop import Optimisation
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, UnreadableImages, forward

QUICK = Optimisation(
    steps=6, learning_rate=0.1, warm_up_steps=1, max_grad_norm=inf, save_every=2, log_every=1, precision="32-true"
)


@dataclass(frozen=True)
class Recipe:
    name: str = "tiny"
    seed: int = 0
    optimisation: Optimisation = QUICK


class Training(nn.Module):
    """A network that is part of a larger module."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        return {"error": (self.network(batch) - batch.sum(1, keepdim=True)).square().mean()}


class Killed(Exception):
    pass


@dataclass(frozen=True)
class Sum(TrainingTask):
    """The sum of three numbers."""

    recipe: Recipe = Recipe()
    stage_names: tuple[str, ...] = ("",)
    draws: int = 1000
    """Batches before the run is killed."""

    def about(self):
        return "tiny: trains on numbers"

    def data(self):
        return "three numbers"

    def build(self):
        return nn.Linear(3, 1)

    def stages(self, network):
        left = iter(range(self.draws))

        def draw(generator):
            if next(left, None) is None:
                raise Killed
            return torch.randn(4, 3, generator=generator)

        for index, name in enumerate(self.stage_names):
            yield TrainingStage(
                Training(network),
                draw,
                forward,
                self.recipe.optimisation,
                name=name,
                seed=index if name else None,
            )

    def save(self, network, path):
        save_file(network.state_dict(), path)

    def describe(self, network):
        return {"task": "sum", "licence": "Apache-2.0", "data": self.data()}


class SumFromWeights(Sum):
    def load_initial_weights(self, network, path):
        network.load_state_dict(load_file(path))
        return f"all of {path.name}"


def run(folder, **options):
    return TrainingRun(folder, progress=False, **options)


def test_weights_come_with_their_card(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "sum", "--data", "/home/me/data", "-o", str(tmp_path)])
    path = run(tmp_path, places={Path("/home/me/data"): "DATA"}).fit(Sum())
    assert path == tmp_path / "tiny.safetensors"
    assert load_file(path).keys() == {"weight", "bias"}  # of the network, not of the module that was trained
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["name"], card["task"], card["data"], card["version"]) == ("tiny", "sum", "three numbers", __version__)
    assert (card["parameters"], card["metrics"], card["recipe"]["seed"]) == (4, {}, 0)
    assert card["recipe"]["optimisation"]["max_grad_norm"] is None  # JSON has no infinity
    assert card["command"] == "occlupose train sum --data DATA -o FOLDER"
    assert "begun_with" not in card


def test_the_seed_is_that_of_the_recipe(tmp_path):
    files = [run(tmp_path / str(number)).fit(Sum(Recipe(seed=seed))) for number, seed in enumerate((0, 0, 1))]
    contents = [file.read_bytes() for file in files]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(("names", "draws"), [(("",), 3), (("first", "second"), 3), (("first", "second"), 9)])
def test_a_stopped_run_is_resumed_to_the_same_end(tmp_path, names, draws):
    """Stopped in its first or in its second stage."""
    whole = run(tmp_path / "whole").fit(Sum(stage_names=names))
    with pytest.raises(Killed):
        run(tmp_path / "stopped").fit(Sum(stage_names=names, draws=draws))
    assert not (tmp_path / "stopped" / "tiny.safetensors").exists()
    left = tmp_path / "stopped" / names[0] / ".last.0123abcd.pt"
    left.touch()  # as of a process that is killed while it writes
    torch.manual_seed(99)
    resumed = run(tmp_path / "stopped", resume=True).fit(Sum(stage_names=names))
    assert resumed.read_bytes() == whole.read_bytes()
    assert all((tmp_path / "stopped" / name / "log.csv").exists() for name in names)
    assert not left.exists()


def test_a_folder_that_holds_a_run_is_refused_at_once(tmp_path):
    run(tmp_path).fit(Sum())
    with pytest.raises(OccluposeError, match="already holds a training run; give --resume"):
        run(tmp_path)


def test_two_runs_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    run = TrainingRun(tmp_path / "run", progress=False)
    cure = "wait for it, or give another folder with -o"
    with folder_lock.locked(tmp_path / "run"), pytest.raises(OccluposeError) as error:
        run.fit(Sum())
    assert str(error.value) == f"{tmp_path / 'run'}: another process ({os.getpid()}) is writing into it; {cure}"
    assert not (tmp_path / "run").exists()


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".tiny.01234567.safetensors").write_bytes(b"half")
    (tmp_path / ".last.01234567.pt").write_bytes(b"half")
    TrainingRun(tmp_path, progress=False).fit(Sum())
    assert not list(tmp_path.glob(".*"))


def test_a_name_with_a_folder_is_refused_before_the_training(tmp_path):
    with pytest.raises(OccluposeError, match=r"name \.\./tiny: .*; give one without a folder"):
        run(tmp_path).fit(Sum(Recipe("../tiny")))
    assert not list(tmp_path.glob("*.csv"))


def test_training_starts_from_initial_weights(tmp_path):
    first = run(tmp_path / "first").fit(Sum())
    still = SumFromWeights(Recipe(name="still", optimisation=replace(QUICK, learning_rate=0.0)))
    second = run(tmp_path / "second", init_from=first).fit(still)
    assert all(torch.equal(value, load_file(first)[name]) for name, value in load_file(second).items())
    card = json.loads(second.with_suffix(".json").read_text())
    assert card["begun_with"] == "all of tiny.safetensors"
    assert card["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    with pytest.raises(OccluposeError, match=r"tiny\.safetensors: tiny takes no initial weights; leave them out"):
        run(tmp_path / "third", init_from=first).fit(Sum())
    with pytest.raises(OccluposeError, match="started with other settings or data"):
        run(tmp_path / "second", resume=True).fit(still)


def test_a_network_is_trained_without_a_weights_file(tmp_path):
    network = run(tmp_path / "network").train(Sum())
    assert not network.training and not list((tmp_path / "network").glob("tiny.*"))
    saved = load_file(run(tmp_path / "file").fit(Sum()))
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


def broken():
    raise OccluposeError("a.png: cannot be read; give another")


def test_unreadable_images_are_tried_once_and_named_at_the_end(tmp_path):
    images = UnreadableImages()
    assert images.lines() == []
    assert images.read("good.png", lambda: 5) == 5
    assert images.read("a.png", broken) is None
    assert images.read("a.png", lambda: 5) is None
    assert images.lines() == ["a.png: cannot be read; give another", "images that could not be read, skipped: 1"]
    with pytest.raises(OccluposeError, match=r"^a\.png"):
        UnreadableImages(strict=True).read("a.png", broken)
    output = []
    training = run(tmp_path, say=output.append)
    for number in range(5):
        training.images.read(f"{number}.png", broken)
    training.fit(Sum())
    assert output[0] == "tiny: trains on numbers"
    assert len(output) == 5 and output[-1] == "images that could not be read, skipped: 5"


def test_only_the_main_process_writes_and_prints(tmp_path, monkeypatch):
    output = []
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    run(tmp_path, say=output.append).say("a line")
    assert output == []
