import csv
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interrupted_runs import kill_after, run_to_the_end
from mocap_files import write_mocap
from mocap_sequences import moving_clip, video_sequence
from occlupose.datasets.formats import h36m, humaneva
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.network import LifterNetwork, save
from occlupose.methods.oanet.camera_views import to_studio_camera
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.predict import lift_rays
from occlupose.methods.oanet.recipe import OANetRecipe, simulate_detections, split_labelled
from occlupose.methods.oanet.train import RECIPES, OANetTask, train_oanet
from occlupose.methods.oanet.weights import load
from occlupose.networks.tcn import receptive_field
from occlupose.synth.noise import NoiseModel
from occlupose.training.loop import Optimisation
from occlupose.training.recipe import write
from occlupose.training.run import TrainingRun
from pose_dataset_files import walking, write_h36m, write_h36m_cdf, write_h36m_world_cdf, write_humaneva


def stage(steps=6, **changes):
    return Optimisation(
        **{"steps": steps, "warm_up_steps": 2, "save_every": 2, "log_every": 2, "precision": "32-true"} | changes
    )


def recipe(**changes):
    return OANetRecipe(
        **{
            "width": 8,
            "window": 8,
            "batch": 4,
            "verdict_frames": (1, 8),
            "labelled_fraction": 0.5,
            "stage_2d": stage(),
            "stage_3d": stage(),
            "end_to_end": stage(),
        }
        | changes
    )


FEW = dict.fromkeys(("stage_2d", "stage_3d", "end_to_end"), stage(2))
"""Stages of few steps."""

CLIPS = [moving_clip(seed=number, name=f"07_{number:02}") for number in range(6)]


def run(folder, **options):
    return TrainingRun(folder, progress=False, **options)


def trained(folder, plan, **options):
    return run(folder, **options).train(OANetTask(plan, plan.sampler(CLIPS))).state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def rows(path):
    return [row[:-1] for row in csv.reader(path.open())]


def test_three_stages_each_with_its_log(tmp_path):
    trained(tmp_path, recipe())
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["end_to_end", "stage_2d", "stage_3d"]
    assert rows(tmp_path / "stage_2d" / "log.csv")[0] == ["step", "2d"]
    of_poses = ["3d", "projection", "regularisation", "symmetry", "adversarial"]
    terms = ["step", *of_poses, "discrimination"]
    shares = [f"share {name}" for name in of_poses]
    header, *logged = rows(tmp_path / "stage_3d" / "log.csv")
    assert header == [*terms, *shares]
    assert all(sum(map(float, row[-len(shares) :])) == pytest.approx(1, abs=1e-3) for row in logged)
    assert rows(tmp_path / "end_to_end" / "log.csv")[0] == [*terms, "2d", *shares]


def test_without_the_2d_network_there_is_no_stage_for_it(tmp_path):
    trained(tmp_path, recipe(refine=False))
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["end_to_end", "stage_3d"]


def test_the_second_stage_freezes_the_2d_network(tmp_path):
    trained(tmp_path, recipe(end_to_end=stage(1, learning_rate=0.0)))
    first = torch.load(tmp_path / "stage_2d" / "last.pt", weights_only=True)["network"]
    second = torch.load(tmp_path / "stage_3d" / "last.pt", weights_only=True)["network"]
    average = torch.load(tmp_path / "stage_2d" / "last.pt", weights_only=True)["average"]
    kept = [name for name in second if name.startswith("oanet.tcn_2d") and not name.endswith("num_batches_tracked")]
    assert kept
    assert all(torch.equal(second[name], average[name]) for name in kept)
    assert not all(torch.equal(second[name], first[name]) for name in second if name.startswith("oanet.tcn_3d"))


