from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from occlupose.cameras import Camera
from occlupose.datasets.formats.mocap_clips import KINDS
from occlupose.methods.lifter.joints import LifterJoints
from occlupose.methods.lifter.lifting import TrackLifter, to_keypoints
from occlupose.methods.lifter.motions import LentMotion
from occlupose.methods.lifter.network import LifterNetwork, LifterOutput
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.poses import OCCLUDED, VISIBLE, FramePoses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17
from occlupose.synth.noise import NoiseModel

IN_COCO = np.array([name in COCO17.joints for name in BODY22.joints])


@pytest.fixture
def lifting(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("lifting")


@pytest.fixture
def lifting_views(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("lifting_views")


def motion(name="clip", kind="walking", held_out=True, frames=50, bodies=1):
    """Somebody whose joints swing."""
    random = np.random.default_rng(len(name) + frames)
    rest = random.normal(0, 0.4, (bodies, 1, 22, 3)) + np.array([0, 1, 0])
    swing = 0.1 * np.sin(np.arange(frames)[:, None, None] / 10 + random.uniform(0, 6, (22, 3)))
    return LentMotion(name, name, kind, held_out, (rest + swing).astype(np.float32))


def see(lifting_views, frames=50):
    return lifting_views.Sequences.see(lifting_views.views(motion(frames=frames)), NoiseModel.load(), IN_COCO)


def sequence(given, condition, view=0):
    return view * len(given.conditions) // 2 + given.conditions.index(condition)


def test_clips_are_held_out_and_evenly_chosen(lifting_views):
    motions = [motion(f"clip {number}", frames=50 + number, bodies=2) for number in range(9)]
    motions += [motion("learnt", held_out=False), motion("short", "dance", frames=2)]
    motions += [motion("long", "sports", frames=300)]
    chosen = lifting_views.choose(motions, 3, 2.0)
    assert {kind: [one.name for one in own] for kind, own in chosen.items()} == {
        "walking": ["clip 0", "clip 4", "clip 8"],
        "sports": ["long"],
    }
    assert chosen["sports"][0].joints.shape == (1, 60, 22, 3)
    np.testing.assert_array_equal(chosen["walking"][1].joints[0], motions[4].joints[0])


def test_what_is_seen_depends_on_names_only(lifting_views):
    one, other = lifting_views.views(motion())
    again = lifting_views.views(motion())[1]
    np.testing.assert_array_equal(other.xyz, again.xyz)
    assert np.abs(one.xyz - other.xyz).max() > 0.1
    assert (one.xyz[..., 2] > 1).all()
    for condition in ("30 % random", "detector noise, arm 1 s"):
        given = [lifting_views.observe(view, condition, NoiseModel.load()) for view in (other, again)]
        np.testing.assert_array_equal(*(one.rays for one in given))
        np.testing.assert_array_equal(*(one.observed for one in given))


def test_conditions_hide_what_they_say(lifting_views):
    given = see(lifting_views, frames=60)
    hidden = ~given.observed & IN_COCO
    at = {condition: hidden[sequence(given, condition)] for condition in lifting_views.VISIBLE}
    assert not at["all present"].any()
    assert at["30 % random"][:, IN_COCO].mean() == pytest.approx(0.3, abs=0.05)
    legs = BODY22.index(*(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")))
    assert at["legs 1 s"].sum(0)[legs].tolist() == [30] * 6 and at["legs 1 s"].sum() == 180
    assert at["arm 1 s"].sum(0).max() == 30 and at["arm 1 s"].sum() == 90
    assert at["person 20 frames"].all(1, where=IN_COCO).sum() == 20


def test_missing_joints_are_those_of_the_skeleton_or_of_nobody(lifting_views):
    given = see(lifting_views, frames=60)
    in_coco = IN_COCO[BODY22_TO_H36M17]
    assert not given.missing[sequence(given, "50 % random")][:, ~in_coco].any()
    nobody = given.missing[sequence(given, "person 20 frames")]
    assert sorted(set(nobody.sum(1).tolist())) == [0, 17] and nobody.all(1).sum() == 20


def test_what_the_front_end_is_unsure_of_comes_as_a_guess(lifting_views):
    given = see(lifting_views, frames=60)
    exact = [not condition.startswith("detector noise") for condition in given.conditions]
    assert not given.guessed[exact].any() and np.isnan(given.sigma[exact]).all()
    noisy = np.logical_not(exact)
    np.testing.assert_array_equal(given.guessed[noisy], ~given.observed[noisy] & IN_COCO)
    stated = given.sigma[noisy][given.guessed[noisy]]
    assert stated.size and np.isfinite(stated).all() and np.isnan(given.sigma[noisy][~given.guessed[noisy]]).all()
    row = sequence(given, "detector noise, legs 1 s")
    points = given.true_rays[row][:, :17]
    side = np.ptp(points, axis=1).max(-1).mean()
    assert stated[0] == pytest.approx(NoiseModel.load().occluded_distance / 2**0.5 * side, rel=1e-4)


def test_missing_joints_are_filled(lifting_views):
    rays = np.arange(5 * 22 * 2, dtype=np.float32).reshape(5, 22, 2)
    observed = np.ones((5, 22), bool)
    observed[[0, 2, 3], 7] = False
    given = np.where(observed[..., None], rays, 1e6)
    held = lifting_views.hold(given, observed)[:, 7, 0]
    np.testing.assert_array_equal(held, rays[[1, 1, 1, 1, 4], 7, 0])
    np.testing.assert_allclose(lifting_views.interpolate(given, observed)[:, 7], rays[[1, 1, 2, 3, 4], 7])
    observed[:, 7] = False
    for fill in lifting_views.FILLS.values():
        centre = rays[:, lifting_views.TORSO].mean(1)
        np.testing.assert_array_equal(fill(given, observed)[:, 7], centre)


def test_baselines_are_told_that_everything_is_seen(lifting_views):
    given = see(lifting_views)
    for name in ("hold", "interpolate", "ground truth"):
        keypoints = given.filled(name)
        assert (keypoints.seen.numpy() == IN_COCO).all() and not keypoints.guessed.any()
    np.testing.assert_array_equal(keypoints.rays.numpy(), given.true_rays)


def test_means_of_views_and_frames(lifting, lifting_views):
    given = see(lifting_views)
    tally = lifting.Tally()
    tally.add_errors("ours", given.truth * 1.1, given)
    values = tally.values()
    size = 1000 * np.linalg.norm(given.truth, axis=-1).mean((1, 2))
    rows = [sequence(given, "all present", view) for view in (0, 1)]
    assert values["error|ours|all present|all|view|mpjpe_mm"] == pytest.approx(0.1 * size[rows].mean(), rel=1e-4)
    assert values["error|ours|all present|all|view|p_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert "error|ours|all present|missing|view|mpjpe_mm" not in values
    tally.errors["ours", "all present", "missing"] = [np.array([0.1, 0.05, 30]), np.array([0.2, 0.06, 10])]
    values = tally.values()
    assert values["error|ours|all present|missing|view|mpjpe_mm"] == pytest.approx(150)
    assert values["error|ours|all present|missing|frame|mpjpe_mm"] == pytest.approx(125)


def test_errors_of_the_stated_size_are_on_target(lifting, lifting_views):
    given = see(lifting_views, frames=400)
    generator = torch.Generator().manual_seed(0)
    count, frames = given.truth.shape[:2]
    factor = torch.linalg.inv(torch.tensor([[0.04, 0, 0], [0.01, 0.02, 0], [0.0, 0.03, 0.09]]))

    def draw(truth, size):
        noise = torch.randn(*truth.shape, generator=generator) @ torch.linalg.inv(factor).mT
        return torch.from_numpy(truth) + size * noise

    factors = factor.expand(count, frames, 17, 3, 3)
    lifted = LifterOutput(draw(given.truth, 1), factors, draw(given.root, 2), factors[:, :, 0])
    tally = lifting.Tally()
    tally.add_uncertainty("0", lifted, given)
    rows = lifting.summarise_uncertainty({"walking": tally.values() | zeros(lifting)})
    by_state = {(row["state"], row["input"], row["axis"]): row for row in rows if row["kind"] == "walking"}
    assert {key[0] for key in by_state} == set(lifting.STATES)
    for (state, _, _), row in by_state.items():
        share = 0.383 if state == "root" else 0.683
        assert row["within_1_sigma"] == pytest.approx(share, abs=0.04) and row["n"] > 1000
    assert by_state["seen", "exact", "y"]["mean_sigma_m"] == pytest.approx(0.05**0.5 / 10, rel=1e-4)
    failed = lifting.off_target(rows)
    assert {row["state"] for row in failed} == {"root"}
    assert lifting.off_target([{**failed[0], "n": 1000}]) == []


def zeros(lifting):
    """No errors at other delays."""
    return {
        f"share|{state}|{given}|{delay}|{axis}|{number}": 0.0
        for state in lifting.STATES
        for given in lifting.INPUTS
        for delay in ("0.3", "offline")
        for axis in lifting.AXES
        for number in range(5)
    }


def test_acceleration(lifting):
    time = np.arange(10) / 30
    xyz = np.zeros((10, 17, 3))
    xyz[:, 1:, 1] = 0.5 * 9.81 * time[:, None] ** 2
    assert lifting.acceleration(xyz) == pytest.approx(9.81)


def test_bars_compare_means_of_kinds(lifting):
    def row(method, kind, value, condition="all present", joints="all", weighting="view"):
        names = {"method": method, "kind": kind, "condition": condition, "joints": joints, "weighting": weighting}
        return {**names, "p_mpjpe_mm": value}

    kinds = ("walking", "dance", "fight", "all kinds", "all but walking")
    rows = [
        row(method, *pair)
        for method, values in {"ours": (21, 30, 50, 34, 40), "before": (20, 40, 60, 40, 50)}.items()
        for pair in zip(kinds, values, strict=True)
    ]
    rows += [row("ground truth", "all kinds", 34)]
    for method, value in (("ours", 60), ("hold", 100), ("interpolate", 75)):
        rows.append(row(method, "all kinds", value, "arm 1 s", "missing", "frame"))
    found = {name: (ratio, limit) for name, ratio, limit in lifting.bars(rows)}
    assert found == {
        "all present, walking, to before": (1.05, 1.05),
        "all present, other kinds, to before": (0.8, 0.65),
        "all present, worst of them (fight), to before": (50 / 60, 0.85),
        "all present, all kinds, to the unaware network": (1.0, 1.05),
        "arm 1 s, missing joints by frame, to the better of hold and interpolate": (0.8, 0.9),
    }


def test_everything_is_measured(lifting, lifting_views):
    networks = [LifterNetwork(16, 1).eval() for _ in range(2)]
    asked = []

    def before(rays, observed, fps):
        asked.append((rays.shape, observed.shape, fps))
        return np.random.default_rng(0).normal(size=(*rays.shape[:2], 17, 3)).astype(np.float32)

    values = lifting.measure([motion(frames=40)], *networks, before, COCO17, NoiseModel.load())
    assert asked == [((30, 40, 22, 2), (30, 40, 22), 30.0)]
    found = {"walking": values, "dance": {name: 2 * value for name, value in values.items()}}
    rows = lifting.summarise(found)
    assert {row["method"] for row in rows} == {"ours", "before", "hold", "interpolate", "ground truth"}
    assert {row["kind"] for row in rows} == {"walking", "dance", "all kinds", "all but walking"}
    assert {row["condition"] for row in rows} == set(lifting_views.CONDITIONS)
    by_kind = {row["kind"]: row["p_mpjpe_mm"] for row in reversed(rows)}
    assert by_kind["all kinds"] == pytest.approx(1.5 * by_kind["walking"])
    assert by_kind["all but walking"] == by_kind["dance"]
    delays = lifting.summarise_delays(found)
    assert len(delays) == len(lifting.DELAYS) * len(lifting_views.CONDITIONS)
    ours = next(row for row in rows if row["kind"] == "all kinds")
    offline = next(row for row in delays if row["delay_s"] == "offline")
    assert offline["p_mpjpe_mm"] == pytest.approx(ours["p_mpjpe_mm"], rel=1e-5)
    assert "missing_p_mpjpe_mm" not in offline and "missing_p_mpjpe_mm" in delays[1]
    uncertainty = lifting.summarise_uncertainty(found)
    assert len(uncertainty) == 3 * 3 * 3 * 2 * 4
    lifting.show(rows)
    lifting.show_bars(rows, uncertainty)
    tables = ((rows, lifting.COLUMNS), (delays, lifting.DELAY_COLUMNS), (uncertainty, lifting.UNCERTAINTY_COLUMNS))
    for table, columns in tables:
        assert all(len(lifting.cells(row, columns)) == len(columns) and set(row) <= set(columns) for row in table)


def test_kinds_are_those_of_the_motion_capture(lifting):
    assert lifting.WALKING in KINDS


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 1.5])
def test_sequences_are_lifted_as_by_a_stream(lifting, delay):
    torch.manual_seed(0)
    network = LifterNetwork(32, 1).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    camera = Camera.from_fov(640, 480)
    random = np.random.default_rng(0)
    xy = 240 + 60 * random.normal(size=(1, 17, 2)) + random.normal(0, 2, (50, 17, 2)).cumsum(0)
    state = np.where(random.random((50, 17)) < 0.8, VISIBLE, OCCLUDED).astype(np.uint8)
    stream = StreamLifter(TrackLifter(camera, None, network), PosesBuilder(COCO17, lifting.FPS, camera), delay)
    found = []
    for frame in range(50):
        arrays = (xy[frame, None].astype(np.float32), np.ones((1, 17), np.float32), state[frame, None])
        found += stream.update(FramePoses(frame / lifting.FPS, np.array([1]), *arrays))
    found += stream.finish()
    joints = LifterJoints.from_detections(xy.astype(np.float32), np.ones((50, 17), np.float32), state, COCO17)
    (lifted,) = lifting.lift(network, to_keypoints(joints, camera)[None], (delay,))
    expected = (lifted.xyz + lifted.root[:, :, None])[0].numpy()
    np.testing.assert_allclose(np.concatenate([one.xyz[:, 0] for one in found]), expected, atol=1e-4)
