"""Training HUPOR as a user does it at the command line."""

import csv
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import image_dataset_files
from coco_files import write_coco, write_json
from commands import assert_refused, names
from image_dataset_files import muco, records, write_scenes
from interrupted_runs import kill_after, run_to_the_end
from occlupose.bodies.cylinders import cylinders
from occlupose.datasets.discovery import load_dataset
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.methods.hupor.recipe import SMALL
from occlupose.methods.hupor.ssf import weights as ssf_weights
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.networks.mspn import StageSize
from occlupose.synth.dataset import DatasetPlan, write_dataset
from occlupose.synth.generate import ImageSettings
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.synth.pose_prior import PosePrior
from occlupose.training.recipe import to_json

RUN = ["hupor.synth.json", "hupor.synth.safetensors", "last.pt", "log.csv"]


def small(folder, **changes):
    """The small recipe, smaller still, as a file.

    Arguments:
        changes: of fields, with two underscores for the dot of nested ones.
    """
    size = StageSize((1, 1, 1, 1), (4, 4, 8, 8), 8)
    design = HUPORDesign(64, 32, stages=1, size=size, reasoner_stages=1, reasoner_size=size)
    tiny = to_json(replace(SMALL, design=design, batch=2, warm_up_steps=1, epochs=2))
    for name, value in changes.items():
        first, _, second = name.partition("__")
        if second:
            tiny[first][second] = value
        else:
            tiny[first] = value
    return ["--recipe", write_json(folder / "recipe.json", tiny)]


@pytest.fixture(scope="module")
def synth(tmp_path_factory):
    """Four small scenes with images."""
    folder = tmp_path_factory.mktemp("synth") / "set"
    source = SceneSource(SceneSettings(seed=1, people=(2, 3), width=128, height=80), PosePrior.load())
    assert sum(write_dataset(DatasetPlan(folder, 4, None, ImageSettings()), source, workers=0)) == 4
    return folder


def test_from_scenes_to_weights_and_their_card(command, synth, tmp_path):
    """The card names data and command, without any folder of this machine."""
    done = command("train", "hupor", "--data", synth, "-o", tmp_path / "run", *small(tmp_path))
    assert done.code == 0, done
    first = done.out.splitlines()[0]
    last = done.out.splitlines()[-1]
    assert first.startswith("hupor.synth: trains on ") and first.endswith(" people in 4 images, 4 with depth")
    assert f"{tmp_path / 'run' / RUN[1]}: weights and card written" in last
    assert names(tmp_path / "run") == RUN
    networks = weights.load(tmp_path / "run" / RUN[1]).networks
    assert (networks.design.width, networks.design.height, networks.design.reasoning) == (64, 32, "dsed")
    text = (tmp_path / "run" / RUN[0]).read_text()
    card = json.loads(text)
    assert card["recipe"]["epochs"] == 2 and card["recipe"]["design"]["size"]["widths"] == [4, 4, 8, 8]
    assert card["pictures"] == 4 and 0 < card["people"] <= 12
    assert card["licence"] and card["command"].startswith("occlupose train hupor --data DATA -o FOLDER --recipe RECIPE")
    assert str(tmp_path) not in text and str(synth) not in text
    log = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [row["step"] for row in log] == ["1", "2", "3", "4"]
    assert list(log[0]) == ["step", "visible", "torso", "hidden", "all", "distillation", "seconds"]


def test_half_of_each_batch_is_of_images_without_depth(command, synth, tmp_path):
    """The card's command names both datasets; another run starts from these weights."""
    coco = write_coco(tmp_path / "coco")
    done = command("train", "hupor", "--data", synth, coco, "-o", tmp_path / "run", *small(tmp_path, epochs=0.5))
    assert done.code == 0, done
    learnt = next(line for line in done.out.splitlines() if "trains on" in line)
    assert learnt.endswith(", 4 with depth") and "in 4 images" not in learnt
    assert "--data DATA DATA1 -o FOLDER" in json.loads((tmp_path / "run" / RUN[0]).read_text())["command"]
    begun = command(
        "train",
        "hupor",
        "--data",
        synth,
        "-o",
        tmp_path / "on",
        "--init-from",
        tmp_path / "run" / RUN[1],
        *small(tmp_path, epochs=0.5),
    )
    assert begun.code == 0, begun
    card = json.loads((tmp_path / "on" / RUN[0]).read_text())
    assert "--init-from WEIGHTS" in card["command"] and card["begun_with"].endswith("of hupor.synth.safetensors")


