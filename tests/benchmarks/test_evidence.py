import csv
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from evidence_runs import run
from hupor_samples import SPACE, TINY, sample_with_depth
from mocap_sequences import moving_clip
from occlupose.datasets.augmentation import make_bottomup_batch
from occlupose.methods.hupor.network import HUPORNetwork
from occlupose.networks.tcn import receptive_field
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.poses import VISIBLE


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("evidence")


def rows_with_difference(evidence, effect, noise=0.0, seeds=5, units=80):
    """Rows of the first comparison, whose arm is worse by an effect, and that comparison."""
    comparison = evidence.COMPARISONS[0]
    random = np.random.default_rng(0)
    difficulty = random.normal(100, 30, units)
    rows = []
    for arm, extra in ((comparison.arm, effect), (comparison.control, 0.0)):
        for seed in range(seeds):
            for unit in range(units):
                value = difficulty[unit] + extra + random.normal(0, noise)
                rows.append((arm, seed, comparison.condition, comparison.metric, str(unit), 20 * value, 20.0))
    return rows, comparison


def test_a_difference_is_paired_so_that_hard_units_do_not_widen_it(evidence):
    rows, comparison = rows_with_difference(evidence, -2.0)
    found = evidence.difference(rows, comparison)
    assert (found.seeds, found.units) == (5, 80)
    assert found.value == pytest.approx(-2)
    assert found.low == pytest.approx(-2) and found.high == pytest.approx(-2)


def test_the_interval_is_that_of_the_noise(evidence):
    rows, comparison = rows_with_difference(evidence, 0.0, noise=10.0)
    found = evidence.difference(rows, comparison)
    expected = 1.96 * 10 * (2 / (5 * 80)) ** 0.5
    assert expected < (found.high - found.low) / 2 < 3 * expected  # of units and of five seeds
    assert found.low < 0 < found.high


def test_units_count_by_their_joints(evidence):
    comparison = evidence.COMPARISONS[0]
    key = (comparison.condition, comparison.metric)
    rows = [
        (comparison.arm, 0, *key, "a", 10.0, 1.0),
        (comparison.arm, 0, *key, "b", 90.0, 9.0),
        (comparison.control, 0, *key, "a", 0.0, 1.0),
        (comparison.control, 0, *key, "b", 45.0, 9.0),
        (comparison.control, 1, *key, "b", 45.0, 9.0),
    ]
    found = evidence.difference(rows, comparison)
    assert (found.seeds, found.control, found.value) == (1, 4.5, 5.5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-5.0, -1.5, "holds"),
        (-5.0, -0.5, "holds in direction"),
        (-5.0, 0.5, "not seen"),
        (0.1, 0.2, "contradicted"),
    ],
)
def test_verdicts_follow_the_rule(evidence, low, high, expected):
    comparison = evidence.COMPARISONS[0]
    assert (comparison.better, comparison.margin) == (-1, 1.0)
    found = evidence.Difference(50.0, (low + high) / 2, low, high, 5, 80)
    assert evidence.verdict(found, comparison) == expected
    mirrored = evidence.Difference(50.0, -(low + high) / 2, -high, -low, 5, 80)
    assert evidence.verdict(mirrored, replace(comparison, better=1)) == expected


def test_the_interval_of_few_seeds_is_wide(evidence):
    """Two seeds that differ by 2 say nothing of others."""
    comparison = evidence.COMPARISONS[0]
    key = (comparison.condition, comparison.metric)
    rows = [
        (arm, seed, *key, unit, value, 1.0)
        for unit in ("a", "b")
        for arm, seed, value in (
            (comparison.arm, 0, 10.0),
            (comparison.arm, 1, 12.0),
            (comparison.control, 0, 9.0),
            (comparison.control, 1, 9.0),
        )
    ]
    found = evidence.difference(rows, comparison)
    assert found.value == pytest.approx(2) and found.high - found.value == pytest.approx(12.706, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        ("within", -0.5, 0.5, "holds"),
        ("within", -0.5, 1.5, "not seen"),
        ("within", 1.1, 1.5, "contradicted"),
        ("flat", -3.0, 0.9, "flat"),
        ("flat", 0.0, 1.1, "not converged"),
    ],
)
def test_verdicts_on_no_difference_and_on_curves(evidence, kind, low, high, expected):
    comparison = replace(evidence.COMPARISONS[0], kind=kind, better=1)
    assert evidence.verdict(evidence.Difference(50.0, 0.0, low, high, 5, 80), comparison) == expected
    early = evidence.Difference(50.0, 0.0, low, high, 4, 80)
    assert evidence.verdict(early, comparison) == "running, 4 of 5 seeds"


