import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from interrupted_runs import kill_after, run_to_the_end
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.movenet import MoveNetOcclusion
from occlupose.methods.movenet import train as training
from occlupose.methods.movenet.recipe import RECIPES
from occlupose.methods.movenet.samples import UNKNOWN, CropSampler
from occlupose.methods.movenet.train import MoveNetTask, MoveNetTraining, parameter_groups, thunder, train_movenet
from occlupose.networks import occlusion_movenet, pretrained, weights
from occlupose.networks.weights import header
from occlupose.skeletons import COCO17, COCO21
from occlupose.training.loop import Optimisation
from occlupose.training.recipe import write
from occlupose.training.run import TrainingRun
from photographed_people import write_data

TINY = replace(
    RECIPES["shipped"], batch=2, optimisation=Optimisation(steps=2, warm_up_steps=1, save_every=1, precision="32-true")
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CALIBRATION_BATCHES", 1)
        return train_movenet(data, TINY, TrainingRun(folder, progress=False), credit="noise")


def fresh(recipe=TINY):
    network = occlusion_movenet.OcclusionMoveNet()
    network.start_from(thunder())
    return MoveNetTraining(network, recipe, thunder().eval())


def draw(data, recipe=TINY):
    return CropSampler(data.people("train"), recipe.samples, recipe.batch).draw(torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------------------------- loss


def test_the_structure_loss_grows_in_a_step(data):
    module = fresh()
    batch = draw(data)
    assert module(batch)["structure"] == 0
    assert module(batch)["structure"] > 0  # from half of the two steps on


def test_without_the_papers_there_is_no_structure_loss(data):
    recipe = RECIPES["without-papers"]
    assert recipe.structure is None and not recipe.dark and recipe.samples.occluders.blocks is None
    assert set(fresh(recipe)(draw(data))) == {"heat", "offset", "place", "visible"}


def test_thunder_without_occluders_agrees_with_itself(data):
    """It is its own teacher: only the labels would be learnt, and here no state is known of anybody."""
    module = fresh(RECIPES["without-papers"])
    batch = draw(data)
    batch.is_photograph[:] = True
    batch.images = batch.photographs = torch.randint(256, batch.images.shape, dtype=torch.uint8)
    batch.covered[:] = 0
    batch.state[:] = UNKNOWN
    batch.weight[:] = 0
    batch.weight[:, COCO17.joints.index("nose")] = 0.5  # there is somebody
    batch.synthetic[:] = False
    batch.others[:] = torch.nan
    assert module(batch)["heat"].item() == pytest.approx(0, abs=1e-2)


def test_gradients_reach_all_that_is_trained_and_nothing_else(data):
    module = fresh()
    groups = parameter_groups(module)
    learnt = {id(parameter) for group in groups for parameter in group["params"]}
    torch.stack(list(module(draw(data)).values())).sum().backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in learnt), name
    assert not any(id(parameter) in learnt for parameter in module.network.backbone.blocks[5].parameters())
    assert all(id(parameter) in learnt for parameter in module.network.backbone.blocks[6].parameters())


# ---------------------------------------------------------------------------------------------------------- the run


def test_the_first_blocks_remain_thunders(trained):
    tensors = load_file(trained)
    for name, value in thunder().state_dict().items():
        if name.startswith(("backbone.stem", *(f"backbone.blocks.{number}." for number in range(6)))):
            torch.testing.assert_close(tensors[name].float(), value, atol=1e-3, rtol=1e-3)
    assert header(trained)["format"] == pretrained.FORMAT


def test_the_weights_are_calibrated(trained):
    tensors = load_file(trained)
    assert tensors["visible_weight"].abs().max() > 0 and (tensors["spread"] != 1).any()


def test_the_card_says_how_it_was_trained(trained):
    card = json.loads(trained.with_suffix(".json").read_text())
    assert card["training_data"]["scenes"] == 2 and card["recipe"]["dark"] is True
    assert card["data"].startswith("started from MoveNet Thunder") and card["data"].endswith("photographs: noise")
    assert card["licence"] == "Apache-2.0"


def test_the_weights_are_a_front_end(trained):
    network = MoveNetOcclusion(trained, threads=1)
    found = network.detail(np.zeros((3, 256, 256, 3), np.uint8))
    assert found.xy.shape == (3, 21, 2) and found.spread.shape == (3, 21) and found.peaks.shape == (3, 21, 4, 3)
    assert network.detail(np.zeros((0, 256, 256, 3), np.uint8)).xy.shape == (0, 21, 2)


def test_weights_that_are_not_numbers_are_refused(trained, tmp_path):
    tensors = load_file(trained)
    tensors["places.out.bias"][3] = torch.nan
    path = tmp_path / "nan.safetensors"
    weights.save(tensors, header(trained), path)
    with pytest.raises(OccluposeError, match=r"^.*nan\.safetensors: places\.out\.bias has values that are not numbers"):
        MoveNetOcclusion(path)


def test_the_weights_have_no_flip(trained):
    with pytest.raises(OccluposeError, match=r"^.*movenet_occlusion\.safetensors: has no flip; leave it out$"):
        build_frontend(trained, flip=True)
    assert build_frontend(trained).skeleton == COCO21


def test_a_run_with_other_labels_is_not_resumed(data, trained, tmp_path):
    other = write_data(tmp_path)
    other.labels.score[:] = 0.7
    assert MoveNetTask(TINY, other, "").data() != MoveNetTask(TINY, data, "").data()
    with pytest.raises(OccluposeError, match="not a checkpoint of this run"):
        train_movenet(other, TINY, TrainingRun(trained.parent, progress=False, resume=True))


def test_training_can_start_from_weights(data, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CALIBRATION_BATCHES", 1)
    still = replace(TINY, optimisation=replace(TINY.optimisation, steps=1, learning_rate=0.0))
    path = train_movenet(data, still, TrainingRun(tmp_path, progress=False, init_from=trained))
    before = load_file(trained)
    kept = [name for name in before if not name.startswith(("visible_", "spread"))]
    after = load_file(path)
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert json.loads(path.with_suffix(".json").read_text())["begun_with"] == trained.name


def test_without_people_for_the_calibration_nothing_is_trained(tmp_path):
    """Not found out after hours."""
    data = write_data(tmp_path / "data", photographs=2)
    wrong = "photographs: 0 people in the photographs for calibration, 100 scenes; give more photographs"
    with pytest.raises(OccluposeError, match=wrong):
        train_movenet(data, TINY, TrainingRun(tmp_path / "run", progress=False))
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_end(tmp_path):
    data = write_data(tmp_path / "data")
    labels = tmp_path / "data" / "labels"
    for name in data.labels.names.tolist():
        data.labels.of(lambda other, name=name: other == name).save(labels / f"{name[:3]}.npz")
    for number in range(101, 250):
        (tmp_path / "data" / "held_out" / f"{number:06}.npz").symlink_to(data.held_out[0])
    recipe = replace(TINY, scenes=2, optimisation=replace(TINY.optimisation, steps=6))
    write(recipe, tmp_path / "recipe.json")
    start = [sys.executable, "-m", "occlupose", "train", "movenet", "--recipe", str(tmp_path / "recipe.json")]
    start += ["--photographs", str(data.photographs), "--data", str(tmp_path / "data")]
    whole = [*start, "-o", str(tmp_path / "whole")]
    cut = [*start, "-o", str(tmp_path / "cut")]
    run_to_the_end(whole)
    kill_after(tmp_path / "cut" / "last.pt", cut)
    run_to_the_end([*cut, "--resume"])
    name = "movenet_occlusion.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
