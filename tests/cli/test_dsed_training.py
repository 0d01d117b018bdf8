"""Training a reasoner behind HigherHRNet and scoring it, as a user does it at the command line."""

import csv
import json
import re
import sys
from dataclasses import replace

import pytest
import torch

import coco_files as files
from commands import assert_refused, names
from interrupted_runs import kill_after, run_to_the_end
from keypoint_samples import HUPOR, PIFPAF, TINY, write_people
from occlupose.networks import bottom_up
from occlupose.poses import Poses
from occlupose.skeletons import CROWDPOSE14
from occlupose.training.recipe import to_json

RUN = ["base", "reasoner", "tiny.json", "tiny.safetensors"]
STAGE = ["last.pt", "log.csv"]


def tiny(folder, **changes):
    """A tiny recipe as a file."""
    return ["--recipe", files.write_json(folder / "recipe.json", to_json(replace(TINY, **changes)))]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three images of two people each, with COCO's joints."""
    folder = tmp_path_factory.mktemp("data")
    write_people(folder)
    return folder


@pytest.mark.parametrize(
    ("write", "dataset", "joints"),
    [
        (files.write_coco, "coco", "coco17"),
        (files.write_crowdpose, "crowdpose", "crowdpose14"),
        (files.write_synth, "synth", "coco17"),
    ],
    ids=["coco", "crowdpose", "synth"],
)
def test_train_and_score(command, tmp_path, write, dataset, joints):
    """By the command that the training prints, at one scale and at three."""
    folder = write(tmp_path / "data")
    run = tmp_path / "run"
    outcome = command("train", "dsed", "--data", folder, "-o", run, *tiny(tmp_path))
    assert (outcome.code, outcome.err) == (0, "")
    assert re.match(rf"tiny: trains on \d+ people in \d images of .*\({dataset}\), {joints}\n", outcome.out)
    assert names(run) == RUN and names(run / "base") == names(run / "reasoner") == STAGE
    about = json.loads((run / "tiny.json").read_text())
    assert about["command"].startswith("occlupose train dsed --data DATA -o FOLDER --recipe RECIPE")
    assert about["recipe"]["design"]["skeleton"] == joints and str(tmp_path) not in json.dumps(about)
    assert about["licence"] == ("Apache-2.0" if dataset == "synth" else "that of its images and annotations")
    scores = tmp_path / "scores.csv"
    score = outcome.out.splitlines()[-1].partition("score them with occlupose ")[2].split()
    for more, source in (((), "detector"), (("--scales", "0.5", "1", "2", "--flip"), "detector")):
        outcome = command(*score, *more, "-o", scores)
        assert (outcome.code, outcome.err) == (0, "")
        assert {(row["boxes"], row["box_source"]) for row in rows(scores)} == {("detected", source)}
        assert f"predictions in boxes of {run / 'tiny.safetensors'} itself" in outcome.out


def test_the_three_arms_of_a_comparison(command, data, tmp_path):
    """A base alone; a reasoner behind it, with and without a teacher, from the weights of the base."""
    words = ["train", "dsed", "--data", data, *tiny(tmp_path)]
    bare = command(*words, "-o", tmp_path / "none", "--reasoning", "none")
    assert bare.code == 0 and names(tmp_path / "none") == ["base", "tiny.json", "tiny.safetensors"]
    given = tmp_path / "none" / "tiny.safetensors"
    for arm in ("hourglass", "dsed"):
        options = ["--reasoning", arm, "--base-epochs", "0", "--epochs", "1", "--init-from", given]
        done = command(*words, "-o", tmp_path / arm, *options)
        assert done.code == 0 and names(tmp_path / arm) == ["reasoner", "tiny.json", "tiny.safetensors"]
        assert bottom_up.load(tmp_path / arm / "tiny.safetensors").design.reasoning == arm
        about = json.loads((tmp_path / arm / "tiny.json").read_text())
        assert "--init-from WEIGHTS" in about["command"] and about["begun_with"].endswith("of tiny.safetensors")


def test_behind_pifpaf(command, data, tmp_path):
    recipe = ["--recipe", files.write_json(tmp_path / "recipe.json", to_json(PIFPAF))]
    words = ["train", "dsed", "--data", data, "-o", tmp_path / "run", *recipe]
    outcome = command(*words, "--base", "pifpaf", "--batch", "3")
    assert (outcome.code, outcome.err) == (0, "")
    card = tmp_path / "run" / "tiny.json"
    about = json.loads(card.read_text())["recipe"]
    assert (about["pifpaf"]["batch"], about["batch"], about["hidden_weight"]) == (3, 3, 0.5)
    weights = tmp_path / "run" / "tiny.safetensors"
    assert command("eval", "coco", "--data", data, "--frontend", weights).code == 0
    refused = command("eval", "coco", "--data", data, "--frontend", weights, "--flip")
    assert_refused(refused, "PifPaf has no flip")
    refused = command(*words, "--base", "higherhrnet")
    assert_refused(refused, "base higherhrnet: the recipe is for pifpaf")
    again = command("train", "dsed", "--data", data, "-o", tmp_path / "again", "--recipe", card)  # a card is a recipe
    assert again.code == 0 and (tmp_path / "again" / "tiny.safetensors").read_bytes() == weights.read_bytes()


