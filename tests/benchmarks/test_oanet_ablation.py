import re
from dataclasses import asdict
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mocap_sequences import moving_clip
from occlupose.methods.oanet.camera_views import to_studio_camera
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.recipe import simulate_detections
from occlupose.methods.oanet.windows import Observations2D
from occlupose.synth.noise import NoiseModel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it imports `results` from there
    return import_module("oanet_ablation")


def changes(recipe, other):
    return {name for name, value in asdict(recipe).items() if asdict(other)[name] != value}


def test_each_row_of_table_2_adds_one_part_of_the_paper_to_the_one_before(ablation):
    recipes = [run.recipe for run in ablation.table2() if run.recipe.seed == 0]
    added = [changes(one, other) for one, other in pairwise(recipes)]
    assert [name for (name,) in added] == [
        "refine",
        "occlusion_aware",
        "symmetry_weight",
        "adversarial_weight",
        "regularisation_weight",
        "virtual_view_fraction",
    ]
    assert recipes[-1] == ablation.WHOLE
    assert (recipes[0].refine, recipes[0].occlusion_aware, recipes[0].virtual_view_fraction) == (False, False, 0.0)
    assert (
        ablation.WHOLE.symmetry_weight,
        ablation.WHOLE.adversarial_weight,
        ablation.WHOLE.regularisation_weight,
    ) == (0.2, 0.1, 0.1), "the paper's weights"
    for row in range(7):
        assert [run.recipe.seed for run in ablation.table2()[3 * row : 3 * row + 3]] == [0, 1, 2]


def test_all_runs_are_different_and_the_docs_count_them(ablation):
    runs = [run for table in ablation.TABLES.values() for run in table()]
    assert len({(run.table, *run.key) for run in runs}) == len(runs)
    assert re.search(rf"\b{len(runs)} trainings", (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    assert all(len(run.key) == len(ablation.KEYS[run.table]) for run in runs)


def test_table_1_changes_length_and_threshold_at_the_same_frames_a_step(ablation):
    for run in ablation.table1():
        assert changes(run.recipe, ablation.BASE) <= {"window", "batch", "threshold"}
        assert run.recipe.window * run.recipe.batch == ablation.BASE.window * ablation.BASE.batch
        assert (str(run.recipe.window), str(run.recipe.threshold)) == run.key


def test_2d_only_learning_is_compared_at_the_same_clips_with_3d(ablation):
    for run in ablation.semi():
        assert changes(run.recipe, ablation.BASE) <= {"labelled_fraction", "unlabelled_fraction", "seed"}
        assert (run.recipe.unlabelled_fraction > 0) == (run.key[1] == "yes")
        assert str(run.recipe.labelled_fraction) == run.key[0]


def test_scores_are_means_over_views_of_all_and_of_occluded_joints(ablation):
    joints = torch.from_numpy(moving_clip(64).joints).repeat(2, 1, 1, 1)
    in_studio = to_studio_camera(joints, torch.tensor([0, 2]))
    observed = simulate_detections(in_studio, NoiseModel.load(), torch.Generator().manual_seed(0))
    views = [Observations2D(*(values[n : n + 1] for values in vars(observed).values())) for n in range(2)]
    untrained = OANetNetwork(8, encoder=MaskedEncoder(16)).eval()  # every joint at the root
    mean, aligned, occluded = ablation.score(untrained, views)
    distance = [view.truth_3d[0].norm(dim=-1) for view in views]
    assert mean == pytest.approx(1000 * sum(d.mean().item() for d in distance) / 2, rel=1e-4)
    expected = [d[view.occluded[0]].mean().item() for d, view in zip(distance, views, strict=True)]
    assert occluded == pytest.approx(1000 * sum(expected) / 2, rel=1e-4)
    assert 0 < aligned <= mean + 1e-6


def test_finished_runs_are_kept_and_not_repeated(ablation, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    first, second = ablation.table1()[:2]
    assert ablation.done("table1") == set()
    ablation.append(first, [80.123, 60.0, 90.0])
    ablation.append(second, [81.0, 61.0, 91.0])
    assert ablation.done("table1") == {first.key, second.key} and ablation.done("semi") == set()
    lines = (tmp_path / "oanet_table1.csv").read_text().splitlines()
    assert lines[0] == "length,threshold,mpjpe_mm,p_mpjpe_mm,occluded_mpjpe_mm" and lines[1].endswith(
        "80.12,60.00,90.00"
    )