def test_runs_of_another_protocol_are_not_continued(evidence, tmp_path, monkeypatch):
    evidence.complete("dsed", ["works"], 1, run, tmp_path, 1)
    with (tmp_path / "evidence_runs.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["claim"], line["arm"], line["seed"], line["protocol"]) == ("dsed", "works", "0", evidence.PROTOCOL)
    monkeypatch.setattr(evidence, "PROTOCOL", "later")
    with pytest.raises(SystemExit, match=r"dsed: has runs of protocol .*, not later; give another --output"):
        evidence.complete("dsed", ["works"], 2, run, tmp_path, 1)


def test_all_arms_of_a_seed_have_one_precision(evidence, tmp_path, monkeypatch, capsys):
    """A seed that was begun in bf16 is left out where there is none, and the others run."""
    monkeypatch.setattr(evidence, "bf16_is_native", lambda device: True)
    evidence.record_run(tmp_path / "evidence_runs.csv", ("ljof", "works", "0"), 1.0)
    evidence.record_run(tmp_path / "evidence_runs.csv", ("dsed", "works", "0"), 1.0)
    monkeypatch.setattr(evidence, "bf16_is_native", lambda device: False)
    evidence.complete("ljof", ["works", "works too"], 2, run, tmp_path, 1)
    assert "ljof: 2 runs, 0 done before, 2 left out, not float32" in capsys.readouterr().err
    assert {row[1] for row in evidence.rows_of(tmp_path / "evidence_ljof.csv")} == {1}
    evidence.complete("dsed", ["works"], 1, run, tmp_path, 1)
    assert "dsed: 1 runs, 0 done before" in capsys.readouterr().err
    with (tmp_path / "evidence_runs.csv").open(newline="") as file:
        assert [row["precision"] for row in csv.DictReader(file)] == ["bf16", *["float32"] * 4]


def test_what_did_not_run_reads_so(evidence, tmp_path):
    assert evidence.difference([], evidence.COMPARISONS[0]) is None
    rows, _ = rows_with_difference(evidence, -2.0)
    evidence.append(tmp_path / "evidence_oanet.csv", rows)
    assert len(evidence.rows_of(tmp_path / "evidence_oanet.csv")) == len(rows)
    evidence.verdicts(tmp_path)
    with (tmp_path / "evidence.csv").open(newline="") as file:
        first, *others = csv.DictReader(file)
    assert (first["verdict"], first["difference"], first["seeds"]) == ("holds", "-2.00", "5")
    assert {row["verdict"] for row in others} == {"not run"}


def test_runs_are_appended_and_not_run_again_and_a_failure_stops_no_other(evidence, tmp_path, capsys):
    arms = ["works", "has a bug", "diverges", "works too"]
    with pytest.raises(SystemExit, match=r"^dsed: 2 runs failed$"):
        evidence.complete("dsed", arms, 1, run, tmp_path, 1, len)
    told = capsys.readouterr().err
    assert "has a bug 0 ValueError('wrong')" in told and "step 3: not a number any more" in told
    rows = evidence.rows_of(tmp_path / "evidence_dsed.csv")
    assert rows == [(arm, 0, "exact", "hidden found", "00", 50.0, 100.0) for arm in ("works", "works too")]
    evidence.complete("dsed", ["works", "works too"], 1, run, tmp_path, 1)
    assert "dsed: 0 runs, 2 done before" in capsys.readouterr().err
    assert evidence.rows_of(tmp_path / "evidence_dsed.csv") == rows


def test_rows_of_another_size_need_another_folder(evidence):
    with pytest.raises(SystemExit, match=r"^size tiny: results has the rows of size small; give another --output$"):
        evidence.main("oanet", size="tiny")


def test_units_of_oanet_are_people(evidence, monkeypatch):
    module = evidence.evidence_oanet
    bench = module.Bench(Path(), Path())
    clips = [replace(moving_clip(8), name=name, subject=name[0]) for name in ("a1", "b1", "a2")]
    vars(bench)["clips"] = {False: [], True: clips}
    monkeypatch.setattr(module.Bench, "trained", lambda *_: None)
    monkeypatch.setattr(module, "score", lambda *_: {"all": np.full(3, 2.0)})
    rows = bench.run("3D TCN", 1)
    expected = [("all", "a", 12.0, 6.0), ("all", "b", 6.0, 3.0)]
    assert sorted(rows) == sorted(("3D TCN", 1, view, *row) for view in module.VIEWS for row in expected)


def test_every_comparison_is_of_arms_that_run(evidence):
    arms = {
        "oanet": set(evidence.evidence_oanet.ARMS),
        "ljof_head": set(evidence.evidence_ljof.HEAD_ARMS),
        "ljof": set(evidence.evidence_ljof.ARMS),
        "dsed": set(evidence.evidence_dsed.ARMS),
    }
    for comparison in evidence.COMPARISONS:
        assert {comparison.arm, comparison.control} <= arms[comparison.claim]


def test_rows_of_oanet_have_the_same_number_of_sequences_and_of_updates(evidence):
    module = evidence.evidence_oanet
    bench = module.Bench(Path(), Path())
    recipes = {arm: bench.recipe(arm, 0) for arm in module.ARMS if not arm.endswith("shares")}
    for recipe in recipes.values():
        labelled = recipe.batch - recipe.unlabelled
        assert labelled + round(recipe.virtual_view_fraction * labelled) == 32
        assert recipe.unlabelled == 16
        assert [stage.steps for stage in (recipe.stage_2d, recipe.stage_3d, recipe.end_to_end)] == [1000, 5000, 1500]
    assert {recipe.virtual_view_fraction for recipe in recipes.values()} == {0.0, 1.0}


def test_table_1_changes_length_and_threshold_only_and_sees_whole_windows(evidence):
    module = evidence.evidence_oanet
    bench = module.Bench(Path(), Path())
    recipes = [bench.recipe(arm, 0) for arm in module.TABLE_1]
    assert len(recipes) == 9
    same = {replace(recipe, window=256, threshold=0.3) for recipe in recipes}
    assert len(same) == 1
    assert {(recipe.window, recipe.threshold) for recipe in recipes} >= {(256, 0.3), (128, 0.2), (128, 0.4), (16, 0.3)}
    assert all(receptive_field(recipe.depth) >= 128 for recipe in recipes)


def test_the_dark_detector_is_dark_at_hidden_joints_and_sees_the_others(evidence):
    module = evidence.evidence_oanet
    xy = torch.from_numpy(moving_clip(64).joints[None, :, :, :2]).repeat(200, 1, 1, 1)
    dark = {}
    for name, noise in module.DETECTORS.items():
        generator = torch.Generator().manual_seed(0)
        _, visible = noise.sample(xy, generator)
        _, hidden = noise.sample_occluded(xy, generator)
        dark[name] = ((hidden < 0.3).float().mean().item(), (visible < 0.3).float().mean().item())
    assert dark["dark"][0] == pytest.approx(0.92, abs=0.02)
    assert dark["dark"][1] == pytest.approx(0.05, abs=0.02)
    assert dark["guessing"][0] < 0.6


@pytest.mark.parametrize("condition", ["filmed", "between", "tilted"])
def test_cameras_see_the_person_at_their_distance(evidence, condition):
    module = evidence.evidence_oanet
    joints = torch.from_numpy(moving_clip(16).joints)
    seen = module.in_views(joints, condition)
    assert seen.shape == (4, 16, 22, 3)
    pelvis = seen[:, :, module.PELVIS]
    torch.testing.assert_close(pelvis[..., 2], torch.full((4, 16), module.DISTANCE), atol=0.5, rtol=0)
    distances = [torch.cdist(each, each) for each in (seen, joints.expand_as(seen))]
    torch.testing.assert_close(*distances, atol=1e-4, rtol=0)


def test_arms_of_ljof_differ_in_what_their_names_say(evidence):
    module = evidence.evidence_ljof
    assert module.ARMS["LJA"][0] == LimbBlocks(relative_to="box")
    assert module.ARMS["random erasing"][0] == replace(module.ARMS["LJA"][0], placement="anywhere")
    everything = module.ARMS | module.FURTHER
    weights = {name: parts[1].schedule(1.0) for name, parts in everything.items() if parts[1]}
    assert sorted(weights.values()) == [0.01, 0.03, 0.1, 0.1, 0.3, 0.5]
    assert everything["LJA, blocks of the crop"][0] == replace(module.ARMS["LJA"][0], relative_to="crop")
    assert all(name.split()[3].strip(",") == f"{weight:g}" for name, weight in weights.items())
    assert len(module.TABLE_7) == 7


def test_a_detector_of_maps_misses_what_it_should(evidence):
    module = evidence.evidence_dsed
    people = make_bottomup_batch([sample_with_depth(seed) for seed in range(1)], None, TINY.design.letterbox).people
    visible = people.state == VISIBLE
    for missing in (0.0, 1.0):
        maps, seen = module.degrade(SPACE, people, missing, torch.Generator().manual_seed(0))
        assert torch.equal(seen, visible & (missing == 0))
        assert maps.heatmaps.max() <= 1
        assert maps.heatmaps.shape[1:] == (15, *SPACE.shape)


def test_maps_are_measured_by_their_peaks(evidence):
    module = evidence.evidence_dsed
    people = make_bottomup_batch([sample_with_depth(3)], None, TINY.design.letterbox).people
    codec = HUPORNetwork(TINY.design).codec
    seen = people.state == VISIBLE
    exact = module.measure(codec, codec.heatmaps(people, "all", 4), people, seen)
    assert exact["hidden found at 0.3"][1] > 0
    assert exact["hidden found at 0.3"][0] == 100 * exact["hidden found at 0.3"][1]
    assert exact["false peaks at 0.3"].tolist() == [0.0, 1.0]
    assert exact["hidden F1 at 0.3"][0] == 100 * exact["hidden F1 at 0.3"][1]
    dark = module.measure(codec, torch.zeros(1, 15, *codec.shape), people, seen)
    assert dark["hidden found at 0.3"].tolist() == [0.0, exact["hidden found at 0.3"][1]]
    wrong = torch.zeros(1, 15, *codec.shape)
    cells, _ = codec.joint_cells(people, "all")
    wrong[0, 0].view(-1)[(int(cells[0, 0, 0]) + codec.shape[1] * (codec.shape[0] // 2)) % wrong[0, 0].numel()] = 1.0
    assert module.measure(codec, wrong, people, seen)["false peaks at 0.3"][0] in (0.0, 1.0)


def test_the_height_of_peaks_is_chosen_on_one_half_and_scored_on_the_other(evidence):
    module = evidence.evidence_dsed
    half = module.UNITS // 2
    sums = {}
    for unit in (0, half):
        for height in module.PEAKS:
            best = height == (0.2 if unit == 0 else 0.5)
            sums[f"hidden F1 at {height:g}", unit] = np.array([90.0 if best else 10.0, 1.0])
    rows = dict(module._with_best(sums))
    assert rows["hidden F1", half].tolist() == [10.0, 1.0] == rows["hidden F1 at 0.2", half].tolist()
    assert {unit for _, unit in rows} == {half}


def test_each_person_is_scored_for_a_minute_and_the_pair_is_not(evidence):
    module = evidence.evidence_oanet
    people = ["a"] * 9 + ["b"] + ["60", "61"]
    clips = [replace(moving_clip(2000), name=f"{number}", subject=person) for number, person in enumerate(people)]
    chosen = module.clips_to_score(clips)
    assert sorted(clip.subject for clip in chosen) == ["a"] * 5 + ["b"]
    assert module.clips_to_score(clips[::-1]) == chosen


def test_weights_of_a_pilot_are_found_once(evidence, tmp_path, monkeypatch):
    module = evidence.evidence_oanet
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    bench = module.Bench(Path(), tmp_path)
    bench._write_weights("dark", {"adversarial_weight": 0.25, "regularisation_weight": 3.5})
    bench._write_weights("guessing", {"adversarial_weight": 0.5})
    assert bench.found_weights("dark, all parts, 5 % shares") == {
        "adversarial_weight": 0.25,
        "regularisation_weight": 3.5,
    }
    assert bench.recipe("dark, all parts, 5 % shares", 0).regularisation_weight == 3.5
