import csv
import json
import sys
from dataclasses import replace

import pytest
import torch

from interrupted_runs import kill_after, run_to_the_end
from occlupose.bodies.anny import anny
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.recipe import PUBLISHED, RECIPES, SKELETONS, SMALL, SSFRecipe, ssf_loss
from occlupose.methods.hupor.ssf.train import SSFTask, collect_people, train_ssf
from occlupose.methods.hupor.ssf.weights import load
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.training.recipe import write
from occlupose.training.run import TrainingRun


def recipe(**changes):
    tiny = {
        "name": "tiny",
        "input_type": "mask",
        "size": 32,
        "blocks": (1, 1, 1, 1),
        "width": 2,
        "cnn_width": 2,
        "hidden": (8, 8),
    }
    tiny |= {
        "scenes": 3,
        "people": (2, 3),
        "batch": 4,
        "epochs": 5,
        "milestones": (2, 4),
        "save_every": 2,
        "log_every": 1,
    }
    return SSFRecipe(**tiny | changes)


@pytest.fixture(scope="module")
def crops():
    return collect_people(SceneSource.load(SceneSettings(people=(2, 3))), recipe())


def run(folder, **options):
    return TrainingRun(folder, progress=False, **options)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def rows(path):
    return [row[:-1] for row in csv.reader(path.open())]


def test_the_published_schedule():
    assert (PUBLISHED.batch, PUBLISHED.epochs, PUBLISHED.size, PUBLISHED.input_type) == (32, 150, 256, "image")
    schedule = PUBLISHED.schedule(3200)
    assert schedule.steps == 15_000
    assert [schedule.learning_rate_at(step) for step in (0, 4_999, 5_000, 9_999, 10_000)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )
    assert (schedule.weight_decay, schedule.ema_decay) == (0, 0)  # Adam, and the last weights
    assert set(RECIPES.values()) == {PUBLISHED, SMALL}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 8}, "size 8: must be 32 or more"),
        ({"batch": 1}, "batch 1"),
        ({"input_type": "nose"}, "input_type nose"),
        ({"people": (3, 1)}, "people: 3 to 1; .*smaller first"),
    ],
)
def test_impossible_values_are_refused(change, reason):
    with pytest.raises(OccluposeError, match=reason):
        recipe(**change)


def test_people_are_collected_with_their_bodies(crops):
    assert len(crops) > 2
    assert crops.mask.dtype == crops.valid.dtype == torch.uint8
    assert (crops.mask.float().mean((1, 2)) / 255 > 0.01).all()
    still = anny().joints(crops.pose, crops.shape, torch.zeros(len(crops), 3))
    apart = crops.joints - still
    assert (apart - apart.mean(1, keepdim=True)).norm(dim=-1).max() < 1e-4
    assert torch.equal(collect_people(SceneSource.load(SceneSettings(people=(2, 3))), recipe()).mask, crops.mask)


def test_a_batch_is_given_the_joints_of_some_skeleton(crops):
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(20):
        batch = crops.draw(4, generator)
        seen.add(int(batch.people.joints[0].isfinite().all(-1).sum()))
        assert batch.people.mask.max() <= 1
    assert len(seen) == len(SKELETONS)


def test_the_terms_of_the_loss(crops):
    torch.manual_seed(0)
    plan = recipe()
    terms = ssf_loss(plan.build(anny()), crops.draw(4, torch.Generator().manual_seed(0)), anny(), plan.loss_weights)
    assert list(terms) == ["initial theta", "initial beta", "initial pos", "theta", "beta", "pos", "sil"]
    assert all(term.isfinite() and term > 0 for term in terms.values())


def test_a_stopped_run_is_resumed_to_the_same_end(crops, tmp_path):
    whole = run(tmp_path / "whole").train(SSFTask(crops, recipe())).state_dict()

    class Stopped(Exception):
        pass

    class Stopping(type(crops)):
        left = 3

        def draw(self, count, generator, **share):
            if not type(self).left:
                raise Stopped
            type(self).left -= 1
            return super().draw(count, generator, **share)

    with pytest.raises(Stopped):
        run(tmp_path / "stopped").train(SSFTask(Stopping(**vars(crops)), recipe()))
    torch.manual_seed(99)
    resumed = run(tmp_path / "stopped", resume=True).train(SSFTask(crops, recipe()))
    assert same(resumed.state_dict(), whole)
    assert rows(tmp_path / "stopped" / "log.csv") == rows(tmp_path / "whole" / "log.csv")


def test_a_run_is_resumed_only_with_its_data(crops, tmp_path):
    run(tmp_path).train(SSFTask(crops, recipe()))
    with pytest.raises(OccluposeError, match="give --resume"):
        run(tmp_path)
    others = replace(crops, mask=crops.mask.flip(0))
    with pytest.raises(OccluposeError, match="started with other settings or data"):
        run(tmp_path, resume=True).train(SSFTask(others, recipe()))


def test_weights_come_with_their_card(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "ssf", "-o", str(tmp_path), "--recipe", "small"])
    path = train_ssf(recipe(), run(tmp_path))
    assert load(path).size == 32
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["command"] == "occlupose train ssf -o FOLDER --recipe small"
    assert (card["licence"], card["recipe"]["milestones"]) == ("Apache-2.0", [2, 4])
    people = tmp_path / "people.safetensors"
    before = people.stat().st_mtime_ns
    train_ssf(recipe(), run(tmp_path, resume=True))
    assert people.stat().st_mtime_ns == before
    train_ssf(recipe(seed=1), run(tmp_path / "other"))
    assert (tmp_path / "other" / "people.safetensors").read_bytes() != people.read_bytes()


def test_it_learns(crops, tmp_path):
    plan = recipe(epochs=20, milestones=(18,), width=4, hidden=(32, 32), save_every=1000)
    torch.manual_seed(plan.seed)
    before = plan.build(anny())
    after = run(tmp_path).train(SSFTask(crops, plan))
    batches = [crops.draw(8, torch.Generator().manual_seed(seed)) for seed in range(3)]
    with torch.no_grad():
        one = sum(sum(ssf_loss(before.eval(), batch, anny(), plan.loss_weights).values()) for batch in batches)
        other = sum(sum(ssf_loss(after, batch, anny(), plan.loss_weights).values()) for batch in batches)
    assert other < 0.9 * one


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_end(tmp_path):
    changes = {"scenes": 3, "size": 32, "width": 2, "cnn_width": 2, "batch": 4, "save_every": 2, "log_every": 2}
    write(replace(SMALL, epochs=20, **changes), tmp_path / "recipe.json")

    def command(folder, *more):
        begin = [sys.executable, "-c", "from occlupose.cli import main; main()", "train", "ssf", "-o", str(folder)]
        return [*begin, *more, "--recipe", str(tmp_path / "recipe.json")]

    kill_after(tmp_path / "killed" / "last.pt", command(tmp_path / "killed"))
    run_to_the_end(command(tmp_path / "killed", "--resume"))
    run_to_the_end(command(tmp_path / "whole"))
    files = [(tmp_path / name / "ssf.synth.safetensors").read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]