def test_help_names_the_recipes(command):
    help_page = command("train", "hupor", "--help")
    assert help_page.code == 0
    assert all(
        word in " ".join(re.sub("[│╭╮╰╯─]", " ", help_page.out).split())
        for word in ("--recipe NAME|FILE", "published; small; movenet", "occlupose train recipe hupor small")
    )


def test_data_that_is_not_there_or_is_no_dataset_is_refused(command, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (tmp_path / "nowhere", "no such file or folder"),
        (tmp_path / "empty", "no known dataset in it"),
    ):
        assert_refused(
            command("train", "hupor", "--data", folder, "-o", tmp_path / "run", *small(tmp_path)), str(folder), message
        )
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def fitting(synth, tmp_path_factory):
    """Untrained networks that fit bodies, and masks for the scenes: the joints of each person, thick."""
    folder = tmp_path_factory.mktemp("fitting")
    torch.manual_seed(0)
    ssf = SSF(cylinders(), input_type="mask", size=32, blocks=(1, 1), width=4, cnn_width=2, hidden=(8, 8))
    ssf_weights.save(ssf, folder / "ssf.safetensors")
    (folder / "masks").mkdir()
    for sample in load_dataset(synth).samples:
        numbers = np.zeros(sample.size[::-1], np.uint8)
        for person, (xy, state) in enumerate(zip(sample.xy, sample.state, strict=True), 1):
            for x, y in xy[state > 0].round().astype(int):
                numbers[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = person
        path = folder / "masks" / sample.image.name
        Image.fromarray(numbers).save(path.with_suffix(".png"))
    return folder


def test_occlusion_labels_by_networks_and_masks(command, synth, fitting, tmp_path):
    """The card names neither folder; the same labels are not made twice."""
    recipe = small(tmp_path, occlusion_labels="ssf")
    words = ["train", "hupor", "--data", synth, *recipe, "--masks", fitting / "masks"]
    done = command(*words, "--ssf", fitting / "ssf.safetensors", "-o", tmp_path / "run")
    assert done.code == 0, done
    assert names(tmp_path / "run") == sorted([*RUN, "labels.safetensors"])
    card = (tmp_path / "run" / RUN[0]).read_text()
    assert "--masks MASKS --ssf SSF" in card and str(fitting) not in card
    labels = (tmp_path / "run" / "labels.safetensors").stat().st_mtime_ns
    again = command(*words, "--ssf", fitting / "ssf.safetensors", "-o", tmp_path / "run", "--resume")
    assert again.code == 0 and (tmp_path / "run" / "labels.safetensors").stat().st_mtime_ns == labels


def test_networks_and_masks_that_cannot_be(command, synth, fitting, tmp_path):
    ssf = fitting / "ssf.safetensors"
    masks = fitting / "masks"
    other = tmp_path / "other"
    other.mkdir()
    for path in masks.iterdir():
        Image.new("L", (64, 40)).save(other / path.name)
    (tmp_path / "empty").mkdir()
    for options, labels, message in (
        (["--masks", masks], "dataset", "occlusion_labels dataset: need neither networks nor masks; leave out"),
        (["--ssf", ssf], "cylinders", "occlusion_labels cylinders: need neither"),
        (["--ssf", ssf], "ssf", "these networks need masks of the people; give --masks"),
        (["--masks", tmp_path / "none"], "ssf", "none: no such folder"),
        (["--masks", tmp_path / "empty"], "ssf", "empty: no masks of these images"),
        (["--masks", other], "ssf", "masks of 64 x 40 px, but the image has 128 x 80"),
        (["--masks", masks, "--ssf", masks], "ssf", "masks"),
    ):
        run = ["-o", tmp_path / "run", *small(tmp_path, occlusion_labels=labels)]
        outcome = command("train", "hupor", "--data", synth, *run, *options)
        assert_refused(outcome, message, out=outcome.out)


@pytest.mark.parametrize("memory", ["-1", "nan", "inf"])
def test_an_impossible_image_cache_is_refused(command, synth, tmp_path, memory):
    refused = command(
        "train", "hupor", "--data", synth, "-o", tmp_path / "run", "--image-cache-gib", memory, *small(tmp_path)
    )
    assert_refused(refused, f"image cache {memory}: not possible")
    assert not (tmp_path / "run").exists()


def test_impossible_recipes_are_refused_in_one_line(command, synth, tmp_path):
    for change, message in (
        ({"predicted_input_fraction": 2}, "recipe.json: predicted_input_fraction 2: must be between 0 and 1"),
        ({"design__width": 50}, "recipe.json: design.input 50 x 32: its sides must be multiples of 32"),
        ({"design__stages": "two"}, "recipe.json: design.stages two: must be a whole number"),
        ({"design__stage": 2}, "recipe.json: design.stage: not a field of the recipe; did you mean stages?"),
        ({"batch": 1}, "recipe.json: batch 1: must be 2 or more"),
    ):
        outcome = command("train", "hupor", "--data", synth, "-o", tmp_path / "run", *small(tmp_path, **change))
        assert outcome.code == 2 and message in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_and_is_resumed_only_as_it_began(command, synth, tmp_path):
    words = ["train", "hupor", "--data", synth, "-o", tmp_path / "run"]
    assert command(*words, *small(tmp_path, epochs=0.5)).code == 0
    results = [name for name in RUN if not name.endswith(".json")]  # the card has the command, which now says --resume
    before = [(tmp_path / "run" / name).read_bytes() for name in results]
    for more, recipe, message in (
        ((), {}, "give --resume"),
        (("--resume",), {"predicted_input_fraction": 0.25}, "started with other settings or data"),
    ):
        outcome = command(*words, *more, *small(tmp_path, epochs=0.5, **recipe))
        assert_refused(outcome, message, out=outcome.out)
    assert command(*words, "--resume", *small(tmp_path, epochs=0.5)).code == 0
    assert [(tmp_path / "run" / name).read_bytes() for name in results] == before and names(tmp_path / "run") == RUN


def test_an_unreadable_image_is_named_or_stops_the_training(command, tmp_path):
    coco = write_coco(tmp_path / "coco")
    image = load_dataset(coco).samples[0].image
    assert image is not None
    spoilt = image.path
    spoilt.write_bytes(spoilt.read_bytes()[:60])
    done = command("train", "hupor", "--data", coco, "-o", tmp_path / "run", *small(tmp_path, epochs=8, batch=8))
    assert done.code == 0, done
    assert spoilt.name in done.out, done.out
    assert "skipped: 1" in done.out
    strict = command(
        "train", "hupor", "--data", coco, "-o", tmp_path / "strict", "--strict", *small(tmp_path, epochs=8, batch=8)
    )
    assert_refused(strict, spoilt.name, out=strict.out)


def test_images_of_muco_and_coco_make_up_half_of_each_batch(command, tmp_path):
    """In the files that these datasets have. Depths are learnt from MuCo-3DHP alone: without it, nothing is to be
    learnt of them.
    """
    content, _ = muco(np.random.default_rng(0), (2, 1, 3))
    image_dataset_files.write_images(tmp_path / "muco", [image["file_name"] for image in content["images"]])
    write_json(tmp_path / "muco" / "MuCo-3DHP.json", content)
    coco = write_coco(tmp_path / "coco")
    samples = {name: load_dataset(tmp_path / name).samples for name in ("muco", "coco")}
    count = sum(map(len, samples.values()))
    logs = {}
    for name, folders in (("both", (tmp_path / "muco", coco)), ("coco", (coco,))):
        steps = 2 * 4 / (count if name == "both" else len(samples["coco"]))
        done = command(
            "train",
            "hupor",
            "--data",
            *folders,
            "-o",
            tmp_path / name,
            *small(tmp_path, epochs=steps, batch=4, no_depth_fraction=0.5),
        )
        assert done.code == 0, done
        logs[name] = list(csv.DictReader((tmp_path / name / "log.csv").open()))
        learnt = next(line for line in done.out.splitlines() if "trains on" in line)
        total, deep = (count, 3) if name == "both" else (len(samples["coco"]), 0)
        assert learnt.endswith(f" people in {total} images, {deep} with depth"), learnt
    card = json.loads((tmp_path / "both" / RUN[0]).read_text())
    assert (
        card["data"] == ["3 images of muco", f"{len(samples['coco'])} images of coco, COCO 2017 Dataset"]
        and card["recipe"]["no_depth_fraction"] == 0.5
    )
    assert card["people"] == sum(len(crowd) for each in samples.values() for crowd in each)
    assert [row["step"] for row in logs["both"]] == ["1", "2"]
    assert all(float(row["visible"]) > 0 and float(row["torso"]) > 0 for row in logs["both"])
    assert all(float(row["visible"]) > 0 and float(row["torso"]) == 0 for row in logs["coco"])


# ------------------------------------------------------------------------------------ RefineNet


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Untrained weights with large maps, so that people are detected everywhere."""
    torch.manual_seed(0)
    widths = StageSize((1, 1, 1, 1), (4, 4, 8, 8), 8)
    networks = HUPORNetwork(HUPORDesign(64, 32, stages=1, size=widths, reasoner_stages=1, reasoner_size=widths))
    for name, parameter in networks.named_parameters():
        if "heads" in name and parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
    path = tmp_path_factory.mktemp("untrained") / RUN[1]
    weights.save(weights.TrainedHUPOR(networks.eval()), path)
    return path


def refine(synth, untrained, folder, *more):
    recipe = write_json(folder.parent / "refine.json", {"epochs": 2, "batch": 2, "width": 8, "depth": 1})
    return ["train", "refine", "--weights", untrained, "--data", synth, "-o", folder, "--recipe", recipe, *more]


def test_a_refinenet_is_added_to_weights(command, synth, untrained, tmp_path):
    """Files and card; the run goes on to the same weights, and is not overwritten."""
    folder = tmp_path / "run"
    done = command(*refine(synth, untrained, folder))
    assert done.code == 0, done
    assert done.out.splitlines()[-1].startswith(f"{folder / RUN[1]}: weights and card written")
    assert names(folder) == RUN
    trained = weights.load(folder / RUN[1])
    assert trained.refiner is not None and (trained.refiner_recipe.width, trained.refiner_recipe.depth) == (8, 1)
    text = (folder / RUN[0]).read_text()
    card = json.loads(text)
    assert (
        card["pairs"] > 0
        and (card["recipe"]["batch"], card["recipe"]["seed"]) == (2, 0)
        and card["licence"] == "Apache-2.0"
    )
    assert card["command"].startswith("occlupose train refine --weights WEIGHTS --data DATA -o FOLDER --recipe RECIPE")
    assert (
        card["data"] == ["4 images of our own synthetic people"]
        and str(tmp_path) not in text
        and str(synth) not in text
    )
    before = (folder / RUN[1]).read_bytes()
    again = command(*refine(synth, untrained, folder))
    assert_refused(again, str(folder), "give --resume", out=again.out)
    on = command(*refine(synth, untrained, folder, "--resume"))
    assert on.code == 0 and (folder / RUN[1]).read_bytes() == before and names(folder) == RUN, on
    other = command(*refine(synth, untrained, folder, "--resume", "--seed", "1"))
    assert_refused(other, "started with other settings or data", out=other.out)


def test_a_refinenet_without_images_or_with_an_impossible_value_is_refused(command, synth, untrained, tmp_path):
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "run"
    for data, message in (
        (tmp_path / "nowhere", "no such file or folder"),
        (tmp_path / "empty", "no known dataset in it"),
    ):
        assert_refused(command(*refine(data, untrained, folder)), str(data), message)
    write_scenes(tmp_path / "labels", records(2), images=False)
    bare = command(*refine(tmp_path / "labels", untrained, folder))
    assert_refused(bare, out=bare.out)
    for option, value in (("--seed", "-1"), ("--seed", str(2**63)), ("--max-images", "0")):
        assert_refused(command(*refine(synth, untrained, folder, option, value)), option[2:], value)
    assert not (folder / RUN[1]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["hupor", "refine"])
def test_a_killed_run_is_resumed_to_the_same_end(synth, untrained, tmp_path, trainer):
    """Killed at its first checkpoint; HUPOR's reasoner has hardly begun to learn."""

    def words(folder, *more):
        occlupose = [sys.executable, "-c", "from occlupose.cli import main; main()"]
        command = ["train", "hupor", "--data", synth, "-o", folder, *small(tmp_path, epochs=10)]
        if trainer == "refine":
            command = [*refine(synth, untrained, folder), "--epochs", 400]
        return [*occlupose, *map(str, command), *more]

    def steps(name):
        return int(torch.load(tmp_path / name / "last.pt", weights_only=True)["step"])

    kill_after(tmp_path / "killed" / "last.pt", words(tmp_path / "killed"))
    killed_at = steps("killed")
    run_to_the_end(words(tmp_path / "killed", "--resume"))
    run_to_the_end(words(tmp_path / "whole"))
    files = [(tmp_path / name / RUN[1]).read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]
    tables = [[row[:-1] for row in csv.reader((tmp_path / name / "log.csv").open())] for name in ("killed", "whole")]
    assert tables[0] == tables[1]
    assert killed_at < steps("killed") == steps("whole")