def test_hupor_in_2d(command, tmp_path):
    """On CrowdPose, from training to a score."""
    folder = files.write_crowdpose(tmp_path / "data")
    recipe = files.write_json(tmp_path / "recipe.json", to_json(HUPOR))
    outcome = command("train", "dsed", "--data", folder, "-o", tmp_path / "run", "--recipe", recipe, "--base", "hupor")
    assert (outcome.code, outcome.err) == (0, "")
    weights = tmp_path / "run" / "tiny.safetensors"
    assert bottom_up.load(weights).design.skeleton == "crowdpose14"
    assert command("eval", "crowdpose", "--data", folder, "--frontend", weights).code == 0
    refused = command("eval", "crowdpose", "--data", folder, "--frontend", weights, "--scales", "1", "2")
    assert_refused(refused, "HUPOR has no flip and no scales")


@pytest.mark.parametrize("base", ["higherhrnet", "pifpaf", "hupor"])
def test_names_of_recipes_are_of_the_base(command, data, tmp_path, base):
    """Refused for want of initial weights, before anything is trained."""
    words = ["train", "dsed", "--data", data, "-o", tmp_path / "run", "--recipe", "small"]
    outcome = command(*words, "--base", base, "--base-epochs", "0")
    assert_refused(outcome, f"{base}.epochs 0: an untrained base", out=outcome.out)


def test_options_change_the_recipe(command, data, tmp_path):
    options = ["--base-epochs", "1", "--epochs", "0.7", "--batch", "3", "--seed", "5", "--base", "higherhrnet"]
    assert command("train", "dsed", "--data", data, "-o", tmp_path / "run", *tiny(tmp_path), *options).code == 0
    recipe = json.loads((tmp_path / "run" / "tiny.json").read_text())["recipe"]
    assert (recipe["epochs"], recipe["batch"], recipe["seed"]) == (0.7, 3, 5)
    assert (recipe["higherhrnet"]["epochs"], recipe["higherhrnet"]["batch"]) == (1, 3)


@pytest.mark.parametrize("name", ["published", "small"])
def test_recipes_are_written_to_start_from(command, tmp_path, name):
    assert command("train", "recipe", "dsed", name, "-o", tmp_path / "a.json").code == 0
    recipe = json.loads((tmp_path / "a.json").read_text())
    assert recipe["distillation_weight"] == 5.0 and recipe["higherhrnet"]["field_weight"] == 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--base-epochs", "0"], ["higherhrnet.epochs 0", "give initial weights"]),
        (["--base-epochs", "0", "--reasoning", "none"], ["neither base nor reasoner would train"]),
        (["--base-epochs", "-1"], ["epochs -1", "0 or more"]),
        (["--init-from", "nowhere.safetensors"], ["nowhere.safetensors", "no such file"]),
        (["--image-cache-gib", "-1"], ["image cache -1: not possible"]),
        (["--device", "abacus"], ["device abacus"]),
    ],
)
def test_trainings_that_cannot_be(command, data, tmp_path, options, words):
    outcome = command("train", "dsed", "--data", data, "-o", tmp_path / "run", *tiny(tmp_path), *options)
    assert_refused(outcome, *words, out=outcome.out)


def test_data_that_is_not_there_is_refused(command, tmp_path):
    outcome = command("train", "dsed", "--data", tmp_path / "nowhere", "-o", tmp_path / "run", *tiny(tmp_path))
    assert_refused(outcome, "nowhere", "no such folder")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_and_is_resumed_only_as_it_began(command, data, tmp_path):
    words = ["train", "dsed", "--data", data, "-o", tmp_path / "run"]
    assert command(*words, *tiny(tmp_path)).code == 0
    before = (tmp_path / "run" / "tiny.safetensors").read_bytes()
    refused = command(*words, *tiny(tmp_path))
    assert_refused(refused, "already holds a training run", out=refused.out)
    refused = command(*words, "--resume", *tiny(tmp_path, seed=3))
    assert_refused(refused, "started with other settings or data", out=refused.out)
    assert command(*words, "--resume", *tiny(tmp_path)).code == 0
    assert (tmp_path / "run" / "tiny.safetensors").read_bytes() == before