def test_the_third_stage_trains_all_networks(tmp_path):
    trained(tmp_path, recipe())
    before = torch.load(tmp_path / "stage_3d" / "last.pt", weights_only=True)["network"]
    after = torch.load(tmp_path / "end_to_end" / "last.pt", weights_only=True)["network"]
    for part in ("oanet.tcn_2d.out.weight", "oanet.tcn_3d.out.weight", "discriminators.0.linear.weight"):
        assert not torch.equal(before[part], after[part])


@pytest.mark.parametrize("killed", ["stage_2d", "stage_3d", "end_to_end"])
def test_a_run_stopped_in_any_stage_is_resumed_to_the_same_end(tmp_path, killed):
    plan = recipe()
    whole = trained(tmp_path / "whole", plan)

    class Stopped(Exception):
        pass

    draw = plan.sampler(CLIPS)
    left = ["stage_2d", "stage_3d", "end_to_end"].index(killed) * 6 + 3

    def sample(generator):
        nonlocal left
        if not left:
            raise Stopped
        left -= 1
        return draw(generator)

    with pytest.raises(Stopped):
        run(tmp_path / "stopped").train(OANetTask(plan, sample))
    torch.manual_seed(99)
    assert same(trained(tmp_path / "stopped", plan, resume=True), whole)
    for name in ("stage_2d", "stage_3d", "end_to_end"):
        assert rows(tmp_path / "stopped" / name / "log.csv") == rows(tmp_path / "whole" / name / "log.csv")


def test_a_run_is_not_overwritten(tmp_path):
    trained(tmp_path, recipe())
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(tmp_path, recipe())


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"threshold": 0.6}, {"occlusion_aware": False}, {"mask_channel": True}, {"unlabelled_fraction": 0.0}],
)
def test_the_recipe_changes_the_result(tmp_path, change):
    one = trained(tmp_path / "one", recipe())
    other = trained(tmp_path / "other", recipe(**change))
    assert not all(one[name].shape == other[name].shape and torch.equal(one[name], other[name]) for name in one)


def test_a_larger_labelled_fraction_contains_the_smaller_one():
    few = split_labelled(CLIPS, 0.01)
    some = split_labelled(CLIPS, 0.5)
    every = split_labelled(CLIPS, 1.0)
    assert [len(part[0]) for part in (few, some, every)] == [1, 3, 6]
    assert all(len(labelled) + len(unlabelled) == 6 for labelled, unlabelled in (few, some, every))
    assert few[0][0] is some[0][0] is every[0][0]
    assert [clip.name for clip in split_labelled(CLIPS[::-1], 0.5)[0]] == [clip.name for clip in some[0]]


def test_without_clips_there_is_nothing_to_train_on():
    with pytest.raises(OccluposeError, match="no motion to train on"):
        recipe().sampler([])


@pytest.fixture(scope="module")
def mocap(tmp_path_factory):
    return write_mocap(tmp_path_factory.mktemp("mocap"), {"07": 2, "02": 1})


def test_weights_come_with_their_card(mocap, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "oanet", "--mocap", str(mocap), "-o", str(tmp_path)])
    path = train_oanet(mocap, recipe(name="tiny"), run(tmp_path, places={mocap: "MOCAP"}))
    assert path == tmp_path / "tiny.safetensors"
    trained = load(path)
    assert (trained.encoder, trained.width) == (MaskedEncoder(8, 0.3), 8)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["command"] == "occlupose train oanet --mocap MOCAP -o FOLDER"
    assert card["parameters"] == sum(value.numel() for value in trained.parameters())
    assert (card["licence"], card["recipe"]["symmetry_weight"]) == ("Apache-2.0", 0.2)
    assert "02, 08, 32" in card["data"]


