import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from coco_files import document, write_coco, write_images, write_json
from interrupted_runs import ENVIRONMENT
from occlupose.codecs.crops import Crop
from occlupose.datasets.formats.coco import load as load_people
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.recipe import StructureTerm, published
from occlupose.methods.ljof.schedules import Constant, Step
from occlupose.methods.ljof.train import LJOFBatch, LJOFSampler, LJOFTraining, parameter_groups, train_estimator
from occlupose.networks.estimators import build, load
from occlupose.networks.precision import bf16_is_native
from occlupose.skeletons import COCO17
from occlupose.training.recipe import write
from occlupose.training.run import TrainingRun, UnreadableImages

TINY = replace(
    published("hrnet_small"), crop=Crop(32, 32, grid="corners"), batch=4, epochs=2, learning_rate=0.05, ema_decay=0.9
)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Some twenty people in eight images."""
    folder = tmp_path_factory.mktemp("people")
    generator = np.random.default_rng(0)
    content = document("coco", generator, images=8)
    write_images(folder, content, generator)
    return load_people(write_json(folder / "people.json", content), folder)


def trained(people, folder, recipe=TINY, **options):
    return train_estimator(people, recipe, TrainingRun(folder, progress=False, **options))


def draw(samples, seed=0):
    return samples.draw(torch.Generator().manual_seed(seed))


def test_a_batch_has_crops_and_their_joints(people):
    batch = draw(LJOFSampler(people, replace(TINY, batch=6)))
    assert batch.images.shape == (6, 32, 32, 3) and batch.images.dtype == torch.uint8
    assert batch.xy.shape == (6, 17, 2) and batch.weight.shape == (6, 17)
    assert set(batch.weight.unique().tolist()) == {0.0, 1.0}


def test_occluded_joints_are_supervised_too(people):
    """The weight of a joint is 1 whether it is seen or hidden (v of 2 or 1): which person a row shows is found by who
    has that pattern.
    """
    patterns = {tuple((person.state > 0).tolist()) for person in people.people}
    patterns |= {tuple((person.state[list(COCO17.mirror)] > 0).tolist()) for person in people.people}
    batch = draw(LJOFSampler(people, replace(TINY, batch=16)))
    assert {tuple(row) for row in (batch.weight > 0).tolist()} <= patterns
    assert any((person.state == 1).any() for person in people.people)


def test_the_same_draw_gives_the_same_batch_and_blocks_change_images_alone(people):
    once = draw(LJOFSampler(people, TINY), 1)
    again = draw(LJOFSampler(people, TINY), 1)
    other = draw(LJOFSampler(people, TINY), 2)
    assert torch.equal(once.images, again.images) and torch.equal(once.xy, again.xy)
    assert not torch.equal(once.images, other.images)
    plain = draw(LJOFSampler(people, TINY.without_ljof()), 1)
    assert torch.equal(plain.xy, once.xy) and torch.equal(plain.weight, once.weight)
    assert not torch.equal(plain.images, once.images)


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
def test_processes_share_what_one_would_draw(people, cache_bytes):
    whole = draw(LJOFSampler(people, TINY))
    parts = [
        draw(LJOFSampler(people, TINY, share=slice(number, None, 2), cache_bytes=cache_bytes)) for number in range(2)
    ]
    for number, part in enumerate(parts):
        assert torch.equal(part.images, whole.images[number::2])
        assert torch.equal(part.xy, whole.xy[number::2])


@pytest.fixture
def spoilt(tmp_path):
    """People, half of them in a truncated image."""
    generator = np.random.default_rng(3)
    content = document("coco", generator, images=2, most=6)
    while len({person["image_id"] for person in content["annotations"]}) < 2:
        content = document("coco", generator, images=2, most=6)
    write_images(tmp_path, content, generator)
    data = load_people(write_json(tmp_path / "people.json", content), tmp_path)
    bad = data.people[0].image.path
    bad.write_bytes(bad.read_bytes()[:300])
    return data, bad


def test_unreadable_images_are_left_out_counted_and_named(spoilt):
    data, bad = spoilt
    samples = LJOFSampler(data, replace(TINY, batch=12))
    batch = draw(samples)
    assert len(batch.images) == 12
    assert list(samples.images.reasons) == [str(bad)]
    assert bad.name in samples.images.reasons[str(bad)]
    with pytest.raises(OccluposeError, match=bad.name):
        draw(LJOFSampler(data, replace(TINY, batch=12), images=UnreadableImages(strict=True)))


def test_where_no_image_can_be_read_training_does_not_go_on(spoilt):
    data, _ = spoilt
    for person in data.people:
        person.image.path.write_bytes(b"no image")
    with pytest.raises(OccluposeError, match="nor can any other image"):
        draw(LJOFSampler(data, TINY))


def truth(batch=2, seed=0):
    """A batch with joints well inside."""
    random = torch.Generator().manual_seed(seed)
    xy = torch.rand(batch, 17, 2, generator=random) * 24 + 4
    return LJOFBatch(
        torch.randint(256, (batch, 32, 32, 3), dtype=torch.uint8, generator=random), xy, torch.ones(batch, 17)
    )


def build_training(recipe, steps=10, model="hrnet_small"):
    torch.manual_seed(0)
    return LJOFTraining(build(model, crop=(recipe.crop.width, recipe.crop.height)), recipe, COCO17, steps)


def test_the_structure_loss_sets_in_when_its_schedule_says():
    training = build_training(replace(TINY, structure=StructureTerm("limbs", Step(at=0.5, weight=0.5))))
    structure = [training(truth())["structure"].item() for _ in range(10)]
    assert structure[:5] == [0] * 5
    assert min(structure[5:]) > 0
    assert training.step.item() == 10


def test_without_a_structure_loss_there_is_the_heatmap_loss_alone():
    assert list(build_training(TINY.without_ljof())(truth())) == ["heatmap"]
    assert list(build_training(replace(TINY, structure=StructureTerm("body", Constant())))(truth())) == [
        "heatmap",
        "structure",
    ]


def test_every_head_of_srpose_learns_and_the_first_hardly():
    recipe = replace(published("srpose_w32"), crop=Crop(64, 64, grid="stride"))
    training = build_training(recipe, model="srpose_w32")
    batch = truth(batch=2)
    terms = training(LJOFBatch(batch.images.repeat(1, 2, 2, 1), 2 * batch.xy, batch.weight))
    assert list(terms) == ["head 0", "head 1", "head 2", "head 3", "heatmap", "structure"]
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in training.parameters())
    assert terms["head 0"] < 0.01 * terms["head 1"]


def test_lower_layers_of_a_transformer_learn_more_slowly():
    recipe = published("vitpose_b")
    with torch.device("meta"):
        training = LJOFTraining(build("vitpose_b"), recipe, COCO17, 10)
    found = parameter_groups(training, recipe)
    names = {id(parameter): name for name, parameter in training.estimator.named_parameters()}
    assert sorted(id(each) for group in found for each in group["params"]) == sorted(names)
    scale = {names[id(each)]: group["scale"] for group in found for each in group["params"]}
    decays = {
        names[id(each)]: group.get("weight_decay", recipe.weight_decay) for group in found for each in group["params"]
    }
    assert scale["backbone.patch_embed.proj.weight"] == pytest.approx(0.75**13)
    assert scale["backbone.blocks.0.attn.qkv.weight"] == pytest.approx(0.75**12)
    assert scale["backbone.blocks.11.mlp.fc1.weight"] == pytest.approx(0.75)
    assert scale["head.final_layer.weight"] == 1
    assert (
        decays["backbone.pos_embed"]
        == decays["backbone.blocks.3.attn.qkv.bias"]
        == decays["backbone.blocks.3.norm1.weight"]
        == 0
    )
    assert decays["backbone.blocks.3.attn.qkv.weight"] == 0.1


def rows(folder):
    return [row[:-1] for row in csv.reader((folder / "log.csv").open())]


class Killed(Exception):
    pass


def test_a_resumed_run_ends_as_an_uninterrupted_one(people, tmp_path, monkeypatch):
    straight = trained(people, tmp_path / "straight")
    with monkeypatch.context() as killing:
        draw = LJOFSampler.draw
        left = iter(range(6))

        def dying(self, generator):
            if next(left, None) is None:
                raise Killed
            return draw(self, generator)

        killing.setattr(LJOFSampler, "draw", dying)
        with pytest.raises(Killed):
            trained(people, tmp_path / "resumed")
    resumed = trained(people, tmp_path / "resumed", resume=True)
    assert resumed.read_bytes() == straight.read_bytes()
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")
    _, design = load(straight)
    assert (design.model, design.skeleton, design.maps) == ("hrnet_small", COCO17, TINY.maps())
    card = json.loads(straight.with_suffix(".json").read_text())
    assert card["recipe"]["blocks"]["joint_share"] == 0.15 and card["data"]["people"] == len(people.people)
    assert sum(card["data"]["joints"].values()) == 17 * len(people.people)
    assert str(tmp_path) not in straight.with_suffix(".json").read_text()


def test_a_run_is_resumed_only_with_its_people(people, tmp_path, spoilt):
    trained(people, tmp_path / "run", replace(TINY, epochs=1))
    with pytest.raises(OccluposeError, match="started with other settings or data"):
        trained(spoilt[0], tmp_path / "run", replace(TINY, epochs=1), resume=True)


def test_training_begins_with_weights_that_are_given(people, tmp_path):
    first = trained(people, tmp_path / "first")
    still = replace(TINY, learning_rate=0.0)
    second = trained(people, tmp_path / "second", still, init_from=first)
    before = load(first)[0]
    after = load(second)[0]
    for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert "begun_with" in json.loads(second.with_suffix(".json").read_text())
    other = replace(published("simple_baseline_small"), crop=TINY.crop)
    with pytest.raises(
        OccluposeError, match=r"hrnet_small\.safetensors: weights of hrnet_small; give --recipe hrnet_small"
    ):
        trained(people, tmp_path / "third", other, init_from=first)


def test_a_batch_that_processes_cannot_share_is_refused(people, tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OccluposeError, match="batch 4: cannot be shared evenly by 3 processes; give a multiple of 3"):
        trained(people, tmp_path)


def test_the_training_data_are_described_without_folders(people):
    about = people.describe()
    assert about["annotations"] == "people.json"
    assert about["people"] == len(people.people) and 0 < about["pictures"] <= 8


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path):
    """The same command by itself and under torchrun; weights are equal but for the order in which numbers were added,
    and how precisely.
    """
    off = 10 if bf16_is_native("cpu") else 1
    data = write_coco(tmp_path / "coco")
    words = [
        "-m",
        "occlupose",
        "train",
        "ljof",
        "--recipe",
        str(tmp_path / "recipe.json"),
        "--data",
        str(data),
    ]
    crop = Crop(64, 64, grid="corners")
    write(replace(TINY, crop=crop, epochs=3, learning_rate=0.01, ema_decay=0.0), tmp_path / "recipe.json")
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for name, launcher in (("one", []), ("two", together)):
        command = [sys.executable, *launcher, *words, "-o", str(tmp_path / name)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("weights and card written") == 1
    tables = [[[float(value) for value in row] for row in rows(tmp_path / name)[1:]] for name in ("one", "two")]
    assert len(tables[0]) > 2
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-3)
    ends = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("one", "two")]
    assert ends[0]["recipe"] == ends[1]["recipe"] and torch.equal(ends[0]["generator"], ends[1]["generator"])
    for name, value in ends[0]["network"].items():
        torch.testing.assert_close(ends[1]["network"][name], value, rtol=1e-2 * off, atol=1e-3 * off, msg=name)