@pytest.mark.slow
def test_killed_and_resumed_is_as_if_nothing_had_happened(data, tmp_path):
    recipe = tiny(tmp_path, higherhrnet=replace(TINY.higherhrnet, epochs=40))
    train = [sys.executable, "-m", "occlupose", "train", "dsed", "--data", str(data), *map(str, recipe), "-o"]
    run_to_the_end([*train, str(tmp_path / "whole")])
    kill_after(tmp_path / "run" / "base" / "last.pt", [*train, str(tmp_path / "run")])
    run_to_the_end([*train, str(tmp_path / "run"), "--resume"])
    of_whole = (tmp_path / "whole" / "tiny.safetensors").read_bytes()
    assert (tmp_path / "run" / "tiny.safetensors").read_bytes() == of_whole


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Weights of CrowdPose's joints."""
    folder = tmp_path_factory.mktemp("crowd")
    recipe = replace(TINY, design=replace(TINY.design, skeleton=CROWDPOSE14.name))
    bottom_up.save(bottom_up.BottomUpNetwork(recipe.design), folder / "crowd.safetensors")
    return folder / "crowd.safetensors"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--box-source", "ground-truth"], ["finds people by itself"]),
        (["--detector", "yolox:det.onnx"], ["finds people by itself"]),
        (["--scales", "0"], ["scales 0", "positive numbers"]),
        (["--device", "abacus"], ["device abacus"]),
    ],
)
def test_scores_that_cannot_be(command, crowd, tmp_path, options, words):
    folder = files.write_crowdpose(tmp_path / "data")
    outcome = command("eval", "crowdpose", "--data", folder, "--frontend", crowd, *options)
    assert_refused(outcome, *words)


def test_other_front_ends_have_no_scales(command, tmp_path):
    folder = files.write_crowdpose(tmp_path / "data")
    outcome = command("eval", "crowdpose", "--data", folder, "--scales", "1", "2")
    assert_refused(outcome, "movenet-occlusion: has no scales", "train dsed")


def test_weights_are_a_front_end_of_run_too(command, data, tmp_path):
    path = tmp_path / "net.safetensors"
    bottom_up.save(bottom_up.BottomUpNetwork(TINY.design), path)
    outcome = command("run", data / "images", "--frontend", path, "--no-video", "-o", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert len(Poses.load(tmp_path / "out" / "poses.npz")) == 3


# --------------------------------------------------------------------------- checkpoints of others


def checkpoint(path, joints=14, head=True):
    """HigherHRNet as MMPose writes it; the originals cannot be had here."""
    torch.manual_seed(0)
    network = bottom_up.BASES["higher_hrnet_small"](joints)
    named = {name: value for name, value in network.state_dict().items() if head or not name.startswith("head.")}
    theirs = {re.sub(r"^head\.", "keypoint_head.", name): value for name, value in named.items()}
    torch.save({"meta": {"epoch": 300}, "state_dict": theirs}, path)
    return path


def convert(command, path, *options):
    words = ["--model", "higher_hrnet_small", "--skeleton", "crowdpose14", *options]
    return command("convert", "checkpoint", path, "-o", path.with_suffix(".safetensors"), *words)


def test_a_converted_checkpoint_finds_people_and_starts_a_training(command, tmp_path):
    folder = files.write_crowdpose(tmp_path / "data")
    path = checkpoint(tmp_path / "theirs.pth")
    outcome = convert(command, path, "--crop", "64", "64")
    written = path.with_suffix(".safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{written}: from a checkpoint of MMPose 0.x, higher_hrnet_small written\n")
    design = bottom_up.load(written).design
    assert (design.side, design.fields, design.reasoning, design.skeleton) == (64, False, "none", "crowdpose14")
    assert command("eval", "crowdpose", "--data", folder, "--frontend", written).code == 0
    run = tmp_path / "run"
    words = ["--init-from", written, "--base-epochs", "1", "--epochs", "1"]
    assert command("train", "dsed", "--data", folder, "-o", run, *tiny(tmp_path), *words).code == 0
    assert json.loads((run / "tiny.json").read_text())["begun_with"].endswith("of theirs.safetensors")
    again = command(
        "convert", "checkpoint", written, "--model", "higher_hrnet_small", "-o", tmp_path / "twice.safetensors"
    )
    assert_refused(again, "already a file of occlupose")


def test_the_side_is_the_published_one(command, tmp_path):
    path = checkpoint(tmp_path / "theirs.pth")
    assert convert(command, path).code == 0
    assert bottom_up.load(path.with_suffix(".safetensors")).design.side == 192
    assert (bottom_up.SIDES["higher_hrnet_w32"], bottom_up.SIDES["higher_hrnet_w48"]) == (512, 640)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ({"joints": 17}, [], ["17 joints", "crowdpose14 has 14", "--skeleton coco17"]),
        ({"head": False}, [], ["a backbone alone", "give --model hrnet_small"]),
        ({}, ["--crop", "64", "96"], ["crop 64 x 96", "square"]),
        ({}, ["--crop", "70", "70"], ["side 70", "multiple of 32"]),
        ({}, ["--codec", "udp"], ["codec udp", "leave out --codec"]),
        ({}, ["--model", "higher_hrnet_w32"], ["give --model higher_hrnet_small, which it fits"]),
        ({}, ["--model", "pifpaf_small"], ["model pifpaf_small: not known"]),
    ],
)
def test_checkpoints_that_do_not_fit(command, tmp_path, given, options, words):
    outcome = convert(command, checkpoint(tmp_path / "a.pth", **given), *options)
    assert_refused(outcome, *words)
    assert not (tmp_path / "a.safetensors").exists()