def test_a_run_is_resumed_only_with_its_data(mocap, tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    video_sequence().poses.save(people / "one.npz")
    train_oanet(mocap, recipe(), run(tmp_path / "run"), video=people)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    more = write_mocap(tmp_path / "more", {"07": 3, "02": 1})
    for data, video in ((mocap, None), (more, people)):
        with pytest.raises(OccluposeError, match="started with other settings or data"):
            train_oanet(data, recipe(), run(tmp_path / "run", resume=True), video=video)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before
    assert json.loads(before["oanet.json"])["licence"] == "as the video allows"


def test_a_batch_too_small_for_sequences_without_3d_is_refused():
    with pytest.raises(
        OccluposeError, match=r"unlabelled_fraction 0\.5: leaves no sequence without 3D in a batch of 1"
    ):
        recipe(batch=1, labelled_fraction=0.5).sampler(CLIPS)
    recipe(batch=1, labelled_fraction=1.0).sampler(CLIPS)
    recipe(batch=1, labelled_fraction=0.5, unlabelled_fraction=0.0).sampler(CLIPS)


def test_held_out_subjects_are_not_trained_on(mocap, tmp_path):
    only = write_mocap(tmp_path / "only", {"02": 1})
    with pytest.raises(OccluposeError, match="no motion to train on"):
        train_oanet(only, recipe(), run(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def trainer(mocap, folder, *words):
    """The command with these words."""
    start = [sys.executable, "-c", "from occlupose.cli import main; main()", "train", "oanet"]
    return [*start, "--mocap", str(mocap), "-o", str(folder), *words]


def command_line(mocap, folder, *more):
    """`recipe()` with 40 steps a stage as a command."""
    path = folder.parent / "recipe.json"
    write(recipe(stage_2d=stage(40), stage_3d=stage(40), end_to_end=stage(40)), path)
    return trainer(mocap, folder, *more, "--recipe", str(path))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["stage_2d", "stage_3d", "end_to_end"])
def test_a_killed_run_is_resumed_to_the_same_end(mocap, tmp_path, stage):
    kill_after(tmp_path / "killed" / stage / "last.pt", command_line(mocap, tmp_path / "killed"))
    run_to_the_end(command_line(mocap, tmp_path / "killed", "--resume"))
    run_to_the_end(command_line(mocap, tmp_path / "whole"))
    files = [(tmp_path / name / "oanet.safetensors").read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]
    for part in ("stage_2d", "stage_3d", "end_to_end"):
        logs = [rows(tmp_path / name / part / "log.csv") for name in ("killed", "whole")]
        assert logs[0] == logs[1]
        assert logs[0][-1][0] == "40"


@pytest.mark.slow
def test_it_learns_to_lift_an_unseen_person(tmp_path):
    plan = recipe(
        width=32,
        window=32,
        batch=16,
        stage_2d=stage(60),
        stage_3d=stage(250, learning_rate=2e-3),
        end_to_end=stage(30),
        adversarial_weight=0.0,
    )
    oanet = run(tmp_path).train(OANetTask(plan, replace(plan, virtual_view_fraction=0.0).sampler(CLIPS)))
    joints = torch.from_numpy(moving_clip(400, seed=77).joints[::4])
    joints = to_studio_camera(joints[None], torch.tensor([1]))
    observations = simulate_detections(joints, NoiseModel.load(), torch.Generator().manual_seed(0))
    rays = observations.xy.transpose(0, 1).numpy()
    reliable = (observations.score >= plan.min_confidence).transpose(0, 1).numpy()
    predicted = torch.from_numpy(lift_rays(oanet, rays, reliable, 30.0)[:, 0])
    error = (predicted - observations.truth_3d[0]).norm(dim=-1).mean()
    average = (observations.truth_3d[0].mean(0) - observations.truth_3d[0]).norm(dim=-1).mean()
    zero_pose = observations.truth_3d[0].norm(dim=-1).mean()
    assert error < 0.35 * zero_pose
    assert error < 3 * average


def test_the_card_has_the_command_without_folder_names(mocap, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    words = ["train", "oanet", f"--mocap={mocap}", "-o", "out", "--seed", "2"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/occlupose", *words])
    plan = recipe(name="mocap.outdoors", **FEW)
    path = train_oanet(mocap, plan, run(Path("out"), places={mocap: "MOCAP"}))
    command = json.loads(path.with_suffix(".json").read_text())["command"]
    assert command == "occlupose train oanet --mocap=MOCAP -o FOLDER --seed 2"


def test_training_can_start_from_weights(mocap, tmp_path, monkeypatch):
    first = train_oanet(mocap, recipe(**FEW), run(tmp_path / "first"))
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "oanet", "--init-from", str(first), f"--mocap={mocap}"])
    still = dict.fromkeys(FEW, stage(1, learning_rate=0.0))
    unchanged = train_oanet(mocap, recipe(**still), run(tmp_path / "still", init_from=first, places={mocap: "MOCAP"}))
    begun = load(first).state_dict()
    kept = load(unchanged).state_dict()
    learnt = [name for name in begun if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(begun[name], kept[name]) for name in learnt)
    card = json.loads(unchanged.with_suffix(".json").read_text())
    assert card["command"] == "occlupose train oanet --init-from WEIGHTS --mocap=MOCAP"
    assert (card["begun_with"], card["sha256"]) == (first.name, hashlib.sha256(first.read_bytes()).hexdigest())
    assert "begun_with" not in json.loads(first.with_suffix(".json").read_text())
    with pytest.raises(
        OccluposeError, match=r"oanet\.safetensors: width 8 instead of 16; give weights that fit the recipe"
    ):
        train_oanet(mocap, recipe(width=16, **FEW), run(tmp_path / "wider", init_from=first))
    assert not (tmp_path / "wider").exists()


def test_weights_of_other_networks_are_refused(mocap, tmp_path):
    save(LifterNetwork(32, 1).state_dict(), LifterNetwork(32, 1), tmp_path / "lifter.safetensors")
    with pytest.raises(OccluposeError, match=r"not the weights of OANet .*; give a file that `occlupose train oanet`"):
        train_oanet(mocap, recipe(), run(tmp_path / "run", init_from=tmp_path / "lifter.safetensors"))


@pytest.mark.parametrize("layout", ["npz", "cdf", "world"])
def test_it_trains_on_human36m(tmp_path, layout):
    motions = {subject: {"Walking 1": walking(40, seed)} for seed, subject in enumerate(h36m.TRAIN)}
    write = {"npz": write_h36m, "cdf": write_h36m_cdf, "world": write_h36m_world_cdf}[layout]
    folder = write(tmp_path / "h36m", motions)
    path = train_oanet(folder, recipe(**FEW), run(tmp_path / "run"), dataset="h36m")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["data"] == "Human3.6M, S1, S5, S6, S7, S8, in its own cameras"
    assert card["licence"] == "that of the dataset, which is for research only"
    assert load(path).encoder.window == 8


def test_it_trains_on_humaneva(tmp_path):
    motions = {subject: {"Walking 1 chunk0": walking(40, seed)} for seed, subject in enumerate(humaneva.TRAIN)}
    path = train_oanet(write_humaneva(tmp_path, motions), recipe(**FEW), run(tmp_path / "run"), dataset="humaneva")
    assert json.loads(path.with_suffix(".json").read_text())["data"].startswith("HumanEva-I")


def test_the_published_recipe_has_the_papers_optimiser_and_sees_its_whole_window():
    published = RECIPES["published"]
    stages = (published.stage_2d, published.stage_3d, published.end_to_end)
    for plan, rate in zip(stages, (1e-3, 1e-3, 1e-4), strict=True):
        assert {plan.learning_rate_at(step) for step in range(0, plan.steps, 999)} == {rate}
        assert (plan.weight_decay, plan.ema_decay, plan.max_grad_norm) == (0.0, 0.0, float("inf"))
    assert [plan.steps for plan in stages] == [50_000, 50_000, 30_000]
    assert receptive_field(published.depth) >= published.window == 128


def test_a_folder_without_mocap_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        train_oanet(tmp_path, recipe(), run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
